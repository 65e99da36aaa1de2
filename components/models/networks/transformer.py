"""Self-attention over the rows of a window."""

from typing import TYPE_CHECKING

from components.models.networks.network import at_least, share

if TYPE_CHECKING:
    from torch import Tensor, nn


class Transformer:
    """An encoder that looks at all rows of the window; the newest row answers.

        h_0t = W x_t + b + p_t
        g = h + attention(norm(h))        h' = g + V relu(U norm(g))        out = w' norm(h_LT) + d

    The places p_t are learned. `hidden` numbers a row, `heads` that divide it, `layers` of them, 4 `hidden` inside.

    Source: Vaswani et al. (2017), Attention is all you need, NeurIPS; norms come first as in Xiong et al. (2020), On
    layer normalization in the transformer architecture, ICML.
    """

    kind = "transformer"

    def __init__(self, *, hidden: int = 64, heads: int = 2, layers: int = 2, dropout: float = 0.0) -> None:
        at_least("heads", heads, 1)
        at_least("layers", layers, 1)
        share("dropout", dropout)
        if hidden < 1 or hidden % heads:
            raise ValueError(f"hidden must be a multiple of heads, got {hidden} and {heads}")
        self.options = {"hidden": hidden, "heads": heads, "layers": layers, "dropout": dropout}
        self._hidden, self._heads, self._layers, self._dropout = hidden, heads, layers, dropout

    def parts(self, width: int, steps: int, /) -> "nn.ModuleDict":
        from torch import nn

        hidden = self._hidden
        blocks = [
            nn.TransformerEncoderLayer(
                hidden, self._heads, 4 * hidden, self._dropout, batch_first=True, norm_first=True
            )
            for _ in range(self._layers)
        ]
        return nn.ModuleDict(
            {
                "enter": nn.Linear(width, hidden),
                "place": nn.Embedding(steps, hidden),
                "deep": nn.Sequential(*blocks),
                "leave": nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, 1)),
            }
        )

    def forward(self, parts: "nn.ModuleDict", x: "Tensor", /) -> "Tensor":
        import torch

        place = parts["place"](torch.arange(x.shape[1], device=x.device))
        state = parts["deep"](parts["enter"](x) + place)
        out: Tensor = parts["leave"](state[:, -1])[:, 0]
        return out
