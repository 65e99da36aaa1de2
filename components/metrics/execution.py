"""How well parent orders were executed: each beside the market over its own horizon, and all of them together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from components.execution.horizon import begins_anew, first_behind, paced
from components.execution.rows import Rows
from components.metrics.execution_means import BASES, averaged, averages, compared, figures_of
from components.metrics.execution_slices import Worked
from engine.events import (
    ActionKind,
    Actions,
    Bars,
    Book,
    Children,
    Event,
    Fills,
    LegAction,
    Orders,
    OrderState,
    Reports,
    Vector,
)
from engine.ids import id_text
from engine.universe import Universe

PricePoint: TypeAlias = Literal["open", "close", "vwap", "own_close"]  # the last: that of the slice of the decision
Window: TypeAlias = Callable[[int], tuple[int, int]]  # slices, and the instant after which none counts
Counts: TypeAlias = Callable[[int], bool]  # whether the slice that ends at an instant uses up horizons

ENDS = ("finished", "expired", "cancelled", "open")
FIGURES = figures_of(BASES)
_NEW, _REPLACED, _OPEN = int(LegAction.NEW), int(OrderState.REPLACED), ENDS.index("open")
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
    "scale": np.float64,  # shares of now for one of the day it ended
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
    Keyed by parent: two of one symbol are two rows. What passes on, with a price or a moment of its own, is left out.
    A parent that is replaced is asked for what it filled and may still fill; the fill ratio, filled / asked, of one
    that was cancelled or is still open is not defined. Memory: a row a parent.

    Shares and prices are those of the day on which a parent ended: a split changes what is still open.

    With the point `own_close`, where the broker trades at the close of the very slice (`same_close`), the bars of a
    horizon begin with that of the decision, the last of a session too: j = t ... t + T - 1. Otherwise, and where nobody
    traded in the slice of the decision, or it is out of hours, with the one behind it: j = t + 1 ... t + T.
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
        self._universe, self._interval_ns, self._window = universe, interval_ns, window
        self._at_once = point == "own_close"
        self._point = "close" if self._at_once else point
        self._bars: Bars | None = None  # the latest
        self._held: Bars | None = None  # the same, where its close is still to be counted
        self._parents, self._children = Rows(_PARENT), Worked(self._point)
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
        self._close()
        counts = self._counts(bars.ts)
        if counts and not self._at_once:
            self._count(bars, np.ones(len(self._parents), bool))
        self._put_away()
        self._children.on_bars(bars)
        self._mark = np.where(bars.status == 0, bars.close, self._mark)
        self._bars = bars if counts else None
        self._held = self._bars if self._at_once else None

    def _close(self) -> None:
        """The latest slice has been decided: which parents were worked in it, and at its close."""
        bars = self._bars
        if bars is None:
            return
        if self._window(bars.ts - 1)[1] == bars.ts:  # at the end of a session nothing is sent: it waits for the next
            return
        self._work(bars.ts)
        self._count_held()

    def _work(self, ts: int) -> None:
        """A row for this slice, where a parent is at work."""
        p = self._parents
        if ts <= self._children.latest or not len(p):
            return
        rows = (p["end"] == _OPEN) & (p["left"] > 0) & (p["until"] > ts) & (p["ts"] <= ts)
        if rows.any():
            asked = np.abs(p["asked"] - p["filled"])[rows].sum()
            self._children.begin(ts, int(rows.sum()), int((p["ts"][rows] > self._children.latest).sum()), float(asked))

    def _count_held(self) -> None:
        """The bar at whose close parents were worked, of those that still were when they could send."""
        bars, self._held = self._held, None
        if bars is not None:
            p = self._parents
            self._count(bars, p["ts"] <= bars.ts)

    def _count(self, bars: Bars, rows: Any) -> None:
        """One bar of the horizon of these parents, as far as it goes."""
        p = self._parents
        if not len(p):
            return
        symbol = p["symbol"]
        price, volume = getattr(bars, self._point)[symbol] * p["scale"], bars.volume[symbol] / p["scale"]
        runs = rows & (p["left"] > 0) & (bars.ts <= p["until"] - self._at_once)  # nothing is sent at the end itself
        seen = runs & (bars.status[symbol] == 0) & (price > 0) & (volume != 0)
        traded = seen & (volume > 0)
        p["left"] = np.where(runs, p["left"] - 1, np.where(rows, 0, p["left"]))
        p["bars"] = p["bars"] + seen
        p["prices"] = p["prices"] + np.where(seen, price, 0.0)
        p["money"] = p["money"] + np.where(traded, price * volume, 0.0)
        p["volume"] = p["volume"] + np.where(traded, volume, 0.0)

    def _behind(self, ts: int) -> int:
        """The instant behind which the slices of a horizon end that begins at `ts`."""
        own = self._at_once and self._bars is not None and self._bars.ts == ts
        return first_behind(ts, self._interval_ns, own=own)

    def _on_book(self, book: Book) -> None:
        self._rate = book.rate

    def _on_orders(self, orders: Orders) -> None:
        known = (orders.symbol >= 0) & (orders.symbol < len(self._universe))
        sound = known & np.isfinite(orders.qty) & (orders.qty != 0)
        rows = np.flatnonzero((orders.action == _NEW) & paced(orders) & sound)
        slices, until = self._window(self._behind(orders.ts))
        symbol = orders.symbol[rows]
        begun = {"ids": orders.ids[rows], "ts": orders.ts, "symbol": symbol, "asked": orders.qty[rows], "end": _OPEN}
        zeros = dict.fromkeys(("filled", "paid", "bars", "prices", "money", "volume", "base", "late"), 0.0)
        unit = self._universe.multiplier[symbol] * self._rate[self._universe.currency[symbol]]
        zeros["scale"] = 1.0
        clock = {"arrival": self._mark[symbol], "unit": unit, "left": slices, "steps": slices, "until": until}
        self._parents.add(len(rows), begun | zeros | clock)

    def _on_children(self, children: Children) -> None:
        new = np.flatnonzero(children.action == _NEW)
        row, known = self._parents.find(children.parent[new])
        new, row = new[known], row[known]
        if not new.size:
            return
        bars, p = self._bars, self._parents
        self._work(children.ts)
        self._count_held()
        now = bars if self._at_once and bars is not None and bars.ts == children.ts else None
        columns = {"mark": self._mark[p["symbol"][row]], "arrival": p["arrival"][row], "unit": p["unit"][row]}
        self._children.send(children, new, columns, now)

    def _on_fills(self, fills: Fills) -> None:
        parent, qty, price = self._children.fill(fills)
        if not len(parent):
            return
        p = self._parents
        row, known = p.find(parent)
        row, qty, price = row[known], qty[known], price[known]
        filled, paid = p["filled"].copy(), p["paid"].copy()
        np.add.at(filled, row, qty / p["scale"][row])
        np.add.at(paid, row, qty * price)
        p["filled"], p["paid"] = filled, paid

    def _on_reports(self, reports: Reports) -> None:
        self._children.follow(reports)
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
                still[row], until[row] = self._window(self._behind(ts))
                steps[row], base[row], late[row] = still[row], filled, 0.0
                p["left"], p["until"], p["steps"], p["base"] = still, until, steps, base
        p["late"] = late
        return float(filled + rest)

    def _on_actions(self, actions: Actions) -> None:
        self._close()
        p = self._parents
        for i in np.flatnonzero(actions.kind == ActionKind.SPLIT).tolist():
            ratio, symbol = float(actions.ratio[i]), int(actions.symbol[i])
            self._mark = self._mark.copy()
            self._mark[symbol] /= ratio
            own, ended = p["symbol"] == symbol, p["end"] != _OPEN
            self._children.split(symbol, ratio)
            p["scale"] = p["scale"] * np.where(own & ended, ratio, 1.0)
            scale = np.where(own & ~ended, ratio, 1.0)
            for name in ("asked", "filled", "volume", "base", "late"):
                p[name] = p[name] * scale
            for name in ("arrival", "prices"):
                p[name] = p[name] / scale

    def _put_away(self) -> None:
        """Parents that ended, and whose horizon is over."""
        over = (self._parents["end"] != _OPEN) & (self._parents["left"] <= 0)
        if over.any():
            self._done.append({name: column[over] for name, column in self._parents.save().items()})
            self._children.forget(self._parents["ids"][over])
            self._parents.keep(~over)

    # ---- what they say -----------------------------------------------------------------------------------------------

    def table(self) -> dict[str, Any]:
        """One row a parent, in the order of decision. For execution.parquet."""
        self._close()
        parts = [*self._done, self._parents.save()]
        c = {name: np.concatenate([part[name] for part in parts]) for name in _PARENT}
        order = np.argsort(c["ts"], kind="stable")
        c = {name: column[order] for name, column in c.items()}
        with np.errstate(invalid="ignore", divide="ignore"):
            c |= {"twap": c["prices"] / c["bars"], "vwap": c["money"] / c["volume"]}
        found = compared(c, BASES)
        row = {name: c[name] for name in ("asked", "filled")} | {"price": found.pop("price")}
        row |= {name: c[name] for name in ("arrival", "twap", "vwap")} | found
        row["fill_ratio"] = np.where(c["end"] <= ENDS.index("expired"), row["fill_ratio"], np.nan)
        row["asked_value"] = np.abs(c["asked"]) * c["arrival"] * c["unit"]
        symbols = np.array(self._universe.symbols, dtype=object)[c["symbol"]].tolist()
        ends = [ENDS[end] for end in c["end"].tolist()]
        ids = [id_text(order) for order in c["ids"].tolist()]
        return {"ts": c["ts"], "order": ids, "symbol": symbols, "end": ends} | row

    def decisions(self) -> dict[str, Any]:
        """One row a slice in which parents were decided, and how they fared. For execution_decisions.parquet."""
        table = self.table()
        ts, first, count = np.unique(table["ts"], return_index=True, return_counts=True)
        found: dict[str, Any] = {"ts": ts, "orders": count.astype(np.int64)}
        for figure, by_weight in averaged(table, first).items():
            found |= {f"{figure}_by_{weight}": values for weight, values in by_weight.items()}
        return found

    def slices(self) -> dict[str, Any]:
        """One row a slice in which parents were worked, and how its children fared. For execution_slices.parquet."""
        self._close()
        return self._children.columns()

    def figures(self) -> dict[str, Any]:
        """What all parents say together, ready for JSON: None = undefined."""
        table = self.table()
        ends = {name: table["end"].count(name) for name in ENDS}
        said: dict[str, Any] = {"orders": len(table["ts"]), **ends}
        said |= {"shares": float(np.abs(table["filled"]).sum()), "value": float(table["value"].sum())}
        return said | averages(table) | {"slices": self._children.figures()}
