"""Taxes and fees whose rates change on known days."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import numpy as np

from components.costs.rules import BPS, NOMINAL, checked, multipliers, one_column, shares_of
from engine.events import DAY_NS, FEE_KINDS, Matrix, Vector
from engine.protocols import Conditions
from engine.universe import Universe

_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class DatedFee:
    """The rates from this day on, until the next entry: basis points of the value, and money a share."""

    since: dt.date
    bps_buy: float = 0.0
    bps_sell: float = 0.0
    per_share_buy: float = 0.0
    per_share_sell: float = 0.0
    maximum: float | None = None  # money a fill, None = none


class Dated:
    """A tax or fee by side at the rates of the day, in the column that `kind` names.

        fee_i = min(value_i bps(side, day) + shares_i per_share(side, day), maximum(day))

    The day is the UTC date at the end of the bar that fills, for a trade at its open too; a rate holds from its `since`
    until the next one's, before the first there is no fee. Shares are counted without a multiplier: for futures it is
    money a contract.

    The SEC's fee on sales, `kind: exchange`: 2023-02-27 0.08 bps, 2024-05-22 0.278 bps, 2025-05-14 0. FINRA's trading
    activity fee: from 2024-01-01 0.000166 a share sold, at most 8.30 a trade. Stamp duty in mainland China on
    sales: 2008-09-19 10 bps, 2023-08-28 5 bps. United Kingdom on purchases: 50 bps.

    Source: sec.gov, fee rate advisories, section 31; finra.org, trading activity fee; announcements of China's
    Ministry of Finance; gov.uk, stamp duty reserve tax.

    >>> costs = Dated(rates=(DatedFee(dt.date(2008, 9, 19), bps_sell=10), DatedFee(dt.date(2023, 8, 28), bps_sell=5)))
    >>> day = int(np.datetime64("2023-08-28", "ns").astype(np.int64))
    >>> for ts in (day - 1, day):
    ...     at = Conditions(ts=ts, symbol=np.zeros(1, np.int32))
    ...     print(costs.fees(np.array([-100.0]), np.array([10.0]), at))
    [[0. 0. 1.]]
    [[0.  0.  0.5]]
    """

    by_day = True  # of what it looks at in `Conditions.ts` the UTC date alone counts

    def __init__(
        self,
        *,
        rates: tuple[DatedFee, ...],
        kind: Literal["commission", "exchange", "tax"] = "tax",
        universe: Universe | None = None,
    ) -> None:
        if not rates:
            raise ValueError("rates must hold at least one entry with its since, got none")
        for entry in rates:
            checked({"rates bps_buy": entry.bps_buy, "rates bps_sell": entry.bps_sell, "rates maximum": entry.maximum})
            checked({"rates per_share_buy": entry.per_share_buy, "rates per_share_sell": entry.per_share_sell})
            if max(entry.bps_buy, entry.bps_sell) >= 1 / BPS:
                raise ValueError(f"rates must be below 10000 bps, got {max(entry.bps_buy, entry.bps_sell)}")
        for one, other in zip(rates, rates[1:], strict=False):
            if other.since <= one.since:
                raise ValueError(f"rates must stand in the order of their days, got {other.since} after {one.since}")
        self._rates, self._column = rates, FEE_KINDS.index(kind)
        self._days = [(entry.since - _EPOCH).days for entry in rates]
        self._multiplier = multipliers(universe)

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) the market's price."""
        del qty, at
        return reference

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        row = int(np.searchsorted(self._days, at.ts // DAY_NS, "right")) - 1
        if row < 0:
            return np.zeros((len(qty), len(FEE_KINDS)))
        now = self._rates[row]
        buys = qty > 0
        fee = np.abs(qty * price) * np.where(buys, now.bps_buy, now.bps_sell) * BPS
        if now.per_share_buy or now.per_share_sell:
            shares = shares_of(qty, at, self._multiplier)
            fee = fee + shares * np.where(buys, now.per_share_buy, now.per_share_sell)
        return one_column(self._column, fee if now.maximum is None else np.minimum(fee, now.maximum))

    def rate(self) -> float:
        """One-way cost as a share of the value at the latest rates and a price of 100, the mean of both sides."""
        last = self._rates[-1]
        shares = (last.per_share_buy + last.per_share_sell) / NOMINAL
        return min(((last.bps_buy + last.bps_sell) * BPS + shares) / 2, 0.99)
