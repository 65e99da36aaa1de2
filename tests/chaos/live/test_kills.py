"""A daemon that is killed at any point goes on as if nothing had happened: what it committed is, byte for byte, what an
undisturbed session commits. And the same comparison sees through daemons that are built wrongly."""

import pytest

from tests.chaos.live.campaign import AT_RANDOM, Plan, kill_again_and_again, told
from tests.chaos.live.conftest import Calm, Grounds
from tests.chaos.live.ground import NO_DIFFERENCE, compare
from tests.chaos.live.market import Market
from tests.chaos.live.points import COMMIT_PATH, POINTS, Spoil

LONG, SHORT = Market(slices=400), Market(slices=60)
KILLS = 24


def test_a_session_of_20_000_bars_that_is_killed_25_times(calm: Calm, grounds: Grounds) -> None:
    undisturbed, ground = calm(LONG), grounds(LONG)
    assert len(undisturbed.steps) > 300
    assert all(len(undisturbed.records[name]) > 300 for name in ("signals.trees", "targets.strategy", "orders.paper"))
    tally = kill_again_and_again(ground, Plan(kills=KILLS, seed=7, longest=12, batches_ms=(0, 0, 0, 20)))
    assert (compare(undisturbed, ground.left()), told(ground)) == (NO_DIFFERENCE, [])
    assert tally.kills >= KILLS, tally.killed
    assert set(COMMIT_PATH) <= set(tally.killed)
    assert set(tally.killed) <= {*POINTS, AT_RANDOM}


def test_bars_that_come_while_it_runs_are_decided_as_those_that_waited(calm: Calm, grounds: Grounds) -> None:
    undisturbed, ground = calm(SHORT), grounds(SHORT)
    tally = kill_again_and_again(ground, Plan(kills=5, seed=1, longest=8, points=COMMIT_PATH, rate=1_500.0))
    assert (compare(undisturbed, ground.left()), told(ground)) == (NO_DIFFERENCE, [])
    assert tally.kills >= 5


def test_a_record_that_the_broker_refuses_ends_the_daemon_and_takes_the_others_with_it(
    calm: Calm, grounds: Grounds
) -> None:
    undisturbed, ground = calm(SHORT), grounds(SHORT)
    ground.publish()
    assert ground.victims.run(ground.order(spoil=Spoil("orders", 5))) == 5
    assert ground.victims.run(ground.order()) == 0
    assert compare(undisturbed, ground.left()) == NO_DIFFERENCE
    assert "MessageSizeTooLarge" in told(ground)[0]["text"]


# ---- controls: each of these daemons is wrong, and must be found out -------------------------------------------------


def test_control_a_commit_before_the_sends_are_awaited_loses_an_order(calm: Calm, grounds: Grounds) -> None:
    undisturbed, ground = calm(SHORT), grounds(SHORT)
    ground.publish()
    ground.victims.run(ground.order(broken="commit_first", spoil=Spoil("orders", 5)))
    assert compare(undisturbed, ground.left()).lost > 0


@pytest.mark.parametrize(
    ("broken", "points"),
    [
        ("read_uncommitted", ("commit:before", "ack:after")),
        ("without_transactions", ("send:after", "ack:after")),
    ],
)
def test_control_of_a_wrong_recovery(broken: str, points: tuple[str, ...], calm: Calm, grounds: Grounds) -> None:
    undisturbed, ground = calm(SHORT), grounds(SHORT)
    tally = kill_again_and_again(ground, Plan(kills=6, seed=3, longest=6, broken=broken, points=points))
    found = compare(undisturbed, ground.left())
    assert tally.kills >= 6
    assert (found.lost > 0) if broken == "read_uncommitted" else (found.doubled > 0), found
