"""GRU layers with the weights of PyTorch's, two to three times as fast on a CPU.

PyTorch goes over each step a dozen times, once for each operation on gates. Here a step is one matrix product and one
compiled loop, and the products that do not wait for a step (of all inputs; of all slopes of weights) are one each.
"""

from typing import Any

import torch
from torch import Tensor, nn

from components.models.networks.gru_kernel import answered, stepped, stepped_back

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class GruLayers(nn.Module):
    """States (T, B, hidden) of the last of `layers` GRUs over inputs (T, B, width); each begins at zero.

    Weights are those of `torch.nn.GRU`, which also does the work on other devices than a CPU. Under autocast matrix
    products are in bfloat16, sums and gates in float32.
    """

    def __init__(self, width: int, hidden: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(width, hidden, layers, dropout=dropout if layers > 1 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            state: Tensor = self.gru(x)[0]
            return state
        narrow = torch.is_autocast_enabled("cpu")
        with torch.autocast("cpu", enabled=False):
            x = x.float()
            for k in range(self.gru.num_layers):
                if k and self.training and self.gru.dropout:
                    x = nn.functional.dropout(x, self.gru.dropout)
                w, u, b, c = (getattr(self.gru, f"{name}_l{k}") for name in _NAMES)
                h = u.shape[1]
                bias = torch.cat([b[: 2 * h] + c[: 2 * h], b[2 * h :], c[2 * h :]])  # outside of r: r, z, n; inside: n
                x = _Layer.apply(x, w, u, bias, narrow) if torch.is_grad_enabled() else _states(x, w, u, bias, narrow)
        return x


def _states(x: Tensor, w: Tensor, u: Tensor, bias: Tensor, narrow: bool) -> Tensor:
    """States (T, B, H) without a way back."""
    steps, rows, hidden = x.shape[0], x.shape[1], u.shape[1]
    given, product = _given(x, w, narrow), _Product(u.t(), narrow)
    state = x.new_empty((steps + 1, rows, hidden))
    state[0] = 0.0
    recurrent = x.new_zeros((rows, 3 * hidden))
    arrays = given.numpy(), recurrent.numpy(), bias.numpy(), state.numpy()
    for t in range(steps):
        if t:
            product(state[t], recurrent)
        answered(*arrays, t)
    return state[1:]


def _given(x: Tensor, w: Tensor, narrow: bool) -> Tensor:
    """(T, B, 3 H) what the inputs add to each gate."""
    given = x.new_empty((x.shape[0] * x.shape[1], w.shape[0]))
    _Product(w.t(), narrow)(x.reshape(len(given), -1), given)
    return given.view(x.shape[0], x.shape[1], -1)


class _Product:
    """Matrix products with one right side, into float32 arrays that are there."""

    def __init__(self, right: Tensor, narrow: bool) -> None:
        self._right, self._narrow = (right.bfloat16() if narrow else right), narrow

    def __call__(self, left: Tensor, out: Tensor) -> None:
        if self._narrow:
            out.copy_(torch.mm(left.bfloat16(), self._right))
        else:
            torch.mm(left, self._right, out=out)


class _Layer(torch.autograd.Function):
    """One layer with its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, u: Tensor, bias: Tensor, narrow: bool) -> Tensor:
        steps, rows, hidden = x.shape[0], x.shape[1], u.shape[1]
        given, product = _given(x, w, narrow), _Product(u.t(), narrow)
        kept = x.new_empty((steps + 1, rows, 5 * hidden))
        kept[0] = 0.0
        recurrent = x.new_zeros((rows, 3 * hidden))
        arrays = given.numpy(), recurrent.numpy(), bias.detach().numpy(), kept.numpy()
        for t in range(steps):
            if t:
                product(kept[t, :, :hidden], recurrent)
            stepped(*arrays, t)
        ctx.save_for_backward(x, w, u, kept)
        ctx.narrow = narrow
        return kept[1:, :, :hidden].contiguous()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x, w, u, kept = ctx.saved_tensors
        wanted = slopes[0].contiguous()
        steps, rows, hidden = wanted.shape
        product = _Product(u, ctx.narrow)
        later, slope = x.new_zeros((rows, hidden)), x.new_empty((steps, rows, 5 * hidden))
        arrays = kept.numpy(), later.numpy(), wanted.numpy(), slope.numpy()
        for t in range(steps - 1, -1, -1):
            stepped_back(*arrays, t)
            if t:
                product(slope[t, :, hidden : 4 * hidden], later)
                later += slope[t, :, 4 * hidden :]
        flat = slope.view(steps * rows, 5 * hidden)[:, : 4 * hidden]  # of n, r, z, and of U_n h
        slope_bias = flat.sum(dim=0)
        if ctx.narrow:
            flat = flat.bfloat16()
        inner, outer = flat[:, : 3 * hidden], flat[:, hidden:]
        slope_w = _rolled(_tall(inner, x.reshape(steps * rows, -1)), hidden)
        slope_u = _tall(outer, kept[:steps].view(steps * rows, 5 * hidden)[:, :hidden])
        slope_x = None
        if ctx.needs_input_grad[0]:
            slope_x = x.new_empty((steps * rows, x.shape[2]))
            _Product(torch.cat([w[2 * hidden :], w[: 2 * hidden]]), ctx.narrow)(inner, slope_x)
            slope_x = slope_x.view(x.shape)
        slope_bias = torch.cat([_rolled(slope_bias[: 3 * hidden], hidden), slope_bias[3 * hidden :]])
        return slope_x, slope_w, slope_u, slope_bias, None


def _tall(left: Tensor, right: Tensor) -> Tensor:
    """left' right, both of many rows, in the precision of the left one."""
    return torch.mm(left.t(), right.to(left.dtype)).float()


def _rolled(rows: Tensor, hidden: int) -> Tensor:
    """Rows n, r, z as r, z, n."""
    return torch.cat([rows[hidden:], rows[:hidden]])
