"""An ensemble of trees, each grown on rows weighed and columns drawn by what the ones before made of them."""

from typing import Any

import msgspec
import numpy as np

from components.models import double_ensemble_steps as steps
from components.models import gbdt_trees as trees
from components.models.bundle import Bundle, tensors_in, tensors_of
from components.models.gbdt import check_options
from components.models.lesson import How, Label, Lesson, checked_label, lesson, said_of
from components.models.serving import Answer, Kind, Learnt, Serving
from components.training.telling import OnMetric, numbered
from engine.errors import StateError
from engine.events import Features, Matrix, Signal, Vector
from engine.learning import Processor, Reweighter
from engine.protocols import Artefact, Dataset
from engine.universe import Universe

_SHARED = "weights.safetensors"
_MANY = 20_000  # rows, of which each is answered once for every column that is shuffled


class DoubleEnsemble:
    """`num_models` LightGBM regressions whose weighed mean is the answer; NaN until it is given an artefact.

    The first learns all rows from all columns. Between two models:

    - Sample reweighting (`reweight`): with l the squared loss of a row by the ensemble so far, and C its loss after
      each tree of the newest model, ranked from 0 to 1 among all rows, C_start and C_end the means over the first and
      the last tenth of the trees,

          h = alpha1 rank(-l) + alpha2 rank(C_end / C_start),   weight = 1 / (decay^k mean(h of its bin) + 0.1)

      in `bins_sr` bins of equal width, k models being grown. Easy rows, and those that no tree explains, count less.
    - Feature selection (`select`): g = mean / standard deviation, over rows, of how much the loss rises when a column
      is shuffled; the columns fall into `bins_fs` bins of equal width of g, and of the bins that have any, best first,
      a share of `sample_ratios` is drawn.

    `sub_weights` weigh the models, all alike where it is empty. Weights of a dataset and of `reweighter` multiply those
    of the ensemble. Options of trees, labels, holding out, opinions and horizon are as with `lightgbm`; each model
    stops by the held-out part on its own. `predict` over history equals `on_features` bit for bit.

    Source: Zhang et al. (2020), DoubleEnsemble, IEEE ICDM, algorithms 1 and 2; the constants are those of Qlib.
    """

    slow_handlers: tuple[str, ...] = ("on_features",)
    lookback = 1  # of its own; the feature set declares what the features need

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        rng: np.random.Generator,
        num_models: int = 6,
        reweight: bool = True,
        select: bool = True,
        alpha1: float = 1.0,
        alpha2: float = 1.0,
        bins_sr: int = 10,
        bins_fs: int = 5,
        decay: float = 0.5,
        sample_ratios: tuple[float, ...] = (0.8, 0.7, 0.6, 0.5, 0.4),
        sub_weights: tuple[float, ...] = (),
        num_boost_round: int = 100,
        early_stopping_rounds: int = 50,
        num_leaves: int = 31,
        max_depth: int = -1,
        learning_rate: float = 0.05,
        min_data_in_leaf: int = 100,
        lambda_l1: float = 0.0,
        lambda_l2: float = 0.0,
        feature_fraction: float = 1.0,
        num_threads: int = 1,
        valid_share: float = 0.2,
        label: Label = "rank",
        horizon_ns: int | None = None,
        processors: tuple[Processor, ...] = (),
        reweighter: Reweighter | None = None,
    ) -> None:
        shape = {"num_leaves": num_leaves, "max_depth": max_depth, "min_data_in_leaf": min_data_in_leaf}
        pace = {"learning_rate": learning_rate, "lambda_l1": lambda_l1, "lambda_l2": lambda_l2}
        params = {**shape, **pace, "feature_fraction": feature_fraction}
        rounds = {"num_boost_round": num_boost_round, "early_stopping_rounds": early_stopping_rounds}
        check_options({**params, **rounds, "num_models": num_models, "num_threads": num_threads})
        check_options({"bins_sr": bins_sr, "bins_fs": bins_fs})
        weighing = steps.Weighing(alpha1=alpha1, alpha2=alpha2, bins=bins_sr, decay=decay) if reweight else None
        weights = tuple(sub_weights) or (1.0,) * num_models
        self._ensemble = _Ensemble(
            num_models, weighing, bins_fs if select else 0, tuple(sample_ratios), weights, params, rounds, num_threads
        )
        params["seed"] = int(rng.integers(2**31 - 1))
        self._how = How(whose=name, label=checked_label(label), valid_share=valid_share, reweighter=reweighter)
        kind = Kind(name="double_ensemble", version=1, opened=_opened, alone=True)
        self._serving = Serving(kind=kind, name=name, universe=universe, horizon_ns=horizon_ns, processors=processors)

    def fit(self, dataset: Dataset, /, *, on_metric: OnMetric | None = None) -> Artefact:
        """Trains on all of the dataset. The model itself answers with the result only once `swap` is called."""
        taught = lesson(self._serving, dataset, self._how)
        grown = _grown(self._ensemble, taught, self._how.whose, on_metric)
        shared: dict[str, Any] = {f"columns.{k}": columns for k, columns in enumerate(grown.columns)}
        weights = {f"model.{k}.txt": text.encode() for k, text in enumerate(grown.texts)}
        learnt = Learnt(
            weights=weights | {_SHARED: tensors_of(shared | {"weights": np.array(self._ensemble.weights)})},
            params=msgspec.to_builtins(self._ensemble) | {"reweighter": said_of(self._how.reweighter)},
            seed=self._ensemble.trees["seed"],
            threads=self._ensemble.threads,
            label=self._how.label,
            libraries=trees.versions(),
            slices=taught.slices(),
            rows=taught.rows(),
            size={"models": len(grown.texts), "trees": sum(grown.counts)},
            metrics=grown.figures,
            importance=dict(zip(dataset.names, grown.gain.tolist(), strict=True)),
        )
        return self._serving.composed(dataset, learnt, taught.frozen)

    def predict(self, dataset: Dataset, /) -> Matrix:
        """(T, N) scores over history by the artefact in use, NaN throughout without one."""
        return self._serving.predict(dataset)

    def swap(self, artefact: Artefact, /) -> None:
        """Answers with this artefact from the next slice on, once its hash and its kind are seen to be right."""
        self._serving.take(artefact)

    def on_features(self, features: Features, /) -> Signal:
        return self._serving.on_features(features)

    def save(self) -> bytes:
        return self._serving.save()

    def load(self, state: bytes, /) -> None:
        self._serving.load(state)


class _Ensemble(msgspec.Struct, frozen=True):
    """The options, checked against each other. `weighing` None and `bins` 0 leave the step out."""

    models: int
    weighing: steps.Weighing | None
    bins: int
    ratios: tuple[float, ...]
    weights: tuple[float, ...]
    trees: dict[str, Any]
    rounds: dict[str, int]
    threads: int

    def __post_init__(self) -> None:
        w = self.weighing
        if w is not None and not (w.alpha1 >= 0 and w.alpha2 >= 0 and w.alpha1 + w.alpha2 > 0):
            raise ValueError(f"alpha1 and alpha2 must be at least 0 and not both 0, got {w.alpha1} and {w.alpha2}")
        if w is not None and not 0 < w.decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1, got {w.decay}")
        if self.bins and (len(self.ratios) != self.bins or not all(0 < r <= 1 for r in self.ratios)):
            raise ValueError(
                f"sample_ratios must be {self.bins} shares above 0 and at most 1, one for each of bins_fs, "
                f"got {list(self.ratios)}"
            )
        if len(self.weights) != self.models or not all(0 <= w < float("inf") for w in self.weights):
            raise ValueError(f"sub_weights must be {self.models} numbers of at least 0, got {list(self.weights)}")
        if not self.weights[0] > 0:
            raise ValueError(f"sub_weights must begin above 0: rows are weighed by it, got {list(self.weights)}")


class _Grown(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    texts: list[str]
    columns: list[Any]
    counts: list[int]  # trees of each
    figures: dict[str, float]
    gain: Vector  # (F,) mean over the models, weighed


def _grown(how: _Ensemble, taught: Lesson, whose: str, on_metric: OnMetric | None) -> _Grown:
    """Grows one model after another."""
    x, label, given = taught.of(taught.train), taught.train.label, taught.train.weight
    held_out = taught.of(taught.valid)
    weight, columns = given, np.arange(x.shape[1])
    texts: list[str] = []
    seen: list[Any] = []
    found: list[trees.Grown] = []
    predicts: list[steps.Predict] = []
    for k in range(how.models):
        growing = trees.Growing(
            objective="mse",
            params={**how.trees, "seed": (how.trees["seed"] + k) % (2**31 - 1), "num_threads": how.threads},
            rounds=how.rounds["num_boost_round"],
            patience=how.rounds["early_stopping_rounds"],
        )
        train = trees.Part(features=x[:, columns], rows=msgspec.structs.replace(taught.train, weight=weight))
        valid = trees.Part(features=held_out[:, columns], rows=taught.valid) if len(held_out) else None
        grown = trees.grown(growing, train, valid, whose, numbered(on_metric, k))
        texts.append(grown.text)
        seen.append(columns)
        found.append(grown)
        predicts.append(trees.answering(grown.text, often=len(x) > _MANY))
        if k + 1 == how.models:
            break
        rng = np.random.default_rng([how.trees["seed"], k])
        ensemble = steps.mean_of(predicts, seen, np.array(how.weights[: k + 1]))
        if how.weighing is not None:
            curve = steps.curve_of(trees.booster_of(grown.text), train.features, label)
            fresh = steps.reweighed(how.weighing, curve, (ensemble(x) - label) ** 2, k + 1)
            weight = fresh if given is None else fresh * given
        if how.bins:
            used = np.unique(np.concatenate([c[np.array(g.gain) > 0] for c, g in zip(seen, found, strict=True)]))
            gain = steps.gains(ensemble, x, label, used, rng)
            columns = steps.drawn(gain, how.bins, how.ratios, rng)
    return _Grown(
        texts=texts,
        columns=seen,
        counts=[grown.trees for grown in found],
        figures={f"{name}_{k}": value for k, grown in enumerate(found) for name, value in grown.figures.items()},
        gain=np.average(steps.spread_out([g.gain for g in found], seen, x.shape[1]), axis=0, weights=how.weights),
    )


def _opened(bundle: Bundle) -> Answer:
    """The models of an artefact; they answer each row on its own."""
    texts = sorted((name for name in bundle.weights if name != _SHARED), key=lambda name: (len(name), name))
    arrays = tensors_in(bundle.weights.get(_SHARED, b""), "double_ensemble: its weights")
    names = [f"model.{k}.txt" for k in range(len(texts))]
    if not texts or texts != names or set(arrays) != {"weights", *(f"columns.{k}" for k in range(len(texts)))}:
        raise StateError(f"an artefact of {sorted(bundle.weights)} is no double ensemble; name another one")
    width, weights = len(bundle.schema.features), arrays["weights"]
    columns = [arrays[f"columns.{k}"] for k in range(len(texts))]
    fit = all(c.ndim == 1 and c.dtype == np.int64 and len(c) and c.min() >= 0 and c.max() < width for c in columns)
    if not fit or weights.shape != (len(texts),) or not weights.sum() > 0:
        raise StateError("double_ensemble: its columns and weights are none of this feature set; train it again")
    models = [bundle.weights[name].decode() for name in names]
    often = sum(map(trees.leaves_of, models)) >= trees.WORTH
    return steps.mean_of([trees.answering(text, often) for text in models], columns, weights)
