"""Methods within constraints: those of the closed forms where none binds, kept where they do, by another route."""

from typing import Any

import numpy as np
import pytest

from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.black_litterman import BlackLitterman, View
from components.optimizers.methods.max_diversification import MaxDiversification
from components.optimizers.methods.max_sharpe import MaxSharpe
from components.optimizers.methods.mean_cvar import MeanCvar
from components.optimizers.methods.minimum_variance import MinimumVariance
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
