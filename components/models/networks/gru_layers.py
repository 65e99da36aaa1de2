"""GRU layers with the weights of PyTorch's, two to three times as fast on a CPU.

PyTorch goes over each step a dozen times, once for each operation on gates. Here a step is one matrix product and one
compiled loop, and the products that do not wait for a step (of all inputs; of all slopes of weights) are one each.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from components.models.networks.gru_kernel import answered, squashed, stepped, stepped_back

_ROOM = 1 << 17  # numbers
_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Squash(nn.Module):
    """tanh in float32, by the compiled loop where there is no way back: that of PyTorch in bfloat16 is slow on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        if x.device.type != "cpu" or torch.is_grad_enabled():
            return torch.tanh(x)
        x = x.contiguous()
        out = torch.empty_like(x)
        squashed(_array(x.view(-1)), _array(out.view(-1)))
        return out


class GruLayers(nn.Module):
    """States (T, B, hidden) of the last of `layers` GRUs over inputs (T, B, width); each begins at zero.

    Weights are those of `torch.nn.GRU`, which also does the work on other devices than a CPU. Under autocast what goes
    into matrix products and comes out of them is bfloat16, the states among it; gates are float32.
    """

    def __init__(self, width: int, hidden: int, *, layers: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(width, hidden, layers, dropout=dropout if layers > 1 else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            state: Tensor = self.gru(x)[0]
            return state
        kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        with torch.autocast("cpu", enabled=False):
            x = x.to(kind)
            for k in range(self.gru.num_layers):
                if k and self.training and self.gru.dropout:
                    x = nn.functional.dropout(x, self.gru.dropout)
                w, u, b, c = (getattr(self.gru, f"{name}_l{k}") for name in _NAMES)
                h = u.shape[1]
                bias = torch.cat([b[: 2 * h] + c[: 2 * h], b[2 * h :], c[2 * h :]])  # outside of r: r, z, n; inside: n
                w, u = w.to(kind), u.to(kind)
                x = _Layer.apply(x, w, u, bias) if torch.is_grad_enabled() else _states(x, w, u, bias)
        return x


def _states(x: Tensor, w: Tensor, u: Tensor, bias: Tensor) -> Tensor:
    """States (T, B, H) without a way back."""
    given, state, recurrent = _began(x, u)
    arrays = _array(given), _array(recurrent), _array(bias), _array(state)
    across, inward, states, few = u.t(), w.t(), state.unbind(), len(given)
    for t in range(len(x)):
        if t % few == 0:
            _give(x, inward, given, t)
        if t:
            torch.mm(states[t], across, out=recurrent)
        answered(*arrays, t)
    return state[1:]


def _began(x: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Room for what inputs add to the gates of a few steps (C, B, 3 H), states (T + 1, B, H) and U h, both zero first.

    As many steps as stay in a cache until they are read; and memory that is used again costs no page faults.
    """
    steps, rows, _ = x.shape
    few = min(steps, max(1, _ROOM // (rows * u.shape[0])))
    state = x.new_empty((steps + 1, rows, u.shape[1]))
    state[0] = 0.0
    return x.new_empty((few, rows, u.shape[0])), state, x.new_zeros((rows, u.shape[0]))


def _give(x: Tensor, inward: Tensor, given: Tensor, t: int) -> None:
    """W x of the steps from t on, as many as there is room for."""
    some = x[t : t + len(given)]
    torch.mm(some.reshape(-1, x.shape[2]), inward, out=given[: len(some)].view(-1, given.shape[2]))


def _array(tensor: Tensor) -> NDArray[Any]:
    """The tensor's own memory; bfloat16 as uint16."""
    tensor = tensor.detach()
    array: NDArray[Any] = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


class _Layer(torch.autograd.Function):
    """One layer with its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, u: Tensor, bias: Tensor) -> Tensor:
        given, state, recurrent = _began(x, u)
        kept = x.new_empty((len(x), x.shape[1], 4 * u.shape[1]))
        arrays = _array(given), _array(recurrent), _array(bias), _array(state), _array(kept)
        across, inward, states, few = u.t(), w.t(), state.unbind(), len(given)
        for t in range(len(x)):
            if t % few == 0:
                _give(x, inward, given, t)
            if t:
                torch.mm(states[t], across, out=recurrent)
            stepped(*arrays, t)
        ctx.save_for_backward(x, w, u, state, kept)
        return state[1:]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        x, w, u, state, kept = ctx.saved_tensors
        wanted = slopes[0].contiguous()
        steps, rows, hidden = wanted.shape
        later, past = x.new_zeros((rows, hidden)), torch.zeros((rows, hidden))
        slope = x.new_empty((steps, rows, 4 * hidden))
        arrays = [_array(each) for each in (state, kept, later, past, slope)]
        asked, through = wanted.unbind(), slope[:, :, hidden:].unbind()
        for t in range(steps - 1, -1, -1):
            past += asked[t]
            stepped_back(*arrays, t)
            if t:
                torch.mm(through[t], u, out=later)
        flat = slope.view(steps * rows, 4 * hidden)  # of n, r, z, and of U_n h
        inner, outer = flat[:, : 3 * hidden], flat[:, hidden:]
        slope_w = _rolled(torch.mm(inner.t(), x.reshape(steps * rows, -1)), hidden)
        slope_u = torch.mm(outer.t(), state[:steps].view(steps * rows, hidden))
        slope_x = None
        if ctx.needs_input_grad[0]:
            slope_x = torch.mm(inner, torch.cat([w[2 * hidden :], w[: 2 * hidden]])).view(x.shape)
        sums = flat.sum(dim=0, dtype=torch.float32)
        slope_bias = torch.cat([_rolled(sums[: 3 * hidden], hidden), sums[3 * hidden :]])
        return slope_x, slope_w, slope_u, slope_bias


def _rolled(rows: Tensor, hidden: int) -> Tensor:
    """Rows n, r, z as r, z, n."""
    return torch.cat([rows[hidden:], rows[:hidden]])
