"""A recurrent network that attends to its own past."""

from typing import TYPE_CHECKING

from components.models.networks.network import at_least, share

if TYPE_CHECKING:
    from torch import Tensor, nn


class Alstm:
    """Attention over the states of a GRU.

        u_t = tanh(W x_t + b)                       h_1 .. h_T = GRU(u_1 .. u_T)
        a   = softmax over t of v' tanh(A h_t + c)  out = w' [h_T ; sum_t a_t h_t] + d

    `hidden` numbers a state, `layers` GRUs on top of each other with `dropout` between them, and within the attention.
    The GRU stands where the name says LSTM: so do the published figures.

    Source: Qin et al. (2017), A dual-stage attention-based recurrent neural network, IJCAI; Feng et al. (2019),
    Enhancing stock movement prediction with adversarial training, IJCAI, eq. 1 to 4.
    """

    kind = "alstm"

    def __init__(self, *, hidden: int = 64, layers: int = 2, dropout: float = 0.0) -> None:
        at_least("hidden", hidden, 2)
        at_least("layers", layers, 1)
        share("dropout", dropout)
        self.options = {"hidden": hidden, "layers": layers, "dropout": dropout}
        self._hidden, self._layers, self._dropout = hidden, layers, dropout

    def parts(self, width: int, steps: int, /) -> "nn.ModuleDict":
        from torch import nn

        from components.models.networks.gru_layers import GruLayers, Squash

        hidden, half = self._hidden, self._hidden // 2
        first = [nn.Linear(hidden, half), nn.Dropout(self._dropout), Squash(), nn.Linear(half, 1, bias=False)]
        return nn.ModuleDict(
            {
                "enter": nn.Sequential(nn.Linear(width, hidden), Squash()),
                "recur": GruLayers(hidden, hidden, layers=self._layers, dropout=self._dropout),
                "attend": nn.Sequential(*first),
                "leave": nn.Linear(2 * hidden, 1),
            }
        )

    def forward(self, parts: "nn.ModuleDict", x: "Tensor", /) -> "Tensor":
        import torch

        state = parts["recur"](parts["enter"](x.transpose(0, 1).contiguous()))  # (steps, B, hidden)
        share_of = torch.softmax(parts["attend"](state), dim=0)
        context = torch.bmm(share_of.permute(1, 2, 0), state.transpose(0, 1))[:, 0]
        out: Tensor = parts["leave"](torch.cat([state[-1], context], dim=1))[:, 0]
        return out
