"""A feed's events by their place: what is recorded of bars that stand in files, and how they are found again."""

from collections.abc import Callable, Iterator
from typing import Any

from engine.event_columns import PLANS
from engine.events import Bars, Event
from engine.journal import content_of, digest_of
from engine.journal_reading import Record
from engine.sealing import handed, users_own


class Walk:
    """The events of a feed over a session, counted from 0 as they are handed out.

    Those of a feed of the user's own are copied to where it cannot write; ours hand out read-only ones, and keep none.
    """

    def __init__(self, events: Callable[[], Iterator[Event]], feed: Any = None) -> None:
        self._events, self._own = events, feed is not None and users_own(feed)
        self._latest: Event | None = None
        self._at = -1

    def events(self) -> Iterator[Event]:
        for place, event in enumerate(self._events()):
            if self._own:
                event = handed(event)
            self._latest, self._at = event, place
            yield event

    def place(self, event: Event, /) -> int:
        """Which of the feed's events this is; -1 = not the latest of them."""
        return self._at if event is self._latest else -1


class Found:
    """Finds recorded bars in the feed again, in the order in which they were recorded.

    None where the feed has other bars at their place, or none at all.
    """

    def __init__(self, events: Callable[[], Iterator[Event]]) -> None:
        self._walk = enumerate(events())
        self._latest: tuple[int, Event | None] = (-1, None)

    def at(self, place: int) -> Event | None:
        """The event at this place of the feed."""
        while self._latest[0] < place:
            following = next(self._walk, None)
            if following is None:
                return None
            self._latest = following
        return self._latest[1] if self._latest[0] == place else None

    def __call__(self, record: Record, /) -> Event | None:
        if record.kept is None:
            return record.event
        event = self.at(record.kept.at)
        if not isinstance(event, Bars) or digest_of((content_of(PLANS[Bars], event),)) != record.kept.digest:
            return None
        return event
