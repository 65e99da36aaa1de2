"""The one loop that trains all networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.networks.network import Network, torch_here
from components.training.checkpoints import read_checkpoint, spelled, under, unspelled, write_checkpoint
from components.training.telling import OnMetric
from components.training.windows import Windows
from engine.errors import ConfigError, StateError
from engine.learning import Metric

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 200  # windows that go forward and back at once on a CPU: what they leave behind stays in its caches
_ASKED = 1000  # ... that are only answered


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """How to train."""

    epochs: int
    lr: float
    batch: int
    patience: int
    clip: float
    seed: int
    device: str = "cpu"  # or cuda
    narrow: bool = False  # matrix products in bfloat16
    measured: int = 20_000  # rows of training whose loss is measured after each epoch, drawn once
    compiled: bool = False


class Part(msgspec.Struct, frozen=True, eq=False):
    """Rows of training: where their windows begin, labels, and how much each counts, all (R,)."""

    where: NDArray[Any]
    label: NDArray[Any]
    weight: NDArray[Any]


class Begin(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Where a training begins.

    `checkpoint` is a folder of this training alone, and a key of all that it depends on: whatever was begun there goes
    on where it was, to the last bit on a CPU. `weights` are those to go on from, else they are drawn: where no epoch is
    better than they were on the part to stop by, they are what comes out, of epoch -1.
    """

    checkpoint: tuple[Path, str] | None = None
    weights: "dict[str, Any] | None" = None


FRESH = Begin()


class Learned(msgspec.Struct, frozen=True, eq=False):
    """The weights of the best epoch, and what was measured."""

    weights: dict[str, "Tensor"]
    epoch: int  # the best one, counted from 0
    epochs: int  # that were run
    losses: dict[str, float]  # of the best epoch


def learned(
    network: Network,
    windows: Windows,
    parts: Sequence[Part],
    loop: Loop,
    *,
    on_metric: OnMetric | None = None,
    begin: Begin = FRESH,
) -> Learned:
    """Trains on the first part, stops by the second (which may be empty), and gives the weights of the best epoch.

    An epoch visits every row once in an order drawn anew. The loss is the mean of weighted squared errors; Adam takes
    steps along slopes that are clipped to +-clip one by one. After `patience` epochs that did not improve the loss of
    the second part it ends; with an empty one it runs all epochs and gives the last weights.

    `begin` says where from. StateError for a checkpoint of another key.
    """
    torch = torch_here("training")
    devices = [torch.cuda.current_device()] if loop.device == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        training = _Training(network, windows, parts, loop)
        if begin.weights is not None:
            training.begin_with(begin.weights)
        checkpoint = begin.checkpoint
        if checkpoint is not None:
            training.resume(*checkpoint)
        while not training.done:
            for metric in training.epoch():
                if on_metric is not None:
                    on_metric(metric)
            if checkpoint is not None:
                training.keep(*checkpoint)
        return training.result()


class _Training:
    """A training between two epochs: all that it knows is written by `keep` and read by `resume`."""

    def __init__(self, network: Network, windows: Windows, parts: Sequence[Part], loop: Loop) -> None:
        import torch

        self._torch, self._loop, self._windows = torch, loop, windows
        torch.manual_seed(loop.seed)
        self._order = np.random.default_rng(loop.seed)
        self._parts = network.parts(windows.width, windows.steps).to(loop.device)
        self._forward = torch.compile(network.forward) if loop.compiled else network.forward
        self._weights = list(self._parts.parameters())
        self._adam = torch.optim.Adam(self._weights, lr=loop.lr, fused=True)
        self._train, self._valid = (self._on_device(part) for part in parts)
        count = len(parts[0].label)
        some = self._order.choice(count, loop.measured, replace=False) if count > loop.measured else np.arange(count)
        picked = torch.from_numpy(np.sort(some)).to(loop.device)
        self._sample = tuple(each[picked] for each in self._train)
        self._epoch, self._waited, self._best_epoch, self._losses = 0, 0, -1, {"train": np.nan, "valid": np.nan}
        self._best = self._copies()

    def begin_with(self, weights: "dict[str, Tensor]") -> None:
        """Goes on from these weights in place of those that were drawn."""
        self._parts.load_state_dict(weights)
        self._best = self._copies()
        if len(self._valid[0]):
            self._losses = {"train": self._loss(self._sample), "valid": self._loss(self._valid)}

    def _on_device(self, part: Part) -> tuple["Tensor", ...]:
        torch, device = self._torch, self._loop.device
        where = torch.from_numpy(part.where.astype(np.int64)).to(device)
        return where, *(torch.from_numpy(each.astype(np.float32)).to(device) for each in (part.label, part.weight))

    @property
    def done(self) -> bool:
        return self._epoch >= self._loop.epochs or self._waited >= self._loop.patience

    # ---- an epoch ----------------------------------------------------------------------------------------------------

    def epoch(self) -> list[Metric]:
        """Learns from every row once, measures, and keeps the weights if they are the best so far."""
        order = self._torch.from_numpy(self._order.permutation(len(self._train[0]))).to(self._loop.device)
        self._parts.train(True)
        for k in range(0, len(order), self._loop.batch):
            self._learn(order[k : k + self._loop.batch])
        found = {"train": self._loss(self._sample)}
        held_out = len(self._valid[0]) > 0
        if held_out:
            found["valid"] = self._loss(self._valid)
        self._refuse_nonsense(found)
        # Before the first epoch the loss is not known (NaN), unless it goes on from weights that were measured.
        if not held_out or not found["valid"] >= self._losses["valid"]:
            self._best, self._best_epoch, self._losses, self._waited = self._copies(), self._epoch, found, 0
        else:
            self._waited += 1
        said = [Metric(f"l2_{name}", self._epoch, loss) for name, loss in found.items()]
        self._epoch += 1
        return said

    def _learn(self, rows: "Tensor") -> None:
        """One step of Adam. On a CPU the slopes of a batch are summed over stretches that fit its caches."""
        where, label, weight = (each[rows] for each in self._train)
        total = weight.sum()
        size = _CHUNK if self._loop.device == "cpu" else len(rows)
        self._adam.zero_grad(set_to_none=True)
        for k in range(0, len(rows), size):
            some = slice(k, k + size)
            off = self._answers(where[some]) - label[some]
            self._torch.autograd.backward((off * off * weight[some]).sum() / total)
        self._torch.nn.utils.clip_grad_value_(self._weights, self._loop.clip)
        self._adam.step()

    def _answers(self, where: "Tensor") -> "Tensor":
        torch, loop = self._torch, self._loop
        with torch.autocast(loop.device, torch.bfloat16, enabled=loop.narrow):
            found: Tensor = self._forward(self._parts, self._windows.take(where))
        return found.float()

    def _loss(self, part: tuple["Tensor", ...]) -> float:
        """The mean weighted squared error over every row of a part."""
        self._parts.train(False)
        total = self._torch.zeros((), dtype=self._torch.float64, device=self._loop.device)
        size = _ASKED if self._loop.device == "cpu" else 16 * _ASKED
        with self._torch.inference_mode():
            for k in range(0, len(part[0]), size):
                where, label, weight = (each[k : k + size] for each in part)
                off = (self._answers(where) - label).double()
                total += (off * off * weight).sum()
        return float(total / part[2].double().sum())

    def _refuse_nonsense(self, found: dict[str, float]) -> None:
        odd = next((name for name, loss in found.items() if not np.isfinite(loss)), None)
        if odd is not None:
            raise ConfigError(
                f"training: the loss of the {odd} part is {found[odd]} after epoch {self._epoch}; lower `lr` "
                f"(it is {self._loop.lr}) or normalise the features with `processors`"
            )

    def _copies(self) -> dict[str, "Tensor"]:
        return {name: each.detach().clone() for name, each in self._parts.state_dict().items()}

    def result(self) -> Learned:
        weights = {name: each.cpu() for name, each in self._best.items()}
        return Learned(weights=weights, epoch=self._best_epoch, epochs=self._epoch, losses=self._losses)

    # ---- going on ----------------------------------------------------------------------------------------------------

    def keep(self, folder: Path, key: str) -> None:
        tensors = {f"weight.{name}": each for name, each in self._parts.state_dict().items()}
        tensors |= {f"best.{name}": each for name, each in self._best.items()}
        for k, weight in enumerate(self._weights):
            tensors |= {f"adam.{k}.{name}": each for name, each in self._adam.state[weight].items()}
        tensors["rng.cpu"] = self._torch.get_rng_state()
        if self._loop.device == "cuda":
            tensors["rng.cuda"] = self._torch.cuda.get_rng_state()
        said = {
            "key": key,
            "epoch": self._epoch,
            "waited": self._waited,
            "best_epoch": self._best_epoch,
            "losses": self._losses,
            "order": spelled(self._order.bit_generator.state),
        }
        write_checkpoint(folder, tensors, said)

    def resume(self, folder: Path, key: str) -> None:
        found = read_checkpoint(folder)
        if found is None:
            return
        tensors, said = found
        if said["key"] != key:
            raise StateError(
                f"{folder}: its checkpoint is of another training (key {said['key'][:12]}, this one is {key[:12]}); "
                "name an empty folder, or go on with the options and the history it was begun with"
            )
        self._parts.load_state_dict(under("weight.", tensors))
        self._best = {name: each.to(self._loop.device) for name, each in under("best.", tensors).items()}
        for k, weight in enumerate(self._weights):
            moments = under(f"adam.{k}.", tensors)
            # The count of steps stays where a fused Adam keeps it: with the weights.
            self._adam.state[weight] = {name: each.to(weight.device) for name, each in moments.items()}
        self._torch.set_rng_state(tensors["rng.cpu"])
        if self._loop.device == "cuda":
            self._torch.cuda.set_rng_state(tensors["rng.cuda"])
        self._epoch, self._waited, self._best_epoch = said["epoch"], said["waited"], said["best_epoch"]
        self._losses = said["losses"]
        self._order.bit_generator.state = unspelled(said["order"])
