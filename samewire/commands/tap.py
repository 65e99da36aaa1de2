"""`samewire tap`: what was said on a topic."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import NO_OUTPUT, Allow, Output, allowed, say


@Parameter(name="*")
@dataclass(frozen=True)
class Filter:
    """Which events to print."""

    source: Annotated[str, Parameter(help="Only of this component, e.g. gbdt.", show_default=False)] = ""
    symbol: Annotated[str, Parameter(help="Only of this symbol.", show_default=False)] = ""
    since: Annotated[
        str, Parameter(help="From here on: 2021-03-01 or 2021-03-01T21:00:00 (UTC).", show_default=False)
    ] = ""
    until: Annotated[str, Parameter(help="Before this instant.", show_default=False)] = ""
    limit: Annotated[int, Parameter(help="Rows at most, 0 = all.")] = 0


def tap(
    topic: str,
    /,
    *,
    directory: Annotated[Path, Parameter(name="--dir")],
    only: Filter = Filter(),
    allow: Allow = (),
    output: Output = NO_OUTPUT,
) -> int:
    """Prints the events of a topic, one row a symbol or order leg; with --format json one JSON object a line.

    Parameters
    ----------
    topic
        actions, approved, bars, books, charges, children, controls, fills, late, notes, orders, references, refusals,
        reports, signals, targets, timers, watermarks, or all.
    directory
        The session directory.
    """
    from samewire.closest import closest
    from samewire.event_rows import TOPICS
    from samewire.recorded import open_recorded

    if topic not in TOPICS:
        raise _wrong(f"tap: no topic is called {topic!r}", ", ".join(TOPICS), closest(topic, TOPICS))
    recorded = open_recorded(directory, allowed(allow))
    symbols = recorded.symbols
    place: int | None = None
    if only.symbol:
        if only.symbol not in symbols:
            raise _wrong(f"tap: {only.symbol!r} is not in the universe", _few(symbols), closest(only.symbol, symbols))
        place = symbols.index(only.symbol)
    printed = _Printer(output.json)
    for count, row in enumerate(
        _selected(recorded.entries(bars=topic in ("bars", "all")), topic, only, (symbols, place))
    ):
        if only.limit and count >= only.limit:
            break
        printed.row(row)
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
        return str(value)
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.8g}"
