"""Generated days: a market whose best execution is known, and one in which there is nothing to find."""

import datetime as dt
import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.errors import DataError
from engine.events import DAY_NS, MINUTE_NS, SESSION_CLOSED, SESSION_OPENED, Bars, Event, Matrix, Status, Timer, Vector
from engine.instants import instant_text
from engine.protocols import Issue
from engine.universe import universe_of

_FIRST = dt.date(2018, 1, 1)  # a Monday
_OPENS, _LENGTH = 14 * 60 + 30, 390  # minutes: of the day in UTC, and of a session
_SIGMAS = 3.5  # how far the lattice of deviations goes
CELLS_MAX = 20_000_000  # bars x symbols x days


class Law(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """How days are drawn: log price and volume of their bars.

        x_0 = 0 at the open,   x_{t+1} ~ P(x_t, .),   P(x, y) proportional to exp(-(y - (1 - reversion) x)^2 / 2 v^2)
        log price = log level + x,   open of a bar = close of the bar before,   volume_t = day volume w_t

    x lives on `states` points: a chain that reverts to the day's first open, where v is `volatility_bps`. The shares
    w_t of the volume add up to 1 and form a U: the first and the last bar trade `edge` times what the middle trades.
    With `pattern` none prices are a martingale (log steps of v, normal) and all bars trade alike: no way of working an
    order is better on average than trading the same in each bar.
    """

    bars: int = 10
    pattern: Literal["mean_reverting", "none"] = "mean_reverting"
    volatility_bps: float = 20.0
    reversion: float = 0.2
    edge: float = 3.0
    volume: float = 1_000_000.0
    states: int = 41

    def __post_init__(self) -> None:
        rules = (
            ("bars", 2 <= self.bars <= _LENGTH and _LENGTH % self.bars == 0, "a divisor of 390 minutes, at least 2"),
            ("volatility_bps", 0 < self.volatility_bps <= 1000, "above 0 and at most 1000"),
            ("reversion", 0 < self.reversion < 1, "above 0 and below 1"),
            ("edge", 1 <= self.edge <= 100, "between 1 and 100"),
            ("volume", 1 <= self.volume <= 1e15, "between 1 and 1e15 shares a day"),
            ("states", 3 <= self.states <= 1001 and self.states % 2 == 1, "an odd number between 3 and 1001"),
        )
        if self.pattern not in ("mean_reverting", "none"):
            raise ValueError(f"pattern must be mean_reverting or none, got {self.pattern!r}")
        for name, good, rule in rules:
            if not good:
                raise ValueError(f"{name} must be {rule}, got {getattr(self, name)}")

    @property
    def reverts(self) -> bool:
        return self.pattern == "mean_reverting"

    @cached_property
    def lattice(self) -> Vector:
        """(S,) the deviations x; one of 0 where prices are a martingale: the expected price is today's."""
        if not self.reverts:
            return np.zeros(1)
        keeps = 1.0 - self.reversion
        spread = self.volatility_bps * 1e-4 / np.sqrt(1.0 - keeps * keeps)
        half = self.states // 2
        points: Vector = np.arange(-half, half + 1) / half * _SIGMAS * spread
        return points

    @cached_property
    def chances(self) -> Matrix:
        """(S, S) from each deviation to each."""
        if not self.reverts:
            return np.ones((1, 1))
        x, v = self.lattice, self.volatility_bps * 1e-4
        weight = np.exp(-0.5 * ((x[None, :] - (1.0 - self.reversion) * x[:, None]) / v) ** 2)
        chances: Matrix = weight / weight.sum(axis=1, keepdims=True)
        return chances

    @cached_property
    def volumes(self) -> Vector:
        """(B,) shares that each bar trades."""
        edge = self.edge if self.reverts else 1.0
        place = np.linspace(-1.0, 1.0, self.bars)
        weight = 1.0 + (edge - 1.0) * place * place
        shares: Vector = self.volume * weight / weight.sum()
        return shares


def drawn(law: Law, paths: int, rng: np.random.Generator) -> Matrix:
    """(paths, B + 1) deviations at the open and at the close of each bar."""
    x = np.zeros((paths, law.bars + 1))
    if not law.reverts:
        v = law.volatility_bps * 1e-4
        x[:, 1:] = np.cumsum(v * rng.standard_normal((paths, law.bars)) - v * v / 2, axis=1)
        return x
    upto = np.cumsum(law.chances, axis=1)
    upto[:, -1] = np.inf  # rounding leaves a hair below 1
    state = np.full(paths, law.states // 2)
    for t in range(law.bars):
        state = (rng.random(paths)[:, None] >= upto[state]).sum(axis=1)
        x[:, t + 1] = law.lattice[state]
    return x


class GeneratedDays:
    """A feed of generated days: working days from 2018-01-01 on, sessions from 14:30 to 21:00 UTC, see `Law`.

    `pattern` mean_reverting has a best way of working an order, which `optimum` finds; none has nothing to find. The
    symbols are independent of each other. The price at the open of a day is the one of the day before times
    exp(N(0, 1 %)). Memory: 56 bytes a bar.

    >>> feed = GeneratedDays(days=2, symbols=3)
    >>> len(feed.universe), sum(isinstance(event, Bars) for event in feed.events())
    (3, 20)
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        days: int = 250,
        symbols: int = 1,
        seed: int = 7,
        bars: int = 10,
        pattern: Literal["mean_reverting", "none"] = "mean_reverting",
        volatility_bps: float = 20.0,
        reversion: float = 0.2,
        edge: float = 3.0,
        volume: float = 1_000_000.0,
    ) -> None:
        self.law = Law(
            bars=bars,
            pattern=pattern,
            volatility_bps=volatility_bps,
            reversion=reversion,
            edge=edge,
            volume=volume,
        )
        if not 1 <= days <= 20_000 or not 1 <= symbols <= 1000:
            raise ValueError(f"days must lie between 1 and 20000, symbols between 1 and 1000, got {days} and {symbols}")
        if days * symbols * bars > CELLS_MAX:
            raise ValueError(f"days x symbols x bars must be at most {CELLS_MAX:,}, got {days * symbols * bars:,}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        rng = np.random.default_rng(seed)
        self.universe = universe_of(tuple(f"G{k:03d}" for k in range(symbols)))
        self.interval_ns, self.sectors = _LENGTH * MINUTE_NS // bars, ()
        self._seed = seed
        level = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal((days, symbols)), axis=0))
        x = drawn(self.law, days * symbols, rng).reshape(days, symbols, bars + 1)
        self._price = level[:, :, None] * np.exp(x)  # (D, N, B + 1)
        self.sessions = _sessions(days)
        self.span = (int(self.sessions.opens[0]) + self.interval_ns, int(self.sessions.closes[-1]))

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order: bars, and the opens and closes of sessions behind them."""
        found = False
        for event in self._all():
            if end is not None and event.ts >= end:
                break
            if start is None or event.ts >= start:
                found = True
                yield event
        if not found:
            low, high = map(instant_text, self.span)
            raise DataError(f"generated_days: it has no event in the range; it covers {low} to {high}")

    def _all(self) -> Iterator[Event]:
        n, step = len(self.universe), self.interval_ns
        volumes = np.broadcast_to(self.law.volumes[:, None], (self.law.bars, n)).copy()
        status, member = np.full(n, int(Status.FRESH), np.int32), np.ones(n, np.bool_)
        for column in (volumes, status, member):
            column.flags.writeable = False
        for day, opens in zip(self._price, self.sessions.opens.tolist(), strict=True):
            yield Timer(ts=opens, name=SESSION_OPENED, due=opens)
            prices = np.ascontiguousarray(day.T)  # (B + 1, N)
            prices.flags.writeable = False
            for t in range(self.law.bars):
                opened, close = prices[t], prices[t + 1]
                high, low, vwap = np.maximum(opened, close), np.minimum(opened, close), (opened + close) / 2
                for column in (high, low, vwap):
                    column.flags.writeable = False
                yield Bars(
                    ts=opens + (t + 1) * step,
                    interval_ns=step,
                    opened=opens + t * step,
                    open=opened,
                    high=high,
                    low=low,
                    close=close,
                    volume=volumes[t],
                    vwap=vwap,
                    status=status,
                    member=member,
                )
            closes = opens + self.law.bars * step
            yield Timer(ts=closes, name=SESSION_CLOSED, due=closes)

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of the bars of these dates, both counting."""
        epoch = dt.date(1970, 1, 1)
        low = None if start is None else (start - epoch).days * DAY_NS
        return low, None if end is None else ((end - epoch).days + 1) * DAY_NS

    def issues(self) -> tuple[Issue, ...]:
        """None: days are drawn without defects."""
        return ()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of what is drawn."""
        digest = hashlib.sha256(msgspec.json.encode([self.law, self._seed]))
        digest.update(self._price.tobytes())
        return {"generated_days": digest.hexdigest()}


def _sessions(days: int) -> Sessions:
    """Monday to Friday."""
    first = (_FIRST - dt.date(1970, 1, 1)).days
    k = np.arange(days, dtype=np.int64)
    label = (first + k // 5 * 7 + k % 5) * DAY_NS
    opens = label + _OPENS * MINUTE_NS
    none = np.zeros(days, np.int64)
    closes = opens + _LENGTH * MINUTE_NS
    return Sessions(
        name="generated", label=label, opens=opens, closes=closes, break_from=none, break_to=none, source="generated"
    )
