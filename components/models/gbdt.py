"""Gradient-boosted trees on a feature set."""

from typing import Any, Literal

import numpy as np

from components.models import gbdt_trees as trees
from components.models.bundle import Bundle
from components.models.labels import ranked, standardised
from components.models.serving import Answer, Kind, Learnt, Serving
from engine.errors import ConfigError, StateError
from engine.events import Features, Mask, Matrix, Signal
from engine.learning import Processor
from engine.protocols import Artefact, Dataset
from engine.universe import Universe

_TEXT = "model.txt"
_LABELS = {"rank": ranked, "zscore": standardised}


class Gbdt:
    """LightGBM regression on features of one slice; answers NaN until it is given an artefact.

    Labels are ranked or standardised across the names of each slice, so the answer is a score, not a return. The last
    `valid_share` of the slices decides when to stop adding trees; slices whose label was not yet known when that part
    begins are left out of both (purged). `valid_share = 0` grows all `num_boost_round` trees.

    A name with fewer than half of its features known has no opinion (NaN), and no part in training: trees answer any
    row, and the answers to rows of holes are all but the same. `predict` over history equals `on_features` bit for bit:
    both see float32 features, and each row is answered on its own. `lookback` counts its own slices only, and is 1: the
    history behind the features is the feature set's.

    Signals carry the horizon of the labels that the artefact learned. `horizon_ns` need not be given; one that differs
    is refused. Before there is an artefact a signal's horizon is that option, or 0 = not known. Memory: one artefact.
    """

    slow_handlers: tuple[str, ...] = ("on_features",)
    lookback = 1  # of its own; the feature set declares what the features need

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        rng: np.random.Generator,
        num_leaves: int = 31,
        learning_rate: float = 0.05,
        num_boost_round: int = 200,
        early_stopping_rounds: int = 50,
        valid_share: float = 0.2,
        min_data_in_leaf: int = 100,
        lambda_l2: float = 0.0,
        feature_fraction: float = 1.0,
        label: Literal["rank", "zscore"] = "rank",
        horizon_ns: int | None = None,
        processors: tuple[Processor, ...] = (),
    ) -> None:
        _at_least("num_leaves", num_leaves, 2)
        _at_least("num_boost_round", num_boost_round, 1)
        _at_least("early_stopping_rounds", early_stopping_rounds, 1)
        _at_least("min_data_in_leaf", min_data_in_leaf, 1)
        _at_least("lambda_l2", lambda_l2, 0)
        if not 0 < learning_rate <= 1:
            raise ValueError(f"learning_rate must be above 0 and at most 1, got {learning_rate}")
        if not 0 < feature_fraction <= 1:
            raise ValueError(f"feature_fraction must be above 0 and at most 1, got {feature_fraction}")
        if not 0 <= valid_share <= 0.5:
            raise ValueError(f"valid_share must be from 0 to 0.5 of the slices, got {valid_share}")
        if label not in _LABELS:
            raise ValueError(f"label must be one of {', '.join(_LABELS)}, got {label!r}")
        self._name, self._label = name, label
        self._rounds, self._valid_share = (num_boost_round, early_stopping_rounds), valid_share
        self._params: dict[str, Any] = {
            "num_leaves": num_leaves,
            "learning_rate": learning_rate,
            "min_data_in_leaf": min_data_in_leaf,
            "lambda_l2": lambda_l2,
            "feature_fraction": feature_fraction,
            "seed": int(rng.integers(2**31 - 1)),
        }
        kind = Kind(name="lightgbm", version=3, opened=_opened, alone=True)
        self._serving = Serving(kind=kind, name=name, universe=universe, horizon_ns=horizon_ns, processors=processors)

    # ---- learning ----------------------------------------------------------------------------------------------------

    def fit(self, dataset: Dataset, /) -> Artefact:
        """Trains on all of the dataset. The model itself answers with the result only once `swap` is called."""
        self._serving.check_horizon(dataset.horizon_ns, "the labels to learn")
        label = _LABELS[self._label](dataset.label)
        usable = np.isfinite(label) & self._serving.known(dataset)
        train, valid = (usable & slices[:, None] for slices in self._split(dataset))
        if not train.any():
            raise ConfigError(
                f"{self._name}: none of the {len(dataset.ts)} slices has a name with both features and a label; "
                "train on longer history"
            )
        features, frozen = self._serving.fitted(dataset, train)
        held_out = (features[valid], label[valid]) if valid.any() else None
        grown = trees.grown(self._params, self._rounds, (features[train], label[train]), held_out)
        parts = {"train": train, "valid": valid}
        learnt = Learnt(
            weights={_TEXT: grown.text.encode()},
            params={**self._params, "num_boost_round": self._rounds[0], "early_stopping_rounds": self._rounds[1]},
            seed=self._params["seed"],
            label=self._label,
            libraries=trees.versions(),
            slices={name: int(rows.any(axis=1).sum()) for name, rows in parts.items()},
            rows={name: int(rows.sum()) for name, rows in parts.items()},
            size={"trees": grown.trees},
            metrics={f"l2_{name}": loss for name, loss in grown.losses.items()},
            importance=dict(zip(dataset.names, grown.gain, strict=True)),
        )
        return self._serving.composed(dataset, learnt, frozen)

    def _split(self, dataset: Dataset) -> tuple[Mask, Mask]:
        """Slices to learn from and slices to stop by; what the first could know of the second is in neither."""
        count = len(dataset.ts)
        first = count - int(count * self._valid_share)
        valid = np.arange(count) >= first
        if first == count:
            return ~valid, valid
        train: Mask = ~valid & (dataset.label_to <= dataset.ts[first])
        return train, valid

    def predict(self, dataset: Dataset, /) -> Matrix:
        """(T, N) scores over history by the artefact in use, NaN throughout without one."""
        return self._serving.predict(dataset)

    # ---- answering ---------------------------------------------------------------------------------------------------

    def swap(self, artefact: Artefact, /) -> None:
        """Answers with this artefact from the next slice on, once its hash and its kind are seen to be right."""
        self._serving.take(artefact)

    def on_features(self, features: Features, /) -> Signal:
        return self._serving.on_features(features)

    def save(self) -> bytes:
        return self._serving.save()

    def load(self, state: bytes, /) -> None:
        self._serving.load(state)


def _at_least(option: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{option} must be at least {least}, got {value}")


def _opened(bundle: Bundle) -> Answer:
    """The trees of an artefact; they answer each row on its own."""
    if set(bundle.weights) != {_TEXT}:
        raise StateError(f"an artefact of {sorted(bundle.weights)} is no lightgbm model; name another one")
    booster = trees.booster_of(bundle.weights[_TEXT].decode())
    return lambda rows: trees.answers(booster, rows)
