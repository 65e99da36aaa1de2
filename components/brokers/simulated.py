"""The simulated broker: fills approved orders from bars, no earlier than its named timing allows."""

import math
from typing import Any, Literal, TypeAlias

import numpy as np
from msgspec.structs import replace

from components.brokers import fill_rules as rules
from components.brokers.answers import fills_of, no_fills, report_of
from components.brokers.judging import Account, judge, plain, sellable
from components.brokers.order_states import check_steps
from components.brokers.resting import (
    COLUMNS,
    Resting,
    SeenIds,
    after_bar,
    after_cut,
    constant,
    joined,
    no_orders,
    resting_of,
    row_of,
    taken,
)
from engine.events import (
    DAY_NS,
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    Fills,
    LegAction,
    Mask,
    OrderState,
    Refusals,
    Reports,
    TimeInForce,
    Timer,
    Vector,
)
from engine.protocols import CostModel
from engine.state import mutable, pack, placed, unpack
from engine.universe import Universe

FillTiming: TypeAlias = Literal["next_open", "next_close", "next_vwap", "open_auction", "close_auction", "same_close"]

_AVAILABLE = ("next_open",)
_KIND, _VERSION = "simulated_broker", 1
_FINISHED = int(OrderState.FINISHED)
_SEEN_IDS = 8192  # resubmission concerns the last input: this is several slices of a large universe


class Simulated:
    """Market orders filled from bars; whole shares as sent, slippage and fees from the cost model.

    `fill="next_open"`: an order trades at the open of the first FRESH bar that begins at or after its acceptance. On a
    missing or halted bar, and on one without volume, it rests. What did not trade ends by its time in force: DAY with
    the first session in which a bar began after acceptance (a daily bar is a session of its own, intraday ones end with
    the timer `session_closed`), IMMEDIATE_OR_CANCEL and FILL_OR_KILL with the first bar, GOOD_TILL_DATE with the first
    bar that begins after `expires`.

    What reduces a position trades first, then the rest in order of acceptance; each is cut to the whole lots that the
    buying power left allows, with the proceeds of this bar counted:

        power = cash in the base currency                                        without leverage and shorts
        power = leverage * equity - sum_i |value of position i|, at these opens  otherwise

    The rest of a cut order is cancelled and refused with rule `cash` or `buying_power`; a GOOD_TILL_CANCELLED or
    GOOD_TILL_DATE order rests with it. Reductions are never cut. A sale beyond the position is refused unless `short`.
    Cash in other currencies may become negative: only the sum in the base currency is limited.

    Memory: the open orders, arrays of N and the latest ids, however long the session runs.

    >>> from components.costs.bps import Bps
    >>> from engine.universe import universe_of
    >>> broker = Simulated(universe=universe_of(("A",)), costs=Bps(slippage_bps=10), name="broker", fill="next_open")
    >>> broker.on_book(book(day(0), [50.0], cash=10_000.0))
    >>> broker.on_orders(legs(Approved, day(0), symbol=[0], qty=[100.0]))[0].state  # accepted
    array([0], dtype=int32)
    >>> reports, fills = broker.on_bars(bars(day(1), [52.0], open=[51.0]))
    >>> fills.qty, fills.price, fills.reference
    (array([100.]), array([51.051]), array([51.]))
    """

    def __init__(
        self,
        *,
        universe: Universe,
        costs: CostModel,
        name: str,
        fill: FillTiming,
        short: bool = False,
        leverage: float = 1.0,
    ) -> None:
        if fill not in _AVAILABLE:
            raise ValueError(f"fill {fill!r} is not available; use one of: {', '.join(_AVAILABLE)}")
        if not (math.isfinite(leverage) and leverage >= 1):
            raise ValueError(f"leverage must be finite and at least 1 (times equity), got {leverage}")
        n, c = len(universe), len(universe.currencies)
        self._universe, self._costs, self._name = universe, costs, name
        self._short, self._leverage = short, leverage
        self._margin = short or leverage > 1
        self._orders = no_orders()
        self._seen = SeenIds(_SEEN_IDS)
        self._gone: Mask = np.zeros(n, bool)
        self._cash, self._qty, self._mark = np.zeros(c), np.zeros(n), np.full(n, np.nan)
        self._set_rate(np.ones(c))

    def _set_rate(self, rate: Vector) -> None:
        self._rate, self._symbol_rate = rate, rate[self._universe.currency]
        self._unit = self._symbol_rate * self._universe.multiplier

    def on_book(self, book: Book, /) -> None:
        self._cash, self._qty, self._mark = book.cash, book.qty, book.mark
        if len(book.rate) > 1 and (book.rate != self._rate).any():
            self._set_rate(book.rate)

    # ---- orders ------------------------------------------------------------------------------------------------------

    def _account(self) -> Account:
        lot = self._universe.lot
        return Account(held=self._qty, resting=self._orders, gone=self._gone, lot=lot, short=self._short)

    def on_orders(self, orders: Approved, /) -> tuple[Reports | Refusals, ...]:
        ids: list[int] = orders.ids.tolist()
        if plain(orders, self._account()) and len(set(ids)) == len(ids) and self._seen.isdisjoint(ids):
            return self._accept(orders, None, ids)
        # Cancels and replaces come first: they free what new orders may sell.
        amended = tuple(self._amend(orders, i) for i in np.flatnonzero(orders.action != LegAction.NEW).tolist())
        return amended + self._accept_some(orders)

    def _accept(self, orders: Approved, rows: Any, ids: list[int]) -> tuple[Reports | Refusals, ...]:
        if not ids:
            return ()
        new = resting_of(orders, rows)
        self._orders = joined(self._orders, new)
        self._seen.add(ids)
        return (report_of(new, orders.ts),)

    def _accept_some(self, orders: Approved) -> tuple[Reports | Refusals, ...]:
        """Each new leg on its own. An id that was accepted before is passed over: sent twice is one order."""
        fresh: dict[int, int] = {}
        for i in np.flatnonzero(orders.action == LegAction.NEW).tolist():
            order_id = int(orders.ids[i])
            if order_id not in self._seen:
                fresh.setdefault(order_id, i)
        rows = np.array(list(fresh.values()), np.intp)
        verdict = judge(orders, rows, self._account())
        bad = np.array([bool(rule) for rule in verdict.rule], bool)
        good = rows[~bad]
        out = self._accept(orders, good, orders.ids[good].tolist())
        if not bad.any():
            return out
        why = tuple(rule for rule in verdict.rule if rule)
        return (*out, self._refuse(orders, rows[bad], why, (verdict.value[bad], verdict.threshold[bad])))

    def _amend(self, orders: Approved, i: int) -> Reports | Refusals:
        """A cancel, or a replace of the quantity that may still trade, by the id of the order it speaks of."""
        at, row = np.array([i]), row_of(self._orders, int(orders.ref[i]))
        if row < 0:
            return self._refuse(orders, at, ("not_open",), (np.full(1, np.nan), np.full(1, np.nan)))
        if orders.action[i] == LegAction.CANCEL:
            return self._end(np.array([row]), OrderState.CANCELLED, orders.ts)
        before, wanted = float(self._orders.left[row]), float(orders.qty[i])
        s = int(self._orders.symbol[row])
        lot = self._universe.lot[s : s + 1]
        if not (math.isfinite(wanted) and wanted * before > 0 and rules.whole_lots(orders.qty[at], lot)[0]):
            return self._refuse(orders, at, ("replace_quantity",), (orders.qty[at], np.array([before])))
        after = sellable(self._account(), s) + wanted - before
        if wanted < 0 and not self._short and after < 0:
            return self._refuse(orders, at, ("short",), (np.array([after]), np.zeros(1)))
        left, state = self._orders.left.copy(), self._orders.state.copy()
        check_steps(state[row : row + 1], np.array([OrderState.REPLACED]))
        left[row], state[row] = wanted, OrderState.REPLACED
        self._orders = replace(self._orders, left=left, state=state)
        return report_of(taken(self._orders, np.array([row])), orders.ts)

    def _refuse(self, legs: Any, at: Any, rule: tuple[str, ...], why: tuple[Vector, Vector]) -> Refusals:
        return Refusals(
            ts=legs.ts,
            by=self._name,
            ids=legs.ids[at],
            symbol=legs.symbol[at],
            qty=legs.qty[at],
            rule=rule,
            value=why[0],
            threshold=why[1],
        )

    def _end(self, rows: Any, state: Any, ts: int) -> Reports:
        """Takes rows off the open orders and reports their end."""
        ended = taken(self._orders, rows)
        after = np.empty(len(ended.ids), np.int32)
        after[:] = state
        check_steps(ended.state, after)
        keep = np.ones(len(self._orders.ids), bool)
        keep[rows] = False
        self._orders = taken(self._orders, keep) if keep.any() else no_orders()
        return report_of(replace(ended, state=after, left=np.zeros(len(after))), ts)

    # ---- bars --------------------------------------------------------------------------------------------------------

    def on_bars(self, bars: Bars, /) -> tuple[Reports | Refusals | Fills, ...]:
        orders = self._orders
        if not orders.ids.size:
            return (no_fills(bars.ts),)
        due, reference = rules.next_open(bars, orders.symbol, orders.accepted, orders.until)
        if rules.every(due):
            part, fills, refusals = self._trade(bars, orders, reference)
            if part is None:
                return (self._finish(bars.ts), fills)
            return (*self._settle(bars, part, due), *refusals, fills)
        rows = np.flatnonzero(due)
        if not rows.size:
            return (*self._settle(bars, np.zeros(len(due)), due), no_fills(bars.ts))
        part, fills, refusals = self._trade(bars, taken(orders, rows), reference[rows])
        filled = np.where(due, orders.left, 0.0)
        if part is not None:
            filled[rows] = part
        return (*self._settle(bars, filled, due), *refusals, fills)

    def _trade(
        self, bars: Bars, orders: Resting, reference: Vector
    ) -> tuple[Vector | None, Fills, tuple[Refusals, ...]]:
        """Fills these orders as far as the buying power goes. First comes what filled of each, None = each whole."""
        order = rules.reducing_first(orders.left, self._qty[orders.symbol.astype(np.intp)])
        if order is not None:
            orders, reference = taken(orders, order), reference[order]
        trades = self._trades(orders, reference)
        power = self._power(bars)
        price, out, fees = rules.money(trades, self._costs)
        need = rules.needs(trades, self._qty, price, fees) if self._margin else out
        if np.add.reduce(need) <= power and not (self._margin and rules.repeats(orders.symbol)):
            self._book(trades, out)
            return None, fills_of(bars, orders, trades, price, fees), ()
        whole = orders.tif == TimeInForce.FILL_OR_KILL
        cut = rules.affordable(trades, whole, self._qty, self._costs, power)
        trades = replace(trades, qty=cut.qty)
        price, out, fees = rules.money(trades, self._costs)
        self._book(trades, out)
        filled = cut.qty.copy()
        if order is not None:
            filled[order] = cut.qty
        return filled, fills_of(bars, orders, trades, price, fees), self._refuse_rest(bars.ts, orders, cut)

    def _trades(self, orders: Resting, reference: Vector) -> rules.Trades:
        s = orders.symbol.astype(np.intp)
        return rules.Trades(
            symbol=s,
            qty=orders.left,
            reference=reference,
            unit=self._unit[s],
            multiplier=self._universe.multiplier[s],
            rate=self._symbol_rate[s],
            lot=self._universe.lot[s],
        )

    def _power(self, bars: Bars) -> float:
        """Buying power at the opens of this bar, in the base currency."""
        cash = float(self._cash.dot(self._rate))
        if not self._margin:
            return cash
        held = np.flatnonzero(self._qty)
        price = np.where(bars.status[held] == 0, bars.open[held], self._mark[held])
        value = self._qty[held] * price * self._unit[held]
        return self._leverage * (cash + float(value.sum())) - float(np.abs(value).sum())

    def _book(self, trades: rules.Trades, out: Vector) -> None:
        """Keeps cash and positions current until the next book says the same."""
        symbol, cash, qty = trades.symbol, self._cash, self._qty
        self._qty = qty + np.bincount(symbol, weights=trades.qty, minlength=len(qty))
        if len(cash) == 1:
            self._cash = cash - np.add.reduce(out)
        else:
            currency = self._universe.currency[symbol]
            self._cash = cash - np.bincount(currency, weights=out / trades.rate, minlength=len(cash))

    def _refuse_rest(self, ts: int, orders: Resting, cut: rules.Cut) -> tuple[Refusals, ...]:
        """Refuses what the money did not reach, of the orders that do not rest with it."""
        short = (cut.qty != orders.left) & (after_cut(orders.tif) >= 0)
        if not short.any():
            return ()
        rule = "buying_power" if self._margin else "cash"
        return (
            Refusals(
                ts=ts,
                by=self._name,
                ids=orders.ids[short],
                symbol=orders.symbol[short],
                qty=(orders.left - cut.qty)[short],
                rule=(rule,) * int(short.sum()),
                value=cut.need[short],
                threshold=cut.power[short],
            ),
        )

    def _finish(self, ts: int) -> Reports:
        """All open orders filled whole."""
        orders, self._orders = self._orders, no_orders()
        state = constant(len(orders.ids), _FINISHED, np.int32)
        check_steps(orders.state, state)
        return Reports(ts=ts, ids=orders.ids, symbol=orders.symbol, state=state, left=np.zeros(len(state)))

    def _settle(self, bars: Bars, filled: Vector, due: Mask) -> tuple[Reports, ...]:
        """Ends what is filled, cut or past its time, and keeps the rest."""
        orders = self._orders
        left = orders.left - filled
        begun = orders.accepted <= bars.opened
        state = np.where(begun, after_bar(orders.tif, session_ends=bars.interval_ns >= DAY_NS), np.int32(-1))
        state = np.where(due, after_cut(orders.tif), state)
        state = np.where(orders.until < bars.opened, np.int32(OrderState.EXPIRED), state)
        state = np.where(left == 0, np.int32(OrderState.FINISHED), state)
        ends = state >= 0
        count = orders.count + (filled != 0)
        self._orders = replace(orders, left=left, count=count, seen=orders.seen | begun)
        return (self._end(np.flatnonzero(ends), state[ends], bars.ts),) if ends.any() else ()

    def on_timer(self, timer: Timer, /) -> Reports | None:
        """The close of an intraday session ends the day orders that could have traded in it."""
        if timer.name != "session_closed" or not self._orders.ids.size:
            return None
        ends = (self._orders.tif == TimeInForce.DAY) & self._orders.seen
        return self._end(np.flatnonzero(ends), OrderState.EXPIRED, timer.ts) if ends.any() else None

    # ---- corporate actions and state ---------------------------------------------------------------------------------

    def on_actions(self, actions: Actions, /) -> tuple[Reports, ...]:
        """A split adjusts the quantity of open orders; a delisting or a change of symbol cancels them."""
        out: list[Reports] = []
        for i in range(len(actions.kind)):
            kind, s = ActionKind(int(actions.kind[i])), int(actions.symbol[i])
            rows = np.flatnonzero(self._orders.symbol == s)
            if kind is ActionKind.SPLIT and rows.size:
                out += self._split(rows, float(actions.ratio[i]), actions.ts)
            if kind in (ActionKind.DELISTING, ActionKind.SYMBOL_CHANGE):
                self._gone = self._gone.copy()
                self._gone[s] = True
                if rows.size:
                    out.append(self._end(rows, OrderState.CANCELLED, actions.ts))
        return tuple(out)

    def _split(self, rows: Any, ratio: float, ts: int) -> list[Reports]:
        orders = self._orders
        left, state = orders.left.copy(), orders.state.copy()
        left[rows] = rules.split_quantity(left[rows], ratio, self._universe.lot[orders.symbol[rows]])
        check_steps(state[rows], np.full(len(rows), OrderState.REPLACED))
        state[rows] = OrderState.REPLACED
        self._orders = replace(orders, left=left, state=state)
        none = rows[left[rows] == 0]
        some = rows[left[rows] != 0]
        out = [report_of(taken(self._orders, some), ts)] if some.size else []
        return [*out, self._end(none, OrderState.CANCELLED, ts)] if none.size else out

    def save(self) -> bytes:
        return pack(
            _KIND,
            _VERSION,
            symbols=list(self._universe.symbols),
            orders={name: getattr(self._orders, name) for name in COLUMNS},
            seen=self._seen.save(),
            gone=self._gone,
            qty=self._qty,
            mark=self._mark,
            cash=self._cash,
            rate=self._rate,
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start flat."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        orders = Resting(**fields["orders"])
        self._orders = orders if orders.ids.size else no_orders()
        self._seen.load(fields["seen"])
        self._gone = placed(fields["gone"], before, now, False)
        self._qty, self._mark = placed(fields["qty"], before, now, 0.0), placed(fields["mark"], before, now, np.nan)
        self._cash = mutable(fields["cash"])
        self._set_rate(mutable(fields["rate"]))
