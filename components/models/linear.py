"""Linear regression on a feature set."""

from typing import Any, Literal

import numpy as np

from components.models.bundle import Bundle, tensors_in, tensors_of
from components.models.lesson import How, Label, checked_label, lesson, mean_ic, said_of
from components.models.linear_fit import Plane, plane, summed
from components.models.serving import Answer, Kind, Learnt, Serving
from engine.errors import StateError
from engine.events import Features, Matrix, Signal
from engine.learning import Processor, Reweighter
from engine.protocols import Artefact, Dataset
from engine.universe import Universe

_WEIGHTS = "weights.safetensors"
_PENALISED = ("ridge", "lasso")


class Linear:
    """A weighed sum of the features of one slice; answers NaN until it is given an artefact.

        answer_i = middle + sum over f of slope_f (x_if - mean_f)

    `estimator`: `ols` is least squares, `nnls` the same without negative slopes; to half the mean squared error `ridge`
    adds `alpha` / 2 times the squares of the slopes, `lasso` adds `alpha` times their sizes. With `standardise` slopes
    count per standard deviation of their feature. It is the mean, not the sum, of squares, so an alpha does for any
    number of rows; scikit-learn's for ridge is `alpha` times the rows.

    Nothing needs to be held out; the slices that a dataset holds out are judged in the card and not learned from. A
    feature that is not known stands at its mean of training and adds nothing; a name with fewer than half of its
    features known has no opinion and teaches nothing. Labels, horizon and artefact are as with the trees.

    `predict` over history equals `on_features` bit for bit: the sum runs over the columns in one order, each row alone.
    Memory: one artefact of 2 F numbers.
    """

    slow_handlers: tuple[str, ...] = ("on_features",)
    lookback = 1  # of its own; the feature set declares what the features need

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        estimator: Literal["ols", "ridge", "lasso", "nnls"] = "ridge",
        alpha: float = 0.001,
        standardise: bool = True,
        label: Label = "rank",
        valid_share: float = 0.0,
        horizon_ns: int | None = None,
        processors: tuple[Processor, ...] = (),
        reweighter: Reweighter | None = None,
    ) -> None:
        if estimator not in ("ols", "ridge", "lasso", "nnls"):
            raise ValueError(f"estimator must be one of ols, ridge, lasso, nnls, got {estimator!r}")
        if not alpha >= 0:
            raise ValueError(f"alpha must be at least 0, got {alpha}")
        self._how = How(whose=name, label=checked_label(label), valid_share=valid_share, reweighter=reweighter)
        self._estimator, self._alpha, self._scaled = estimator, alpha, standardise
        kind = Kind(name="linear", version=1, opened=_opened, alone=True)
        self._serving = Serving(kind=kind, name=name, universe=universe, horizon_ns=horizon_ns, processors=processors)

    def fit(self, dataset: Dataset, /) -> Artefact:
        """Trains on all of the dataset. The model itself answers with the result only once `swap` is called."""
        taught = lesson(self._serving, dataset, self._how)
        of = summed(taught.of(taught.train), taught.train.label, taught.train.weight, self._scaled)
        found = plane(of, self._estimator, self._alpha)
        metrics: dict[str, float] = {}
        for part, rows in (("train", taught.train), ("valid", taught.valid)):
            if not len(rows.label):
                continue
            value = np.full(rows.at.shape, np.nan)
            value[rows.at] = found.answers(taught.of(rows))
            metrics[f"l2_{part}"] = float(np.mean((value[rows.at] - rows.label) ** 2))
            metrics[f"rank_ic_{part}"] = mean_ic(value, np.where(rows.at, taught.label, np.nan))
        params: dict[str, Any] = {"estimator": self._estimator, "standardise": self._scaled}
        if self._estimator in _PENALISED:
            params["alpha"] = self._alpha
        learnt = Learnt(
            weights={
                _WEIGHTS: tensors_of({"middle": np.array([found.middle]), "slope": found.slope, "mean": found.mean})
            },
            params=params | {"reweighter": said_of(self._how.reweighter)},
            seed=0,
            label=self._how.label,
            libraries=_versions(self._estimator),
            slices=taught.slices(),
            rows=taught.rows(),
            size={"slopes": int(np.count_nonzero(found.slope))},
            metrics=metrics,
            importance=dict(zip(dataset.names, np.abs(found.slope * of.spread).tolist(), strict=True)),
        )
        return self._serving.composed(dataset, learnt, taught.frozen)

    def predict(self, dataset: Dataset, /) -> Matrix:
        """(T, N) answers over history by the artefact in use, NaN throughout without one."""
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


def _versions(estimator: str) -> dict[str, str]:
    found = {"numpy": np.__version__}
    if estimator == "nnls":
        import scipy

        found["scipy"] = scipy.__version__
    return found


def _opened(bundle: Bundle) -> Answer:
    if set(bundle.weights) != {_WEIGHTS}:
        raise StateError(f"an artefact of {sorted(bundle.weights)} is no linear model; name another one")
    arrays = tensors_in(bundle.weights[_WEIGHTS], "linear: its weights")
    width = len(bundle.schema.features)
    shapes = {name: array.shape for name, array in arrays.items()}
    wanted = {"middle": (1,), "slope": (width,), "mean": (width,)}
    if shapes != wanted or not all(np.isfinite(array).all() for array in arrays.values()):
        raise StateError(f"linear: its weights are {shapes}, not finite numbers of {wanted}; train it again")
    found = Plane(middle=float(arrays["middle"][0]), slope=arrays["slope"], mean=arrays["mean"])
    return found.answers
