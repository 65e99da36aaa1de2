"""The parents at work and their children, as two tables: what is ordered, filled, in the market and left."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.execution.horizon import begins_anew
from components.execution.pace import full_lots
from components.execution.rows import Rows, found_in
from components.execution.saying import reports_of
from engine.events import Codes, Fills, Ids, Mask, OpenOrders, OrderState, Reports, Vector
from engine.universe import Universe

_ROUND = 1e-9  # of what was ordered: what sums of parts may add up to
_PARENT: dict[str, Any] = {
    "ids": np.uint64,
    "symbol": np.int32,
    "total": np.float64,
    "filled": np.float64,
    "base": np.float64,  # of it, what was filled before the horizon began (anew)
    "late": np.float64,  # of the total, what was added since; unsigned
    "arrival": np.float64,
    "begun": np.int64,  # instant of the decision with which the horizon began (anew)
    "step": np.int64,  # -1 = waits for the first
    "steps": np.int64,
    "until": np.int64,
    "passed": np.bool_,  # on as it came: it has a price or a moment of its own
    "ending": np.int32,  # OrderState in which it ends once nothing of it is in the market, -1 = it works
}
_CHILD: dict[str, Any] = {"ids": np.uint64, "parent": np.uint64, "left": np.float64, "open": np.bool_, "age": np.int64}
KEPT = 4  # slices for which a child that is over is known: its fills may come behind its report
_CANCELLED, _FINISHED, _REPLACED = (int(s) for s in (OrderState.CANCELLED, OrderState.FINISHED, OrderState.REPLACED))


class Blotter:
    """Two tables, `parents` (P,) and `children` (C,), and sums over them. Shares are signed."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self.parents, self.children = Rows(_PARENT), Rows(_CHILD)

    def __len__(self) -> int:
        return len(self.parents)

    # ---- what they say -----------------------------------------------------------------------------------------------

    @property
    def paced(self) -> Mask:
        """(P,) which work at the policy's pace."""
        mask: Mask = (self.parents["ending"] < 0) & ~self.parents["passed"]
        return mask

    @property
    def unfilled(self) -> Vector:
        left: Vector = self.parents["total"] - self.parents["filled"]
        return left

    @property
    def whole(self) -> Mask:
        """(P,) which are filled to what was ordered."""
        p = self.parents
        mask: Mask = (p["filled"] != 0) & (np.abs(self.unfilled) <= _ROUND * np.abs(p["total"]))
        return mask

    def in_market(self) -> Vector:
        """(P,) shares of children that can still trade."""
        c, total = self.children, np.zeros(len(self.parents))
        row, known = self.parents.find(c["parent"])
        live = known & c["open"]
        np.add.at(total, row[live], c["left"][live])
        return total

    def unsent(self) -> Vector:
        """(P,) shares that are neither filled nor in the market; never of the other side."""
        total = self.parents["total"]
        left = self.unfilled - self.in_market()
        tiny = np.abs(left) <= _ROUND * np.abs(total)
        return np.where(tiny | (left * total < 0), 0.0, left)

    def working(self, ts: int) -> Mask:
        """(P,) which have a step left at the end of the slice of `ts`."""
        p = self.parents
        mask: Mask = self.paced & (p["step"] < p["steps"]) & (ts < p["until"])
        return mask

    def open_parents(self, rows: Mask) -> OpenOrders:
        """These parents, each its own parent, with what they have not filled."""
        p = self.parents
        ids, none = p["ids"][rows], np.full(np.count_nonzero(rows), np.nan)
        kind, left = np.zeros(len(ids), np.int32), self.unfilled[rows]
        return OpenOrders(ids=ids, parent=ids, symbol=p["symbol"][rows], left=left, kind=kind, limit=none, stop=none)

    def children_of(self, parents: Mask) -> Mask:
        """(C,) which are open children of these."""
        mask: Mask = self.children["open"] & np.isin(self.children["parent"], self.parents["ids"][parents])
        return mask

    def in_hand(self, ref: Ids) -> Mask:
        """(R,) which of these name a parent that has a pace, or an open child of one: nobody else amends those."""
        p, c = self.parents, self.children
        paced = p["ids"][~p["passed"]]
        mask: Mask = np.isin(ref, paced) | np.isin(ref, c["ids"][c["open"] & np.isin(c["parent"], paced)])
        return mask

    def in_market_as(self, ref: Ids) -> tuple[Ids, Ids]:
        """The orders that these names stand for at the broker, and their parents; the names themselves where unknown.

        A parent that passed on stands there as its one open child.
        """
        c, order, parent = self.children, ref.copy(), ref.copy()
        at, found = c.find(ref)
        parent[found] = c["parent"][at[found]]
        live = np.flatnonzero(c["open"])
        at, found = found_in(c["parent"][live], ref)
        order[found] = c["ids"][live[at[found]]]
        return order, parent

    # ---- what changes them -------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Once a slice: children that are over, and booked or of slices ago, so that a horizon costs what it sends."""
        c = self.children
        c["age"] = np.where(c["open"], 0, c["age"] + 1)
        gone = ~c["open"] & ((c["left"] == 0) | (c["age"] > KEPT))
        if gone.any():
            c.keep(~gone)

    def fill(self, fills: Fills) -> Mask:
        """Books the fills of children. (P,) which parents are filled whole by it."""
        c, p = self.children, self.parents
        at, found = c.find(fills.order_ids)
        at, qty = at[found], fills.qty[found]
        left, filled = c["left"].copy(), p["filled"].copy()
        np.subtract.at(left, at, qty)
        row, known = p.find(c["parent"][at])
        np.add.at(filled, row[known], qty[known])
        c["left"], p["filled"] = left, filled
        touched = np.zeros(len(p), bool)
        touched[row[known]] = True
        return touched & self.whole

    def report(self, reports: Reports) -> tuple[Reports, ...]:
        """A child that ended is in no market; its fills may come behind. Says which parents were replaced by it."""
        c = self.children
        at, found = c.find(reports.ids)
        at, state, left = at[found], reports.state[found], reports.left[found]
        if not at.size:
            return ()
        changed = state == _REPLACED
        still = c["left"].copy()
        still[at[changed]] = left[changed]
        c["left"] = still
        self._shut(at[state >= _CANCELLED], state[state >= _CANCELLED])
        return self._replaced(c["parent"][at[changed]], left[changed], reports.ts)

    def _replaced(self, ids: Ids, left: Vector, ts: int) -> tuple[Reports, ...]:
        """An order that passed on may trade so much more from now on, and so may its parent."""
        p = self.parents
        at, known = p.find(ids)
        at, left = at[known], left[known]
        at, left = at[p["passed"][at]], left[p["passed"][at]]
        if not at.size:
            return ()
        total = p["total"].copy()
        total[at] = p["filled"][at] + left
        p["total"] = total
        return (reports_of(ts, p["ids"][at], p["symbol"][at], np.full(len(at), _REPLACED, np.int32), left),)

    def refuse(self, ids: Any) -> Mask:
        """Children that nobody takes. (P,) whose they were."""
        at, found = self.children.find(ids)
        at = at[found]
        parents = self.children["parent"][at]
        self._shut(at, np.full(len(at), _CANCELLED, np.int32))
        mask: Mask = np.isin(self.parents["ids"], parents)
        return mask

    def _shut(self, at: Any, state: Codes) -> None:
        """Children that are over; the parent of an order that passed on ends as that did."""
        p = self.parents
        open_, ending = self.children["open"].copy(), p["ending"].copy()
        open_[at] = False
        self.children["open"] = open_
        row, known = p.find(self.children["parent"][at])
        if len(ending):
            mine = known & p["passed"][row]
            ending[row[mine]] = state[mine]
            p["ending"] = ending

    def split(self, symbol: int, ratio: float) -> None:
        """Shares of a symbol after a split, what is left in whole lots."""
        p, c = self.parents, self.children
        rows, lots = p["symbol"] == symbol, self._universe.lot[p["symbol"]]
        left = self.unsent()
        after = np.sign(left) * full_lots(np.abs(left) * ratio, lots)
        if len(c):
            at, _ = p.find(c["parent"])
            child = np.sign(c["left"]) * full_lots(np.abs(c["left"]) * ratio, lots[at])
            c["left"] = np.where(np.isin(c["parent"], p["ids"][rows]), child, c["left"])
        for name in ("filled", "base", "late"):
            p[name] = np.where(rows, p[name] * ratio, p[name])
        p["arrival"] = np.where(rows, p["arrival"] / ratio, p["arrival"])
        p["total"] = np.where(rows, p["filled"] + after + self.in_market(), p["total"])

    def resize(self, at: Any, left: Vector) -> tuple[Mask, Mask]:
        """These rows may trade so much more from now on.

        (P,) which have more than that in the market, and (P,) which grow by so much that their horizon begins anew.
        """
        p, n = self.parents, len(self.parents)
        total, late, base = p["total"].copy(), p["late"].copy(), p["base"].copy()
        late[at] = np.maximum(0.0, late[at] + np.abs(left) - np.abs(self.unfilled[at]))
        total[at] = p["filled"][at] + left
        more, anew = np.zeros(n, bool), np.zeros(n, bool)
        remaining = np.clip(p["steps"] - p["step"], 1, p["steps"])
        anew[at] = begins_anew(late, np.abs(total - base), remaining, p["steps"])[at]
        p["total"], p["late"] = total, np.where(anew, 0.0, late)
        p["base"] = np.where(anew, p["filled"], base)
        more[at] = np.abs(self.in_market()[at]) > np.abs(left)
        return more, anew

    def start(self, rows: Mask, clock: Mapping[str, int]) -> None:
        """The horizon of these begins with a decision."""
        for name, value in clock.items():
            self.parents[name] = np.where(rows, value, self.parents[name])

    def end(self, rows: Mask, state: int) -> Mask:
        """These are to end in this state. (P,) which of them have nothing in the market."""
        p = self.parents
        p["ending"] = np.where(rows & (p["ending"] < 0), state, p["ending"])
        mask: Mask = rows & ~p["passed"] & (self.in_market() == 0)
        return mask

    def finish(self, rows: Mask, ts: int) -> tuple[Reports, ...]:
        """The final report of these parents, if there are any; they and their children are forgotten."""
        if not rows.any():
            return ()
        p = self.parents
        ids, symbol = p["ids"][rows], p["symbol"][rows]
        state = np.where(self.whole, _FINISHED, p["ending"])[rows].astype(np.int32)
        self.children.keep(~np.isin(self.children["parent"], ids))
        p.keep(~rows)
        return (reports_of(ts, ids, symbol, state, np.zeros(len(ids))),)

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {"parents": self.parents.save(), "children": self.children.save()}

    def load(self, saved: Any) -> None:
        self.parents.load(saved["parents"])
        self.children.load(saved["children"])
