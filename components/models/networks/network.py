"""The shape of a network, and the one place that imports PyTorch."""

from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Network(Protocol):
    """A formula with weights: windows in, one number each out. It keeps nothing between calls.

    `parts` makes its weights, drawn from PyTorch's generator as it is seeded then; `forward` is the formula. Rows of a
    batch do not know of each other.
    """

    kind: str  # as registered
    options: dict[str, Any]  # all that `parts` depends on; JSON values

    def parts(self, width: int, steps: int, /) -> "nn.ModuleDict":
        """Weights for windows of `steps` rows of `width` features."""
        ...

    def forward(self, parts: "nn.ModuleDict", x: "Tensor", /) -> "Tensor":
        """(B,) of windows (B, steps, width), the newest row last."""
        ...


def torch_here(whose: str, threads: int = 1) -> Any:
    """PyTorch with so many threads in this process. ConfigError where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            f"{whose}: networks need PyTorch, and it cannot be imported ({error}); pip install 'samewire[torch]'"
        ) from error
    torch.set_num_threads(threads)
    return torch


def at_least(option: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{option} must be at least {least}, got {value}")


def share(option: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{option} must be from 0 to below 1, got {value}")
