"""From a checked run file to a session that is ready: built, trained, its sources in place."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.metrics.execution import ExecutionFold, PricePoint, as_long_as_it_lives
from components.metrics.fold import SessionFold
from components.models.artefact import write_artefact
from engine.bus import Bus, Recorder
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, Bars, Event
from engine.journal import Journal
from engine.protocols import Artefact, Feed, Issue, Table
from engine.session import Replay, Session
from engine.wiring import Parts, Wiring
from samewire.agent_cautions import concerning
from samewire.build import Given, construct, parts_of, read_option, sinks_of
from samewire.cautions import cautions
from samewire.decided import Deciding
from samewire.hiding import begin_hiding, hider
from samewire.hindsight import hindsight
from samewire.reach import days
from samewire.run_file import RunFile
from samewire.scrubbing import raise_scrubbed
from samewire.secret_guard import guards_of
from samewire.snapshots import Snapshots
from samewire.taught import Learned, learned, recalled
from samewire.walk import Walk
from samewire.warming import latest


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
    executed: ExecutionFold | None  # what became of parent orders, None = nothing works them
    deciding: Deciding
    sources: tuple[Replay, ...]
    start: int | None
    artefacts: Mapping[str, Artefact]
    ends: Mapping[str, int]  # of those that were trained here: up to when
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
        """Feeds the slices before the start to features, models and risk estimates; nobody decides on them."""
        return await warm_up(self.run_file, self.feed, self.session.wiring, self.start)


async def warm_up(run: RunFile, feed: Feed, wiring: Wiring, start: int | None) -> int:
    """Feeds slices before the start to whoever keeps estimates. Returns how many there were.

    As many as `session.warmup` says, else as the components declare by `lookback`, each in slices of the interval that
    it works on.
    """
    asked, needs = run.session.warmup, wiring.lookbacks
    if asked is not None:
        needs = dict.fromkeys(needs, asked)
    known = getattr(feed, "span", None)
    if start is None or not any(needs.values()) or (known is not None and known[0] >= start):
        return 0
    events = latest(feed, start, needs)
    bus = Bus(wiring.warm_routes())
    await bus.run(_stream(events))
    await bus.aclose()
    return sum(isinstance(event, Bars) for event in events)


async def _stream(events: Iterable[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


class Wired(msgspec.Struct, frozen=True):
    """What replay and live are both built from: the feed's history, the wiring, and what its models know."""

    feed: Feed
    start: int | None
    end: int | None
    given: Given
    parts: Parts
    wiring: Wiring
    learnt: Learned
    tables: list[Table]
    issues: list[Issue]


def wired(
    run: RunFile, directory: Path | None, recorded: Mapping[str, Artefact] | None, feed: Feed | None = None
) -> Wired:
    """Builds every component but the sinks, and trains the models unless there are `recorded` artefacts.

    A `feed` is that of the run file, built already by whoever had to look at it: it is not built again.
    """
    given = _begun(run, directory) if feed is None else _given(run, directory)  # what it has read stays hidden
    feed, start, end = _feed(run, given) if feed is None else (feed, *_range(run, feed))
    tables = _Tables(run, feed)
    options = _Artefacts(recorded)
    given = msgspec.structs.replace(given, universe=feed.universe, table=tables.read, artefact=options.read)
    parts = parts_of(run, feed, given)
    learnt = learned(run, feed, parts, given, end) if recorded is None else recalled(run, feed, recorded)
    span = _span(feed, start, end)
    learnt = options.beside(learnt, directory, concerning(run, feed, 0 if span is None else span[0]))
    wiring = Wiring(parts, artefacts={artefact.hash: artefact for artefact in learnt.artefacts.values()})
    return Wired(
        feed=feed,
        start=start,
        end=end,
        given=given,
        parts=parts,
        wiring=wiring,
        learnt=learnt,
        tables=tables.read_so_far,
        issues=tables.issues,
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
    built = wired(run, directory, recorded)
    feed, start, end, parts, learnt = built.feed, built.start, built.end, built.parts, built.learnt
    deciding = Deciding(run, feed)
    fold, executed = _fold(run, feed, parts, deciding), _executed(run, feed, parts)
    walk = Walk(lambda: feed.events(start, end), feed)
    journal = _journal(run, feed, walk, write)
    slower: list[int] = []
    sinks = sinks_of(run, built.given)
    guards = guards_of(run, hider())  # every component has been built, so every secret is known
    told: list[Any] = [*guards, journal, fold, *deciding.recorders, *recorders]
    told += [] if executed is None else [executed]
    told += [_Slower(feed.interval_ns, slower)] if parts.intervals else []
    told += [] if on_progress is None else [_Watch(fold, on_progress, _span(feed, start, end))]
    wiring = built.wiring
    if directory is not None and write is not None:
        told += _snapshots(run, feed, directory / "journal", wiring, journal)
    controls = [Replay(lambda: iter(learnt.controls))] if learnt.controls else []
    return Prepared(
        run_file=run,
        feed=feed,
        session=Session(wiring, recorders=told, sinks=sinks),
        journal=journal,
        fold=fold,
        executed=executed,
        deciding=deciding,
        sources=(Replay(walk.events), *controls),
        start=start,
        artefacts=learnt.artefacts,
        ends=learnt.ends,
        tables=built.tables,
        table_issues=built.issues,
        warnings=(*_cautions(run), *learnt.warnings),
        slower=slower,
        walk=lambda: feed.events(start, end),
    )


def ready_to_learn(run: RunFile) -> tuple[Feed, Given]:
    """The feed and what constructors are handed, as `prepare` has them before a model learns; nothing else is built."""
    given = _begun(run, None)
    feed = _feed(run, given)[0]
    return feed, msgspec.structs.replace(given, universe=feed.universe, table=_Tables(run, feed).read)


def _begun(run: RunFile, directory: Path | None) -> Given:
    begin_hiding()  # before a component reads the first secret
    return _given(run, directory)


def _given(run: RunFile, directory: Path | None) -> Given:
    return Given(session=run.session.name, seed=run.session.seed, directory=directory)


def _snapshots(run: RunFile, feed: Feed, folder: Path, wiring: Wiring, journal: Journal) -> tuple[Snapshots, ...]:
    if not (every := run.session.snapshot_every):
        return ()
    interval = feed.interval_ns
    return (
        Snapshots(folder, wiring=wiring, journal=journal, every=every, interval_ns=interval, hide=hider(), run=run),
    )


def _fold(run: RunFile, feed: Feed, parts: Parts, deciding: Deciding) -> SessionFold:
    return SessionFold(
        universe=feed.universe,
        cash=run.session.cash,
        interval_ns=feed.interval_ns,
        benchmark=run.session.benchmark,
        slower={part.name: part.interval_ns for part in parts.models if part.interval_ns > feed.interval_ns},
        on_note=deciding.notes.on_note,
    )


def _executed(run: RunFile, feed: Feed, parts: Parts) -> ExecutionFold | None:
    """What becomes of parent orders, where a policy works them."""
    if parts.execution is None:
        return None
    policy, fill = parts.execution.component, str(run.broker.options.get("fill", ""))
    point: PricePoint = "open" if fill in ("next_open", "open_auction") else "vwap" if fill == "next_vwap" else "close"
    window = getattr(policy, "window", as_long_as_it_lives)
    return ExecutionFold(universe=feed.universe, interval_ns=feed.interval_ns, point=point, window=window)


def feed_of(run: RunFile) -> Feed:
    """The feed of a run file; nothing else is built."""
    return _feed(run, _given(run, None))[0]


def given_of(run: RunFile) -> Given:
    """What the constructors of a run file's components are handed; nothing but the feed is built."""
    given = _begun(run, None)
    feed = _feed(run, given)[0]
    return msgspec.structs.replace(given, universe=feed.universe, table=_Tables(run, feed).read)


def walk_of(run: RunFile) -> Callable[[], Iterator[Event]]:
    """The events of a run file's feed over its session; nothing else is built."""
    feed, start, end = _feed(run, _given(run, None))
    return lambda: feed.events(start, end)


def _journal(run: RunFile, feed: Feed, walk: Walk, write: Callable[[bytes], None] | None) -> Journal:
    """A journal that keeps of bars what the run file says: their place in hashed files, or their values."""
    if write is None or run.session.record == "values":
        return Journal(write)
    files = feed.hashes()
    return Journal(write, drawn=walk, files=files) if files else Journal(write)


class _Artefacts:
    """Reads the artefacts that options name, and keeps them; of a recorded session they are those that it had."""

    def __init__(self, recorded: Mapping[str, Artefact] | None) -> None:
        self._recorded, self._found = recorded, dict[str, Artefact]()

    def read(self, name: str, path: Path) -> Artefact:
        known = (self._recorded or {}).get(name)
        self._found[name] = read_option(name, path) if known is None else known
        return self._found[name]

    def beside(self, learnt: Learned, directory: Path | None, told: Callable[..., list[str]]) -> Learned:
        """What the models know with these beside it; written into the session's directory where there is one."""
        said = list(learnt.warnings)
        for name, artefact in self._found.items():
            said += told(name, artefact)
            if directory is not None and self._recorded is None:
                write_artefact(artefact, directory / "models" / name)
        return msgspec.structs.replace(learnt, artefacts=learnt.artefacts | self._found, warnings=tuple(said))


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
    start, end = _range(run, feed)
    _check_calendar(run, feed, _span(feed, start, end))
    _check_currency(run, feed)
    return feed, start, end


def _range(run: RunFile, feed: Feed) -> tuple[int | None, int | None]:
    return days(feed, run.session.start, run.session.end)


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
    said = [f"{caution}." for caution in cautions(run, session=True) if caution.path != "sinks"]
    said += [f"{caution}." for caution in hindsight(run)]
    fill = str(run.broker.options.get("fill", ""))
    if fill.startswith("same_"):
        said.append(f"Orders filled at {fill}: at a price that was known when they were decided.")
    return tuple(said)


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
