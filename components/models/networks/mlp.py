"""A feed-forward network."""

from typing import TYPE_CHECKING

from components.models.networks.network import at_least, share

if TYPE_CHECKING:
    from torch import Tensor, nn


class Mlp:
    """All rows of the window side by side, through layers of decreasing or equal width.

        h_0 = [x_1 ; ... ; x_T]        h_k = drop(silu(W_k h_{k-1} + b_k))        out = w' h_K + d

    `hidden` are the widths. Source: Elfwing, Uchibe, Doya (2018), Sigmoid-weighted linear units, Neural Networks 107.
    """

    kind = "mlp"

    def __init__(self, *, hidden: tuple[int, ...] = (256, 64), dropout: float = 0.0) -> None:
        if not hidden:
            raise ValueError("hidden must name at least one width, got none")
        at_least("hidden", min(hidden), 1)
        share("dropout", dropout)
        self.options = {"hidden": list(hidden), "dropout": dropout}
        self._hidden, self._dropout = tuple(hidden), dropout

    def parts(self, width: int, steps: int, /) -> "nn.ModuleDict":
        from torch import nn

        layers: list[nn.Module] = []
        for into, out in zip((width * steps, *self._hidden), self._hidden, strict=False):
            layers += [nn.Linear(into, out), nn.SiLU(), nn.Dropout(self._dropout)]
        return nn.ModuleDict({"deep": nn.Sequential(*layers), "leave": nn.Linear(self._hidden[-1], 1)})

    def forward(self, parts: "nn.ModuleDict", x: "Tensor", /) -> "Tensor":
        out: Tensor = parts["leave"](parts["deep"](x.flatten(1)))[:, 0]
        return out
