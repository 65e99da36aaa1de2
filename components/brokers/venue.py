"""What the market makes of orders, whoever they belong to: when it trades, at which prices and how many shares."""

from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from components.brokers import fill_rules as rules
from components.brokers.hours import Depth, Hours, nanoseconds
from components.brokers.kinds import AUCTIONS
from components.brokers.quotes import Quotes
from components.brokers.resting import Resting, rows_of, terms_of
from engine.errors import ConfigError
from engine.events import DAY_NS, Bars, Codes, Mask, OrderKind, Stamps, Status, TimeInForce, Vector
from engine.protocols import Conditions
from engine.state import placed
from engine.universe import Universe

FillTiming: TypeAlias = Literal["next_open", "next_close", "next_vwap", "open_auction", "close_auction", "same_close"]

TIMINGS = ("next_open", "next_close", "next_vwap", "open_auction", "close_auction", "same_close")
_AT_OPEN = ("next_open", "open_auction")
_BAR, _OPENING, _CLOSING = range(3)  # whose volume an order takes a share of
_MOO, _MOC = int(OrderKind.MARKET_ON_OPEN), int(OrderKind.MARKET_ON_CLOSE)
_DAY = int(TimeInForce.DAY)
_ONCE = np.array([tif in (TimeInForce.IMMEDIATE_OR_CANCEL, TimeInForce.FILL_OR_KILL) for tif in TimeInForce])
_ONCE.flags.writeable = False
_FILLS = {"status": int(Status.MISSING), "member": 0}


class Match(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the orders meet in a bar, as columns (L,). None = the same for all, or nothing to say."""

    symbol: rules.Rows  # positions in the universe
    reference: Vector  # the market's price, NaN = it does not trade
    chance: Mask  # it met a price point early enough
    at: int | Stamps  # the instant of each trade
    phase: Codes | None = None  # when in the bar
    volume: Codes | None = None  # of the bar or of an auction
    terms: rules.Terms | None = None  # as they are after the bar


class _Way(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One way in which a bar trades with some of the orders."""

    rows: Mask
    point: rules.Point
    phase: int = rules.CLOSE
    volume: int = _BAR
    goes_on: bool = False  # from this point to the close, not at one price


class Venue:
    """Price points of a bar, auctions, limits of prices and of volume. It knows no account.

    A bar of a day or longer is a session of its own, which closes at its ts. Shorter bars need the trading days of a
    calendar as soon as an auction, the close of the session before or an order sent out of hours is asked for.
    """

    def __init__(self, *, universe: Universe, fill: FillTiming, hours: Hours, depth: Depth) -> None:
        if fill not in TIMINGS:
            raise ValueError(f"fill {fill!r} is no fill timing; use one of: {', '.join(TIMINGS)}")
        self._universe, self._sessions = universe, hours.sessions
        self.fill, self._when_closed, self._touch = fill, hours.when_closed, depth.touch
        self._participation, self._price_limit = depth.participation, depth.price_limit
        self._open_cutoff = nanoseconds("open_cutoff", hours.open_cutoff)
        self._close_cutoff = nanoseconds("close_cutoff", hours.close_cutoff)
        self._extra = {name: i for i, name in enumerate(universe.extra)}
        self._limits = depth.price_limit is not None or "limit_up" in self._extra or "limit_down" in self._extra
        self._quotes = Quotes(universe) if {"bid", "bid_open"} & set(universe.extra) else None
        self._plain = fill in ("next_open", "next_close", "next_vwap")
        shut = hours.when_closed == "next_open" or depth.price_limit is not None
        self._auctions = fill in ("open_auction", "close_auction") or hours.when_closed == "next_open"
        self._asks = shut or fill in ("open_auction", "close_auction")
        self.first = self.last = False  # whether the bar opens or closes a session
        self._bars: Bars | None = None
        self._interval = 0
        self._last: Vector = np.full(len(universe), np.nan)  # close of the session before
        self._closes = 0  # when the session of the bar does; 0 = not known
        self._day = -1  # row of the latest trading day, without a calendar its UTC date
        self._told = False  # whether somebody else says when a session ends
        self.turned = False  # whether a trading day has ended before this intraday bar
        self._vwap = False  # whether a bar had one
        self._bounds: tuple[Vector, Vector] | None = None
        self._room: Vector | None = None  # shares that may still trade in this bar

    # ---- the bar -----------------------------------------------------------------------------------------------------

    def begin(self, bars: Bars, mark: Vector) -> None:
        """A new bar; `mark` (N,) are the last closes before it."""
        self._bars, self._interval, self._room = bars, bars.interval_ns, None
        if self.fill == "next_vwap" and not self._vwap:
            self._look_for_vwap(bars)
        if bars.interval_ns >= DAY_NS:
            self.first = self.last = new = True
            self.turned, self._closes = False, bars.ts
        else:
            new = self._open_session(bars)
        if self._limits:
            if new and self._price_limit is not None:
                self._last = mark
            self._bounds = self._limits_of(bars)

    def _open_session(self, bars: Bars) -> bool:
        """Finds the place of an intraday bar in its session; says whether the session is a new one."""
        sessions = self._sessions
        if sessions is None:
            if self._asks:
                raise ConfigError(
                    f"broker: fill {self.fill!r} with when_closed {self._when_closed!r} and price_limit "
                    f"{self._price_limit} has to know when sessions open and close, and bars of "
                    f"{bars.interval_ns / 1e9:g} s do not say; set feed.calendar, e.g. calendar: XNYS"
                )
            day = bars.opened // DAY_NS
        else:
            day = sessions.day_of(bars.ts)
            self.first = day >= 0 and bars.opened <= int(sessions.opens[day])
            self.last = sessions.closes_at(bars.ts)
            self._closes = int(sessions.closes[day]) if day >= 0 else 0
        new = day >= 0 and day != self._day
        self.turned = new and self._day >= 0 and not (self._told and sessions is None)
        self._day = day if day >= 0 else self._day
        return new

    def told(self) -> None:
        """A timer has said that a session is over: without a calendar the date of a bar says it no longer."""
        self._told = True

    def _look_for_vwap(self, bars: Bars) -> None:
        """Nothing would ever trade where no bar has the column; what had no volume has no vwap and says nothing."""
        traded = (bars.status == 0) & (bars.volume != 0)
        self._vwap = bool(np.any(bars.vwap > 0))
        if not self._vwap and np.any(traded):
            raise ConfigError(
                f"broker: fill 'next_vwap' trades at the column vwap, and in the bar of {bars.ts} no symbol has one; "
                "give the feed that column, or set fill to another price, e.g. fill: next_close"
            )

    def _limits_of(self, bars: Bars) -> tuple[Vector, Vector]:
        """Lower and upper price of each symbol (N,): of the feed's columns, else of the close of the session before."""
        none = np.full(len(bars.open), np.nan)
        lower, upper = none, none
        if self._price_limit is not None:
            lower, upper = rules.price_limits(self._last, self._price_limit, self._universe.tick)
        down, up = (self._column(bars, name) for name in ("limit_down", "limit_up"))
        lower = lower if down is None else np.where(np.isnan(down), lower, down)
        upper = upper if up is None else np.where(np.isnan(up), upper, up)
        return lower, upper

    def _column(self, bars: Bars, name: str) -> Vector | None:
        return bars.extra[self._extra[name]] if name in self._extra else None

    @property
    def knows_auctions(self) -> bool:
        """Whether an auction order can be placed: bars below a day do not say when the auctions are."""
        return self._sessions is not None or not 0 < self._interval < DAY_NS

    def trades_now(self, ts: int) -> bool:
        """Whether orders that are sent at this instant still trade at the close of the latest bar."""
        if self.fill != "same_close" or self._bars is None or self._bars.ts != ts:
            return False
        if self._when_closed == "same":
            return True
        if self._bars.interval_ns >= DAY_NS or self._sessions is None:
            return False
        return self._sessions.trades_at(ts)

    @property
    def bars(self) -> Bars:
        """The latest bar."""
        assert self._bars is not None  # orders are matched after a bar has begun
        return self._bars

    @property
    def kept(self) -> Bars | None:
        """The latest bar, where orders may still trade at its close."""
        return self._bars if self.fill == "same_close" else None

    def price(self, phase: int | None) -> Vector:
        """(N,) prices for the value of what is held when orders trade in this phase, none of them a later one.

        None = the phase of the timing. What trades inside the bar knows the open.
        """
        early = self.fill in _AT_OPEN if phase is None else phase != rules.CLOSE
        if early:
            return self.bars.open
        return self.bars.vwap if self.fill == "next_vwap" else self.bars.close

    def begun(self, orders: Resting, chance: Mask) -> Mask:
        """For which of these orders the session has begun with which a DAY order ends.

        An order for an auction waits for the first one that it is in time for.
        """
        bars = self.bars
        begun = orders.accepted <= bars.opened
        if self.fill == "open_auction" and not self.first:
            begun = np.zeros(len(begun), bool)
        if orders.terms is not None:
            kind = orders.terms.kind
            in_time = orders.accepted <= self._closes - self._close_cutoff
            begun = np.where(AUCTIONS[kind], (kind == _MOC) & begun & in_time, begun)
        mask: Mask = orders.seen | begun | chance
        return mask

    def missed(self, orders: Resting, chance: Mask) -> Mask | None:
        """DAY orders whose auction was in this bar: they end with it, traded or not. None = none."""
        if orders.terms is None and self.fill != "open_auction":
            return None
        mask: Mask = (orders.tif == _DAY) & chance
        if self.fill != "open_auction" and orders.terms is not None:
            mask = mask & AUCTIONS[orders.terms.kind]
        return mask

    # ---- matching ----------------------------------------------------------------------------------------------------

    def match(self, orders: Resting, *, now: bool = False) -> Match:
        """What this bar does to these orders; `now` for orders that were decided at its close."""
        bars, s = self.bars, orders.symbol.astype(np.intp)  # indexing by it is several times as fast
        if orders.terms is None and self._plain and self._bounds is None:
            point = rules.point_of(bars, self.fill)
            reference = rules.offered(point, bars.status, s)
            chance = rules.in_time(point, orders.accepted, orders.until)
            if not rules.every(chance):
                reference = np.where(chance, reference, np.nan)
            return Match(symbol=s, reference=reference, chance=chance, at=point.at)
        return self._one_by_one(orders, s, now)

    def _one_by_one(self, orders: Resting, s: rules.Rows, now: bool) -> Match:
        """Every way of trading in its turn; an order trades in the first that takes it."""
        count, terms = len(orders.ids), terms_of(orders)
        reference, chance = np.full(count, np.nan), np.zeros(count, bool)
        at, phase, volume = np.zeros(count, np.int64), np.zeros(count, np.int32), np.zeros(count, np.int32)
        triggered, best = terms.triggered.copy(), terms.best.copy()
        once = _ONCE[orders.tif]
        for way in self._ways(terms.kind, once | (orders.until < self.bars.ts), now):
            if not np.count_nonzero(way.rows):
                continue
            meets = way.rows & rules.in_time(way.point, orders.accepted, orders.until)
            rows = np.flatnonzero(meets & np.isnan(reference) & ~(once & chance))
            chance |= meets
            if not rows.size:
                continue
            of, left, part = s, orders.left, msgspec.structs.replace(terms, triggered=triggered, best=best)
            if len(rows) < count:
                of, left, part = s[rows], left[rows], rows_of(part, rows)
            got = self._outcome(way, of, left, part)
            price, inside = got.reference, got.phase != rules.OPEN
            if self._bounds is not None:
                lower, upper = self._bounds
                price = np.where(rules.locked(left, price, lower[of], upper[of]), np.nan, price)
            reference[rows], triggered[rows], best[rows] = price, got.triggered, got.best
            at[rows] = np.where(inside, self.bars.ts, way.point.at)
            phase[rows], volume[rows] = np.where(inside, got.phase, way.phase), way.volume
        after = msgspec.structs.replace(terms, triggered=triggered, best=best) if orders.terms is not None else None
        return Match(symbol=s, reference=reference, chance=chance, at=at, phase=phase, volume=volume, terms=after)

    def _ways(self, kind: Codes, once: Mask, now: bool) -> list[_Way]:
        """How this bar trades, in the order of time; `once` are orders that do not last beyond its open."""
        bars, others = self.bars, ~AUCTIONS[kind]
        if now:
            return [_Way(rows=others, point=rules.point_of(bars, self.fill))]
        ways: list[_Way] = []
        auctions = self._auctions or not rules.every(others)
        if self.first and auctions:
            volume, own = self._auction_volume("open_volume", _OPENING)
            point = rules.opening_auction(bars, self._open_cutoff, volume)
            if self.fill == "same_close" and self._when_closed == "next_open":
                ways.append(_Way(rows=others, point=rules.point_of(bars, "next_open"), phase=rules.OPEN))
            rows = np.ones(len(kind), bool) if self.fill == "open_auction" else kind == _MOO
            ways.append(_Way(rows=rows & (kind != _MOC), point=point, volume=own, phase=rules.OPEN))
        if self.fill == "next_open":
            point = rules.point_of(bars, self.fill)
            ways.append(_Way(rows=others & ~once, point=point, phase=rules.OPEN, goes_on=True))
            ways.append(_Way(rows=others & once, point=point, phase=rules.OPEN))
        elif self.fill not in ("open_auction", "close_auction"):
            ways.append(_Way(rows=others, point=rules.point_of(bars, self.fill)))
        if self.last and auctions:
            volume, own = self._auction_volume("close_volume", _CLOSING)
            point = rules.closing_auction(bars, self._close_cutoff, volume)
            rows = np.ones(len(kind), bool) if self.fill == "close_auction" else kind == _MOC
            ways.append(_Way(rows=rows & (kind != _MOO), point=point, volume=own))
        return ways

    def _auction_volume(self, name: str, own: int) -> tuple[Vector | None, int]:
        """Shares that an auction traded, where the feed has a column for them; else those of the bar."""
        column = self._column(self.bars, name)
        return column, _BAR if column is None else own

    def _outcome(self, way: _Way, s: rules.Rows, qty: Vector, terms: rules.Terms) -> rules.Outcome:
        bars = self.bars
        price = rules.offered(way.point, bars.status, s)
        if not way.goes_on:
            return rules.at_one_price(qty, terms, price)
        prices = rules.Prices(open=price, high=bars.high[s], low=bars.low[s], close=bars.close[s])
        return rules.continuous(qty, terms, prices, touch=self._touch)

    # ---- volume ------------------------------------------------------------------------------------------------------

    def rationed(self, wanted: rules.Wanted, volume: Codes | None, held: Vector | None) -> tuple[Vector, Mask]:
        """What volume and position leave of these orders; `volume` says whose they take a share of."""
        room = None
        if self._participation is not None:
            if self._room is None:
                self._room = self._share_of_volume(self._participation)
            room = self._room
            if volume is not None:
                wanted = msgspec.structs.replace(wanted, place=wanted.symbol + volume * len(self._universe))
        return rules.rationed(wanted, room, held)

    def _share_of_volume(self, participation: float) -> Vector:
        """(3N,) shares that may trade in the bar, its opening and its closing auction; none where it is unknown."""
        own = (self._column(self.bars, name) for name in ("open_volume", "close_volume"))
        columns = [self.bars.volume, *(self.bars.volume if column is None else column for column in own)]
        return rules.room_of(np.concatenate(columns), participation)

    @property
    def limits_volume(self) -> bool:
        return self._participation is not None

    def take(self, symbol: rules.Rows, volume: Codes | None, qty: Vector) -> None:
        """Counts what has traded against what may still trade in this bar."""
        if self._room is not None:
            place = symbol if volume is None else symbol + volume * len(self._universe)
            self._room = self._room - np.bincount(place, weights=np.abs(qty), minlength=len(self._room))

    def conditions(self, symbol: Any, volume: Codes | None, spent: Any, when: int | Stamps) -> Conditions:
        """What a cost model may know of these trades."""
        bars = self.bars
        shares = bars.volume[symbol]
        if volume is not None and np.count_nonzero(volume):
            for name, own in (("open_volume", _OPENING), ("close_volume", _CLOSING)):
                column = self._column(bars, name)
                shares = shares if column is None else np.where(volume == own, column[symbol], shares)
        quotes = {} if self._quotes is None else self._quotes.at(bars, symbol, when)
        if spent is not None:
            quotes |= {"filled": spent.filled, "paid": spent.paid}
            if spent.memo.shape[1]:
                quotes["memo"] = spent.memo
        return Conditions(ts=bars.ts, symbol=symbol, volume=shares, **quotes)

    # ---- state -------------------------------------------------------------------------------------------------------

    def split(self, symbol: int, ratio: float) -> None:
        """The close of the session before follows a split."""
        self._last = self._last.copy()
        self._last[symbol] /= ratio

    def save(self) -> dict[str, Any]:
        """The bar is kept where orders may still trade at its close."""
        bars = self._bars if self.fill == "same_close" else None
        columns = None if bars is None else {name: getattr(bars, name) for name in bars.__struct_fields__}
        room = None if self._room is None else self._room.reshape(3, -1)
        return {
            "bars": columns,
            "interval": self._interval,
            "last": self._last,
            "day": self._day,
            "bounds": None if bars is None else self._bounds,
            "room": None if bars is None else room,
            "ends": (self.first, self.last, self._closes),
            "known": (self._told, self._vwap),
        }

    def load(self, fields: dict[str, Any], before: list[str], now: tuple[str, ...]) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        self._interval, self._day = fields["interval"], fields["day"]
        self._last = placed(fields["last"], before, now, np.nan)
        self.first, self.last, self._closes = fields["ends"]
        self._told, self._vwap = fields["known"]
        self._bars = self._bounds = self._room = None
        columns = fields["bars"]
        if columns is None:
            return
        arrays = {
            name: placed(column, before, now, _FILLS.get(name, np.nan))
            for name, column in columns.items()
            if isinstance(column, np.ndarray)
        }
        extra = tuple(placed(column, before, now, np.nan) for column in columns["extra"])
        self._bars = Bars(**(columns | arrays | {"extra": extra}))
        if fields["bounds"] is not None:
            lower, upper = (placed(bound, before, now, np.nan) for bound in fields["bounds"])
            self._bounds = lower, upper
        if fields["room"] is not None:
            self._room = placed(fields["room"], before, now, 0.0).ravel()
