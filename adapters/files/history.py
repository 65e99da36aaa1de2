"""What the feeds from files share: options, universe, sessions, references, and the walk over the rows."""

import datetime as dt
import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from adapters.calendars.names import checked_name
from adapters.files.beforehand import Beforehand
from adapters.files.by_calendar import Outside
from adapters.files.columns import Volume
from adapters.files.instruments import read_instruments
from adapters.files.life import Beside, Life, hashes_of
from adapters.files.quality import RULES, Quality
from adapters.files.rows import PRICES, RowSource, Survey
from adapters.files.session_walk import agreed, compiled, with_sessions
from adapters.files.sheet import together
from adapters.files.slices import Frame, Slicer
from adapters.files.trading_days import TradingDays
from adapters.files.when import (
    LocalTime,
    Stamped,
    Timing,
    interval_text,
    parse_clock,
    parse_close,
    parse_interval,
)
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS, HOUR_NS, Bars, Event, Reference, Timer
from engine.instants import instant_text
from engine.protocols import Issue
from engine.universe import Universe, universe_of

BadRows = Literal["missing", "error"]
_WEEK_NS = 7 * DAY_NS
_SHOWN = 5  # names that a message lists
# No session is longer than a local day, which is 25 hours when clocks go back.
_SESSION_MAX_NS = 26 * HOUR_NS


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may say of any feed from files; parsed and bounded by `options`."""

    stamped: Stamped | None
    close: LocalTime | None
    open_seconds: int | None
    interval_ns: int | None
    calendar: str | None
    outside: Outside
    symbols: tuple[str, ...] | None
    extra: tuple[str, ...]
    bad_rows: BadRows
    volume: Volume
    sectors: Path | None
    currency: str
    lot: float
    tick: float


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """The options about time, as written."""

    stamped: Stamped | None
    close: str | None
    open: str | None
    interval: str | None
    calendar: str | None = None
    outside: Outside = "drop"


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """The options about symbols, as written."""

    symbols: list[str] | None
    symbols_file: Path | None
    sectors: Path | None
    currency: str
    lot: float
    tick: float


def options(
    times: Times, names: Names, *, extra: list[str] | None, bad_rows: BadRows, volume: Volume = "shares"
) -> Options:
    """Checks what was written, before any file is opened."""
    if names.symbols is not None and names.symbols_file is not None:
        raise ValueError("symbols and symbols_file are both given; keep one")
    if not names.lot > 0:
        raise ValueError(f"lot must be above 0 shares, got {names.lot}")
    if not names.tick >= 0:
        raise ValueError(f"tick must be at least 0, got {names.tick}")
    close = None if times.close is None else parse_close(times.close)
    opened = None if times.open is None else parse_clock(times.open, "open")
    if opened is not None and (close is None or opened >= close.seconds):
        raise ValueError(f"open {times.open} must come before close, got close {times.close}")
    if times.calendar is None and times.outside != "drop":
        raise ValueError(
            f"outside: {times.outside} is about bars outside of sessions, and no calendar names these; add e.g. "
            "calendar: XNYS"
        )
    clash = sorted({*(extra or ())} & {*PRICES, "vwap", "halted", "ts", "date", "symbol"})
    if clash:
        raise ValueError(f"extra names the column {clash[0]!r}, which every feed already reads; leave it out")
    return Options(
        stamped=times.stamped,
        close=close,
        open_seconds=opened,
        interval_ns=None if times.interval is None else parse_interval(times.interval),
        calendar=None if times.calendar is None else checked_name(times.calendar),
        outside=times.outside,
        symbols=_listed(names.symbols, names.symbols_file),
        extra=tuple(extra or ()),
        bad_rows=bad_rows,
        volume=volume,
        sectors=names.sectors,
        currency=names.currency,
        lot=names.lot,
        tick=names.tick,
    )


def _listed(symbols: list[str] | None, file: Path | None) -> tuple[str, ...] | None:
    """The symbols that were asked for, None = all of the feed. A file holds one a line, perhaps with more columns."""
    if file is not None:
        lines = [line.split(",")[0].strip().strip('"') for line in text_of(file).splitlines()]
        symbols = [line for line in lines if line and not line.startswith("#")]
        symbols = symbols[1:] if symbols and symbols[0].lower() == "symbol" else symbols
    if symbols is not None and not symbols:
        raise DataError(f"{file or 'symbols'}: it names no symbol; name at least one, or leave it out to take all")
    return None if symbols is None else tuple(symbols)


def text_of(path: Path) -> str:
    """A small text file, with one clear error when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it cannot be read as text: {error}") from error


def timing_of(survey: Survey, chosen: Options, where: str) -> Timing:
    """How stamps become instants, or an error that says what must be declared."""
    dated = survey.dated
    declared = chosen.close is not None or chosen.calendar is not None
    midnight = not dated and survey.midnight and chosen.stamped is None and declared
    if dated or midnight:
        if not declared:
            raise ConfigError(
                f"{where}: its rows carry a date only, so when a bar became known is undeclared; "
                'add the close of the trading day, e.g. close: "16:00 America/New_York", '
                "or the calendar of the exchange, e.g. calendar: XNYS"
            )
    elif chosen.stamped is None:
        raise ConfigError(
            f"{where}: its rows carry a time, so whether that is the open or the close of the bar is undeclared; "
            "add stamped: open or stamped: close"
        )
    timing = Timing(
        dated=dated or midnight,
        midnight=midnight,
        stamped=chosen.stamped or "close",
        interval_ns=_interval(survey, chosen, where, dated=dated or midnight),
        close=chosen.close,
        open_seconds=chosen.open_seconds,
        outside=chosen.outside,
    )
    if chosen.calendar is None:
        return timing
    return agreed(timing, compiled(chosen.calendar, survey), survey, where)


def _interval(survey: Survey, chosen: Options, where: str, *, dated: bool) -> int:
    unit = DAY_NS if survey.dated else 1
    step, least = survey.step * unit, survey.least * unit
    declared = chosen.interval_ns
    if declared is None:
        if dated:
            # Days that lie less than a week apart are trading days, however few there are of them.
            return step if step >= _WEEK_NS else DAY_NS
        if not step:
            raise ConfigError(f"{where}: it holds one instant only, so its interval is unknown; add e.g. interval: 5m")
        return step
    if dated and declared % DAY_NS:
        raise ConfigError(f"{where}: dated rows have an interval of whole days, got {interval_text(declared)}")
    # A day in local time may be an hour short; the most common step may be a multiple where bars are sparse.
    slack = HOUR_NS if declared >= DAY_NS else 0
    if least and (least < declared - slack or step % declared > slack):
        raise DataError(
            f"{where}: interval {interval_text(declared)} is declared, but its rows stand {interval_text(step)} apart "
            f"(at least {interval_text(least)}); declare interval: {interval_text(step)}, or leave it out"
        )
    return declared


def universe_from(survey: Survey, chosen: Options, where: str) -> Universe:
    """The symbols asked for, in that order; without a wish all of the feed by name."""
    known = {*survey.symbols}
    wanted = chosen.symbols or tuple(sorted(known))
    unknown = [symbol for symbol in wanted if symbol not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], sorted(known), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        shown = ", ".join(sorted(known)[:_SHOWN])
        raise DataError(
            f"{where}: it has no symbol {unknown[0]!r}{more} of the {len(wanted)} asked for; {hint}"
            f"it has {len(known)}: {shown}{', ...' if len(known) > _SHOWN else ''}"
        )
    universe = universe_of(wanted, currency=chosen.currency, lot=chosen.lot, tick=chosen.tick)
    return msgspec.structs.replace(universe, extra=chosen.extra)


def read_sectors(path: Path, universe: Universe) -> tuple[tuple[str, ...], str]:
    """(N,) sector of each symbol, empty text where the file has none; and the SHA-256 of the file."""
    import csv
    import hashlib

    text = text_of(path)
    table = csv.DictReader(text.splitlines())
    header = {(name or "").strip().lower(): name for name in table.fieldnames or ()}
    if "symbol" not in header or "sector" not in header:
        raise DataError(f"{path}: it needs the columns symbol and sector, it has {', '.join(header) or 'none'}")
    found = {(row[header["symbol"]] or "").strip(): (row[header["sector"]] or "").strip() for row in table}
    if not any(symbol in found for symbol in universe.symbols):
        raise DataError(f"{path}: it has a sector for none of the {len(universe)} symbols; check how they are spelled")
    sectors = tuple(found.get(symbol, "") for symbol in universe.symbols)
    return sectors, hashlib.sha256(path.read_bytes()).hexdigest()


def sectors_reference(ts: int, sectors: tuple[str, ...]) -> Reference:
    """`sectors` (N, 1): the position of each symbol's sector in `columns`, NaN = it has none."""
    columns = tuple(sorted({*sectors} - {""}))
    code = {name: float(k) for k, name in enumerate(columns)}
    value = np.array([[code.get(name, np.nan)] for name in sectors])
    value.flags.writeable = False
    return Reference(ts=ts, name="sectors", rows="symbol", value=value, columns=columns)


_NOTHING = Beside()


class History:
    """A table in time order as events. The feeds from files own one each and differ in how they read."""

    def __init__(self, source: RowSource, chosen: Options, where: str, beside: Beside = _NOTHING) -> None:
        survey = source.survey
        self._source, self._where, self._strict = source, where, chosen.bad_rows == "error"
        self._volume_known = chosen.volume == "shares"
        self._timing = timing_of(survey, chosen, where)
        self.universe = universe_from(survey, chosen, where)
        self.interval_ns = self._timing.interval_ns
        self.sessions = self._timing.sessions
        low, high = self._timing.closes(np.array([survey.low, survey.high])).tolist()
        self.span = (low, high)  # of the slices
        self.sectors: tuple[str, ...] = ()
        self._sector_hash: dict[str, str] = {}
        if chosen.sectors is not None:
            self.sectors, digest = read_sectors(chosen.sectors, self.universe)
            self._sector_hash = {chosen.sectors.name: digest}
        self._unread: tuple[Issue, ...] = ()
        self._life = self._life_of(beside, survey, strict=self._strict)
        self._beside_hashes = hashes_of(beside, source.hashes() | self._sector_hash)
        where_is = {symbol: k for k, symbol in enumerate(self.universe.symbols)}
        position = np.array([where_is.get(symbol, -1) for symbol in survey.symbols], np.int32)
        first = np.empty(len(self.universe), np.int64)
        first[position[position >= 0]] = np.array(survey.first)[position >= 0]
        order = np.argsort(first, kind="stable")
        first[order] = self._timing.closes(first[order])
        self._frame = Frame(
            symbols=self.universe.symbols,
            position=position,
            first=first,
            fields=source.fields,
            extra=chosen.extra,
            timing=self._timing,
            where=where,
        )
        members = None if self._life is None else self._life.members
        self.beforehand = Beforehand(listed=first, members=members, open_seconds=self._timing.open_seconds)
        self._quality = self._fresh_quality(None)
        self._unsorted = self._disorder(survey)

    def _life_of(self, beside: Beside, survey: Survey, *, strict: bool) -> Life | None:
        """What stands beside the bars, None = nothing; instruments are set right in the universe."""
        if beside.instruments is not None:
            known = read_instruments(beside.instruments, self.universe, rates=beside.rates is not None)
            self.universe, self.sectors = known.universe, self.sectors or known.sectors
            self._unread = known.issues
        if not beside.weaves:
            return None
        return Life(
            beside=beside,
            universe=self.universe,
            known=frozenset(survey.symbols),
            days=TradingDays(self._timing.close, self._timing.sessions),
            bounds=self._timing.bounds,
            strict=strict,
        )

    def events(self, start: int | None, end: int | None) -> Iterator[Event]:
        """Bars with start <= ts < end, the ends of their sessions, and the sectors before the first of them."""
        self._quality = self._fresh_quality(start)
        early, clocked = start, self.sessions is None and self.interval_ns < DAY_NS
        if start is not None and clocked:
            early = start - _SESSION_MAX_NS
        bounds = self._timing.stamps_around(early, end)
        slices = Slicer(self._frame, self._quality).slices(self._source.rows(*bounds), early, end)
        events: Iterator[Event] = self._with_session_ends(slices, end) if clocked else slices
        if self.sessions is not None:
            events = with_sessions(slices, self._timing, self.span, (start, end), self._quality.empty_session)
        if self._life is not None:
            since = (event for event in events if start is None or event.ts >= start)
            events = self._life.woven(since, start, end, self.span)
        found = False
        for event in events:
            if start is not None and event.ts < start:
                continue
            if not found and self.sectors:
                yield sectors_reference(event.ts, self.sectors)
            found = True
            yield event
        if not found:
            raise DataError(f"{self._where}: it has no bar {self._range(start, end)}; {self._covers()}")

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        return self._timing.bounds(start, end)

    def issues(self) -> tuple[Issue, ...]:
        gone, beside = (None, ()) if self._life is None else (self._life.gone(), self._life.issues())
        return (
            *self._quality.issues(),
            *self._quality.vanished(self.interval_ns, gone),
            *self._unsorted,
            *together((*self._unread, *beside)),
        )

    def hashes(self) -> dict[str, str]:
        return self._source.hashes() | self._sector_hash | self._beside_hashes

    def _with_session_ends(self, slices: Iterator[Bars], end: int | None) -> Iterator[Event]:
        """A Timer at the declared close of each trading day that had a bar, before anything later.

        It does not stand at the last bar of the day: that it was the last is known only afterwards.
        """
        due: int | None = None
        for bars in slices:
            if due is None or bars.ts > due:
                if due is not None:
                    yield Timer(ts=due, name="session_closed", due=due)
                due = self._timing.session_end(bars.ts)
            yield bars
        if due is not None and (end is None or due < end):
            yield Timer(ts=due, name="session_closed", due=due)

    def _disorder(self, survey: Survey) -> tuple[Issue, ...]:
        """The rows of the whole table, whatever part of it is walked, that did not stand in order."""
        if not survey.unsorted:
            return ()
        examples = []
        for code, *stamps in survey.unsorted_first:
            at, before = (self._timing.label(ts) for k in stamps for ts in self._timing.closes(np.array([k])).tolist())
            examples.append(f"{survey.symbols[code]} {at}: after {before}")
        kind = "unsorted_row"
        return (Issue(kind=kind, count=survey.unsorted, rule=RULES[kind], examples=tuple(examples)),)

    def _fresh_quality(self, start: int | None) -> Quality:
        return Quality(
            symbols=self._frame.symbols,
            label=self._timing.label,
            strict=self._strict,
            where=self._where,
            volume_known=self._volume_known,
            outside_kept=self._timing.outside == "keep",
            split_between=None if self._life is None else self._life.split_between,
            since=np.iinfo(np.int64).min if start is None else start,
        )

    def _range(self, start: int | None, end: int | None) -> str:
        text: Callable[[int], str] = instant_text
        since = "" if start is None else f"from {text(start)}"
        until = "" if end is None else f"before {text(end)}"
        return " ".join(part for part in (since, until) if part) or "at all"

    def _covers(self) -> str:
        return f"it covers {instant_text(self.span[0])} to {instant_text(self.span[1])}"
