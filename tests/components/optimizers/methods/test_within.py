"""Methods within constraints: those of the closed forms where none binds, kept where they do, by another route."""

from typing import Any

import numpy as np
import pytest

from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.gross import Gross
from components.optimizers.constraints.listed import Listed
from components.optimizers.constraints.risk_limit import RiskLimit
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.black_litterman import BlackLitterman, View
from components.optimizers.methods.max_diversification import MaxDiversification
from components.optimizers.methods.max_sharpe import MaxSharpe
from components.optimizers.methods.mean_cvar import MeanCvar
from components.optimizers.methods.minimum_variance import MinimumVariance
from components.optimizers.stating import exposures, marginal
from engine.protocols import Risk
from engine.universe import universe_of
from tests.components.optimizers.placed import covariance, situation
from tests.make import market

N = 8
U = universe_of(tuple(f"S{i:03d}" for i in range(N)))
VIEWS = (View(weights={"S001": 1.0, "S004": -1.0}, expected=2e-4),)
METHODS: dict[str, Any] = {
    "minimum_variance": lambda **o: MinimumVariance(universe=U, max_weight=0.5, **o),
    "max_sharpe": lambda **o: MaxSharpe(universe=U, alpha="grinold", max_weight=0.5, **o),
    "max_diversification": lambda **o: MaxDiversification(universe=U, max_weight=0.5, **o),
    "mean_cvar": lambda **o: MeanCvar(universe=U, window=50, min_slices=20, level=0.9, max_weight=0.5, **o),
    "black_litterman": lambda **o: BlackLitterman(universe=U, views=VIEWS, max_weight=0.5, fully_invested=True, **o),
    "without views": lambda **o: BlackLitterman(universe=U, max_weight=0.5, fully_invested=True, **o),
}
every = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS.keys())


def answered(method: Any, **given: Any) -> Any:
    if hasattr(method, "on_bars"):
        for bars in market(N, 60, seed=3, holes=0.0, late=0):
            method.on_bars(bars)
    return method.weights(situation(N, **given))


@every
def test_constraints_that_never_bind_change_nothing(make: Any) -> None:
    free, loose = answered(make()), answered(make(constraints=(WeightBox(max=0.9),)))
    np.testing.assert_allclose(loose.weights, free.weights, atol=2e-6)
    assert loose.limits is not None


@every
def test_constraints_that_bind_are_kept_and_told(make: Any) -> None:
    limits = (Sectors(max=0.45), Turnover(max=0.4), WeightBox(max=0.2))
    decision = answered(make(constraints=limits))
    w = decision.weights
    kinds = {remark.kind for remark in decision.remarks}
    assert w.sum() == pytest.approx(0.9, abs=1e-6) or "infeasible" in kinds  # two sectors of 0.45: less is invested
    assert "infeasible" in kinds
    decision = answered(make(constraints=(Sectors(max=0.52), Turnover(max=0.4), WeightBox(max=0.2))))
    w, kinds = decision.weights, {remark.kind for remark in decision.remarks}
    assert not {kind for kind in kinds if kind.startswith(("fallback", "infeasible"))}
    assert w.sum() == pytest.approx(1.0, abs=1e-7)
    assert w.max() <= 0.2 + 1e-7
    assert w.min() >= -1e-9
    assert max(w[::2].sum(), w[1::2].sum()) <= 0.52 + 1e-7
    assert np.abs(w - 0.9 / N).sum() <= 0.4 + 1e-7
    assert any(kind.startswith("binds:") for kind in kinds)


def test_the_ratio_within_constraints_is_the_best_of_many_that_keep_them() -> None:
    decision = answered(METHODS["max_sharpe"](constraints=(Sectors(max=0.55),)), alpha=np.linspace(-1, 2, N))
    at = situation(N, alpha=np.linspace(-1, 2, N))
    S = covariance(at.risk)  # type: ignore[arg-type]
    z = (at.alpha - at.alpha.mean()) / at.alpha.std()
    a = 0.05 * np.sqrt(np.diag(S)) * z
    best = float(a @ decision.weights / np.sqrt(decision.weights @ S @ decision.weights))
    rng = np.random.default_rng(1)
    for _ in range(2000):
        w = np.abs(decision.weights + rng.normal(0, 0.02, N))
        w /= w.sum()
        if max(w[::2].sum(), w[1::2].sum()) <= 0.55 and w.max() <= 0.5:
            assert a @ w / np.sqrt(w @ S @ w) <= best + 1e-9


@every
def test_what_a_constraint_needs_and_keeps_goes_through_the_method(make: Any) -> None:
    first, second = make(constraints=(Sectors(max=0.6),)), make(constraints=(Sectors(max=0.6),))
    assert ("sectors",) in first.needs
    answered(first)
    second.load(first.save())
    at = situation(N, seed=1)
    np.testing.assert_allclose(first.weights(at).weights, second.weights(at).weights, atol=1e-9)


def test_constraints_want_the_universe() -> None:
    with pytest.raises(ValueError, match="universe must be given beside constraints"):
        MinimumVariance(constraints=(WeightBox(max=0.1),)).weights(situation(N))


def ratio(w: Any, gains: Any, at: Any) -> float:
    return float(gains @ w / np.sqrt(w @ covariance(at.risk) @ w))


def texts(decision: Any, kind: str) -> str:
    return " ".join(remark.text for remark in decision.remarks if remark.kind == kind)


@pytest.mark.parametrize("name", ["max_sharpe", "max_diversification"])
def test_a_ratio_is_looked_for_within_limits_that_had_to_give(name: str) -> None:
    at = situation(N)
    sigma = np.sqrt(np.diag(covariance(at.risk)))  # type: ignore[arg-type]
    gains = sigma if name == "max_diversification" else sigma * (at.alpha - at.alpha.mean()) / at.alpha.std()
    short = answered(METHODS[name](constraints=(Sectors(max=0.4),)))  # of a total of 1: 0.2 has to give
    enough = answered(METHODS[name](max_invest=0.8, constraints=(Sectors(max=0.4),)))
    assert texts(short, "fallback:relax").endswith("beyond its limit: total by 0.2")
    assert not texts(enough, "fallback:relax")
    assert ratio(short.weights, gains, at) == pytest.approx(ratio(enough.weights, gains, at), rel=1e-4)
    least = answered(METHODS["minimum_variance"](constraints=(Sectors(max=0.4),)))
    assert ratio(short.weights, gains, at) > 1.05 * ratio(least.weights, gains, at)


@pytest.mark.parametrize("n", [8, 50])
def test_positions_are_held_where_no_weights_within_constraints_earn_anything(n: int) -> None:
    universe = universe_of(tuple(f"S{i:03d}" for i in range(n)))
    only = (Listed(universe=universe, symbols=("S000",), rule="sell"), RiskLimit(max=5.0))
    method = MaxSharpe(universe=universe, alpha="raw", otherwise="hold", constraints=only)
    for seed in range(4):
        alpha = -np.abs(np.random.default_rng(seed).normal(size=n)) * 1e-4
        alpha[0] = 3e-4  # the only one that earns is the one that must go
        at = situation(n, seed=seed, alpha=alpha)
        decision = method.weights(at)
        assert decision.weights is None
        assert "no weights within the constraints have an expected return above 0" in decision.reason
        assert method.weights(situation(n, seed=seed, alpha=-alpha)).weights is not None  # remembered, and not traded


def test_trials_are_not_remembered_as_weights_that_were_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    method = METHODS["max_sharpe"](constraints=(Sectors(max=0.6),))
    decision = answered(method)
    kept = method._within._problem._last
    np.testing.assert_array_equal(kept, decision.weights)
    monkeypatch.setattr(method._within._problem._routes, "_tolerance", 1e-30)  # no answer counts
    again = method.weights(situation(N, seed=1))
    np.testing.assert_array_equal(method._within._problem._last, again.weights)
    np.testing.assert_allclose(again.weights, kept, atol=1e-6)
    assert texts(again, "fallback:shrink")


GIVING: dict[str, tuple[tuple[Any, ...], float]] = {
    "turnover": ((Turnover(max=0.2),), 0.7),  # from 0.5
    "box": ((WeightBox(max=0.1),), 0.8),
    "sectors": ((Sectors(max=0.4),), 0.8),
    "gross": ((Sectors(max=0.4), Gross(max=0.7)), 0.7),
}


@pytest.mark.parametrize(("limits", "total"), GIVING.values(), ids=GIVING.keys())
def test_less_is_invested_before_a_constraint_gives(limits: tuple[Any, ...], total: float) -> None:
    w0 = np.full(N, 0.5 / N)
    for make in METHODS.values():
        decision = answered(make(constraints=limits), w0=w0)
        assert texts(decision, "fallback:relax").endswith(f"beyond its limit: total by {1.0 - total:.1g}")
        w = decision.weights
        assert w.sum() == pytest.approx(total, abs=5e-6)
        assert np.abs(w - w0).sum() <= (0.2 if isinstance(limits[0], Turnover) else np.inf) + 1e-7
        assert w.max() <= (0.1 if isinstance(limits[0], WeightBox) else 0.5) + 1e-7
        assert max(w[::2].sum(), w[1::2].sum()) <= (0.4 if isinstance(limits[0], Sectors) else 1.0) + 1e-7


def test_more_is_never_invested_before_a_constraint_gives() -> None:
    decision = answered(METHODS["minimum_variance"](constraints=(WeightBox(min=0.15),)))  # 8 of these are 1.2
    assert decision.weights.sum() <= 1.0 + 1e-5
    assert texts(decision, "fallback:relax").endswith("beyond its limit: box by 0.025")


def test_constraints_that_contradict_one_another_give_first_and_the_sum_what_is_lacking_then() -> None:
    decision = answered(METHODS["minimum_variance"](constraints=(WeightBox(min=0.1), Gross(max=0.5))))
    assert decision.weights.sum() == pytest.approx(0.5, abs=1e-5)
    assert decision.weights.min() == pytest.approx(0.0625, abs=1e-5)


@pytest.mark.parametrize("name", ["max_sharpe", "max_diversification"])
def test_a_name_left_out_is_told_of_beside_constraints_too(name: str) -> None:
    risk = situation(N).risk
    assert risk is not None
    factors, specific = risk.factors.copy(), risk.specific.copy()
    factors[3], specific[3] = 0.0, 0.0
    still = Risk(factors=factors, covariance=risk.covariance, specific=specific)
    for extra in ({}, {"constraints": (WeightBox(max=0.5),)}):
        assert texts(answered(METHODS[name](**extra), risk=still), "no_variance")
    kinds = answered(METHODS["max_sharpe"](constraints=(WeightBox(max=0.5),)), risk=still, alpha=np.full(N, np.nan))
    assert texts(kinds, "no_variance")


@every
def test_bounds_of_a_method_that_cross_a_constraint_are_refused_at_start(make: Any) -> None:
    with pytest.raises(ValueError, match=r"box wants weights of at least 0\.6, max_weight of at most 0\.5"):
        make(constraints=(WeightBox(min=0.6),))
    with pytest.raises(ValueError, match=r"max_weight wants weights of at least 0, box of at most -0\.1"):
        make(constraints=(WeightBox(min=-1.0, max=-0.1),))


def test_short_positions_that_a_method_allows_cross_nothing() -> None:
    below = (WeightBox(min=-1.0, max=-0.1),)
    for extra in ({}, {"max_weight": 0.4}):
        MinimumVariance(universe=U, long_only=False, constraints=below, **extra)
        BlackLitterman(universe=U, long_only=False, constraints=below, **extra)


@every
def test_solver_and_tolerance_are_those_of_the_composed_problem(make: Any) -> None:
    limits = (WeightBox(max=0.4),)
    named = answered(make(constraints=limits, solver="clarabel", tolerance=1e-3))
    assert "solved by clarabel" in texts(named, "weights")
    np.testing.assert_allclose(named.weights, answered(make(constraints=limits)).weights, atol=5e-3)
    exact = answered(make(constraints=limits, tolerance=1e-30))
    assert exact.weights is None
    assert "above 1e-30" in exact.reason
    with pytest.raises(ValueError, match="solver is of a method with constraints, got 'clarabel' without any"):
        make(solver="clarabel")
    with pytest.raises(ValueError, match=r"tolerance is of a method with constraints, got 1e-05 without any"):
        make(tolerance=1e-5)


def test_a_solver_without_tails_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="solver kernel has no"):
        METHODS["mean_cvar"](constraints=(WeightBox(max=0.4),), solver="kernel")


@pytest.mark.parametrize("alpha", ["none", "raw"])
@pytest.mark.parametrize("confidence", [0.3, 1.0])
def test_the_posterior_of_views_is_a_risk_of_few_factors(alpha: Any, confidence: float) -> None:
    n = 40
    universe = universe_of(tuple(f"S{i:03d}" for i in range(n)))
    views = (
        View(weights={"S001": 1.0}, expected=2e-4, confidence=confidence),
        View(weights={"S004": 1.0, "S007": -1.0}, expected=1e-4, confidence=confidence),
        View(weights={"S007": 1.0, "S009": 0.5}, expected=3e-4, confidence=0.6),
    )
    method = BlackLitterman(universe=universe, views=views, alpha=alpha, tau=2.0)
    at = situation(n, alpha=np.random.default_rng(0).normal(0, 1e-4, n))
    assert at.risk is not None
    _, posterior = method._posterior(at, at.risk, at.benchmark)
    risk, curve = posterior.risk(), posterior.curve()
    assert risk.factors.shape[1] <= 2 * 2 + 4  # K of the model, again of alphas, and 4 names in views
    assert risk.specific.min() > 0
    assert np.linalg.eigvalsh(risk.covariance).min() > -1e-15
    dense, scale = (curve.R * curve.sign) @ curve.R.T + np.diag(curve.d), curve.diagonal().max()
    np.testing.assert_allclose(covariance(risk), dense, atol=1e-13 * scale, rtol=0)
    np.testing.assert_allclose(exposures(risk) @ exposures(risk).T + np.diag(risk.specific), dense, atol=1e-10 * scale)
    np.testing.assert_allclose(marginal(risk, at.w0), curve.times(at.w0), atol=1e-12 * scale)
