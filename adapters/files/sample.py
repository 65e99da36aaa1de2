"""A generated market as a feed: its answer is known, so a run over it can be checked."""

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterator

import msgspec
import numpy as np

from adapters.files.history import sectors_reference
from adapters.files.market import WINDOW, Action, Law, feature_moments, generate
from adapters.files.slices import Block, bars_of
from adapters.files.when import Timing, parse_close
from engine.errors import DataError
from engine.events import DAY_NS, ActionKind, Actions, Event, Matrix, Status
from engine.instants import instant_text
from engine.protocols import Issue
from engine.universe import universe_of

SYMBOLS_MAX = 1000
PAY_DAYS = 21  # from ex-date to payment
_OPEN = "09:30 America/New_York"
_CLOSE = "16:00 America/New_York"


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """What a model can find in the generated market. All numbers are theory, not measured."""

    feature: str
    window: int  # slices
    horizon_ns: int  # from the open after the slice to the open after that
    ic: float  # expected cross-sectional correlation of the feature with that return
    edge: float  # expected log return for one standard deviation of the feature
    persistence: float  # correlation of the feature with itself one slice later


class SampleFeed:
    """A generated market with a planted signal: daily bars of New York sessions from 2018-01-02 on.

    Eight sectors, quarterly dividends, four splits, one delisting, one halt of six days, and one bar in a thousand
    missing. Returns follow the volume surprise of the slice before: `planted()` tells how strongly. `permuted` moves
    that relation each day to other symbols: the same market, with nothing to find.

    Actions enter at the local midnight that begins their ex-date. Memory: the whole market, 63 kB a symbol and year.

    >>> feed = SampleFeed(symbols=10, years=1)
    >>> len(feed.universe), sum(isinstance(event, Bars) for event in feed.events())
    (10, 251)
    """

    def __init__(
        self, *, symbols: int = 50, years: int = 5, seed: int = 7, ic: float = 0.07, permuted: bool = False
    ) -> None:
        if not 8 <= symbols <= SYMBOLS_MAX:
            raise ValueError(f"symbols must lie between 8 and {SYMBOLS_MAX}, got {symbols}")
        if not 1 <= years <= 5:
            raise ValueError(f"years must lie between 1 and 5, got {years}")
        if not 0.0 <= ic <= 0.5:
            raise ValueError(f"ic must lie between 0 and 0.5, got {ic}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self._law = Law(symbols=symbols, years=years, ic=ic, permuted=permuted)
        self._seed = seed
        self._market = generate(self._law, np.random.default_rng(seed))
        self.universe = universe_of(self._market.symbols, tick=0.01)
        self.interval_ns = DAY_NS
        self._timing = Timing(dated=True, interval_ns=DAY_NS, close=parse_close(_CLOSE))
        self.close = _CLOSE  # when a date of a user's own table becomes known
        self.sectors = self._market.sectors
        opens, closes = parse_close(_OPEN), parse_close(_CLOSE)
        days = self._market.days.tolist()
        self._opened = np.array([opens.instant(day) for day in days], np.int64)
        self._ts = np.array([closes.instant(day) for day in days], np.int64)
        self.span = (int(self._ts[0]), int(self._ts[-1]))

    def planted(self) -> Planted:
        """What was planted, from theory: nothing at all where `permuted`."""
        return Planted(
            feature=f"log volume minus its mean over the last {WINDOW} slices, in standard deviations",
            window=WINDOW,
            horizon_ns=DAY_NS,
            ic=0.0 if self._law.permuted else self._law.ic,
            edge=self._market.edge,
            persistence=feature_moments()[1],
        )

    def planted_feature(self) -> Matrix:
        """(T, N) the planted feature as each slice knows it, NaN = unknown."""
        return self._market.feature

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order: the sectors first."""
        found = False
        for event in self._all():
            if end is not None and event.ts >= end:
                break
            if start is not None and event.ts < start:
                continue
            if not found:
                yield sectors_reference(event.ts, self.sectors)
            found = True
            yield event
        if not found:
            low, high = instant_text(int(self._ts[0])), instant_text(int(self._ts[-1]))
            raise DataError(f"sample: it has no event in the range; it covers {low} to {high}")

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of the bars of these trading days, both counting; None = open on that side.

        Actions of the days after `start` up to `end` lie in it. One whose ex-date is `start` itself enters before the
        first bar, when nothing is held that it could change, and stays outside.
        """
        return self._timing.bounds(start, end)

    def issues(self) -> tuple[Issue, ...]:
        """None: the market is drawn without defects."""
        return ()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of what is drawn."""
        digest = hashlib.sha256(msgspec.json.encode([self._law, self._seed]))
        for column in (self._market.open, self._market.close, self._market.volume):
            digest.update(column.tobytes())
        return {"sample": digest.hexdigest()}

    def _all(self) -> Iterator[Event]:
        market = self._market
        status = np.where(np.isnan(market.close), np.int32(Status.MISSING), np.int32(Status.FRESH))
        status[market.halted] = Status.HALTED
        block = Block(
            ts=self._ts,
            opened=self._opened,
            prices=(market.open, market.high, market.low, market.close, market.volume),
            vwap=None,
            status=status,
            member=np.ones(market.close.shape, np.bool_),
        )
        by_day = {day: list(group) for day, group in itertools.groupby(market.actions, key=lambda action: action.day)}
        for k, bars in enumerate(bars_of(block, DAY_NS)):
            if k in by_day:
                yield self._actions(by_day[k])
            yield bars

    def _actions(self, legs: list[Action]) -> Actions:
        midnight = msgspec.structs.replace(parse_close(_CLOSE), seconds=0)
        day = int(self._market.days[legs[0].day])
        paid = midnight.instant(day + PAY_DAYS)
        kind = np.array([leg.kind for leg in legs], np.int32)
        columns = {
            "kind": kind,
            "symbol": np.array([leg.symbol for leg in legs], np.int32),
            "ratio": np.array([leg.ratio for leg in legs]),
            "amount": np.array([leg.amount for leg in legs]),
            "pay_at": np.where(kind == ActionKind.CASH_DIVIDEND, paid, 0).astype(np.int64),
            "successor": np.full(len(legs), -1, np.int32),
        }
        for column in columns.values():
            column.flags.writeable = False
        return Actions(ts=midnight.instant(day), **columns)
