"""How much each feature matters to a model: what it loses when names have each other's values of it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.metrics.signal import spearman
from components.training.asked_again import Predicting, asked
from engine.errors import ConfigError
from engine.events import Matrix
from engine.protocols import Dataset

Answers = Callable[[NDArray[Any]], Matrix]  # features (T, N, F) to answers (T, N)


def importance_of(model: Predicting, dataset: Dataset, *, repeats: int = 5, seed: int = 0) -> dict[str, float]:
    """Of each feature, by name: see `permuted`. The model answers with the artefact in use; the dataset should be one
    that it has not learned from. F times `repeats` predictions.

    ConfigError where the dataset does not name its features, or no slice has labels that tell names apart.
    """
    import msgspec

    def answers(features: NDArray[Any]) -> Matrix:
        return asked(model, msgspec.structs.replace(dataset, features=features))

    if len(dataset.names) != dataset.features.shape[2]:
        raise ConfigError(
            f"importance: the dataset has {dataset.features.shape[2]} features and {len(dataset.names)} names of them; "
            "name each"
        )
    found = permuted(answers, dataset.features, dataset.label, repeats=repeats, seed=seed)
    return dict(zip(dataset.names, found, strict=True))


def permuted(answers: Answers, features: NDArray[Any], label: Matrix, *, repeats: int, seed: int) -> Sequence[float]:
    """Of each feature the mean over `repeats` of

        mean rank IC of the answers - the same once each name has another name's whole history of this feature

    Histories change hands whole, so windows over several slices stay what they are: a series that was there. No name
    keeps its own. Below 0 is chance. The same seed gives the same numbers. Memory: one copy of the features.

    Source: Breiman (2001), Random Forests, section 10; by names, since names of a slice are what is compared.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 9, 2))
    >>> nothing, all_of_it = permuted(lambda x: x[..., 1], x, x[..., 1], repeats=20, seed=0)
    >>> nothing, all_of_it > 1
    (0.0, True)
    """
    if repeats < 1:
        raise ValueError(f"importance: repeats must be at least 1, got {repeats}")
    if features.shape[1] < 2:
        raise ConfigError("importance: with one name there is nobody to change values with; take more symbols")
    whole = _mean_ic(answers(features), label)
    rng = np.random.default_rng([seed, features.shape[2]])
    changed = np.array(features)
    found = []
    for f in range(features.shape[2]):
        lost = []
        for _ in range(repeats):
            changed[..., f] = features[:, _others(features.shape[1], rng), f]
            lost.append(whole - _mean_ic(answers(changed), label))
        changed[..., f] = features[..., f]
        found.append(float(np.mean(lost)))
    return found


def _others(names: int, rng: np.random.Generator) -> NDArray[Any]:
    """(N,) whose values each name has: those of the next one in an order that is drawn, so never its own."""
    order = rng.permutation(names)
    out = np.empty(names, np.int64)
    out[order] = np.roll(order, 1)
    return out


def _mean_ic(value: Matrix, label: Matrix) -> float:
    """0 where answers tell no names apart any more; ConfigError where labels never did."""
    ic = spearman(value, label)
    known = ic[np.isfinite(ic)]
    if len(known):
        return float(known.mean())
    if not np.isfinite(spearman(label, label)).any():
        raise ConfigError("importance: no slice has labels that tell names apart; measure it on longer history")
    return 0.0
