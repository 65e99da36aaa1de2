"""Long short-term memory."""

from typing import TYPE_CHECKING

from components.models.networks.network import at_least, share

if TYPE_CHECKING:
    from torch import Tensor, nn


class Lstm:
    """The last state of an LSTM, through one linear layer.

        i, f, o = s(W x + U h + b), each its own        g = tanh(W_g x + U_g h + b_g)
        c' = f c + i g        h' = o tanh(c')        out = w' h_T + d

    Source: Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Computation 9(8).
    """

    kind = "lstm"

    def __init__(self, *, hidden: int = 64, layers: int = 2, dropout: float = 0.0) -> None:
        at_least("hidden", hidden, 1)
        at_least("layers", layers, 1)
        share("dropout", dropout)
        self.options = {"hidden": hidden, "layers": layers, "dropout": dropout}
        self._hidden, self._layers, self._dropout = hidden, layers, dropout

    def parts(self, width: int, steps: int, /) -> "nn.ModuleDict":
        from torch import nn

        between = self._dropout if self._layers > 1 else 0.0
        recur = nn.LSTM(width, self._hidden, self._layers, batch_first=True, dropout=between)
        return nn.ModuleDict({"recur": recur, "leave": nn.Linear(self._hidden, 1)})

    def forward(self, parts: "nn.ModuleDict", x: "Tensor", /) -> "Tensor":
        state, _ = parts["recur"](x)
        out: Tensor = parts["leave"](state[:, -1])[:, 0]
        return out
