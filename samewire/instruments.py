"""What a manifest says of the instruments of a session, and the universe again from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.events import Vector
from engine.universe import Universe

_FIXED = ("currency", "multiplier", "lot", "tick")
_DEFAULTS = {"currency": 0, "multiplier": 1.0, "lot": 1.0, "tick": 0.0}


def facts_of(universe: Universe) -> dict[str, Any]:
    """Symbols, currencies, and what is fixed about each: one number where all symbols have the same, else a list."""
    fixed: dict[str, Any] = {}
    for name in _FIXED:
        values = getattr(universe, name).tolist()
        fixed[name] = values[0] if len(set(values)) == 1 else values
    return {"symbols": list(universe.symbols), "currencies": list(universe.currencies), **fixed}


def universe_from(facts: Mapping[str, Any]) -> Universe:
    """The universe that `facts_of` describes. What it does not say is as `universe_of` has it.

    >>> universe_from({"symbols": ["A", "B"], "currencies": ["USD"], "lot": [1, 100]}).lot
    array([  1., 100.])
    """
    symbols: Sequence[str] = facts["symbols"]
    n = len(symbols)

    def column(name: str) -> Vector:
        value = facts.get(name, _DEFAULTS[name])
        return np.full(n, value, float) if isinstance(value, int | float) else np.asarray(value, float)

    return Universe(
        symbols=tuple(symbols),
        currencies=tuple(facts["currencies"]),
        currency=column("currency").astype(np.int32),
        multiplier=column("multiplier"),
        lot=column("lot"),
        tick=column("tick"),
    )
