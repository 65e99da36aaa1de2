"""When a venue trades, how much of it and up to which prices: what a run file says of them."""

import re
from typing import Literal, TypeAlias

import msgspec

from engine.calendar import Sessions

WhenClosed: TypeAlias = Literal["same", "next_open"]

_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|min|m|h)")


def nanoseconds(option: str, text: str) -> int:
    """A duration such as 2min or 30s.

    >>> nanoseconds("open_cutoff", "2min")
    120000000000
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None and text.strip() != "0":
        raise ValueError(f"{option} must be a duration such as 2min or 30s, got {text!r}")
    return round(float(match[1]) * _UNITS[match[2]]) if match else 0


class Hours(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """When a venue trades."""

    sessions: Sessions | None = None
    when_closed: WhenClosed = "same"
    open_cutoff: str = "2min"
    close_cutoff: str = "10min"

    def __post_init__(self) -> None:
        if self.when_closed not in ("same", "next_open"):
            raise ValueError(f"when_closed {self.when_closed!r} is unknown; use same or next_open")


class Depth(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """How much a venue trades, and up to which prices."""

    participation: float | None = None
    price_limit: float | None = None
    touch: bool = False

    def __post_init__(self) -> None:
        share, limit = self.participation, self.price_limit
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"participation must be above 0 and at most 1 (of the bar's volume), got {share}")
        if limit is not None and not 0 < limit < 1:
            raise ValueError(f"price_limit must be above 0 and below 1 (of the last close), got {limit}")
