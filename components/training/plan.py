"""Which slices a training learns from, stops by and is judged by: windows as data, planned from instants alone."""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from components.training.slices import runs
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS, MINUTE_NS, Codes, Mask, Stamps
from engine.instants import day_text as _day
from engine.learning import Block, Fold, Span, Splitter, Task

_LENGTH = re.compile(r"([0-9]+) ?(d|w|y|slices?|sessions?)?")


class Length(msgspec.Struct, frozen=True):
    """A stretch of history: so many slices, or so much calendar time. One of the two is 0."""

    slices: int = 0
    ns: int = 0

    def __bool__(self) -> bool:
        return bool(self.slices or self.ns)

    def __str__(self) -> str:
        return f"{self.ns // DAY_NS}d" if self.ns else f"{self.slices} slices"

    def before(self, ts: Stamps, k: int) -> int:
        """The position of the first slice of a stretch that ends just before slice k; negative where too few are."""
        if not self.ns:
            return k - self.slices
        begin = int(ts[k] if k < len(ts) else ts[-1] + 1) - self.ns
        return -1 if begin < ts[0] else int(np.searchsorted(ts, begin))

    def after(self, ts: Stamps, k: int) -> int:
        """The position behind the last slice of a stretch that begins with slice k; at most the number of slices."""
        if not self.ns:
            return min(k + self.slices, len(ts))
        return int(np.searchsorted(ts, ts[k] + self.ns))


def length_of(text: str) -> Length:
    """A length as it is written: a number of slices, or of calendar days, weeks or years.

    >>> length_of("60"), length_of("20 sessions"), length_of("2w") == length_of("14d"), length_of("4y").ns // DAY_NS
    (Length(slices=60, ns=0), Length(slices=20, ns=0), True, 1461)
    """
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ValueError(f"a length is a number of slices such as 60, or of days such as 90d, got {text!r}")
    number, unit = int(found[1]), found[2] or ""
    quarters = {"d": 4, "w": 28, "y": 1461}.get(unit)  # of a day: a year has 365 1/4
    return Length(slices=number) if quarters is None else Length(ns=number * quarters * DAY_NS // 4)


def check_lengths(written: Mapping[str, str | None], interval_ns: int, whose: str) -> None:
    """Raises ConfigError for a length in sessions where a session has more slices than one: it counts slices."""
    for name, text in written.items():
        if text is None or "session" not in text or interval_ns >= DAY_NS:
            continue
        count = text.partition("session")[0].strip()
        raise ConfigError(
            f"{whose}.{name}: {text!r} counts slices, and those of this model last {interval_ns / MINUTE_NS:g} "
            f"minutes, so they are no trading days; write {count} slices, or calendar days such as {count}d"
        )


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One fold of a plan, by instants: see `Task`."""

    train: Span
    valid_from: int | None
    test: Span | None
    left_out: tuple[Span, ...] = ()
    blocks: tuple[Block, ...] = ()


class Rolling(msgspec.Struct, frozen=True, kw_only=True):
    """A walk forward: the window that is learned from lies before the one that is predicted, and both move on."""

    every: Length  # what is predicted before the next training
    window: Length  # what the first training learns from, its validation part included
    sliding: bool = False  # later ones learn from as much; else from all since the beginning
    valid: Length = Length()  # the last part of each window, to stop by; none = as the model says
    embargo: Length = Length()  # left out between what is learned from and what is predicted
    start: int | None = None  # first instant that is predicted, None = once the first window is full


def roll(ts: Stamps, plan: Rolling) -> tuple[Window, ...]:
    """The windows of a walk forward over slices at these instants, oldest first.

    A window ends with the slice before the first that is predicted (or before the embargo): what was not known by then
    is left out by the interval of each label, whatever its horizon (`known`). The test parts lie side by side, so that
    each slice is predicted once; the last one may be shorter. Raises DataError where history is too short for the
    first.

    >>> windows = roll(np.arange(10), Rolling(every=Length(3), window=Length(4)))
    >>> [(w.train.since, w.train.until, w.test.since, w.test.until) for w in windows]
    [(0, 4, 4, 7), (0, 7, 7, 10)]
    """
    check_ordered(ts)
    k = _first(ts, plan)
    found: list[Window] = []
    while k < len(ts):
        window = _window(ts, plan, k, full=plan.sliding or not found)
        stop = max(plan.every.after(ts, k), k + 1)
        found.append(msgspec.structs.replace(window, test=Span(int(ts[k]), int(ts[stop - 1]) + 1)))
        k = stop
    return tuple(found)


def newest(ts: Stamps, label_to: Stamps, plan: Rolling, judge: Length) -> Window:
    """The window of the latest training that can be judged: the last `judge` slices whose label is known are predicted,
    what lies before them is learned from, as in a walk forward. DataError where that is less than `plan.window`.

    >>> window = newest(np.arange(10), np.arange(10) + 2, Rolling(every=Length(1), window=Length(4)), Length(3))
    >>> (window.train.since, window.train.until, window.test.since, window.test.until)
    (0, 5, 5, 8)
    """
    check_ordered(ts)
    known = int(np.count_nonzero(label_to <= ts[-1]))  # what is not known yet lies at the end
    k = judge.before(ts[:known], known) if known else -1
    if k < 1 or plan.window.before(ts, max(0, plan.embargo.before(ts, k))) < 0:
        raise DataError(
            f"training.online: too little history to learn from {plan.window} and judge by {judge}: {known} slices "
            f"from {_day(ts[0])} on have a label that is known; shorten training.split.window or training.online.judge"
        )
    window = _window(ts, plan, k, full=True)
    return msgspec.structs.replace(window, test=Span(int(ts[k]), int(ts[known - 1]) + 1))


def _window(ts: Stamps, plan: Rolling, k: int, *, full: bool) -> Window:
    """What is learned from to predict slice k, without its test part; `full` = at least as long as the plan says."""
    end = plan.embargo.before(ts, k)
    since = plan.window.before(ts, end) if full else 0
    if end < 1 or since < 0:
        raise _short(ts, plan, k)
    valid = plan.valid.before(ts, end) if plan.valid else end
    if valid <= since:
        raise DataError(
            f"training.split: valid ({plan.valid}) leaves nothing to learn from in {_day(ts[since])} to "
            f"{_day(ts[end - 1])}; shorten it or lengthen window ({plan.window})"
        )
    return Window(
        train=Span(int(ts[since if plan.sliding else 0]), int(ts[end - 1]) + 1),
        valid_from=int(ts[valid]) if plan.valid else None,
        test=None,
    )


def _first(ts: Stamps, plan: Rolling) -> int:
    """The first slice that is predicted."""
    if plan.start is not None:
        k = int(np.searchsorted(ts, plan.start))
        if k == len(ts):
            raise DataError(
                f"training.split: start {_day(plan.start)} lies behind the last slice, {_day(ts[-1])}; begin earlier"
            )
        return k
    k = plan.window.after(ts, 0)
    if k < len(ts) and plan.embargo:
        k = plan.embargo.after(ts, k)
    if k >= len(ts):
        raise _short(ts, plan, k)
    return k


def _short(ts: Stamps, plan: Rolling, k: int) -> DataError:
    had = min(k, len(ts))
    gap = f" and an embargo of {plan.embargo}" if plan.embargo else ""
    first = f" before {_day(ts[k])}" if k < len(ts) else ""
    return DataError(
        f"training.split: too little history for one window of {plan.window}{gap}: the feed has {had} slices{first}, "
        f"from {_day(ts[0])} on; shorten window, begin later, or take a longer feed"
    )


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """One training on what was known by an instant."""

    until: int  # first instant that is not learned from
    valid_from: int | None = None
    test_from: int | None = None  # None = from `until` on
    test_until: int | None = None  # None = to the end


def once(ts: Stamps, plan: Once) -> tuple[Window, ...]:
    """The one window of a fixed split. Without a slice behind `until` it has no test part.

    Raises DataError where a part that was asked for has no slice.
    """
    check_ordered(ts)
    end = int(np.searchsorted(ts, plan.until))
    if not end:
        raise DataError(f"training.split: no slice before {_day(plan.until)}: the feed begins on {_day(ts[0])}")
    if plan.until > ts[-1] + 8 * DAY_NS:
        raise DataError(
            f"training.split: it learns until {_day(plan.until - 1)}, and the feed ends with {_day(ts[-1])}; "
            "name a day that it has"
        )
    if plan.valid_from is not None and not ts[0] < plan.valid_from <= ts[end - 1]:
        raise DataError(
            f"training.split: valid_from {_day(plan.valid_from)} leaves no slice to learn from or none to stop by; "
            f"slices go from {_day(ts[0])} to {_day(ts[end - 1])}"
        )
    low = max(end, int(np.searchsorted(ts, plan.test_from or 0)))
    high = len(ts) if plan.test_until is None else int(np.searchsorted(ts, plan.test_until))
    if high <= low and (plan.test_from is not None or plan.test_until is not None):
        raise DataError(f"training.split: no slice to predict; the feed ends with {_day(ts[-1])}")
    test = Span(int(ts[low]), int(ts[high - 1]) + 1) if high > low else None
    return (Window(train=Span(int(ts[0]), int(ts[end - 1]) + 1), valid_from=plan.valid_from, test=test),)


def folded(ts: Stamps, label_from: Stamps, label_to: Stamps, splitter: Splitter) -> tuple[Window, ...]:
    """The folds of a splitter as windows, by instants: what is learned from may lie on both sides of what is tested.

    >>> from components.training.splitters import PurgedKFold
    >>> when = np.arange(6) * 10
    >>> _, window, _ = folded(when, when + 5, when + 15, PurgedKFold(folds=3, lookback=0))
    >>> (window.train.since, window.train.until), [(gap.since, gap.until) for gap in window.left_out]
    ((0, 51), [(10, 50)])
    >>> [(block.span.since, block.span.until, block.path) for block in window.blocks]
    [(20, 31, 0)]
    """
    check_ordered(ts)
    return tuple(_fold_window(ts, fold) for fold in splitter.folds(ts, label_from, label_to))


def _fold_window(ts: Stamps, fold: Fold) -> Window:
    path = np.where(fold.test, 0, -1) if fold.path is None else fold.path
    blocks = tuple(
        Block(Span(int(ts[low]), int(ts[high - 1]) + 1), p)
        for p in np.unique(path[path >= 0]).tolist()
        for low, high in runs(path == p)
    )
    blocks = tuple(sorted(blocks, key=lambda block: block.span.since))
    learns, later = np.flatnonzero(fold.train), np.flatnonzero(fold.test)
    behind = later[later > learns[-1]]
    # What is learned from ends where the next test begins: the labels of its last slices were known by then.
    until = int(ts[behind[0]]) if len(behind) else int(ts[-1]) + 1
    gaps = ~fold.train & (ts >= ts[learns[0]]) & (ts < until)
    return Window(
        train=Span(int(ts[learns[0]]), until),
        valid_from=None,
        test=Span(blocks[0].span.since, blocks[-1].span.until),
        left_out=tuple(Span(int(ts[low]), int(ts[high]) if high < len(ts) else until) for low, high in runs(gaps)),
        blocks=blocks,
    )


def check_ordered(ts: Stamps) -> None:
    """Raises DataError for slices that are none, or of which two have one instant or stand in the wrong order."""
    if not len(ts):
        raise DataError("training: the feed has no slice in the history that was asked for; look at since and until")
    wrong = np.flatnonzero(np.diff(ts) <= 0)
    if len(wrong):
        k = int(wrong[0]) + 1
        said = "twice" if ts[k] == ts[k - 1] else f"after {_day(ts[k - 1])}"
        raise DataError(
            f"training: the slice of {_day(ts[k])} comes {said}; a feed hands out each instant once, in order"
        )


# ---- what of a panel a task may see ----------------------------------------------------------------------------------


def learned(task: Task, ts: Stamps, label_to: Stamps) -> tuple[int, int]:
    """The range [low, high) of slices that the task learns from: their labels were known before its window ended.

    Label intervals end in the order of their slices, so what is not known yet lies at the end.
    """
    low = int(np.searchsorted(ts, task.train.since))
    high = int(np.searchsorted(ts, task.train.until))
    unknown = np.flatnonzero(label_to[low:high] >= task.train.until)
    return low, low + int(unknown[0]) if len(unknown) else high


def purged(task: Task, ts: Stamps, label_to: Stamps) -> Mask:
    """Which of the slices of `learned` belong to neither part: their label looks into the validation part."""
    if task.valid_from is None:
        return np.zeros(len(ts), bool)
    mask: Mask = (ts < task.valid_from) & (label_to > task.valid_from)
    return mask


def check_known(task: Task, ts: Stamps, label_to: Stamps) -> None:
    """Raises DataError where a task has nothing to learn from once what was not known by then is left out."""
    low, high = learned(task, ts, label_to)
    part = slice(low, high)
    left = ~purged(task, ts[part], label_to[part]) & ~within(ts[part], task.left_out)
    valid = ts[part] >= (task.valid_from or 2**63 - 1)
    if not (left & ~valid).any():
        raise DataError(
            f"training: {task.model} has no label of horizon {task.horizon} to learn from between "
            f"{_day(task.train.since)} and {_day(task.train.until)}: none was known by its end"
            f"{' or by the validation part' if task.valid_from else ''}; lengthen window or take a shorter horizon"
        )
    if task.valid_from is not None and not valid.any():
        raise DataError(
            f"training: {task.model} has no label of horizon {task.horizon} to stop by between {_day(task.valid_from)} "
            f"and {_day(task.train.until)}; lengthen valid or take a shorter horizon"
        )


def tested(task: Task, ts: Stamps) -> tuple[int, int]:
    """The range [low, high) of slices that the task is judged by; empty without a test part."""
    if task.test is None:
        return 0, 0
    return int(np.searchsorted(ts, task.test.since)), int(np.searchsorted(ts, task.test.until))


def tested_parts(task: Task, ts: Stamps) -> tuple[tuple[int, int], ...]:
    """The ranges [low, high) of slices that the task is judged by, in order of time; none without a test part."""
    if not task.blocks:
        low, high = tested(task, ts)
        return ((low, high),) if high > low else ()
    edges = ((block.span.since, block.span.until) for block in task.blocks)
    return tuple((int(np.searchsorted(ts, since)), int(np.searchsorted(ts, until))) for since, until in edges)


def tested_rows(task: Task, ts: Stamps) -> tuple[Codes, Codes]:
    """(S,) the places of the slices that the task is judged by, and the backtest path of each."""
    parts = tested_parts(task, ts)
    paths = [block.path for block in task.blocks] or [0]
    rows = [np.arange(low, high, dtype=np.int32) for low, high in parts]
    each = [np.full(high - low, path, np.int32) for (low, high), path in zip(parts, paths, strict=bool(parts))]
    none = np.zeros(0, np.int32)
    return np.concatenate([none, *rows]), np.concatenate([none, *each])


def within(ts: Stamps, spans: Sequence[Span]) -> Mask:
    """(T,) the instants that lie in any of the spans."""
    found = np.zeros(len(ts), bool)
    for span in spans:
        found |= (ts >= span.since) & (ts < span.until)
    return found


def distinct(tasks: Iterator[Task]) -> tuple[Task, ...]:
    """Each task once, in the order of their first mention: a grid of one model does not train the others again."""
    return tuple({task.key: task for task in tasks}.values())
