"""Risk models and markets for their tests."""

from collections.abc import Callable
from typing import Any

import numpy as np

from components.risk_models.ewma import Ewma
from components.risk_models.factor_analysis import FactorAnalysis
from components.risk_models.given_factors import GivenFactors
from components.risk_models.ledoit_wolf import LedoitWolf
from components.risk_models.oas import Oas
from components.risk_models.pca import Pca
from components.risk_models.poet import Poet
from components.risk_models.sample import Sample
from engine.events import ActionKind, Actions, Reference
from engine.protocols import Risk
from engine.universe import Universe, universe_of
from tests.make import bars, day

NAN = np.nan
Make = Callable[..., Any]


def names(n: int) -> Universe:
    return universe_of(tuple(f"S{i}" for i in range(n)))


def reference(name: str, value: Any, columns: tuple[str, ...] = (), ts: int = 0) -> Reference:
    return Reference(ts=ts, name=name, rows="symbol", value=np.asarray(value, float), columns=columns)


def exposures(n: int, k: int = 2) -> np.ndarray:
    """(n, k): a market of ones and k - 1 styles."""
    rng = np.random.default_rng(17)
    return np.hstack([np.ones((n, 1)), rng.normal(size=(n, k - 1))])


def given_factors(universe: Universe, **options: Any) -> GivenFactors:
    made = GivenFactors(universe=universe, **options)
    made.on_reference(reference("exposures", exposures(len(universe))))
    return made


MODELS: dict[str, Make] = {
    "sample": lambda u, **o: Sample(universe=u, **o),
    "sample_lags": lambda u, **o: Sample(universe=u, lags=2, **o),
    "ewma": lambda u, **o: Ewma(universe=u, half_life=9, correlation_half_life=20, **o),
    "ledoit_wolf": lambda u, **o: LedoitWolf(universe=u, **o),
    "correlation": lambda u, **o: LedoitWolf(universe=u, target="constant_correlation", **o),
    "single_factor": lambda u, **o: LedoitWolf(universe=u, target="single_factor", **o),
    "oas": lambda u, **o: Oas(universe=u, **o),
    "pca": lambda u, **o: Pca(universe=u, factors=2, specific_half_life=9, lags=1, refit_every=3, **o),
    "poet": lambda u, **o: Poet(universe=u, factors=1, threshold=0.5, refit_every=3, **o),
    "poet_hard": lambda u, **o: Poet(universe=u, factors=0, threshold=0.2, rule="hard", refit_every=3, **o),
    "factor_analysis": lambda u, **o: FactorAnalysis(universe=u, factors=2, refit_every=3, **o),
    "given_factors": lambda u, **o: given_factors(u, factor_half_life=9, lags=1, **o),
}


def returns(slices: int, n: int, seed: int = 0) -> np.ndarray:
    """(slices, n) with a common market, some of each symbol's own, and different volatilities."""
    rng = np.random.default_rng(seed)
    return (0.008 * rng.normal(size=(slices, 1)) + 0.012 * rng.normal(size=(slices, n))) * rng.uniform(0.5, 2, n)


def closes(r: np.ndarray) -> np.ndarray:
    """(T + 1, n) of the returns (T, n)."""
    return 50 * np.cumprod(np.vstack([np.ones(r.shape[1]), 1 + r]), axis=0)


def fed(made: Any, close: np.ndarray, actions: dict[int, Actions] | None = None) -> Any:
    """The model after these closes, with actions before the slices they are listed under."""
    for k, row in enumerate(close):
        if actions and k in actions:
            made.on_actions(actions[k])
        made.on_bars(bars(day(k), row))
    return made


def dense(risk: Risk | None) -> np.ndarray:
    assert risk is not None
    return risk.factors @ risk.covariance @ risk.factors.T + np.diag(risk.specific)


def act(kind: ActionKind, symbol: int, *, ratio: float = NAN, amount: float = NAN, successor: int = -1) -> Actions:
    return Actions(
        ts=day(0),
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        ratio=np.array([ratio]),
        amount=np.array([amount]),
        pay_at=np.array([0]),
        successor=np.array([successor], np.int32),
    )
