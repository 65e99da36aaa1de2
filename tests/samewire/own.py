"""A user's own components, as a run file may name them: real parts, small enough to see through."""

import datetime as dt
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from components.strategies.guards import View
from engine.events import DAY_NS, HOUR_NS, Bars, Book, Event, Features, Mask, Note, Signal, Target, TargetKind
from engine.protocols import Issue, RiskModel, Table
from engine.secret import Secret
from engine.universe import Universe, universe_of
from tests.make import day, market


class Walk:
    """A feed of a random walk."""

    def __init__(self, *, symbols: int = 3, slices: int = 30, seed: int = 1) -> None:
        if symbols < 1:
            raise ValueError(f"symbols must be at least 1, got {symbols}")
        self.universe = universe_of(tuple(f"S{i}" for i in range(symbols)))
        self.interval_ns, self.sectors = DAY_NS, ()
        self._bars = market(symbols, slices, seed=seed, holes=0.0, late=0)
        self.span = (self._bars[0].ts, self._bars[-1].ts)

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        for bars in self._bars:
            if (start is None or bars.ts >= start) and (end is None or bars.ts < end):
                yield bars

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


class RoundTheClock:
    """A feed of hours without a break: each bar opens at the instant at which the last one ends."""

    interval_ns = HOUR_NS

    def __init__(self, *, symbols: int = 5, slices: int = 200, changed_after: int | None = None) -> None:
        """From slice `changed_after` on all is another walk."""
        self.universe, self.sectors = universe_of(tuple(f"S{i}" for i in range(symbols))), ()
        one, other = (market(symbols, slices, seed=seed, holes=0.0, late=0) for seed in (1, 2))
        whole = one if changed_after is None else [*one[:changed_after], *other[changed_after:]]
        first = day(0) // DAY_NS * DAY_NS
        self._bars = [
            msgspec.structs.replace(bars, ts=first + (k + 1) * HOUR_NS, opened=first + k * HOUR_NS, interval_ns=HOUR_NS)
            for k, bars in enumerate(whole)
        ]
        self.span = (self._bars[0].ts, self._bars[-1].ts)

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        for bars in self._bars:
            if (start is None or bars.ts >= start) and (end is None or bars.ts < end):
                yield bars

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


class Tickers:
    """A feed of named symbols from files, with a session: one option of each kind."""

    def __init__(
        self,
        *,
        path: Path,
        symbols: list[str],
        close: dt.time,
        since: dt.date | None = None,
        stamped: Literal["open", "close"] = "close",
        adjusted: bool = False,
        sectors: dict[str, str] | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        more: tuple[Path, ...] = (),
        rate: float = 1e-4,
        lots: int | str = 1,
    ) -> None:
        self.given = (path, symbols, close, since, stamped, adjusted, sectors, bounds, more, rate, lots)
        self.universe, self.interval_ns, self.sectors = universe_of(tuple(symbols)), DAY_NS, ()

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        yield from ()

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


class Last:
    """A model: minus the last return."""

    lookback = 2

    def __init__(self, *, universe: Universe, name: str, scale: float = 1.0) -> None:
        self._last, self._name, self._scale = np.full(len(universe), np.nan), name, scale

    def on_bars(self, bars: Bars, /) -> Signal:
        value, self._last = -self._scale * (bars.close / self._last - 1), bars.close
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS)


class Reads:
    """A model that reads features, and so needs some."""

    lookback = 1

    def __init__(self, *, name: str, column: int = 0) -> None:
        self._name, self._column = name, column

    def on_features(self, features: Features, /) -> Signal:
        return Signal(
            ts=features.ts, asof=features.ts, source=self._name, value=features.value[:, 0], horizon_ns=DAY_NS
        )


@dataclass(frozen=True)
class Stops:
    """Nested options."""

    loss: float = 0.1
    slices: int = 5
    kinds: tuple[str, ...] = field(default=("fixed",))


class Equal:
    """A strategy: the same weight in every name."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, stops: Stops = Stops(), gross: float = 0.5) -> None:
        self._n, self._name, self._gross, self.stops = len(universe), name, gross, stops

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        none = np.full(self._n, np.nan)
        weight = np.full(self._n, self._gross / self._n)
        return Target(
            ts=book.ts, source=self._name, kind=TargetKind.WEIGHT, value=weight, alpha=none, limit=none, stop=none
        )


class Frugal:
    """A strategy without a universe, so its own checks of values run before a session."""

    interval_ns = 0

    def __init__(self, *, name: str, gross: float = 0.5, seed: int = 0) -> None:
        if gross > 1:
            raise ValueError(f"gross must be at most 1, got {gross}")
        self._gross = gross

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> None:
        return None


class Tabled:
    """A model that is handed a table."""

    lookback = 1

    def __init__(self, *, table: Table, risk: RiskModel | None = None) -> None:
        self._table = table

    def on_bars(self, bars: Bars, /) -> Signal:
        return Signal(ts=bars.ts, asof=bars.ts, source="t", value=bars.close, horizon_ns=DAY_NS)


class Swallows:
    """A strategy that takes anything: refused."""

    def __init__(self, *, topk: int = 1, **more: Any) -> None:
        self.more = more

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> None:
        return None


class Untyped:
    """A strategy with a parameter of no type: refused."""

    def __init__(self, *, topk=1) -> None:  # type: ignore[no-untyped-def]
        self.topk = topk

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> None:
        return None


class Strange:
    """A strategy with a parameter that no run file can express: refused."""

    def __init__(self, *, when: np.ndarray[Any, Any] | None = None) -> None:
        self.when = when

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> None:
        return None


class Shapeless:
    """No component at all."""


first_day = day(0)


class Guarded:
    """A strategy that logs in somewhere: it holds the same share of everything once it has its password."""

    interval_ns = 0

    def __init__(
        self, *, password: Secret, keys: dict[str, Secret] | None = None, spare: Secret | None = None, fail: str = ""
    ) -> None:
        self.given = (password, keys or {}, spare)
        self._password, self._fail, self._told = password, fail, False
        if fail == "start":
            raise ValueError(f"login as {password.reveal()} was refused")

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        clear = self._password.reveal()
        if not self._told:
            self._told = True
            logging.getLogger("guarded").warning("connected with %s, that is %s", self._password, clear)
            logging.getLogger("guarded").error("odd answer", extra={"answer": clear})
            try:
                raise ConnectionError(f"retry with {clear!r}")
            except ConnectionError:
                logging.getLogger("guarded").exception("lost the line")
        if self._fail == "warn":
            warnings.warn(f"key {clear}", stacklevel=1)
        if self._fail == "slice":
            try:
                raise LookupError(f"no session for {clear}")
            except LookupError as error:
                raise RuntimeError(f"gateway: {clear} expired") from error
        n = len(book.qty)
        none = np.full(n, np.nan)
        return Target(
            ts=book.ts,
            source="guarded",
            kind=TargetKind.WEIGHT,
            value=np.full(n, 0.5 / n),
            alpha=none,
            limit=none,
            stop=none,
        )

    def on_bars(self, bars: Bars, /) -> Note:
        text = self._password.reveal() if self._fail == "note" else f"as {self._password}"
        return Note(ts=bars.ts, source="strategy", kind="login", text=text)


class OnlyFirst:
    """A filter: the first symbol and no other."""

    def passes(self, view: View, /) -> Mask:
        return np.arange(len(view.universe)) == 0


class Rota:
    """A strategy with an option whose name means something else."""

    interval_ns = 0

    def __init__(self, *, schedule: str = "daily") -> None: ...

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        return None
