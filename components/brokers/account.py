"""What a simulated broker knows of the account: cash, positions and marks, and how far the money goes."""

import numpy as np

from components.brokers import buying
from components.brokers import fill_rules as rules
from components.brokers.margin_call import Margin
from engine.events import Bars, Book, Charges, Mask, Matrix, Reference, Vector
from engine.holdings import all_in_lots
from engine.protocols import Conditions, CostModel
from engine.state import mutable, pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "account", 1
_ROWS = 1024  # trades of a slice up to which equal values are shared


class Column:
    """Values by symbol (N,), read for some of them: where all are equal, as most often, without a look at which."""

    def __init__(self, values: Vector) -> None:
        self._values = values
        same = len(values) > 0 and bool((values == values[0]).all())
        self._same = np.full(_ROWS, values[0]) if same else None
        if self._same is not None:
            self._same.flags.writeable = False

    def at(self, s: rules.Rows) -> Vector:
        if self._same is not None and len(s) <= _ROWS:
            return self._same[: len(s)]
        picked: Vector = self._values[s]
        return picked


class Account:
    """Cash (C,), positions and marks (N,) as of the latest book, kept current with the broker's own fills until then.

        power = sum_c rate_c (cash_c - unsettled_c)                  cash account: without leverage and shorts
        power = leverage * equity - sum_i |value of position i|      margin account, at the prices of the trade

    `cash`, `qty`, `mark`, `rate` and `unsettled` may be read by anybody and are replaced, never changed in place. Where
    sales settle `later`, what they bring is unsettled: a cash account spends none of it before the book says so.
    """

    def __init__(self, *, universe: Universe, margin: Margin, later: bool = False) -> None:
        n, c = len(universe), len(universe.currencies)
        self.universe, self.margin, self._borrows, self._leverage = universe, margin, margin.borrows, margin.leverage
        self._later = later and not self._borrows
        self.cash, self.unsettled, self.qty, self.mark = np.zeros(c), np.zeros(c), np.zeros(n), np.full(n, np.nan)
        self._book: Book | None = None
        self._receivable = 0.0
        self._parted = bool((universe.lot != 1.0).any())
        self._lot, self._multiplier = Column(universe.lot), Column(universe.multiplier)
        self._set_rate(np.ones(c))

    def _set_rate(self, rate: Vector) -> None:
        self.rate, self._symbol_rate = rate, Column(rate[self.universe.currency])
        self.unit = rate[self.universe.currency] * self.universe.multiplier  # (N,) base currency a point and share
        self._unit = Column(self.unit)
        self._simple = bool((self.unit == 1.0).all() and (rate == 1.0).all())

    @property
    def rule(self) -> str:
        """The rule under which it refuses what it cannot pay for."""
        return "buying_power" if self._borrows else "cash"

    def on_book(self, book: Book) -> None:
        self.cash, self.qty, self.mark, self.unsettled = book.cash, book.qty, book.mark, book.unsettled
        self._book = book
        if len(book.rate) > 1 and (book.rate != self.rate).any():
            self._set_rate(book.rate)

    def on_reference(self, reference: Reference) -> None:
        """`rates` (C, 1) count from their own instant on; the ledger refuses what is wrong with them."""
        if reference.name == "rates" and len(reference.value) == len(self.rate):
            self._set_rate(np.array(reference.value[:, 0]))

    def charge(self, charges: Charges) -> None:
        """Books money that moves without a trade, as the ledger does."""
        weights = charges.amount
        self.cash = self.cash + np.bincount(charges.currency, weights=weights, minlength=len(self.cash))

    # ---- what can be paid for ----------------------------------------------------------------------------------------

    def trades(
        self, s: rules.Rows, qty: Vector, reference: Vector, at: Conditions, limit: Vector | None = None
    ) -> buying.Trades:
        """These quantities of the symbols at `s` at these market prices, (L,) each, as `buying` reads them."""
        return buying.Trades(
            symbol=s,
            qty=qty,
            reference=reference,
            unit=self._unit.at(s),
            multiplier=self._multiplier.at(s),
            rate=self._symbol_rate.at(s),
            lot=self._lot.at(s),
            later=self._later,
            simple=self._simple,
            at=at,
            limit=limit,
        )

    def power(self, bars: Bars, price: Vector) -> float:
        """Buying power in the base currency at these prices (N,) of this bar; without a FRESH bar at the mark."""
        cash = float(self.cash.dot(self.rate))
        if not self._borrows:
            return cash - float(self.unsettled.dot(self.rate)) if self._later else cash
        held = np.flatnonzero(self.qty)
        known = (bars.status[held] == 0) & (price[held] > 0)
        value = self.qty[held] * np.where(known, price[held], self.mark[held]) * self.unit[held]
        return self._leverage * (cash + float(value.sum())) - float(np.abs(value).sum())

    @property
    def receivable(self) -> float:
        """Dividends that the latest book counts and that are not paid yet, in the base currency."""
        book = self._book
        if book is None:
            return self._receivable
        held = np.flatnonzero(book.qty)
        value = book.qty[held] * book.mark[held] * self.universe.multiplier[held]
        value *= book.rate[self.universe.currency[held]]
        return book.equity - float(book.cash.dot(book.rate)) - float(value.sum())

    def equity(self, bars: Bars) -> tuple[float, Vector]:
        """Equity in the base currency at the closes of this bar, and (N,) base money of one share of each position.

        What is held without a FRESH bar counts at its mark; what is not held is worth NaN a share here.
        """
        held = np.flatnonzero(self.qty)
        unit = np.full(len(self.qty), np.nan)
        unit[held] = np.where(bars.status[held] == 0, bars.close[held], self.mark[held]) * self.unit[held]
        return float(self.cash.dot(self.rate)) + self.receivable + float(self.qty[held].dot(unit[held])), unit

    def fits(
        self, trades: buying.Trades, priced: tuple[Vector, Vector, Matrix], power: float, in_turn: bool = False
    ) -> bool:
        """Whether all of these trades can be paid for; `priced` is what `buying.money` says of them.

        `in_turn`: at no time may they need more, since what comes later in the bar pays for nothing earlier in it. In a
        margin account that is always so: an order that turns a position over comes early and needs much.
        """
        price, out, fees = priced
        in_turn = in_turn or self._borrows
        if self._borrows:
            need = buying.needs(trades, self.qty, price, fees)
        else:
            need = np.maximum(out, 0.0) if self._later else out
        most = np.maximum.reduce(np.add.accumulate(need)) if in_turn else np.add.reduce(need)
        return bool(most <= power)

    def cut(
        self, trades: buying.Trades, whole: Mask, costs: CostModel, power: float, floor: Vector | None = None
    ) -> buying.Cut:
        """What the power allows of each trade: reductions come first and are never cut, see `buying.affordable`."""
        return buying.affordable(trades, whole, self.qty, costs, power, floor)

    def book(self, trades: buying.Trades, out: Vector) -> None:
        """Keeps cash and positions current until the next book says the same; `out` is base money that leaves, (L,)."""
        symbol, cash = trades.symbol, self.cash
        self.qty = self.qty + np.bincount(symbol, weights=trades.qty, minlength=len(self.qty))
        if self._parted:
            self.qty = all_in_lots(self.qty, self.universe.lot)
        if self._later:
            self.unsettled = self._with(self.unsettled, trades, np.minimum(out, 0.0) * (trades.qty < 0))
        if len(cash) == 1:
            self.cash = cash - np.add.reduce(out)
        else:
            self.cash = self._with(cash, trades, out)

    def _with(self, money: Vector, trades: buying.Trades, out: Vector) -> Vector:
        """Money (C,) less what leaves, given in the base currency."""
        currency = self.universe.currency[trades.symbol]
        less: Vector = money - np.bincount(currency, weights=out / trades.rate, minlength=len(money))
        return less

    # ---- state -------------------------------------------------------------------------------------------------------

    _ARRAYS = ("cash", "unsettled", "qty", "mark", "rate")

    def save(self) -> bytes:
        symbols = list(self.universe.symbols)
        arrays = {name: getattr(self, name) for name in self._ARRAYS}
        return pack(_KIND, _VERSION, symbols=symbols, receivable=self.receivable, **arrays)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start flat."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self.universe.symbols
        self.qty, self.mark = placed(fields["qty"], before, now, 0.0), placed(fields["mark"], before, now, np.nan)
        self._book, self._receivable = None, fields["receivable"]
        self.cash, self.unsettled = mutable(fields["cash"]), mutable(fields["unsettled"])
        self._set_rate(mutable(fields["rate"]))
