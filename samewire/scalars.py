"""Scalars of run files that need more than pydantic's own reading of a text."""

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from engine.events import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_TIME = re.compile(r"\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?\Z")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|min|m|h|d|w)\Z")
_UNITS = (
    ("d", DAY_NS),
    ("h", HOUR_NS),
    ("min", MINUTE_NS),
    ("m", MINUTE_NS),
    ("s", SECOND_NS),
    ("ms", 10**6),
    ("us", 10**3),
    ("ns", 1),
)


def only(pattern: re.Pattern[str], what: str) -> BeforeValidator:
    """Refuses texts that pydantic would read as seconds, such as 20180102."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.match(value):
            raise ValueError(f"not {what}")
        return value

    return BeforeValidator(check)


def duration_ns(text: Any) -> int:
    """A duration in ns.

    >>> duration_ns("250ms"), duration_ns("1.5h"), duration_ns("0"), duration_ns("1w") == duration_ns("7d")
    (250000000, 5400000000000, 0, True)
    """
    if str(text) == "0":
        return 0
    match = _DURATION.match(str(text))
    if match is None:
        raise ValueError("not a duration")
    unit = (dict(_UNITS) | {"w": 7 * DAY_NS})[match[2]]
    return round(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def duration_text(ns: int) -> str:
    """The shortest way to write a duration.

    >>> duration_text(90 * 10**9), duration_text(2 * 10**6), duration_text(0)
    ('90s', '2ms', '0')
    """
    if not ns:
        return "0"
    name, unit = next((name, unit) for name, unit in _UNITS if ns % unit == 0)
    return f"{ns // unit}{name}"


Day = Annotated[dt.date, only(_DATE, "a date")]
DayTime = Annotated[dt.time, only(_TIME, "a time")]
Duration = Annotated[int, BeforeValidator(duration_ns), WithJsonSchema({"type": ["string", "integer"]})]
DURATION_MAX_NS = 36_500 * DAY_NS
