"""How well parent orders were executed: each beside the market over its own horizon, and all of them together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from components.execution.blotter import KEPT
from components.execution.horizon import begins_anew
from components.execution.rows import Rows
from engine.events import (
    ActionKind,
    Actions,
    Bars,
    Book,
    Children,
    Event,
    Fills,
    LegAction,
    OrderKind,
    Orders,
    OrderState,
    Reports,
    Vector,
)
from engine.ids import id_text
from engine.universe import Universe

PricePoint: TypeAlias = Literal["open", "close", "vwap"]
Window: TypeAlias = Callable[[int], tuple[int, int]]  # slices, and the instant after which none counts
Counts: TypeAlias = Callable[[int], bool]  # whether the slice that ends at an instant uses up horizons

ENDS = ("finished", "expired", "cancelled", "open")
FIGURES = ("fill_ratio", "pa_twap_bps", "pa_vwap_bps", "arrival_bps", "pos_twap", "pos_vwap")
WEIGHTS = ("orders", "shares", "value")
_NEW, _REPLACED, _OPEN = int(LegAction.NEW), int(OrderState.REPLACED), ENDS.index("open")
_ENDS = [int(s) for s in (OrderState.FINISHED, OrderState.CANCELLED, OrderState.EXPIRED)]
_END = {OrderState.FINISHED: 0, OrderState.EXPIRED: 1, OrderState.CANCELLED: 2}
_PARENT: dict[str, Any] = {
    "ids": np.uint64,
    "ts": np.int64,
    "symbol": np.int32,
    "asked": np.float64,
    "filled": np.float64,
    "paid": np.float64,
    "arrival": np.float64,
    "unit": np.float64,  # base money for a point and share, at the rates of the decision
    "end": np.int32,
    "left": np.int64,
    "until": np.int64,  # slices of the horizon that have not been seen, and its last instant
    "steps": np.int64,
    "base": np.float64,
    "late": np.float64,  # slices of it, what was filled before it began (anew), and what was added since
    "bars": np.float64,
    "prices": np.float64,
    "money": np.float64,
    "volume": np.float64,
}
_CHILD: dict[str, Any] = {
    "ids": np.uint64,
    "parent": np.uint64,
    "left": np.float64,
    "over": np.bool_,
    "age": np.int64,  # slices since it was over
}
_FOREVER = 2**63 - 1


def as_long_as_it_lives(ts: int) -> tuple[int, int]:
    """The window of a policy that says nothing of its horizon: until the parent ends."""
    del ts
    return _FOREVER, _FOREVER


def every_slice(ts: int) -> bool:
    """What a policy that says nothing of trading hours counts."""
    del ts
    return True


class ExecutionFold:
    """Folds the events of a session, in bus order, into one row a parent.

        price   = sum of fill quantity times price / filled
        twap    = mean of p_j,   vwap = sum of v_j p_j / sum of v_j   over the bars j of its horizon
        pa      = -side (price / base - 1) 10^4    base = twap or vwap; above 0 is better than the base
        arrival =  side (price / mark at the decision - 1) 10^4                 above 0 is a cost

    p_j is the open, close or vwap of a bar: the point at which the broker trades, the close where its kind has none.
    Bars count that are FRESH and not without volume: one in which nobody traded has no price to be measured by.
    Bars out of trading hours are none of a horizon.
    The horizon of a parent is all of it, bars after it was filled too, up to the end of one that was cancelled.
    Keyed by parent: two of one symbol are two rows. Orders that pass on with a price of their own are left out.
    A parent that is replaced is asked for what it filled and may still fill; the fill ratio, filled / asked, of one
    that was cancelled or is still open is not defined. Memory: a row a parent.
    """

    def __init__(
        self,
        *,
        universe: Universe,
        interval_ns: int,
        point: PricePoint = "close",
        window: Window = as_long_as_it_lives,
        counts: Counts = every_slice,
    ) -> None:
        self._counts = counts
        self._universe, self._interval_ns, self._point, self._window = universe, interval_ns, point, window
        self._parents, self._children = Rows(_PARENT), Rows(_CHILD)
        self._mark: Vector = np.full(len(universe), np.nan)
        self._rate: Vector = np.ones(len(universe.currencies))
        self._done: list[dict[str, Any]] = []
        self._table: Mapping[type[Any], Callable[[Any], None]] = {
            Bars: self._on_bars,
            Book: self._on_book,
            Orders: self._on_orders,
            Children: self._on_children,
            Fills: self._on_fills,
            Reports: self._on_reports,
            Actions: self._on_actions,
        }

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        """Takes one completed run of the bus: it fits where a recorder does."""
        del origins
        for event in events:
            take = self._table.get(event.__class__)
            if take is not None:
                take(event)

    # ---- events ------------------------------------------------------------------------------------------------------

    def _on_bars(self, bars: Bars) -> None:
        if bars.interval_ns != self._interval_ns:
            return
        self._put_away()
        self._forget()
        self._mark = np.where(bars.status == 0, bars.close, self._mark)
        if not self._counts(bars.ts):
            return
        p = self._parents
        if not len(p):
            return
        symbol = p["symbol"]
        price, volume = getattr(bars, self._point)[symbol], bars.volume[symbol]
        runs = (p["left"] > 0) & (bars.ts <= p["until"])
        seen = runs & (bars.status[symbol] == 0) & (price > 0) & (volume != 0)
        traded = seen & (volume > 0)
        p["left"] = np.where(runs, p["left"] - 1, 0)
        p["bars"] = p["bars"] + seen
        p["prices"] = p["prices"] + np.where(seen, price, 0.0)
        p["money"] = p["money"] + np.where(traded, price * volume, 0.0)
        p["volume"] = p["volume"] + np.where(traded, volume, 0.0)

    def _on_book(self, book: Book) -> None:
        self._rate = book.rate

    def _on_orders(self, orders: Orders) -> None:
        paced = (orders.action == _NEW) & (orders.kind == OrderKind.MARKET)
        paced &= (
            (orders.symbol >= 0) & (orders.symbol < len(self._universe)) & np.isfinite(orders.qty) & (orders.qty != 0)
        )
        rows = np.flatnonzero(paced)
        slices, until = self._window(orders.ts)
        symbol = orders.symbol[rows]
        begun = {"ids": orders.ids[rows], "ts": orders.ts, "symbol": symbol, "asked": orders.qty[rows], "end": _OPEN}
        zeros = dict.fromkeys(("filled", "paid", "bars", "prices", "money", "volume", "base", "late"), 0.0)
        unit = self._universe.multiplier[symbol] * self._rate[self._universe.currency[symbol]]
        clock = {"arrival": self._mark[symbol], "unit": unit, "left": slices, "steps": slices, "until": until}
        self._parents.add(len(rows), begun | zeros | clock)

    def _on_children(self, children: Children) -> None:
        new = children.action == _NEW
        _, known = self._parents.find(children.parent[new])
        ids, parent = children.ids[new][known], children.parent[new][known]
        fresh = {"left": children.qty[new][known], "over": False, "age": 0}
        self._children.add(len(ids), fresh | {"ids": ids, "parent": parent})

    def _on_fills(self, fills: Fills) -> None:
        at, found = self._children.find(fills.order_ids)
        if not found.any():
            return
        p, c = self._parents, self._children
        left = c["left"].copy()
        np.subtract.at(left, at[found], fills.qty[found])
        c["left"] = left
        row, known = p.find(c["parent"][at[found]])
        qty, price = fills.qty[found][known], fills.price[found][known]
        filled, paid = p["filled"].copy(), p["paid"].copy()
        np.add.at(filled, row[known], qty)
        np.add.at(paid, row[known], qty * price)
        p["filled"], p["paid"] = filled, paid

    def _on_reports(self, reports: Reports) -> None:
        self._follow(reports)
        p = self._parents
        at, found = p.find(reports.ids)
        if not found.any():
            return
        rows = zip(at[found].tolist(), reports.state[found].tolist(), reports.left[found].tolist(), strict=True)
        asked, end, left = p["asked"].copy(), p["end"].copy(), p["left"].copy()
        for row, state, rest in rows:
            if state == _REPLACED:
                asked[row] = self._amended(row, rest, reports.ts)
                left[row] = p["left"][row]
            elif state in _END:
                end[row] = _END[OrderState(state)]
                if state == OrderState.CANCELLED or left[row] > _FOREVER // 2:
                    left[row] = 0
        p["asked"], p["end"], p["left"] = asked, end, left

    def _amended(self, row: int, rest: float, ts: int) -> float:
        """What a parent is asked for that may trade so much more; its horizon begins anew where the desk says so."""
        p = self._parents
        filled, late, left = p["filled"][row], p["late"].copy(), p["left"][row]
        late[row] = max(0.0, late[row] + abs(rest) - abs(p["asked"][row] - filled))
        if 0 < left < _FOREVER // 2:
            base, steps = p["base"].copy(), p["steps"].copy()
            if begins_anew(late[row], abs(filled + rest - base[row]), left, steps[row]):
                until, still = p["until"].copy(), p["left"].copy()
                still[row], until[row] = self._window(ts)
                steps[row], base[row], late[row] = still[row], filled, 0.0
                p["left"], p["until"], p["steps"], p["base"] = still, until, steps, base
        p["late"] = late
        return float(filled + rest)

    def _follow(self, reports: Reports) -> None:
        """Children that are over; their fills may come behind."""
        c = self._children
        at, found = c.find(reports.ids)
        if not found.any():
            return
        at, state, left = at[found], reports.state[found], c["left"].copy()
        over = c["over"].copy()
        over[at[np.isin(state, _ENDS)]] = True
        amended = state == _REPLACED
        left[at[amended]] = reports.left[found][amended]
        c["over"], c["left"] = over, left

    def _forget(self) -> None:
        """Children that are over, and booked or of slices ago: a horizon costs what it sends."""
        c = self._children
        if not len(c):
            return
        c["age"] = np.where(c["over"], c["age"] + 1, 0)
        gone = (c["left"] == 0) | (c["age"] > KEPT)
        if gone.any():
            c.keep(~gone)

    def _on_actions(self, actions: Actions) -> None:
        p = self._parents
        for i in np.flatnonzero(actions.kind == ActionKind.SPLIT).tolist():
            ratio, symbol = float(actions.ratio[i]), int(actions.symbol[i])
            self._mark = self._mark.copy()
            self._mark[symbol] /= ratio
            scale = np.where(p["symbol"] == symbol, ratio, 1.0)
            c = self._children
            row, known = p.find(c["parent"])
            if known.any():
                c["left"] = c["left"] * np.where(known, scale[row], 1.0)
            for name in ("asked", "filled", "volume", "base", "late"):
                p[name] = p[name] * scale
            for name in ("arrival", "prices"):
                p[name] = p[name] / scale

    def _put_away(self) -> None:
        """Parents that ended, and whose horizon is over."""
        over = (self._parents["end"] != _OPEN) & (self._parents["left"] <= 0)
        if over.any():
            self._done.append({name: column[over] for name, column in self._parents.save().items()})
            self._children.keep(~np.isin(self._children["parent"], self._parents["ids"][over]))
            self._parents.keep(~over)

    # ---- what they say -----------------------------------------------------------------------------------------------

    def table(self) -> dict[str, Any]:
        """One row a parent, in the order of decision. For execution.parquet."""
        parts = [*self._done, self._parents.save()]
        c = {name: np.concatenate([part[name] for part in parts]) for name in _PARENT}
        order = np.argsort(c["ts"], kind="stable")
        c = {name: column[order] for name, column in c.items()}
        side = np.sign(c["asked"])
        with np.errstate(invalid="ignore", divide="ignore"):
            price, twap, vwap = c["paid"] / c["filled"], c["prices"] / c["bars"], c["money"] / c["volume"]
            closed = c["end"] <= ENDS.index("expired")
            row = {
                "asked": c["asked"],
                "filled": c["filled"],
                "price": price,
                "arrival": c["arrival"],
                "twap": twap,
                "vwap": vwap,
                "fill_ratio": np.where(closed, c["filled"] / c["asked"], np.nan) + 0.0,  # no -0 of a sale
                "pa_twap_bps": -side * (price / twap - 1) * 1e4,
                "pa_vwap_bps": -side * (price / vwap - 1) * 1e4,
                "arrival_bps": side * (price / c["arrival"] - 1) * 1e4,
                "value": np.abs(c["paid"]) * c["unit"],
                "asked_value": np.abs(c["asked"]) * c["arrival"] * c["unit"],
            }
        symbols = np.array(self._universe.symbols, dtype=object)[c["symbol"]].tolist()
        ends = [ENDS[end] for end in c["end"].tolist()]
        ids = [id_text(order) for order in c["ids"].tolist()]
        return {"ts": c["ts"], "order": ids, "symbol": symbols, "end": ends} | row

    def slices(self) -> dict[str, Any]:
        """One row a slice in which parents were decided, its figures by each weight. For execution_slices.parquet."""
        table = self.table()
        ts, first, count = np.unique(table["ts"], return_index=True, return_counts=True)
        found: dict[str, Any] = {"ts": ts, "orders": count.astype(np.int64)}
        for figure, by_weight in averaged(table, first).items():
            found |= {f"{figure}_by_{weight}": values for weight, values in by_weight.items()}
        return found

    def figures(self) -> dict[str, Any]:
        """What all parents say together, ready for JSON: None = undefined."""
        table = self.table()
        ends = {name: table["end"].count(name) for name in ENDS}
        said: dict[str, Any] = {"orders": len(table["ts"]), **ends}
        return (
            said
            | {"shares": float(np.abs(table["filled"]).sum()), "value": float(table["value"].sum())}
            | averages(table)
        )


def averages(table: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Each figure of these parents, averaged by orders, by shares and by value; the shares of positive PA by orders.

        x = sum of w_i x_i / sum of w_i   over the parents where x is defined

    w = 1, |shares|, or |value|: those filled, and for the fill ratio those asked for, at the mark of the decision.
    Value is base money: multipliers and the exchange rates of the decision are in it.

    >>> one = {"asked": np.array([10.0, -30.0]), "filled": np.array([10.0, -15.0]), "value": np.array([100.0, 300.0])}
    >>> one |= dict.fromkeys(("pa_vwap_bps", "arrival_bps", "asked_value"), np.array([1.0, 1.0]))
    >>> found = averages(one | {"fill_ratio": np.array([1.0, 0.5]), "pa_twap_bps": np.array([4.0, -4.0])})
    >>> found["fill_ratio"]["shares"], found["pa_twap_bps"]["value"], found["pos_twap"]["orders"]
    (0.625, -2.0, 0.5)
    """
    found = averaged(table, np.zeros(min(1, len(table["asked"])), np.intp))

    def plain(values: Vector) -> float | None:
        return float(values[0]) if len(values) and np.isfinite(values[0]) else None

    return {figure: {name: plain(mean) for name, mean in each.items()} for figure, each in found.items()}


def averaged(table: Mapping[str, Any], first: Any) -> dict[str, dict[str, Vector]]:
    """The same of each stretch of parents that begins at a place of `first` (S,): (S,) values, NaN = undefined."""
    asked, filled = np.abs(table["asked"]), np.abs(table["filled"])
    found: dict[str, dict[str, Vector]] = {}
    for figure in FIGURES[:4]:
        ratio = figure == "fill_ratio"
        shares, value = (asked, table["asked_value"]) if ratio else (filled, table["value"])
        weights = dict(zip(WEIGHTS, (np.ones(len(asked)), shares, value), strict=True))
        found[figure] = {name: _means(table[figure], weight, first) for name, weight in weights.items()}
    for base in ("twap", "vwap"):
        pa = table[f"pa_{base}_bps"]
        found[f"pos_{base}"] = {"orders": _means(np.where(np.isnan(pa), np.nan, pa > 0), np.ones(len(pa)), first)}
    return found


def _means(values: Vector, weights: Vector, first: Any) -> Vector:
    if not len(first):
        return np.empty(0)
    known = np.isfinite(values) & np.isfinite(weights)
    sums = np.add.reduceat(np.where(known, values * weights, 0.0), first)
    total = np.add.reduceat(np.where(known, weights, 0.0), first)
    means: Vector = np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)
    return means
