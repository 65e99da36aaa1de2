"""`samewire tap`: what was said on a topic of Kafka, or of a session directory."""

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import NO_OUTPUT, Allow, Output, allowed, say

_CELL_MAX = 1_000  # characters; in JSON nothing is cut


@Parameter(name="*")
@dataclass(frozen=True)
class Filter:
    """Which events to print."""

    source: Annotated[str, Parameter(help="Only of this component, e.g. gbdt.", show_default=False)] = ""
    symbol: Annotated[str, Parameter(help="Only of this symbol.", show_default=False)] = ""
    since: Annotated[
        str,
        Parameter(
            help="From here on: 2021-03-01 or 2021-03-01T21:00:00 (UTC); of Kafka also latest.", show_default=False
        ),
    ] = ""
    until: Annotated[str, Parameter(help="Before this instant.", show_default=False)] = ""
    limit: Annotated[int, Parameter(help="Rows at most, 0 = all.")] = 0


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Where the topic is."""

    directory: Annotated[
        Path | None, Parameter(name="--dir", help="The session directory to read.", show_default=False)
    ] = None
    kafka: Annotated[
        str, Parameter(help="HOST:PORT of a broker, as SAMEWIRE_KAFKA names it where left out.", show_default=False)
    ] = ""
    follow: Annotated[bool, Parameter(help="Of Kafka: goes on with what comes.", negative="")] = False


def tap(
    topic: str,
    /,
    *,
    place: Place = Place(),
    only: Filter = Filter(),
    allow: Allow = (),
    output: Output = NO_OUTPUT,
) -> int:
    """Prints what was said on a topic, one row a symbol or order leg; with --format json one JSON object a line.

    Parameters
    ----------
    topic
        On Kafka its name, such as prod.signals.gbdt.v1. Of a session directory: actions, approved, bars, books,
        charges, children, controls, fills, late, notes, orders, references, refusals, reports, signals, targets,
        timers, watermarks, or all.
    """
    from samewire.event_rows import TOPICS

    printed = _Printer(output.json)
    if "." in topic:
        if place.directory is not None:
            raise _wrong(f"tap: {topic} is a topic of Kafka, leave out --dir; there", ", ".join(TOPICS), "")
        return asyncio.run(_messages(topic, place, only, printed))
    return _events(topic, place, only, allow, printed)


def _events(topic: str, place: Place, only: Filter, allow: Sequence[str], printed: "_Printer") -> int:
    from samewire.closest import closest
    from samewire.event_rows import TOPICS
    from samewire.recorded import open_recorded

    if topic not in TOPICS:
        raise _wrong(f"tap: no topic is called {topic!r}", ", ".join(TOPICS), closest(topic, TOPICS))
    if place.directory is None or place.follow or place.kafka:
        from engine.errors import ConfigError

        how = f"say --dir DIR and neither --kafka nor --follow, or take one of Kafka such as dev.{topic}.NAME.v1"
        raise ConfigError(f"tap: {topic} is a topic of session directories; {how}")
    recorded = open_recorded(place.directory, allowed(allow))
    symbols = recorded.symbols
    at: int | None = None
    if only.symbol:
        if only.symbol not in symbols:
            raise _wrong(f"tap: {only.symbol!r} is not in the universe", _few(symbols), closest(only.symbol, symbols))
        at = symbols.index(only.symbol)
    for count, row in enumerate(_selected(recorded.entries(bars=topic in ("bars", "all")), topic, only, (symbols, at))):
        if only.limit and count >= only.limit:
            break
        printed.row(row)
    return 0


async def _messages(topic: str, place: Place, only: Filter, printed: "_Printer") -> int:
    """Reads a topic of Kafka to its end, or on and on."""
    from adapters.kafka.subscribe import Reading, Since, subscribe
    from samewire.message_rows import rows

    since = None if only.since in ("latest", "earliest") else instant(only.since)
    begin: Since = since if since is not None else "latest" if only.since == "latest" else "earliest"
    until, count, reading = instant(only.until), 0, Reading(follow=place.follow, poison="skip")
    async with subscribe(topic, address=place.kafka, since=begin, reading=reading) as messages:
        async for message in messages:
            ts = getattr(message, "ts", None)
            if ts is not None and ((since is not None and ts < since) or (until is not None and ts >= until)):
                continue
            if only.source and only.source not in (getattr(message, "source", ""), getattr(message, "by", "")):
                continue
            for row in rows(message, only.symbol):
                printed.row(row)
                count += 1
                if count == only.limit:
                    return 0
            sys.stdout.flush()  # whoever follows reads it now
    if lost := messages.counts.poison:
        sys.stderr.write(f"{topic}: {lost} records are no messages of it and were passed over\n")
    return 0


def _wrong(said: str, expected: str, near: str) -> Exception:
    from engine.errors import ConfigError

    return ConfigError(f"{said}; expected one of: {expected}" + (f"; did you mean {near!r}?" if near else ""))


def _few(symbols: Sequence[str]) -> str:
    from samewire.closest import listed

    return listed(symbols)


def _selected(
    journal: Iterable[Any], topic: str, only: Filter, of: tuple[tuple[str, ...], int | None]
) -> Iterator[dict[str, Any]]:
    from samewire.event_rows import TOPICS, rows

    symbols, place = of
    kinds, since, until = TOPICS[topic], instant(only.since), instant(only.until)
    for entry in journal:
        event = entry.event
        if event is None or not isinstance(event, kinds):
            continue
        if (since is not None and event.ts < since) or (until is not None and event.ts >= until):
            continue
        if only.source and only.source not in (entry.origin, getattr(event, "source", "")):
            continue
        head = {"seq": entry.seq, "origin": entry.origin, "event": type(event).__name__} if topic == "all" else {}
        for row in rows(event, symbols, place):
            yield {**head, **row}


def instant(text: str) -> int | None:
    """UTC ns of a day or an instant; None for no text.

    >>> instant("1970-01-02"), instant("1970-01-01T00:00:01"), instant("")
    (86400000000000, 1000000000, None)
    """
    import datetime as dt

    if not text:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(f"{text!r} is no instant", "2021-03-01, 2021-03-01T21:00:00", "") from None
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    seconds = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (seconds.days * 86_400 + seconds.seconds) * 10**9 + seconds.microseconds * 1000


class _Printer:
    """Rows as JSON lines, or as columns with a head whenever the columns change."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._names: tuple[str, ...] = ()
        self._widths: list[int] = []

    def row(self, row: dict[str, Any]) -> None:
        if self._json:
            say(json.dumps(row, allow_nan=False))
            return
        cells = [_text(value) for value in row.values()]
        if tuple(row) != self._names:
            self._names = tuple(row)
            self._widths = [max(len(n), len(c), 8) for n, c in zip(self._names, cells, strict=True)]
            say("  ".join(n.ljust(w) for n, w in zip(self._names, self._widths, strict=True)).rstrip())
        say("  ".join(c.ljust(w) for c, w in zip(cells, self._widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        text = str(value)
        return text if len(text) <= _CELL_MAX else f"{text[:_CELL_MAX]}..."
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.8g}"
