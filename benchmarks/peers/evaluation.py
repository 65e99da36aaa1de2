"""Writes tests/peers/evaluation.json: splits and figures as other libraries give them, for our tests to meet.

Run it where they are installed (`pip install skfolio==1.12.2 purgedcv==0.1.11 statsmodels==0.15.0 arch==8.0.0`); the
tests need none of them.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import purgedcv
from arch.covariance.kernel import Bartlett
from purgedcv import CombinatorialPurgedCV, PurgedKFold, WalkForwardSplit
from skfolio.model_selection import CombinatorialPurgedCV as SkCombinatorial
from skfolio.model_selection import WalkForward as SkWalkForward
from statsmodels.api import OLS

WRITTEN = Path(__file__).parents[2] / "tests" / "peers" / "evaluation.json"
LIBRARIES = ("skfolio", "purgedcv", "statsmodels", "arch", "numpy", "pandas")
DAY_NS = 86_400 * 10**9


def listed(index: Any) -> list[int]:
    return np.asarray(index).astype(int).tolist()


def times(begins: np.ndarray, ends: np.ndarray) -> dict[str, pd.Series]:
    """Theirs are half open, so a closed interval ends a nanosecond later."""
    return {
        "prediction_times": pd.Series(pd.to_datetime(begins)),
        "evaluation_times": pd.Series(pd.to_datetime(ends + 1)),
    }


def random_labels(rng: np.random.Generator) -> dict[str, Any]:
    """Slices at uneven instants, labels of uneven length."""
    count = int(rng.integers(24, 60))
    ts = np.cumsum(rng.integers(1, 4, count)) * DAY_NS
    ends = ts + rng.integers(1, 6, count) * DAY_NS
    return {"ts": listed(ts), "ends": listed(ends)}


def purged(rng: np.random.Generator) -> dict[str, Any]:
    """purgedcv over labels of any length, without embargo."""
    case = random_labels(rng)
    known = times(np.array(case["ts"]), np.array(case["ends"]))
    count, folds = len(case["ts"]), int(rng.integers(2, 6))
    x = np.zeros((count, 1))
    walk = WalkForwardSplit(n_splits=3, test_size=4, **known)
    slide = WalkForwardSplit(n_splits=3, test_size=4, train_size=5, window="sliding", **known)
    paths = CombinatorialPurgedCV(n_splits=4, n_test_groups=2, **known)
    split = list(paths.split(x))
    numbered = [np.full(len(test), float(k)) for k, (_, test) in enumerate(split)]
    return case | {
        "folds": folds,
        "k_fold": [[listed(a), listed(b)] for a, b in PurgedKFold(n_splits=folds, **known).split(x)],
        "walk": [[listed(a), listed(b)] for a, b in walk.split(x)],
        "slide": [[listed(a), listed(b)] for a, b in slide.split(x)],
        "combinatorial": [[listed(a), listed(b)] for a, b in split],
        "paths": [listed(row) for row in paths.reconstruct_paths(numbered)],
    }


def embargoed(rng: np.random.Generator) -> dict[str, Any]:
    """Both libraries on daily slices, labels from open to open over `horizon` slices, then `embargo` slices."""
    horizon, embargo = int(rng.integers(1, 4)), int(rng.integers(0, 4))
    groups, tested = int(rng.integers(4, 7)), 2
    count = groups * int(rng.integers(horizon + embargo + 3, 14))
    place = np.arange(count)
    known = times(place * DAY_NS, (place + horizon) * DAY_NS)
    x = np.zeros((count, 1))
    ours = CombinatorialPurgedCV(n_splits=groups, n_test_groups=tested, embargo_observations=horizon + embargo, **known)
    theirs = SkCombinatorial(n_folds=groups, n_test_folds=tested, purged_size=horizon, embargo_size=embargo)
    walk = SkWalkForward(test_size=4, train_size=6, purged_size=horizon)
    split = [(listed(a), listed(np.concatenate(b))) for a, b in theirs.split(x)]
    return {
        "slices": count,
        "horizon": horizon,
        "embargo": embargo,
        "groups": groups,
        "purgedcv": [[listed(a), listed(b)] for a, b in ours.split(x)],
        "skfolio": [[a, sorted(b)] for a, b in split],
        "skfolio_paths": theirs.get_path_ids().tolist(),
        "skfolio_walk": [[listed(a), listed(b)] for a, b in walk.split(x)],
    }


def newey_west(rng: np.random.Generator) -> dict[str, Any]:
    n = int(rng.integers(30, 200))
    shocks = rng.normal(size=n + 5)
    x = (0.02 + np.convolve(shocks, rng.uniform(0, 1, 6), "valid")).round(6)
    lags = int(rng.integers(0, 12))
    fit = OLS(x, np.ones(n)).fit(cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True})
    return {
        "x": x.tolist(),
        "lags": lags,
        "error": float(fit.bse[0]),
        "t": float(fit.tvalues[0]),
        "automatic": float(Bartlett(x).opt_bandwidth),
    }


def sharpe(rng: np.random.Generator) -> dict[str, Any]:
    r = (rng.standard_t(4, int(rng.integers(60, 400))) * 0.01 + 0.0008).round(6)
    trials, variance = int(rng.integers(1, 200)), float(rng.uniform(1e-4, 2e-3))
    full = purgedcv.deflated_sharpe_ratio_full(r, trials, variance)
    return {
        "sharpe": full.observed_sr,
        "skew": full.skew,
        "kurtosis": full.kurt,
        "slices": full.n_obs,
        "trials": trials,
        "variance": variance,
        "benchmark": 0.02,
        "probabilistic": float(purgedcv.probabilistic_sharpe_ratio(r, benchmark_skill=0.02)),
        "expected": full.sr_star,
        "deflated": full.dsr,
        "minimum": float(
            purgedcv.min_track_record_length(abs(full.observed_sr) + 0.03, 0.02, 0.05, full.skew, full.kurt)
        ),
    }


def overfitting(rng: np.random.Generator) -> dict[str, Any]:
    trials, slices, blocks = int(rng.integers(3, 8)), int(rng.integers(40, 70)), int(rng.choice([4, 6, 8]))
    returns = (rng.normal(0, 0.01, (trials, slices)) + rng.normal(0, 0.003, (trials, 1))).round(5)
    found = purgedcv.probability_of_backtest_overfitting(returns, n_splits=blocks)
    return {
        "returns": returns.tolist(),
        "blocks": blocks,
        "probability": found.pbo,
        "logits": found.logits.tolist(),
        "slope": found.slope,
        "choices": found.n_combos,
    }


def main() -> None:
    rng = np.random.default_rng(20180102)
    made = {
        "versions": {name: version(name) for name in LIBRARIES},
        "purged": [purged(rng) for _ in range(8)],
        "embargoed": [embargoed(rng) for _ in range(8)],
        "newey_west": [newey_west(rng) for _ in range(8)],
        "sharpe": [sharpe(rng) for _ in range(12)],
        "overfitting": [overfitting(rng) for _ in range(6)],
    }
    WRITTEN.write_text(json.dumps(made, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
