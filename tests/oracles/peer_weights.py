"""Weights of other libraries on one set of numbers, written down for tests/components/optimizers/methods/test_peers.py.

Each library is installed apart, since it is neither needed nor loaded by the tests:

    python tests/oracles/peer_weights.py pooled         with skfolio 1.12.2 and PyPortfolioOpt 1.6.0
    python tests/oracles/peer_weights.py multi_period   with cvxportfolio 1.5.1
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

N, T, CAP, LEVEL = 12, 120, 0.25, 0.9
PLANS = ((1, None, 0.001, 5.0), (3, None, 0.002, 5.0), (5, 2.0, 0.002, 10.0), (8, 1.0, 0.004, 2.0), (4, 3.0, 0.0, 20.0))
NAMES = [f"A{i:02d}" for i in range(N)]


def numbers() -> dict[str, Any]:
    """Returns of a market with two factors, expected returns and the sample covariance."""
    rng = np.random.default_rng(20)
    beta, style = 1 + 0.4 * rng.normal(size=N), rng.normal(size=N)
    market, second = 0.01 * rng.normal(size=(T, 1)), 0.006 * rng.normal(size=(T, 1))
    X = market * beta + second * style + rng.normal(size=(T, N)) * rng.uniform(0.006, 0.02, N)
    X = np.round(X + 0.002, 6)
    return {"X": X, "mu": np.round(rng.normal(0.0004, 0.0006, N), 8), "S": np.cov(X.T)}


def pooled() -> dict[str, Any]:
    import pandas as pd
    from pypfopt import BlackLittermanModel, EfficientCVaR, EfficientFrontier, HRPOpt
    from skfolio import RiskMeasure
    from skfolio.optimization import MaximumDiversification, MeanRisk, ObjectiveFunction, RiskBudgeting

    given = numbers()
    X = pd.DataFrame(given["X"], columns=NAMES)
    mu, S = pd.Series(given["mu"], NAMES), pd.DataFrame(given["S"], NAMES, NAMES)
    found: dict[str, Any] = {}

    def weights(name: str, value: Any) -> None:
        found[name] = [float(value[symbol]) for symbol in NAMES]

    weights("pypfopt_minimum_variance", EfficientFrontier(mu, S, (0, CAP), solver="CLARABEL").min_volatility())
    weights("pypfopt_minimum_variance_short", EfficientFrontier(mu, S, (-CAP, CAP), solver="CLARABEL").min_volatility())
    weights("pypfopt_max_sharpe", EfficientFrontier(mu, S, (0, CAP), solver="CLARABEL").max_sharpe(risk_free_rate=0.0))
    for linkage in ("single", "average", "ward"):
        weights(f"pypfopt_hrp_{linkage}", HRPOpt(cov_matrix=S).optimize(linkage))
    weights("pypfopt_min_cvar", EfficientCVaR(mu, X, LEVEL, (0, CAP)).min_cvar())
    weights("pypfopt_cvar_of_return", EfficientCVaR(mu, X, LEVEL, (0, CAP)).efficient_return(0.0006))
    P = np.zeros((2, N))
    P[0, 1], P[0, 4], P[1, 7] = 1, -1, 1
    blended = BlackLittermanModel(
        S, pi=2.5 * S @ np.full(N, 1 / N), P=P, Q=np.array([0.002, 0.001]), tau=0.05, omega="idzorek",
        view_confidences=[0.3, 0.8],
    )  # fmt: skip
    weights("pypfopt_black_litterman_returns", blended.bl_returns())
    found["pypfopt_black_litterman_risk"] = np.diag(blended.bl_cov().to_numpy()).tolist()

    def fitted(name: str, model: Any) -> None:
        found[name] = [float(w) for w in model.fit(X).weights_]

    fitted("skfolio_risk_parity", RiskBudgeting(risk_measure=RiskMeasure.VARIANCE))
    budget = {symbol: float(1 + i % 3) for i, symbol in enumerate(NAMES)}
    fitted("skfolio_risk_budgets", RiskBudgeting(risk_measure=RiskMeasure.VARIANCE, risk_budget=budget))
    fitted("skfolio_max_diversification", MaximumDiversification(max_weights=CAP))
    least = ObjectiveFunction.MINIMIZE_RISK
    fitted(
        "skfolio_min_cvar",
        MeanRisk(objective_function=least, risk_measure=RiskMeasure.CVAR, cvar_beta=LEVEL, max_weights=CAP),
    )
    best = ObjectiveFunction.MAXIMIZE_RATIO
    fitted("skfolio_max_sharpe_of_history", MeanRisk(objective_function=best, max_weights=CAP))
    return {key: value.tolist() for key, value in given.items()} | found


def multi_period() -> dict[str, Any]:
    import cvxportfolio as cvx
    import pandas as pd

    given = numbers()
    S = pd.DataFrame(given["S"], NAMES, NAMES)
    days = pd.date_range("2020-01-01", periods=40, freq="B")
    returns = pd.DataFrame(np.zeros((40, N + 1)), index=days, columns=[*NAMES, "cash"])
    returns.iloc[:, :N] = given["X"][:40]
    volumes = pd.DataFrame(np.full((40, N), 1e9), index=days, columns=NAMES)
    prices = pd.DataFrame(np.full((40, N), 10.0), index=days, columns=NAMES)
    market = cvx.UserProvidedMarketData(
        returns=returns, volumes=volumes, prices=prices, cash_key="cash", min_history=pd.Timedelta("1d")
    )
    held = np.where(np.arange(N) % 3 == 0, 0.15, 0.0)
    mu = pd.Series(given["mu"] * 5, NAMES)
    found: dict[str, Any] = {"w0": held.tolist(), "mu": mu.tolist(), "S": given["S"].tolist(), "cases": []}
    for horizon, half_life, cost, gamma in PLANS:
        gain = cvx.ReturnsForecast(r_hat=mu, decay=1.0 if half_life is None else 0.5 ** (1 / half_life))
        objective = gain - 0.5 * gamma * cvx.FullCovariance(S) - cvx.TransactionCost(a=cost, b=None)
        policy = cvx.MultiPeriodOptimization(
            objective,
            [cvx.LongOnly(applies_to_cash=True), cvx.MaxWeights(CAP)],
            planning_horizon=horizon,
            include_cash_return=False,
            solver="CLARABEL",
            tol_gap_abs=1e-13,
            tol_gap_rel=1e-13,
            tol_feas=1e-13,
        )
        h = pd.Series([*(held * 1e6), (1 - held.sum()) * 1e6], [*NAMES, "cash"])
        u, *_ = policy.execute(h=h, market_data=market, t=days[20])
        w = (h + u)[NAMES].to_numpy() / 1e6
        case = {"horizon": horizon, "half_life": half_life, "cost": cost, "gamma": gamma, "w": w.tolist()}
        found["cases"].append(case)
    return found


if __name__ == "__main__":
    name = sys.argv[1]
    path = Path(__file__).parent / f"peer_weights_{name}.json"
    path.write_text(json.dumps({"pooled": pooled, "multi_period": multi_period}[name](), indent=1) + "\n")
