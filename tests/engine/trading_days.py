"""Small calendars, written in hours since the beginning of 2018."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from engine.calendar import Sessions
from engine.events import DAY_NS, HOUR_NS

DAY = 17_532 * DAY_NS  # 2018-01-01


def table(*days: tuple[int, int, int, int, int], **more: Any) -> Sessions:
    """Trading days as (label, open, close, break from, break to): days and hours since 2018-01-01."""
    label, *hours = np.array(days, np.int64).reshape(-1, 5).T
    opens, closes, begun, over = (np.where(column == 0, 0, DAY + column * HOUR_NS) for column in hours)
    return Sessions(
        name="X", label=DAY + label * DAY_NS, opens=opens, closes=closes, break_from=begun, break_to=over, **more
    )


def hour(hours: int) -> int:
    return DAY + hours * HOUR_NS


@st.composite
def tables(draw: st.DrawFn) -> Sessions:
    """Any table: gaps of 0 to 9 hours, some days back to back, some with a break."""
    days, at, label = [], 1, -1
    for _ in range(draw(st.integers(1, 6))):
        at += draw(st.integers(0, 9))
        length = draw(st.integers(1, 12))
        broken = length >= 4 and draw(st.booleans())
        label += draw(st.integers(1, 3))
        days.append((label, at, at + length, *((at + 1, at + 3) if broken else (0, 0))))
        at += length
    return table(*days)
