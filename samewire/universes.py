"""A universe as plain words, for a process that has no feed."""

from typing import Any

import numpy as np

from engine.universe import Universe


def universe_words(universe: Universe) -> dict[str, Any]:
    """JSON values, of which `universe_from` makes the same universe.

    >>> from engine.universe import universe_of
    >>> again = universe_from(universe_words(universe_of(("A", "B"), lot=10.0)))
    >>> again.symbols, again.lot
    (('A', 'B'), array([10., 10.]))
    """
    arrays = ("currency", "multiplier", "lot", "tick")
    return {name: getattr(universe, name) for name in ("symbols", "currencies", "extra")} | {
        name: getattr(universe, name).tolist() for name in arrays
    }


def universe_from(words: dict[str, Any]) -> Universe:
    return Universe(
        symbols=tuple(words["symbols"]),
        currencies=tuple(words["currencies"]),
        extra=tuple(words["extra"]),
        currency=np.array(words["currency"], np.int32),
        multiplier=np.array(words["multiplier"], np.float64),
        lot=np.array(words["lot"], np.float64),
        tick=np.array(words["tick"], np.float64),
    )
