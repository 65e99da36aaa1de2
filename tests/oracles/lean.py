"""Strategies of LEAN's examples as a user writes them here: each says weights, and sizes them by LEAN's rule."""

import datetime as dt
import math

import numpy as np

from samewire import (
    Bars,
    Book,
    Conditions,
    CostModel,
    LegAction,
    OrderIds,
    OrderKind,
    Orders,
    Sessions,
    Signal,
    Target,
    TimeInForce,
    Universe,
    Vector,
)
from tests.oracles.parts import opinion, shares

_FREE, _LEAST = 0.0025, 0.001  # shares of equity: what stays free, and the least change that is worth an order


class Desk:
    """Sizes weights one after the other, each on the account that the trade before it leaves behind."""

    def __init__(self, universe: Universe, costs: CostModel, sessions: Sessions | None, leverage: float) -> None:
        self._costs, self._sessions, self._leverage = costs, sessions, leverage
        self._quotes = [universe.extra.index(name) for name in ("bid", "ask") if name in universe.extra]
        self._bars: Bars | None = None

    def on_bars(self, bars: Bars) -> None:
        self._bars = bars

    def wanted(self, weights: list[tuple[int, float]], book: Book) -> Vector:
        """(N,) shares wanted: what is held where nothing is said or the change is not worth an order."""
        equity, result = book.equity, book.qty + book.working
        for symbol, weight in weights:
            price, held = float(book.mark[symbol]), float(book.qty[symbol])
            trade = self._trade(weight, equity, held, (symbol, price))
            result[symbol] += trade
            if trade and self._at_once(book.ts):
                paid = float(self._costs.price(np.array([trade]), np.array([price]), self._at(symbol, book.ts))[0])
                equity -= trade * (paid - price) + self._fee(symbol, trade, paid)
        return result

    def _trade(self, weight: float, equity: float, held: float, of: tuple[int, float]) -> float:
        """Shares for this weight: sized without a fee, then with what the last guess would pay until it fits."""
        symbol, price = of
        target = weight * (equity - _FREE * equity)
        if abs(target - held * price) / self._leverage < _LEAST * equity:
            return 0.0
        while True:
            whole = math.trunc(target / price)
            if whole == held:
                return 0.0
            target = weight * (equity - self._fee(symbol, whole - held, price) - _FREE * equity)
            if abs(whole) * price <= abs(target):
                return whole - held

    def _fee(self, symbol: int, qty: float, price: float) -> float:
        return float(self._costs.fees(np.array([qty]), np.array([price]), self._at(symbol, 0)).sum())

    def _at(self, symbol: int, ts: int) -> Conditions:
        quotes: list[Vector | None] = [None, None]
        if self._quotes and self._bars is not None:
            quotes = [self._bars.extra[place][symbol : symbol + 1] for place in self._quotes]
        return Conditions(ts=ts, symbol=np.array([symbol], np.int32), bid=quotes[0], ask=quotes[1])

    def _at_once(self, ts: int) -> bool:
        return self._sessions is not None and self._sessions.trades_at(ts)


class Hold:
    """One symbol: this weight whenever nothing is held."""

    interval_ns = 0

    def __init__(
        self,
        *,
        universe: Universe,
        costs: CostModel,
        sessions: Sessions | None,
        name: str,
        weight: float = 1.0,
        leverage: float = 2.0,
    ) -> None:
        self._desk, self._name, self._weight = Desk(universe, costs, sessions, leverage), name, weight

    def on_bars(self, bars: Bars, /) -> None:
        self._desk.on_bars(bars)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        weights = [] if book.qty[0] else [(0, self._weight)]
        return shares(book.ts, self._name, self._desk.wanted(weights, book))


class Staged:
    """Each symbol gets its weight once, at the first close on or after its day."""

    interval_ns = 0

    def __init__(
        self,
        *,
        universe: Universe,
        costs: CostModel,
        sessions: Sessions | None,
        name: str,
        weights: dict[str, float],
        since: dict[str, dt.date],
        leverage: float = 2.0,
    ) -> None:
        self._desk, self._name = Desk(universe, costs, sessions, leverage), name
        self._waiting = [(universe.symbols.index(s), weights[s], since[s]) for s in weights]

    def on_bars(self, bars: Bars, /) -> None:
        self._desk.on_bars(bars)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        today = dt.datetime.fromtimestamp(book.ts // 10**9, dt.UTC).date()
        due = [(symbol, weight) for symbol, weight, day in self._waiting if day <= today]
        self._waiting = [entry for entry in self._waiting if entry[2] > today]
        return shares(book.ts, self._name, self._desk.wanted(due, book))


class Rotate:
    """Several symbols: the first weights while nothing is held, the later ones ever after."""

    interval_ns = 0

    def __init__(
        self,
        *,
        universe: Universe,
        costs: CostModel,
        sessions: Sessions | None,
        name: str,
        first: list[float],
        later: list[float],
        leverage: float = 2.0,
    ) -> None:
        self._desk, self._name = Desk(universe, costs, sessions, leverage), name
        self._first, self._later = first, later

    def on_bars(self, bars: Bars, /) -> None:
        self._desk.on_bars(bars)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        weights = list(enumerate(self._later if book.qty.any() else self._first))
        value = book.qty * np.nan_to_num(book.mark)
        # What gives money back comes first, and of each kind the largest.
        changes = [weight * book.equity - float(value[symbol]) for symbol, weight in weights]
        weights.sort(key=lambda entry: (changes[entry[0]] > 0, -abs(changes[entry[0]])))
        return shares(book.ts, self._name, self._desk.wanted(weights, book))


class Ema:
    """An exponential mean that starts with the plain mean of its first n values."""

    def __init__(self, n: int) -> None:
        self._n, self._first, self._value = n, list[float](), math.nan

    def of(self, value: float) -> float:
        if math.isnan(self._value):
            self._first.append(value)
            if len(self._first) == self._n:
                self._value = sum(self._first) / self._n
        else:
            self._value += (value - self._value) * 2 / (self._n + 1)
        return self._value


class Macd:
    """A model of one symbol: (macd - signal line) / fast mean; NaN until all three means have begun."""

    def __init__(self, *, name: str, fast: int = 12, slow: int = 26, line: int = 9) -> None:
        self.lookback, self._name = 10 * slow, name
        self._fast, self._slow, self._line = Ema(fast), Ema(slow), Ema(line)

    def on_bars(self, bars: Bars, /) -> Signal:
        close = float(bars.close[0])
        fast, slow = self._fast.of(close), self._slow.of(close)
        value = math.nan
        if not math.isnan(fast - slow):
            value = (fast - slow - self._line.of(fast - slow)) / fast
        return opinion(bars, self._name, np.array([value]))


class Trend:
    """All in when the signal is above the tolerance, out when it is below minus the tolerance."""

    interval_ns = 0

    def __init__(
        self, *, universe: Universe, costs: CostModel, sessions: Sessions | None, name: str, tolerance: float = 0.0025
    ) -> None:
        self._desk, self._name, self._tolerance = Desk(universe, costs, sessions, 2.0), name, tolerance

    def on_bars(self, bars: Bars, /) -> None:
        self._desk.on_bars(bars)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        signal, long = float(signals[0].value[0]), book.qty[0] > 0
        weights = []
        if signal > self._tolerance and not long:
            weights = [(0, 1.0)]
        if signal < -self._tolerance and long:
            weights = [(0, 0.0)]
        return shares(book.ts, self._name, self._desk.wanted(weights, book))


class Overnight:
    """So many shares, wanted from the end of the first trading day on."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, sessions: Sessions, name: str, shares: float) -> None:
        self._name, self._sessions, self._wanted = name, sessions, np.zeros(len(universe))
        self._shares = shares

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        if self._sessions.closes_at(book.ts):
            self._wanted = np.full(len(self._wanted), self._shares)
        return shares(book.ts, self._name, self._wanted)


class ByShare:
    """An optimizer of the user's own: market-on-open orders of one share each for what is missing of a target."""

    def __init__(self, *, universe: Universe, ids: OrderIds, name: str) -> None:
        self._ids, self._name = ids, name

    def on_bars(self, bars: Bars, /) -> None:
        """Needs nothing of them."""

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Orders | None:
        missing = targets[0].value - book.qty - book.working
        symbol = np.repeat(np.arange(len(missing), dtype=np.int32), np.abs(missing).astype(np.int64))
        count = len(symbol)
        if not count:
            return None
        none, zero = np.full(count, np.nan), np.zeros(count, np.int32)
        return Orders(
            ts=book.ts,
            action=zero + LegAction.NEW,
            ids=self._ids(ts=book.ts, count=count),
            ref=np.zeros(count, np.uint64),
            symbol=symbol,
            qty=np.sign(missing[symbol]),
            kind=zero + OrderKind.MARKET_ON_OPEN,
            limit=none,
            stop=none,
            tif=zero + TimeInForce.GOOD_TILL_CANCELLED,
            expires=np.zeros(count, np.int64),
            trail=none,
        )
