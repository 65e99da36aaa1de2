"""History as days of bars: arrays that thousands of episodes share."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.calendar import Sessions
from engine.errors import DataError
from engine.events import DAY_NS, ActionKind, Actions, Bars, Codes, Matrix, Stamps, Status
from engine.protocols import Feed
from engine.universe import Universe

CELLS_MAX = 16_000_000  # bars x symbols x days that are held: 52 bytes each
COLUMNS = ("open", "high", "low", "close", "vwap", "volume")


class Days(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """D trading days of at most B bars of N symbols, read-only.

    A row of the columns, shape (D * N, B), is one symbol's day: row = day * N + symbol. The bars of a day are the
    slices that the feed has in it, in their order, as the engine sees them: a symbol without a bar in one of them is
    MISSING there, and a minute in which nobody traded is no slice. Days may have fewer than B bars: what lies behind
    `length` is MISSING and of the instant 0. B is that of the longest day, or of the longest session of the calendar.

    What is known at a bar of the bars to come does not follow from how many came: `slots` is how many bars an order of
    this bar has until the close of its session, and `latest` the last bar that there can still be by the clock, as the
    desk of a session counts them; without a calendar, or with bars of a day, those of the longest day.
    """

    universe: Universe
    interval_ns: int
    label: Stamps  # (D,) midnight UTC of the local date
    length: NDArray[np.intp]  # (D,) bars of each day
    opened: Stamps  # (D, B)
    ts: Stamps  # (D, B)
    slots: NDArray[np.intp]  # (D, B)
    latest: NDArray[np.intp]  # (D, B)
    ratio: Matrix  # (D, N) shares for one of the day before: its splits
    open: Matrix
    high: Matrix
    low: Matrix
    close: Matrix
    vwap: Matrix
    volume: Matrix
    status: Codes  # (D * N, B)
    extra: tuple[Matrix, ...] = ()  # bid, ask, ...: named in the universe

    def __len__(self) -> int:
        return len(self.label)

    @property
    def bars(self) -> int:
        """B, bars of the longest day."""
        return int(self.ts.shape[1])

    def by_day(self, name: str) -> NDArray[Any]:
        """(D, N, B) a column, as a view."""
        column: NDArray[Any] = getattr(self, name)
        return column.reshape(len(self), len(self.universe), self.bars)

    def date(self, day: int) -> dt.date:
        return _date(int(self.label[day]))


def _date(label: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=label // DAY_NS)


def days_of(
    feed: Feed, start: dt.date | None = None, end: dt.date | None = None, *, cells_max: int = CELLS_MAX
) -> Days:
    """The trading days of a feed from `start` to `end`, both counting; None = open on that side.

    A day is a session of the feed's calendar, and its bars those of trading hours; without one, what the feed's own
    `bounds` calls a local date; else a date of UTC by the instant at which a bar opened. Bars of another interval than
    the feed's finest are passed over.

    DataError where it has no bars, or more of them than `cells_max` (memory: about 52 bytes each).
    """
    cut = _Cut(feed, cells_max)
    bounds = getattr(feed, "bounds", None)
    if bounds is not None:
        low, high = bounds(start, end)
    else:
        low = None if start is None else _midnight(start)
        high = None if end is None else _midnight(end) + DAY_NS
    for event in feed.events(low, high):
        if isinstance(event, Bars) and event.interval_ns == feed.interval_ns:
            cut.on_bars(event)
        elif isinstance(event, Actions):
            cut.on_actions(event)
    return cut.days()


def _midnight(date: dt.date) -> int:
    return (date - dt.date(1970, 1, 1)).days * DAY_NS


class _Hours:
    """The sessions of days as the desk of a session counts their slices, see `components.execution.horizon`."""

    def __init__(self, sessions: Sessions | None, label: Stamps, interval_ns: int) -> None:
        known = sessions is not None and interval_ns < DAY_NS
        self._sessions = sessions if known else None
        self._step, self.bars = interval_ns, 0
        if self._sessions is not None:
            self._row = np.searchsorted(self._sessions.label, label)
            self.bars = int(self._slots(self._sessions.opens[self._row][:, None]).max())

    def ahead(self, ts: Stamps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(D, B) bars until the close, and the latest bar that there may still be; `ts` (D, B)."""
        tick = np.broadcast_to(np.arange(ts.shape[1]), ts.shape)
        if self._sessions is None:
            last = ts.shape[1] - 1
            return last - tick, np.full(ts.shape, last)
        some, left = ts > 0, self._slots(ts)
        return np.where(some, left, 0), np.where(some, tick + np.maximum(left, 1), ts.shape[1] - 1)

    def _slots(self, ts: Stamps) -> NDArray[np.intp]:
        """(D, B) slices from `ts` to the close, the lunch break left out."""
        assert self._sessions is not None
        opens, closes, since, until = (
            getattr(self._sessions, name)[self._row][:, None] for name in ("opens", "closes", "break_from", "break_to")
        )
        start = np.maximum(ts, opens)
        pause = np.maximum(until - np.maximum(start, since), 0)
        slots: NDArray[np.intp] = -(-(closes - start - pause) // self._step)
        return slots


class _Cut:
    """Gathers slices day by day."""

    def __init__(self, feed: Feed, cells_max: int) -> None:
        self._feed, self._left, self._cells_max = feed, cells_max, cells_max
        self._range = (0, 0)
        self._label = 0
        self._labels: list[int] = []
        self._slices: list[list[Bars]] = []  # of the day that is gathered, and the columns of those before
        self._done: list[dict[str, NDArray[Any]]] = []
        self._ratio = np.ones(len(feed.universe))
        self._ratios: list[NDArray[np.float64]] = []

    def on_bars(self, bars: Bars) -> None:
        label = self._label_of(bars)
        if label is None:
            return
        self._left -= len(bars.close)
        if self._left < 0:
            raise DataError(
                f"days: the feed has more than {self._cells_max:,} bars of its symbols, which would take "
                f"{self._cells_max * 52 // 10**6:,} MB and more; name fewer symbols or a shorter range of dates"
            )
        if not self._labels or label != self._labels[-1]:
            self._close_day()
            self._labels.append(label)
            self._slices = [[]]
            self._ratios.append(self._ratio)
            self._ratio = np.ones(len(self._ratio))
        self._slices[0].append(bars)

    def on_actions(self, actions: Actions) -> None:
        """Splits count from the next day on: they take effect before its open."""
        for kind, symbol, ratio in zip(actions.kind, actions.symbol, actions.ratio, strict=True):
            if kind == ActionKind.SPLIT:
                self._ratio[symbol] *= ratio

    def _label_of(self, bars: Bars) -> int | None:
        """Midnight UTC of the local date, None out of the trading hours of the calendar."""
        sessions = getattr(self._feed, "sessions", None)
        if sessions is not None:
            day = sessions.hours_of(bars.ts)
            return int(sessions.label[day]) if day >= 0 else None
        bounds = getattr(self._feed, "bounds", None)
        guess = bars.opened // DAY_NS
        if bounds is None:
            return int(guess * DAY_NS)
        low, high = self._range
        if not low <= bars.ts < high:
            for label in range(guess - 1, guess + 3):
                date = _date(label * DAY_NS)
                low, high = (0 if bound is None else bound for bound in bounds(date, date))
                if low <= bars.ts < high:
                    self._range, self._label = (low, high), label * DAY_NS
                    break
            else:
                raise DataError(f"days: the feed's `bounds` puts the bars of {bars.ts} into no date near it")
        return self._label

    def _close_day(self) -> None:
        if not self._slices:
            return
        day = self._slices.pop()
        done: dict[str, NDArray[Any]] = {
            name: np.ascontiguousarray(np.stack([getattr(bars, name) for bars in day], axis=1))
            for name in (*COLUMNS, "status")
        }
        for k in range(len(self._feed.universe.extra)):
            done[f"extra {k}"] = np.ascontiguousarray(np.stack([bars.extra[k] for bars in day], axis=1))
        done["ts"] = np.array([bars.ts for bars in day], np.int64)
        done["opened"] = np.array([bars.opened for bars in day], np.int64)
        self._done.append(done)

    def days(self) -> Days:
        self._close_day()
        if not self._done:
            raise DataError("days: the feed has no bars in the range; widen start and end, or look at its calendar")
        length = np.array([len(day["ts"]) for day in self._done], np.intp)
        label, ratio = np.array(self._labels, np.int64), np.array(self._ratios)
        feed = self._feed
        hours = _Hours(getattr(feed, "sessions", None), label, feed.interval_ns)
        columns: dict[str, Any] = dict(self._laid_out(max(int(length.max()), hours.bars)))
        columns["slots"], columns["latest"] = hours.ahead(columns["ts"])
        for array in (*columns.values(), length, label, ratio):
            array.flags.writeable = False
        fixed: dict[str, Any] = {"universe": feed.universe, "interval_ns": feed.interval_ns}
        extra = tuple(columns.pop(f"extra {k}") for k in range(len(feed.universe.extra)))
        return Days(**fixed, label=label, length=length, ratio=ratio, extra=extra, **columns)

    def _laid_out(self, bars: int) -> Iterator[tuple[str, NDArray[Any]]]:
        """Each column padded to the longest day; what was gathered of it is let go at once."""
        n = len(self._feed.universe)
        extra = (f"extra {k}" for k in range(len(self._feed.universe.extra)))
        for name in (*COLUMNS, *extra, "status"):
            dtype, fill = (np.int32, int(Status.MISSING)) if name == "status" else (np.float64, np.nan)
            column = np.full((len(self._done), n, bars), fill, dtype)
            for day, part in zip(column, self._done, strict=True):
                values = part.pop(name)
                day[:, : values.shape[1]] = values
            yield name, column.reshape(-1, bars)
        for name in ("ts", "opened"):
            column = np.zeros((len(self._done), bars), np.int64)
            for day, part in zip(column, self._done, strict=True):
                day[: len(part[name])] = part[name]
            yield name, column
