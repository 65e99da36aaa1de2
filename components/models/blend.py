"""Several models that answer as one."""

import copy
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from components.models.artefact import artefact_of
from components.models.blend_weights import by_ic, combined, stacked, unseen
from components.models.bundle import Bundle, composed, dataset_digest, opened, tensors_in, tensors_of
from components.models.card import Card, Schema
from components.training.fitting import fitted, folder_in
from components.training.telling import OnMetric, numbered
from engine.errors import ConfigError, StateError
from engine.events import Features, Matrix, Signal, Vector
from engine.protocols import Artefact, Dataset, Trainable
from engine.sealing import hearing
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION, _WEIGHTS = "blend", 1, "weights.safetensors"


class Blend:
    """Learns with each of its models and answers with the weighed mean of their z-scores within the slice.

        answer_i = sum over m of w_m z_mi / sum over m of w_m,   over the models that have an opinion of name i

    `weigh`: `equal` gives all the same weight. `ic` weighs by the mean rank correlation of answers and labels over the
    last `ic_slices`, none below 0; `stacked` by the non-negative least squares of labels on answers, both z-scored.
    These two look at answers to slices that a model had not seen: the history to learn from is cut into `folds` + 1
    spans, and each but the first answered by models that learned from those before it alone. That costs `folds` more
    trainings. Weights are frozen in the artefact; they do not move while it answers.

    The models read the same features. What they hold out, how they label and weigh rows and what processors they put
    before themselves is theirs to say. `predict` over history equals `on_features` bit for bit where theirs do. Saved
    state holds the artefact twice, once in the state of the models. Memory: one artefact.
    """

    slow_handlers: tuple[str, ...] = ("on_features",)

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        models: tuple[Trainable, ...],
        weigh: Literal["equal", "ic", "stacked"] = "equal",
        folds: int = 4,
        ic_slices: int = 250,
        horizon_ns: int | None = None,
    ) -> None:
        if not models:
            raise ValueError("models must name at least one model, got none")
        if weigh not in ("equal", "ic", "stacked"):
            raise ValueError(f"weigh must be one of equal, ic, stacked, got {weigh!r}")
        for option, value in (("folds", folds), ("ic_slices", ic_slices), ("horizon_ns", horizon_ns)):
            if value is not None and value < 1:
                raise ValueError(f"{option} must be at least 1, got {value}")
        for k, model in enumerate(models):
            if not hasattr(model, "on_features"):
                raise ValueError(f"models must all read features, got {type(model).__name__} at place {k}")
        self.lookback = max(int(getattr(model, "lookback", 1)) for model in models)
        self._name, self._n, self._wanted_ns = name, len(universe), horizon_ns
        self._weigh, self._folds, self._ic_slices = weigh, folds, ic_slices
        self._models: tuple[Any, ...] = models  # these learn, and never answer
        self._serving: tuple[Any, ...] = copy.deepcopy(models)
        self._artefact: Artefact | None = None
        self._bundle: Bundle | None = None
        self._weights = np.full(len(models), 1.0 / len(models))

    # ---- learning ----------------------------------------------------------------------------------------------------

    def fit(
        self, dataset: Dataset, /, *, on_metric: OnMetric | None = None, checkpoint: Path | None = None
    ) -> Artefact:
        """Trains each of its models on all of the dataset. It answers with the result only once `swap` is called.

        `checkpoint` is a folder of this training alone; each training of a model that takes one has its own in it.
        """
        self._check_horizon(dataset.horizon_ns, "the labels to learn")
        parts = [
            fitted(model, dataset, numbered(on_metric, k), folder_in(checkpoint, f"{k}"))
            for k, model in enumerate(copy.deepcopy(self._models))
        ]
        weights, metrics = self._weighed(dataset, checkpoint)
        cards = [msgspec.json.decode(part.files["model.json"], type=Card) for part in parts]
        arrays: dict[str, Any] = {"weights": weights}
        for k, part in enumerate(parts):
            arrays |= {f"{k}/{name}": np.frombuffer(content, np.uint8) for name, content in part.files.items()}
        card = Card(
            kind=_KIND,
            version=_VERSION,
            params={
                "weigh": self._weigh,
                **({} if self._weigh == "equal" else {"folds": self._folds}),
                **({"ic_slices": self._ic_slices} if self._weigh == "ic" else {}),
                "weights": weights.tolist(),
                "models": [{"kind": c.kind, "hash": part.hash} for c, part in zip(cards, parts, strict=True)],
            },
            seed=cards[0].seed,
            threads=max(c.threads for c in cards),
            libraries={name: version for c in cards for name, version in c.libraries.items()},
            since_ns=int(dataset.ts[0]),
            until_ns=int(dataset.label_to.max()),
            label=", ".join(dict.fromkeys(c.label for c in cards)),
            horizon_ns=dataset.horizon_ns,
            slices=cards[0].slices,
            rows=cards[0].rows,
            size={"models": len(parts)},
            metrics=metrics,
            importance=_importance(cards, weights),
            dataset=dataset_digest(dataset),
        )
        return _composed(card, dataset, arrays)

    def _weighed(self, dataset: Dataset, checkpoint: Path | None) -> tuple[Vector, dict[str, float | None]]:
        """Weights of the models, and the mean rank correlations that speak for them."""
        if self._weigh == "equal":
            return np.full(len(self._models), 1.0 / len(self._models)), {}
        values, label = unseen(self._models, dataset, self._folds, self._name, checkpoint)
        weights, mean = by_ic(values, label, self._ic_slices)
        if self._weigh == "stacked":
            weights = stacked(values, label)
        return weights, {f"rank_ic_unseen_{k}": float(ic) for k, ic in enumerate(mean)}

    def predict(self, dataset: Dataset, /) -> Matrix:
        """(T, N) answers over history by the artefact in use, NaN throughout without one."""
        if self._bundle is None:
            return np.full(dataset.features.shape[:2], np.nan)
        self._check_schema(dataset.schema)
        return combined([model.predict(dataset) for model in self._serving], self._weights)

    # ---- answering ---------------------------------------------------------------------------------------------------

    def swap(self, artefact: Artefact, /) -> None:
        """Answers with this artefact from the next slice on, once each of its models takes its part."""
        bundle = opened(artefact, self._name)
        if (bundle.card.kind, bundle.card.version) != (_KIND, _VERSION):
            found = f"{bundle.card.kind} v{bundle.card.version}"
            raise StateError(f"{self._name}: the artefact is of {found}, this model reads {_KIND} v{_VERSION}")
        self._check_horizon(bundle.card.horizon_ns, f"the labels of artefact {artefact.hash[:12]}")
        weights, parts = parts_of(bundle, self._name)
        if len(parts) != len(self._models):
            raise ConfigError(
                f"{self._name}: it has {len(self._models)} models, and the artefact {len(parts)}; name those it learned"
            )
        for model, part in zip(copy.deepcopy(self._models), parts, strict=True):
            model.swap(part)  # all of them fit, or none is taken
        for model, part in zip(self._serving, parts, strict=True):
            model.swap(part)
        self._artefact, self._bundle, self._weights = artefact, bundle, weights

    def on_features(self, features: Features, /) -> Signal:
        values = [hearing(model, model.on_features)(features).value for model in self._serving]
        value = np.full(len(values[0]), np.nan)
        if self._bundle is not None:
            self._check_schema(features.schema)
            value = combined([each[None] for each in values], self._weights)[0]
        return Signal(
            ts=features.ts,
            asof=features.ts,
            source=self._name,
            value=value,
            horizon_ns=self._bundle.card.horizon_ns if self._bundle else self._wanted_ns or 0,
            model_hash=self._artefact.hash if self._artefact else "",
        )

    def _check_horizon(self, horizon_ns: int, whose: str) -> None:
        if self._wanted_ns is not None and self._wanted_ns != horizon_ns:
            raise ConfigError(
                f"{self._name}: horizon_ns is {self._wanted_ns}, and {whose} span {horizon_ns} ns; "
                "leave the option out, or train for that horizon"
            )

    def _check_schema(self, schema: str) -> None:
        if self._bundle is not None and schema != self._bundle.schema.schema:
            raise ConfigError(
                f"{self._name}: it was trained on features of schema {self._bundle.schema.schema} and is given "
                f"{schema}; name the feature set it was trained on, or train it again"
            )

    def save(self) -> bytes:
        files = None if self._artefact is None else self._artefact.files
        return pack(_KIND, _VERSION, files=files, models=[model.save() for model in self._serving])

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        self._serving = copy.deepcopy(self._models)
        self._artefact, self._bundle = None, None
        if fields["files"] is not None:
            self.swap(artefact_of(fields["files"]))
        for model, saved in zip(self._serving, fields["models"], strict=True):
            model.load(saved)


def _composed(card: Card, dataset: Dataset, arrays: dict[str, Any]) -> Artefact:
    """The artefact. It has no rows to be checked by: each of its models has its own."""
    schema = Schema(
        schema=dataset.schema,
        features=dataset.names,
        symbols=dataset.symbols,
        label=card.label,
        horizon_ns=dataset.horizon_ns,
        steps=1,
        processors=(),
    )
    rows = np.zeros((1, 0, len(dataset.names)), np.float32)
    weights = {_WEIGHTS: tensors_of(arrays)}
    return composed(Bundle(card=card, schema=schema, weights=weights, rows=rows, answers=np.zeros(0)))


def parts_of(bundle: Bundle, whose: str) -> tuple[Vector, list[Artefact]]:
    """The weights and the artefact of each model, seen to be those that the card names."""
    if set(bundle.weights) != {_WEIGHTS}:
        raise StateError(f"{whose}: an artefact of {sorted(bundle.weights)} is no blend; name another one")
    arrays = dict(tensors_in(bundle.weights[_WEIGHTS], f"{whose}: its weights"))
    weights = arrays.pop("weights", np.zeros(0))
    named = [each.get("hash") for each in bundle.card.params.get("models", [])]
    files: list[dict[str, bytes]] = [{} for _ in named]
    for name, array in arrays.items():
        k, _, file = name.partition("/")
        if not (k.isdecimal() and int(k) < len(named) and file):
            raise StateError(
                f"{whose}: its artefact holds {name!r}, which belongs to none of its models; do not use it"
            )
        files[int(k)][file] = array.tobytes()
    parts = [artefact_of(each) for each in files if each]
    if [part.hash for part in parts] != named or weights.shape != (len(named),) or not (weights >= 0).all():
        raise StateError(f"{whose}: its artefact holds other models than its card names; train it again")
    return weights, parts


def _importance(cards: list[Card], weights: Vector) -> dict[str, float]:
    """Of each feature, its share of the importance within each model, weighed."""
    out: dict[str, float] = {}
    for card, weight in zip(cards, weights.tolist(), strict=True):
        counted = {name: max(value, 0.0) for name, value in card.importance.items()}  # below 0 is chance
        total = sum(counted.values()) or 1.0
        for name, value in counted.items():
            out[name] = out.get(name, 0.0) + weight * value / total
    return out
