"""How long a parent may be worked: its horizon, cut at the close of the session. Pure lookups."""

from typing import Any

from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS

NEVER = 2**63 - 1


def window(ts: int, horizon: int, interval_ns: int, sessions: Sessions | None) -> tuple[int, int]:
    """Slices that an order decided at `ts` is worked over, and the instant after which none of it is sent.

    Without trading days, or with bars of a day and longer, the horizon itself and no instant. Else the slices that end
    up to the close of the session that holds `ts`; for an order decided at a close, or out of hours, those of the next
    session. Behind the end of the calendar the horizon is not cut.
    """
    if sessions is None or interval_ns >= DAY_NS or interval_ns < 1:
        return horizon, NEVER
    try:
        close = sessions.next_close(ts + 1)
    except ConfigError:
        return horizon, NEVER
    row = sessions.day_of(close)
    start = max(ts, int(sessions.opens[row]))
    pause = max(0, int(sessions.break_to[row]) - max(start, int(sessions.break_from[row])))
    slices = -(-(close - start - pause) // interval_ns)
    return min(horizon, slices), close


def begins_anew(late: Any, size: Any, remaining: Any, steps: Any) -> Any:
    """(P,) whether parents that were asked for more begin their horizon anew, instead of hurrying.

    `late` is what was added since the horizon began, `size` all that is to be traded in it, both unsigned. In equal
    parts of the steps that remain, what was added makes each step larger by late / remaining; that is to be no more
    than a step of the whole over the whole horizon, size / steps. An order that creeps keeps its clock, and ends.

    >>> bool(begins_anew(4990.0, 5000.0, 2, 4)), bool(begins_anew(3.0, 103.0, 1, 4))
    (True, False)
    """
    return late * steps > size * remaining
