"""What is wrong with this installation, its data, its calendars and its broker, each with the command that mends it."""

import ctypes
import datetime as dt
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from engine.clock import Clock
from engine.errors import SamewireError
from engine.events import DAY_NS, Bars
from engine.instants import day_text

if TYPE_CHECKING:
    from samewire.run_file import RunFile

State = Literal["ok", "wrong", "not needed"]
INSTALLATION, DATA, KAFKA = 1, 3, 5  # exit codes of what is wrong
_AHEAD_DAYS = 30  # that a session which goes on needs to know of the calendar
_ROOM_LEAST = 1 << 30  # bytes
_CALENDAR = "XNYS"
_NEEDS = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*?)\s*(?:;\s*(.*))?$")
_BOUND = re.compile(r"^(>=|<|==)([0-9][0-9.]*)$")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """How one thing is."""

    what: str
    state: State
    said: str
    mend: str = ""  # a command, or what to do
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


def findings(run: "RunFile | None", *, clock: Clock, environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Everything that is looked at, one after another; what raises is told as what is wrong."""
    yield _python()
    yield packages(metadata.requires("samewire") or [])
    yield _openmp()
    yield _cache()
    yield calendar(_sessions_ahead, clock.now_ns())
    yield from [_feed(run)] if run is not None else _folder(environ)
    if run is None or run.live is None:
        yield broker(environ)
    else:
        from samewire.doctor_live import connection

        yield from connection(run)


def exit_code(found: Iterable[Finding]) -> int:
    """That of the first thing that is wrong, 0 = nothing is."""
    return next((each.exit_code for each in found if each.state == "wrong"), 0)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.flags.optimize:
        said = f"{version}, run with -O: checks of libraries are left out, and what they would have stopped goes on"
        return _wrong("python", said, "run without -O, and unset PYTHONOPTIMIZE", INSTALLATION)
    return Finding(what="python", state="ok", said=f"{version} in {sys.prefix}")


def packages(requires: Iterable[str], version: Callable[[str], str] = metadata.version) -> Finding:
    """Whether what the package asks for is there, in a version that it takes; extras are not asked for.

    >>> packages(["numpy>=1000", "rich"], {"numpy": "2.1", "rich": "14"}.__getitem__).said
    'numpy is 2.1, needed is >=1000'
    """
    wrong, count = [], 0
    for line in requires:
        match = _NEEDS.match(line)
        if match is None or "extra" in (match[3] or ""):
            continue
        name, bounds, count = match[1], match[2], count + 1
        try:
            there = version(name)
        except (metadata.PackageNotFoundError, KeyError):
            wrong.append((name, f"{name} is not installed, needed is {bounds or 'any version'}"))
            continue
        if not all(_within(there, bound.strip()) for bound in bounds.split(",") if bound.strip()):
            wrong.append((name, f"{name} is {there}, needed is {bounds}"))
    if wrong:
        said = "; ".join(text for _, text in wrong)
        return _wrong("packages", said, f"{sys.executable} -m pip install --upgrade samewire", INSTALLATION)
    return Finding(what="packages", state="ok", said=f"all {count} that are needed")


def _within(version: str, bound: str) -> bool:
    match = _BOUND.match(bound)
    if match is None:
        return True  # a kind of bound that the package does not use of itself
    here, there = _numbers(version), _numbers(match[2])
    width = max(len(here), len(there))
    here, there = (numbers + (0,) * (width - len(numbers)) for numbers in (here, there))
    return {">=": here >= there, "<": here < there, "==": here == there}[match[1]]


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _openmp(name: str = "libgomp.so.1") -> Finding:
    """LightGBM's wheel for Linux links against the system's OpenMP library."""
    if sys.platform != "linux":
        return Finding(what="openmp", state="not needed", said="part of the packages on this system")
    try:
        ctypes.CDLL(name)
    except OSError:
        return _wrong("openmp", f"{name} is missing: lightgbm needs it", "apt-get install -y libgomp1", INSTALLATION)
    return Finding(what="openmp", state="ok", said=name)


def _cache() -> Finding:
    """Whether sorted tables can be kept."""
    from adapters.files.store import cache_folder

    folder, mend = cache_folder(), "export SAMEWIRE_CACHE=/a/folder/with/room"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return _wrong("cache", f"{folder} cannot be written: {error.strerror or error}", mend, INSTALLATION)
    said = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < _ROOM_LEAST:
        return _wrong("cache", f"{said}: too little for sorted tables", mend, INSTALLATION)
    return Finding(what="cache", state="ok", said=said)


def calendar(ahead: Callable[[dt.date, dt.date], tuple[str, int]], now_ns: int) -> Finding:
    """Whether the trading days of the next weeks are known: a calendar library that is too old ends before."""
    first = dt.date.fromisoformat(day_text(now_ns))
    last = dt.date.fromisoformat(day_text(now_ns + _AHEAD_DAYS * DAY_NS))
    mend = f"{sys.executable} -m pip install --upgrade exchange_calendars tzdata"
    try:
        source, until = ahead(first, last)
    except SamewireError as error:
        return _wrong("calendar", str(error), mend, DATA)
    if until < now_ns + (_AHEAD_DAYS - 7) * DAY_NS:
        return _wrong("calendar", f"{_CALENDAR} of {source} ends with {day_text(until)}", mend, DATA)
    return Finding(what="calendar", state="ok", said=f"{_CALENDAR} of {source} goes on to {day_text(until)}")


def _sessions_ahead(first: dt.date, last: dt.date) -> tuple[str, int]:
    from adapters.calendars.compiled import sessions_of, version

    return version(), int(sessions_of(_CALENDAR, first, last).closes[-1])


def _folder(environ: Mapping[str, str]) -> list[Finding]:
    """Without a run file only the folder of market data that the environment names can be looked at."""
    named = environ.get("SAMEWIRE_DATA")
    if not named:
        return [Finding(what="data", state="not needed", said="name a run file to have its feed looked at")]
    folder = Path(named)
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    if not files:
        said = f"SAMEWIRE_DATA names {folder}, " + (
            "which holds no .parquet" if folder.is_dir() else "which is no folder"
        )
        return [_wrong("data", said, "export SAMEWIRE_DATA=/the/folder/that/holds/the/data, or unset it", DATA)]
    return [Finding(what="data", state="ok", said=f"{len(files)} tables in {folder}")]


def _feed(run: "RunFile") -> Finding:
    """Opens the feed of the run file and reads its first slice, over the days of the session."""
    from samewire.prepare import feed_of, walk_of

    try:
        feed = feed_of(run)
        first = next((event for event in walk_of(run)() if isinstance(event, Bars)), None)
    except SamewireError as error:
        return _wrong("data", str(error), f"mend what is named (the feed stands at {run.feed.where})", error.exit_code)
    if first is None:
        span = "" if feed.span is None else f"; it has {day_text(feed.span[0])} to {day_text(feed.span[1])}"
        said = f"feed {run.feed.use} has no bar in the days of the session{span}"
        return _wrong("data", said, "set session.start and session.end", DATA)
    said = f"feed {run.feed.use}: {len(feed.universe)} symbols, first slice {day_text(first.ts)}"
    return Finding(what="data", state="ok", said=said)


def broker(environ: Mapping[str, str], timeout_s: float = 3.0) -> Finding:
    """Whether the broker that would be used answers. None named is nothing wrong: only live sessions need one."""
    from adapters.kafka.address import START, VARIABLE, found, probe

    known = found(environ)
    if known is None:
        return Finding(what="kafka", state="not needed", said=f"no broker is named in {VARIABLE}", mend=_first_start())
    if importlib.util.find_spec("aiokafka") is None:
        mend = f"{sys.executable} -m pip install 'samewire[kafka]'"
        return _wrong("kafka", f"{known.origin} names {known.address}, and its client is not installed", mend, KAFKA)
    try:
        server, versions = probe(known.address, timeout_s)
    except SamewireError as error:
        mend = f"look at {VARIABLE}, and whether the broker runs" if known.origin == VARIABLE else START
        return _wrong("kafka", f"{error} (named by {known.origin})", mend, KAFKA)
    said = f"{server} answers, {len(versions)} kinds of request (named by {known.origin})"
    return Finding(what="kafka", state="ok", said=said)


def _first_start() -> str:
    """What gives this machine a broker to try things on."""
    from adapters.kafka.address import START, VARIABLE

    if not (Path(__file__).resolve().parent.parent / "tools" / "kafka" / "broker.py").is_file():
        return f"export {VARIABLE}=HOST:PORT"
    lacks = [package for program, package in (("java", "default-jre-headless"), ("mvn", "maven")) if not _has(program)]
    install = f"apt-get install -y --no-install-recommends {' '.join(lacks)} && " if lacks else ""
    return f"{install}{START}"


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _wrong(what: str, said: str, mend: str, code: int) -> Finding:
    return Finding(what=what, state="wrong", said=said, mend=mend, exit_code=code)
