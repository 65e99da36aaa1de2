"""From a checked run file to a session that is ready: built, trained, its sources in place."""

import datetime as dt
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.metrics.fold import SessionFold
from engine.bus import Bus, Recorder
from engine.calendar import Sessions
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS, Bars, Control, ControlAction, Event
from engine.journal import Journal
from engine.protocols import Artefact, Feed, Issue, Table
from engine.session import Replay, Session
from engine.wiring import ModelPart, Parts, Wiring
from samewire.build import Given, construct, feature_sets, parts_of, sinks_of
from samewire.cautions import cautions
from samewire.hiding import begin_hiding, hider
from samewire.run_file import ModelSpec, RunFile
from samewire.scrubbing import raise_scrubbed
from samewire.secret_guard import guards_of
from samewire.snapshots import Snapshots
from samewire.walk import Walk
from samewire.warming import latest

_EPOCH = dt.date(1970, 1, 1)


class Progress(msgspec.Struct, frozen=True):
    """How far a session is. `share` (0 to 1) is of its span of time, None where the feed does not know its end."""

    ts: int
    slices: int
    share: float | None
    equity: float


class Prepared(msgspec.Struct, frozen=True):
    """A session that is ready to run; its bus may still be tapped."""

    run_file: RunFile
    feed: Feed
    session: Session
    journal: Journal
    fold: SessionFold
    sources: tuple[Replay, ...]
    start: int | None
    artefacts: Mapping[str, Artefact]
    tables: list[Table]  # the user's own
    table_issues: list[Issue]
    warnings: tuple[str, ...]
    slower: list[int]  # instants of the bars of slower intervals, so far
    walk: Callable[[], Iterator[Event]]  # the feed's events over the session

    @property
    def bus(self) -> Bus:
        return self.session.bus

    async def run(self, *instead: AsyncIterable[Event]) -> int:
        """Warms up whoever keeps estimates, then runs all inputs. Returns how many there were.

        With `instead`, of these sources in place of its own.
        """
        try:
            await self.warm_up()
            return await self.session.run(*(instead or self.sources))
        except BaseException as error:  # noqa: BLE001 - raised again without secrets
            raise_scrubbed(error, hider())

    async def warm_up(self) -> int:
        """Feeds the slices before the start to features, models and risk estimates; nobody decides on them.

        As many as `session.warmup` says, else as the components declare by `lookback`, each in slices of the interval
        that it works on. Returns how many there were.
        """
        asked = self.run_file.session.warmup
        wiring = self.session.wiring
        needs = wiring.lookbacks
        if asked is not None:
            needs = dict.fromkeys(needs, asked)
        known = getattr(self.feed, "span", None)
        if self.start is None or not any(needs.values()) or (known is not None and known[0] >= self.start):
            return 0
        events = latest(self.feed, self.start, needs)
        bus = Bus(wiring.warm_routes())
        await bus.run(_stream(events))
        await bus.aclose()
        return sum(isinstance(event, Bars) for event in events)


async def _stream(events: Iterable[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


def midnight(day: dt.date) -> int:
    """UTC ns of the day's beginning."""
    return (day - _EPOCH).days * DAY_NS


def days(feed: Feed, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
    """The ns range [low, high) of these trading days, both counting: by the feed's own dates, else by UTC."""
    own = getattr(feed, "bounds", None)
    if own is not None:
        low, high = own(start, end)
        return low, high
    return (
        None if start is None else midnight(start),
        None if end is None else midnight(end + dt.timedelta(days=1)),
    )


def prepare(
    run: RunFile,
    directory: Path | None = None,
    write: Callable[[bytes], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    recorded: Mapping[str, Artefact] | None = None,
    recorders: Sequence[Recorder] = (),
) -> Prepared:
    """Builds a session and trains its models; nothing of it has run yet.

    Without a directory the sinks that write into one are left out; all others are built. With the artefacts of a
    `recorded` session nothing is trained: the controls that put them to use are inputs of the record.
    """
    given = _begun(run, directory)
    feed, start, end = _feed(run, given)
    tables = _Tables(run, feed)
    given = msgspec.structs.replace(given, universe=feed.universe, table=tables.read)
    parts = parts_of(run, feed, given)
    learnt = _trained(run, feed, parts, given) if recorded is None else _Learnt(dict(recorded), (), ())
    fold = _fold(run, feed, parts)
    walk = Walk(lambda: feed.events(start, end), feed)
    journal = _journal(run, feed, walk, write)
    slower: list[int] = []
    sinks = sinks_of(run, given)
    guards = guards_of(run, hider())  # every component has been built, so every secret is known
    told: list[Any] = [*guards, journal, fold, *recorders]
    told += [_Slower(feed.interval_ns, slower)] if parts.intervals else []
    if on_progress is not None:
        told.append(_Watch(fold, on_progress, _span(feed, start, end)))
    wiring = _wiring(parts, learnt)
    if directory is not None and write is not None:
        told += _snapshots(run, feed, directory / "journal", wiring, journal)
    sources = [Replay(walk.events)]
    if learnt.controls:
        sources.append(Replay(lambda: iter(learnt.controls)))
    return Prepared(
        run_file=run,
        feed=feed,
        session=Session(wiring, recorders=told, sinks=sinks),
        journal=journal,
        fold=fold,
        sources=tuple(sources),
        start=start,
        artefacts=learnt.artefacts,
        tables=tables.read_so_far,
        table_issues=tables.issues,
        warnings=(*_cautions(run), *learnt.warnings),
        slower=slower,
        walk=lambda: feed.events(start, end),
    )


def _begun(run: RunFile, directory: Path | None) -> Given:
    begin_hiding()  # before a component reads the first secret
    return Given(session=run.session.name, seed=run.session.seed, directory=directory)


def _snapshots(run: RunFile, feed: Feed, folder: Path, wiring: Wiring, journal: Journal) -> tuple[Snapshots, ...]:
    every = run.session.snapshot_every
    if not every:
        return ()
    return (Snapshots(folder, wiring=wiring, journal=journal, every=every, interval_ns=feed.interval_ns),)


def _fold(run: RunFile, feed: Feed, parts: Parts) -> SessionFold:
    return SessionFold(
        universe=feed.universe,
        cash=run.session.cash,
        interval_ns=feed.interval_ns,
        benchmark=run.session.benchmark,
        slower={part.name: part.interval_ns for part in parts.models if part.interval_ns > feed.interval_ns},
    )


def _wiring(parts: Parts, learnt: "_Learnt") -> Wiring:
    return Wiring(parts, artefacts={artefact.hash: artefact for artefact in learnt.artefacts.values()})


def feed_of(run: RunFile) -> Feed:
    """The feed of a run file; nothing else is built."""
    return _feed(run, Given(session=run.session.name, seed=run.session.seed))[0]


def walk_of(run: RunFile) -> Callable[[], Iterator[Event]]:
    """The events of a run file's feed over its session; nothing else is built."""
    feed, start, end = _feed(run, Given(session=run.session.name, seed=run.session.seed))
    return lambda: feed.events(start, end)


def _journal(run: RunFile, feed: Feed, walk: Walk, write: Callable[[bytes], None] | None) -> Journal:
    """A journal that keeps of bars what the run file says: their place in hashed files, or their values."""
    if write is None or run.session.record == "values":
        return Journal(write)
    files = feed.hashes()
    return Journal(write, drawn=walk, files=files) if files else Journal(write)


class _Tables:
    """Reads the user's own tables and keeps what was wrong with them."""

    def __init__(self, run: RunFile, feed: Feed) -> None:
        self._run, self._feed = run, feed
        self.read_so_far: list[Table] = []
        self.issues: list[Issue] = []

    def read(self, path: Path) -> Table:
        from adapters.files.table import checked_table

        close = self._run.feed.options.get("close") or getattr(self._feed, "close", None)
        sessions = getattr(self._feed, "sessions", None)
        table, issues = checked_table(path, self._feed.universe, close=close, sessions=sessions)
        self.read_so_far.append(table)
        self.issues += issues
        return table


def _feed(run: RunFile, given: Given) -> tuple[Feed, int | None, int | None]:
    """The feed and the range of the session in it, checked as far as can be before anything is read of it."""
    feed: Feed = construct(run.feed, given)
    start, end = days(feed, run.session.start, run.session.end)
    _check_calendar(run, feed, _span(feed, start, end))
    _check_currency(run, feed)
    return feed, start, end


def _check_currency(run: RunFile, feed: Feed) -> None:
    own = feed.universe.currencies[0]
    if own != run.session.currency:
        clash = f"the feed is in {own}, the session in {run.session.currency}"
        raise ConfigError(f"{run.feed.where}: {clash}; set session.currency or the feed's currency so that they agree")


def _check_calendar(run: RunFile, feed: Feed, span: tuple[int, int] | None) -> None:
    """Nothing runs on days that the calendar of the feed does not know."""
    sessions: Sessions | None = getattr(feed, "sessions", None)
    if sessions is None or span is None:
        return
    first, last = (np.datetime64(int(sessions.label[k]), "ns").astype("datetime64[D]") for k in (0, -1))
    low, high = (np.datetime64(ts, "ns").astype("datetime64[s]") for ts in span)
    # A span without hours of its own ends at a midnight, behind the last close of its last day.
    if span[1] > max(sessions.closes[-1], sessions.label[-1] + DAY_NS):
        raise ConfigError(
            f"{run.feed.where}: calendar {sessions.name} ends with {last}, and the run goes on to {high}Z; "
            f"set session.end to {last} or earlier, or take a calendar that goes further"
        )
    if span[0] < min(sessions.opens[0], sessions.label[0]):
        raise ConfigError(
            f"{run.feed.where}: calendar {sessions.name} begins with {first}, and the run begins at {low}Z; "
            f"set session.start to {first} or later, or take a calendar that begins earlier"
        )


def _cautions(run: RunFile) -> tuple[str, ...]:
    """What the reader of the report must know about how the session was run."""
    said = [f"{caution}." for caution in cautions(run) if caution.path != "sinks"]
    fill = str(run.broker.options.get("fill", ""))
    if fill.startswith("same_"):
        said.append(f"Orders filled at {fill}: at a price that was known when they were decided.")
    return tuple(said)


# ---- models ----------------------------------------------------------------------------------------------------------


class _Learnt(msgspec.Struct, frozen=True):
    """What training gave: artefacts by model, the controls that put them to use, and what to warn of."""

    artefacts: dict[str, Artefact]
    controls: tuple[Control, ...]
    warnings: tuple[str, ...]


def _trained(run: RunFile, feed: Feed, parts: Parts, given: Given) -> _Learnt:
    """An artefact for each model that trains or names one.

    A model trained until a day answers from the first slice after it: its control enters once the day is over.
    """
    from components.models.artefact import read_artefact, write_artefact

    artefacts: dict[str, Artefact] = {}
    controls: list[Control] = []
    said: list[str] = []
    begin = days(feed, run.session.start, None)[0] or 0
    for spec, part in zip(run.models, parts.models, strict=True):
        if spec.artefact is not None:
            artefact, at = read_artefact(spec.artefact), begin
            said += _seen_before(part.name, artefact, begin)
        elif spec.train is not None:
            artefact, at = _fit(spec, part, feed, _feature_set(run, spec, given))
            unused = [f"{issue.count} {issue.kind.replace('_', ' ')}" for issue in feed.issues()]
            if unused:
                said.append(f"The history {part.name} was trained on has rows to look at: {', '.join(unused)}.")
        else:
            continue
        if given.directory is not None:
            write_artefact(artefact, given.directory / "models" / part.name)
        artefacts[part.name] = artefact
        swap = ControlAction.SWAP_MODEL
        controls.append(
            Control(ts=max(at, begin), action=swap, component=part.name, artefact=artefact.hash, actor="run file")
        )
    return _Learnt(artefacts, tuple(sorted(controls, key=lambda control: control.ts)), tuple(said))


def _seen_before(name: str, artefact: Artefact, begin: int) -> list[str]:
    """A model that learned from days of this very session flatters it."""
    try:
        card = msgspec.json.decode(artefact.files.get("model.json", b"{}"))
    except msgspec.MsgspecError:
        return []
    until = card.get("until_ns") if isinstance(card, dict) else None
    if not isinstance(until, int) or until <= begin:
        return []
    day = dt.datetime.fromtimestamp(until // 10**9, dt.UTC).date()
    return [f"{name} was trained on data up to {day}, within this session: what it earns before that is no test."]


def _feature_set(run: RunFile, spec: ModelSpec, given: Given) -> Any:
    """A fresh copy of the feature set that the model reads."""
    made = feature_sets(run, given)
    if spec.features not in made:
        raise ConfigError(f"{spec.component.where}: a model that trains needs a feature set; name one with `features:`")
    return made[spec.features]


def _fit(spec: ModelSpec, part: ModelPart, feed: Feed, feature_set: Any) -> tuple[Artefact, int]:
    """Fits on history up to the last bar of `until`, walked through the very feature set of the wiring.

    Returns the artefact and the instant from which it may answer.
    """
    from components.training.panel import walk

    train, where, model = spec.train, spec.component.where, part.model
    if train is None or not hasattr(model, "fit"):
        raise ConfigError(f"{where}: model {spec.component.use!r} has nothing to train; leave `train:` out")
    since, until = days(feed, train.since, train.until)
    if until is None:
        raise ConfigError(f"{where}: train.until is missing; name the last day to learn from")
    events = _of_interval(feed.events(None, until), part.interval_ns or feed.interval_ns)
    dataset = walk(events, feature_set, train.horizon, until, since)
    if not len(dataset.ts):
        raise DataError(f"{where}: no labelled slice up to {train.until}; the feed begins later or is too short")
    return model.fit(dataset), until


def _of_interval(events: Iterator[Event], interval_ns: int) -> Iterator[Event]:
    """Without the bars of other intervals."""
    return (event for event in events if not isinstance(event, Bars) or event.interval_ns == interval_ns)


class _Slower:
    """Notes the instants of bars slower than those that the session goes by."""

    def __init__(self, finest: int, found: list[int]) -> None:
        self._finest, self._found = finest, found

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        first = events[0]
        if isinstance(first, Bars) and first.interval_ns != self._finest:
            self._found.append(first.ts)


class _Watch:
    """Tells the caller how far the session is, once a slice."""

    def __init__(self, fold: SessionFold, tell: Callable[[Progress], None], span: tuple[int, int] | None) -> None:
        self._fold, self._tell, self._span, self._slices = fold, tell, span, 0

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        first = events[0]
        if isinstance(first, Bars) and first.interval_ns == self._fold.interval_ns:
            self._slices += 1
            book, span = self._fold.book, self._span
            share = None if span is None else min(1.0, (first.ts - span[0]) / max(1, span[1] - span[0]))
            self._tell(Progress(first.ts, self._slices, share, book.equity if book else 0.0))


def _span(feed: Feed, start: int | None, end: int | None) -> tuple[int, int] | None:
    """The session's first and last instant, where the feed knows its own."""
    known: tuple[int, int] | None = getattr(feed, "span", None)  # a user's own feed may lack it
    if known is None:
        return None
    return max(known[0], start or known[0]), min(known[1], end - 1 if end else known[1])
