"""The history before a session that its components warm up on: the last slices of each interval."""

from collections import deque
from collections.abc import Mapping

from engine.errors import DataError
from engine.events import DAY_NS, Bars, Event
from engine.protocols import Feed

_MARGIN_NS = 15 * DAY_NS  # holidays and week-ends before a warm-up of a few slices


def latest(feed: Feed, start: int, slices: Mapping[int, int]) -> list[Event]:
    """The events before `start` that the last so many slices of each interval need; fewer where the feed begins later.

    `slices` counts them by interval: a component on daily bars warms up on days, however many minutes they have. Bars
    that no count asks for are left out, so a year of days does not keep its minutes in memory.
    """
    wanted = {interval: count for interval, count in slices.items() if count}
    lows = [start - (2 if each >= DAY_NS else 8) * count * each - _MARGIN_NS for each, count in wanted.items()]
    for low in (min(lows, default=start), None):  # history with wide holes is read from its beginning
        kept = _Kept(wanted)
        try:
            for event in feed.events(low, start):
                kept.add(event)
        except DataError:
            if low is None:
                raise
            continue
        if kept.whole or low is None:
            return kept.events()
    return []


class _Kept:
    """The last slices of each interval, and whatever else came since the first of them."""

    def __init__(self, wanted: Mapping[int, int]) -> None:
        self._bars = {interval: deque[tuple[int, Event]](maxlen=count) for interval, count in wanted.items()}
        self._others: list[tuple[int, Event]] = []
        self._gone = dict.fromkeys(wanted, -1)  # place of the latest slice that was let go
        self._place = 0

    @property
    def whole(self) -> bool:
        return all(len(bars) == bars.maxlen for bars in self._bars.values())

    def add(self, event: Event) -> None:
        self._place += 1
        if not isinstance(event, Bars):
            self._others.append((self._place, event))
        elif (bars := self._bars.get(event.interval_ns)) is not None:
            if len(bars) == bars.maxlen:
                self._gone[event.interval_ns] = bars[0][0]
            bars.append((self._place, event))

    def events(self) -> list[Event]:
        since = min(self._gone.values(), default=self._place)
        rows = [row for row in self._others if row[0] > since]
        for bars in self._bars.values():
            rows += bars
        return [event for _, event in sorted(rows, key=lambda row: row[0])]
