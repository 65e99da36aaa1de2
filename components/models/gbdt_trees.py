"""The trees behind `Gbdt`: training and answering with LightGBM, in its text format, on one thread."""

import os
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import StateError
from engine.events import Vector

# With more threads than free cores, threads that spin while they wait cost far more than they bring.
_THREADS = {"num_threads": 1, "verbosity": -1}
_EXACT = {"deterministic": True, "force_col_wise": True, "feature_pre_filter": False}


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """What a training gave: the trees as text, how many, the loss by part, and the gain of each feature."""

    text: str
    trees: int
    losses: dict[str, float]
    gain: list[float]  # (F,) by which splits on it lowered the loss, of the trees that are kept


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
) -> Grown:
    """Trains. `rounds` is (most trees, rounds without improvement after which to stop).

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
    return Grown(
        text=booster.model_to_string(num_iteration=trees),
        trees=trees,
        losses=found,
        gain=[float(gain) for gain in booster.feature_importance("gain", iteration=trees)],
    )


def booster_of(text: str) -> Any:
    """The trees of a model text. StateError when it is none."""
    lgb = library()
    try:
        return lgb.Booster(model_str=text)
    except lgb.basic.LightGBMError as error:
        raise StateError(f"lightgbm cannot read the trees of the model ({error}); train it again") from error


def answers(booster: Any, rows: NDArray[Any]) -> Vector:
    """Predictions (R,) of rows (R, F) float32, in blocks of one thread.

    Each row is answered on its own, so the same row has the same bits in whatever company it comes.
    """
    value: Vector = booster.predict(np.ascontiguousarray(rows), **_THREADS)
    return value


def versions() -> dict[str, str]:
    """Of the libraries that make the numbers."""
    return {"lightgbm": library().__version__, "numpy": np.__version__}
