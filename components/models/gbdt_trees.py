"""The trees behind `Gbdt`: training and answering with LightGBM, in its text format, on one thread."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.events import Mask, Vector

# With more threads than free cores, threads that spin while they wait cost far more than they bring.
_THREADS = {"num_threads": 1, "verbosity": -1}
_EXACT = {"deterministic": True, "force_col_wise": True, "feature_pre_filter": False}


def library() -> Any:
    """LightGBM, or one sentence on what is missing."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import lightgbm
    except OSError as error:
        raise ImportError(f"lightgbm: a system library is missing ({error}); install libgomp1") from error
    return lightgbm


def grown(
    params: dict[str, Any],
    rounds: tuple[int, int],
    train: tuple[NDArray[Any], Vector],
    valid: tuple[NDArray[Any], Vector] | None,
) -> tuple[str, int, dict[str, float]]:
    """Trains. `rounds` is (most trees, rounds without improvement after which to stop). Returns text, trees, losses.

    Rows are float32 (R, F) with labels (R,); the same rows, parameters and seed give the same text on one machine.
    """
    lgb = library()
    all_params = {"objective": "regression", "metric": "l2", **_THREADS, **_EXACT, **params}
    train_set = lgb.Dataset(train[0], train[1], params=all_params, free_raw_data=True)
    losses: dict[str, dict[str, list[float]]] = {}
    callbacks, sets, names = [lgb.record_evaluation(losses)], [train_set], ["train"]
    if valid is not None:
        sets.append(lgb.Dataset(valid[0], valid[1], reference=train_set, params=all_params))
        names.append("valid")
        callbacks.append(lgb.early_stopping(rounds[1], first_metric_only=True, verbose=False))
    booster = lgb.train(
        all_params, train_set, num_boost_round=rounds[0], valid_sets=sets, valid_names=names, callbacks=callbacks
    )
    trees = booster.best_iteration if valid is not None and booster.best_iteration > 0 else booster.num_trees()
    found = {name: float(by_metric["l2"][trees - 1]) for name, by_metric in losses.items()}
    return booster.model_to_string(num_iteration=trees), trees, found


def booster_of(text: str) -> Any:
    """The trees of a model text."""
    return library().Booster(model_str=text)


def enough(features: NDArray[Any]) -> Mask:
    """Whether at least half of the features (..., F) are known, (...).

    >>> enough(np.array([[1.0, np.nan], [np.nan, np.nan]]))
    array([ True, False])
    """
    known: Mask = 2 * np.count_nonzero(np.isnan(features), axis=-1) <= features.shape[-1]
    return known


def answers(booster: Any, rows: NDArray[Any]) -> Vector:
    """Predictions (R,) of rows (R, F) float32, in blocks of one thread; NaN where fewer than half of F are known.

    Each row is answered on its own, so the same row has the same bits in whatever company it comes.
    """
    value = np.full(len(rows), np.nan)
    known = enough(rows)
    if known.any():
        value[known] = booster.predict(np.ascontiguousarray(rows[known]), **_THREADS)
    return value


def versions() -> dict[str, str]:
    """Of the libraries that make the numbers."""
    return {"lightgbm": library().__version__, "numpy": np.__version__}
