"""Gradient-boosted trees on a feature set."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from components.models import gbdt_trees as trees
from components.models.bundle import Bundle, opened
from components.models.lesson import How, Label, Lesson, check_unseen, checked_label, lesson, said_of
from components.models.serving import Answer, Kind, Learnt, Serving
from components.training.telling import OnMetric
from engine.errors import ConfigError, StateError
from engine.events import Features, Matrix, Signal
from engine.learning import Processor, Reweighter
from engine.protocols import Artefact, Dataset
from engine.universe import Universe

_TEXT = "model.txt"


class Gbdt:
    """LightGBM on features of one slice; answers NaN until it is given an artefact.

    `objective`: `mse` learns the label, ranked, standardised or raw; `binary` whether a return is above the mean of its
    slice, and answers with the probability; `lambdarank` and `rank_xendcg` the order within a slice, of returns in
    `grades` grades. But for `label: raw` the answer is a score, not a return.

    The slices that a dataset holds out, or else the last `valid_share`, decide when to stop adding trees; slices whose
    label was not yet known when that part begins are left out of both (purged). Where nothing is held out all
    `num_boost_round` trees are grown. `bins` names a folder that keeps binned rows between trainings.

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
        objective: Literal["mse", "binary", "lambdarank", "rank_xendcg"] = "mse",
        num_leaves: int = 31,
        max_depth: int = -1,
        learning_rate: float = 0.05,
        num_boost_round: int = 200,
        early_stopping_rounds: int = 50,
        valid_share: float = 0.2,
        min_data_in_leaf: int = 100,
        lambda_l1: float = 0.0,
        lambda_l2: float = 0.0,
        feature_fraction: float = 1.0,
        bagging_fraction: float = 1.0,
        bagging_freq: int = 0,
        max_bin: int = 255,
        num_threads: int = 1,
        label: Label = "rank",
        grades: int = 5,
        horizon_ns: int | None = None,
        processors: tuple[Processor, ...] = (),
        reweighter: Reweighter | None = None,
        finetune_rounds: int = 10,
        bins: Path | None = None,
    ) -> None:
        shape = {"num_leaves": num_leaves, "max_depth": max_depth, "min_data_in_leaf": min_data_in_leaf}
        drawn = {"feature_fraction": feature_fraction, "bagging_fraction": bagging_fraction}
        pace = {"learning_rate": learning_rate, "lambda_l1": lambda_l1, "lambda_l2": lambda_l2, "max_bin": max_bin}
        self._params: dict[str, Any] = {**shape, **drawn, **pace, "bagging_freq": bagging_freq}
        rounds = {"num_boost_round": num_boost_round, "early_stopping_rounds": early_stopping_rounds}
        check_options(self._params | rounds | {"finetune_rounds": finetune_rounds, "num_threads": num_threads})
        learned = _learned_label(objective, label, grades)
        self._params["seed"] = int(rng.integers(2**31 - 1))
        self._how = How(whose=name, label=learned, valid_share=valid_share, reweighter=reweighter, grades=grades)
        self._objective, self._rounds, self._threads, self._bins = objective, num_boost_round, num_threads, bins
        self._patience, self._more, self._name = early_stopping_rounds, finetune_rounds, name
        kind = Kind(name="lightgbm", version=3, opened=_opened, alone=True)
        self._serving = Serving(kind=kind, name=name, universe=universe, horizon_ns=horizon_ns, processors=processors)

    # ---- learning ----------------------------------------------------------------------------------------------------

    def fit(self, dataset: Dataset, /, *, on_metric: OnMetric | None = None) -> Artefact:
        """Trains on all of the dataset. The model itself answers with the result only once `swap` is called."""
        return self._learned(dataset, lesson(self._serving, dataset, self._how), None, on_metric)

    def finetune(self, dataset: Dataset, artefact: Artefact, /, *, on_metric: OnMetric | None = None) -> Artefact:
        """Goes on from an artefact of the same objective and label: `finetune_rounds` more trees, all of them kept.

        Processors apply what they froze in the first training. ConfigError for an artefact that learned something else,
        or that has learned from the time of what is held out.
        """
        bundle, _ = self._serving.judged(artefact)
        self._check_learned(bundle, dataset.horizon_ns)
        self._serving.check_schema(bundle, dataset.schema)
        taught = lesson(self._serving, dataset, self._how, bundle.frozen)
        check_unseen(taught, dataset, bundle.card.until_ns, self._name)
        return self._learned(dataset, taught, artefact, on_metric, bundle)

    def _check_learned(self, bundle: Bundle, horizon_ns: int) -> None:
        """Trees of another objective, label or horizon count in other units: no tree may be added to them."""
        said = bundle.card.params | {"label": bundle.card.label, "horizon_ns": bundle.card.horizon_ns}
        own: dict[str, Any] = {"objective": self._objective, "label": self._how.label, "horizon_ns": horizon_ns}
        own |= {"grades": self._how.grades} if self._objective in trees.RANKING else {}
        for option, value in own.items():
            if said.get(option) != value:
                raise ConfigError(
                    f"{self._name}: its {option} is {value}, and the artefact to go on from learned with "
                    f"{said.get(option)}; set the option to what it learned with, or train from the start"
                )

    def _learned(
        self,
        dataset: Dataset,
        taught: Lesson,
        start: Artefact | None,
        on_metric: OnMetric | None,
        before: Bundle | None = None,
    ) -> Artefact:
        how = trees.Growing(
            objective=self._objective,
            params=self._params | {"num_threads": self._threads},
            rounds=self._rounds if start is None else self._more,
            patience=self._patience if start is None else 0,
            bins=self._bins,
            start="" if start is None else start.files[_TEXT].decode(),
        )
        train = trees.Part(features=taught.of(taught.train), rows=taught.train)
        held_out = trees.Part(features=taught.of(taught.valid), rows=taught.valid) if len(taught.valid.label) else None
        grown = trees.grown(how, train, held_out, self._name, on_metric)
        learnt = Learnt(
            weights={_TEXT: grown.text.encode()},
            params=self._params | self._said(how, start),
            seed=self._params["seed"],
            threads=self._threads,
            label=self._how.label,
            libraries=trees.versions(),
            slices=taught.slices(),
            rows=taught.rows(),
            size={"trees": grown.trees},
            metrics=grown.figures,
            importance=dict(zip(dataset.names, grown.gain, strict=True)),
        )
        return self._serving.composed(dataset, learnt, taught.frozen, before)

    def _said(self, how: trees.Growing, start: Artefact | None) -> dict[str, Any]:
        """Of the training, besides the parameters of the trees."""
        said: dict[str, Any] = {"objective": self._objective, "num_boost_round": how.rounds}
        said |= {"early_stopping_rounds": how.patience, "reweighter": said_of(self._how.reweighter)}
        if self._objective in trees.RANKING:
            said["grades"] = self._how.grades
        if start is not None:
            said["went_on_from"] = start.hash
        return said

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


def importance(artefact: Artefact) -> dict[str, dict[str, float]]:
    """Of a trained model of trees, by `gain` and by `split`, each feature by name."""
    bundle = opened(artefact, "importance")
    return trees.importance(_text(bundle), bundle.schema.features)


_LEAST = {"num_leaves": 2, "max_bin": 2, "lambda_l1": 0, "lambda_l2": 0, "bagging_freq": 0}


def check_options(options: dict[str, Any]) -> None:
    """Raises ValueError for an option of trees that makes no sense."""
    for name, value in options.items():
        if name in ("learning_rate", "feature_fraction", "bagging_fraction"):
            if not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {value}")
        elif name == "max_depth":
            if value != -1 and not value >= 1:
                raise ValueError(f"max_depth must be at least 1, or -1 for no limit, got {value}")
        elif not value >= _LEAST.get(name, 1):
            raise ValueError(f"{name} must be at least {_LEAST.get(name, 1)}, got {value}")


def _learned_label(objective: str, label: str, grades: int) -> str:
    """What is learned from a return."""
    if objective not in trees.OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(trees.OBJECTIVES)}, got {objective!r}")
    if not 2 <= grades <= 31:
        raise ValueError(f"grades must be from 2 to 31, got {grades}")
    return {"mse": checked_label(label), "binary": "above"}.get(objective, "grades")


def _text(bundle: Bundle) -> str:
    if set(bundle.weights) != {_TEXT}:
        raise StateError(f"an artefact of {sorted(bundle.weights)} is no lightgbm model; name another one")
    return bundle.weights[_TEXT].decode()


def _opened(bundle: Bundle) -> Answer:
    """The trees of an artefact; they answer each row on its own."""
    return trees.answering(_text(bundle))
