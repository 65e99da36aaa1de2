"""The tangency portfolio where it has no sense, and what cannot be traded beside it."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from components.optimizers.methods.max_sharpe import MaxSharpe
from components.optimizers.methods.minimum_variance import MinimumVariance
from tests.components.optimizers.methods.made import dense, factor_risk, situation, solved

N = 8
RISK = factor_risk(N, 3)
S = dense(RISK)


@pytest.mark.parametrize(
    ("alpha", "said"),
    [
        (np.full(N, -0.001), "no weights that add up to the total have an expected return above 0"),
        (np.full(N, np.nan), "there is no alpha for any name that may change"),
        (np.zeros(N), "no weights that add up to the total have an expected return above 0"),
    ],
)
def test_where_nothing_is_earned_it_does_what_was_declared(alpha: Any, said: str) -> None:
    at = situation(RISK, alpha=alpha)
    decision = MaxSharpe(max_weight=0.3).weights(at)
    assert decision.weights is not None
    np.testing.assert_array_equal(decision.weights, solved(MinimumVariance(max_weight=0.3), at))
    assert [(r.kind, r.text) for r in decision.remarks] == [("fallback", f"{said}: weights of least variance instead")]
    held = MaxSharpe(max_weight=0.3, otherwise="hold").weights(at)
    assert (held.weights, held.reason) == (None, said)


def test_a_cap_may_leave_nothing_that_earns() -> None:
    """With caps of a fifth the others lose more than the best name earns, with one of a half they do not."""
    at = situation(RISK, alpha=np.where(np.arange(N) == 0, 0.01, -0.004))
    assert MaxSharpe(max_weight=0.2, otherwise="hold").weights(at).weights is None
    w = solved(MaxSharpe(max_weight=0.5, otherwise="hold"), at)
    assert w[0] == pytest.approx(0.5)


def test_an_enormous_alpha_takes_what_its_cap_allows_and_the_rest_is_still_weighed() -> None:
    at = situation(RISK, alpha=np.where(np.arange(N) == 3, 1e300, 0.001))
    w = solved(MaxSharpe(max_weight=0.4), at)
    assert w[3] == pytest.approx(0.4)
    assert w.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("how", ["raw", "grinold"])
def test_what_cannot_be_traded_counts_in_return_and_risk(how: Any) -> None:
    rng = np.random.default_rng(3)
    alpha, fixed = rng.normal(0.001, 0.002, N), np.arange(N) >= 6
    pinned = np.where(fixed, 0.2, 0.0)
    a = alpha if how == "raw" else 0.05 * np.sqrt(np.diag(S)) * (alpha - alpha.mean()) / alpha.std()
    w = solved(MaxSharpe(alpha=how, otherwise="hold"), situation(RISK, alpha=alpha, free=~fixed, w0=pinned))
    whole = np.where(fixed, pinned, w)

    def loss(x: Any) -> float:
        v = np.concatenate([x, [0.2, 0.2]])
        return float(-(a @ v) / np.sqrt(v @ S @ v))

    sums = {"type": "eq", "fun": lambda x: x.sum() - 0.6}
    starts = [np.full(6, 0.1), *(np.eye(6) * 0.6)]
    best = min(minimize(loss, x, method="SLSQP", bounds=[(0, 1)] * 6, constraints=sums, tol=1e-12).fun for x in starts)
    assert -(a @ whole) / np.sqrt(whole @ S @ whole) <= best + 1e-9


def test_a_name_without_an_opinion_is_kept_at_most() -> None:
    alpha = np.where(np.arange(N) < 2, np.nan, 0.001)
    w = solved(MaxSharpe(), situation(RISK, alpha=alpha, w0=np.where(np.arange(N) == 0, 0.05, 0.0)))
    assert w[0] <= 0.05
    assert w[1] == 0
