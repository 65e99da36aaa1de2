"""The life of an order at a broker: one table of what may follow what."""

import numpy as np

from engine.events import Codes, OrderState

ENDED = frozenset({OrderState.CANCELLED, OrderState.EXPIRED, OrderState.FINISHED})
_GOES_ON = frozenset({OrderState.TRIGGERED, OrderState.REPLACED}) | ENDED

NEXT: dict[OrderState, frozenset[OrderState]] = {
    OrderState.ACCEPTED: _GOES_ON,
    OrderState.TRIGGERED: frozenset({OrderState.REPLACED}) | ENDED,  # a trigger acts once
    OrderState.REPLACED: _GOES_ON,
    OrderState.CANCELLED: frozenset(),
    OrderState.EXPIRED: frozenset(),
    OrderState.FINISHED: frozenset(),
}
_STATES = len(OrderState)
_LEGAL = np.array([[after in NEXT[before] for after in OrderState] for before in OrderState])
_LEGAL.flags.writeable = False


def check_steps(before: Codes, after: Codes) -> None:
    """Raises ValueError, naming the step, unless every order may go from one state to the other.

    >>> check_steps(np.array([OrderState.ACCEPTED]), np.array([OrderState.FINISHED]))
    >>> check_steps(np.array([OrderState.CANCELLED]), np.array([OrderState.FINISHED]))
    Traceback (most recent call last):
    ValueError: order states: CANCELLED may not become FINISHED; it has ended
    """
    legal = _LEGAL.take(before * _STATES + after)
    if 0 in legal.tobytes():
        i = int(np.flatnonzero(~legal)[0])
        was, then = OrderState(int(before[i])), OrderState(int(after[i]))
        may = ", ".join(state.name for state in OrderState if state in NEXT[was])
        raise ValueError(
            f"order states: {was.name} may not become {then.name}; " + (f"next is {may}" if may else "it has ended")
        )
