"""History walked through the very feature set that answers live, with labels that were knowable in time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.features.adjusting import price_factor
from components.features.batch import History
from components.training.intervals import NEVER
from engine.errors import NoLabelError
from engine.events import ActionKind, Actions, Bars, Event, Matrix, Stamps, Vector
from engine.protocols import Dataset, FeatureSet

_CHUNK = 64  # slices whose features are in memory at once


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
    where either bar is missing. It is known once the bar of its exit has ended: that is label_to. A slice is left out
    unless label_to <= until_ns, so nothing later can leak in; slices before `since_ns` warm the features up only.
    Features are the wiring's own, rounded to float32. The feature set must be a fresh one; `symbols` are those of its
    own universe unless given.

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
            if event.ts > until_ns:
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


class Labels(msgspec.Struct, frozen=True, eq=False):
    """What became of each of T slices over one horizon, and between which instants that was decided."""

    value: Matrix  # (T, N), NaN = unknown
    since: Stamps  # (T,) NEVER where it was not known by the end of the history
    until: Stamps  # (T,)


class Walked(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A history without its features, which were handed out slice by slice."""

    names: tuple[str, ...]  # (F,)
    schema: str
    interval_ns: int
    ts: Stamps  # (T,)
    labels: dict[int, Labels]  # by horizon in slices


def walk_all(
    feed_events: Iterator[Event],
    feature_set: FeatureSet,
    horizons: Sequence[int],
    write: Callable[[int, NDArray[Any]], None],
    since_ns: int = 0,
) -> Walked:
    """Hands `write` each slice's ts and features, float32 (N, F), and returns the labels of several horizons: of every
    slice, NaN for the last ones, whose label is not known yet. The same numbers as `walk`; slices before `since_ns`
    warm the features up only.

    Memory: T N float64 for each horizon.
    """
    if not horizons or min(horizons) < 1:
        raise ValueError(f"horizons must be slices of at least 1, got {list(horizons)}")
    rows, features = {horizon: _Rows(horizon) for horizon in horizons}, History(feature_set)
    stamps: list[int] = []
    waiting: list[int] = []  # the stamps of features that are not handed out yet
    interval_ns = n = 0
    for event in feed_events:
        if isinstance(event, Bars):
            interval_ns, n = interval_ns or event.interval_ns, len(event.close)
            kept = event.ts >= since_ns
            features.on_bars(event, kept)
            for each in rows.values():
                each.settle(event)
                if kept:
                    each.begin(event.ts)
            if kept:
                stamps.append(event.ts)
                waiting.append(event.ts)
            if len(waiting) == _CHUNK:
                _hand_out(waiting, features, write)
            continue
        if isinstance(event, Actions):
            for each in rows.values():
                each.adjust(event)
        features.on_other(event)
    _hand_out(waiting, features, write)
    return Walked(
        names=feature_set.names,
        schema=feature_set.schema,
        interval_ns=interval_ns,
        ts=np.array(stamps, np.int64),
        labels={horizon: each.labels(len(stamps), n) for horizon, each in rows.items()},
    )


def _hand_out(waiting: list[int], features: History, write: Callable[[int, NDArray[Any]], None]) -> None:
    """The features kept so far, one slice after the other; then there are none."""
    for ts, value in zip(waiting, features.features(len(waiting)) if waiting else (), strict=True):
        write(ts, value)
    waiting.clear()


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
            # The open is told by its bar, which ends later: back to back it opens as the last one ends.
            self._done.append((row, label, bars.ts))

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

    def labels(self, slices: int, n: int) -> Labels:
        """Of all slices that began, in order; those that still wait have none."""
        value, since, until = np.full((slices, n), np.nan), np.full(slices, NEVER), np.full(slices, NEVER)
        for t, (row, label, to) in enumerate(self._done):
            value[t], since[t], until[t] = label, row.entered, to
        return Labels(value, since, until)

    def dataset(self, feature_set: FeatureSet, features: History, until_ns: int, symbols: tuple[str, ...]) -> Dataset:
        # Rows get their labels in the order in which they began, so those that are done are the first ones.
        done = [(row, label, to) for row, label, to in self._done if to <= until_ns]
        if not done:
            raise NoLabelError(
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
