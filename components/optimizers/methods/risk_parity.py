"""Every name, or every sector, contributes its budget to risk."""

from typing import Literal

import numpy as np

from components.optimizers.methods.budgeting import Budgets, budgeted
from components.optimizers.methods.room import (
    NO_HISTORY,
    NO_VARIANCE,
    cannot,
    decided,
    moving,
    positive,
    room_of,
    variances,
)
from components.optimizers.paying import Rows
from components.optimizers.problem import Decision, Remark, Situation
from components.optimizers.stating import exposures, marginal
from engine.events import Vector
from engine.universe import Universe


class RiskParity:
    """Weights whose contributions to the risk of the portfolio are as budgeted.

        w_i (S (w + p))_i = lambda b_i,   w_i > 0,   sum w = total

    p is what is held and cannot be traded: its covariances count, its own contribution has no budget. Where no weights
    do that because p offsets too much, the budgets are of the risk of the other names alone (remark `pinned_apart`).
    Budgets are in proportion to `budgets`, 1 for what is not named there, 0 for no weight; with `by: sector` they are
    of sectors, split evenly among the names of each (names in no sector: one sector called `none`). A name above
    `max_weight` is held at it and contributes less. A name of no variance gets no weight (remark `no_variance`).

    Source: Maillard, Roncalli, Teiletche (2010), The properties of equally weighted risk contribution portfolios,
    J. Portfolio Management 36(4); Bruder, Roncalli (2012), Managing risk exposures using the risk budgeting approach.
    """

    needs_risk: bool = True

    def __init__(
        self,
        *,
        universe: Universe,
        budgets: dict[str, float] | None = None,
        by: Literal["symbol", "sector"] = "symbol",
        max_weight: float = 1.0,
        max_invest: float = 1.0,
    ) -> None:
        positive({"max_weight": max_weight, "max_invest": max_invest})
        if by not in ("symbol", "sector"):
            raise ValueError(f"by must be symbol or sector, got {by!r}")
        budgets = budgets or {}
        for key, value in budgets.items():
            if not 0 <= value < np.inf:
                raise ValueError(f"budgets must be at least 0, got {value} for {key}")
            if by == "symbol" and key not in universe.symbols:
                raise ValueError(
                    f"budgets names {key!r}, which is no symbol of the universe; say `by: sector` or leave it"
                )
        self._given, self._by = budgets, by
        self._own = np.array([budgets.get(symbol, 1.0) for symbol in universe.symbols])
        self._max_weight, self._max_invest = max_weight, max_invest

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight)
        if at.risk is None:
            return cannot(NO_HISTORY)
        room, _, remarks = moving(room, variances(at.risk, room.rows))
        if remarks and not len(room.rows):
            return cannot(NO_VARIANCE)
        budget = self._budgets(at, room.rows)
        if isinstance(budget, str):
            return cannot(budget)
        w, taken = np.zeros(len(room.rows)), budget > 0
        if not taken.any() or room.total == 0:
            return decided(at, room, w, remarks)
        rows = room.rows[taken]
        b = budget[taken] / budget[taken].sum()
        pull = marginal(at.risk, room.pinned)[rows]
        task = Budgets(exposures(at.risk)[rows], at.risk.specific[rows], b, pull)
        found = budgeted(task, room.total, self._max_weight)
        if found is None and pull.any():
            found = budgeted(Budgets(task.R, task.d, b, np.zeros(len(rows))), room.total, self._max_weight)
            text = "what cannot be traded offsets too much: budgets are of the risk of the other names alone"
            held = np.flatnonzero(room.pinned)
            apart = Remark(kind="pinned_apart", text=text, symbol=held.astype(np.int32), value=room.pinned[held])
            remarks = (*remarks, apart)
        if found is None:
            return cannot("names offset each other wholly: there is no risk to share")
        w[taken] = found
        return decided(at, room, w, remarks)

    def _budgets(self, at: Situation, rows: Rows) -> Vector | str:
        """(n,) not scaled."""
        if self._by == "symbol":
            return np.asarray(self._own[rows])
        names = (*at.sectors, "none")
        unknown = [key for key in self._given if key not in names]
        if unknown:
            return f"budgets name the sector {unknown[0]!r}, which is none of {', '.join(names)}"
        sector = at.sector[rows]  # -1 is the last, none
        counts = np.bincount(sector % len(names), minlength=len(names))
        each = np.array([self._given.get(name, 1.0) for name in names]) / np.maximum(counts, 1)
        return np.asarray(each[sector])
