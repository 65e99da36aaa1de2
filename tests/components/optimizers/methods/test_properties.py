"""What holds of methods whatever the numbers are."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.optimizers.methods.boxed import Curve, curve_of, least
from components.optimizers.methods.budgeting import Budgets, budgeted, contributions
from components.optimizers.methods.hrp import Hrp
from components.optimizers.methods.inverse_volatility import InverseVolatility
from components.optimizers.methods.max_diversification import MaxDiversification
from components.optimizers.methods.max_sharpe import MaxSharpe
from components.optimizers.methods.minimum_variance import MinimumVariance
from components.optimizers.methods.risk_parity import RiskParity
from components.optimizers.methods.room import capped
from engine.protocols import Risk
from engine.universe import Universe
from tests.components.optimizers.methods.made import dense, frozen_risk, situation, solved

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=30, deadline=None, derandomize=True)

METHODS: dict[str, Any] = {
    "inverse_volatility": lambda u: InverseVolatility(),
    "minimum_variance": lambda u: MinimumVariance(),
    "max_sharpe": lambda u: MaxSharpe(),
    "risk_parity": lambda u: RiskParity(universe=u),
    "max_diversification": lambda u: MaxDiversification(),
    "hrp": lambda u: Hrp(universe=u),
}
each = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS.keys())


def drawn(seed: int, most: int = 40) -> tuple[Risk, Any, np.random.Generator]:
    """A factor risk of any size and condition, and alphas of which some are above 0."""
    rng = np.random.default_rng(seed)
    n, K = int(rng.integers(2, most)), int(rng.integers(1, 25))
    F = rng.normal(size=(n, K)) + rng.integers(0, 3)
    root = rng.normal(size=(K, K)) * 10.0 ** -rng.uniform(1, 3)
    specific = 10.0 ** rng.uniform(-6, -3, n) * rng.choice([1.0, 1e-4])
    alpha = rng.normal(size=n) * 0.01
    alpha[0] = abs(alpha[0])
    return frozen_risk(Risk(factors=F, covariance=root @ root.T, specific=specific)), alpha, rng


@each
@few
@given(seed=SEEDS)
def test_weights_add_up_are_not_negative_and_follow_their_names(make: Any, seed: int) -> None:
    risk, alpha, rng = drawn(seed)
    at = situation(risk, alpha=alpha)
    w = solved(make(at.universe), at)
    assert w.min() >= 0
    assert w.sum() == pytest.approx(1.0, abs=1e-9)
    order = rng.permutation(len(w))
    turned = Risk(factors=risk.factors[order], covariance=risk.covariance, specific=risk.specific[order])
    names = [at.universe.symbols[i] for i in order]
    again = situation(frozen_risk(turned), alpha=alpha[order], names=names)
    np.testing.assert_allclose(solved(make(again.universe), again), w[order], atol=1e-6)


@each
@few
@given(seed=SEEDS, scale=st.floats(1e-6, 1e4))
def test_the_unit_of_risk_does_not_matter(make: Any, seed: int, scale: float) -> None:
    risk, alpha, _ = drawn(seed)
    scaled = Risk(factors=risk.factors, covariance=risk.covariance * scale, specific=risk.specific * scale)
    at, other = situation(risk, alpha=alpha), situation(frozen_risk(scaled), alpha=alpha)
    np.testing.assert_allclose(solved(make(at.universe), other), solved(make(at.universe), at), atol=1e-6)


@few
@given(seed=SEEDS)
def test_a_name_that_stands_twice_shares_its_weight(seed: int) -> None:
    """Two halves of one asset are that asset, for what is least or highest; a budget has to be halved with it."""
    risk, alpha, _ = drawn(seed, most=15)
    n = len(alpha)
    rows = [*range(n), 0]
    # The two are one asset: what is their own risk is shared, so it moves into a factor.
    own = np.diag(np.sqrt(risk.specific))[:, :]
    F = np.concatenate([risk.factors, own], axis=1)[rows]
    C = np.block(
        [[risk.covariance, np.zeros((len(risk.covariance), n))], [np.zeros((n, len(risk.covariance))), np.eye(n)]]
    )
    twice = frozen_risk(Risk(factors=F, covariance=C, specific=np.zeros(n + 1)))
    names = [f"S{i:04d}" for i in range(n + 1)]
    at, more = situation(risk, alpha=alpha), situation(twice, alpha=alpha[rows], names=names)
    for make in (METHODS["minimum_variance"], METHODS["max_sharpe"], METHODS["max_diversification"]):
        w, v = solved(make(at.universe), at), solved(make(more.universe), more)
        np.testing.assert_allclose([v[0] + v[n], *v[1:n]], w, atol=2e-5)
    halved = RiskParity(universe=more.universe, budgets={names[0]: 0.5, names[n]: 0.5})
    v = solved(halved, more)
    np.testing.assert_allclose([v[0] + v[n], *v[1:n]], solved(RiskParity(universe=at.universe), at), atol=1e-8)
    assert v[0] == pytest.approx(v[n], rel=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_a_box_and_a_sum_are_solved_to_the_optimality_conditions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, K = int(rng.integers(1, 60)), int(rng.integers(1, 30))
    S = curve_of(rng.normal(size=(n, K)) * 0.01, 10.0 ** rng.uniform(-6, -3, n))
    q = rng.normal(size=n) * 10.0 ** rng.uniform(-6, 0)
    low = -rng.uniform(0, 0.4, n) * rng.integers(0, 2)
    high = low + rng.uniform(0, 1, n) * (rng.random(n) < 0.9)
    total = [None, float(low.sum() + rng.random() * (high - low).sum())][int(rng.integers(0, 2))]
    x = least(S, q, (low, high), total)
    assert (x >= low).all()
    assert (x <= high).all()
    slopes = (S.times(x) + q) / max(float(S.diagonal().max()), float(np.abs(q).max()))
    room = 1e-9 + 1e-7 * (high - low)
    rising, falling = x < high - room, x > low + room  # who could go up, who down
    if total is None:
        assert slopes[rising].min(initial=0.0) >= -1e-8
        assert slopes[falling].max(initial=0.0) <= 1e-8
    else:
        assert x.sum() == pytest.approx(total, abs=1e-10)
        # No trade from a name that can fall to one that can rise pays.
        if rising.any() and falling.any():
            assert slopes[falling].max() - slopes[rising].min() <= 1e-8


@few
@given(seed=SEEDS)
@example(seed=150)  # less than a millionth of the variance of its names is left
def test_no_trade_between_two_names_raises_the_ratio(seed: int) -> None:
    risk, alpha, rng = drawn(seed)
    n, S = len(alpha), dense(risk)
    cap = float(rng.uniform(1.5, 4)) / n
    fixed = np.arange(n) >= max(n - 3, 1)
    pinned = np.where(fixed, rng.uniform(0, 0.1, n), 0.0)
    at = situation(risk, alpha=alpha, free=~fixed, w0=pinned)
    vol = np.sqrt(np.diag(S))
    for method, m in ((MaxSharpe(max_weight=cap, otherwise="hold"), alpha), (MaxDiversification(max_weight=cap), vol)):
        decision = method.weights(at)
        if decision.weights is None:
            assert "above 0" in decision.reason
            continue
        w = np.where(fixed, pinned, decision.weights)
        slopes = m / (m @ w) - S @ w / (w @ S @ w)  # of the logarithm of the ratio
        rising, falling = ~fixed & (w < cap - 1e-9), ~fixed & (w > 1e-9)
        if rising.any() and falling.any():
            # Where names offset each other, slopes are differences of covariances far larger than what is left.
            lost = 1e-8 * float(np.diag(S).max()) / float(w @ S @ w)
            assert slopes[rising].max() - slopes[falling].min() <= 1e-5 * max(np.abs(m / (m @ w)).max(), 1.0) + lost


def test_the_inverse_of_a_curve_is_that_of_its_matrix() -> None:
    rng = np.random.default_rng(0)
    for n, K in ((40, 3), (6, 20)):
        sign = np.where(np.arange(K) == 1, -1.0, 1.0)
        R, d, extra = rng.normal(size=(n, K)) * 0.1, rng.uniform(2, 3, n), rng.uniform(0, 1, n)
        S = Curve(R, d, sign)
        matrix = (R * sign) @ R.T + np.diag(d)
        B = rng.normal(size=(n, 2))
        np.testing.assert_allclose(S.solved(extra, B), np.linalg.solve(matrix + np.diag(extra), B), rtol=1e-9)
        np.testing.assert_allclose(S.times(B[:, 0]), matrix @ B[:, 0], rtol=1e-10)
        np.testing.assert_allclose(S.diagonal(), np.diag(matrix), rtol=1e-12)


@few
@given(seed=SEEDS)
def test_contributions_are_as_budgeted(seed: int) -> None:
    risk, _, rng = drawn(seed, most=200)
    b = rng.uniform(0.2, 3, len(risk.specific))
    b /= b.sum()
    values, vectors = np.linalg.eigh(risk.covariance)
    task = Budgets(risk.factors @ (vectors * np.sqrt(np.maximum(values, 0))), risk.specific, b, np.zeros(len(b)))
    x = budgeted(task, 0.8, 1.0)
    assert x is not None
    assert x.min() > 0
    assert x.sum() == pytest.approx(0.8, abs=1e-14)
    spread = float(x @ np.sqrt(np.diag(dense(risk)))) ** 2 / float(x @ task.times(x))  # 1 = nothing is diversified
    np.testing.assert_allclose(contributions(task, x), b, atol=1e-10 + 1e-15 * spread)


@few
@given(seed=SEEDS)
def test_names_at_the_cap_contribute_less_and_the_others_share_as_budgeted(seed: int) -> None:
    risk, _, rng = drawn(seed)
    n = len(risk.specific)
    cap = float(rng.uniform(1.0, 2.0)) / n + 1e-9
    at = situation(risk)
    w = solved(RiskParity(universe=at.universe, max_weight=cap), at)
    own = w * (dense(risk) @ w)
    inside = w < cap * (1 - 1e-9)
    assert w.max() <= cap
    assert w.sum() == pytest.approx(1.0, abs=1e-9)
    if inside.any():
        np.testing.assert_allclose(own[inside], own[inside].mean(), rtol=1e-5)
        assert (own[~inside] <= own[inside].mean() * (1 + 1e-5)).all()


@few
@given(seed=SEEDS, total=st.floats(0.01, 2.0), cap=st.floats(0.01, 1.0))
def test_what_a_cap_takes_goes_to_the_others_in_proportion(seed: int, total: float, cap: float) -> None:
    shares = np.random.default_rng(seed).uniform(0, 1, 9)
    shares[3] = 0.0
    w = capped(shares, total, cap)
    assert w.max() <= cap * (1 + 1e-12)
    assert w[3] == 0
    assert w.sum() == pytest.approx(min(total, 8 * cap), rel=1e-12)
    inside = (w > 0) & (w < cap)
    np.testing.assert_allclose(w[inside] / shares[inside], (w[inside] / shares[inside]).mean() if inside.any() else 0)


def test_the_universe_of_a_budget_is_checked() -> None:
    universe: Universe = situation(frozen_risk(drawn(0)[0])).universe
    with pytest.raises(ValueError, match="budgets names 'NONE', which is no symbol of the universe"):
        RiskParity(universe=universe, budgets={"NONE": 1.0})
    with pytest.raises(ValueError, match="budgets must be at least 0, got -1.0 for S0000"):
        RiskParity(universe=universe, budgets={"S0000": -1.0})
