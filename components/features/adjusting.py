"""Making past prices comparable with what corporate actions known so far have done to them."""

import numpy as np

from engine.events import ActionKind, Actions, Vector

_SPLIT, _DIVIDEND = int(ActionKind.SPLIT), int(ActionKind.CASH_DIVIDEND)


def price_factor(actions: Actions, close: Vector) -> Vector:
    """What prices before these actions are multiplied by, (N,); `close` (N,) is the last raw close before them.

        factor = 1 / ratio               split
        factor = 1 - amount / close      cash dividend; 1 where the close is unknown or below the amount

    Later dividends of one event see the split before them. A delisting or a change of symbol adjusts nothing: the
    successor is another name with a history of its own.

    >>> two_for_one = Actions(ts=1, kind=np.array([0]), symbol=np.array([0]), ratio=np.array([2.0]),
    ...     amount=np.array([0.0]), pay_at=np.array([0]), successor=np.array([-1]))
    >>> price_factor(two_for_one, np.array([100.0, 50.0]))
    array([0.5, 1. ])
    """
    factor = np.ones(len(close))
    for i in range(len(actions.kind)):
        kind, s = int(actions.kind[i]), int(actions.symbol[i])
        if kind == _SPLIT:
            factor[s] /= actions.ratio[i]
        elif kind == _DIVIDEND:
            before = close[s] * factor[s]
            if before > actions.amount[i]:  # false where the close is NaN
                factor[s] *= 1.0 - actions.amount[i] / before
    return factor


def share_factor(actions: Actions, n: int) -> Vector:
    """What share volumes before these actions are multiplied by, (N,): the ratio of a split.

    >>> two_for_one = Actions(ts=1, kind=np.array([0]), symbol=np.array([1]), ratio=np.array([2.0]),
    ...     amount=np.array([0.0]), pay_at=np.array([0]), successor=np.array([-1]))
    >>> share_factor(two_for_one, 2)
    array([1., 2.])
    """
    factor = np.ones(n)
    for i in range(len(actions.kind)):
        if int(actions.kind[i]) == _SPLIT:
            factor[int(actions.symbol[i])] *= actions.ratio[i]
    return factor
