"""The simulated broker: fills approved orders from bars, no earlier than its named timing allows."""

from typing import Any, Literal

import numpy as np

from components.brokers.account import Account
from components.brokers.amending import Refused, amended, rows_to_cancel, unfit
from components.brokers.answers import report_of
from components.brokers.dealing import Dealing
from components.brokers.hours import Depth, Hours, WhenClosed
from components.brokers.judging import Standing, judge, plain
from components.brokers.margin_call import Margin
from components.brokers.order_states import check_steps
from components.brokers.resting import SeenIds, taken
from components.brokers.settlement import Settlement
from components.brokers.upkeep import Demand, Upkeep
from components.brokers.venue import FillTiming, Venue
from engine.actions import check_actions
from engine.calendar import Sessions
from engine.events import (
    SESSION_CLOSED,
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    Charges,
    Fills,
    LegAction,
    Mask,
    Note,
    OrderState,
    Reference,
    Refusals,
    Reports,
    Timer,
    Vector,
)
from engine.nested import costs_of, financing_of
from engine.protocols import Bookkeeping, CostModel, Financing, Stateful
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "simulated_broker", 3
_DIVIDENDS, _FRACTIONS = ("paid", "ignored"), ("cash", "lost")
_SEEN_IDS = 8192  # resubmission concerns the last input: this is several slices of a large universe


class Simulated:
    """Orders of every kind filled from bars; whole shares as sent, slippage and fees from the cost model.

    `fill` names the price point of a bar at which the market trades with the orders; the page on fills shows each, bar
    by bar. On a missing or halted bar, and on one without volume, an order rests. What did not trade ends by its time
    in force: DAY with the first session in which a bar began after acceptance (a daily bar is a session of its own,
    intraday ones end with their calendar or the timer `session_closed`, else with the UTC date), IMMEDIATE_OR_CANCEL
    and FILL_OR_KILL with the first price point that they were in time for, GOOD_TILL_DATE with the first bar that ends
    after `expires`.

    Within a bar what trades at its open comes first, then stops, then limits, then the close, and each knows only
    prices and money of what came before. At one instant what reduces a position trades first, then the rest in order
    of acceptance; all orders of a symbol share `participation` of its volume, and each is cut to the whole lots that
    the buying power left allows, with the proceeds of earlier trades counted:

        power = cash in the base currency                                        without leverage and shorts
        power = leverage * equity - sum_i |value of position i|, at these prices  otherwise

    What the volume does not reach rests or ends by the time in force. What the money does not reach is cancelled and
    refused with rule `cash` or `buying_power`; a GOOD_TILL_CANCELLED or GOOD_TILL_DATE order rests with it. Reductions
    are never cut. A sale beyond the position is refused unless `short`, and cut to the position when it trades.
    Cash in other currencies may become negative: only the sum in the base currency is limited.

    `price_limit` is the share of the last close beyond which nobody takes the other side; columns `limit_up` and
    `limit_down` of the feed go before it. `touch` fills limit orders at a touch. `when_closed: next_open` is for
    `same_close`: what is sent while the market is shut meets the open of the next session first.

    `dividends: ignored` pays none and charges none; with `fractions: lost` what a split leaves below a lot is gone.

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

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        costs: CostModel,
        name: str,
        fill: FillTiming,
        sessions: Sessions | None = None,
        when_closed: WhenClosed = "same",
        short: bool = False,
        leverage: float = 1.0,
        maintenance: float | None = None,
        settlement_days: int = 0,
        financing: tuple[Financing, ...] = (),
        participation: float | None = None,
        price_limit: float | None = None,
        touch: bool = False,
        open_cutoff: str = "2min",
        close_cutoff: str = "10min",
        dividends: Literal["paid", "ignored"] = "paid",
        fractions: Literal["cash", "lost"] = "cash",
    ) -> None:
        for option, said, known in (("dividends", dividends, _DIVIDENDS), ("fractions", fractions, _FRACTIONS)):
            if said not in known:
                raise ValueError(f"{option} must be {' or '.join(known)}, got {said!r}")
        self.bookkeeping = Bookkeeping(dividends=dividends == "paid", fractions=fractions == "cash")
        costs, financing = costs_of(costs), tuple(map(financing_of, financing))
        self._settlement = Settlement(days=settlement_days, sessions=sessions)
        hours = Hours(sessions=sessions, when_closed=when_closed, open_cutoff=open_cutoff, close_cutoff=close_cutoff)
        depth = Depth(participation=participation, price_limit=price_limit, touch=touch)
        self._venue = Venue(universe=universe, fill=fill, hours=hours, depth=depth)
        self._universe, self._costs, self._name = universe, costs, name
        margin = Margin(short=short, leverage=leverage, maintenance=maintenance)
        self._account = Account(universe=universe, margin=margin, later=settlement_days > 0)
        self._upkeep = Upkeep(account=self._account, name=name, financing=financing, opens=fill != "next_open")
        self._dealing = Dealing(universe=universe, account=self._account, venue=self._venue, costs=costs, name=name)
        self._dealing.floor = None if short else np.zeros(len(universe))
        self._learns = getattr(costs, "on_bars", None)  # of a cost model that keeps estimates
        self._adjusts = getattr(costs, "on_actions", None)
        self._unlearnt: Bars | None = None
        self._seen = SeenIds(_SEEN_IDS)
        self._gone: Mask = np.zeros(len(universe), bool)
        self._single = bool((universe.lot == 1.0).all())

    def on_book(self, book: Book, /) -> None:
        self._account.on_book(book)
        if not self._upkeep.idle:
            self._upkeep.on_book(book)

    def on_reference(self, reference: Reference, /) -> tuple[Reports | Refusals | Fills | Note, ...]:
        """`rates` count at once; a new list of what is `shortable` may take sales back."""
        self._account.on_reference(reference)
        demand = self._upkeep.on_reference(reference, self._dealing.blotter)
        self._borrow()
        return () if demand is None else self._meet(demand)

    # ---- orders ------------------------------------------------------------------------------------------------------

    def _standing(self) -> Standing:
        floor, held = self._dealing.floor, self._account.qty
        free = None
        if floor is not None:
            sold = self._dealing.blotter.sales()
            free = held - floor if self._dealing.lent else held
            free = free if sold is None else free + sold
        return Standing(
            held=held,
            free=free,
            floor=floor,
            gone=self._gone,
            lot=self._universe.lot,
            tick=self._universe.tick,
            single=self._single,
            auctions=self._venue.knows_auctions,
            lent=self._dealing.lent,
            busy=self._upkeep.busy(self._dealing.blotter),
        )

    def on_orders(self, orders: Approved, /) -> tuple[Reports | Refusals | Fills, ...]:
        ids: list[int] = orders.ids.tolist()
        if plain(orders, self._standing()) and len(set(ids)) == len(ids) and not self._known(ids):
            out = self._accept(orders, None, ids)
        else:
            # Cancels and replaces come first: they free what new orders may sell.
            out = self._amend(orders) + self._accept_some(orders)
        if self._venue.trades_now(orders.ts):
            out += self._dealing.at_close(orders.ts)
            if self._settlement.days:
                out = self._settlement.stamped(out, self._venue.bars.interval_ns)
        return out

    def _known(self, ids: list[int]) -> set[int]:
        """Which of these ids were accepted before: the latest ones, and all whose order is open."""
        return self._seen.among(ids) | self._dealing.blotter.among(ids)

    def _accept(self, orders: Approved, rows: Any, ids: list[int]) -> tuple[Reports | Refusals | Fills, ...]:
        if not ids:
            return ()
        new = self._dealing.blotter.accept(orders, rows)
        self._seen.add(ids)
        return (report_of(new, orders.ts),)

    def _accept_some(self, orders: Approved) -> tuple[Reports | Refusals | Fills, ...]:
        """Each new leg on its own. An id that was accepted before is passed over: sent twice is one order."""
        fresh: dict[int, int] = {}
        known = self._known(orders.ids.tolist())
        for i in np.flatnonzero(orders.action == LegAction.NEW).tolist():
            order_id = int(orders.ids[i])
            if order_id not in known:
                fresh.setdefault(order_id, i)
        rows = np.array(list(fresh.values()), np.intp)
        verdict = judge(orders, rows, self._standing())
        bad = np.array([bool(rule) for rule in verdict.rule], bool)
        good = rows[~bad]
        out = self._accept(orders, good, orders.ids[good].tolist())
        if not bad.any():
            return out
        why = tuple(rule for rule in verdict.rule if rule)
        return (*out, self._refuse(orders, rows[bad], why, (verdict.value[bad], verdict.threshold[bad])))

    def _amend(self, orders: Approved) -> tuple[Reports | Refusals, ...]:
        """Cancels, all at once, then replaces one by one, by the ids of the orders they speak of."""
        changes = np.flatnonzero(orders.action != LegAction.NEW)
        if not changes.size:
            return ()
        blotter = self._dealing.blotter
        blotter.wake_ids(orders.ref[changes])
        out: tuple[Reports | Refusals, ...] = ()
        bad = unfit(orders, changes, blotter, self._upkeep.own)
        if bad:
            out = tuple(self._refuse_leg(orders, leg, why) for leg, why in bad.items())
            changes = np.array([leg for leg in changes.tolist() if leg not in bad], np.intp)
        cancels = orders.action[changes] == LegAction.CANCEL
        out += self._cancel(orders, changes[cancels])
        replaces = changes[~cancels].tolist()
        places = blotter.rows_of(orders.ref[replaces].tolist())
        for leg, row in zip(replaces, places, strict=True):
            out += (self._replace(orders, leg, row),)
        return out

    def _cancel(self, orders: Approved, legs: Any) -> tuple[Reports | Refusals, ...]:
        rows, unknown = rows_to_cancel(orders, legs.tolist(), self._dealing.blotter)
        out: tuple[Reports | Refusals, ...] = ()
        if rows:
            out = (self._dealing.blotter.end(np.array(rows), OrderState.CANCELLED, orders.ts),)
        if unknown:
            none = np.full(len(unknown), np.nan)
            out += (self._refuse(orders, np.array(unknown), ("not_open",) * len(unknown), (none, none)),)
        return out

    def _replace(self, orders: Approved, leg: int, row: int) -> Reports | Refusals:
        blotter = self._dealing.blotter
        if row < 0:
            return self._refuse_leg(orders, leg, Refused(rule="not_open", value=np.nan, threshold=np.nan))
        found = amended(orders, leg, blotter.hand, row, self._standing())
        if isinstance(found, Refused):
            return self._refuse_leg(orders, leg, found)
        check_steps(blotter.hand.state[row : row + 1], found.state[row : row + 1])
        blotter.hand = found
        return report_of(taken(found, np.array([row])), orders.ts)

    def _refuse_leg(self, legs: Approved, leg: int, why: Refused) -> Refusals:
        numbers = np.array([why.value]), np.array([why.threshold])
        return self._refuse(legs, np.array([leg]), (why.rule,), numbers)

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

    # ---- bars --------------------------------------------------------------------------------------------------------

    def on_bars(self, bars: Bars, /) -> tuple[Charges | Reports | Refusals | Note | Fills, ...]:
        if self._unlearnt is not None:
            self._learn(self._unlearnt)
        self._venue.begin(bars, self._account.mark)
        self._dealing.blotter.wake(bars)
        out = self._dealing.at_bar() if self._upkeep.idle else self._upheld(bars)
        if self._settlement.days:
            out = self._settlement.stamped(out, bars.interval_ns)
        if self._learns is not None:
            # A fill is not priced with its own bar, and under same_close more of this bar's fills may follow.
            if self._venue.fill == "same_close":
                self._unlearnt = bars
            else:
                self._learn(bars)
        return out

    def _upheld(self, bars: Bars) -> tuple[Any, ...]:
        """What the bar does to the orders, between the charges for the days before and what its closes demand."""
        charges = self._upkeep.charges(bars)
        *out, fills = self._dealing.at_bar()
        for demanded in (self._upkeep.recall, self._upkeep.call):
            demand = demanded(bars, self._dealing.blotter)
            if demand is not None:
                out += self._meet(demand)
        return (*charges, *out, fills)

    def _meet(self, demand: Demand) -> tuple[Any, ...]:
        """Cancels what the broker does not let stand, and takes in its own orders."""
        blotter = self._dealing.blotter
        blotter.wake_ids(demand.cancels)
        rows = blotter.rows_of(demand.cancels.tolist())
        out: tuple[Any, ...] = ()
        if rows:
            out = (blotter.end(np.array(rows), OrderState.CANCELLED, demand.note.ts),)
        return (*out, *self._accept(demand.orders, None, demand.orders.ids.tolist()), demand.note)

    def _borrow(self) -> None:
        """Sales go down to what can be borrowed, where there is a list of it."""
        if self._upkeep.floor is not None:
            self._dealing.floor, self._dealing.lent = self._upkeep.floor, True

    def _learn(self, bars: Bars) -> None:
        self._unlearnt = None
        if self._learns is not None:
            self._learns(bars)

    def on_timer(self, timer: Timer, /) -> Reports | None:
        """The close of an intraday session ends the day orders that could have traded in it."""
        if timer.name != SESSION_CLOSED:
            return None
        self._venue.told()
        return self._dealing.end_day(timer.ts)

    # ---- corporate actions and state ---------------------------------------------------------------------------------

    def on_actions(self, actions: Actions, /) -> tuple[Reports, ...]:
        """A split adjusts quantity and prices of open orders; a delisting or a change of symbol cancels them."""
        out: list[Reports] = []
        blotter = self._dealing.blotter
        check_actions(self._name, actions, self._universe)
        for i in range(len(actions.kind)):
            kind, s = ActionKind(int(actions.kind[i])), int(actions.symbol[i])
            if kind is ActionKind.CASH_DIVIDEND:
                continue
            blotter.wake_symbol(s)
            rows = np.flatnonzero(blotter.hand.symbol == s)
            if kind is ActionKind.SPLIT:
                self._venue.split(s, float(actions.ratio[i]))
                self._upkeep.split(s, float(actions.ratio[i]))
                if rows.size:
                    out += blotter.split(rows, float(actions.ratio[i]), self._universe, actions.ts)
            else:
                self._gone = self._gone.copy()
                self._gone[s] = True
                if rows.size:
                    out.append(blotter.end(rows, OrderState.CANCELLED, actions.ts))
        blotter.rest()
        self._borrow()
        if self._adjusts is not None:
            if self._unlearnt is not None:  # that bar was before these actions
                self._learn(self._unlearnt)
            self._adjusts(actions)
        return tuple(out)

    def save(self) -> bytes:
        return pack(
            _KIND,
            _VERSION,
            symbols=list(self._universe.symbols),
            orders=self._dealing.blotter.save(),
            seen=self._seen.save(),
            gone=self._gone,
            account=self._account.save(),
            upkeep=self._upkeep.save(),
            venue=self._venue.save(),
            costs=self._costs.save() if isinstance(self._costs, Stateful) else None,
            unlearnt=self._unlearnt is not None,  # the bar itself is the venue's
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start flat."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._dealing.blotter.load(fields["orders"])
        self._seen.load(fields["seen"])
        self._gone = placed(fields["gone"], before, now, False)
        self._account.load(fields["account"])
        self._upkeep.load(fields["upkeep"], before, now)
        self._borrow()
        self._venue.load(fields["venue"], before, now)
        if isinstance(self._costs, Stateful):
            self._costs.load(fields["costs"])
        self._unlearnt = self._venue.kept if fields["unlearnt"] else None
