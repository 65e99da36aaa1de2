"""The interest on cash that is owed."""

import numpy as np

from components.financing.accrual import charges_of, checked_rates, rates_of
from engine.events import Book, ChargeKind, Charges
from engine.universe import Universe


class MarginInterest:
    """Interest on the negative cash of each currency, for every calendar day it is owed.

        interest_c = max(-cash_c, 0) annual_c days / day_count        in the currency itself

    `annual_bps` is the rate in basis points a year; `rates` gives currencies one of their own as a decimal
    (`EUR: 0.045` is 4.5 % a year). Cash of one currency does not offset what is owed in another.
    Source: Interactive Brokers, Interest and Financing: balance * rate / 360 (365 for some currencies), a day.

    >>> from engine.universe import universe_of
    >>> interest = MarginInterest(universe=universe_of(("A",)), annual_bps=360)
    >>> interest.charges(book(1, [10.0], cash=-1000.0), 3, 2).amount
    array([-0.3])
    """

    def __init__(
        self,
        *,
        universe: Universe,
        annual_bps: float = 0.0,
        rates: dict[str, float] | None = None,
        day_count: int = 360,
    ) -> None:
        checked_rates(annual_bps, rates, day_count)
        self._annual, self._day_count = rates_of(annual_bps, rates, universe.currencies), day_count

    def charges(self, book: Book, days: int, ts: int, /) -> Charges | None:
        if not (book.cash < 0).any():
            return None
        interest = np.maximum(-book.cash, 0.0) * self._annual * (days / self._day_count)
        of_none, currency = np.full(len(interest), -1, np.int32), np.arange(len(interest), dtype=np.int32)
        return charges_of(ts, ChargeKind.MARGIN_INTEREST, of_none, currency, -interest)
