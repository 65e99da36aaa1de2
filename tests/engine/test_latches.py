"""Latches: what sets the mode, what releases it, and what is told of the rest."""

import pytest

from engine.events import Control, ControlAction, Mode
from engine.latches import MODES, Latches

HALT, REDUCE, FLATTEN, RESUME = (
    ControlAction.HALT,
    ControlAction.REDUCE_ONLY,
    ControlAction.FLATTEN,
    ControlAction.RESUME,
)


GATE = "risk"


def said(latches: Latches, action: ControlAction, latch: str = "", actor: str = "") -> str:
    return latches.take(Control(ts=1, action=action, latch=latch, actor=actor))


NOBODY = ("", " ", "\t\n", GATE, f" {GATE} ")  # actors who release nothing

STEPS: list[
    tuple[list[tuple[ControlAction, str, str]], Mode, bool]
] = [  # controls as (action, latch, actor), mode after the last, whether it told of something
    ([(HALT, "", "")], Mode.HALTED, False),
    ([(REDUCE, "", "")], Mode.REDUCE_ONLY, False),
    ([(HALT, "", ""), (HALT, "", "")], Mode.HALTED, False),
    ([(HALT, "", ""), (REDUCE, "", "")], Mode.HALTED, True),  # looser: resume first
    ([(REDUCE, "", ""), (HALT, "", "")], Mode.HALTED, False),
    ([(HALT, "", ""), (RESUME, "", "jo")], Mode.ACTIVE, False),
    ([(HALT, "", ""), (RESUME, "", " jo ")], Mode.ACTIVE, False),
    *(([(action, "", "jo"), (RESUME, "", who)], mode, True) for action, mode in MODES.items() for who in NOBODY),
    *(([(HALT, "x", "risk"), (RESUME, "x", who)], Mode.HALTED, True) for who in NOBODY),
    ([(RESUME, "", "jo")], Mode.ACTIVE, True),
    ([(RESUME, "", "")], Mode.ACTIVE, True),
    ([(REDUCE, "max_drawdown", "risk"), (RESUME, "", "jo")], Mode.REDUCE_ONLY, True),
    ([(REDUCE, "max_drawdown", "risk"), (RESUME, "max_drawdown", "")], Mode.REDUCE_ONLY, True),
    ([(REDUCE, "max_drawdown", "risk"), (RESUME, "drawdown", "jo")], Mode.REDUCE_ONLY, True),
    ([(REDUCE, "max_drawdown", "risk"), (RESUME, "max_drawdown", "jo")], Mode.ACTIVE, False),
    ([(RESUME, "max_drawdown", "")], Mode.ACTIVE, True),
    ([(HALT, "", ""), (REDUCE, "x", "risk"), (RESUME, "", "jo")], Mode.REDUCE_ONLY, True),
    ([(HALT, "", ""), (REDUCE, "x", "risk"), (RESUME, "x", "jo")], Mode.HALTED, True),
    ([(HALT, "x", "risk"), (REDUCE, "y", "risk"), (RESUME, "x", "jo")], Mode.REDUCE_ONLY, True),
    ([(ControlAction.SWAP_MODEL, "", "")], Mode.ACTIVE, False),
]


@pytest.mark.parametrize(("steps", "mode", "told"), STEPS)
def test_a_latch_only_gets_stricter_and_only_its_name_and_an_actor_release_it(
    steps: list[tuple[ControlAction, str, str]], mode: Mode, told: bool
) -> None:
    latches = Latches(gate=GATE)
    for step in steps[:-1]:
        said(latches, *step)
        fresh = Latches(gate=GATE)
        fresh.load(latches.save())
        assert (fresh.set, fresh.mode) == (latches.set, latches.mode)
        latches = fresh
    assert bool(said(latches, *steps[-1])) is told
    assert latches.mode is mode


def test_what_is_told_names_the_latches_that_hold() -> None:
    latches = Latches(gate=GATE)
    said(latches, HALT)
    said(latches, FLATTEN, "max_daily_loss", "risk")
    assert latches.flatten
    unnamed = "max_daily_loss stays flatten: say who releases it (actor)"
    assert said(latches, RESUME, "max_daily_loss") == unnamed
    own = said(latches, RESUME, "max_daily_loss", "risk")
    assert own == "max_daily_loss stays flatten: 'risk' is the gate, which releases nothing: an operator has to"
    operators = said(latches, RESUME)
    assert operators == "the operator's own latch stays halt: say who releases it (actor)"
    assert latches.mode is Mode.HALTED
    still = said(latches, RESUME, actor="jo")
    assert still == "still HALTED by max_daily_loss: name the latch to release, and an actor"
    assert said(latches, HALT, "max_daily_loss", "jo") == "max_daily_loss stays flatten: resume it before halt"
    assert said(latches, RESUME, "max_daily_loss", "jo") == ""
    assert not latches.flatten
