"""What halts the gate, what it says of it, which orders follow, and what releases it."""

import re
from typing import Any

import msgspec
import numpy as np
import pytest

from components.gates.leaving import adding
from components.gates.limits import Limits
from components.gates.losses import Losses
from engine.events import (
    DAY_NS,
    HOUR_NS,
    SESSION_CLOSED,
    SESSION_OPENED,
    Approved,
    Control,
    ControlAction,
    LegAction,
    Mode,
    Note,
    Refusals,
    Timer,
)
from engine.ledger import Ledger
from engine.universe import universe_of
from tests.components.gates.asked import MARK, NAN, ask, gate, working
from tests.make import book, day, legs

HALT, REDUCE, FLATTEN, RESUME = (
    ControlAction.HALT,
    ControlAction.REDUCE_ONLY,
    ControlAction.FLATTEN,
    ControlAction.RESUME,
)


def said(answer: Any) -> list[Any]:
    """What a handler said, as a list."""
    return [] if answer is None else list(answer) if isinstance(answer, tuple) else [answer]


def equity(made: Limits, k: int, value: float, **columns: Any) -> list[Any]:
    return said(made.on_book(msgspec.structs.replace(book(day(k), MARK, **columns), equity=value)))


def command(made: Limits, action: ControlAction, latch: str = "", actor: str = "", k: int = 0) -> list[Any]:
    return said(made.on_control(Control(ts=day(k), action=action, latch=latch, actor=actor)))


def test_a_day_that_loses_more_than_its_limit_trips_and_the_reason_has_value_and_threshold() -> None:
    made = gate(max_daily_loss=0.05)
    assert equity(made, 0, 1000.0) == []
    assert equity(made, 1, 950.0) == []  # at the limit
    assert equity(made, 2, 920.0) == []  # another day: 3.2 % of 950
    (control,) = equity(made, 3, 840.0)
    assert (control.action, control.actor, control.latch, control.ts) == (REDUCE, "risk", "max_daily_loss", day(3))
    assert control.reason == (
        "max_daily_loss: 8.696 % of the equity at the beginning of the day, 920.00, are lost; the limit is 5 %"
    )
    assert ask(made, [0], [1]) == ([], ["reduce_only"])


@pytest.mark.parametrize("action", ["reduce_only", "halt", "flatten"])
def test_a_fall_from_the_highest_equity_trips_and_an_option_says_what_to(action: Any) -> None:
    made = gate(max_drawdown=0.1, on_drawdown=action)
    for k, value in enumerate((1000.0, 1200.0, 1100.0, 1080.0)):
        assert equity(made, k, value) == []
    control, *sent = equity(made, 4, 1079.0, qty=[5, 0, 0, 0])
    assert (control.action, control.latch) == (ControlAction(action), "max_drawdown")
    assert "10.08 % of the equity at its highest, 1,200.00, are lost; the limit is 10 %" in control.reason
    assert [leg.qty.tolist() for leg in sent] == ([[-5.0]] if action == "flatten" else [])
    exit_passes = action == "reduce_only"
    made.on_book(book(day(5), MARK, qty=[5, 0, 0, 0]))
    assert ask(made, [0, 1], [-1, 1])[1] == (["reduce_only"] if exit_passes else ["halted", "halted"])


def test_a_trip_is_said_once_and_its_own_control_changes_nothing() -> None:
    made = gate(max_drawdown=0.1)
    equity(made, 0, 1000.0)
    (control,) = equity(made, 1, 800.0)
    before = made.save()
    assert made.on_control(control) is None
    assert made.save() == before
    assert equity(made, 2, 700.0) == []


def test_both_limits_may_trip_at_once_and_the_strictest_holds() -> None:
    made = gate(max_daily_loss=0.1, on_daily_loss="halt", max_drawdown=0.1)
    equity(made, 0, 1000.0)
    controls = equity(made, 1, 800.0)
    assert [(c.latch, c.action) for c in controls] == [("max_daily_loss", HALT), ("max_drawdown", REDUCE)]
    assert ask(made, [0], [1])[1] == ["halted"]
    (note,) = command(made, RESUME, "max_daily_loss", "jo")
    assert note.text == "resume: still REDUCE_ONLY by max_drawdown: name the latch to release, and an actor"
    assert ask(made, [0], [1])[1] == ["reduce_only"]
    assert command(made, RESUME, "max_drawdown", "jo") == []
    assert ask(made, [0], [1])[1] == []


ASKED = [  # latch and actor of a resume, what is told
    ("", "", "nothing of the operator was set; still REDUCE_ONLY by max_drawdown"),
    ("max_drawdown", "", r"max_drawdown stays reduce_only: say who releases it \(actor\)"),
    ("max_drawdown", " ", r"max_drawdown stays reduce_only: say who releases it \(actor\)"),
    ("max_drawdown", "risk", "max_drawdown stays reduce_only: 'risk' is the gate, which releases nothing"),
    ("drawdown", "jo", "drawdown is not set; still REDUCE_ONLY by max_drawdown"),
]


@pytest.mark.parametrize(("latch", "actor", "told"), ASKED)
def test_a_resume_that_does_not_name_latch_and_actor_releases_nothing_and_is_told_so(
    latch: str, actor: str, told: str
) -> None:
    made = gate(max_drawdown=0.1)
    equity(made, 0, 1000.0)
    equity(made, 1, 800.0)
    (note,) = command(made, RESUME, latch, actor)
    assert isinstance(note, Note)
    assert (note.source, note.kind) == ("risk", "latch")
    assert re.match(f"resume: {told}", note.text)
    assert ask(made, [0], [1])[1] == ["reduce_only"]


@pytest.mark.parametrize("action", [HALT, REDUCE, FLATTEN])
@pytest.mark.parametrize("actor", ["", "  ", "risk"])
def test_what_the_operator_halted_is_released_by_nobody_who_says_not_who_he_is(
    action: ControlAction, actor: str
) -> None:
    made = gate(book(day(0), MARK))
    assert command(made, action, actor="jo") == []
    (note,) = command(made, RESUME, actor=actor)
    assert (note.kind, note.text.split(":")[:2]) == ("latch", ["resume", f" the operator's own latch stays {action}"])
    assert ask(made, [0], [1])[1] == ["reduce_only" if action is REDUCE else "halted"]
    assert command(made, RESUME, actor="jo") == []
    assert ask(made, [0], [1])[1] == []


def test_what_was_released_is_measured_from_there() -> None:
    made = gate(max_drawdown=0.1, max_daily_loss=0.1)
    equity(made, 0, 1000.0)
    assert len(equity(made, 1, 800.0)) == 2
    for latch in ("max_drawdown", "max_daily_loss"):
        command(made, RESUME, latch, "jo", k=1)
    assert equity(made, 1, 790.0) == []  # 1 % since then, 21 % before
    assert [c.latch for c in equity(made, 1, 719.0)] == ["max_daily_loss", "max_drawdown"]


def test_a_book_without_a_finite_equity_trips_nothing_and_is_forgotten() -> None:
    made = gate(max_drawdown=0.1, max_daily_loss=0.1)
    for k, value in enumerate((NAN, 1000.0, NAN, np.inf)):
        assert equity(made, k, value) == []
    assert [c.latch for c in equity(made, 4, 890.0)] == ["max_daily_loss", "max_drawdown"]


# ---- days ------------------------------------------------------------------------------------------------------------


def lost(losses: Losses, ts: int, value: float) -> list[str]:
    return [loss.name for loss in losses.on_book(msgspec.structs.replace(book(ts, MARK), equity=value), 1.0)]


@pytest.mark.parametrize("name", [SESSION_OPENED, SESSION_CLOSED])
def test_days_are_those_of_the_feeds_timers_where_it_has_any(name: str) -> None:
    losses = Losses(max_daily_loss=0.1, max_drawdown=None)
    midnight = day(0) // DAY_NS * DAY_NS + DAY_NS
    losses.on_timer(Timer(ts=midnight - 3 * HOUR_NS, name="other", due=0))
    losses.on_timer(Timer(ts=midnight - 2 * HOUR_NS, name=name, due=0))
    assert lost(losses, midnight - HOUR_NS, 100.0) == []
    assert lost(losses, midnight + HOUR_NS, 95.0) == []
    assert lost(losses, midnight + 2 * HOUR_NS, 89.0) == ["max_daily_loss"]  # one session, two dates in UTC
    losses.on_timer(Timer(ts=midnight + 3 * HOUR_NS, name=name, due=0))
    assert lost(losses, midnight + 4 * HOUR_NS, 81.0) == []  # of 89


def test_without_timers_a_day_is_a_date_in_utc_and_begins_with_the_last_book_before_it() -> None:
    losses = Losses(max_daily_loss=0.1, max_drawdown=None)
    midnight = day(0) // DAY_NS * DAY_NS + DAY_NS
    assert lost(losses, midnight - 2 * HOUR_NS, 100.0) == []
    assert lost(losses, midnight - HOUR_NS, 91.0) == []
    assert lost(losses, midnight, 83.0) == []  # of 91
    assert lost(losses, midnight + HOUR_NS, 81.0) == ["max_daily_loss"]  # the night between counts


# ---- what could add to a position ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [HALT, REDUCE])
@pytest.mark.parametrize("by", ["operator", "limit"])
def test_rule_46_a_risk_exit_cancels_what_could_re_enter_and_leaves_exits_at_work(
    action: ControlAction, by: str
) -> None:
    """Rule 46: cancel residual intents when a risk exit fires."""
    made = gate(max_drawdown=0.1, on_drawdown=str(action))
    equity(made, 0, 1000.0)
    rows = working((7, 0, 5.0), (8, 0, -60.0), (9, 0, -50.0), (10, 1, -5.0), (11, 2, 5.0))
    columns = {"qty": [100, 0, -5, 0], **rows}
    value = 1000.0 if by == "operator" else 800.0
    if by == "operator":
        assert equity(made, 1, value, **columns) == []
        ask(made, [3], [4])  # approved since the book, as id 1: counts too
        (cancels,) = command(made, action, k=1)
    else:
        _, cancels = equity(made, 1, value, **columns)
    assert isinstance(cancels, Approved)
    assert (cancels.action == LegAction.CANCEL).all()
    assert cancels.ref.tolist() == [7, 9, 10, *([1] if by == "operator" else [])]
    assert equity(made, 2, value, **columns) == []  # asked for once
    smaller = {"qty": [50, 0, -5, 0], **rows}  # something else sold: order 8 could turn the position over now
    (more,) = equity(made, 3, value, **smaller)
    assert more.ref.tolist() == [8]


REPLACED = [  # shares held, shares of the open order, shares it is replaced by, whether it has to go
    (20, -10, -15, False),
    (20, -10, -25, True),  # as it will be it turns the position over
    (20, -25, -10, True),  # as it was it does
    (20, 5, -10, True),
    (20, -10, 5, True),
]


@pytest.mark.parametrize(("held", "was", "becomes", "goes"), REPLACED)
def test_an_order_that_is_being_replaced_is_judged_as_it_was_and_as_it_will_be(
    held: float, was: float, becomes: float, goes: bool
) -> None:
    made = gate(book(day(0), MARK, qty=[held, 0, 0, 0], **working((7, 0, was))))
    replace = {"action": np.array([LegAction.REPLACE], np.int32), "ref": np.array([7], np.uint64)}
    assert ask(made, [0], [becomes], **replace) == ([1], [])
    assert [sent.ref.tolist() for sent in command(made, HALT)] == ([[7]] if goes else [])


def test_after_a_release_orders_are_cancelled_anew_at_the_next_halt() -> None:
    made = gate(book(day(0), MARK, **working((7, 0, 5.0))))
    assert [sent.ref.tolist() for sent in command(made, HALT)] == [[7]]
    assert command(made, HALT) == []
    assert command(made, RESUME, actor="jo") == []
    assert [sent.ref.tolist() for sent in command(made, REDUCE)] == [[7]]


def test_flatten_that_trips_leaves_at_once_and_goes_on_until_it_is_flat() -> None:
    made = gate(max_daily_loss=0.1, on_daily_loss="flatten")
    equity(made, 0, 1000.0)
    control, sent = equity(made, 1, 800.0, qty=[5, 0, -3, 0], **working((7, 1, 4.0)))
    assert control.action is FLATTEN
    assert sent.ref.tolist() == [7, 0, 0]
    assert sent.qty.tolist() == [0, -5, 3]
    assert made.on_control(control) is None
    (again,) = equity(made, 2, 800.0, qty=[5, 0, 0, 0])
    assert again.qty.tolist() == [-5]
    assert equity(made, 3, 800.0) == []


def test_flatten_does_not_trade_what_is_banned_and_tells_it() -> None:
    made = gate(book(day(0), MARK, qty=[5, 3, 0, 0]), banned=("B",), max_drawdown=0.1, on_drawdown="flatten")
    note, legs_ = command(made, FLATTEN)
    assert (note.text, note.symbol.tolist(), note.value.tolist()) == (
        "flatten: 1 positions of banned symbols stay; lift the ban to close them",
        [1],
        [3.0],
    )
    assert (legs_.symbol.tolist(), legs_.qty.tolist()) == ([0], [-5.0])
    assert said(made.on_book(book(day(1), MARK, qty=[0, 3, 0, 0]))) == []


def test_an_exit_passes_whatever_the_equity_is_and_warns_of_no_division() -> None:
    options = {"max_weight": 0.1, "max_gross": 0.1, "max_sector_net": 0.1, "price_collar": 0.1}
    where = msgspec.structs.replace(book(day(0), MARK, qty=[5, 0, 0, 0]), equity=0.0)
    assert ask(gate(where, **options), [0, 1], [-5, 1]) == ([1], ["equity"])
    where = msgspec.structs.replace(where, mark=np.array([10.0, 0.0, np.inf, NAN]))
    assert ask(gate(where, **options), [0, 1, 2, 3], [-5, 1, 1, 1]) == ([1], ["price"] * 3)


def test_what_adds_to_a_position_is_told_in_the_order_of_the_orders() -> None:
    symbol, left = np.array([0, 0, 0, 1, 1, 2]), np.array([-4.0, -4.0, -2.0, 3.0, 3.0, 1.0])
    assert adding(symbol, left, np.array([6.0, -6.0, 0.0])).tolist() == [False, True, False, False, False, True]


# ---- restarts --------------------------------------------------------------------------------------------------------


def test_latches_losses_and_cancels_survive_a_restart_at_every_point() -> None:
    options = {"max_drawdown": 0.2, "max_daily_loss": 0.1, "on_daily_loss": "halt"}
    straight, broken = gate(**options), gate(**options)
    values = (1000.0, 950.0, 840.0, 830.0, 820.0, 760.0, 750.0)
    resumes = {3: ("max_daily_loss", "jo"), 4: ("", ""), 6: ("max_drawdown", "jo")}
    for k, value in enumerate(values):
        fresh = gate(**options)
        fresh.load(broken.save())
        assert fresh.save() == broken.save()
        broken = fresh
        columns = working((7, 0, 5.0), (8 + k, 1, 5.0))
        answers = [equity(made, k, value, **columns) for made in (straight, broken)]
        answers += [command(made, RESUME, *resumes[k], k=k) for made in (straight, broken) if k in resumes]
        for one, other in zip(answers[::2], answers[1::2], strict=True):
            assert [repr(event) for event in one] == [repr(event) for event in other]
        ids = np.array([100 + k], np.uint64)
        assert ask(straight, [0], [1], ids=ids) == ask(broken, [0], [1], ids=ids)
    assert ask(broken, [0], [1])[1] == []


def test_a_restart_with_a_limit_more_begins_its_measure_anew() -> None:
    made = gate(max_weight=0.1)
    equity(made, 0, 1000.0)
    fresh = gate(max_weight=0.1, max_drawdown=0.1, max_participation=0.1)
    fresh.load(made.save())
    assert equity(fresh, 1, 700.0) == []


def test_ledger_and_gate_fold_controls_alike() -> None:
    rng = np.random.default_rng(3)
    made, ledger = gate(book(day(0), MARK)), Ledger(universe=universe_of(tuple("ABCD")), cash=1.0, gate="risk")
    modes = set()
    for k in range(300):
        control = Control(
            ts=day(k),
            action=rng.choice(list(ControlAction)),
            latch=str(rng.choice(["", "max_drawdown", "x"])),
            actor=str(rng.choice(["", " ", "risk", "jo", "jo", "jo"])),
        )
        made.on_control(control)
        ledger.on_control(control)
        mode = ledger.book(day(k)).mode
        rule = [
            rule
            for e in made.on_orders(legs(ts=day(k), symbol=[0], qty=[1], ids=np.array([k + 1], np.uint64)))
            if isinstance(e, Refusals)
            for rule in e.rule
        ]
        assert rule == {Mode.ACTIVE: [], Mode.REDUCE_ONLY: ["reduce_only"], Mode.HALTED: ["halted"]}[mode]
        modes.add(mode)
    assert modes == set(Mode)


def test_what_closes_a_position_is_not_called_back_before_a_release() -> None:
    """An optimizer whose target still stands sees the gate's order in its way."""
    position = [100.0, 0.0, 0.0, 0.0]
    made = gate(book(day(0), MARK, qty=position))
    (closing,) = command(made, FLATTEN)
    own = int(closing.ids[0])

    def called_back(gate: Limits, order: int) -> list[str]:
        cancel = {"action": np.array([LegAction.CANCEL], np.int32), "ref": np.array([order], np.uint64)}
        return ask(gate, [0], [0.0], **cancel)[1]

    assert called_back(made, own) == ["gate_order"]
    both = working((own, 0, -100.0), (5, 0, -1.0))
    cancels = said(made.on_book(msgspec.structs.replace(book(day(1), MARK, qty=position), **both)))
    assert [list(event.ref) for event in cancels] == [[5]], "with it, the other would open a position"
    again = gate()
    again.load(made.save())
    for each in (made, again):
        assert [called_back(each, order) for order in (own, 5)] == [["gate_order"], []]
        assert command(each, RESUME, actor="jo") == []
        assert called_back(each, own) == []
