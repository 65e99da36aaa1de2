"""Convolutions over time."""

from typing import TYPE_CHECKING

from components.models.networks.network import at_least, share

if TYPE_CHECKING:
    from torch import Tensor, nn


class Tcn:
    """Causal convolutions whose reach doubles from layer to layer; the newest row answers.

        c_kt = b_k + sum_j W_kj h_{k-1, t - j 2^k}, j = 0 .. kernel - 1, rows before the window count as zero
        h_kt = drop(relu(c_kt)) + h_{k-1, t}        out = w' h_KT + d

    The input of the first sum goes through a linear layer. It sees 1 + (kernel - 1) (2^layers - 1) rows.

    Source: Bai, Kolter, Koltun (2018), An empirical evaluation of generic convolutional and recurrent networks.
    """

    kind = "tcn"

    def __init__(self, *, hidden: int = 32, layers: int = 4, kernel: int = 3, dropout: float = 0.0) -> None:
        at_least("hidden", hidden, 1)
        at_least("kernel", kernel, 1)
        share("dropout", dropout)
        if not 1 <= layers <= 12:
            raise ValueError(f"layers must be from 1 to 12, got {layers}")
        self.options = {"hidden": hidden, "layers": layers, "kernel": kernel, "dropout": dropout}
        self._hidden, self._layers, self._kernel, self._dropout = hidden, layers, kernel, dropout

    def parts(self, width: int, steps: int, /) -> "nn.ModuleDict":
        from torch import nn

        hidden = self._hidden
        layers = [nn.Conv1d(hidden, hidden, self._kernel, dilation=2**k) for k in range(self._layers)]
        return nn.ModuleDict(
            {
                "enter": nn.Linear(width, hidden),
                "deep": nn.ModuleList(layers),
                "drop": nn.Dropout(self._dropout),
                "leave": nn.Linear(hidden, 1),
            }
        )

    def forward(self, parts: "nn.ModuleDict", x: "Tensor", /) -> "Tensor":
        from torch.nn.functional import pad, relu

        state = parts["enter"](x).transpose(1, 2)  # (B, hidden, steps)
        for k, layer in enumerate(parts["deep"].children()):
            before = (self._kernel - 1) * 2**k
            state = parts["drop"](relu(layer(pad(state, (before, 0))))) + state
        out: Tensor = parts["leave"](state[:, :, -1])[:, 0]
        return out
