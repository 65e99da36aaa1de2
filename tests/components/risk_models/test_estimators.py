"""Covariances of arrays: against Qlib 0.9.7, scikit-learn, and plain loops over the formulas."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import covariance, decomposition

from components.risk_models import estimators, shrinkage

SAID = Path(__file__).parent.parent.parent / "peers" / "qlib_risk.npz"
TARGETS = {
    "const_var": "constant_variance",
    "const_corr": "constant_correlation",
    "single_factor": "single_factor",
}


@cache
def qlib() -> dict[str, Any]:
    with np.load(SAID) as file:
        return dict(file)


def cases(kind: str) -> list[str]:
    return [key for key in qlib() if f"/{kind}" in key]


def given(key: str) -> tuple[np.ndarray, Any]:
    size, data, missing, centred = key.split("/")[:4]
    return 100 * qlib()[f"{size}/{data}"], {"missing": missing, "centred": bool(int(centred))}


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.nanmax(np.abs(expected)))


def made(seed: int, slices: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(slices, n)) * rng.uniform(0.3, 3, n) + rng.normal(size=(slices, 1))
    return x - x.mean(axis=0)


# ---- Qlib ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", cases("empirical"))
def test_the_sample_covariance_is_qlibs(key: str) -> None:
    x, how = given(key)
    close(estimators.empirical(x, **how), qlib()[key])


@pytest.mark.parametrize("key", [key for name in TARGETS for key in cases(name)])
def test_shrinkage_toward_each_target_is_qlibs(key: str) -> None:
    x, how = given(key)
    intensity = 0.3 if key.endswith("fixed") else None
    found, _ = estimators.shrunk(x, TARGETS[key.split("/")[4]], intensity=intensity, **how)  # type: ignore[arg-type]
    close(found, qlib()[key])


@pytest.mark.parametrize("key", cases("poet"))
def test_poet_is_qlibs(key: str) -> None:
    x, how = given(key)
    factors, rule, threshold = key.split("/")[5:]
    found = estimators.poet(x, factors=int(factors), threshold=float(threshold), rule=rule, **how)  # type: ignore[arg-type]
    close(found, qlib()[key])


@pytest.mark.parametrize("key", cases("pca"))
def test_structured_components_are_qlibs(key: str) -> None:
    x, how = given(key)
    F, C, d = estimators.structured(x, int(key.split("/")[-1]), "pca", centred=how["centred"])
    close(F @ C @ F.T + np.diag(d), qlib()[key])


@pytest.mark.parametrize("key", cases("fa"))
def test_structured_factor_analysis_is_qlibs(key: str) -> None:
    """Qlib's decomposition is randomised, and not exact with more than k + 10 rows and columns."""
    x, how = given(key)
    F, C, d = estimators.structured(x, int(key.split("/")[-1]), "fa", centred=how["centred"])
    close(F @ C @ F.T + np.diag(d), qlib()[key], 1e-3 if key.startswith("wide") else 1e-8)


@pytest.mark.parametrize("key", cases("oas"))
def test_qlibs_oas_is_another_one_than_that_of_the_paper_and_ours_is_scikit_learns(key: str) -> None:
    x, how = given(key)
    if how["missing"] == "mask":
        return
    if how["missing"] == "fill":
        x = np.nan_to_num(x)
    if not how["centred"]:
        x = x - x.mean(axis=0)
    share, mean = shrinkage.oas_shrinkage(x)
    expected, coefficient = covariance.oas(x, assume_centered=True)
    assert share == pytest.approx(coefficient, abs=1e-12)
    ours = (1 - share) * x.T @ x / len(x) + share * mean * np.eye(x.shape[1])
    close(ours, expected)
    assert np.abs(ours - qlib()[key]).max() > 0.01 * np.abs(ours).max()


# ---- scikit-learn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slices", "n"), [(40, 6), (12, 30), (5, 1), (3, 3)])
def test_shrinkage_is_that_of_scikit_learn(slices: int, n: int) -> None:
    x = made(slices + n, slices, n)
    close(estimators.empirical(x), covariance.empirical_covariance(x))
    share, _ = shrinkage.oas_shrinkage(x)
    assert share == pytest.approx(covariance.oas(x)[1], abs=1e-10)
    share, _ = shrinkage.ledoit_wolf_shrinkage(x)
    assert share == pytest.approx(covariance.ledoit_wolf(x)[1], abs=1e-10)


@pytest.mark.parametrize(("slices", "n", "k"), [(60, 8, 3), (12, 30, 2), (30, 5, 5), (40, 6, 1)])
def test_components_and_factor_analysis_are_those_of_scikit_learn(slices: int, n: int, k: int) -> None:
    x = made(slices + n, slices, n)
    peer = decomposition.PCA(k, svd_solver="full").fit(x)
    V = estimators.principal(x, k)
    close(V @ V.T, peer.components_.T @ peer.components_)
    assert (V.sum(axis=0) >= 0).all()
    analysis = decomposition.FactorAnalysis(k, svd_method="lapack").fit(x)
    W, noise = estimators.factor_analysis(x, k)
    close(W @ W.T + np.diag(noise), analysis.get_covariance())
    close(x @ estimators.scoring(W, noise)[0] @ W.T, analysis.transform(x) @ analysis.components_)


# ---- plain loops -----------------------------------------------------------------------------------------------------


def plain_shrinkage(x: np.ndarray, target: str) -> tuple[float, np.ndarray]:
    """Intensity and target from the papers' sums, entry by entry."""
    T, n = x.shape
    S = np.array([[np.mean(x[:, i] * x[:, j]) for j in range(n)] for i in range(n)])
    market = [float(np.mean(x[t])) for t in range(T)]
    var_m = np.mean(np.square(market))
    cov_m = [np.mean([x[t, i] * market[t] for t in range(T)]) for i in range(n)]
    pairs = [(i, j) for i in range(n) for j in range(n)]
    r = np.mean([S[i, j] / np.sqrt(S[i, i] * S[j, j]) for i, j in pairs if i != j])
    F, pi, rho = np.zeros((n, n)), np.zeros((n, n)), 0.0
    for i, j in pairs:
        pi[i, j] = np.mean([(x[t, i] * x[t, j] - S[i, j]) ** 2 for t in range(T)])
        if i == j:
            F[i, j] = S[i, i]
            rho += pi[i, i]
        elif target == "constant_correlation":
            F[i, j] = r * np.sqrt(S[i, i] * S[j, j])
            both = [
                np.mean([(x[t, k] ** 2 - S[k, k]) * (x[t, i] * x[t, j] - S[i, j]) for t in range(T)]) for k in (i, j)
            ]
            rho += r / 2 * (np.sqrt(S[j, j] / S[i, i]) * both[0] + np.sqrt(S[i, i] / S[j, j]) * both[1])
        else:
            F[i, j] = cov_m[i] * cov_m[j] / var_m
            for t in range(T):
                part = cov_m[j] * var_m * x[t, i] + cov_m[i] * var_m * x[t, j] - cov_m[i] * cov_m[j] * market[t]
                part *= market[t] * x[t, i] * x[t, j] / var_m**2
                rho += (part - F[i, j] * S[i, j]) / T
    return max(0.0, min(1.0, (pi.sum() - rho) / ((S - F) ** 2).sum() / T)), F


@pytest.mark.parametrize(("slices", "n"), [(40, 5), (6, 9)])
@pytest.mark.parametrize("target", ["constant_correlation", "single_factor"])
def test_intensities_are_the_sums_of_the_papers(target: str, slices: int, n: int) -> None:
    x = made(3 * slices + n, slices, n) @ np.diag(np.r_[3.0, -2.0, np.ones(n - 2)])
    expected, F = plain_shrinkage(x, target)
    found, share = estimators.shrunk(x, target)  # type: ignore[arg-type]
    assert share == pytest.approx(expected, rel=1e-9)
    close(found, (1 - share) * x.T @ x / slices + share * F)
    S = x.T @ x / slices
    if target == "single_factor":
        fast, b = shrinkage.single_factor_shrinkage(x)
        whole = np.outer(b, b)
    else:
        fast, r = shrinkage.constant_correlation_shrinkage(x)
        whole = r * np.sqrt(np.outer(np.diag(S), np.diag(S)))
    np.fill_diagonal(whole, np.diag(S))
    assert 0 < expected < 1
    assert fast == pytest.approx(expected, rel=1e-9)
    close(whole, F)


def test_a_negative_mean_correlation_counts_as_none_in_the_factor_form() -> None:
    rng = np.random.default_rng(3)
    one = rng.normal(size=30)
    x = np.stack([one, -one + 0.3 * rng.normal(size=30)], axis=1)
    share, r = shrinkage.constant_correlation_shrinkage(x - x.mean(axis=0))
    assert r == 0
    assert 0 <= share <= 1


@pytest.mark.parametrize("rule", ["soft", "hard", "scad"])
def test_thresholds_move_each_correlation_as_their_rule_says(rule: str) -> None:
    rate, a = 0.2, 3.7
    r = np.linspace(-0.99, 0.99, 199)
    R = np.eye(200)
    R[0, 1:], R[1:, 0] = r, r
    expected = []
    for one in r:
        size = abs(one)
        if rule == "hard":
            kept = size if size > rate else 0.0
        elif rule == "soft" or size <= 2 * rate:
            kept = max(size - rate, 0.0)
        else:
            kept = ((a - 1) * size - a * rate) / (a - 2) if size <= a * rate else size
        expected.append(np.copysign(kept, one))
    found = estimators.thresholded(R, rate, rule)  # type: ignore[arg-type]
    np.testing.assert_allclose(found[0, 1:], expected, atol=1e-12)
    assert (np.diag(found) == 1).all()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="missing must be ignore, fill or mask, got 'drop'"):
        estimators.empirical(np.zeros((3, 2)), missing="drop")  # type: ignore[arg-type]
