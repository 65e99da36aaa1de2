"""The options of the gate, checked: thresholds of its limits, symbols of its lists."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from components.brokers.hours import nanoseconds
from components.gates.rules import LIMITS, Limit
from engine.events import SECOND_NS, ControlAction, Vector
from engine.universe import Universe

_TRIPS = (ControlAction.REDUCE_ONLY, ControlAction.HALT, ControlAction.FLATTEN)


def checked(given: Mapping[str, float | None]) -> None:
    """Raises ValueError for an option that is no limit."""
    for key, value in given.items():
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{key} must be above 0, got {value}; leave it out for no limit")


def chosen(given: Mapping[str, float | None], lists: Mapping[str, Vector | None]) -> tuple[tuple[Limit, float], ...]:
    """The limits that are set, in the order of the table, each with its threshold. A list lets nothing through."""
    limits = dict(given) | {name: None if mask is None else 0.0 for name, mask in lists.items()}
    return tuple((limit, value) for limit in LIMITS if (value := limits[limit.name]) is not None)


def seconds(option: str, text: str | None) -> float | None:
    """A duration in seconds; None for none.

    >>> seconds("max_bar_age", "36h")
    129600.0
    """
    return None if text is None else nanoseconds(option, text) / SECOND_NS


def listed(universe: Universe, option: str, names: Sequence[str]) -> Vector | None:
    """(N,) 1 for each symbol that the list names; None for an empty list. ValueError for a name that is no symbol.

    >>> from engine.universe import universe_of
    >>> listed(universe_of(("AAPL", "MSFT")), "restricted", ["APPL"])
    Traceback (most recent call last):
    ValueError: restricted names 'APPL', which is no symbol of the universe; did you mean 'AAPL'?
    """
    if not names:
        return None
    place = {symbol: k for k, symbol in enumerate(universe.symbols)}
    mask = np.zeros(len(universe))
    for name in names:
        if name not in place:
            near = difflib.get_close_matches(name, universe.symbols, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "leave it out"
            raise ValueError(f"{option} names {name!r}, which is no symbol of the universe; {hint}")
        mask[place[name]] = 1.0
    return mask


def trip(option: str, action: str) -> ControlAction:
    """What a limit that trips asks for."""
    if action not in _TRIPS:
        raise ValueError(f"{option} must be {', '.join(_TRIPS[:-1])} or {_TRIPS[-1]}, got {action!r}")
    return ControlAction(action)
