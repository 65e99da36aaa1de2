"""On generated days agents find most of what there is to find, and on days without a pattern they invent nothing."""

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from components.costs.bps import Bps

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def measured() -> Any:
    """The benchmark that prints the figures of the docs: what it does is tested, with less to do."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("execution_agent")
    finally:
        sys.path.remove(str(BENCHMARKS))


def a_quick_course(measured: Any, batch: int, epochs: int) -> Any:
    """Fewer orders side by side, and smaller batches, learn more from as many order-steps."""
    algorithm = msgspec.structs.replace(measured.ALGORITHMS["ppo"], batch=batch, epochs=epochs)
    return msgspec.structs.replace(measured.COURSE, rows=128, algorithm=algorithm, baseline="none")


def test_a_small_budget_finds_more_than_half_of_the_optimum(measured: Any) -> None:
    """Of the optimum's advantage over TWAP on days it has not seen: 0 is TWAP, sending all at once is below -0.5."""
    game = measured.game_of("mean_reverting", course=a_quick_course(measured, 128, 8))
    known = measured.by_optimum(game, game.orders.test), measured.by_twap(game, game.orders.test)
    found = measured.one_seed(game, 0, 40_000, known)
    assert found["interval"][0] > 0.5
    assert found["optimum_bps"] > found["twap_bps"] + 4
    assert found["environment_share"] < 0.25  # of all CPU seconds of collecting and updating


def test_a_quick_run_is_quick_in_all_that_it_trains(measured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained where there is no pattern, and the controls, is most of what a run costs."""
    budgets = []

    def untaught(game: Any, seed: int, steps: int) -> tuple[Any, dict[str, float], Any]:
        budgets.append(steps)
        spent = ("cpu_collect_s", "cpu_environment_s", "cpu_update_s", "val/cpu_s", "steps")
        even = measured.by_twap(game, game.orders.test)
        return even, dict.fromkeys(spent, 1.0), measured.beside(even.net, even.net, game.orders.test.day)

    monkeypatch.setattr(measured, "taught", untaught)
    monkeypatch.setattr(sys, "argv", ["execution_agent.py", "--quick"])
    with contextlib.suppress(SystemExit):  # nobody has learned anything
        measured.main()
    assert len(budgets) == 6  # an agent, two where there is no pattern, three controls
    assert sum(budgets) <= 150_000


def test_nobody_is_better_than_the_optimum_in_the_mean(measured: Any) -> None:
    game = measured.game_of("mean_reverting", 400)
    best, twap = measured.by_optimum(game, game.orders.test), measured.by_twap(game, game.orders.test)
    day = game.orders.test.day
    share, low, high = measured.shares(best.net - twap.net, best.net - twap.net, day)
    assert (share, low, high) == (1, 1, 1)
    assert measured.shares(twap.net - twap.net, best.net - twap.net, day) == (0, 0, 0)


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_seed_reaches_four_fifths_of_the_optimum(measured: Any, seed: int) -> None:
    game = measured.game_of("mean_reverting")
    known = measured.by_optimum(game, game.orders.test), measured.by_twap(game, game.orders.test)
    found = measured.one_seed(game, seed, measured.STEPS, known)
    assert found["share"] > 0.8
    assert found["order_steps"] <= 600_000
    assert found["works"] == "agent"


def no_edge(interval: list[float]) -> bool:
    """Whether a 95 % interval of an advantage holds 0. Of 20 of them one lies beside the truth: where it is none that
    an agent would like to have, a little room."""
    low, high = interval
    return low < 0 < high + 0.25


def test_what_finds_no_edge_finds_one_that_is_planted(measured: Any) -> None:
    """A small budget on days without a pattern: nothing, until the next bar is shown, or the orders are known."""
    steps, course, costs = 12_000, a_quick_course(measured, 256, 10), Bps()
    honest = measured.gained(measured.game_of("none", 600, costs, course), 0, steps)
    assert no_edge(honest["interval"])
    assert (honest["works"], honest["guarded"]["gain_bps"]) == ("even_pace", 0.0)
    leak = measured.gained(measured.game_of("none", 600, costs, course, observation=measured.Foreseeing()), 0, steps)
    assert not no_edge(leak["interval"])
    assert leak["works"] == "agent"
    assert leak["interval"][0] > 10
    known = measured.gained(measured.own_orders(measured.game_of("none", 40, costs, course)), 0, 2 * steps)
    assert not no_edge(known["interval"])
    assert known["interval"][0] > 1  # by heart, and worth nothing on other days


@pytest.mark.long
def test_a_faint_leak_is_found_with_the_whole_budget(measured: Any) -> None:
    found = measured.controls(0, measured.SMALL)
    assert found["leak"]["interval"][0] > 15
    assert found["leak_in_noise"]["interval"][0] > 1
    assert found["own_orders"]["interval"][0] > 3


@pytest.mark.long
def test_the_recurrent_network_finds_most_of_it_in_a_sixth_of_the_budget(measured: Any) -> None:
    """By the higher rate, which a small budget needs."""
    course = msgspec.structs.replace(measured.course_of("ppo", "recurrent"), algorithm=measured.ALGORITHMS["ppo"])
    game = measured.game_of("mean_reverting", course=course)
    known = measured.by_optimum(game, game.orders.test), measured.by_twap(game, game.orders.test)
    assert measured.one_seed(game, 0, 100_000, known)["share"] > 0.65  # 0.77 was measured, and 0.34 by raw prices


@pytest.mark.long
def test_dqn_with_its_defaults_finds_most_of_the_optimum(measured: Any) -> None:
    game = measured.game_of("mean_reverting", course=measured.course_of("dqn", "mlp"))
    known = measured.by_optimum(game, game.orders.test), measured.by_twap(game, game.orders.test)
    assert measured.one_seed(game, 0, measured.STEPS, known)["share"] > 0.75  # 0.82 was measured


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_a_pattern_it_invents_no_edge_and_loses_little(measured: Any, seed: int) -> None:
    """No invented edge: the 95 % interval of its advantage over TWAP holds 0 where no policy is better than another;
    and where an even pace is the best it is not better, and no basis point worse."""
    found = measured.without_pattern(seed, measured.SMALL, paid=measured.STEPS)
    assert no_edge(found["without_costs"]["interval"])
    low, high = found["with_impact"]["interval"]
    assert -1 < low < 0.1
    assert [part["guarded"]["gain_bps"] for part in (found["without_costs"], found["with_impact"])] == [0.0, 0.0]


@pytest.mark.long
def test_without_a_pattern_the_mean_of_three_seeds_is_no_edge(measured: Any) -> None:
    """Where no policy is better than another the gain over TWAP is bounded on both sides."""
    gains = [measured.without_pattern(seed, measured.SMALL)["without_costs"]["gain_bps"] for seed in (0, 1, 2)]
    assert abs(sum(gains) / 3) < 0.4  # -0.15 was measured, and one seed's interval reaches 0.75 to each side
