"""Does a run know what is still to come? It is run over other futures, and the first event that moves is named.

A run must say the same up to an instant whatever comes after it. So the history after a cut is changed, and in another
run taken away, in all that a component is given: see `samewire/altered.py`.
"""

import tempfile
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from engine.barrier import Named
from engine.errors import ComponentError, DataError, SamewireError
from engine.events import Control, Event, Signal, Target
from samewire.again import AS_IT_IS, Again, Slices, drive
from samewire.altered import Channel, Cut, parts_by_place
from samewire.artefacts import learned_until
from samewire.first_moved import Fetcher, Follower, Moved, Trail, difference
from samewire.prepare import Progress
from samewire.run_file import RunFile
from samewire.taught import model_of

CUTS, SLICES = 4, 250  # unless told otherwise
_Tell = Callable[[Progress], None]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A component that knew what was still to come: the first of its events that moved."""

    component: str
    event: str  # its type; artefact = what a model learned; empty = it raised
    ts: int  # of the event; of an artefact the end of its training
    field: str = ""
    symbol: str = ""
    was: str = ""  # with the history as it is
    now: str = ""  # with another future
    error: str = ""  # what it raised with another future
    cut: Cut
    through: Channel | None = None  # what it knows it by, None = by more than one together
    kept: bool = False  # True: by what an earlier run left in the process, such as a cache on its class
    repeatable: bool = True  # False: two runs over one history differ as well, so it need not be look-ahead


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, and what was found."""

    cuts: tuple[int, ...]
    slices: int  # of the session up to the last cut
    events: int  # compared, over all futures
    ends: Mapping[str, int]  # model -> the instant at which its training ends
    undated: tuple[str, ...]  # models whose artefact does not say what they learned from
    channels: tuple[Channel, ...]
    findings: tuple[Finding, ...]


async def look_ahead(
    run: RunFile,
    *,
    cuts: int = CUTS,
    seed: int = 0,
    slices: int = SLICES,
    fresh: bool = False,
    on_progress: _Tell | None = None,
) -> Verdict:
    """Runs it over its history, then again with the future after random cuts changed, and gone.

    The cuts are drawn with `seed` among the first `slices` slices in which everything answers (0 = the whole session).
    A model that trains is also trained on histories that change, and that end, where its training does. With `fresh`
    the session is also run in a process of its own, after one over another future.
    """
    with tempfile.TemporaryDirectory(prefix="samewire-") as scratch:
        search = _Search(Again(run, Path(scratch)), seed, on_progress)
        await search.learn()
        await search.walk(cuts, slices)
        await search.follow()
        if fresh:
            await search.begin_afresh()
        return search.verdict()


class _Search:
    """The run as it is, and what other futures make of it."""

    def __init__(self, again: Again, seed: int, tell: _Tell | None) -> None:
        self._again, self._seed, self._tell = again, seed, tell
        self._trail, self._findings = Trail(), dict[str, Finding]()
        self._cuts: tuple[int, ...] = ()
        self._slices: list[int] = []
        self._events = 0

    def verdict(self) -> Verdict:
        dated = {name: learned_until(artefact) for name, artefact in self._again.artefacts.items()}
        return Verdict(
            cuts=self._cuts,
            slices=sum(ts <= self._cuts[-1] for ts in self._slices),
            events=self._events,
            ends=self._again.ends,
            undated=tuple(name for name in dated if dated[name] is None and name not in self._again.ends),
            channels=self._again.channels,
            findings=tuple(self._findings.values()),
        )

    # ---- training ----------------------------------------------------------------------------------------------------

    async def learn(self) -> None:
        """Finds models that learned from what came after their training, or from the session itself."""
        ends, first = self._again.ends, self._again.first
        for end in sorted({ends[name] for name in _looked_at(ends)}):
            due = {model_of(name): name for name in ends if ends[name] == end or (ends[name] < end and "@" not in name)}
            for gone in (False, True):
                self._say(end, 0, 0.0)
                cut = Cut(ts=end - 1, gone=gone, seed=self._seed)
                await self._learn_again(set(due.values()), cut)
        span = getattr(first.feed, "span", None)
        begin = first.start if first.start is not None else span[0] if span else None
        for name, artefact in self._again.artefacts.items():
            known = learned_until(artefact)
            if name not in ends and known is not None and begin is not None and known > begin:
                self._add(
                    Finding(
                        component=name,
                        event="artefact",
                        ts=known,
                        field="until_ns of model.json",
                        was=str(known),
                        now=f"the session begins at {begin}",
                        cut=Cut(ts=begin),
                    )
                )

    async def _learn_again(self, names: set[str], cut: Cut) -> None:
        again, learned = self._again, self._again.artefacts
        try:
            other = again.train(names, cut)
        except Exception as error:  # noqa: BLE001 - whatever is raised over another future alone is a finding

            async def fails(only: str) -> bool:
                try:
                    again.train(names, cut, only)
                except Exception:  # noqa: BLE001 - as above
                    return True
                return False

            await self._raised(error, cut, fails)
            return
        for name in sorted(names - self._findings.keys()):
            was, now = learned[name], other[name]
            if was.hash == now.hash:
                continue

            async def moves(only: str, name: str = name) -> bool:
                return again.train({name}, cut, only)[name].hash != learned[name].hash

            files = sorted(file for file in {*was.files, *now.files} if was.files.get(file) != now.files.get(file))
            self._add(
                Finding(
                    component=name,
                    event="artefact",
                    ts=cut.ts or 0,
                    field=", ".join(files),
                    was=was.hash[:16],
                    now=now.hash[:16],
                    cut=cut,
                    through=await self._through(moves),
                    repeatable=again.train({name}, AS_IT_IS)[name].hash == was.hash,
                )
            )

    # ---- the session -------------------------------------------------------------------------------------------------

    async def walk(self, cuts: int, slices: int) -> None:
        """Runs it over the history as it is, and draws the cuts."""
        prepared = self._again.prepared([self._trail])
        needed = max(prepared.session.wiring.lookbacks.values())
        warm = await prepared.warm_up()
        controls = [event for event in self._again.controls if isinstance(event, Control)]
        begins = {control.component: control.ts for control in reversed(controls)}
        answers = max(begins.values(), default=0)
        counted = Slices(self._again.first.feed.interval_ns, slices, answers, max(0, needed - warm))
        await drive(prepared, counted.goes_on)
        self._slices = counted.ts
        if len(counted.ts) < 2:
            where = self._again.run_file.feed.where
            raise DataError(f"{where}: the session has {len(counted.ts)} slices; name days with two at least")
        first = counted.first if counted.first is not None and counted.first < len(counted.ts) - 1 else 0
        self._cuts = _drawn(counted.ts[first:-1], cuts, self._seed)

    async def follow(self) -> None:
        """Runs it over other futures; adds a finding where it leaves the trail."""
        futures = [
            Cut(ts=ts, gone=gone, seed=self._seed, nth=k) for k, ts in enumerate(self._cuts) for gone in (False, True)
        ]
        for k, cut in enumerate(futures):
            at = cut.ts or 0
            self._say(at, sum(ts <= at for ts in self._slices), (k + 1) / (len(futures) + 1))
            try:
                follower = await self._followed(cut)
            except Exception as error:  # noqa: BLE001 - whatever is raised over another future alone is a finding
                await self._raised(error, cut, partial(self._fails, cut))
                continue
            self._events += follower.events
            if (moved := self._left(follower, cut)) is not None:
                await self._examine(moved, cut)

    async def begin_afresh(self) -> None:
        """Runs it in a fresh process behind another future; adds a finding where that future shows."""
        from samewire.fresh import left_behind

        cut = Cut(ts=self._cuts[-1], seed=self._seed)
        moved = await left_behind(self._again, self._trail, cut)
        if moved is not None:
            chance = await left_behind(self._again, self._trail, cut, first=False) is not None
            await self._examine(moved, cut, kept=True, chance=chance)

    async def _followed(self, cut: Cut, only: str | None = None) -> Follower:
        follower = Follower(self._trail)
        prepared = self._again.prepared([follower], cut, only)
        await prepared.warm_up()
        await drive(prepared, lambda event: event.ts <= (cut.ts or 0) and follower.moved is None)
        return follower

    async def _fails(self, cut: Cut, only: str) -> bool:
        try:
            return self._left(await self._followed(cut, only), cut) is not None
        except Exception:  # noqa: BLE001 - as above
            return True

    async def _moves(self, moved: Moved, cut: Cut, only: str) -> bool:
        """Whether the same event moves by one channel alone."""
        try:
            left = self._left(await self._followed(cut, only), cut)
        except Exception:  # noqa: BLE001 - as above
            return False
        return left is not None and (left.place, left.event) == (moved.place, moved.event)

    def _left(self, follower: Follower, cut: Cut) -> Moved | None:
        """Where it left the trail, if it did.

        Where nothing comes after the cut nothing shows that a longer bar which ended there is over, so its input may
        never enter: fewer inputs are no finding then, other answers to an input are.
        """
        expected = sum(ts <= (cut.ts or 0) for ts in self._trail.inputs)
        if follower.moved is None and not cut.gone and follower.count < expected:
            return Moved(follower.count, 0, "", None)
        return follower.moved

    async def _examine(self, moved: Moved, cut: Cut, *, kept: bool = False, chance: bool = False) -> None:
        """Names who moved, what, and by which channel. The run as it is gives the event for comparison."""
        fetcher = Fetcher(moved.place, moved.event)
        prepared = self._again.prepared([fetcher])
        await prepared.warm_up()
        await drive(prepared, lambda _: not fetcher.done)
        was, now = fetcher.found, moved.now
        event = was if now is None else now
        component = _said_by(moved.origin or fetcher.origin, event)
        if component in self._findings or event is None:
            return
        same = self._trail.holds(moved.place, moved.event, was) and not chance
        found = difference(was, now, prepared.feed.universe, _columns(prepared.session.wiring.parts.features))
        self._add(
            Finding(
                component=component,
                event=event.__class__.__name__,
                ts=event.ts,
                field=found.field,
                symbol=found.symbol,
                was=found.was,
                now=found.now,
                cut=cut,
                through=await self._through(partial(self._moves, moved, cut)) if same and not kept else None,
                kept=kept,
                repeatable=same,
            )
        )

    def _say(self, ts: int, slices: int, share: float) -> None:
        if self._tell is not None:
            self._tell(Progress(ts, slices, share, 0.0))

    # ---- findings ----------------------------------------------------------------------------------------------------

    async def _raised(self, error: Exception, cut: Cut, fails: Callable[[str], Awaitable[bool]]) -> None:
        """Who can no longer do without the future that it knew."""
        through = await self._through(fails)
        component, ts = (error.component, error.ts) if isinstance(error, ComponentError) else ("", cut.ts or 0)
        if not component and through is not None:
            component = parts_by_place(self._again.run_file)[through.place.split(".")[0]].name
        self._add(
            Finding(component=component or "run", event="", ts=ts, error=_in_words(error), cut=cut, through=through)
        )

    async def _through(self, moves: Callable[[str], Awaitable[bool]]) -> Channel | None:
        """The one channel by which the future comes in; None where it takes more than one."""
        if len(self._again.channels) == 1:
            return self._again.channels[0]
        for channel in self._again.channels:
            if channel.covered and await moves(channel.place):
                return channel
        return None

    def _add(self, finding: Finding) -> None:
        self._findings.setdefault(finding.component, finding)


def _looked_at(ends: Mapping[str, int]) -> list[str]:
    """The artefacts that are trained again: of a model that retrains the first, the last and one between."""
    found: dict[str, list[str]] = {}
    for name in ends:
        found.setdefault(model_of(name), []).append(name)
    return [names[k] for names in found.values() for k in sorted({0, len(names) // 2, len(names) - 1})]


def _said_by(origin: str, event: Event | None) -> str:
    """The component whose event it is, whoever put it on the bus: the barrier hands on what strategies say."""
    if isinstance(event, Control) and event.component:
        return event.component
    if isinstance(event, Signal | Target):
        return event.source
    return "feed" if origin == "input" else origin


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, SamewireError) else f"{error.__class__.__name__}: {error}"


def _drawn(slices: list[int], cuts: int, seed: int) -> tuple[int, ...]:
    """So many instants, one from each of equal parts of the slices."""
    edges = np.linspace(0, len(slices), min(cuts, len(slices)) + 1).astype(int).tolist()
    rng = np.random.default_rng(seed)
    return tuple(slices[rng.integers(low, high)] for low, high in zip(edges[:-1], edges[1:], strict=True))


def _columns(features: tuple[Named, ...]) -> dict[str, tuple[str, ...]]:
    """Names of features by schema."""
    return {each.component.schema: tuple(getattr(each.component, "names", ())) for each in features}
