"""The instants that the days of a run file are."""

import datetime as dt

from engine.events import DAY_NS
from engine.protocols import Feed

_EPOCH = dt.date(1970, 1, 1)


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
