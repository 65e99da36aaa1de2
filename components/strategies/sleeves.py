"""Capital in sleeves: several strategies, each with a part of the account of its own, netted into one target."""

from typing import Any

import numpy as np

from components.optimizers.paying import unit_value
from components.strategies.nested import Nested
from components.strategies.sleeve import DUST, Sleeve, crossed, divided, exact, in_parts, no_fees
from engine.barrier import followed
from engine.errors import StateError
from engine.events import (
    ActionKind,
    Actions,
    Bars,
    Book,
    ChargeKind,
    Charges,
    Codes,
    Fills,
    Mode,
    Note,
    Signal,
    Status,
    Target,
    TargetKind,
    Vector,
)
from engine.open_orders import frozen
from engine.protocols import Strategy
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "sleeves", 2


class Sleeves:
    """Each strategy inside trades a sleeve: its share of capital, with cash, positions and equity of its own.

        sum of the sleeves' positions = the positions of the account        sum of their equities = its equity

    A strategy inside sees the book of its sleeve: what it holds, its part of working orders, its cash (dividends count
    from the ex-date on) and its equity; open orders are not listed. It may name its own `signal`. What all of them want
    is added up to one target in shares, with the mean alpha by capital over those that have one, and the first limit
    and stop price of each symbol. A strategy that answers None stays with its last target, which follows splits,
    delistings and changes of symbol.

    Where sleeves want to trade a FRESH symbol in opposite ways, they trade with each other at the mark of t, without
    costs; only what is left goes to the market. Its fills are divided among the sleeves that still want them, in
    proportion, at their price and with their fees. What nobody asked for (a liquidation, a fraction of a split) is
    divided among those whose position it reduces, else by capital. Dividends and borrow fees go by position, interest
    by cash of that sign; money that nothing explains, such as fractions that a broker keeps, by capital.

    `shares` are the capital of each in the order of `strategies`, in proportion, all the same unless given; `names` are
    what notes call them. Every `rebalance_every` slices, 0 = never, cash moves between the sleeves so that their
    equities have those shares again. A Note `sleeve` tells the equity of each at every slice, and `sleeve:moved` before
    it the cash that came in since; behind a target `wants:KIND@NAME` tells what a sleeve wants other than before, in
    the units of its target (weight, quantity, value), and `crossed@NAME` the signed shares that it traded with others.
    Sleeves of negative equity go on: what their strategies do then is theirs to say.

    >>> from engine.universe import universe_of
    >>> from components.strategies.equal_weight import EqualWeight
    >>> from components.strategies.sign import Sign
    >>> one = universe_of(("A",))
    >>> both = Sleeves(strategies=(EqualWeight(universe=one, name="a"), Sign(universe=one, name="b", short=True)),
    ...     universe=one, name="both", shares=(3.0, 1.0))
    >>> _ = both.on_bars(bars(ts=1, close=[10.0]))
    >>> both.on_signals((signal(1, [-0.5]),), book(1, [10.0], cash=1000.0)).value  # 75 bought, 25 sold short
    array([50.])
    """

    def __init__(
        self,
        *,
        strategies: tuple[Strategy, ...],
        universe: Universe,
        name: str,
        shares: tuple[float, ...] = (),
        names: tuple[str, ...] = (),
        rebalance_every: int = 0,
    ) -> None:
        if not strategies:
            raise ValueError("strategies must name at least one strategy, got none")
        count = len(strategies)
        for option, given in (("shares", shares), ("names", names)):
            if given and len(given) != count:
                raise ValueError(f"{option} must have one value for each of the {count} strategies, got {len(given)}")
        if not all(0 < share < np.inf for share in shares):
            raise ValueError(f"shares must be finite and above 0, got {', '.join(map(str, shares))}")
        if len(set(names)) < len(names):
            raise ValueError(f"names must differ, got {', '.join(names)}")
        if rebalance_every < 0:
            raise ValueError(f"rebalance_every must be at least 0 slices, got {rebalance_every}")
        self._names = names or tuple(f"sleeve {k + 1}" for k in range(count))
        self._nested = Nested(name, strategies, self._names)
        self._name, self._universe, self._every = name, universe, rebalance_every
        share = np.array(shares or (1.0,) * count)
        self._share: Vector = share / share.sum()
        self._sleeves = tuple(Sleeve(universe, 0.0) for _ in strategies)
        self._begun, self._decided, self._ts = False, 0, 0
        self._moved: list[float] | None = None  # cash that came into each sleeve and was not told yet
        self._notes: list[Any] = []  # of the target that was returned last
        self._status: Codes = np.full(len(universe), Status.MISSING, np.int32)
        self._income: Vector = np.zeros(len(universe))  # of the account, as last seen
        self._dividends: list[tuple[int, float, Vector]] = []  # symbol, cash a share, shares (S,): not yet in a book
        self._none = np.full(len(universe), np.nan)
        self._none.flags.writeable = False
        self._pace, self.wraps = self._nested.interval_ns, self._nested.strategies
        self.lookback, self.slow_handlers = self._nested.lookback, self._nested.slow_handlers
        vars(self).update(self._nested.handlers(type(self)))

    @property
    def interval_ns(self) -> int:
        return self._pace

    @interval_ns.setter
    def interval_ns(self, value: int) -> None:
        self._pace = self._nested.paced(value)

    # ---- what happens to the account ---------------------------------------------------------------------------------

    def on_bars(self, bars: Bars, /) -> Any:
        self._status, self._ts = bars.status, bars.ts
        return self._nested.tell("on_bars", bars)

    def on_fills(self, fills: Fills, /) -> Any:
        if not len(fills.symbol) or not self._begun:
            return None
        said: list[Any] = []
        once = len(set(fills.symbol.tolist())) == len(fills.symbol)
        # Fills of one symbol come one after another: each finds what the one before has left to want.
        for row in [slice(None)] if once else [slice(i, i + 1) for i in range(len(fills.symbol))]:
            parts = self._divided(fills.symbol[row], fills.qty[row])
            fees = in_parts(fills.fees[row], parts)
            said += self._booked(fills.ts, fills.symbol[row], parts, (fills.price[row], fees), fills.at[row])
        return tuple(said) or None

    def on_charges(self, charges: Charges, /) -> None:
        """Charges of a symbol by position, shorts where there are any; interest by cash of the sign that bears it."""
        if not self._begun:
            return
        columns = (charges.kind, charges.symbol, charges.currency, charges.amount)
        for kind, s, currency, amount in zip(*(column.tolist() for column in columns), strict=True):
            held = np.array([sleeve.has.qty[s] if s >= 0 else sleeve.has.cash[currency] for sleeve in self._sleeves])
            owed = np.maximum(-held, 0.0)
            if s >= 0:
                size = owed if owed.any() else np.abs(held)
            else:
                size = owed if kind == ChargeKind.MARGIN_INTEREST else np.maximum(held, 0.0)
            share = size / size.sum() if size.any() else self._share
            for sleeve, part in zip(self._sleeves, (share * amount).tolist(), strict=True):
                sleeve.pay(currency, part)
                if s >= 0:
                    sleeve.has.fees = sleeve.has.fees.copy()
                    sleeve.has.fees[s] -= part
                else:
                    sleeve.interest = sleeve.interest.copy()
                    sleeve.interest[currency] += part

    def on_actions(self, actions: Actions, /) -> Any:
        for i in range(len(actions.kind)):
            kind, s, ratio = int(actions.kind[i]), int(actions.symbol[i]), float(actions.ratio[i])
            if kind == ActionKind.CASH_DIVIDEND:
                shares = np.array([sleeve.has.qty[s] for sleeve in self._sleeves])
                self._dividends.append((s, float(actions.amount[i]), shares))
                continue
            for sleeve in self._sleeves:
                sleeve.pending = sleeve.pending.copy()
                if kind == ActionKind.SPLIT:
                    sleeve.has.scale(s, ratio)
                    sleeve.pending[s] *= ratio
                elif kind == ActionKind.DELISTING:
                    price = float(actions.amount[i])
                    sleeve.has.close_at(s, price if np.isfinite(price) else float(np.nan_to_num(sleeve.has.mark[s])))
                    sleeve.pending[s] = 0.0
                elif kind == ActionKind.SYMBOL_CHANGE:
                    heir = int(actions.successor[i])
                    sleeve.has.move(s, heir, ratio)
                    sleeve.pending[heir] += sleeve.pending[s] * ratio
                    sleeve.pending[s] = 0.0
        for sleeve in self._sleeves:
            sleeve.target = None if sleeve.target is None else followed(sleeve.target, actions)
        return self._nested.tell("on_actions", actions)

    def on_book(self, book: Book, /) -> Any:
        """The account as it is: sleeves follow it, tell their equity once a slice, and show their own books inside."""
        said = self._follow(book)
        if book.ts == self._ts:
            said += self._moves(book.ts)
            for inner, sleeve in zip(self._names, self._sleeves, strict=True):
                equity = frozen(np.array([sleeve.equity]))
                said.append(Note(ts=book.ts, source=self._name, kind="sleeve", text=inner, value=equity))
        working = self._working(book)
        for k, sleeve in enumerate(self._sleeves):
            said += self._nested.tell_one(k, "on_book", sleeve.book(book, working[k]))
        return tuple(said) or None

    def _moves(self, ts: int) -> list[Note]:
        """What cash moved between the sleeves since it was told last."""
        moved, self._moved = self._moved, None
        return [
            Note(ts=ts, source=self._name, kind="sleeve:moved", text=inner, value=frozen(np.array([cash])))
            for inner, cash in zip(self._names, moved or (), strict=moved is not None)
        ]

    def _follow(self, book: Book) -> list[Any]:
        """Brings the sleeves to what the account has; what they cannot explain is divided as the class says.

        What the strategies inside say to fills that come of it.
        """
        said: list[Any] = []
        if not self._begun:
            self._begin(book)
        self._pay_dividends(book)
        for sleeve in self._sleeves:
            sleeve.see(book)
        held = np.stack([sleeve.has.qty for sleeve in self._sleeves])
        gap = book.qty - held.sum(axis=0)
        rows = np.flatnonzero(np.abs(gap) > DUST * np.maximum(np.abs(book.qty), np.abs(held).sum(axis=0)))
        rows = rows[(book.mark[rows] > 0.0) & (book.mark[rows] < np.inf)]
        if rows.size:
            parts = self._divided(rows, gap[rows])
            at = np.full(len(rows), book.ts)
            fees = np.broadcast_to(no_fees(len(rows)), (len(self._sleeves), *no_fees(len(rows)).shape))
            said = self._booked(book.ts, rows.astype(np.int32), parts, (book.mark[rows], fees), at)
            for sleeve in self._sleeves:
                sleeve.see(book)
        self._share_out(book.equity - sum(sleeve.equity for sleeve in self._sleeves), book)
        return said

    def _begin(self, book: Book) -> None:
        """Cash and whatever is held already, by share of capital."""
        for sleeve, share in zip(self._sleeves, self._share.tolist(), strict=True):
            has = sleeve.has
            has.cash, has.qty = book.cash * share, book.qty * share
            has.entry, has.best, has.opened = book.entry, book.best, book.opened
        self._income, self._begun = book.income, True

    def _pay_dividends(self, book: Book) -> None:
        """Dividends since the last book, unless the account did not get them: its feed or broker ignores them then."""
        paid = book.income - self._income
        for s, amount, shares in self._dividends:
            if abs(shares.sum()) > DUST * np.abs(shares).sum() and not paid[s]:
                continue
            cash = shares * amount * float(self._universe.multiplier[s])
            for sleeve, part in zip(self._sleeves, cash.tolist(), strict=True):
                sleeve.has.earn(s, part)
                sleeve.pay(int(self._universe.currency[s]), part)
        self._dividends, self._income = [], book.income

    def _share_out(self, money: float, book: Book) -> None:
        """Base money that no sleeve accounts for; what rounding leaves is nobody's."""
        if not abs(money) > DUST * max(abs(book.equity), 1.0):
            return
        for sleeve, part in zip(self._sleeves, (self._share * money).tolist(), strict=True):
            sleeve.pay(0, part)
            sleeve.equity += part

    def _divided(self, symbol: Any, qty: Vector) -> Any:
        """(S, L) parts of trades of the whole, each of another symbol."""
        pending = np.stack([sleeve.pending[symbol] for sleeve in self._sleeves])
        held = np.stack([sleeve.has.qty[symbol] for sleeve in self._sleeves])
        return divided(qty, pending, held, self._share)

    def _booked(self, ts: int, symbol: Codes, parts: Any, paid: tuple[Vector, Any], at: Any) -> list[Any]:
        """Books parts (S, L) of trades at (prices, fees (S, L, K)); what those inside say to their own fills."""
        said: list[Any] = []
        price, fees = paid
        for k, sleeve in enumerate(self._sleeves):
            fills = sleeve.trade(ts, symbol, parts[k], (price, fees[k]), at)
            if fills is not None:
                sleeve.pending = sleeve.pending.copy()
                left = sleeve.pending[fills.symbol] - fills.qty
                against = left * sleeve.pending[fills.symbol] < 0.0  # it got more than it wanted
                sleeve.pending[fills.symbol] = np.where(against, 0.0, left)
                said += self._nested.tell_one(k, "on_fills", fills)
        return said

    # ---- what is decided ---------------------------------------------------------------------------------------------

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        self._notes = self._follow(book)
        self._decided += 1
        if self._every and self._decided % self._every == 0:
            self._even(book)
        working = self._working(book)
        seen = [sleeve.book(book, part) for sleeve, part in zip(self._sleeves, working, strict=True)]
        for k, sleeve in enumerate(self._sleeves):
            answer = self._nested.ask(k, signals, seen[k])
            if answer is not None:
                self._tell_wish(k, answer)
                sleeve.target = answer
        if all(sleeve.target is None for sleeve in self._sleeves):
            return None
        change = np.stack([sleeve.change(each) for sleeve, each in zip(self._sleeves, seen, strict=True)])
        change = self._cross(change, book)
        for sleeve, part, moves in zip(self._sleeves, working, change, strict=True):
            sleeve.pending = part + moves
        return self._netted(change, book)

    def _tell_wish(self, k: int, target: Target) -> None:
        """What a sleeve wants other than before; nothing of what it leaves as it is (NaN) from the first."""
        before, value = self._sleeves[k].target, target.value
        was = np.zeros(len(value)) if before is None else np.full(len(value), np.nan)
        if before is not None and before.kind is target.kind:
            was = before.value
        rows = np.flatnonzero((value != was) & ~(np.isnan(value) & (np.isnan(was) | (before is None))))
        if rows.size:
            text = f"{self._names[k]}: wants of those told, as {target.kind.value}"
            self._note(target.ts, f"wants:{target.kind.value}@{self._names[k]}", text, rows, value[rows])

    def _note(self, ts: int, kind: str, text: str, rows: Any, value: Vector) -> None:
        symbol, value = frozen(rows.astype(np.int32)), frozen(np.array(value))
        self._notes.append(Note(ts=ts, source=self._name, kind=kind, text=text, symbol=symbol, value=value))

    def on_target(self, target: Target, /) -> Any:
        """What was wanted and crossed behind the target that was returned last, and what those inside say of it."""
        said, self._notes = self._notes, []
        return (*said, *(self._nested.tell("on_target", target) or ())) or None

    def _cross(self, change: Any, book: Book) -> Any:
        """(S, N) what is left of these changes once sleeves have traded with each other."""
        if book.mode is Mode.HALTED:
            return change
        unit = unit_value(self._universe, book, slice(None))
        met = np.where((self._status == Status.FRESH) & (unit > 0.0) & (unit < np.inf), crossed(change), 0.0)
        rows = np.flatnonzero(met.any(axis=0))
        if rows.size:
            for k, sleeve in enumerate(self._sleeves):
                sleeve.pending = np.zeros(len(unit))  # it is set anew by this decision
                at, fees = np.full(len(rows), book.ts), no_fees(len(rows))
                part = exact(sleeve.has.qty[rows], met[k][rows])
                fills = sleeve.trade(book.ts, rows.astype(np.int32), part, (book.mark[rows], fees), at)
                if fills is not None:
                    text = f"{self._names[k]}: shares traded with other sleeves at the mark"
                    self._note(book.ts, f"crossed@{self._names[k]}", text, fills.symbol, fills.qty)
                    self._notes += self._nested.tell_one(k, "on_fills", fills)
        return np.where(np.abs(change - met) <= DUST * np.abs(change), 0.0, change - met)

    def _netted(self, change: Any, book: Book) -> Target:
        targets = [sleeve.target for sleeve in self._sleeves]
        told = [(t, share) for t, share in zip(targets, self._share.tolist(), strict=True) if t is not None]
        position = book.qty + book.working
        total, counted = np.zeros(len(position)), np.zeros(len(position))
        limit, stop = self._none, self._none
        for target, share in told:
            known = np.isfinite(target.alpha)
            total, counted = total + np.where(known, share * target.alpha, 0.0), counted + np.where(known, share, 0.0)
            limit = np.where(np.isnan(limit), target.limit, limit)
            stop = np.where(np.isnan(stop), target.stop, stop)
        return Target(
            ts=book.ts,
            source=self._name,
            kind=TargetKind.QUANTITY,
            value=position + exact(position, change.sum(axis=0)),
            alpha=np.divide(total, counted, out=np.full(len(total), np.nan), where=counted > 0),
            limit=limit,
            stop=stop,
        )

    def _working(self, book: Book) -> Any:
        """(S, N) each sleeve's part of the working orders of the account: by what it still wants of them."""
        out = np.zeros((len(self._sleeves), len(book.qty)))
        rows = np.flatnonzero(book.working)
        if rows.size:
            out[:, rows] = self._divided(rows, book.working[rows])
        return out

    def _even(self, book: Book) -> None:
        """Cash moves so that equities have their shares again."""
        whole = sum(sleeve.equity for sleeve in self._sleeves)
        moved = [
            share * whole - sleeve.equity for sleeve, share in zip(self._sleeves, self._share.tolist(), strict=True)
        ]
        for sleeve, cash in zip(self._sleeves, moved, strict=True):
            sleeve.pay(0, cash)
            sleeve.see(book)
        self._moved = moved

    def save(self) -> bytes:
        symbols, sleeves = self._universe.symbols, [sleeve.fields() for sleeve in self._sleeves]
        seen: dict[str, Any] = {"begun": self._begun, "decided": self._decided, "ts": self._ts}
        seen |= {"moved": self._moved, "status": self._status, "income": self._income}
        return pack(_KIND, _VERSION, symbols=symbols, sleeves=sleeves, nested=self._nested.save(), **seen)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since are flat. Between two inputs only."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        if len(fields["sleeves"]) != len(self._sleeves):
            said = f"{len(fields['sleeves'])} sleeves were saved and there are {len(self._sleeves)} now"
            raise StateError(f"{self._name}: {said}; load it into the same ones")
        self._begun, self._decided, self._ts = fields["begun"], fields["decided"], fields["ts"]
        self._moved = fields["moved"]
        self._status = placed(fields["status"], before, now, Status.MISSING)
        self._income = placed(fields["income"], before, now, 0.0)
        for sleeve, said in zip(self._sleeves, fields["sleeves"], strict=True):
            sleeve.restore(said, before)
        self._nested.load(fields["nested"])
