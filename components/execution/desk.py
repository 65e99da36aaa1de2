"""The desk: works all parent orders at once, slice by slice, at the pace of a policy. The one home of parents' life."""

from typing import Any

import numpy as np

from components.execution.blotter import Blotter
from components.execution.horizon import (
    NEVER,
    begins_at,
    first_behind,
    hours_for,
    in_hours,
    may_send,
    paced,
    turns,
    window,
)
from components.execution.pace import Market, Pace, Parents, asked_of, saved
from components.execution.saying import children_of, columns_of, legs_of, reports_of, turned_away
from engine.calendar import Sessions
from engine.events import (
    SLICE_DECIDED,
    ActionKind,
    Actions,
    Bars,
    Children,
    Control,
    ControlAction,
    Fills,
    LegAction,
    Mask,
    Note,
    OpenOrders,
    Orders,
    OrderState,
    Out,
    Refusals,
    Reports,
    Status,
    Timer,
    Vector,
)
from engine.ids import OrderIds
from engine.ledger import DUPLICATE
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "execution_desk", 3
_CANCELLED, _EXPIRED, _REPLACED = (int(s) for s in (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REPLACED))
_FRESH = int(Status.FRESH)
_NEW, _CANCEL, _REPLACE = int(LegAction.NEW), int(LegAction.CANCEL), int(LegAction.REPLACE)
_SHUT = ("halted", "reduce_only")  # what the gate says of an order that its mode does not let through


class Desk:
    """Parents in, children out: the same in replay, paper and live.

    A parent is a new leg of the optimizer. In its slice, and in each later one of its horizon, a market order of what
    the pace says is due goes through the gate to the broker, to live for one bar; what that bar leaves of it comes back
    to the parent. When the horizon is over, what is left ends with the parent (Note `unfilled`); so it does at the
    close of the session where the feed knows its sessions, unless the pace spans days (Note `horizon` where that makes
    it shorter). Each parent ends in exactly one final report: FINISHED, EXPIRED or CANCELLED.

    A child is never more than what its parent has left beside what is in the market, never of the other side, and in
    whole lots unless it is all that is left. A new leg of a symbol takes the place of the parent that works there, a
    replace changes what it has left and keeps its clock unless it grows by too much for that, and `halt` and `flatten`
    drop all parents, as does a gate that refuses a child for its mode. Splits change shares as they change open orders.
    Orders with a price or a moment of their own (limit, stop, auctions, ioc, fok, gtd) pass on whole, as they came, and
    their parent ends as they do.

    With `at_once` a child trades at the close of the slice in which it is sent: that one is the first of the horizon,
    the one that ends with the session is the last, and nothing is sent where no slice of trading hours ends.

    Memory: the parents at work, and those children of each that are in the market or were a few slices ago.
    """

    def __init__(
        self,
        *,
        universe: Universe,
        ids: OrderIds,
        name: str,
        pace: Pace,
        sessions: Sessions | None = None,
        at_once: bool = False,
    ) -> None:
        self._universe, self._ids, self._name, self.pace = universe, ids, name, pace
        self.sessions = None if pace.span_days else sessions
        self.lookback = int(getattr(pace, "lookback", 0))
        self._blotter = Blotter(universe)
        n = len(universe)
        self._at_once = at_once
        self._ts = self._now = self._interval_ns = 0  # `_now` is out of hours too
        self._status = np.full(n, Status.MISSING, np.int32)
        self._mark, self._volume = np.full(n, np.nan), np.full(n, np.nan)
        self._waiting: list[Children] = []  # legs that pass on with the next timer

    @property
    def working(self) -> bool:
        """Whether it has a parent, or legs that pass on: then it is woken behind each slice."""
        return len(self._blotter) > 0 or len(self._waiting) > 0

    @property
    def _hours(self) -> Sessions | None:
        return hours_for(self._interval_ns, self.sessions)

    def wakes(self, ts: int) -> tuple[int, ...]:
        """Instants behind `ts` at which it is woken too while it is `working`, whether a bar comes or not: to send what
        waits for an opening, and to take back at a close what no bar came for."""
        return turns(ts, self._hours)

    def open_parents(self) -> OpenOrders:
        """The parents that go on, each its own parent, with what they have not filled: what the optimizer sees.

        One whose horizon is over is not among them: what it could not fill is to be decided anew.
        """
        return self._blotter.open_parents(self._blotter.working(self._now))

    def window(self, ts: int) -> tuple[int, int]:
        """Slices behind `ts` that an order is worked over, and the instant from which on none of it is sent."""
        return window(ts, self.pace.horizon, self._interval_ns, self.sessions, at_once=self._at_once)

    def counts(self, ts: int) -> bool:
        """Whether the slice that ends at `ts` uses up horizons."""
        return in_hours(ts, self._hours)

    # ---- the market --------------------------------------------------------------------------------------------------

    def on_bars(self, bars: Bars, /) -> None:
        """A slice out of hours is a price, and nothing else: no clock goes on, and the pace does not see it."""
        fresh = bars.status == _FRESH
        self._interval_ns, self._now = bars.interval_ns, bars.ts
        self._mark = np.where(fresh, bars.close, self._mark)
        if not self.counts(bars.ts):
            return
        self._ts, self._status = bars.ts, bars.status
        self._volume = np.where(fresh, bars.volume, np.nan)
        parents = self._blotter.parents
        parents["step"] = parents["step"] + 1
        self._tell("on_bars", bars)

    def on_actions(self, actions: Actions, /) -> Out:
        """Splits change what is left; of a symbol that is delisted or renamed every parent ends."""
        blotter, gone = self._blotter, np.zeros(len(self._blotter), bool)
        rows = zip(actions.kind.tolist(), actions.symbol.tolist(), actions.ratio.tolist(), strict=True)
        for kind, symbol, ratio in rows:
            if kind == ActionKind.SPLIT:
                blotter.split(symbol, ratio)
                self._mark = self._mark.copy()
                self._mark[symbol] /= ratio
            elif kind in (ActionKind.DELISTING, ActionKind.SYMBOL_CHANGE):
                gone |= blotter.parents["symbol"] == symbol
        self._tell("on_actions", actions)
        return self._end(gone | (blotter.paced & (blotter.unfilled == 0)), actions.ts)

    # ---- orders ------------------------------------------------------------------------------------------------------

    def on_orders(self, orders: Orders, /) -> Out:
        """Takes parents in; what they send goes out with the timer behind the slice."""
        out: list[Any] = []
        for action, amend in ((_CANCEL, self._cancel), (_REPLACE, self._replace), (_NEW, self._accept)):
            rows = np.flatnonzero(orders.action == action)
            if rows.size:
                out += amend(orders, rows)
        return tuple(out)

    def _accept(self, orders: Orders, rows: Any) -> list[Any]:
        symbol, qty = orders.symbol[rows], orders.qty[rows]
        sound = (symbol >= 0) & (symbol < len(self._universe)) & np.isfinite(qty) & (qty != 0)
        unsound = [] if sound.all() else turned_away(orders, rows[~sound], self._name)
        return unsound + self._take(orders, rows[sound]) if sound.any() else unsound

    def _take(self, orders: Orders, rows: Any) -> list[Any]:
        blotter, symbol = self._blotter, orders.symbol[rows]
        old = blotter.working(orders.ts) & np.isin(blotter.parents["symbol"], symbol)
        out = self._taken_off(old, orders.ts)
        passed = ~paced(orders)[rows]
        clock = self._clock(orders.ts)
        steps = clock["steps"]
        row = {"ids": orders.ids[rows], "symbol": symbol, "total": orders.qty[rows], "ending": -1}
        row |= {"arrival": self._mark[symbol]}
        row |= dict.fromkeys(("filled", "base", "late"), 0.0)
        blotter.parents.add(len(rows), row | clock | {"passed": passed})
        if passed.any():
            self._waiting.append(self._send(orders.ts, columns_of(orders, rows[passed])))
        if steps < self.pace.horizon and not passed.all():
            cut = symbol[~passed]
            text = f"the session leaves {len(cut)} orders {steps} slices of their horizon of {self.pace.horizon}"
            out.append(self._note(orders.ts, "horizon", text, cut, np.full(len(cut), float(steps))))
        return out

    def _clock(self, ts: int) -> dict[str, int]:
        """Of a horizon that begins with a decision at `ts`. What trades at once waits for a slice where it has none."""
        own = self._owns(ts)
        steps, until = self.window(first_behind(ts, self._interval_ns, own=own))
        return {"begun": ts, "step": -1 if self._at_once and not own else 0, "steps": steps, "until": until}

    def _owns(self, ts: int) -> bool:
        """Whether what is sent at `ts` trades in the very slice that ends there."""
        return self._at_once and ts == self._ts

    def _cancel(self, orders: Orders, rows: Any) -> list[Any]:
        parents = self._blotter.parents
        at, found = parents.find(orders.ref[rows])
        self._pass_on(orders, rows[~found])
        mask = np.zeros(len(parents), bool)
        mask[at[found]] = True
        return self._taken_off(mask & (parents["ending"] < 0), orders.ts)

    def _replace(self, orders: Orders, rows: Any) -> list[Any]:
        """A parent may trade so much more from now on; what is of none that works, or of its side, is noted."""
        blotter = self._blotter
        ours = blotter.in_hand(orders.ref[rows])
        self._pass_on(orders, rows[~ours])
        rows = rows[ours]
        at, fits = blotter.parents.find(orders.ref[rows])
        qty = orders.qty[rows]
        fits[fits] = blotter.paced[at[fits]] & (qty[fits] * blotter.unfilled[at[fits]] > 0)
        out: list[Any] = []
        if not fits.all():
            bad = orders.symbol[rows[~fits]]
            text = f"{len(bad)} replaces are of no parent that works, or would change its side"
            out.append(self._note(orders.ts, "replace", text, bad, qty[~fits]))
        at, qty = at[fits], qty[fits]
        if at.size:
            more, anew = blotter.resize(at, qty)
            blotter.start(anew, self._clock(orders.ts))
            out += self._cancel_children(blotter.children_of(more), orders.ts)
            p, state = blotter.parents, np.full(len(at), _REPLACED, np.int32)
            out.append(reports_of(orders.ts, p["ids"][at], p["symbol"][at], state, qty))
        return out

    def _pass_on(self, orders: Orders, rows: Any) -> None:
        """Amendments of what has no pace here go on to the gate and the broker, who say so where it is not open."""
        if rows.size:
            order, parent = self._blotter.in_market_as(orders.ref[rows])
            amended = columns_of(orders, rows) | {"ref": order, "parent": parent}
            self._waiting.append(children_of(orders.ts, amended))

    def on_control(self, control: Control, /) -> Out:
        """`halt` and `flatten` drop what has a pace; what passed on ends as the gate and the broker have it."""
        if control.action not in (ControlAction.HALT, ControlAction.FLATTEN):
            return None
        return self._end(self._blotter.paced, control.ts)

    # ---- what became of children -------------------------------------------------------------------------------------

    def on_fills(self, fills: Fills, /) -> Out:
        if not (len(self._blotter) and fills.order_ids.size):
            return None
        return self._blotter.finish(self._blotter.fill(fills), fills.ts)

    def on_reports(self, reports: Reports, /) -> Out:
        return self._blotter.report(reports)

    def on_refusals(self, refusals: Refusals, /) -> Out:
        """What was refused is tried again in the next slice, unless the gate is shut."""
        rule = np.array(refusals.rule, dtype=object)
        ids = refusals.ids[rule != DUPLICATE]
        if not (len(self._blotter) and ids.size):
            return None
        self._blotter.refuse(ids)
        shut = self._blotter.refuse(refusals.ids[np.isin(rule, _SHUT)])
        return self._end(shut & self._blotter.paced, refusals.ts)

    # ---- the end of a slice ------------------------------------------------------------------------------------------

    def on_timer(self, timer: Timer, /) -> Out:
        """Ends what is over, takes back what still lies in the market, and sends what is due in this slice.

        What is decided at a close or out of hours waits for the next opening, and what is due where a break begins for
        its end. At another instant of no slice, a decision of a slower interval that nobody traded in, children wait
        for the bar that they were sent for, and only horizons that begin with the instant send.
        """
        if timer.name != SLICE_DECIDED:
            return None
        blotter, ts = self._blotter, timer.ts
        out: list[Any] = list(self._waiting)
        self._waiting = []
        blotter.forget()
        out += self._over(ts)
        p, sliced, (begins, opens) = blotter.parents, ts == self._ts, begins_at(ts, self._hours)
        sends = may_send(ts, self._hours)
        if self._at_once:  # at the end of a slice in hours, and nowhere else
            sends, begins = sliced, False
        if opens and not sliced:  # no bar of the day is known yet, so none is missing
            self._status = np.full(len(self._status), Status.FRESH, np.int32)
        every = sliced or begins
        back = ~p["passed"] & (every | (not sends) | (p["ending"] >= 0))
        out += self._cancel_children(blotter.children_of(back), ts)
        sent = self._due(ts, blotter.paced & (every | (p["begun"] == ts))) if sends else None
        return (*out, sent) if sent is not None else tuple(out)

    def _over(self, ts: int) -> list[Any]:
        """Ends what has no step left, and nothing in the market."""
        blotter = self._blotter
        p = blotter.parents
        blotter.end(blotter.paced & ~blotter.working(ts), _EXPIRED)
        gone = (p["ending"] >= 0) & (blotter.in_market() == 0)
        short = gone & (p["ending"] == _EXPIRED) & ~p["passed"]
        symbol, left = p["symbol"][short], blotter.unfilled[short]
        out: list[Any] = list(blotter.finish(gone, ts))
        if symbol.size:
            text = f"{len(symbol)} orders ended with their horizon before they were filled: shares left"
            out.append(self._note(ts, "unfilled", text, symbol, left))
        return out

    def _due(self, ts: int, sending: Mask) -> Children | None:
        """New children of those of these parents (P,) that have something left."""
        p, left = self._blotter.parents, self._blotter.unsent()
        rows = np.flatnonzero(sending & (left != 0))
        if not rows.size:
            return None
        symbol, step = p["symbol"][rows], p["step"][rows]
        parents = Parents(
            ids=p["ids"][rows],
            symbol=symbol,
            total=(p["total"] - p["base"])[rows],
            left=left[rows],
            step=step,
            steps=np.minimum(p["steps"][rows], step + self._slices_left(ts)),
            lot=self._universe.lot[symbol],
            arrival=p["arrival"][rows],
        )
        seen = {"status": self._status, "mark": self._mark, "volume": self._volume}
        market = Market(ts=ts, interval_ns=self._interval_ns, at_once=self._at_once, **seen)
        qty = asked_of(self.pace, parents, market)
        some = np.flatnonzero(qty)
        return self._send(ts, legs_of(parents.ids[some], symbol[some], qty[some])) if some.size else None

    def _slices_left(self, ts: int) -> int:
        """Slices that may still begin before the close, at least one."""
        behind = first_behind(ts, self._interval_ns, own=self._owns(ts))
        return max(1, window(behind, NEVER // 2, self._interval_ns, self.sessions)[0])

    # ---- what goes out -----------------------------------------------------------------------------------------------

    def _send(self, ts: int, columns: dict[str, Any]) -> Children:
        """New children of these parents, which stand in `ids`."""
        parent, count = columns["ids"], len(columns["ids"])
        own = self._ids.following(ts=ts, count=count)
        self._blotter.children.add(
            count, {"ids": own, "parent": parent, "left": columns["qty"], "open": True, "age": 0}
        )
        return children_of(ts, columns | {"ids": own, "ref": parent, "parent": parent})

    def _taken_off(self, rows: Mask, ts: int) -> list[Any]:
        """Cancels parents, and what of them is in the market."""
        return [*self._cancel_children(self._blotter.children_of(rows), ts), *self._end(rows, ts)]

    def _cancel_children(self, which: Mask, ts: int) -> list[Children]:
        rows = np.flatnonzero(which)
        if not rows.size:
            return []
        c, p = self._blotter.children, self._blotter.parents
        at, _ = p.find(c["parent"][rows])
        own = self._ids.following(ts=ts, count=len(rows))
        columns = legs_of(own, p["symbol"][at], np.zeros(len(rows)), action=_CANCEL)
        return [children_of(ts, columns | {"ref": c["ids"][rows], "parent": c["parent"][rows]})]

    def _end(self, rows: Mask, ts: int) -> tuple[Reports, ...]:
        """Cancelled: now, or as soon as nothing of them is in the market."""
        return self._blotter.finish(self._blotter.end(rows, _CANCELLED), ts) if rows.any() else ()

    def _note(self, ts: int, kind: str, text: str, symbol: Any, value: Vector) -> Note:
        return Note(ts=ts, source=self._name, kind=kind, text=text, symbol=symbol, value=value)

    def _tell(self, method: str, event: Any) -> None:
        told = getattr(self.pace, method, None)
        if told is not None:
            told(event)

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        seen: dict[str, Any] = {"status": self._status, "mark": self._mark, "volume": self._volume}
        seen |= {"ts": self._ts, "now": self._now, "interval_ns": self._interval_ns}
        waiting = [{name: getattr(each, name) for name in each.__struct_fields__} for each in self._waiting]
        rest = {"tables": self._blotter.save(), "waiting": waiting, "sent": self._ids.sent, "pace": saved(self.pace)}
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, **seen, **rest)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._ts, self._interval_ns = fields["ts"], fields["interval_ns"]
        self._now = fields.get("now", self._ts)  # older states have none
        self._ids.sent = (fields["sent"][0], fields["sent"][1])
        self._status = placed(fields["status"], before, now, int(Status.MISSING))
        self._mark, self._volume = (placed(fields[name], before, now, np.nan) for name in ("mark", "volume"))
        self._waiting = [Children(**columns) for columns in fields["waiting"]]
        self._blotter.load(fields["tables"])
        if fields["pace"]:
            told: Any = self.pace
            told.load(fields["pace"])
