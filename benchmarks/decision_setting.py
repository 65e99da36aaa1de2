"""What the cost-aware path of decision.py is set to, found before 2016-07-01: nothing here reads a later return.

Models like those whose scores are judged learn from 2013 and 2014 and are asked from 2015 to June 2016. From what they
say there, and from what top-k dropout and the optimizer earned there, the parameters follow by rules that were fixed
beforehand (`found`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sp500_models import QLIBS, instant, trees

from adapters.files.parquet import ParquetFeed
from components.features.alpha158 import Alpha158
from components.metrics.error_bars import mean_of
from components.models.linear import Linear
from components.optimizers.terms.expected_return import z_scores
from components.training.by_fold import learned
from components.training.panel import walk
from engine.events import Bars, Matrix, Stamps, Vector
from engine.learning import Fold
from engine.protocols import Dataset, Feed

LEARNED_UNTIL, TEST_FROM = "2015-01-01", "2016-07-01"
SEEDS = (0, 1)  # of the trees
HALF_LIVES = (1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 60)  # slices
AVERSIONS = (5, 10, 20, 40)
HOLDING = 20  # slices that a trade is held for: the horizon
PRIOR_IC = 0.02  # where none can be measured: half of what Qlib publishes for such models, on Chinese shares
COST_A_YEAR, SLICES_A_YEAR = 0.01, 252
BUY_BPS, SELL_BPS, MINIMUM = 5.0, 15.0, 5.0
_SETTLED = 60  # slices until the longest mean has begun to forget where it started


class Setting(msgspec.Struct, kw_only=True):
    """The parameters of one kind of model; what they follow from beside them."""

    smooth: float
    ic: float
    aversion: float
    turnover: float  # purchases and sales of a slice, share of equity
    persistence: dict[str, float]  # half-life -> correlation with the mean score of the next slices
    measured_ic: tuple[float, float]  # with its error
    errors: dict[str, tuple[float, float]]  # aversion -> tracking error, % a year, and that of top-k dropout


class Scored(msgspec.Struct, frozen=True, eq=False):
    """Scores (T, N) of one model in the calibration window, with the closes (T, N) and the stamps (T,)."""

    name: str
    ts: Stamps
    symbols: tuple[str, ...]
    score: Matrix
    close: Matrix


def turnover_budget() -> float:
    """The share of equity that may be traded in a slice for costs of a hundredth a year: 0.04 of purchases and sales.

    >>> round(turnover_budget(), 4)
    0.0397
    """
    return COST_A_YEAR / SLICES_A_YEAR / ((BUY_BPS + SELL_BPS) / 2 * 1e-4)


# ---- models and what they say ----------------------------------------------------------------------------------------


def scored(market: Path, kinds: tuple[str, ...]) -> dict[str, list[Scored]]:
    """The scores of the calibration window by models of each kind, one or several seeds."""
    feed: Feed = ParquetFeed(path=market, close="16:00 America/New_York")
    features = Alpha158(universe=feed.universe, vwap="typical")
    dataset = walk(feed.events(), features, 1, instant(TEST_FROM), symbols=feed.universe.symbols)
    close = _closes(feed, dataset.ts)
    found: dict[str, list[Scored]] = {}
    for kind in kinds:
        models = {f"{kind}_{seed}": _maker(feed, kind, seed) for seed in (SEEDS if kind == "lgb" else SEEDS[:1])}
        found[kind] = [_said(name, make, dataset, close) for name, make in models.items()]
    return found


def _maker(feed: Feed, kind: str, seed: int) -> Callable[[], Any]:
    """Of fresh models: linear regression with a ridge, or trees with the parameters of Qlib's benchmark."""
    if kind == "ridge":
        return lambda: Linear(universe=feed.universe, name=kind, estimator="ridge", label="zscore")
    options = {**QLIBS, "feature_fraction": QLIBS["colsample_bytree"], "min_data_in_leaf": 20}
    del options["colsample_bytree"]
    return lambda: trees(feed, seed, num_boost_round=1000, early_stopping_rounds=50, **options)


def _said(name: str, make: Callable[[], Any], dataset: Dataset, close: Matrix) -> Scored:
    first = instant(LEARNED_UNTIL)
    later = dataset.ts >= first
    score = learned(make, dataset, Fold(train=dataset.label_to < first, test=later))
    return Scored(name, dataset.ts[later], dataset.symbols, score[later], close[later])


def _closes(feed: Feed, ts: Stamps) -> Matrix:
    """(T, N) closes of these slices, NaN where there is no bar."""
    rows = {e.ts: np.where(e.status == 0, e.close, np.nan) for e in feed.events() if isinstance(e, Bars)}
    return np.stack([rows[stamp] for stamp in ts.tolist()])


def table(of: Scored, path: Path) -> Path:
    """The scores as a file that the model `scores` reads."""
    t, s = np.nonzero(np.isfinite(of.score))
    names = np.array(of.symbols)[s]
    frame = pd.DataFrame({"ts": pd.to_datetime(of.ts[t], utc=True), "symbol": names, "score": of.score[t, s]})
    frame.to_parquet(path, index=False)
    return path


# ---- parameters from scores ------------------------------------------------------------------------------------------


def smoothed(z: Matrix, half_life: float) -> Matrix:
    """(T, N) exponentially weighted mean of the z-scores up to each slice, as the term `expected_return` has it."""
    keep = 0.5 ** (1.0 / half_life)
    mean, out = np.zeros(z.shape[1]), np.empty_like(z)
    for t, row in enumerate(z):
        mean = keep * mean + (1.0 - keep) * row
        out[t] = mean
    return out


def persistence(score: Matrix, half_life: float) -> float:
    """Mean correlation, over names, of the smoothed score with the mean z-score of the next `HOLDING` slices.

    No return is looked at: what is asked is which mean foretells best what the model will go on to say while a trade
    made on it is held.
    """
    z = np.stack([z_scores(row) for row in score])
    mean = smoothed(z, half_life)
    found = []
    for t in range(_SETTLED, len(z) - HOLDING):
        known = np.isfinite(score[t])
        found.append(np.corrcoef(mean[t, known], z[t + 1 : t + 1 + HOLDING, known].mean(axis=0))[0, 1])
    return float(np.mean(found))


def information(of: Scored, half_life: float) -> Vector:
    """(T,) correlation of the smoothed score with the return of a slice, mean over those that a trade is held for.

    A score of slice t trades at the close of t + 1, so the first of these returns ends at t + 2.
    """
    mean = smoothed(np.stack([z_scores(row) for row in of.score]), half_life)
    change = of.close[1:] / of.close[:-1] - 1.0  # row t ends at slice t + 1
    found = []
    for t in range(len(of.ts) - HOLDING - 1):
        each = [_correlation(mean[t], of.score[t], row) for row in change[t + 1 : t + 1 + HOLDING]]
        found.append(float(np.mean(each)))
    return np.array(found)


def _correlation(mean: Vector, score: Vector, change: Vector) -> float:
    both = np.isfinite(score) & np.isfinite(change)
    return float(np.corrcoef(mean[both], change[both])[0, 1])


Replay = Callable[[Scored, dict[str, Any] | None], float]  # a setting, None = top-k dropout -> tracking error, %


def found(models: dict[str, list[Scored]], replay: Replay) -> dict[str, Setting]:
    """The parameters for each kind of model, from what these say in the calibration window.

        smooth    of the kind: the half-life of `HALF_LIVES` with the highest `persistence`, mean over seeds
        ic        of the kind: that measured, where it is above 0 by two errors; else `PRIOR_IC`
        turnover  `turnover_budget`
        aversion  one, since it is the investor's and not the model's: the smallest of `AVERSIONS` with which the
                  tracking error of every kind, mean over seeds, is at most that of top-k dropout 50/5

    The largest aversion is taken where none is enough.
    """
    chosen = {kind: _of_scores(each) for kind, each in models.items()}
    rules = {kind: float(np.mean([replay(model, None) for model in each])) for kind, each in models.items()}
    for aversion in AVERSIONS:
        for kind, each in models.items():
            own = chosen[kind]
            own.aversion = float(aversion)
            said = {key: getattr(own, key) for key in ("smooth", "ic", "aversion", "turnover")}
            error = float(np.mean([replay(model, said) for model in each]))
            own.errors[str(aversion)] = (round(error, 4), round(rules[kind], 4))
        if all(ours <= rule for own in chosen.values() for ours, rule in [own.errors[str(aversion)]]):
            break
    return chosen


def _of_scores(models: list[Scored]) -> Setting:
    """What follows from the scores of one kind; the aversion is still to come."""
    lasts = {h: float(np.mean([persistence(model.score, h) for model in models])) for h in HALF_LIVES}
    smooth = float(max(lasts, key=lambda h: lasts[h]))
    seen = mean_of(np.mean([information(model, smooth) for model in models], axis=0), overlap=HOLDING)
    return Setting(
        smooth=smooth,
        ic=seen.value if seen.value > 0 and seen.t > 2 else PRIOR_IC,
        aversion=float(AVERSIONS[-1]),
        turnover=turnover_budget(),
        persistence={str(h): round(value, 4) for h, value in lasts.items()},
        measured_ic=(round(seen.value, 5), round(seen.error, 5)),
        errors={},
    )
