"""Checks of options that terms, constraints and methods share."""

from math import inf


def at_least(name: str, value: float, least: float = 0.0) -> float:
    """The value of an option. Raises ValueError unless it is finite and at least `least`."""
    if not least <= value < inf:
        raise ValueError(f"{name} must be finite and at least {least:g}, got {value}")
    return value


def above(name: str, value: float, least: float = 0.0) -> float:
    """The value of an option. Raises ValueError unless it is finite and above `least`."""
    if not least < value < inf:
        raise ValueError(f"{name} must be finite and above {least:g}, got {value}")
    return value


def price(soft: float | None) -> float | None:
    """What a violation costs, None = it must not be. Raises ValueError unless it is above 0."""
    if soft is not None:
        above("soft", soft)
    return soft


def open_sides(low: float | None, high: float | None) -> tuple[float, float]:
    """Two limits, None = no limit on that side."""
    return -inf if low is None else low, inf if high is None else high


def sides(low: float, high: float, names: tuple[str, str] = ("min", "max")) -> tuple[float, float]:
    """Two limits. Raises ValueError where they cross or are no numbers."""
    if not low <= high:
        raise ValueError(f"{names[0]} must not be above {names[1]}, got {low} and {high}")
    return low, high
