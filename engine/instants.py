"""Instants as people read them: the one place that writes UTC nanoseconds as text."""

from typing import SupportsInt

import numpy as np


def day_text(ts: SupportsInt) -> str:
    """The day of an instant, UTC.

    >>> day_text(1_514_926_800_000_000_000), day_text(-1)
    ('2018-01-02', '1969-12-31')
    """
    return str(np.datetime64(int(ts), "ns").astype("datetime64[D]"))


def instant_text(ts: SupportsInt) -> str:
    """An instant to the second, UTC.

    >>> instant_text(1_514_926_800_000_000_000), instant_text(-1)
    ('2018-01-02T21:00:00Z', '1969-12-31T23:59:59Z')
    """
    return f"{np.datetime64(int(ts), 'ns').astype('datetime64[s]')}Z"
