"""What each symbol earned: realised, unrealised, fees, borrow and income, in the base currency."""

from typing import Any

import numpy as np

from engine.events import Book, Charges, Matrix, Vector
from engine.universe import Universe

PNL_COLUMNS = ("realised", "unrealised", "fees", "borrow", "income", "interest", "translation", "total")
_EARNED = np.array([1.0, 1.0, -1.0, -1.0, 1.0])  # how realised, unrealised, fees, charges and income add up


class SymbolPnl:
    """P&L of each symbol, every movement at the exchange rate of its own instant.

        total_i = realised_i + unrealised_i - fees_i - borrow_i + income_i
        equity - cash at start = sum_i total_i + interest + translation

    Between two changes of rates everything is valued at the rate of then; what the changes themselves did to the
    account is `translation`, told apart as the ledger tells it. Realised P&L is against the average cost, before
    fees; borrow is what was charged for a symbol without a trade. Interest is of no symbol.
    Memory: six arrays of N, twelve where rates change.
    """

    def __init__(self, universe: Universe) -> None:
        n, c = len(universe), len(universe.currencies)
        self._universe = universe
        self._charged = np.zeros(n)  # since the start, in the symbol's currency
        self._rate = np.ones(c)
        self._settled: Matrix | None = None  # (5, N) up to the last change of rates, base currency
        self._since = np.zeros((5, n))  # the parts at that change, own currency
        self._interest, self._interest_since = 0.0, np.zeros(c)

    def on_charges(self, charges: Charges) -> None:
        for s, amount in zip(charges.symbol.tolist(), charges.amount.tolist(), strict=True):
            if s >= 0:
                self._charged[s] -= amount

    def revalue(self, book: Book | None, rate: Vector) -> None:
        """Rates (C,) change after this book: what came so far is settled at those of before."""
        if book is not None:
            self._settled, self._interest = self._valued(book)
            self._since, self._interest_since = self._parts(book), np.array(book.interest)
        self._rate = np.array(rate)

    def table(self, book: Book | None) -> dict[str, Any]:
        """PNL_COLUMNS as of this book for each symbol (N,) and, last, for what is of no symbol: (N + 1,) each."""
        n = len(self._universe)
        parts, interest = (np.zeros((5, n)), 0.0) if book is None else self._valued(book)
        columns = {name: np.append(part, 0.0) for name, part in zip(PNL_COLUMNS[:5], parts, strict=True)}
        columns["interest"] = np.append(np.zeros(n), interest)
        columns["translation"] = np.append(np.zeros(n), 0.0 if book is None else book.translation)
        columns["total"] = np.append(_EARNED @ parts, 0.0) + columns["interest"] + columns["translation"]
        return columns

    def _parts(self, book: Book) -> Matrix:
        """(5, N) since the start, in the symbol's currency."""
        held = np.flatnonzero(book.qty)
        unrealised = np.zeros(len(book.qty))
        gain = (book.mark[held] - book.entry[held]) * self._universe.multiplier[held]
        unrealised[held] = book.qty[held] * gain
        return np.array([book.realised, unrealised, book.fees - self._charged, self._charged, book.income])

    def _valued(self, book: Book) -> tuple[Matrix, float]:
        """The parts (5, N) and the interest, base currency."""
        parts = (self._parts(book) - self._since) * self._rate[self._universe.currency]
        interest = self._interest + float((book.interest - self._interest_since) @ self._rate)
        return parts if self._settled is None else parts + self._settled, interest

    _PLAIN = ("_rate", "_interest", "_interest_since")

    def state(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self._PLAIN}
        return plain | {"charged": self._charged, "settled": self._settled, "since": self._since}

    def restore(self, state: dict[str, Any]) -> None:
        """Names that were appended to the universe since have earned nothing."""
        n = len(self._universe)
        for name in self._PLAIN:
            setattr(self, name, state[name])
        self._charged = _wide(state["charged"], n)
        self._since = _wide(state["since"], n)
        self._settled = None if state["settled"] is None else _wide(state["settled"], n)


def _wide(array: Any, n: int) -> Any:
    """A copy with zeros for the names that are new, on the last axis."""
    new = [(0, 0)] * (array.ndim - 1) + [(0, n - array.shape[-1])]
    return np.pad(array, new)
