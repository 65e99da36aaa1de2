"""Does a run remember more than it declares? It is run after warm-ups of several lengths, and what drifts is named."""

import datetime as dt
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from adapters.operators.buckets import longer_text
from engine.errors import DataError
from engine.events import Bars
from engine.protocols import Feed
from engine.wiring import Parts
from samewire.again import Again, Slices, drive, warm
from samewire.drift import Answers, Drift, Key, drifts
from samewire.prepare import Progress, prepare
from samewire.reach import days
from samewire.run_file import RunFile, untaught

SLICES, TOLERANCE = 20, 1e-6  # unless told otherwise
LEAST = 250  # slices by which the longest warm-up exceeds every lookback: a short one is not believed
_SEARCHED = 10  # runs to find what would be enough
_Tell = Callable[[Progress], None]


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A component, and the slices of history after which it says that nothing older counts."""

    name: str
    kind: str  # features, model, strategy or optimizer
    lookback: int  # with that of the features that it reads and its lag; of a strategy or optimizer the session's
    interval_ns: int = 0  # of the slices that it counts in; 0 = of all
    follows: str = ""  # the feature set that it reads


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a component."""

    declared: Declared
    drift: Drift  # after a warm-up as declared, of the answer that is furthest off
    by_length: Mapping[int, tuple[Drift, ...]]  # warm-up -> every answer of it
    ok: bool
    follows: str = ""  # what it is handed drifts: the component to look at
    enough: int | None = None  # a lookback that would do, None = more than was tried
    tried: int = 0  # the longest warm-up that says something of it
    repeatable: bool = True  # False: it differs between two runs after the same warm-up, so it need not be memory


class Warmups(msgspec.Struct, frozen=True, kw_only=True):
    """What was run, and what came of it."""

    start: dt.date | None
    moved: bool  # the start, so that there is history before it
    lengths: tuple[int, ...]
    longest: Mapping[int, int]  # interval -> slices of the warm-up that all are compared with
    slices: int
    tolerance: float
    outcomes: tuple[Outcome, ...]

    @property
    def too_short(self) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if not outcome.ok and not outcome.follows)


async def warm_ups(
    run: RunFile, *, slices: int = SLICES, tolerance: float = TOLERANCE, on_progress: _Tell | None = None
) -> Warmups:
    """Runs the first `slices` slices of its session after warm-ups of 0 to 4 times the lookback that is declared.

    Answers are compared with those after the longest: 4 lookbacks, 250 slices more than one at least, or all there is.
    A session with less history before it than that is begun later.
    """
    if slices < 1 or not tolerance >= 0:
        raise ValueError(f"slices must be at least 1 and tolerance at least 0, got {slices} and {tolerance}")
    plain = prepare(replace(untaught(run), sinks=()))
    lookbacks = plain.session.wiring.lookbacks
    declared = _declared(plain.session.wiring.parts, max(lookbacks.values()))
    begun, longest, moved = _begun(run, plain.feed, lookbacks, slices)
    with tempfile.TemporaryDirectory(prefix="samewire-") as scratch:
        trials = _Trials(Again(begun, Path(scratch)), slices, longest, tolerance)
        trials.tell = on_progress
        most, end = max(lookbacks.values()), max(longest.values())
        shares = {0, most // 4, most // 2, most, 2 * most, 4 * most, end // 2}
        lengths = sorted(n for n in shares | {each.lookback for each in declared} if n < end)
        trials.expected = len(lengths) + 1
        for length in lengths:
            await trials.after(length)
        outcomes = [await trials.outcome(each, declared, lengths) for each in declared]
        return Warmups(
            start=begun.session.start,
            moved=moved,
            lengths=tuple(lengths),
            longest=longest,
            slices=len(trials.slices),
            tolerance=tolerance,
            outcomes=tuple(outcomes),
        )


def _declared(parts: Parts, most: int) -> tuple[Declared, ...]:
    sets = {named.component.schema: named for named in parts.features}
    lookback = {schema: int(getattr(named.component, "lookback", 0)) for schema, named in sets.items()}
    pace = {schema: int(getattr(named.component, "interval_ns", 0)) for schema, named in sets.items()}
    finest = parts.interval_ns
    features = [
        Declared(name=sets[s].name, kind="features", lookback=lookback[s], interval_ns=pace[s] or finest) for s in sets
    ]
    models = [
        Declared(
            name=part.name,
            kind="model",
            lookback=lookback.get(part.schema, 0) + int(getattr(part.model, "lookback", 0)) + part.lag,
            interval_ns=part.interval_ns or finest,
            follows=sets[part.schema].name if part.schema else "",
        )
        for part in parts.models
    ]
    strategies = [Declared(name=named.name, kind="strategy", lookback=most) for named in parts.strategies]
    return (*features, *models, *strategies, Declared(name=parts.optimizer.name, kind="optimizer", lookback=most))


def _begun(run: RunFile, feed: Feed, lookbacks: Mapping[int, int], slices: int) -> tuple[RunFile, dict[int, int], bool]:
    """The run, begun later where less history comes before it than wanted; slices of it by interval; whether it was."""
    start, end = days(feed, run.session.start, run.session.end)
    found: dict[int, list[int]] = {interval: [] for interval in lookbacks}
    for event in feed.events(None, end):
        if isinstance(event, Bars) and event.interval_ns in found:
            found[event.interval_ns].append(event.ts)
    instants = {interval: np.array(ts or [0], np.int64) for interval, ts in found.items()}
    wanted = {interval: max(4 * count, count + LEAST) for interval, count in lookbacks.items()}
    ready = max(int(ts[min(wanted[interval], len(ts) - 1)]) for interval, ts in instants.items())
    slowest, finest = instants[max(instants)], instants[min(instants)]
    begin = min(ready, int(slowest[max(0, len(slowest) - slices)]))
    if moved := start is None or begin > start:
        before = int(np.searchsorted(finest, begin)) - 1
        day, start = _day_after(feed, int(finest[max(before, 0)]))
        run = replace(run, session=run.session.model_copy(update={"start": day}))
    longest = {
        interval: min(wanted[interval], int(np.searchsorted(ts, start or 0))) for interval, ts in instants.items()
    }
    for interval, count in longest.items():
        if count <= lookbacks[interval]:
            raise DataError(
                f"{run.feed.where}: its {len(found[interval])} slices of {longer_text(interval)} leave {count} of "
                f"history before {slices} to look at, and {lookbacks[interval]} are declared to be needed; name a "
                "longer history, or fewer slices"
            )
    return run, longest, moved


def _day_after(feed: Feed, ts: int) -> tuple[dt.date, int]:
    """The first day all of whose bars come after an instant, and where it begins."""
    day = dt.datetime.fromtimestamp(ts // 10**9, dt.UTC).date() - dt.timedelta(days=1)
    while (low := days(feed, day, None)[0] or 0) <= ts:
        day += dt.timedelta(days=1)
    return day, low


class _Trials:
    """The same session after one warm-up or another."""

    def __init__(self, again: Again, slices: int, longest: Mapping[int, int], tolerance: float) -> None:
        self._again, self._count = again, slices
        self._longest, self._tolerance = longest, tolerance
        self._begin = again.first.start or 0
        # What a model learned is not what is looked at: it answers from the first slice on.
        controls = again.controls
        again.controls = tuple(msgspec.structs.replace(c, ts=min(c.ts, self._begin)) for c in controls)
        self._reference: Answers | None = None
        self._second: dict[Key, Drift] | None = None
        self._found: dict[int, dict[Key, Drift]] = {}
        self.slices: list[int] = []
        self.tell: _Tell | None = None
        self.expected, self._done = 1, 0  # runs

    async def after(self, length: int) -> dict[Key, Drift]:
        """How far everything is off after a warm-up of this length."""
        if self._reference is None:
            self._reference = await self._run(max(self._longest.values()))
        if length not in self._found:
            self._found[length] = drifts(await self._run(length), self._reference, self.slices, self._tolerance)
        return self._found[length]

    async def _again_as_it_was(self) -> dict[Key, Drift]:
        """How far two runs after the longest warm-up are apart: not at all, unless one draws without a seed."""
        if self._second is None:
            second = await self._run(max(self._longest.values()))
            self._second = drifts(second, self._reference or second, self.slices, self._tolerance)
        return self._second

    async def _run(self, length: int) -> Answers:
        universe = self._again.first.feed.universe
        parts = self._again.first.session.wiring.parts
        columns = {each.name: tuple(each.component.names) for each in parts.features}
        answers = Answers(columns, len(universe))
        prepared = self._again.prepared([answers])
        await warm(prepared, {interval: min(length, most) for interval, most in self._longest.items()})
        counted = Slices(max(self._longest), self._count)
        finest = Slices(self._again.first.feed.interval_ns, 0)
        await drive(prepared, lambda event: counted.goes_on(event) and finest.goes_on(event))
        self.slices = finest.ts
        if self.tell is not None:
            self._done += 1
            self.tell(Progress(self._begin, len(self.slices), min(1.0, self._done / self.expected), 0.0))
        return answers

    async def outcome(self, each: Declared, declared: tuple[Declared, ...], lengths: list[int]) -> Outcome:
        most = self._longest[each.interval_ns] if each.interval_ns else max(self._longest.values())
        tried = [n for n in lengths if n < most]  # after more it is what it is compared with
        at = await self.after(each.lookback)
        worst = max(_of(each, at), key=lambda drift: drift.max, default=_nothing(each))
        follows = _culprit(each, declared, at)
        ok = worst.beyond is None
        chance = (
            not ok
            and not follows
            and any(drift.beyond is not None for drift in _of(each, await self._again_as_it_was()))
        )
        return Outcome(
            declared=each,
            drift=worst,
            by_length={length: tuple(_of(each, self._found[length])) for length in tried},
            ok=ok,
            follows=follows,
            repeatable=not chance,
            enough=None if follows or chance else await self._enough(each, tried, most),
            tried=max(3 * most // 4, *tried),
        )

    async def _enough(self, each: Declared, tried: list[int], most: int) -> int | None:
        """The shortest warm-up after which it is within the tolerance, sought where the declared one is too short."""

        def fine(length: int) -> bool:
            return all(drift.beyond is None for drift in _of(each, self._found[length]))

        high = next((n for n in tried if all(fine(m) for m in tried if m >= n)), None)
        if high is None:  # so close to the longest that it is hardly another
            await self.after(last := max(3 * most // 4, *tried))
            high = last if fine(last) else None
        if high is None or high <= each.lookback:
            return high
        low = max((n for n in tried if n < high), default=0)
        for _ in range(_SEARCHED):
            if high - low <= 1:
                break
            middle = (low + high) // 2
            await self.after(middle)
            low, high = (low, middle) if fine(middle) else (middle, high)
        return high


def _of(each: Declared, found: Mapping[Key, Drift]) -> list[Drift]:
    return [drift for key, drift in found.items() if key[0] == each.name]


def _nothing(each: Declared) -> Drift:
    """Of a component that said nothing in any run."""
    return Drift(component=each.name, name="", max=0.0, median=0.0, settled=0, differs=None, beyond=None)


def _culprit(each: Declared, declared: tuple[Declared, ...], found: Mapping[Key, Drift]) -> str:
    """What it was handed differs no later than what it says: the first component that did so, empty = none did."""
    own = min((d.beyond for d in _of(each, found) if d.beyond is not None), default=None)
    if own is None:
        return ""
    handed = {
        "features": (),
        "model": tuple(other for other in declared if other.name == each.follows),
        "strategy": tuple(other for other in declared if other.kind == "model"),
        "optimizer": tuple(other for other in declared if other.kind == "strategy"),
    }[each.kind]
    for other in handed:
        first = min((d.differs for d in _of(other, found) if d.differs is not None), default=None)
        if first is not None and first <= own:
            return other.name
    if each.kind == "strategy":  # orders of earlier slices made another book of it
        for other in declared:
            first = min((d.differs for d in _of(other, found) if d.differs is not None), default=None)
            if other.kind == "optimizer" and first is not None and first < own:
                return other.name
    return ""
