"""When a parent may be worked, and for how long: in trading hours, cut at the close of the session. Pure lookups."""

from typing import Any

import numpy as np

from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, Legs, Mask, OrderKind, TimeInForce

NEVER = 2**63 - 1
_LASTING = (int(TimeInForce.DAY), int(TimeInForce.GOOD_TILL_CANCELLED))


def paced(orders: Legs) -> Mask:
    """(L,) which of these legs are worked at a pace: market orders. Those with a moment of their own are not, be it by
    their kind (auctions) or their time in force (`ioc` and `fok` live for one bar, `gtd` up to an instant)."""
    mask: Mask = (orders.kind == OrderKind.MARKET) & np.isin(orders.tif, _LASTING)
    return mask


def window(
    ts: int, horizon: int, interval_ns: int, sessions: Sessions | None, *, at_once: bool = False
) -> tuple[int, int]:
    """Slices behind `ts` that an order is worked over, and the instant from which on none of it is sent.

    Without trading days, or with bars of a day and longer, the horizon itself and no instant. Else the slices that end
    up to the close of the session that holds `ts`; for an order decided at a close, or out of hours, those of the next
    session. Behind the end of the calendar the horizon is not cut. The close itself is such an instant, unless what is
    sent trades `at_once`.
    """
    hours = hours_for(interval_ns, sessions)
    row = -1 if hours is None else _session(ts, hours)
    if hours is None or row < 0:
        return horizon, NEVER
    sessions, close = hours, int(hours.closes[row])
    start = max(ts, int(sessions.opens[row]))
    pause = max(0, int(sessions.break_to[row]) - max(start, int(sessions.break_from[row])))
    slices = -(-(close - start - pause) // interval_ns)
    return min(horizon, slices), close + at_once


def hours_for(interval_ns: int, sessions: Sessions | None) -> Sessions | None:
    """The trading days whose hours count; None for bars of a day and longer, which are worked in all slices."""
    return sessions if 1 <= interval_ns < DAY_NS else None


def _session(ts: int, hours: Sessions) -> int:
    """The row of the trading day in which an order that is decided at `ts` is worked, -1 behind the calendar."""
    try:
        return hours.day_of(hours.next_close(ts + 1))
    except ConfigError:
        return -1


def in_hours(ts: int, hours: Sessions | None) -> bool:
    """Whether the slice that ends at `ts` is one of trading hours, which alone use up horizons."""
    return hours is None or hours.hours_of(ts) >= 0 or ts > hours.closes[-1]


def first_behind(ts: int, interval_ns: int, *, own: bool) -> int:
    """The instant behind which the slices of a horizon end: with `own`, the slice of the decision is one of them."""
    return ts - interval_ns if own else ts


def may_send(ts: int, hours: Sessions | None) -> bool:
    """Whether what is sent at `ts` meets a bar of trading hours: not at a close, nor where a break begins."""
    return hours is None or hours.trades_at(ts) or ts >= hours.closes[-1]


def turns(ts: int, hours: Sessions | None) -> tuple[int, ...]:
    """The instants behind `ts` at which the hours begin and end of the session in which its orders are worked."""
    row = -1 if hours is None else _session(ts, hours)
    if hours is None or row < 0:
        return ()
    columns = (hours.opens, hours.break_from, hours.break_to, hours.closes)
    return tuple(at for at in (int(column[row]) for column in columns) if at > ts)


def begins_at(ts: int, hours: Sessions | None) -> tuple[bool, bool]:
    """Whether trading begins at `ts`, so that what was decided before is sent, and whether a day begins with it."""
    if hours is None or not hours.trades_at(ts):
        return False, False
    row = _session(ts, hours)
    opened = bool(ts == hours.opens[row])
    return opened or bool(ts == hours.break_to[row]), opened


def begins_anew(late: Any, size: Any, remaining: Any, steps: Any) -> Any:
    """(P,) whether parents that were asked for more begin their horizon anew, instead of hurrying.

    `late` is what was added since the horizon began, `size` all that is to be traded in it, both unsigned. In equal
    parts of the steps that remain, what was added makes each step larger by late / remaining; that is to be no more
    than a step of the whole over the whole horizon, size / steps. An order that creeps keeps its clock, and ends.

    >>> bool(begins_anew(4990.0, 5000.0, 2, 4)), bool(begins_anew(3.0, 103.0, 1, 4))
    (True, False)
    """
    return late * steps > size * remaining
