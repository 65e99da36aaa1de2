"""What a bar does to the orders at hand: trades, cuts, triggers and ends, and the events that say so."""

from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from components.brokers import buying
from components.brokers import fill_rules as rules
from components.brokers.account import Account
from components.brokers.answers import fills_of, no_fills, report_of
from components.brokers.blotter import Blotter
from components.brokers.order_states import check_steps
from components.brokers.resting import Resting, Same, after_bar, after_cut, no_orders, taken
from components.brokers.venue import Match, Venue
from engine.events import FEE_KINDS, Codes, Fills, Mask, Matrix, OrderState, Refusals, Reports, TimeInForce, Vector
from engine.protocols import CostModel
from engine.universe import Universe

_TRIGGERED = int(OrderState.TRIGGERED)
_ALL_FINISHED, _NOTHING = Same(int(OrderState.FINISHED), np.int32), Same(0.0, np.float64)


class _Dealt(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What traded of some orders, as columns of these orders."""

    filled: Vector  # signed shares
    fees: Matrix
    poor: Mask  # cut for want of money
    bare: Mask  # a sale cut for want of shares
    memo: Matrix | None = None  # what the cost model asks to be remembered


class _Paid(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What traded of rows in order of execution."""

    fills: Fills
    qty: Vector
    fees: Matrix
    cut: buying.Cut | None  # None = all of it
    memo: Matrix | None
    whole: bool = False  # all orders traded all that they were for


class Dealing:
    """Matches open orders at a venue, as far as volume, position and money go, and settles what becomes of them."""

    def __init__(self, *, universe: Universe, account: Account, venue: Venue, costs: CostModel, name: str) -> None:
        self._universe, self._account, self._venue, self._costs, self._name = universe, account, venue, costs, name
        self._counts = getattr(costs, "on_fills", None)  # of a cost model whose rates depend on what was traded
        self._memo = getattr(costs, "memo", None)  # of one whose fees of an order depend on its earlier fills
        self.blotter = Blotter(len(universe))
        self.floor: Vector | None = None  # (N,) how far down a position may be sold, None = any number of shares
        self.lent = False  # whether that is what can be borrowed

    def at_bar(self) -> tuple[Reports | Refusals | Fills, ...]:
        """What the bar does to all orders at hand; one Fills stands last."""
        if self._venue.turned and (ended := self.end_day(self._venue.bars.ts)) is not None:
            return (ended, *self._deal())
        return self._deal()

    def end_day(self, ts: int) -> Reports | None:
        """Ends the day orders whose session is over."""
        hand = self.blotter.hand
        rows = np.flatnonzero((hand.tif == TimeInForce.DAY) & hand.seen)
        return self.blotter.end(rows, OrderState.EXPIRED, ts) if rows.size else None

    def _deal(self) -> tuple[Reports | Refusals | Fills, ...]:
        """What the bar does to what is left of them."""
        orders, ts = self.blotter.hand, self._venue.bars.ts
        if not orders.ids.size:
            return (no_fills(ts),)
        match = self._venue.match(orders)
        due = match.reference > 0
        if rules.every(due):
            dealt, fills, refusals = self._trade(orders, None, match)
            if dealt is None:
                return (*self._triggers(orders, None, match), self._finish(ts), fills)
        else:
            rows = np.flatnonzero(due)
            if not rows.size:
                return (*self._settle(orders, None, match, None), no_fills(ts))
            dealt, fills, refusals = self._trade(orders, rows, match)
        return (*self._settle(orders, None, match, dealt), *refusals, fills)

    def at_close(self, ts: int) -> tuple[Reports | Refusals | Fills, ...]:
        """What orders that were accepted at the close of the bar trade at it; no Fills where nothing does."""
        rows = np.flatnonzero(self.blotter.hand.accepted == ts)
        if not rows.size:
            return ()
        orders = taken(self.blotter.hand, rows)
        match = self._venue.match(orders, now=True)
        some = np.flatnonzero(match.reference > 0)
        if not some.size:
            return self._settle(orders, rows, match, None)
        dealt, fills, refusals = self._trade(orders, some, match)
        if dealt is None:
            none = np.zeros(len(rows), bool)
            dealt = _Dealt(filled=orders.left, fees=fills.fees, poor=none, bare=none)
        settled = self._settle(orders, rows, match, dealt)
        return (*settled, *refusals, *((fills,) if len(fills.qty) else ()))

    # ---- trades ------------------------------------------------------------------------------------------------------

    def _trade(self, orders: Resting, some: Any, match: Match) -> tuple[_Dealt | None, Fills, tuple[Refusals, ...]]:
        """Trades these rows as far as volume, position and money go. None = all orders traded whole."""
        index = self._sequence(orders.left, some, match)
        part = orders if index is None else taken(orders, index)
        qty, bare = self._rationed(part, _at(match.volume, index))
        if bare is None:
            return self._pay(orders, part, index, match, qty)
        index = np.arange(len(qty)) if index is None else index
        short = np.zeros(len(orders.ids), bool)
        short[index] = bare
        refusals = self._refuse_bare(part, bare, qty)
        keep = np.flatnonzero(qty)  # a cost model is not asked about nothing
        if keep.size:
            dealt, fills, more = self._pay(orders, taken(part, keep), index[keep], match, qty[keep])
            assert dealt is not None  # something was cut
            return replace(dealt, bare=dealt.bare | short), fills, refusals + more
        count, none = len(orders.ids), np.zeros(len(orders.ids), bool)
        fees = np.zeros((count, len(FEE_KINDS)))
        return _Dealt(filled=np.zeros(count), fees=fees, poor=none, bare=short), no_fills(self._venue.bars.ts), refusals

    def _pay(
        self, orders: Resting, part: Resting, index: Any, match: Match, qty: Vector
    ) -> tuple[_Dealt | None, Fills, tuple[Refusals, ...]]:
        """Trades `qty` of `part`, the rows `index` of the orders in order of execution, as far as the money goes."""
        paid = (self._stage if match.phase is None else self._stages)(part, index, match, qty)
        fills, fees, cut, memo = paid.fills, paid.fees, paid.cut, paid.memo
        if paid.whole:
            return None, fills, ()
        none = np.zeros(len(qty), bool)
        bare = none if cut is None else cut.bare
        poor = none if cut is None else (cut.qty != qty) & ~bare
        refusals: tuple[Refusals, ...] = ()
        ends = poor & (after_cut(part.tif) >= 0)
        if cut is not None and np.count_nonzero(ends):
            refusals = (self._refuse(part, ends, qty - cut.qty, (self._account.rule, cut.need, cut.power)),)
        refusals += self._refuse_bare(part, bare, paid.qty)
        spread = (_spread(column, index, len(orders.ids)) for column in (paid.qty, fees, poor, bare, memo))
        filled, fees, poor, bare, memo = spread
        return _Dealt(filled=filled, fees=fees, poor=poor, bare=bare, memo=memo), fills, refusals

    def _stages(self, part: Resting, index: Any, match: Match, qty: Vector) -> _Paid:
        """What trades before the close is paid for before it: nothing that comes later is known then."""
        count, phase = len(qty), _at(match.phase, index)
        early = int(np.count_nonzero(phase != rules.CLOSE))
        if early in (0, count):
            return self._stage(part, index, match, qty)
        index = np.arange(count) if index is None else index
        first = self._stage(taken(part, np.arange(early)), index[:early], match, qty[:early])
        # What was cut then may leave a sale without its shares now.
        rest = taken(part, np.arange(early, count))
        last = self._stage(rest, index[early:], match, qty[early:], bare=first.cut is not None)
        return _together(first, last)

    def _stage(self, part: Resting, index: Any, match: Match, qty: Vector, bare: bool = False) -> _Paid:
        """Trades these rows as far as the money goes, and as far as there are shares where some may be `bare`."""
        account, venue = self._account, self._venue
        symbol, volume = _at(match.symbol, index), _at(match.volume, index)
        limit = None if part.terms is None else part.terms.limit
        when, phase, in_turn, first = match.at, None, False, None
        known = when = when if isinstance(when, int) else _at(when, index)
        if match.phase is not None:
            phase = _at(match.phase, index)
            known = np.where((phase == rules.STOPS) | (phase == rules.LIMITS), 0, when)
            first, in_turn = int(phase[0]), bool(phase[0] != phase[-1])
        at = venue.conditions(symbol, volume, part.spent, known)
        trades = account.trades(symbol, qty, _at(match.reference, index), at, limit)
        power = account.power(venue.bars, venue.price(first))
        priced = price, out, fees = buying.money(trades, self._costs)
        cut = None
        bare = bare or (self.lent and rules.repeats(symbol))
        if bare or not account.fits(trades, priced, power, in_turn=in_turn):
            cut = account.cut(trades, part.tif == TimeInForce.FILL_OR_KILL, self._costs, power, self.floor)
            trades = replace(trades, qty=cut.qty)
            price, out, fees = buying.money(trades, self._costs)
        account.book(trades, out)
        venue.take(symbol, volume, trades.qty)
        fills = fills_of(venue.bars.ts, part, (trades, price, fees), when)
        whole = cut is None and qty is part.left and len(qty) == len(match.reference)
        memo = None
        if self._memo is not None and not whole:
            points = trades.qty if trades.simple else trades.qty * trades.multiplier
            memo = self._memo(points, price, at)
        if self._counts is not None:
            self._counts(fills)
        return _Paid(fills=fills, qty=trades.qty, fees=fees, cut=cut, memo=memo, whole=whole)

    def _refuse_bare(self, part: Resting, bare: Mask, qty: Vector) -> tuple[Refusals, ...]:
        """Refuses what there were no shares for."""
        if not np.count_nonzero(bare):
            return ()
        rest = part.left - qty
        return (self._refuse(part, bare, rest, ("shortable" if self.lent else "short", rest, np.zeros(len(rest)))),)

    def _refuse(self, orders: Resting, rows: Mask, qty: Vector, why: tuple[str, Any, Any]) -> Refusals:
        rule, value, threshold = why
        return Refusals(
            ts=self._venue.bars.ts,
            by=self._name,
            ids=orders.ids[rows],
            symbol=orders.symbol[rows],
            qty=qty[rows],
            rule=(rule,) * int(np.count_nonzero(rows)),
            value=value[rows],
            threshold=threshold[rows],
        )

    def _sequence(self, left: Vector, some: Any, match: Match) -> Any:
        """The rows that trade in the order in which they do, None = all as they stand."""
        symbol, phase = _at(match.symbol, some), _at(match.phase, some)
        order = rules.sequence(_at(left, some), self._account.qty[symbol], phase)
        if order is None:
            return some
        return order if some is None else some[order]

    def _rationed(self, part: Resting, volume: Codes | None) -> tuple[Vector, Mask | None]:
        """What volume and position leave of each, and which sales the position cut; None = all of all of them."""
        held = None if self.floor is None or part.terms is None else self._account.qty - self.floor
        if held is None and not self._venue.limits_volume:
            return part.left, None
        symbol = part.symbol.astype(np.intp)
        wanted = rules.Wanted(
            symbol=symbol,
            qty=part.left,
            whole=part.tif == TimeInForce.FILL_OR_KILL,
            lot=self._universe.lot[symbol],
            place=symbol,
        )
        qty, bare = self._venue.rationed(wanted, volume, held)
        return (part.left, None) if rules.every(qty == part.left) else (qty, bare)

    # ---- what becomes of the orders ----------------------------------------------------------------------------------

    def _finish(self, ts: int) -> Reports:
        """All orders at hand traded whole."""
        orders = self.blotter.hand
        self.blotter.hand = no_orders()
        count = len(orders.ids)
        state = _ALL_FINISHED(count)
        if np.count_nonzero(orders.state):  # what was only accepted may always finish
            check_steps(orders.state, state)
        orders.ids.setflags(write=False)
        orders.symbol.setflags(write=False)
        return Reports(ts=ts, ids=orders.ids, symbol=orders.symbol, state=state, left=_NOTHING(count))

    def _triggers(self, orders: Resting, rows: Any, match: Match) -> tuple[Reports, ...]:
        """Orders at hand that this bar triggered, before anything of them trades."""
        if match.terms is None or orders.terms is None:
            return ()
        now = np.flatnonzero(match.terms.triggered & ~orders.terms.triggered)
        if not now.size:
            return ()
        at = now if rows is None else rows[now]
        self.blotter.step(at, _TRIGGERED)
        return (report_of(taken(self.blotter.hand, at), self._venue.bars.ts),)

    def _settle(self, orders: Resting, rows: Any, match: Match, dealt: _Dealt | None) -> tuple[Reports, ...]:
        """Ends what is filled, cut or past its time, and keeps the rest. `rows` are the places of `orders` at hand."""
        bars, venue, blotter, tif = self._venue.bars, self._venue, self.blotter, orders.tif
        out = self._triggers(orders, rows, match)
        seen = venue.begun(orders, match.chance)
        applies = np.where(tif == TimeInForce.DAY, seen, match.chance)
        state = np.where(applies, after_bar(tif, session_ends=venue.last), np.int32(-1))
        missed = venue.missed(orders, match.chance)
        if missed is not None:
            state = np.where(missed, np.int32(OrderState.EXPIRED), state)
        left, count = orders.left, orders.count
        if dealt is not None:
            left, count = left - dealt.filled, count + (dealt.filled != 0)
            state = np.where(dealt.poor, after_cut(tif), state)
            state = np.where(dealt.bare, np.int32(OrderState.CANCELLED), state)
        state = np.where(orders.until < bars.ts, np.int32(OrderState.EXPIRED), state)
        state = np.where(left == 0, np.int32(OrderState.FINISHED), state)
        blotter.put(rows, {"left": left, "count": count, "seen": seen}, match.terms)
        ends = state >= 0
        if dealt is not None:
            rests = np.flatnonzero((dealt.filled != 0) & ~ends)
            if rests.size:
                at = rests if rows is None else rows[rests]
                blotter.spend(at, dealt.filled[rests], dealt.fees[rests], _at(dealt.memo, rests))
        if np.count_nonzero(ends):
            at = np.flatnonzero(ends)
            out = (*out, blotter.end(at if rows is None else rows[at], state[ends], bars.ts))
        blotter.rest()
        return out


def _together(first: _Paid, last: _Paid) -> _Paid:
    """One after the other."""
    cut, memo = None, None
    if first.cut is not None or last.cut is not None:
        cut = _joined(*(paid.cut or _uncut(paid.qty) for paid in (first, last)))
    if first.memo is not None and last.memo is not None:
        memo = np.concatenate([first.memo, last.memo])
    qty, fees = np.concatenate([first.qty, last.qty]), np.concatenate([first.fees, last.fees])
    return _Paid(fills=_joined(first.fills, last.fills), qty=qty, fees=fees, cut=cut, memo=memo)


def _uncut(qty: Vector) -> buying.Cut:
    none = np.zeros(len(qty))
    return buying.Cut(qty=qty, need=none, power=none, bare=np.zeros(len(qty), bool))


def _joined(first: Any, last: Any) -> Any:
    """The rows of two structs of columns; what is no column stays as in the first."""
    columns = {name: getattr(first, name) for name in first.__struct_fields__}
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            columns[name] = np.concatenate([column, getattr(last, name)])
    return type(first)(**columns)


def _at(column: Any, index: Any) -> Any:
    """These rows of a column, all where there is no index; None stays None."""
    return column if column is None or index is None else column[index]


def _spread(part: Any, index: Any, count: int) -> Any:
    """Rows at their places among `count`, zero elsewhere."""
    if part is None or index is None:
        return part
    whole = np.zeros((count, *part.shape[1:]), part.dtype)
    whole[index] = part
    return whole
