"""Shadow prices: what the objective gains when a limit is loosened, by finite difference and in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.optimizers.binding import Limits, Solved, notes_of
from components.optimizers.quadratic import Problem, Quadratic
from engine.events import DAY_NS, Note
from tests.components.optimizers.test_mean_variance import MARK, NAN, optimizer
from tests.components.optimizers.test_quadratic import objective, problem
from tests.make import book, day, target

PROGRAM = Quadratic(slots=8, columns=8)
EPS = 5e-4  # of a weight: far above what the solver leaves, small beside the curvature


def solved(p: Problem) -> np.ndarray:
    answer = PROGRAM.solve(p)
    assert answer.weights is not None, answer.status
    return answer.weights


def best(p: Problem) -> float:
    return objective(p, solved(p))


def notes(p: Problem) -> dict[str, Note]:
    weights, n = solved(p), len(p.a)
    who = Solved("opt", DAY_NS, np.arange(n), np.ones(n, bool), Limits(0.4, p.c, p.hi, False))
    return {note.kind: note for note in notes_of(who, p, weights)}


def gains(p: Problem, looser: Problem) -> float:
    return (best(looser) - best(p)) / EPS


def bracketed(slope: float, price: float, then: float) -> None:
    """The best objective is concave in a limit: what is gained on the way lies between the prices at both ends.

    Costs make it bend at once where a name gets back to what is held of it, also within the step of the difference.
    """
    assert then - 1.5e-5 <= slope <= price + 1.5e-5


def prices(p: Problem) -> dict[int, float]:
    note = notes(p).get("binds:max_weight")
    return dict(zip(note.symbol.tolist(), note.value.tolist(), strict=True)) if note is not None else {}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100_000), st.floats(0.1, 0.4), st.floats(0.0, 1e-3), st.floats(0.1, 2.0))
def test_the_price_of_max_weight_is_the_gain_of_a_little_more_of_it(seed: int, cap: float, c: float, hi: float) -> None:
    p = problem(seed, ub=np.full(6, cap), c=c, hi=hi)
    priced = prices(p)
    for i in range(6):
        ub = p.ub.copy()
        ub[i] += EPS
        looser = replace(p, ub=ub)
        bracketed(gains(p, looser), priced.get(i, 0.0), prices(looser).get(i, 0.0))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.floats(0.0, 0.9), st.booleans(), st.floats(0.0, 1e-3))
@example(351, 0.00083, False, 0.00083)  # the name that is bought gets back to its weight within the step
def test_the_price_of_what_is_invested_is_the_gain_of_a_little_more(seed: int, hi: float, full: bool, c: float) -> None:
    p = problem(seed, hi=hi, lo=hi if full else 0.0, c=c)
    more = replace(p, hi=hi + EPS, lo=hi + EPS if full and hi else 0.0)
    bracketed(gains(p, more), invested(p), invested(more))


def invested(p: Problem) -> float:
    note = notes(p).get("binds:invest")
    return 0.0 if note is None else float(note.value[0])


def test_where_every_name_is_at_a_bound_the_price_is_still_the_slope() -> None:
    """Any multiplier from 0.001 to 0.003 would do for a solver: the next unit goes to the second name."""
    p = Problem(
        np.array([0.003, 0.001]), np.zeros((2, 1)), np.zeros(2) + 1e-3, np.zeros(2), 0.5 * np.ones(2), 0, 0, 0.5
    )
    assert notes(p)["binds:invest"].value == pytest.approx([0.001], abs=1e-6)
    assert "binds:max_weight" not in {k for k in notes(replace(p, a=np.array([0.003, -1.0])))}  # nothing to take from


def test_prices_of_two_names_at_their_limit_are_the_closed_form() -> None:
    """Without risk from others the gain of the next unit is a - d^2 w, less what it costs."""
    d = np.array([0.1, 0.2, 0.1])
    p = Problem(np.array([0.004, 0.006, 0.0005]), np.zeros((3, 1)), d, np.zeros(3), np.full(3, 0.1), 2e-4, 0.0, 1.0)
    note = notes(p)["binds:max_weight"]
    assert note.symbol.tolist() == [0, 1]
    np.testing.assert_allclose(note.value, [0.004 - 0.01 * 0.1 - 2e-4, 0.006 - 0.04 * 0.1 - 2e-4], atol=1e-6)


def test_the_price_of_a_budget_is_the_closed_form() -> None:
    """Two names of equal variance v share hi: each gets hi/2 + (a1 - a2) / 2v, and the price is a1 - v w1."""
    p = Problem(np.array([0.01, 0.009]), np.zeros((2, 1)), np.full(2, 0.1), np.zeros(2), np.ones(2), 0.0, 0.0, 0.5)
    np.testing.assert_allclose(solved(p), [0.3, 0.2], atol=1e-5)
    assert notes(p)["binds:invest"].value == pytest.approx([0.01 - 0.01 * 0.3], abs=1e-6)


def test_a_name_whose_trade_gains_less_than_it_costs_is_left_and_says_so() -> None:
    one = np.ones(1)
    p = Problem(np.array([0.0009]), np.zeros((1, 1)), np.sqrt([0.008]), 0.1 * one, one, 0.0008, 0.0, 1.0)
    note = notes(p)["binds:cost"]
    assert note.value == pytest.approx([0.0009 - 0.008 * 0.1], abs=1e-6)
    assert "less than its cost of 0.0008" in note.text


def test_a_forced_sale_down_to_the_limit_is_priced_with_the_cost_it_would_save() -> None:
    """Held at 0.3 with a limit of 0.2: one more unit is one less sold."""
    one = np.ones(1)
    p = Problem(0.004 * one, np.zeros((1, 1)), 0.1 * one, 0.3 * one, 0.2 * one, 5e-4, 0.0, 1.0)
    assert notes(p)["binds:max_weight"].value == pytest.approx([0.004 - 0.01 * 0.2 + 5e-4], abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100_000))
def test_the_gain_of_a_name_is_the_slope_of_the_objective_without_its_cost(seed: int) -> None:
    """Moving one weight both ways costs the same at w0, so the cost drops out of a central difference."""
    p = problem(seed, hi=5.0)
    weights, note = solved(p), notes(p).get("binds:cost")
    for i, gain in [] if note is None else zip(note.symbol.tolist(), note.value.tolist(), strict=True):
        at, step = weights.copy(), np.zeros(6)
        at[i], step[i] = p.w0[i], 1e-4
        assert (objective(p, at + step) - objective(p, at - step)) / 2e-4 == pytest.approx(gain, abs=1e-6)
        assert abs(gain) <= p.c + 1e-6
    assert "binds:invest" not in notes(p)


@pytest.mark.parametrize(("w0", "cost"), [(0.0, 2e-4), (0.1, 2e-4), (0.1, 0.0)])
def test_a_name_at_0_is_priced_by_what_a_short_position_would_gain(w0: float, cost: float) -> None:
    """The next unit sold gains -a, less its cost, whether the name was held before or not."""
    one = np.ones(1)
    p = Problem(-0.003 * one, np.zeros((1, 1)), 0.1 * one, w0 * one, one, cost, 0.0, 1.0)
    assert notes(p)["binds:zero"].value == pytest.approx([0.003 - cost], abs=1e-6)


def test_nothing_is_said_of_limits_where_none_binds() -> None:
    p = problem(0, a=np.full(6, 1e-4), w0=np.zeros(6), c=0.0, ub=np.ones(6), hi=5.0, L=np.zeros((6, 3)))
    assert list(notes(p)) == ["weights"]


# ---- from the optimizer ----------------------------------------------------------------------------------------------


def told(**options: object) -> dict[str, Note]:
    where = book(day(0), MARK, cash=1e6, qty=[0, 0, 4000, 0])  # 9 % in C
    alpha = options.pop("a", [9e-4, 2e-4, 2e-4, NAN])
    wish = target(day(0), [0.25] * 4, alpha=alpha)  # type: ignore[arg-type]
    answer = optimizer(**options).on_targets((wish,), where)  # type: ignore[arg-type]
    return {event.kind: event for event in answer if isinstance(event, Note)}


def test_the_optimizer_tells_of_which_symbols_and_by_which_limit() -> None:
    said = told(max_weight=0.15, turnover_cost_bps=5.0)
    assert said["binds:max_weight"].symbol.tolist() == [0]
    assert said["binds:max_weight"].text == "1 name at max_weight 0.15"
    assert said["binds:max_weight"].value == pytest.approx([9e-4 - 5 * 4e-4 * 0.15 - 1e-4], abs=2e-6)
    assert said["weights"].symbol.tolist() == [0, 1, 2, 3]
    assert said["weights"].value[0] == pytest.approx(0.15, abs=1e-6)
    assert 2 in said["binds:cost"].symbol.tolist()
    assert 3 in said["binds:cost"].symbol.tolist()  # without an opinion there is nothing to gain


def test_the_sum_of_weights_is_called_by_what_sets_it() -> None:
    rich = [9e-3] * 4
    assert "what the targets want invested" in told(a=rich)["binds:invest"].text
    assert "max_invest 0.5" in told(a=rich, max_invest=0.5)["binds:invest"].text


def test_a_fallback_solved_nothing_and_says_no_weights() -> None:
    assert list(told(warm=False)) == ["fallback"]
