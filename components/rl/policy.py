"""A trained agent as a function: observations in, the best actions out, the same bits in whatever company they come."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.models.bundle import tensors_in
from components.rl.trainer_options import Mlp, Recurrent
from engine.errors import ConfigError, StateError

if TYPE_CHECKING:
    from torch import Tensor

REACH = 4.0  # the most that a continuous action may be: times what an even pace would trade
_BLOCK = 64  # rows answered at once, zeros behind the last: products of one shape treat each row alike
Shapes = dict[str, tuple[int, ...]]


def _form(tensor: Any) -> str:
    return "none" if tensor is None else f"{tuple(tensor[0])} {tensor[1]}"


class Policy:
    """A network and the layer from it to `choices` actions; 0 = one continuous action, of which `REACH` is the most.

    StateError for weights that do not fit, or are no finite numbers; ConfigError without PyTorch.
    """

    def __init__(self, network: Mlp | Recurrent, shapes: Shapes, choices: int, weights: bytes) -> None:
        torch = torch_of_agents()
        from torch import nn

        from components.rl.extractor import extractor_of

        self._torch, self._shapes, self._choices = torch, shapes, choices

        def made() -> Any:
            body = extractor_of(shapes, network)
            return nn.ModuleDict({"network": body, "head": nn.Linear(body.features_dim, max(1, choices))})

        try:
            found = {name: torch.from_numpy(np.array(each)) for name, each in tensors_in(weights, "weights").items()}
            with torch.device("meta"):  # shapes alone: nothing is made of a size that the file does not have
                wanted = {name: (each.shape, each.dtype) for name, each in made().state_dict().items()}
            for name in sorted({*wanted, *found}):
                has = (found[name].shape, found[name].dtype) if name in found else None
                if has != wanted.get(name):
                    raise ValueError(f"{name} is {_form(has)}, and its network has {_form(wanted.get(name))}")
            if not all(each.isfinite().all() for each in found.values()):
                raise ValueError("some are no finite numbers")
            with torch.random.fork_rng(devices=[]):  # what draws first weights must not touch a training nearby
                self._parts = made()
            self._parts.load_state_dict(found)
        except (RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise StateError(f"agent: its weights do not fit its network ({said}); train it again") from error
        self._parts.train(False)

    def scores(self, observation: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """(W, choices) what the network says of each choice, or (W, 1)."""
        torch_of_agents()
        checked_rows(observation)
        rows = len(next(iter(observation.values())))
        blocks = -(-rows // _BLOCK)
        padded: dict[str, Tensor] = {}
        for name, shape in self._shapes.items():
            room = np.zeros((blocks * _BLOCK, *shape), np.float32)
            room[:rows] = observation[name]
            padded[name] = self._torch.from_numpy(room)
        out = np.zeros((blocks * _BLOCK, max(1, self._choices)), np.float32)
        with self._torch.inference_mode():
            for k in range(0, blocks * _BLOCK, _BLOCK):
                some = {name: each[k : k + _BLOCK] for name, each in padded.items()}
                out[k : k + _BLOCK] = self._parts["head"](self._parts["network"](some)).numpy()
        return out[:rows]

    def act(self, observation: dict[str, NDArray[np.float32]]) -> NDArray[Any]:
        """(W,) the best choice of each row, of equal ones the first; or its multiple of an even pace."""
        scores = self.scores(observation)
        if self._choices:
            best: NDArray[np.intp] = scores.argmax(axis=1)
            return best
        return 1.0 + np.clip(scores[:, 0].astype(np.float64), -1.0, REACH - 1.0)


def torch_of_agents() -> Any:
    """PyTorch with one thread. ConfigError that names the extra where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            f"agent: its network needs PyTorch, and it cannot be imported ({error}); pip install 'samewire[rl]'"
        ) from error
    torch.set_num_threads(1)
    return torch


def checked_rows(observation: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The observation itself; ConfigError where a number of it is none: nothing follows from it."""
    for name, value in observation.items():
        if not np.isfinite(value).all():
            row = int(np.nonzero(~np.isfinite(value.reshape(len(value), -1)).all(axis=1))[0][0])
            raise ConfigError(
                f"agent: observation {name} of row {row} holds numbers that are none; look at the bars of its day "
                "with `samewire feed`, or leave the day out"
            )
    return observation
