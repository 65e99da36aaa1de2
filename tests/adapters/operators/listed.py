"""A feed over a list of events, sessions by hand, and longer bars by a plain loop."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from engine.calendar import Sessions
from engine.events import MINUTE_NS, Bars, Event, Status
from engine.protocols import Issue
from engine.universe import universe_of
from tests.make import bars

NY = ZoneInfo("America/New_York")


def at(text: str, zone: str = "America/New_York") -> int:
    """UTC ns of a local time such as 2018-03-05 09:31."""
    local = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(local.timestamp()) * 10**9


def sessions(
    *rows: tuple[str, str, str], lunch: tuple[str, str] | None = None, zone: str = "America/New_York"
) -> Sessions:
    """Trading days as (label, open, close) in local time; a time alone is of the label's own date."""

    def local(label: str, clock: str) -> int:
        return at(clock if "-" in clock else f"{label} {clock}", zone)

    n = len(rows)
    breaks = [[local(label, clock) for clock in lunch] if lunch else [0, 0] for label, _, _ in rows]
    return Sessions(
        name="XTEST",
        label=np.array([int(np.datetime64(label, "ns").astype(np.int64)) for label, _, _ in rows]),
        opens=np.array([local(label, opened) for label, opened, _ in rows]),
        closes=np.array([local(label, closed) for label, _, closed in rows]),
        break_from=np.array([b[0] for b in breaks]).reshape(n),
        break_to=np.array([b[1] for b in breaks]).reshape(n),
    )


class Listed:
    """A feed of events as they stand in a list."""

    def __init__(self, events: Sequence[Event], *, n: int = 1, extra: tuple[str, ...] = (), **known: Any) -> None:
        import msgspec

        self.universe = msgspec.structs.replace(universe_of(tuple(f"S{i}" for i in range(n))), extra=extra)
        self._events = list(events)
        slices = [event for event in self._events if isinstance(event, Bars)]
        self.interval_ns, self.sectors = slices[0].interval_ns, ()
        self.span = (slices[0].ts, slices[-1].ts)
        self.sessions: Sessions | None = known.get("sessions")
        self.close: str | None = known.get("close")

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        for event in self._events:
            if (start is None or event.ts >= start) and (end is None or event.ts < end):
                yield event

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        return None, None

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {"list": "0" * 64}


def minute(text: str, close: Sequence[float], zone: str = "America/New_York", **columns: Any) -> Bars:
    """The one-minute bar that ends at this local time."""
    ts = at(text, zone)
    return bars(ts, close, interval_ns=MINUTE_NS, opened=ts - MINUTE_NS, **columns)


def random_minutes(stamps: Sequence[int], n: int, seed: int, *, holes: float = 0.1) -> list[Bars]:
    """Sound bars with holes and halts at these closes."""
    rng = np.random.default_rng(seed)
    made = []
    for ts in stamps:
        o, c = rng.uniform(10, 20, (2, n)).round(2)
        top, bottom = np.maximum(o, c) + rng.integers(0, 5, n) / 100, np.minimum(o, c) - rng.integers(0, 5, n) / 100
        status = rng.choice([Status.FRESH, Status.MISSING, Status.HALTED], n, p=[1 - holes, holes * 0.7, holes * 0.3])
        gone = status != Status.FRESH
        volume, vwap = rng.integers(0, 500, n).astype(float), rng.uniform(bottom, top)
        for column in (o, c, top, bottom, volume, vwap):
            column[gone] = np.nan
        made.append(
            bars(
                ts,
                c,
                open=o,
                high=top,
                low=bottom,
                volume=volume,
                vwap=vwap,
                status=status,
                interval_ns=MINUTE_NS,
                opened=ts - MINUTE_NS,
            )
        )
    return made


def plain_bar(slices: Sequence[Bars], s: int) -> tuple[float, ...] | int:
    """Open, high, low, close, volume and vwap of one symbol, one number at a time; its status where it has none."""
    o = h = low = c = None
    volume, money, known = 0.0, 0.0, True
    status = int(Status.MISSING)
    for b in slices:
        if b.status[s] == Status.HALTED:
            status = int(Status.HALTED)
        if b.status[s] != Status.FRESH:
            continue
        o = b.open[s] if o is None else o
        h = b.high[s] if h is None or b.high[s] > h else h
        low = b.low[s] if low is None or b.low[s] < low else low
        c = b.close[s]
        volume += b.volume[s]
        if b.volume[s] > 0:
            known = known and not np.isnan(b.vwap[s])
            money += b.vwap[s] * b.volume[s]
    if o is None or h is None or low is None or c is None:
        return status
    return o, h, low, c, volume, money / volume if volume and known else np.nan
