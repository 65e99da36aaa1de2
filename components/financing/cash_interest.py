"""The interest on cash that is held."""

import numpy as np

from components.financing.accrual import BPS, charges_of, checked_rates, rates_of
from engine.events import Book, ChargeKind, Charges
from engine.universe import Universe


class CashInterest:
    """Interest on the settled cash of each currency, for every calendar day it is held.

        interest_c = max(cash_c - unsettled_c, 0) annual_c days / day_count        in the currency itself

    `annual_bps` is the rate in basis points a year; `rates` gives currencies one of their own as a decimal
    (`EUR: -0.005` costs half a percent a year). What short sales brought is cash too: interest on it is the rebate.
    Source: Interactive Brokers, Interest and Financing: settled balance * rate / 360 (365 for some currencies), a day.

    >>> from engine.universe import universe_of
    >>> interest = CashInterest(universe=universe_of(("A",)), annual_bps=100)
    >>> interest.charges(book(1, [10.0], cash=3600.0), 1, 2).amount
    array([0.1])
    """

    def __init__(
        self,
        *,
        universe: Universe,
        annual_bps: float = 0.0,
        rates: dict[str, float] | None = None,
        day_count: int = 360,
    ) -> None:
        checked_rates(annual_bps, rates, day_count, least=-1 / BPS)
        self._annual, self._day_count = rates_of(annual_bps, rates, universe.currencies), day_count

    def charges(self, book: Book, days: int, ts: int, /) -> Charges | None:
        interest = np.maximum(book.cash - book.unsettled, 0.0) * self._annual * (days / self._day_count)
        of_none, currency = np.full(len(interest), -1, np.int32), np.arange(len(interest), dtype=np.int32)
        return charges_of(ts, ChargeKind.CASH_INTEREST, of_none, currency, interest)
