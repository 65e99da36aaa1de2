"""History walked through the very feature set that answers live, with labels that were knowable in time."""

from collections import deque
from collections.abc import Iterator

import msgspec
import numpy as np

from components.features.adjusting import price_factor
from components.features.batch import History
from engine.errors import DataError
from engine.events import ActionKind, Actions, Bars, Event, Vector
from engine.protocols import Dataset, FeatureSet


def walk(
    feed_events: Iterator[Event],
    feature_set: FeatureSet,
    horizon: int,
    until_ns: int,
    since_ns: int | None = None,
    symbols: tuple[str, ...] = (),
) -> Dataset:
    """Features and labels of every slice whose label was known by `until_ns`.

        label_t = adjusted open of slice t + 1 + horizon / open of slice t + 1 - 1

    A decision at slice t trades at the next open, so that is where its return begins. Prices are adjusted for the
    splits and dividends in between; a name that is delisted in between ends at its stated last price. A label is NaN
    where either bar is missing. A slice is left out unless label_to <= until_ns, so nothing later can leak in; slices
    before `since_ns` warm the features up only. Features are the wiring's own, rounded to float32. The feature set must
    be a fresh one; `symbols` are those of its own universe unless given.

    Memory: T N F float32 once, and N float64 for each label.

    >>> from components.features.rolling import Rolling
    >>> from engine.universe import universe_of
    >>> prices = [10.0, 11.0, 12.0, 15.0]
    >>> history = (bars(day(k), [p]) for k, p in enumerate(prices))
    >>> walk(history, Rolling(universe=universe_of(("A",))), horizon=1, until_ns=day(9)).label.round(3)
    array([[0.091], [0.25 ]])
    """
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 slice, got {horizon}")
    rows, features = _Rows(horizon), History(feature_set)
    for event in feed_events:
        if isinstance(event, Bars):
            if event.opened > until_ns:
                break  # whatever follows is later still
            rows.interval_ns = rows.interval_ns or event.interval_ns
            rows.settle(event)
            kept = since_ns is None or event.ts >= since_ns
            features.on_bars(event, kept)
            if kept:
                rows.begin(event.ts)
            continue
        if isinstance(event, Actions):
            rows.adjust(event)
        features.on_other(event)
    return rows.dataset(feature_set, features, until_ns, symbols)


class _Row(msgspec.Struct, eq=False):
    """One slice on its way to a label: first it waits for its entry, then for its exit."""

    ts: int
    entry: Vector | None = None  # adjusted open of the next slice
    entered: int = 0
    ended: Vector | None = None  # return of names delisted since the entry, NaN = still there
    age: int = 0  # slices since


class _Rows:
    """The rows that wait for labels, and those that have one."""

    def __init__(self, horizon: int) -> None:
        self._horizon, self.interval_ns = horizon, 0
        self._waiting: deque[_Row] = deque(maxlen=horizon + 1)
        self._close: Vector | None = None
        self._done: list[tuple[_Row, Vector, int]] = []

    def begin(self, ts: int) -> None:
        self._waiting.append(_Row(ts))

    def settle(self, bars: Bars) -> None:
        """Takes a new slice: an entry for the youngest row, an exit for the oldest."""
        opening = np.where(bars.status == 0, bars.open, np.nan)
        close = np.where(bars.status == 0, bars.close, np.nan)
        self._close = close if self._close is None else np.where(np.isnan(close), self._close, close)
        for row in self._waiting:
            row.age += 1
            if row.age == 1:
                row.entry, row.entered = opening, bars.opened
        if self._waiting and self._waiting[0].age == self._horizon + 1:
            row = self._waiting.popleft()
            if row.entry is None:
                raise RuntimeError(f"panel: the slice at {row.ts} has an exit without an entry")
            label = opening / row.entry - 1.0
            if row.ended is not None:
                label = np.where(np.isnan(row.ended), label, row.ended)
            self._done.append((row, label, bars.opened))

    def adjust(self, actions: Actions) -> None:
        """Brings entries into the terms of prices after these actions, and ends what is delisted."""
        if self._close is None:
            return
        factor = price_factor(actions, self._close)
        self._close = self._close * factor
        gone = actions.kind == ActionKind.DELISTING
        for row in self._waiting:
            if row.entry is None:
                continue
            row.entry = row.entry * factor
            if gone.any():
                ended = np.full(len(factor), np.nan) if row.ended is None else row.ended
                s = actions.symbol[gone]
                ended[s] = actions.amount[gone] / row.entry[s] - 1.0
                row.ended = ended

    def dataset(self, feature_set: FeatureSet, features: History, until_ns: int, symbols: tuple[str, ...]) -> Dataset:
        # Rows get their labels in the order in which they began, so those that are done are the first ones.
        done = [(row, label, to) for row, label, to in self._done if to <= until_ns]
        if not done:
            raise DataError(
                f"training: no label is known by {until_ns} ns; train on later or longer history than "
                f"{self._horizon + 2} slices"
            )
        return Dataset(
            names=feature_set.names,
            schema=feature_set.schema,
            ts=np.array([row.ts for row, _, _ in done], np.int64),
            features=features.features(len(done)),
            label=np.stack([label for _, label, _ in done]),
            label_from=np.array([row.entered for row, _, _ in done], np.int64),
            label_to=np.array([to for _, _, to in done], np.int64),
            horizon_ns=self._horizon * self.interval_ns,
            symbols=symbols or tuple(getattr(getattr(feature_set, "window", None), "symbols", ())),
        )
