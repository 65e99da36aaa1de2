"""Instants as people read them: the one place that writes UTC nanoseconds as text."""

from datetime import UTC, datetime
from typing import SupportsInt


def day_text(ts: SupportsInt) -> str:
    """The day of an instant, UTC.

    >>> day_text(1_514_926_800_000_000_000), day_text(-1), day_text(2**63 - 1)
    ('2018-01-02', '1969-12-31', '2262-04-11')
    """
    return _instant(ts).date().isoformat()


def instant_text(ts: SupportsInt) -> str:
    """An instant to the second, UTC.

    >>> instant_text(1_514_926_800_000_000_000), instant_text(-1)
    ('2018-01-02T21:00:00Z', '1969-12-31T23:59:59Z')
    """
    return f"{_instant(ts):%Y-%m-%dT%H:%M:%S}Z"


def _instant(ts: SupportsInt) -> datetime:
    return datetime.fromtimestamp(int(ts) // 1_000_000_000, UTC)
