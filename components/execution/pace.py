"""The shape of an execution policy: how much of each parent to send now. All parents at once, as arrays."""

from typing import Any, Protocol

import msgspec
import numpy as np

from engine.events import Codes, Ids, Stamps, Status, Vector

NEAR = 1e-9  # of a lot: what a division may leave
HORIZON_MAX = 10**9  # slices
Steps = Stamps  # counts, int64


class Parents(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """The P parents that may send now, in order of acceptance. Shares are signed; all arrays are (P,)."""

    ids: Ids
    symbol: Codes  # positions in the universe
    total: Vector  # what is to be traded in the horizon: filled in it and left together
    left: Vector  # not filled and in no market: the most that may be sent
    step: Steps  # k = slices since the horizon began, 0 in its own
    steps: Steps  # T = slices of the horizon, as far as the session goes; step < steps
    lot: Vector  # shares
    arrival: Vector  # mark at the decision, NaN = none

    @property
    def side(self) -> Vector:
        """1 = buys, -1 = sells."""
        return np.sign(self.total)

    @property
    def size(self) -> Vector:
        """What was ordered, unsigned."""
        return np.abs(self.total)

    @property
    def rest(self) -> Vector:
        """What may still be sent, unsigned."""
        return np.abs(self.left)

    @property
    def remaining(self) -> Steps:
        """Steps left with this one, 1 in the last."""
        return self.steps - self.step


class Market(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """The slice at whose end parents send, (N,) each. What of it is older than the slice says nothing of the next."""

    ts: int
    interval_ns: int
    status: Codes  # Status of each symbol's bar
    mark: Vector  # last valid close, NaN = never seen
    volume: Vector  # shares that the bar traded, NaN = no bar
    at_once: bool = False  # what is sent trades in this very slice, at its close

    @property
    def trades_from(self) -> int:
        """An instant of the slice in which what is sent trades."""
        return self.ts if self.at_once else self.ts + 1


class Pace(Protocol):
    """How fast parents are worked: what a run file names under `execution`, and the desk calls once a slice.

    Where a strategy of a slower interval decides at an instant that has no slice, the desk calls once more, for the
    parents that begin there.

    `due` answers (P,) signed shares to send now. The desk sends no more than what is left, nothing to the other side,
    whole lots (or all that is left, where that is no whole number of them), nothing of a symbol whose bar was not
    FRESH, and in the last step all that is left, whatever `due` says, if `completes`. NaN, or anything but one number a
    parent, is an error. A pace may define `on_bars`,
    which is called for every slice before `due`, `on_actions`, `lookback`, and `save` and `load` where it remembers
    anything. Per-parent memory is kept by `ids`, which never come twice; a parent all of which is in the market is left
    out for as long as it is, and one that has ended never comes back.
    """

    horizon: int  # slices of the session's interval, from the decision on
    span_days: bool  # whether a horizon goes on over the close of a session
    completes: bool  # whether the last step sends all that is left

    def due(self, parents: Parents, market: Market, /) -> Vector: ...


def checked_horizon(horizon: int) -> int:
    """The horizon as it was given. Raises ValueError where it is no whole number from 1 to a billion."""
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer):
        raise ValueError(f"horizon must be a whole number of slices, got {horizon!r}")
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 slice, got {horizon}")
    if horizon > HORIZON_MAX:
        raise ValueError(f"horizon must be at most {HORIZON_MAX} slices, got {horizon}; span_days goes on over closes")
    return int(horizon)


def nearest_lots(shares: Vector, lot: Vector) -> Vector:
    """Unsigned shares to the nearest whole lot, halves to the even one; never below 0.

    >>> nearest_lots(np.array([149.0, 151.0, -3.0]), np.array([100.0, 100.0, 1.0]))
    array([100., 200.,   0.])
    """
    lots: Vector = np.maximum(np.rint(shares / lot), 0.0) * lot
    return lots


def full_lots(shares: Vector, lot: Vector) -> Vector:
    """Unsigned shares in whole lots, rounded down.

    >>> full_lots(np.array([199.0, 0.3]), np.array([100.0, 0.1]))
    array([100. ,   0.3])
    """
    lots: Vector = np.floor(shares / lot + NEAR) * lot
    return lots


def even_steps(parents: Parents) -> Vector:
    """What is left in equal parts of the steps that remain, in lots rounded up.

        a = ceil(floor(rest / lot) / remaining) lot

    Source: the reference's rule without a trend; Qlib, SBBStrategyBase and ACStrategy.
    """
    lots = np.floor(parents.rest / parents.lot + NEAR)
    parts: Vector = np.ceil(lots / parents.remaining) * parents.lot
    return parts


def on_pace(parents: Parents, share: Vector) -> Vector:
    """Shares that bring each parent to `share` (P,) of its total by the end of this step, to the nearest lot.

    a = min(round((share Q - done) / lot) lot, rest),   done = Q - rest
    """
    due = short_of(parents.size, parents.rest, share)
    return np.minimum(nearest_lots(due, parents.lot), parents.rest)


def short_of(size: Vector, rest: Vector, share: Vector) -> Vector:
    """share Q - done, done = Q - rest: what is missing to this share of the order, below 0 where it is ahead."""
    missing: Vector = size * share - (size - rest)
    return missing


def checked_due(pace: Any, due: Any, count: int) -> Vector:
    """(P,) shares that a pace answered. Raises ValueError, naming it, where they are not one number a parent."""
    said = f"{type(pace).__name__}.due answered "
    if not isinstance(due, np.ndarray | list | tuple):
        kind = "nothing" if due is None else f"{due!r}, of {type(due).__name__}"
        raise ValueError(f"{said}{kind}; give an array of {count} signed shares, one for each parent")
    try:
        shares = np.asarray(due, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{said}what are no numbers ({error}); give {count} signed shares") from error
    if shares.ndim != 1:
        raise ValueError(f"{said}values of shape {shares.shape} for {count} parents; give one for each")
    if len(shares) != count:
        raise ValueError(f"{said}{len(shares)} values for {count} parents; give one for each")
    wrong = np.flatnonzero(np.isnan(shares))
    if wrong.size:
        raise ValueError(f"{said}NaN for {len(wrong)} of {count} parents, first row {wrong[0]}; 0 sends nothing")
    return shares


def asked_of(pace: Pace, parents: Parents, market: Market) -> Vector:
    """(P,) signed shares that may be sent: of what the pace says is due its side, whole lots, no more than is left,
    and all of it at the end. A pace may be the user's own: it cannot write into what the desk goes by."""
    for told in (parents, market):
        _freeze(told)
    due = checked_due(pace, pace.due(parents, market), len(parents.ids))
    amount = np.clip(due * parents.side, 0.0, parents.rest)
    whole = amount >= parents.rest * (1 - NEAR)
    amount = np.where(whole, parents.rest, np.minimum(full_lots(amount, parents.lot), parents.rest))
    amount = np.where(market.status[parents.symbol] == Status.FRESH, amount, 0.0)
    if pace.completes:
        amount = np.where(parents.remaining <= 1, parents.rest, amount)
    return parents.side * amount


def _freeze(told: Parents | Market) -> None:
    for name in told.__struct_fields__:
        column = getattr(told, name)
        if isinstance(column, np.ndarray):
            column.setflags(write=False)


def saved(pace: Any) -> bytes:
    """The state of a pace, empty where it remembers nothing."""
    state: bytes = pace.save() if hasattr(pace, "save") else b""
    return state
