"""Does a run remember more than it declares? It is run after warm-ups of several lengths, and what drifts is named."""

import datetime as dt
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from engine.errors import DataError
from engine.events import Bars
from engine.protocols import Feed
from engine.wiring import Parts
from samewire.again import Again, Slices, drive
from samewire.drift import Answers, Drift, Key, drifts
from samewire.prepare import Progress, days, prepare
from samewire.run_file import RunFile

SLICES, TOLERANCE = 20, 1e-6  # unless told otherwise
LEAST = 250  # slices by which the longest warm-up exceeds every lookback: a short one is not believed
_SEARCHED = 10  # runs to find what would be enough
_Tell = Callable[[Progress], None]


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A component, and the slices of history after which it says that nothing older counts."""

    name: str
    kind: str  # features, model, strategy or optimizer
    lookback: int  # with that of the features that it reads and its lag; of a strategy or optimizer the session's
    follows: str = ""  # the feature set that it reads


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a component."""

    declared: Declared
    drift: Drift  # after a warm-up as declared, of the answer that is furthest off
    by_length: Mapping[int, tuple[Drift, ...]]  # warm-up -> every answer of it
    ok: bool
    follows: str = ""  # what it is handed drifts: the component to look at
    enough: int | None = None  # a lookback that would do, None = more than could be tried


class Warmups(msgspec.Struct, frozen=True, kw_only=True):
    """What was run, and what came of it."""

    start: dt.date | None
    moved: bool  # the start, so that there is history before it
    lengths: tuple[int, ...]
    longest: int
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
    plain = prepare(replace(run, models=tuple(replace(spec, train=None) for spec in run.models), sinks=()))
    declared = _declared(plain.session.wiring.parts, max(plain.session.wiring.lookbacks.values()))
    most = max(each.lookback for each in declared)
    interval = max((i for i, count in plain.session.wiring.lookbacks.items() if count), default=plain.feed.interval_ns)
    begun, longest, moved = _begun(run, plain.feed, interval, most, slices)
    with tempfile.TemporaryDirectory(prefix="samewire-") as scratch:
        trials = _Trials(Again(begun, Path(scratch)), interval, slices, longest, tolerance)
        trials.tell = on_progress
        shares = {0, most // 4, most // 2, most, 2 * most, 4 * most, longest // 2}
        lengths = sorted(n for n in shares | {each.lookback for each in declared} if n < longest)
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
    features = [Declared(name=sets[schema].name, kind="features", lookback=lookback[schema]) for schema in sets]
    models = [
        Declared(
            name=part.name,
            kind="model",
            lookback=lookback.get(part.schema, 0) + int(getattr(part.model, "lookback", 0)) + part.lag,
            follows=sets[part.schema].name if part.schema else "",
        )
        for part in parts.models
    ]
    strategies = [Declared(name=named.name, kind="strategy", lookback=most) for named in parts.strategies]
    return (*features, *models, *strategies, Declared(name=parts.optimizer.name, kind="optimizer", lookback=most))


def _begun(run: RunFile, feed: Feed, interval: int, most: int, slices: int) -> tuple[RunFile, int, bool]:
    """The run, begun later where less history comes before it than wanted; the slices of it; whether it was moved."""
    start, end = days(feed, run.session.start, run.session.end)
    instants = [
        event.ts for event in feed.events(None, end) if isinstance(event, Bars) and event.interval_ns == interval
    ]
    wanted = max(4 * most, most + LEAST)
    before = int(np.searchsorted(instants, start)) if start is not None else 0
    if before >= wanted:
        return run, wanted, False
    place = min(wanted, len(instants) - slices)
    if max(place, before) <= most:
        raise DataError(
            f"{run.feed.where}: its {len(instants)} slices leave {max(place, before, 0)} of history before {slices} to "
            f"look at, and {most} are declared to be needed; name a longer history, or fewer slices"
        )
    if place <= before:
        return run, before, False
    day = dt.datetime.fromtimestamp(instants[place] / 1e9, dt.UTC).date() - dt.timedelta(days=1)
    while (low := days(feed, day, None)[0]) is not None and low <= instants[place - 1]:
        day += dt.timedelta(days=1)
    return replace(run, session=run.session.model_copy(update={"start": day})), place, True


class _Trials:
    """The same session after one warm-up or another."""

    def __init__(self, again: Again, interval: int, slices: int, longest: int, tolerance: float) -> None:
        self._again, self._interval, self._count = again, interval, slices
        self._longest, self._tolerance = longest, tolerance
        self._begin = again.first.start or 0
        # What a model learned is not what is looked at: it answers from the first slice on.
        controls = again.controls
        again.controls = tuple(msgspec.structs.replace(c, ts=min(c.ts, self._begin)) for c in controls)
        self._reference: Answers | None = None
        self._found: dict[int, dict[Key, Drift]] = {}
        self.slices: list[int] = []
        self.tell: _Tell | None = None

    async def after(self, length: int) -> dict[Key, Drift]:
        """How far everything is off after a warm-up of this length."""
        if self._reference is None:
            self._reference = await self._run(self._longest)
        if length not in self._found:
            self._found[length] = drifts(await self._run(length), self._reference, self.slices, self._tolerance)
        return self._found[length]

    async def _run(self, length: int) -> Answers:
        universe = self._again.first.feed.universe
        parts = self._again.first.session.wiring.parts
        columns = {each.name: tuple(each.component.names) for each in parts.features}
        answers = Answers(columns, len(universe))
        prepared = self._again.prepared([answers], warmup=length)
        await prepared.warm_up()
        counted = Slices(self._interval, self._count)
        finest = Slices(self._again.first.feed.interval_ns, 0)
        await drive(prepared, lambda event: counted.goes_on(event) and finest.goes_on(event))
        self.slices = finest.ts
        if self.tell is not None:
            self.tell(Progress(self._begin, len(self._found) + 1, None, 0.0))
        return answers

    async def outcome(self, each: Declared, declared: tuple[Declared, ...], lengths: list[int]) -> Outcome:
        at = await self.after(min(each.lookback, self._longest - 1))
        worst = max(_of(each, at), key=lambda drift: drift.max, default=_nothing(each))
        follows = _culprit(each, declared, at)
        ok = worst.beyond is None
        enough = None
        if not follows:
            enough = await self._enough(each, lengths)
        return Outcome(
            declared=each,
            drift=worst,
            by_length={length: tuple(_of(each, self._found[length])) for length in lengths},
            ok=ok,
            follows="" if ok else follows,
            enough=enough,
        )

    async def _enough(self, each: Declared, lengths: list[int]) -> int | None:
        """The shortest warm-up after which it is within the tolerance, sought where the declared one is too short."""

        def fine(length: int) -> bool:
            return all(drift.beyond is None for drift in _of(each, self._found[length]))

        high = next((n for n in lengths if all(fine(m) for m in lengths if m >= n)), None)
        if high is None:  # so close to the longest that it is hardly another
            await self.after(last := 3 * self._longest // 4)
            high = last if fine(last) else None
        if high is None or high <= each.lookback:
            return high
        low = max((n for n in lengths if n < high), default=0)
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
