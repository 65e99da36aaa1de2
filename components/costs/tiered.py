"""A commission whose rate falls with what was traded in the month or on the day."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.costs.rules import (
    COMMISSION,
    NOMINAL,
    checked,
    filled_of,
    further,
    multipliers,
    one_column,
    shares_of,
)
from engine.events import DAY_NS, Fills, Matrix, Vector
from engine.protocols import Conditions
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "tiered", 1


@dataclass(frozen=True)
class Tier:
    """A rate for what is traded above this much of the period."""

    above: float
    rate: float


# Interactive Brokers, US shares, tiered: shares of the month and money a share.
IB_TIERS = (
    Tier(0, 0.0035),
    Tier(300_000, 0.0020),
    Tier(3_000_000, 0.0015),
    Tier(20_000_000, 0.0010),
    Tier(100_000_000, 0.0005),
)


class Tiered:
    """A commission by tiers of the volume traded so far in the period, at least `minimum` an order.

        commission = max(C(V + x) - C(V), minimum),   C(v) = sum_t rate_t |[above_t, above_{t+1}] up to v|

    x are the shares of the fill (`unit: shares`, rates are money a share) or its value (`unit: value`, rates are
    shares of the value, so 0.001 is 10 bps), V what all fills of the period came to before it: those of earlier slices
    and, of one call, the trades that stand before it, which is the order of execution. `month` and `day` are those of
    UTC. So the rate of a tier is paid for what lies in that tier. A further partial fill costs what the order costs
    with it, less what was paid before. `maximum` is a share of the fill's value, None =
    none; it never brings a commission below the minimum. The default is Interactive Brokers' schedule of commissions
    for US shares, with `minimum: 0.35, maximum: 0.01`; fees of exchanges and clearing come on top, see `dated`.

    Source: interactivebrokers.com, commissions of stocks, tiered pricing, United States.

    >>> costs = Tiered(tiers=(Tier(0, 0.01), Tier(1000, 0.005)), minimum=1.0, maximum=None)
    >>> at = Conditions(ts=0, symbol=np.zeros(2, np.int32))
    >>> costs.fees(np.array([50.0, 1500.0]), np.array([20.0, 20.0]), at)[:, 0]
    array([ 1.  , 12.25])
    """

    def __init__(
        self,
        *,
        tiers: tuple[Tier, ...] = IB_TIERS,
        period: Literal["month", "day"] = "month",
        unit: Literal["shares", "value"] = "shares",
        minimum: float = 0.35,
        maximum: float | None = 0.01,
        universe: Universe | None = None,
    ) -> None:
        checked({"minimum": minimum, "maximum": maximum})
        for tier in tiers:
            checked({"tiers above": tier.above, "tiers rate": tier.rate})
        above = [tier.above for tier in tiers]
        if not above or above[0] != 0 or any(a >= b for a, b in zip(above, above[1:], strict=False)):
            raise ValueError(f"tiers must begin with one above: 0 and go up, got {above}")
        if unit == "value" and max(tier.rate for tier in tiers) >= 1:
            raise ValueError(f"tiers rate must be below 1 of value, got {max(tier.rate for tier in tiers)}")
        self._from, self._to = np.array(above), np.array([*above[1:], np.inf])
        self._rates = np.array([tier.rate for tier in tiers])
        self._period, self._unit = period, unit
        self._minimum, self._maximum = minimum, maximum
        self._multiplier = multipliers(universe)
        self._now, self._traded = -1, 0.0  # the period of the last fills, and what they came to in it

    def _label(self, ts: int) -> int:
        if self._period == "day":
            return ts // DAY_NS
        return int(np.datetime64(ts // DAY_NS, "D").astype("datetime64[M]").astype(np.int64))

    def _sum(self, volume: Vector) -> Vector:
        """C(v) of each volume."""
        total = np.zeros(len(volume))
        for low, high, rate in zip(self._from, self._to, self._rates, strict=True):
            total += rate * (np.clip(volume, low, high) - low)
        return total

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) the market's price."""
        del qty, at
        return reference

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        own = self._own(qty, price, at)
        fees = np.where(qty != 0, np.maximum(own, self._minimum), 0.0)
        filled = filled_of(at, self._multiplier)
        if filled is not None:
            # Without a memo the earlier shares count at the rate of these, which only matters below the minimum.
            per_unit = np.divide(own, np.abs(qty), out=np.zeros(len(qty)), where=qty != 0)
            later = further(own, per_unit * filled, self._minimum, at, COMMISSION)
            fees = np.where(filled > 0, later, fees)
        return one_column(COMMISSION, fees)

    def memo(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, 1) commissions before the minimum."""
        return self._own(qty, price, at)[:, None]

    def _own(self, qty: Vector, price: Vector, at: Conditions) -> Vector:
        """(L,) commissions before the minimum: each trade begins in the tier to which those before it have come."""
        value = np.abs(qty * price)
        amount = shares_of(qty, at, self._multiplier) if self._unit == "shares" else value
        after = np.cumsum(amount) + (self._traded if self._label(at.ts) == self._now else 0.0)
        own = self._sum(after) - self._sum(after - amount)
        return own if self._maximum is None else np.minimum(own, self._maximum * value)

    def rate(self) -> float:
        """One-way cost of a large trade as a share of its value, in the first tier, at a price of 100."""
        first = float(self._rates[0])
        return min(first if self._unit == "value" else first / NOMINAL, 0.99)

    def on_fills(self, fills: Fills, /) -> None:
        if not fills.qty.size:
            return
        label = self._label(fills.ts)
        if label != self._now:
            self._now, self._traded = label, 0.0
        amount = np.abs(fills.qty)
        if self._unit == "value":
            amount = amount * fills.price
            if self._multiplier is not None:
                amount = amount * self._multiplier[fills.symbol]
        self._traded += float(amount.sum())

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, now=self._now, traded=self._traded)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        self._now, self._traded = fields["now"], fields["traded"]
