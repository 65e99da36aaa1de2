"""The trees behind the models of trees: training and answering with LightGBM, in its text format."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.serving import Answer
from components.models.tree_walker import walker_of
from components.training.parts import Rows
from components.training.telling import OnMetric
from engine.errors import ConfigError, StateError
from engine.learning import Metric

# With more threads than free cores, threads that spin while they wait cost far more than they bring.
THREADS: dict[str, Any] = {"num_threads": 1, "verbosity": -1}
# Bins are drawn by a seed of their own, so that trainings of other seeds share them.
_EXACT = {"deterministic": True, "force_col_wise": True, "feature_pre_filter": False, "data_random_seed": 1}
OBJECTIVES: dict[str, dict[str, Any]] = {
    "mse": {"objective": "regression", "metric": "l2"},
    "binary": {"objective": "binary", "metric": "binary_logloss"},
    "lambdarank": {"objective": "lambdarank", "metric": "ndcg", "eval_at": [10]},
    "rank_xendcg": {"objective": "rank_xendcg", "metric": "ndcg", "eval_at": [10]},
}
WORTH = 5_000  # leaves of trees that the library takes milliseconds a slice for
RANKING = ("lambdarank", "rank_xendcg")


class Part(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Rows of one part of a training: features (R, F) float32 and what is said of them."""

    features: NDArray[Any]
    rows: Rows


class Growing(msgspec.Struct, frozen=True, kw_only=True):
    """How to train."""

    objective: str
    params: dict[str, Any]  # in LightGBM's words
    rounds: int  # trees at most
    patience: int  # rounds without improvement after which to stop, 0 = never
    bins: Path | None = None  # folder in which binned rows are kept
    start: str = ""  # text of the trees to go on from


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """What a training gave: the trees as text, how many, their figures by name, and the gain of each feature."""

    text: str
    trees: int
    figures: dict[str, float]
    gain: list[float]  # (F,) by how much splits on it lowered the loss, over the trees that are kept


def library() -> Any:
    """LightGBM, or one sentence on what is missing."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import lightgbm
    except OSError as error:
        raise ImportError(f"lightgbm: a system library is missing ({error}); install libgomp1") from error
    return lightgbm


def grown(how: Growing, train: Part, valid: Part | None, whose: str, on_metric: OnMetric | None = None) -> Grown:
    """Trains. The same rows, parameters and seed grow the same trees on one machine, whatever the number of threads.

    `on_metric` is told each figure of each part after every round.
    """
    from components.models.tree_bins import binned

    lgb = library()
    params = {**OBJECTIVES[how.objective], **THREADS, **_EXACT, **how.params}
    ranking = how.objective in RANKING
    try:
        train_set = (
            _unbinned(lgb, train, params, ranking) if how.start else binned(lgb, train, params, ranking, how.bins)
        )
        told: dict[str, list[float]] = {}
        callbacks, sets, names = [_telling(told, on_metric)], [train_set], ["train"]
        if valid is not None:
            sets.append(_unbinned(lgb, valid, params, ranking).set_reference(train_set))
            names.append("valid")
            if how.patience:
                callbacks.append(_stopping(lgb, how.patience))
        start = booster_of(how.start) if how.start else None
        booster = lgb.train(
            params, train_set, how.rounds, valid_sets=sets, valid_names=names, callbacks=callbacks, init_model=start
        )
    except lgb.basic.LightGBMError as error:
        raise ConfigError(f"{whose}: lightgbm cannot train on these rows: {error}") from error
    before = start.num_trees() if start is not None else 0
    trees = booster.best_iteration if booster.best_iteration > 0 else booster.num_trees()
    return Grown(
        text=booster.model_to_string(num_iteration=trees),
        trees=trees,
        figures={name: values[trees - before - 1] for name, values in told.items()},
        gain=[float(gain) for gain in booster.feature_importance("gain", iteration=trees)],
    )


def _unbinned(lgb: Any, part: Part, params: dict[str, Any], ranking: bool) -> Any:
    """Rows as they are: to go on from trees the library must see what they answer."""
    group = part.rows.counts if ranking else None
    return lgb.Dataset(part.features, part.rows.label, weight=part.rows.weight, group=group, params=params)


def _stopping(lgb: Any, patience: int) -> Any:
    """Stops by the held-out part alone: rows that are learned from always improve."""
    return lgb.early_stopping(patience, first_metric_only=True, verbose=False)


def _telling(told: dict[str, list[float]], on_metric: OnMetric | None) -> Callable[[Any], None]:
    def tell(env: Any) -> None:
        for part, metric, value, *_ in env.evaluation_result_list:
            name = f"{metric}_{part}"
            told.setdefault(name, []).append(float(value))
            if on_metric is not None:
                on_metric(Metric(name, env.iteration, float(value)))

    return tell


def booster_of(text: str) -> Any:
    """The trees of a model text. StateError when it is none."""
    lgb = library()
    try:
        return lgb.Booster(model_str=text)
    except lgb.basic.LightGBMError as error:
        raise StateError(f"lightgbm cannot read the trees of the model ({error}); train it again") from error


def answering(text: str, often: bool = False) -> Answer:
    """What the trees of a text answer to rows (R, F) float32, each on its own, on one thread.

    By the compiled walk where that gives the library's very numbers and there are enough trees, or it is asked `often`
    enough, to be worth the time of compiling; else by the library.
    """
    booster = booster_of(text)
    walker = walker_of(text, booster) if often or leaves_of(text) >= WORTH else None
    if walker is not None:
        return walker.predict
    return lambda rows: np.asarray(booster.predict(np.ascontiguousarray(rows), **THREADS))


def leaves_of(text: str) -> int:
    """Of all trees."""
    return sum(int(found) for found in re.findall(r"^num_leaves=(\d+)$", text, re.MULTILINE))


def importance(text: str, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """By `gain` and by `split`, of each feature by name: how much its splits lowered the loss, and how many there are.

    The text is the file model.txt of an artefact, the names are those of its feature set.
    """
    booster = booster_of(text)
    if booster.num_feature() != len(names):
        raise ValueError(f"the trees know {booster.num_feature()} features, got {len(names)} names")
    return {
        kind: dict(zip(names, map(float, booster.feature_importance(kind)), strict=True)) for kind in ("gain", "split")
    }


def versions() -> dict[str, str]:
    """Of the libraries that make the numbers."""
    return {"lightgbm": library().__version__, "numpy": np.__version__}
