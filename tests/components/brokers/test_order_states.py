"""Which state of an order may follow which: the table, case by case."""

import itertools

import numpy as np
import pytest

from components.brokers.order_states import ENDED, NEXT, check_steps
from engine.events import OrderState

A, T, R, C, E, F = OrderState
LEGAL = {(A, T), (A, R), (T, R), (R, T), (R, R), *itertools.product((A, T, R), (C, E, F))}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(OrderState, OrderState)))
def test_every_step_is_legal_or_refused(before, after):
    if (before, after) in LEGAL:
        check_steps(np.array([before]), np.array([after]))
    else:
        with pytest.raises(ValueError, match=f"{before.name} may not become {after.name}"):
            check_steps(np.array([before]), np.array([after]))


def test_nothing_follows_an_end():
    assert all(not NEXT[state] for state in ENDED)
    assert all(NEXT[state] for state in OrderState if state not in ENDED)


def test_one_illegal_step_among_many_is_named():
    with pytest.raises(ValueError, match="EXPIRED may not become FINISHED; it has ended"):
        check_steps(np.array([A, E, R]), np.array([F, F, C]))
