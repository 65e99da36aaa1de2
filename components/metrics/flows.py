"""What trades and charges moved since the last row: traded value, costs and income by kind, in the base currency."""

from typing import Any

import numpy as np

from engine.events import FEE_KINDS, Book, ChargeKind, Charges, Fills, Vector
from engine.universe import Universe

COST_KINDS = (*FEE_KINDS, "slippage", "borrow", "margin_interest", "other")
INCOME_KINDS = ("cash_interest", "dividends")
_KINDS = (*COST_KINDS, *INCOME_KINDS)
_FEES, _SLIPPAGE, _COSTS = len(FEE_KINDS), len(FEE_KINDS), len(COST_KINDS)
_DIVIDENDS = _KINDS.index("dividends")
_PLACE = tuple(_KINDS.index(kind.name.lower()) for kind in ChargeKind)  # column of each kind of charge


class Flows:
    """Sums since the last `take`, each movement at the exchange rate of its own instant.

        traded = sum |qty| price unit           slippage = sum qty (price - reference) unit

    unit = multiplier times rate of the symbol. Costs are positive where money was paid, income where it was received.
    `units` (N,) is None where all are one, as most often.
    """

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self.traded = 0.0
        self.unpriced = 0  # fills without a market price beside them, since the start
        self.moved = np.zeros(len(_KINDS))
        self.rate = np.ones(len(universe.currencies))
        self.units = _units(universe.multiplier)
        self._income: Vector = np.zeros(len(universe))  # of the latest book

    def revalue(self, rate: Vector) -> None:
        """Takes new exchange rates (C,)."""
        self.rate = np.array(rate)
        self.units = _units(self._universe.multiplier * rate[self._universe.currency])

    def on_fills(self, fills: Fills) -> None:
        symbol, qty = fills.symbol, fills.qty
        price, reference, moved = fills.price, fills.reference, self.moved
        if self.units is None:
            moved[:_FEES] += np.add.reduce(fills.fees)
        else:
            unit = self.units[symbol]
            price, reference = price * unit, reference * unit
            moved[:_FEES] += (unit / self._universe.multiplier[symbol]) @ fills.fees  # fees are money already
        self.traded += float(np.abs(qty) @ price)
        slippage = float(qty @ (price - reference))
        if slippage != slippage:
            known = ~np.isnan(reference)
            self.unpriced += int(np.count_nonzero(~known))
            slippage = float(qty[known] @ (price - reference)[known])
        moved[_SLIPPAGE] += slippage

    def on_charges(self, charges: Charges) -> None:
        columns = (charges.kind.tolist(), charges.currency.tolist(), charges.amount.tolist())
        for kind, currency, amount in zip(*columns, strict=True):
            place = _PLACE[kind]
            money = amount * self.rate.item(currency)
            self.moved[place] += money if place >= _COSTS else -money

    def on_book(self, book: Book) -> None:
        """Dividends are what a book's income has grown by: the ledger replaces its columns when they change."""
        income = book.income
        if income is not self._income:
            grown = income - self._income
            self._income = income
            if grown.any():
                self.moved[_DIVIDENDS] += float(grown @ book.rate[self._universe.currency])

    def take(self) -> tuple[float, list[float]]:
        """Traded value and the sums in the order of COST_KINDS and INCOME_KINDS; both begin again at zero."""
        traded, moved = self.traded, self.moved.tolist()
        self.traded = 0.0
        self.moved[:] = 0.0
        return traded, moved

    def state(self) -> dict[str, Any]:
        return {
            "traded": self.traded,
            "unpriced": self.unpriced,
            "moved": self.moved,
            "rate": self.rate,
            "income": self._income,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Names that were appended to the universe since have earned nothing."""
        self.traded, self.unpriced, self.moved = state["traded"], state["unpriced"], np.array(state["moved"])
        self._income = np.concatenate([state["income"], self._income[len(state["income"]) :]])
        self.revalue(state["rate"])


def _units(money: Vector) -> Vector | None:
    """Base currency per point and share of each symbol (N,); None where all are one."""
    return None if (money == 1.0).all() else money
