"""Principal components, POET and factor analysis: what a fit says, and what follows until the next one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import FactorAnalysis as Peer

from components.risk_models import estimators
from components.risk_models.factor_analysis import FactorAnalysis
from components.risk_models.history import History
from components.risk_models.pca import Pca
from components.risk_models.poet import Poet, split
from components.risk_models.refits import Refits
from engine.events import DAY_NS
from tests.components.risk_models.made import NAN, closes, dense, fed, names
from tests.make import bars, day

MODELS: dict[str, Any] = {"pca": Pca, "poet": Poet, "factor_analysis": FactorAnalysis}
every_model = pytest.mark.parametrize("name", MODELS)


def returns(slices: int, n: int, seed: int = 0) -> np.ndarray:
    """Two factors and noise of different size."""
    rng = np.random.default_rng(seed)
    loadings = np.stack([rng.uniform(0.5, 1.5, n), rng.normal(size=n)])
    noise = 0.01 * rng.normal(size=(slices, n)) * rng.uniform(0.5, 2, n)
    return rng.normal(size=(slices, 2)) @ loadings * 0.008 + noise


def made(name: str, n: int, **options: Any) -> Any:
    given = {"window": 40, "min_slices": 10, "factors": 2, "refit_every": 1} | options
    return MODELS[name](universe=names(n), **given)


def test_right_after_a_fit_components_keep_the_variances_and_are_those_of_the_array() -> None:
    r = returns(50, 8)
    x = r[-40:] - r[-40:].mean(axis=0)
    whole = dense(fed(made("pca", 8), closes(r)).risk())
    np.testing.assert_allclose(np.diag(whole), x.var(axis=0), rtol=1e-9)
    F, C, d = estimators.structured(x, 2, "pca")
    np.testing.assert_allclose(whole, F @ (C * 39 / 40) @ F.T + np.diag(d), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("rule", ["soft", "hard", "scad"])
@pytest.mark.parametrize("factors", [0, 2])
def test_right_after_a_fit_poet_is_that_of_the_array(rule: str, factors: int) -> None:
    """With a threshold that leaves correlations which can be."""
    r = returns(50, 12)
    x = r[-40:] - r[-40:].mean(axis=0)
    model = made("poet", 12, factors=factors, rule=rule, threshold=1.2 if factors else 2.2)
    risk = fed(model, closes(r)).risk()
    expected = estimators.poet(x, factors=factors, threshold=1.2 if factors else 2.2, rule=rule)  # type: ignore[arg-type]
    assert np.linalg.eigvalsh(expected)[0] > 0
    np.testing.assert_allclose(dense(risk), expected, rtol=1e-8, atol=1e-12)


def test_poet_keeps_correlations_that_are_no_noise() -> None:
    r = returns(200, 10)
    r[:, 1] = 0.7 * r[:, 0] + 0.3 * r[:, 1]  # a pair of its own
    how: dict[str, Any] = {"window": 200, "factors": 1}
    found = dense(fed(made("poet", 10, **how), closes(r)).risk())
    without = dense(fed(made("pca", 10, **how), closes(r)).risk())
    true = np.cov(r.T, ddof=0)
    assert abs(found[0, 1] - true[0, 1]) < 0.5 * abs(without[0, 1] - true[0, 1])
    np.testing.assert_allclose(np.diag(found), np.diag(true), rtol=1e-8)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9999), st.integers(1, 12), st.floats(0, 0.9))
def test_thresholded_correlations_become_possible_and_keep_their_diagonal(seed: int, n: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    R = estimators.thresholded(estimators.correlations(rng.normal(size=(4, n))), rate, "hard")
    Q, q = split(R)
    whole = Q @ Q.T + np.diag(q)
    assert (q >= 0).all()
    np.testing.assert_allclose(np.diag(whole), 1.0, rtol=1e-9)
    if np.linalg.eigvalsh(R)[0] >= 0:
        np.testing.assert_allclose(whole, R, atol=1e-9)
    apart = R == 0
    assert (np.abs(whole[apart]) < 1e-9).all()
    assert (np.abs(whole) <= np.abs(R) + 1e-9).all()


def test_right_after_a_fit_factor_analysis_is_that_of_scikit_learn_on_standardised_returns() -> None:
    r = returns(60, 9)
    x = r[-40:] - r[-40:].mean(axis=0)
    s = x.std(axis=0)
    peer = Peer(2, svd_method="lapack").fit(x / s)
    expected = (peer.components_.T @ peer.components_ + np.diag(peer.noise_variance_)) * np.outer(s, s)
    whole = dense(fed(made("factor_analysis", 9), closes(r)).risk())
    np.testing.assert_allclose(whole, expected, rtol=0.02, atol=0.01 * expected.max())  # a step further than the peer
    np.testing.assert_allclose(np.diag(whole), x.var(axis=0), rtol=0.02)


def test_planted_factors_are_found() -> None:
    n, slices = 40, 1000
    rng = np.random.default_rng(3)
    W = rng.normal(size=(n, 2)) * 0.01
    noise = rng.uniform(0.005, 0.02, n)
    r = rng.normal(size=(slices, 2)) @ W.T + noise * rng.normal(size=(slices, n))
    true = W @ W.T + np.diag(noise**2)
    for name in MODELS:
        whole = dense(fed(made(name, n, window=slices, refit_every=200), closes(r)).risk())
        assert np.linalg.norm(whole - true) < 0.12 * np.linalg.norm(true), name
    analysis = fed(made("factor_analysis", n, window=slices, refit_every=200), closes(r)).risk()
    np.testing.assert_allclose(analysis.specific, noise**2, rtol=0.25)


@every_model
def test_loadings_stay_between_refits_and_variances_follow(name: str) -> None:
    r = returns(70, 6)
    r[60:] *= 3.0
    model, close = made(name, 6, refit_every=20, specific_half_life=5, factor_half_life=5), closes(r)
    answers = []
    for k, row in enumerate(close):
        model.on_bars(bars(day(k), row))
        answers.append(model.risk())
    loadings = [None if a is None else a.factors[:, :2] for a in answers]
    moves = [k for k in range(11, 71) if not np.array_equal(loadings[k], loadings[k - 1])]
    assert len(moves) == 3
    assert np.diff(moves).tolist() == [20, 20]
    still = [k for k in range(61, 71) if k not in moves]
    assert all((answers[k].specific != answers[k - 1].specific).all() for k in still)
    assert np.trace(answers[70].covariance[:2, :2]) > 2 * np.trace(answers[59].covariance[:2, :2])
    if name != "poet":  # which scales the correlations of residuals by volatilities
        assert all(answers[k].factors is answers[k - 1].factors for k in still)


@every_model
def test_when_a_session_began_does_not_show(name: str) -> None:
    close = closes(returns(100, 5))
    early, late = made(name, 5, refit_every=7), made(name, 5, refit_every=7)
    for k in range(101):
        early.on_bars(bars(day(k), close[k]))
        if k > 100 - late.lookback:
            late.on_bars(bars(day(k), close[k]))
    one, two = early.risk(), late.risk()
    for a, b in ((one.factors, two.factors), (one.covariance, two.covariance), (one.specific, two.specific)):
        np.testing.assert_array_equal(a, b)


@every_model
def test_a_symbol_that_lists_is_late_until_the_next_refit(name: str) -> None:
    close = closes(returns(80, 6))
    close[:30, 5] = NAN
    model = made(name, 6, refit_every=20)
    own = []
    for k, row in enumerate(close):
        model.on_bars(bars(day(k), row))
        risk = model.risk()
        if risk is not None:
            own.append((k, np.allclose(risk.factors[5], risk.factors[:5].mean(axis=0))))
    late = [k for k, market in own if market]
    assert late[0] == 10
    assert 40 <= late[-1] <= 60
    assert late == list(range(10, late[-1] + 1))


def test_a_fit_sees_its_own_slice_and_is_made_only_when_somebody_asks() -> None:
    seen: list[np.ndarray] = []

    def fit(x: np.ndarray) -> dict[str, Any]:
        seen.append(x)
        return {"loadings": x[-1][:, None]}

    history = History(names(3), 10, 3, 0.9)
    refits, close = Refits(history, 5, fit, {"loadings": 0.0}), closes(returns(40, 3))
    block = [day(k) // (5 * DAY_NS) for k in range(41)]
    boundary = next(k for k in range(25, 41) if block[k] != block[k - 1])
    for k in range(boundary + 3):
        refits.on_bars(bars(day(k), close[k]))
    assert seen == []
    parts = refits.parts
    window = (close[1:] / close[:-1] - 1)[boundary - 10 : boundary]
    np.testing.assert_allclose(seen[0], window - window.mean(axis=0), rtol=1e-9)
    refits.on_bars(bars(day(boundary + 3), close[boundary + 3]))
    assert refits.parts is parts
    assert len(seen) == 1


@every_model
def test_options_are_checked(name: str) -> None:
    least = 0 if name == "poet" else 1
    with pytest.raises(ValueError, match=f"factors must be at least {least}, got -1"):
        made(name, 3, factors=-1)
    with pytest.raises(ValueError, match="refit_every must be at least 1 slice, got 0"):
        made(name, 3, refit_every=0)
    with pytest.raises(ValueError, match="specific_half_life must be above 0 slices, got 0"):
        made(name, 3, specific_half_life=0)


def test_options_of_poet_are_checked() -> None:
    with pytest.raises(ValueError, match="rule must be one of soft, hard, scad, got 'medium'"):
        made("poet", 3, rule="medium")
    with pytest.raises(ValueError, match="threshold must be at least 0, got -0.5"):
        made("poet", 3, threshold=-0.5)
