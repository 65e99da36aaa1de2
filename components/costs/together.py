"""Several cost models as one: what a list under `costs:` becomes."""

from typing import Any

import msgspec
import numpy as np

from components.costs.rules import against, filled_of, memo_of, multipliers
from engine.errors import StateError
from engine.events import FEE_KINDS, Actions, Bars, Fills, Matrix, Vector
from engine.nested import costs_of
from engine.protocols import Conditions, CostModel, Stateful
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "together", 1


class Together:
    """The sum of cost models: each displaces the market's price and charges its fees as if it were alone.

        price_i = reference_i + sum_p (price_pi - reference_i)      fees_i = sum_p fees_pi      rate = sum_p rate_p

    Fees are those of the price that comes out. A sale brings a hundredth of the market's price at least. What earlier
    fills of an order were charged is remembered by part (`memo`), so that each part's minimum counts once an order;
    where it is not, it is split in proportion to what each part would charge for them at once.

    >>> from components.costs.bps import Bps
    >>> both = Together(parts=(Bps(slippage_bps=10), Bps(slippage_bps=5, commission_bps=2)))
    >>> at = Conditions(ts=0, symbol=np.zeros(1, np.int32))
    >>> price = both.price(np.array([100.0]), np.array([50.0]), at)
    >>> price, both.fees(np.array([100.0]), price, at).round(4)
    (array([50.075]), array([[1.0015, 0.    , 0.    ]]))
    """

    def __init__(self, *, parts: tuple[CostModel, ...], universe: Universe | None = None) -> None:
        if not parts:
            raise ValueError("parts must hold at least one cost model, got none")
        parts = tuple(map(costs_of, parts))
        self._parts, self._multiplier = parts, multipliers(universe)
        none = np.zeros(0)
        at = Conditions(ts=0, symbol=np.zeros(0, np.int32))
        self._widths = [self._noted(part, none, none, at).shape[1] for part in parts]

    @property
    def parts(self) -> tuple[CostModel, ...]:
        return self._parts

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) fill price of signed quantities. NaN where the reference is."""
        prices = [price for part in self._parts if (price := part.price(qty, reference, at)) is not reference]
        if len(prices) < 2:
            return prices[0] if prices else reference
        moved = sum((price - reference for price in prices), start=np.zeros(len(qty)))
        return against(qty, reference, np.where(qty < 0, -moved, moved))

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        own = self._own(qty, price, at)
        total = np.zeros((len(qty), len(FEE_KINDS)))
        for part, known in zip(self._parts, own, strict=True):
            total += part.fees(qty, price, known)
        return total

    def _own(self, qty: Vector, price: Vector, at: Conditions) -> list[Conditions]:
        """The conditions with what each part of the sum was paid; the same for all while nothing filled before."""
        filled = filled_of(at, self._multiplier)
        if filled is None:
            return [at] * len(self._parts)
        memo = memo_of(at, sum(self._widths))
        if memo is not None:
            return [_of_part(at, columns) for columns in np.split(memo, np.cumsum(self._widths)[:-1], axis=1)]
        if at.paid is None or len(self._parts) == 1:
            return [msgspec.structs.replace(at, memo=None)] * len(self._parts)
        first = msgspec.structs.replace(at, filled=None, paid=None, memo=None)
        charged = [part.fees(np.copysign(filled, qty), price, first) for part in self._parts]
        total = sum(charged, start=np.zeros_like(at.paid))
        shares = [np.divide(fees, total, out=np.zeros_like(total), where=total > 0) for fees in charged]
        return [msgspec.structs.replace(at, paid=at.paid * share, memo=None) for share in shares]

    def memo(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, M) of each part its fees, and then what it asks to be remembered itself."""
        own = zip(self._parts, self._own(qty, price, at), strict=True)
        return np.hstack([self._noted(part, qty, price, known) for part, known in own])

    def _noted(self, part: CostModel, qty: Vector, price: Vector, at: Conditions) -> Matrix:
        memo, fees = getattr(part, "memo", None), part.fees(qty, price, at)
        return fees if memo is None else np.hstack([fees, memo(qty, price, at)])

    def rate(self) -> float:
        """One-way cost of a large trade as a share of its value."""
        return min(sum(part.rate() for part in self._parts), 0.99)

    # ---- estimates ---------------------------------------------------------------------------------------------------

    def on_bars(self, bars: Bars, /) -> None:
        self._tell("on_bars", bars)

    def on_fills(self, fills: Fills, /) -> None:
        self._tell("on_fills", fills)

    def on_actions(self, actions: Actions, /) -> None:
        self._tell("on_actions", actions)

    def _tell(self, name: str, event: Any) -> None:
        for part in self._parts:
            told = getattr(part, name, None)
            if told is not None:
                told(event)

    def save(self) -> bytes:
        states = [part.save() if isinstance(part, Stateful) else b"" for part in self._parts]
        return pack(_KIND, _VERSION, parts=states)

    def load(self, state: bytes, /) -> None:
        states = unpack(state, _KIND, _VERSION)["parts"]
        if len(states) != len(self._parts):
            raise StateError(
                f"costs: the state is of {len(states)} parts and there are {len(self._parts)} now; "
                "give the same list of costs, or start without the state"
            )
        for part, saved in zip(self._parts, states, strict=True):
            if isinstance(part, Stateful):
                part.load(saved)


def _of_part(at: Conditions, columns: Matrix) -> Conditions:
    """The conditions as one part of the sum knows them: its fees, then its own memo."""
    fees, memo = columns[:, : len(FEE_KINDS)], columns[:, len(FEE_KINDS) :]
    return msgspec.structs.replace(at, paid=fees, memo=memo if memo.shape[1] else None)
