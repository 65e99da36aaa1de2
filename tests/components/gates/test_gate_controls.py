"""What a person orders of the gate: halt, reduce only, flatten, resume."""

import numpy as np

from engine.events import (
    ControlAction,
    LegAction,
)
from tests.components.gates.asked import MARK, ask, control, gate, working
from tests.make import book, day


def test_halt_refuses_all_but_cancels_until_resume() -> None:
    made = gate(book(day(0), MARK, qty=[5, 0, 0, 0]))
    assert made.on_control(control(ControlAction.HALT)) is None
    action = np.array([LegAction.NEW, LegAction.NEW, LegAction.CANCEL], np.int32)
    assert ask(made, [0, 1, 0], [-5, 1, 0], action=action) == ([3], ["halted", "halted"])
    made.on_control(control(ControlAction.RESUME))
    assert ask(made, [0, 1], [-5, 1]) == ([1, 2], [])


def test_reduce_only_lets_exits_pass() -> None:
    made = gate(book(day(0), MARK, qty=[5, -5, 0, 0]))
    made.on_control(control(ControlAction.REDUCE_ONLY))
    assert ask(made, [0, 1, 0, 2], [-3, 5, -3, 1]) == ([1, 2], ["reduce_only", "reduce_only"])


def test_flatten_cancels_everything_then_closes_every_position() -> None:
    made = gate(book(day(0), MARK, qty=[5, -3, 0, 0.5], **working((7, 2, 10.0))))
    ask(made, [2], [4])  # approved since the book: cancelled too
    approved = made.on_control(control(ControlAction.FLATTEN, day(0) + 5))
    assert approved is not None
    assert approved.ts == day(0) + 5
    assert approved.action.tolist() == [LegAction.CANCEL] * 2 + [LegAction.NEW] * 3
    assert approved.ref.tolist() == [7, 1, 0, 0, 0]
    assert approved.symbol.tolist() == [2, 2, 0, 3, 1]
    assert approved.qty.tolist() == [0, 0, -5, -0.5, 3]
    assert len(set(approved.ids.tolist())) == 5
    assert ask(made, [0], [-1]) == ([], ["halted"])


def test_rule_54_flatten_closes_again_what_did_not_fill_until_resume() -> None:
    """Rule 54: stop."""
    made = gate(book(day(0), MARK, qty=[5, -3, 0, 0]))
    first = made.on_control(control(ControlAction.FLATTEN))
    assert first is not None
    waiting = book(day(1), MARK, qty=[5, -3, 0, 0], **working((11, 0, -5.0)))  # the other order has expired
    second = made.on_book(waiting)
    assert second is not None
    assert (second.symbol.tolist(), second.qty.tolist()) == ([1], [3.0])
    assert made.on_book(book(day(2), MARK)) is None
    late = made.on_book(book(day(3), MARK, qty=[0, 0, 2, 0]))  # a fill that was on its way
    assert late is not None
    assert late.qty.tolist() == [-2]
    made.on_control(control(ControlAction.RESUME))
    assert made.on_book(book(day(4), MARK, qty=[0, 0, 2, 0])) is None


def test_flatten_twice_in_a_slice_repeats_no_id() -> None:
    made = gate(book(day(0), MARK, qty=[5, 0, 0, 0]))
    first, second = (made.on_control(control(ControlAction.FLATTEN)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert not set(first.ids.tolist()) & set(second.ids.tolist())


def test_flatten_of_nothing_sends_nothing() -> None:
    assert gate().on_control(control(ControlAction.FLATTEN)) is None
    assert gate(book(day(0), MARK)).on_control(control(ControlAction.FLATTEN)) is None


def test_other_controls_change_nothing() -> None:
    made = gate(book(day(0), MARK))
    assert made.on_control(control(ControlAction.SWAP_MODEL)) is None
    assert ask(made, [0], [1]) == ([1], [])


def test_flatten_survives_a_restart() -> None:
    made = gate(book(day(0), MARK, qty=[5, 0, 0, 0], **working((7, 2, 10.0))))
    made.on_control(control(ControlAction.FLATTEN))
    fresh = gate()
    fresh.load(made.save())
    assert fresh.save() == made.save()
    assert ask(fresh, [0], [-1]) == ([], ["halted"])
    again = fresh.on_book(book(day(1), MARK, qty=[5, 0, 0, 0]))
    assert again is not None
    assert again.qty.tolist() == [-5]
