"""The fee for shares that are sold short."""

import numpy as np

from components.financing.accrual import charges_of, checked_rates, rates_of
from engine.errors import DataError
from engine.events import Bars, Book, ChargeKind, Charges, Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "borrow_fee", 1


class BorrowFee:
    """A share of the value sold short, for every calendar day it is owed.

        fee_i = max(-qty_i, 0) mark_i multiplier_i annual_i days / day_count      in the currency of the symbol

    `mark` is the last close before the days. `annual_bps` is the rate in basis points a year; `rates` gives symbols
    one of their own as a decimal (`GME: 0.25` is 25 % a year), and a column `borrow_rate` of the feed goes before both:
    its latest value, NaN = as before. It counts as a fee of the symbol in the book. A mark that is unknown (NaN)
    charges nothing.
    Source: Interactive Brokers, Short Sale Cost: notional value * rate / 360, on every calendar day.

    >>> from engine.universe import universe_of
    >>> fee = BorrowFee(universe=universe_of(("A", "B")), annual_bps=360, rates={"B": 0.36})
    >>> fee.charges(book(1, [10.0, 10.0], qty=[-100.0, -100.0]), 3, 2).amount  # Friday to Monday
    array([-0.3, -3. ])
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
        self._universe, self._day_count = universe, day_count
        self._annual = rates_of(annual_bps, rates, universe.symbols)
        extra = universe.extra
        self._column = extra.index("borrow_rate") if "borrow_rate" in extra else -1
        self._quoted: Vector = np.full(len(universe), np.nan)  # the latest rates of the feed

    def on_bars(self, bars: Bars, /) -> None:
        """The rates of this slice count for the days after it."""
        if self._column >= 0:
            rate = bars.extra[self._column]
            if (rate < 0).any() or np.isinf(rate).any():
                raise DataError(
                    f"borrow_fee: column borrow_rate of slice {bars.ts} has rates that are negative or infinite; give "
                    "annual rates as decimals, NaN = as before"
                )
            self._quoted = np.where(np.isnan(rate), self._quoted, rate)

    def charges(self, book: Book, days: int, ts: int, /) -> Charges | None:
        if not (book.qty < 0).any():
            return None
        s = np.flatnonzero(book.qty < 0)
        s = s[np.isfinite(book.mark[s])]
        value = -book.qty[s] * book.mark[s] * self._universe.multiplier[s]
        annual = np.where(np.isnan(self._quoted[s]), self._annual[s], self._quoted[s])
        fee = value * annual * (days / self._day_count)
        return charges_of(ts, ChargeKind.BORROW, s.astype(np.int32), self._universe.currency[s], -fee)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=list(self._universe.symbols), quoted=self._quoted)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no rate of the feed yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._quoted = placed(fields["quoted"], fields["symbols"], self._universe.symbols, np.nan)
