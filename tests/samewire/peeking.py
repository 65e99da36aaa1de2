"""A user's components that know what is still to come, each by another way; and honest ones beside them."""

import csv
import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.models.artefact import artefact_of
from engine.events import (
    DAY_NS,
    Approved,
    Bars,
    Book,
    Children,
    Control,
    Features,
    Legs,
    Orders,
    Signal,
    Status,
    Target,
    TargetKind,
)
from engine.protocols import Artefact, Conditions, Dataset, Feed, Risk, Table
from engine.universe import Universe

_LEGS = tuple(name for name in Legs.__struct_fields__ if name != "ts")


def _signal(bars: Any, name: str, value: Any) -> Signal:
    return Signal(ts=bars.ts, asof=bars.ts, source=name, value=np.asarray(value, float), horizon_ns=DAY_NS)


def _matrix(table: Table, n: int, column: str = "") -> tuple[Any, Any]:
    """Instants (T,) and values (T, N) of a table."""
    ts = np.unique(table.ts)
    value = np.full((len(ts), n), np.nan)
    value[np.searchsorted(ts, table.ts), table.symbol] = table.columns[column or next(iter(table.columns))]
    return ts, value


class FromTable:
    """A model that answers with the close of `ahead` slices later, out of its own table. Honest where that is 0."""

    lookback = 1

    def __init__(self, *, table: Table, universe: Universe, name: str, ahead: int = 1) -> None:
        self._ts, self._close = _matrix(table, len(universe))
        self._name, self._ahead = name, ahead

    def on_bars(self, bars: Bars, /) -> Signal:
        k = int(np.searchsorted(self._ts, bars.ts)) + self._ahead
        none = np.full(len(bars.close), np.nan)
        return _signal(bars, self._name, self._close[k] / bars.close if 0 <= k < len(self._ts) else none)


class FromTableFile:
    """A model that opens the file of its table once more."""

    lookback = 1

    def __init__(self, *, table: Table, name: str) -> None:
        self._name, self._last = name, float(Path(table.path).read_text().split()[-1].split(",")[-1])

    def on_bars(self, bars: Bars, /) -> Signal:
        return _signal(bars, self._name, bars.close * self._last)


class FromFile:
    """A model that reads a file itself, date by date, and looks one day ahead. Honest where `ahead` is 0."""

    lookback = 1

    def __init__(self, *, path: Path, universe: Universe, name: str, ahead: int = 1) -> None:
        self._name, self._ahead = name, ahead
        place = {symbol: k for k, symbol in enumerate(universe.symbols)}
        self._days: dict[str, Any] = {}
        with path.open() as file:
            for row in csv.DictReader(file):
                values = self._days.setdefault(row["date"], np.full(len(universe), np.nan))
                values[place[row["symbol"]]] = float(row["close"])
        self._order = sorted(self._days)

    def on_bars(self, bars: Bars, /) -> Signal:
        today = dt.datetime.fromtimestamp(bars.ts / 1e9, dt.UTC).date().isoformat()
        k = self._order.index(today) + self._ahead if today in self._days else -1
        none = np.full(len(bars.close), np.nan)
        return _signal(bars, self._name, self._days[self._order[k]] if 0 <= k < len(self._order) else none)


class ByHeart:
    """A model that knows by heart where a file lies: no option names it."""

    lookback = 1

    def __init__(self, *, name: str) -> None:
        self._name, self._last = name, float(Path("known.csv").read_text().split(",")[-1])

    def on_bars(self, bars: Bars, /) -> Signal:
        return _signal(bars, self._name, bars.close * self._last)


class FromFeed:
    """A model that is handed a whole feed and remembers where it ends."""

    lookback = 1

    def __init__(self, *, history: Feed, name: str) -> None:
        self._last = [event.close for event in history.events() if isinstance(event, Bars)][-1]
        self._name = name

    def on_bars(self, bars: Bars, /) -> Signal:
        return _signal(bars, self._name, self._last)


SYMBOL = 1  # traded on every day of the sample


class Survivors:
    """A model that likes one symbol better if the last slice of a feed of its own still has it."""

    lookback = 1

    def __init__(self, *, history: Feed, name: str, by: str) -> None:
        last = [event for event in history.events() if isinstance(event, Bars)][-1]
        self._name, self._there = (
            name,
            bool(last.member[SYMBOL] if by == "member" else last.status[SYMBOL] == Status.FRESH),
        )

    def on_bars(self, bars: Bars, /) -> Signal:
        return _signal(bars, self._name, bars.close * (2.0 if self._there else 1.0))


class BehindTheSlice:
    """A model that looks behind a slice into the array that it was cut from."""

    lookback = 1

    def __init__(self, *, name: str) -> None:
        self._name = name

    def on_bars(self, bars: Bars, /) -> Signal:
        behind: Any = bars.close.base
        whole = np.frombuffer(behind) if isinstance(behind, bytes) else bars.close if behind is None else behind
        return _signal(bars, self._name, np.full(len(bars.close), np.nansum(whole)))


class WholeRange:
    """Features that are normalised with mean and deviation of the whole of a table, or (`expanding`) of the past."""

    names = ("level", "score")
    lookback = 1

    def __init__(self, *, table: Table, universe: Universe, expanding: bool = False) -> None:
        self.schema = f"whole-range-{expanding}"
        self._table, self._expanding = table, expanding
        self._mean, self._std = np.nanmean(table.columns["close"]), np.nanstd(table.columns["close"])

    def on_bars(self, bars: Bars, /) -> Features:
        if self._expanding:
            known = self._table.columns["close"][self._table.ts <= bars.ts]
            self._mean, self._std = (np.nanmean(known), np.nanstd(known)) if len(known) > 1 else (0.0, 1.0)
        score = (bars.close - self._mean) / self._std
        return Features(ts=bars.ts, schema=self.schema, value=np.column_stack([bars.close, score]))


class Learner:
    """A model that learns the mean label; a leaking one learns the mean of its whole table instead."""

    lookback = 1

    def __init__(self, *, name: str, table: Table | None = None, own: Table = None, universe: Universe) -> None:  # type: ignore[assignment]
        self._name, self._own, self._n = name, own, len(universe)
        self._mean = np.nan

    def fit(self, dataset: Dataset, /) -> Artefact:
        mean = float(np.nanmean(dataset.label) if self._own is None else np.nanmean(self._own.columns["close"]))
        return artefact_of({"mean.json": msgspec.json.encode({"mean": mean})})

    def predict(self, dataset: Dataset, /) -> Any:
        return np.full(dataset.label.shape, self._mean)

    def swap(self, artefact: Artefact, /) -> None:
        self._mean = msgspec.json.decode(artefact.files["mean.json"])["mean"]

    def on_features(self, features: Features, /) -> Signal:
        return _signal(features, self._name, features.value[:, 0] * self._mean)


class PeekingStrategy:
    """Half of its money in what its table says will rise most until tomorrow."""

    interval_ns = 0

    def __init__(self, *, table: Table, universe: Universe, name: str) -> None:
        self._ts, self._close = _matrix(table, len(universe))
        self._name = name

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        k = int(np.searchsorted(self._ts, book.ts)) + 1
        value, none = np.zeros(len(book.mark)), np.full(len(book.mark), np.nan)
        if k < len(self._ts):
            value[int(np.nanargmax(self._close[k] / book.mark))] = 0.5
        return Target(
            ts=book.ts, source=self._name, kind=TargetKind.WEIGHT, value=value, alpha=none, limit=none, stop=none
        )


class PeekingRisk:
    """A risk model whose variances are those of a whole file, read when it is made."""

    lookback = 1

    def __init__(self, *, path: Path, universe: Universe) -> None:
        with path.open() as file:
            closes = [float(row["close"]) for row in csv.DictReader(file)]
        self._n, self._variance = len(universe), float(np.var(closes)) / 1e6

    def on_bars(self, bars: Bars, /) -> None:
        pass

    def risk(self) -> Risk:
        n = self._n
        return Risk(factors=np.zeros((n, 1)), covariance=np.eye(1), specific=np.full(n, self._variance))


class PeekingCost:
    """Slippage that is known from the end of a table."""

    def __init__(self, *, table: Table) -> None:
        self._share = float(table.columns["close"][-1]) * 1e-6

    def price(self, qty: Any, reference: Any, at: Conditions, /) -> Any:
        return reference * (1 + np.sign(qty) * self._share)

    def fees(self, qty: Any, price: Any, at: Conditions, /) -> Any:
        return np.zeros((len(qty), 3))

    def rate(self) -> float:
        return 0.0


class PeekingGate:
    """A gate that lets through what a table will say is dear at its end."""

    def __init__(self, *, universe: Universe, table: Table) -> None:
        self._last = np.array([table.columns["close"][table.symbol == k][-1] for k in range(len(universe))])

    def on_book(self, book: Book, /) -> None:
        pass

    def on_control(self, control: Control, /) -> None:
        pass

    def on_orders(self, orders: Orders | Children, /) -> tuple[Approved, ...]:
        keep = self._last[orders.symbol] > np.median(self._last)
        return (Approved(ts=orders.ts, **{name: getattr(orders, name)[keep] for name in _LEGS}),)


class Dice:
    """A model that draws without a seed: no look-ahead, but no two runs are the same."""

    lookback = 1

    def __init__(self, *, name: str) -> None:
        self._name, self._rng = name, np.random.default_rng()

    def on_bars(self, bars: Bars, /) -> Signal:
        return _signal(bars, self._name, self._rng.normal(size=len(bars.close)))


class ManyFiles:
    """A model with a list of files that it never opens."""

    lookback = 1

    def __init__(self, *, paths: tuple[Path, ...], name: str) -> None:
        self._name = name

    def on_bars(self, bars: Bars, /) -> Signal:
        return _signal(bars, self._name, bars.close)


class NeedsTheEnd:
    """A model that cannot be made unless its table knows a day."""

    lookback = 1

    def __init__(self, *, table: Table, name: str, until: dt.date) -> None:
        last = dt.datetime.fromtimestamp(int(table.ts[-1]) / 1e9, dt.UTC).date()
        if last < until:
            raise ValueError(f"the table ends on {last}, before {until}")
        self._name = name

    def on_bars(self, bars: Bars, /) -> Signal:
        return _signal(bars, self._name, bars.close)


class Slow:
    """Features of a mean over `span` slices, declared to need only `lookback` of them."""

    names = ("close", "mean")

    def __init__(self, *, universe: Universe, span: int = 30, lookback: int = 30) -> None:
        self.lookback, self._span = lookback, span
        self.schema = f"slow-{span}"
        self._rows: list[Any] = []

    def on_bars(self, bars: Bars, /) -> Features:
        self._rows = [*self._rows, bars.close][-self._span :]
        mean = np.nanmean(np.stack(self._rows), axis=0)
        return Features(ts=bars.ts, schema=self.schema, value=np.column_stack([bars.close, mean]))


class Average:
    """A model of an exponential average that declares too little, or enough, of what it remembers."""

    def __init__(self, *, name: str, universe: Universe, span: int = 20, lookback: int = 20) -> None:
        self.lookback, self._weight, self._name = lookback, 2 / (span + 1), name
        self._mean = np.full(len(universe), np.nan)

    def on_bars(self, bars: Bars, /) -> Signal:
        close, mean = bars.close, self._mean
        self._mean = np.where(
            np.isnan(close), mean, np.where(np.isnan(mean), close, mean + self._weight * (close - mean))
        )
        return _signal(bars, self._name, close / self._mean - 1)


class Column:
    """A model that answers with one of its features."""

    lookback = 1

    def __init__(self, *, name: str, column: int = 1) -> None:
        self._name, self._column = name, column

    def on_features(self, features: Features, /) -> Signal:
        return _signal(features, self._name, features.value[:, self._column])


class ShortRisk:
    """Variances over a window, declared to need only `lookback` slices of it."""

    def __init__(self, *, universe: Universe, window: int = 30, lookback: int = 30) -> None:
        self.lookback, self._window, self._n = lookback, window, len(universe)
        self._closes: list[Any] = []

    def on_bars(self, bars: Bars, /) -> None:
        self._closes = [*self._closes, bars.close][-self._window :]

    def risk(self) -> Risk | None:
        if len(self._closes) < 3:
            return None
        returns = np.diff(np.log(np.stack(self._closes)), axis=0)
        known = np.where(np.isfinite(returns), returns, 0.0)
        return Risk(factors=np.zeros((self._n, 1)), covariance=np.eye(1), specific=known.var(axis=0) + 1e-6)
