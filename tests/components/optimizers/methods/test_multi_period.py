"""The plan over several slices: beside plain cvxpy, one slice beside the mean-variance optimizer, costs and impact."""

from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from components.optimizers.methods.multi_period import MultiPeriod
from components.optimizers.quadratic import Problem, Quadratic
from engine.events import Vector
from tests.components.optimizers.methods.made import dense, factor_risk, situation, solved

N = 10
RISK = factor_risk(N, 3)
ALPHA = np.random.default_rng(4).normal(0.001, 0.002, N)
W0 = np.where(np.arange(N) % 3 == 0, 0.2, 0.0)
TRADED = np.random.default_rng(5).uniform(1e6, 1e8, N)


def at(**given: Any) -> Any:
    return situation(RISK, **({"alpha": ALPHA, "w0": W0, "traded": TRADED} | given))


def method(**options: Any) -> MultiPeriod:
    plain: dict[str, Any] = {"alpha": "raw", "max_weight": 0.4, "risk_aversion": 8.0, "turnover_cost_bps": 20.0}
    return MultiPeriod(**(plain | options))


def plainly(decays: Any, impact: float = 0.0, pinned: Vector | None = None, cost: float = 0.002) -> Any:
    """The first weights of the problem as the docstring states it, rebuilt and solved by another solver."""
    S, free = dense(RISK), np.ones(N, bool) if pinned is None else pinned == 0
    p = np.zeros(N) if pinned is None else pinned
    H = len(decays)
    w = [cp.Variable(N) for _ in range(H)]
    gain, rows = 0, []
    before: Any = np.where(free, W0, 0.0)
    k = impact * np.sqrt(np.diag(S) * 1e6 / TRADED)
    for h in range(H):
        gain += decays[h] * ALPHA @ w[h] - 4.0 * cp.quad_form(w[h] + p, cp.psd_wrap(S))
        gain -= cost * cp.norm1(w[h] - before)
        if impact:
            gain -= k @ cp.power(cp.abs(w[h] - before), 1.5)
        rows += [w[h] >= 0, w[h] <= 0.4 * free, cp.sum(w[h]) <= 1 - p.sum()]
        before = w[h]
    exact = {} if impact else {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}
    cp.Problem(cp.Maximize(100 * gain), rows).solve(solver="CLARABEL", **exact)
    return w[0].value


@pytest.mark.parametrize("impact", [0.0, 0.7])
@pytest.mark.parametrize(("horizon", "half_life"), [(1, None), (4, 2.0)])
def test_it_solves_what_it_says(horizon: int, half_life: float | None, impact: float) -> None:
    decays = [0.5 ** (h / half_life) if half_life else 1.0 for h in range(horizon)]
    w = solved(method(horizon=horizon, half_life=half_life, impact=impact), at())
    np.testing.assert_allclose(w, plainly(decays, impact), atol=2e-5)


@pytest.mark.parametrize("impact", [0.0, 0.6])
def test_problems_of_any_size_of_alpha_and_liquidity_are_solved(impact: float) -> None:
    rng = np.random.default_rng(0)
    plan = method(horizon=3, half_life=2.0, impact=impact)
    for k in range(25):
        n = int(rng.integers(17, 32))
        alpha = rng.normal(size=n) * 10 ** rng.uniform(-5, -2)
        traded = 10 ** rng.uniform(4, 9, n)
        now = situation(factor_risk(n, 5, seed=k), alpha=alpha, traded=traded, w0=(rng.random(n) < 0.5) / n)
        w = solved(plan, now)
        assert w.sum() <= 1 + 1e-6


def test_what_cannot_be_traded_counts_in_risk_and_budget() -> None:
    pinned = np.where(np.arange(N) == 3, 0.2, 0.0)
    w = solved(method(horizon=3), at(free=pinned == 0))
    other = plainly([1.0, 1.0, 1.0], pinned=pinned)
    np.testing.assert_allclose(w[pinned == 0], other[pinned == 0], atol=2e-5)


def test_a_list_of_shares_is_a_decay_too() -> None:
    one = solved(method(horizon=3, half_life=1.0), at())
    assert np.array_equal(solved(method(horizon=3, decay=(1.0, 0.5, 0.25)), at()), one)


def test_one_slice_is_the_mean_variance_problem() -> None:
    answer = Quadratic(slots=16, columns=8).solve(
        Problem(
            a=ALPHA,
            L=np.sqrt(8.0) * RISK.factors * np.sqrt(np.diag(RISK.covariance)),
            d=np.sqrt(8.0 * RISK.specific),
            w0=W0,
            ub=np.full(N, 0.4),
            c=0.002,
            lo=0.0,
            hi=1.0,
        )
    )
    assert answer.weights is not None
    np.testing.assert_allclose(solved(method(horizon=1), at()), answer.weights, atol=1e-5)


def test_a_lasting_alpha_is_worth_a_trade_that_one_slice_does_not_pay_for() -> None:
    """Twenty basis points of cost, four a slice to be earned: one slice does nothing, ten slices buy."""
    alpha = np.where(np.arange(N) == 1, 0.0004, np.nan)
    now = at(alpha=alpha, w0=np.zeros(N))
    assert solved(method(horizon=1, risk_aversion=0.1), now)[1] == 0
    assert solved(method(horizon=10, risk_aversion=0.1), now)[1] > 0.1
    assert solved(method(horizon=10, half_life=1.0, risk_aversion=0.1), now)[1] == 0  # gone before it has paid


def test_turnover_falls_with_cost_and_with_impact() -> None:
    for option, values in (("turnover_cost_bps", (0.0, 5.0, 20.0, 100.0)), ("impact", (0.01, 0.3, 3.0))):
        moved = [np.abs(solved(method(horizon=3, **{option: value}), at()) - W0).sum() for value in values]
        assert (np.diff(moved) <= 1e-5).all(), option
        assert moved[0] > moved[-1]


def test_the_cost_of_the_broker_is_the_default() -> None:
    one = solved(method(turnover_cost_bps=None), at(rate=0.002))
    assert np.array_equal(one, solved(method(), at()))


def test_unknown_trading_counts_as_the_least_known_and_is_a_reason_where_nothing_is_known() -> None:
    few = np.where(np.arange(N) == 2, np.nan, TRADED)
    least = np.where(np.arange(N) == 2, np.nanmin(few), TRADED)
    bent = method(impact=0.5)
    assert np.array_equal(solved(bent, at(traded=few)), solved(bent, at(traded=least)))
    assert (
        bent.weights(at(traded=np.full(N, np.nan))).reason == "impact: it is not known of any name what a slice trades"
    )


def test_a_name_without_an_opinion_is_not_increased() -> None:
    w = solved(method(fully_invested=True), at(alpha=np.where(np.arange(N) < 2, np.nan, ALPHA)))
    assert w[1] == 0
    assert w[0] <= W0[0] + 1e-9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0}, "horizon must be at least 1 slice, got 0"),
        ({"half_life": 0.0}, "half_life must be finite and above 0, got 0.0"),
        ({"horizon": 3, "decay": (1.0, 0.5)}, "decay must list 3 finite shares"),
        ({"half_life": 2.0, "decay": (1.0,)}, "decay and half_life say the same thing"),
        ({"impact": -1.0}, "impact must be at least 0, got -1.0"),
        ({"alpha": "scores"}, "alpha must be grinold or raw, got 'scores'"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        method(**options)
