"""Caps on risk in the kernel: against the plain statement, certified, from cold and from an answer nearby."""

from dataclasses import replace

import numpy as np
import pytest

from components.optimizers.certificate import certified
from components.optimizers.kernel_capped import CappedKernel, used
from components.optimizers.problem import HARD, Problem, RiskCap
from components.optimizers.stating import broken, objective
from tests.components.optimizers.problems import plain, random_problem

SETS = [
    ("risk",),
    ("variance", "risk"),
    ("variance", "kink", "risk"),
    ("soft_risk", "variance"),
    ("kink", "soft_risk", "factors"),
    ("variance", "impact", "risk", "turnover", "gross"),
    ("variance", "kink", "rows", "soft_rows", "soft_box", "soft_risk", "risk"),
]
pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # of the plain statement, with impact


def drawn(kinds: tuple[str, ...], seed: int) -> Problem:
    rng = np.random.default_rng([seed, *map(ord, "".join(kinds))])
    return random_problem(int(rng.integers(8, 40)), rng, kinds)


@pytest.mark.parametrize("kinds", SETS, ids="+".join)
def test_the_optimum_is_that_of_the_plain_statement_and_is_certified(kinds: tuple[str, ...]) -> None:
    kernel = CappedKernel()
    for seed in range(6):
        problem = drawn(kinds, seed)
        assert kernel.fits(problem)
        answer, (status, best) = kernel.solve(problem), plain(problem)
        if status.startswith("infeasible"):
            assert answer.status == "infeasible"
            continue
        assert answer.w is not None, (seed, answer.status)
        assert certified(problem, answer).residual <= 1e-9, seed
        assert max(broken(problem, answer.w).values(), default=0.0) <= 1e-10
        assert objective(problem, answer.w) <= best + 1e-9


def test_a_cap_binds_at_its_limit_to_ten_digits_and_has_the_price_of_a_looser_one() -> None:
    problem = drawn(("kink", "soft_risk"), 0)
    cap = replace(problem.risk_caps[0], soft=HARD)

    def at(limit: float) -> tuple[float, float, float]:
        made = replace(problem, risk_caps=(replace(cap, limit=limit),))
        answer = CappedKernel().solve(made)
        assert answer.w is not None
        return objective(made, answer.w), answer.risk_caps[0], used(made, cap, answer.w)

    here, price, deviation = at(cap.limit)
    assert deviation == pytest.approx(cap.limit, rel=1e-10)
    step = 1e-5 * cap.limit
    assert (at(cap.limit - step)[0] - at(cap.limit + step)[0]) / (2 * step) == pytest.approx(price, rel=1e-3)
    assert here < 0


def test_of_several_caps_about_one_point_the_tightest_counts_and_points_may_differ() -> None:
    problem = drawn(("variance",), 3)
    assert problem.risk is not None
    centre = np.full(len(problem), 1.0 / len(problem))
    near = RiskCap(name="tracking", limit=0.006, about=centre)
    other = RiskCap(name="volatility", limit=0.0085, about=np.zeros(len(problem)))
    one = CappedKernel().solve(replace(problem, risk_caps=(near,)))
    two = replace(problem, risk_caps=(replace(near, limit=0.01), near, replace(near, limit=0.02)))
    both = CappedKernel().solve(two)
    assert one.w is not None
    np.testing.assert_allclose(both.w, one.w, atol=1e-9)
    assert both.risk_caps[0] == both.risk_caps[2] == 0.0 < both.risk_caps[1]
    apart = replace(problem, risk_caps=(near, replace(other, limit=0.97 * used(problem, other, one.w))))
    answer = CappedKernel().solve(apart)
    assert answer.w is not None
    assert min(answer.risk_caps) >= 0 < answer.risk_caps[1]
    assert certified(apart, answer).residual <= 1e-9
    assert objective(apart, answer.w) <= plain(apart)[1] + 1e-9


def test_a_cap_that_no_weights_meet_is_infeasible_and_one_that_some_just_meet_is_not() -> None:
    problem = drawn(("variance",), 1)
    bare = RiskCap(name="volatility", limit=1e-4, about=np.zeros(len(problem)))
    assert CappedKernel().solve(replace(problem, risk_caps=(bare,))).status == "infeasible"
    least = CappedKernel().solve(replace(problem, q=np.zeros(len(problem)), about=bare.about))
    assert least.w is not None
    tight = replace(problem, risk_caps=(replace(bare, limit=used(problem, bare, least.w) * 1.001),))
    assert certified(tight, CappedKernel().solve(tight)).residual <= 1e-7


def test_an_answer_nearby_makes_the_next_cheaper_and_not_another() -> None:
    problem = drawn(("variance", "kink", "soft_risk"), 2)
    kernel = CappedKernel()
    before = kernel.solve(problem)
    moved = replace(problem, q=problem.q * 1.02)
    warm, cold = kernel.solve(moved, before), kernel.solve(moved)
    assert cold.risk_caps[0] > 0
    np.testing.assert_allclose(warm.w, cold.w, atol=1e-9)
    assert warm.iterations < cold.iterations


def test_a_cap_with_slack_has_no_price() -> None:
    problem = drawn(("variance", "kink"), 4)
    wide = RiskCap(name="volatility", limit=10.0, about=np.zeros(len(problem)))
    answer = CappedKernel().solve(replace(problem, risk_caps=(wide,)))
    assert answer.risk_caps == (0.0,)
    np.testing.assert_allclose(answer.w, CappedKernel().solve(problem).w, atol=1e-12)
