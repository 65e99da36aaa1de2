"""Trading days of an exchange, compiled from the library exchange_calendars into a table of instants."""

import datetime as dt
import warnings
from functools import lru_cache
from importlib import metadata
from typing import Any

import numpy as np

from adapters.calendars.names import checked_name
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, Stamps

# The table reaches beyond what it is asked for, so that the last days still know when money settles and markets open.
_BEFORE, _AFTER = dt.timedelta(days=15), dt.timedelta(days=45)
_PROBE = ("2024-01-01", "2024-01-31")  # a month that every calendar of the library knows
_SAID_MAX = 200
_LIBRARY = "exchange_calendars"


@lru_cache(maxsize=32)
def sessions_of(name: str, first: dt.date, last: dt.date) -> Sessions:
    """The trading days of a calendar from some days before `first` to some weeks after `last`.

    The same arguments give the same table on every day that they are asked for, by the same version of the library.
    Where the library knows fewer days the table ends there: it is the run that must not go further.
    """
    low, high = first - _BEFORE, last + _AFTER
    try:
        return _table(_built(name, low, high))
    except ValueError as error:  # the library knows some calendars for some years only
        early, late = _bounds(name)
        if early <= low and high <= late:
            raise ConfigError(_failed(name, low, high, error)) from error
    if last < early or late < first:
        raise ConfigError(
            f"calendar {name}: {version()} knows it from {early} to {late}, the bars go from {first} to {last}; "
            "declare close: instead of calendar:, or install a newer exchange_calendars"
        )
    return _table(_built(name, max(low, early), min(high, late)))


def _bounds(name: str) -> tuple[dt.date, dt.date]:
    """The first and last day that the library knows of a calendar."""
    low, high = (dt.date.fromisoformat(day) for day in _PROBE)
    try:
        kind = type(_built(name, low, high))
    except ValueError as error:
        raise ConfigError(_failed(name, low, high, error)) from error
    first, last = kind.bound_min(), kind.bound_max()
    return (dt.date.min if first is None else first.date(), dt.date.max if last is None else last.date())


def version() -> str:
    """The library and its version, as recorded with each session."""
    return f"{_LIBRARY} {metadata.version(_LIBRARY)}"


def _built(name: str, low: dt.date, high: dt.date) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas about the library's use of it
        import exchange_calendars

        try:
            return exchange_calendars.get_calendar(checked_name(name), start=low.isoformat(), end=high.isoformat())
        except ValueError:
            raise
        except Exception as error:
            raise ConfigError(_failed(name, low, high, error)) from error


def _failed(name: str, low: dt.date, high: dt.date, error: Exception) -> str:
    said = f"{type(error).__name__}: {error}"[:_SAID_MAX]
    return f"calendar {name}: {version()} cannot make it from {low} to {high}; declare close: instead. It says {said}"


def _table(calendar: Any) -> Sessions:
    days = calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    columns = (
        days * DAY_NS,
        calendar.opens_nanos,
        calendar.closes_nanos,
        np.maximum(calendar.break_starts_nanos, 0),  # the library writes no time as the least number
        np.maximum(calendar.break_ends_nanos, 0),
    )
    label, opens, closes, break_from, break_to = (_frozen(np.array(column, np.int64)) for column in columns)
    return Sessions(
        name=calendar.name,
        label=label,
        opens=opens,
        closes=closes,
        break_from=break_from,
        break_to=break_to,
        zone=str(calendar.tz.key),
        source=version(),
    )


def _frozen(column: Stamps) -> Stamps:
    column.flags.writeable = False
    return column
