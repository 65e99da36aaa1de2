"""What stands around a strategy: the shapes of filters, rules and schedules, and what they may see.

A piece that remembers defines `save` and `load`; one that follows events defines their handlers (`on_bars`,
`on_actions`, `on_reference`, ...): `guarded` calls them before it asks the piece. A piece may name the slices it needs
in `lookback`. `kind` is what its notes are called.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from components.optimizers.paying import unit_value
from engine.events import Bars, Book, Mask, Vector
from engine.sealing import copied
from engine.universe import Universe


class View(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a piece may know at the close of slice `ts`: nothing later."""

    universe: Universe
    ts: int
    bars: Bars  # the slice
    book: Book
    position: Vector  # (N,) signed shares, filled and working
    unit: Vector  # (N,) base money for one share, NaN = never seen
    decided: int = 0  # ts of the slice in which the strategy was asked last, 0 = never
    slices: int = 0  # since then
    wanted: Vector | None = None  # (N,) weights that were asked for then, NaN = left as they were

    @property
    def weights(self) -> Vector:
        """(N,) what is held and working as shares of equity; NaN without a price or equity."""
        return share_of_equity(self.position, self.unit, self.book.equity)


def share_of_equity(shares: Vector, unit: Vector, equity: float) -> Vector:
    """(N,) signed shares as shares of equity: 0 where there are none, NaN without a price or positive equity."""
    money = np.where(shares == 0, 0.0, shares * unit)
    return money / (equity if equity > 0 else np.nan)


def view_of(universe: Universe, bars: Bars, book: Book) -> View:
    """What is known of this slice, before any decision."""
    unit = unit_value(universe, book, slice(None))
    return View(universe=universe, ts=book.ts, bars=bars, book=book, position=book.qty + book.working, unit=unit)


def apart(view: View) -> View:
    """The view with arrays that nobody else holds and nobody can write into, for pieces of a user's own."""
    wanted = None if view.wanted is None else copied(view.wanted)
    return msgspec.structs.replace(view, position=copied(view.position), unit=copied(view.unit), wanted=wanted)


class Filter(Protocol):
    """Names that may be bought: others are neither bought nor added to, and what is held may be kept or reduced.

    `exit` says what becomes of a position whose name does not pass: `hold`, or `sell` in the next slice it trades.
    """

    kind: str
    exit: str

    def passes(self, view: View, /) -> Mask:
        """(N,), or (2, N) where it matters on which side: what may be bought, and what may be sold short."""
        ...


class Rule(Protocol):
    """What holds whatever the strategy wants. It defines one or more of these three.

    - `exits(view) -> Vector`: (N,) the number that has a position closed, NaN = it stays. `text` says what the number
      is. A position that is being closed is closed whole, also where the number recovers meanwhile.
    - `blocks(view, leaving) -> Mask`: (N,) names that do not pass, as of a filter. It is asked in every slice;
      `leaving` (N,) are the positions that rules are closing.
    - `scale(view, weights) -> float`: what all wanted positions are multiplied by, at least 0. `weights` (N,) are
      those wanted before any scaling, 0 where nothing is known. One that keeps its last factor for want of a better
      says why in `remark`, a text that is told with the factor; empty = nothing to say of this slice.
    """

    kind: str


class Schedule(Protocol):
    """When the strategy is asked. Between two such slices its last target stands."""

    def due(self, view: View, /) -> bool: ...


HANDLERS = (  # what a piece or a strategy within may take besides
    *("on_control", "on_reference", "on_late", "on_bars", "on_timer", "on_actions", "on_charges", "on_fills"),
    *("on_reports", "on_refusals", "on_book"),
)


def kind_of(piece: Any) -> str:
    """What the notes of a piece are called; of a class that does not say the name of the class."""
    return str(getattr(piece, "kind", type(piece).__name__))


def names_of(pieces: Sequence[Any]) -> tuple[str, ...]:
    """What the notes of each are called: its kind, with its place in the list where another has the same.

    >>> from components.strategies.rules.stop_loss import StopLoss
    >>> from components.strategies.rules.take_profit import TakeProfit
    >>> names_of((StopLoss(loss=0.1), TakeProfit(gain=0.2), StopLoss(loss=0.2)))
    ('stop_loss[0]', 'take_profit', 'stop_loss[2]')
    """
    kinds = [kind_of(piece) for piece in pieces]
    return tuple(kind if kinds.count(kind) == 1 else f"{kind}[{place}]" for place, kind in enumerate(kinds))


def answer_of(piece: Any, method: str, answer: Any, kind: str, shapes: tuple[tuple[int, ...], ...]) -> Any:
    """What a piece answered, seen to be an array of this kind (`b`, `f`) and of one of these shapes."""
    array = np.asarray(answer)
    if array.dtype.kind != kind or array.shape not in shapes:
        wanted = " or ".join(map(str, shapes))
        word = {"b": "true and false", "f": "floats"}[kind]
        got = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"{kind_of(piece)}: {method} must return an array of {word} of shape {wanted}, got {got}")
    return array


def handlers_of(pieces: tuple[Any, ...], name: str) -> tuple[Callable[[Any], Any], ...]:
    """The handlers of this event, in the order of the pieces."""
    return tuple(getattr(piece, name) for piece in pieces if hasattr(piece, name))


def exit_of(exit: str) -> str:
    """What becomes of a position whose name does not pass, checked."""
    if exit not in ("hold", "sell"):
        raise ValueError(f"exit must be hold or sell, got {exit!r}")
    return exit


def share_of(name: str, value: float, most: float = np.inf) -> float:
    """An option that is a share, checked: above 0 and at most `most`."""
    if not (0 < value <= most and value < np.inf):
        limit = "a finite number" if most == np.inf else f"at most {most:g}"
        raise ValueError(f"{name} must be above 0 and {limit} (a share: 0.1 is 10 %), got {value}")
    return value


def slices_of(name: str, value: int) -> int:
    """An option that counts slices, checked: at least 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1 slice, got {value}")
    return value
