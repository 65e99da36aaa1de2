"""Gradient-boosted trees on a feature set."""

from typing import Any, Literal

import msgspec
import numpy as np

from components.models import gbdt_trees as trees
from components.models.artefact import artefact_of, checked
from components.models.labels import ranked, standardised
from engine.errors import ConfigError, StateError
from engine.events import Features, Mask, Matrix, Signal
from engine.protocols import Artefact, Dataset
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "lightgbm", 2
_TEXT, _CARD = "model.txt", "model.json"
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
    ) -> None:
        _at_least("num_leaves", num_leaves, 2)
        _at_least("num_boost_round", num_boost_round, 1)
        _at_least("early_stopping_rounds", early_stopping_rounds, 1)
        _at_least("min_data_in_leaf", min_data_in_leaf, 1)
        _at_least("horizon_ns", 1 if horizon_ns is None else horizon_ns, 1)
        _at_least("lambda_l2", lambda_l2, 0)
        if not 0 < learning_rate <= 1:
            raise ValueError(f"learning_rate must be above 0 and at most 1, got {learning_rate}")
        if not 0 < feature_fraction <= 1:
            raise ValueError(f"feature_fraction must be above 0 and at most 1, got {feature_fraction}")
        if not 0 <= valid_share <= 0.5:
            raise ValueError(f"valid_share must be from 0 to 0.5 of the slices, got {valid_share}")
        if label not in _LABELS:
            raise ValueError(f"label must be one of {', '.join(_LABELS)}, got {label!r}")
        self._n, self._name, self._wanted_ns, self._label = len(universe), name, horizon_ns, label
        self._rounds, self._valid_share = (num_boost_round, early_stopping_rounds), valid_share
        self._params: dict[str, Any] = {
            "num_leaves": num_leaves,
            "learning_rate": learning_rate,
            "min_data_in_leaf": min_data_in_leaf,
            "lambda_l2": lambda_l2,
            "feature_fraction": feature_fraction,
            "seed": int(rng.integers(2**31 - 1)),
        }
        self._artefact: Artefact | None = None
        self._booster: Any = None
        self._schema, self._horizon_ns = "", horizon_ns or 0

    # ---- learning ----------------------------------------------------------------------------------------------------

    def fit(self, dataset: Dataset, /) -> Artefact:
        """Trains on all of the dataset. The model itself answers with the result only once `swap` is called."""
        self._check_horizon(dataset.horizon_ns, "the labels to learn")
        label = _LABELS[self._label](dataset.label)
        usable = np.isfinite(label) & trees.enough(dataset.features)
        train, valid = self._split(dataset)
        if not usable[train].any():
            raise ConfigError(
                f"{self._name}: none of the {len(dataset.ts)} slices has a name with both features and a label; "
                "train on longer history"
            )
        held_out = _rows(dataset, label, usable, valid) if usable[valid].any() else None
        text, count, losses = trees.grown(self._params, self._rounds, _rows(dataset, label, usable, train), held_out)
        card = {
            "kind": _KIND,
            "version": _VERSION,
            "schema": dataset.schema,
            "names": list(dataset.names),
            "label": self._label,
            "horizon_ns": dataset.horizon_ns,
            "since_ns": int(dataset.ts[0]),
            "until_ns": int(dataset.label_to.max()),
            "slices": {"train": int(train.sum()), "valid": int(valid.sum())},
            "rows": {"train": int(usable[train].sum()), "valid": int(usable[valid].sum())},
            "params": {**self._params, "num_boost_round": self._rounds[0], "early_stopping_rounds": self._rounds[1]},
            "trees": count,
            "l2": losses,
            "libraries": trees.versions(),
        }
        return artefact_of({_TEXT: text.encode(), _CARD: msgspec.json.encode(card, order="sorted")})

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
        if self._booster is None:
            return np.full(dataset.features.shape[:2], np.nan)
        self._check_schema(dataset.schema)
        slices, n, width = dataset.features.shape
        value = trees.answers(self._booster, dataset.features.astype(np.float32, copy=False).reshape(-1, width))
        return value.reshape(slices, n)

    # ---- answering ---------------------------------------------------------------------------------------------------

    def swap(self, artefact: Artefact, /) -> None:
        """Answers with this artefact from the next slice on, once its hash and its kind are seen to be right."""
        files = checked(artefact).files
        if set(files) != {_TEXT, _CARD}:
            raise StateError(f"{self._name}: an artefact of {sorted(files)} is no {_KIND} model; name another one")
        card = msgspec.json.decode(files[_CARD])
        if (card["kind"], card["version"]) != (_KIND, _VERSION):
            found = f"{card['kind']} v{card['version']}"
            raise StateError(f"{self._name}: the artefact is of {found}, this model reads {_KIND} v{_VERSION}")
        self._check_horizon(card["horizon_ns"], f"the labels of artefact {artefact.hash[:12]}")
        self._booster = trees.booster_of(files[_TEXT].decode())
        self._artefact, self._schema, self._horizon_ns = artefact, card["schema"], card["horizon_ns"]

    def on_features(self, features: Features, /) -> Signal:
        value, model_hash = np.full(self._n, np.nan), ""
        if self._artefact is not None:
            self._check_schema(features.schema)
            value, model_hash = trees.answers(self._booster, features.value.astype(np.float32)), self._artefact.hash
        return Signal(
            ts=features.ts,
            asof=features.ts,
            source=self._name,
            value=value,
            horizon_ns=self._horizon_ns,
            model_hash=model_hash,
        )

    def _check_horizon(self, horizon_ns: int, whose: str) -> None:
        if self._wanted_ns is not None and self._wanted_ns != horizon_ns:
            raise ConfigError(
                f"{self._name}: horizon_ns is {self._wanted_ns}, and {whose} span {horizon_ns} ns; "
                "leave the option out, or train for that horizon"
            )

    def _check_schema(self, schema: str) -> None:
        if schema != self._schema:
            raise ConfigError(
                f"{self._name}: it was trained on features of schema {self._schema} and is given {schema}; "
                "name the feature set it was trained on, or train it again"
            )

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, files=None if self._artefact is None else self._artefact.files)

    def load(self, state: bytes, /) -> None:
        files = unpack(state, _KIND, _VERSION)["files"]
        self._artefact, self._booster, self._schema, self._horizon_ns = None, None, "", self._wanted_ns or 0
        if files is not None:
            self.swap(artefact_of(files))


def _at_least(option: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{option} must be at least {least}, got {value}")


def _rows(dataset: Dataset, label: Matrix, usable: Mask, slices: Mask) -> tuple[Any, Any]:
    """The usable rows of these slices, features (R, F) and labels (R,)."""
    picked = usable & slices[:, None]
    return dataset.features[picked], label[picked]
