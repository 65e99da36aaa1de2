"""What a policy sees at a decision: pure functions of the day so far and of the orders at work.

Training calls them on all days of a history at once, a session on today's; nothing after `now` is looked at. There is
no NaN in an observation: what is unknown is 0, and a column says that it was unknown.
"""

import hashlib
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.rl.acting import Working
from components.rl.tape import FEATURES, Tape, against_expected, zeroed
from engine.events import Vector

Seen = dict[str, NDArray[np.float32]]
Places = NDArray[np.intp]


class Market(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Where each of W orders finds its day: rows (W,) of a tape, and of one that holds the day before."""

    today: Tape
    row: Places
    before: Tape
    before_row: Places  # -1 = there is no day before


class Observation(Protocol):
    """Names and shapes for days of T bars and K decisions at most, and the values, without W in the shapes."""

    features: bool  # whether it reads the features of a tape

    def shapes(self, bars: int, steps: int, /) -> dict[str, tuple[int, ...]]: ...
    def observe(self, market: Market, own: Working, /) -> Seen: ...


_MIRRORED = [FEATURES.index(name) for name in ("open", "low", "high", "close", "vwap")]
_PRICES = len(_MIRRORED)
HISTORY_NOW = ("buys", "sells", "tick", "step", "steps", "quantity", "remaining")


class FullHistory(msgspec.Struct, frozen=True, tag=True):
    """The whole day so far, the whole day before, and what was done.

    - `market` (T + 1, D): the features of today's bars (see `Tape`) behind one row of zeros; those of bars that have
      not closed are 0. The latest one stands at `tick`.
    - `before` (T, D): those of the whole day before, 0 where there is none.
    - `own` (K + 1, 2): of each decision so far what remained as a share of the order, and its number as a share of all
      decisions; 0 behind this one. The present decision stands at `step`.
    - `now` (7,): buys, sells (1 or 0), tick, step, steps, the order's quantity as a share of what the bars of its
      horizon are expected to trade (0 where that is unknown), and what remains as a share of it.

    Where `turned`, prices of purchases are mirrored at the day's first open, in both days: above 0 is good for the
    order, it buys lower or sells higher, and what is learned of one side holds for the other. `high` is then the best
    price of a bar, `low` the worst.

    Source: Qlib 0.9.7, rl/order_execution/interpreter.py, FullHistoryStateInterpreter, which does not turn them.
    """

    turned: bool = True

    @property
    def features(self) -> bool:
        return True

    def shapes(self, bars: int, steps: int, /) -> dict[str, tuple[int, ...]]:
        return {
            "market": (bars + 1, len(FEATURES)),
            "before": (bars, len(FEATURES)),
            "own": (steps + 1, 2),
            "now": (len(HISTORY_NOW),),
        }

    def observe(self, market: Market, own: Working, /) -> Seen:
        return {
            "market": self._for(own, so_far(market, own)),
            "before": self._for(own, day_before(market)),
            "own": own_history(own),
            "now": history_now(market, own),
        }

    def _for(self, own: Working, bars: NDArray[np.float32]) -> NDArray[np.float32]:
        return turned(own, bars) if self.turned else bars


def turned(own: Working, bars: NDArray[np.float32]) -> NDArray[np.float32]:
    """(W, T, D) features of bars, prices of purchases the other way round: the best of them is the lowest."""
    buys = np.flatnonzero(own.side > 0)
    bars[buys, :, :_PRICES] = 0.0 - bars[buys][:, :, _MIRRORED]  # 0 - 0 is 0, and - 0 is another one
    return bars


def so_far(market: Market, own: Working) -> NDArray[np.float32]:
    """(W, T + 1, D) today's features up to now, behind a row of zeros."""
    out = _features(market.today)[market.row]
    out[np.arange(out.shape[1]) > own.now[:, None] + 1] = 0.0
    return out


def day_before(market: Market) -> NDArray[np.float32]:
    """(W, T, D) the features of the day before."""
    row = market.before_row
    seen: NDArray[np.float32] = _features(market.before)[np.maximum(row, 0)]
    seen[row < 0] = 0.0
    return seen[:, 1:]


def _features(tape: Tape) -> NDArray[np.float32]:
    if tape.features is None:
        raise ValueError("observation full_history reads features of bars, and the tape has none; make it with them")
    return tape.features


def own_history(own: Working) -> NDArray[np.float32]:
    """(W, K + 1, 2) what remained at each decision and the number of it, as shares; 0 behind the present one."""
    k = np.arange(own.history.shape[1])
    past = k <= own.step[:, None]
    remained = np.where(past, own.history / own.quantity[:, None], 0.0)
    number = np.where(past, k / own.steps[:, None], 0.0)
    return np.stack([remained, number], axis=2).astype(np.float32)


def history_now(market: Market, own: Working) -> NDArray[np.float32]:
    """(W, 7), named by HISTORY_NOW."""
    tape, row = market.today, market.row
    expected = tape.expected_so_far[row, own.end] - tape.expected_so_far[row, own.start]
    known = ~np.isnan(tape.expected[row, own.end]) & (expected > 0)
    size = np.divide(own.quantity, expected, out=np.zeros(len(row)), where=known)
    buys = (own.side > 0).astype(np.float64)
    columns = (buys, 1.0 - buys, own.now + 1, own.step, own.steps, size, own.remaining / own.quantity)
    return zeroed(np.stack(columns, axis=1))


CURRENT_NOW = ("side", "step", "steps", "quantity", "remaining")


class CurrentStep(msgspec.Struct, frozen=True, tag=True):
    """The order alone: `now` (5,) = side (1 buys, -1 sells), step, steps, quantity and remaining shares.

    Source: Qlib 0.9.7, rl/order_execution/interpreter.py, CurrentStepStateInterpreter.
    """

    @property
    def features(self) -> bool:
        return False

    def shapes(self, bars: int, steps: int, /) -> dict[str, tuple[int, ...]]:
        del bars, steps
        return {"now": (len(CURRENT_NOW),)}

    def observe(self, market: Market, own: Working, /) -> Seen:
        del market
        columns = (own.side, own.step, own.steps, own.quantity, own.remaining)
        return {"now": np.stack(columns, axis=1).astype(np.float32)}


COMPACT_NOW = (
    "since_arrival",
    "since_open",
    "latest_return",
    "longer_return",
    "volume",
    "next_volume",
    "remaining",
    "left",
    "buys",
    "known",
)


class Compact(msgspec.Struct, frozen=True, tag=True):
    """A few numbers of order 1 that a small network learns from, `now` (10,), named by COMPACT_NOW.

    Prices are logarithms in the tape's unit, turned so that above 0 is good for the order: it buys lower, or sells
    higher. `remaining` is the share of the order, `left` the share of its decisions that lie ahead.

        since_arrival  of the latest close against the one at the order's decision
        since_open     against the day's first open
        latest_return  of the last bar, longer_return of the last `longer` bars (the day so far, where it is shorter)
        volume         (v - e) / (v + e) of the last bar against its profile
        next_volume    expected share of the next step in the volume of all bars that are left (a profile of equal bars
                       where none is known)
        known          1 where the last bar is fresh
    """

    longer: int = 5

    def __post_init__(self) -> None:
        if self.longer < 2:
            raise ValueError(f"longer must be at least 2 bars, got {self.longer}")

    @property
    def features(self) -> bool:
        return False

    def shapes(self, bars: int, steps: int, /) -> dict[str, tuple[int, ...]]:
        del bars, steps
        return {"now": (len(COMPACT_NOW),)}

    def observe(self, market: Market, own: Working, /) -> Seen:
        return {"now": compact_now(market, own, self.longer)}


def compact_now(market: Market, own: Working, longer: int) -> NDArray[np.float32]:
    """(W, 10), named by COMPACT_NOW."""
    tape, row, now = market.today, market.row, own.now
    at = row * tape.bars
    log, so_far, first = tape.log.ravel(), tape.expected_so_far.ravel(), tape.first[row]
    price, scale = log[at + now], -own.side / tape.unit

    def since(bars: int) -> Vector:
        change: Vector = price - np.where(now >= bars, log[at + np.maximum(now - bars, 0)], first)
        return change

    begun = so_far[at + now]
    ahead, following = so_far[at + own.end] - begun, so_far[at + own.next] - begun
    out = np.empty((len(COMPACT_NOW), len(row)))
    out[0] = (price - log[at + own.start]) * scale
    out[1] = (price - first) * scale
    out[2] = since(1) * scale
    out[3] = since(longer) * scale
    out[4] = against_expected(tape.volume.ravel()[at + now], tape.expected.ravel()[at + now])
    out[5] = np.divide(following, ahead, out=np.zeros(len(row)), where=ahead > 0)
    out[6] = own.remaining / own.quantity
    out[7] = 1.0 - own.step / own.steps
    out[8] = own.side > 0
    out[9] = tape.known.ravel()[at + now]
    return np.ascontiguousarray(zeroed(out).T)


def schema_of(observation: Any, action: Any, shapes: dict[str, tuple[int, ...]], unit: float, bars: int) -> str:
    """Hash of what a policy was made for: what it sees, in which shapes and units, and what it may choose.

    `bars` are those of a step. An agent answers only where the hash is the one it was trained with.
    """
    said = {
        "version": 2,
        "observation": [type(observation).__name__, msgspec.to_builtins(observation)],
        "names": [FEATURES, HISTORY_NOW, CURRENT_NOW, COMPACT_NOW],
        "shapes": sorted((name, list(shape)) for name, shape in shapes.items()),
        "unit": unit,
        "action": [type(action).__name__, msgspec.to_builtins(action)],
        "bars_per_step": bars,
    }
    return hashlib.blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()
