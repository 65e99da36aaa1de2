"""A neural network on a feature set."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.bundle import Bundle, dataset_digest
from components.models.lesson import LABELS, How, Label, Lesson, check_unseen, lesson, mean_ic, said_of
from components.models.networks.network import Network, at_least, torch_here
from components.models.networks.serving import (
    WEIGHTS,
    Net,
    answering,
    narrow_here,
    opened,
    tensors_of_weights,
    weights_of,
)
from components.models.serving import Answer, Kind, Learnt, Serving
from components.models.stages import said_of_stage
from components.training.epochs import Begin, Learned, Loop, Part, learned
from components.training.importance import permuted
from components.training.parts import Rows
from components.training.telling import OnMetric
from components.training.windows import Windows
from engine.errors import ConfigError, StateError
from engine.events import Features, Matrix, Signal, Vector
from engine.learning import Processor, Reweighter
from engine.protocols import Artefact, Dataset
from engine.universe import Universe

_ALIKE = 0.999  # mean rank correlation from which answers in bfloat16 may stand for those in float32


class Neural:
    """A network (`net`) over the `steps` newest rows of each name; answers NaN until it is given an artefact.

    It learns labels that are ranked, standardised or raw, by mean squared error with Adam; the slices that a dataset
    holds out, or else the last `valid_share`, decide after which epoch to stop (`patience`) and which weights are kept.
    Slices whose label was not yet known when that part begins are left out of both (purged).

    With `flat` a row of one slice holds `steps` values of each feature, feature by feature, oldest first; else it is
    the features of `steps` slices. Features should be of one size (`processors`). What is still no finite number behind
    processors counts as 0. A row that is missing altogether within a window is filled from the latest row before it,
    else from the first after it, or with `missing: zero` is 0. A name with fewer than half of its features known over
    the window has no opinion (NaN) and no part in training.

    `precision`: `bf16` does matrix products in bfloat16, in training and, if the ranks of its answers agree with those
    in float32 to 0.999 on the held-out rows (without any: on those learned from), in answering too; `auto` does so
    where the machine has instructions for it. `device: auto` trains on a GPU where there is one; answers are always
    computed on a CPU, with one thread. On a CPU the same dataset and options give the same bytes, and a training that
    was killed goes on to them (`checkpoint`).

    `importance` is how often the history of each feature changes hands between names, to measure in the card what the
    rank IC loses by it; it takes as many more answers as there are features, times that.

    `predict` over history equals `on_features` bit for bit. Memory: one artefact, two windows of (steps, N, F).
    """

    slow_handlers: tuple[str, ...] = ("on_features",)

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        rng: np.random.Generator,
        net: Network,
        steps: int = 20,
        flat: bool = False,
        missing: Literal["fill", "zero"] = "fill",
        epochs: int = 200,
        lr: float = 0.001,
        batch: int = 800,
        patience: int = 20,
        clip: float = 3.0,
        valid_share: float = 0.2,
        label: Label = "rank",
        precision: Literal["float32", "bf16", "auto"] = "float32",
        device: Literal["cpu", "cuda", "auto"] = "cpu",
        compiled: bool = False,
        horizon_ns: int | None = None,
        processors: tuple[Processor, ...] = (),
        reweighter: Reweighter | None = None,
        finetune_epochs: int = 5,
        importance: int = 0,
    ) -> None:
        counts = {"steps": steps, "epochs": epochs, "batch": batch, "patience": patience}
        for option, value in (counts | {"finetune_epochs": finetune_epochs}).items():
            at_least(option, value, 1)
        at_least("importance", importance, 0)
        for option, size in {"lr": lr, "clip": clip}.items():
            if not 0 < size < float("inf"):
                raise ValueError(f"{option} must be above 0, got {size}")
        if label not in LABELS:
            raise ValueError(f"label must be one of {', '.join(LABELS)}, got {label!r}")
        self._how = How(whose=name, label=label, valid_share=valid_share, reweighter=reweighter)
        self._name, self._net, self._precision, self._device = name, net, precision, device
        self._processors, self._more, self._repeats = processors, finetune_epochs, importance
        self._shape: dict[str, Any] = {"steps": steps, "flat": flat, "fill": missing == "fill"}
        seed = int(rng.integers(2**31 - 1))
        self._loop = Loop(epochs=epochs, lr=lr, batch=batch, patience=patience, clip=clip, seed=seed, compiled=compiled)
        self.lookback = 1 if flat else steps
        kind = Kind(name="network", version=1, opened=self._opened, tolerance=1e-4)
        self._serving = Serving(
            kind=kind, name=name, universe=universe, horizon_ns=horizon_ns, processors=processors, steps=self.lookback
        )

    # ---- learning ----------------------------------------------------------------------------------------------------

    def fit(
        self, dataset: Dataset, /, *, on_metric: OnMetric | None = None, checkpoint: Path | None = None
    ) -> Artefact:
        """Trains on all of the dataset. The model itself answers with the result only once `swap` is called.

        `on_metric` is told each loss after each epoch. `checkpoint` is a folder of this training alone: its state is
        kept there after each epoch, and a training that finds one goes on from it.
        """
        self._check_width(dataset)
        taught = lesson(self._serving, dataset, self._how)
        return self._learned(dataset, taught, self._loop_here(), (on_metric, checkpoint))

    def finetune(
        self,
        dataset: Dataset,
        artefact: Artefact,
        /,
        *,
        on_metric: OnMetric | None = None,
        checkpoint: Path | None = None,
    ) -> Artefact:
        """Goes on from the weights of an artefact of the same network, label and horizon, `finetune_epochs` at most.

        Processors apply what they froze in the first training. Where something is held out and no epoch is better on it
        than those weights were, they are what comes out (`best_epoch` of the card is -1). ConfigError for an artefact
        that learned something else, or that has learned from the time of what is held out.
        """
        self._check_width(dataset)
        bundle, _ = self._serving.judged(artefact)
        self._check_learned(bundle, dataset.horizon_ns)
        self._serving.check_schema(bundle, dataset.schema)
        taught = lesson(self._serving, dataset, self._how, bundle.frozen)
        check_unseen(taught, dataset, bundle.card.until_ns, self._name)
        loop = msgspec.structs.replace(self._loop_here(), epochs=self._more)
        return self._learned(dataset, taught, loop, (on_metric, checkpoint), (artefact.hash, bundle))

    def _check_learned(self, bundle: Bundle, horizon_ns: int) -> None:
        """Weights of another label or horizon answer in other units."""
        said = {"label": bundle.card.label, "horizon_ns": bundle.card.horizon_ns}
        for option, value in {"label": self._how.label, "horizon_ns": horizon_ns}.items():
            if said[option] != value:
                raise ConfigError(
                    f"{self._name}: its {option} is {value}, and the artefact to go on from learned with "
                    f"{said[option]}; set the option to what it learned with, or train from the start"
                )

    def _learned(
        self,
        dataset: Dataset,
        taught: Lesson,
        loop: Loop,
        told: tuple[OnMetric | None, Path | None],
        before: tuple[str, Bundle] | None = None,
    ) -> Artefact:
        """`told` is whom to tell and where to keep what is done; `before` the artefact to go on from, and its hash."""
        on_metric, checkpoint = told
        windows = Windows(taught.features, **self._shape, device=loop.device)
        parts = [_part(windows, rows) for rows in (taught.train, taught.valid)]
        weights = None if before is None else tensors_of_weights(before[1])
        at = None
        if checkpoint is not None:
            at = (checkpoint, self._key(dataset, taught, loop, "" if before is None else before[0]))
        begin = Begin(checkpoint=at, weights=weights)
        found = learned(self._net, windows, parts, loop, on_metric=on_metric, begin=begin)
        return self._composed(dataset, taught, found, loop, before)

    def _loop_here(self) -> Loop:
        """The loop with device and precision as this machine has them."""
        torch = torch_here(self._name)
        there = torch.cuda.is_available()
        if self._device == "cuda" and not there:
            raise ConfigError(f"{self._name}: device is cuda, and PyTorch finds no GPU; use `device: auto` or cpu")
        device = "cuda" if there and self._device != "cpu" else "cpu"
        narrow = self._precision == "bf16" or (self._precision == "auto" and narrow_here(device))
        return msgspec.structs.replace(self._loop, device=device, narrow=narrow)

    def _key(self, dataset: Dataset, taught: Lesson, loop: Loop, start: str) -> str:
        """Of all that a training depends on: options, libraries, and the very numbers it learns from."""
        from blake3 import blake3

        said = [self._params(loop), msgspec.to_builtins(loop), [said_of_stage(each) for each in self._processors]]
        said += [_versions(self._name), dataset_digest(dataset), start]
        whole = blake3(msgspec.json.encode(said, order="sorted"))
        parts = [each for rows in (taught.train, taught.valid) for each in (rows.at, rows.label, rows.weight)]
        for array in [None if taught.features is dataset.features else taught.features, *parts]:
            whole.update(b"none" if array is None else np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return whole.hexdigest()

    def _params(self, loop: Loop) -> dict[str, Any]:
        shown = ("epochs", "lr", "batch", "patience", "clip", "device")
        said: dict[str, Any] = {"net": self._net.kind, "options": self._net.options, **self._shape}
        said |= {name: getattr(loop, name) for name in shown}
        said |= {"label": self._how.label, "valid_share": self._how.valid_share}
        if self._how.reweighter is not None:
            said["reweighter"] = said_of(self._how.reweighter)
        return said | {"trained": "bf16" if loop.narrow else "float32"}

    def _composed(
        self, dataset: Dataset, taught: Lesson, found: Learned, loop: Loop, before: tuple[str, Bundle] | None
    ) -> Artefact:
        net = msgspec.structs.replace(self._shaped(dataset.features.shape[2]), weights=found.weights)
        wide, (part, judged) = answering(net, narrow=False), _judged(taught)
        answers = _answers(wide, taught, judged, self.lookback)
        label = np.where(judged.at, taught.label, np.nan)
        metrics = {f"l2_{name}": loss for name, loss in found.losses.items()}
        metrics[f"rank_ic_{part}"] = mean_ic(answers, label)
        narrow = False
        if loop.narrow:
            alike = mean_ic(_answers(answering(net, narrow=True), taught, judged, self.lookback), answers)
            metrics[f"rank_correlation_bf16_{part}"] = alike
            narrow = alike >= _ALIKE
        learnt = Learnt(
            weights={WEIGHTS: weights_of(found.weights)},
            params=self._params(loop)
            | {"answers": "bf16" if narrow else "float32"}
            | ({} if before is None else {"went_on_from": before[0]}),
            seed=loop.seed,
            label=self._how.label,
            libraries=_versions(self._name),
            slices=taught.slices(),
            rows=taught.rows(),
            size={
                "parameters": sum(each.numel() for each in found.weights.values()),
                "epochs": found.epochs,
                "best_epoch": found.epoch,
            },
            metrics=metrics,
            importance=self._importance(dataset, taught, answering(net, narrow=narrow), loop.seed),
        )
        return self._serving.composed(dataset, learnt, taught.frozen, None if before is None else before[1])

    def _importance(self, dataset: Dataset, taught: Lesson, answer: Answer, seed: int) -> dict[str, float]:
        """By name of a feature, on the rows that the network is judged by; empty where it is not asked for."""
        if not self._repeats:
            return {}
        _, judged = _judged(taught)
        label = np.where(judged.at, taught.label, np.nan)

        def answers(features: NDArray[Any]) -> Matrix:
            return _answers(answer, msgspec.structs.replace(taught, features=features), judged, self.lookback)

        found = permuted(answers, taught.features, label, repeats=self._repeats, seed=seed)
        return dict(zip(dataset.names, found, strict=True))

    def _shaped(self, columns: int) -> Net:
        """The network over rows of so many columns, still without weights."""
        width = columns // self._shape["steps"] if self._shape["flat"] else columns
        return Net(network=self._net, width=width, **self._shape)

    def _check_width(self, dataset: Dataset) -> None:
        width, steps = dataset.features.shape[2], self._shape["steps"]
        if self._shape["flat"] and width % steps:
            raise ConfigError(
                f"{self._name}: flat rows hold {steps} values of each feature, and {width} columns are no multiple; "
                "set `steps` to the number of values, or leave `flat` out"
            )
        if len(dataset.ts) < self.lookback:
            raise ConfigError(
                f"{self._name}: {len(dataset.ts)} slices are fewer than the {self.lookback} of one window; "
                "train on longer history"
            )

    def predict(self, dataset: Dataset, /) -> Matrix:
        """(T, N) scores over history by the artefact in use, NaN throughout without one."""
        return self._serving.predict(dataset)

    # ---- answering ---------------------------------------------------------------------------------------------------

    def _opened(self, bundle: Bundle) -> Answer:
        """The network of an artefact, once it is seen to be the one of the options."""
        said = bundle.card.params
        own = {"net": self._net.kind, "options": self._net.options, **self._shape}
        odd = next((name for name, value in own.items() if said.get(name) != value), None)
        if odd is not None:
            raise ConfigError(
                f"{self._name}: its {odd} is {own[odd]}, and the artefact learned with {said.get(odd)}; "
                "set the option to what it learned with, or train again"
            )
        if said.get("answers") not in ("float32", "bf16"):
            raise StateError(f"{self._name}: the artefact answers in {said.get('answers')!r}; train it again")
        return opened(self._shaped(len(bundle.schema.features)), bundle, narrow=said["answers"] == "bf16")

    def swap(self, artefact: Artefact, /) -> None:
        """Answers with this artefact from the next slice on, once its hash and its kind are seen to be right."""
        self._serving.take(artefact)

    def on_features(self, features: Features, /) -> Signal:
        return self._serving.on_features(features)

    def save(self) -> bytes:
        return self._serving.save()

    def load(self, state: bytes, /) -> None:
        self._serving.load(state)


def _part(windows: Windows, rows: Rows) -> Part:
    slices, names = np.nonzero(rows.at)
    weight = np.ones(len(rows.label)) if rows.weight is None else rows.weight
    return Part(where=windows.at(slices, names), label=rows.label, weight=weight)


def _versions(whose: str) -> dict[str, str]:
    return {"numpy": np.__version__, "torch": str(torch_here(whose).__version__)}


def _judged(taught: Lesson) -> tuple[str, Rows]:
    """The held-out rows, or where there are none those learned from; and which of them these are."""
    return ("valid", taught.valid) if len(taught.valid.label) else ("train", taught.train)


def _answers(answer: Answer, taught: Lesson, rows: Rows, steps: int) -> Matrix:
    """(T, N) answers to these rows, slice by slice as they will be asked for; NaN elsewhere."""
    out = np.full(rows.at.shape, np.nan)
    for t in np.flatnonzero(rows.at.any(axis=1)):
        window: NDArray[Any] = taught.features[t + 1 - steps : t + 1, rows.at[t]].astype(np.float32, copy=False)
        found: Vector = answer(window[0] if steps == 1 else np.ascontiguousarray(window.transpose(1, 0, 2)))
        out[t, rows.at[t]] = found
    return out
