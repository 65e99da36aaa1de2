"""What a position has gained against a price, whichever side it is on."""

import numpy as np

from components.strategies.guards import View
from engine.events import Mask, Vector

_SLACK = 1e-12  # of a share: a price exactly at a limit is at it, whatever a division rounds


def gain(view: View, since: Vector) -> Vector:
    """(N,) signed share of the price `since` (N,): side * (mark - since) / since, NaN where flat or not priced.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> held = book(1, [90.0, 90.0, 90.0], qty=[1.0, -1.0, 0.0])
    >>> view = view_of(universe_of(("A", "B", "C")), bars(ts=1, close=[90.0, 90.0, 90.0]), held)
    >>> gain(view, np.array([100.0, 100.0, 100.0]))
    array([-0.1,  0.1,  nan])
    """
    side = np.sign(view.book.qty)
    return np.asarray(np.where(side != 0, side * (view.book.mark - since) / since, np.nan))


def below(value: Vector, limit: float) -> Vector:
    """(N,) the values at or below a limit, NaN elsewhere."""
    return where(value <= limit + _SLACK, value)


def above(value: Vector, limit: float) -> Vector:
    """(N,) the values at or above a limit, NaN elsewhere."""
    return where(value >= limit - _SLACK, value)


def where(mask: Mask, value: Vector) -> Vector:
    return np.where(mask, value, np.nan)
