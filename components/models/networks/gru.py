"""Gated recurrent units."""

from typing import TYPE_CHECKING

from components.models.networks.network import at_least, share

if TYPE_CHECKING:
    from torch import Tensor, nn


class Gru:
    """The last state of a GRU, through one linear layer.

        r = s(W_r x + U_r h + b_r)        z = s(W_z x + U_z h + b_z)
        n = tanh(W_n x + b_n + r (U_n h + c_n))        h' = (1 - z) n + z h        out = w' h_T + d

    Source: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, EMNLP.
    """

    kind = "gru"

    def __init__(self, *, hidden: int = 64, layers: int = 2, dropout: float = 0.0) -> None:
        at_least("hidden", hidden, 1)
        at_least("layers", layers, 1)
        share("dropout", dropout)
        self.options = {"hidden": hidden, "layers": layers, "dropout": dropout}
        self._hidden, self._layers, self._dropout = hidden, layers, dropout

    def parts(self, width: int, steps: int, /) -> "nn.ModuleDict":
        from torch import nn

        from components.models.networks.gru_layers import GruLayers

        recur = GruLayers(width, self._hidden, layers=self._layers, dropout=self._dropout)
        return nn.ModuleDict({"recur": recur, "leave": nn.Linear(self._hidden, 1)})

    def forward(self, parts: "nn.ModuleDict", x: "Tensor", /) -> "Tensor":
        state = parts["recur"](x.transpose(0, 1).contiguous())
        out: Tensor = parts["leave"](state[-1])[:, 0]
        return out
