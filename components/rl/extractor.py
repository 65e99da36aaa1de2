"""The networks of agents: an observation in, features out. With PyTorch, which is imported only where one is made."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from components.rl.observing import HISTORY_NOW
from components.rl.trainer_options import BRANCHES, Mlp, Recurrent
from engine.errors import ConfigError

Shapes = Mapping[str, tuple[int, ...]]
_AT = [HISTORY_NOW.index(name) for name in ("tick", "step")]
_KNOWN = [HISTORY_NOW.index(name) for name in ("buys", "sells", "quantity", "remaining")]


class Flat(nn.Module):
    """Everything of an observation side by side, by name, then layers of ReLU."""

    def __init__(self, shapes: Shapes, options: Mlp) -> None:
        super().__init__()
        self.names = sorted(shapes)
        widths = [sum(_size(shapes[name]) for name in self.names), *options.hidden]
        pairs = zip(widths, widths[1:], strict=False)
        self.layers = nn.Sequential(*[part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())])
        self.features_dim = widths[-1]

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        found: Tensor = self.layers(torch.cat([observation[name].flatten(1) for name in self.names], dim=1))
        return found


class Branches(nn.Module):
    """The recurrent extractor: three branches of `hidden`, side by side, then hidden and out.

        market   Linear + ReLU of each bar behind a row of zeros, GRU, its state at the bar now
        own      Linear + ReLU of (left to trade / quantity, step / steps) of each step, GRU, its state at the step now
        now      Linear + ReLU + Linear + ReLU of side, size, and what is left

    Observations are those of `FullHistory`; the day before is not looked at.

    Source: Fang et al. (2021), Universal trading for order execution with oracle policy distillation, section 4.3; of
    the implementation in Qlib, without its third GRU, which nothing read.
    """

    def __init__(self, shapes: Shapes, options: Recurrent) -> None:
        super().__init__()
        lacking = sorted({*BRANCHES} - {*shapes})
        if lacking or shapes["now"] != (len(HISTORY_NOW),):
            raise ConfigError(
                f"network recurrent: it reads market, own and now of the observation full_history, and this one has "
                f"{', '.join(sorted(shapes))}; take that observation, or the network mlp"
            )
        from components.models.networks.gru_layers import GruLayers  # with a compiler, which no Mlp needs

        hidden = options.hidden
        self.bar = nn.Sequential(nn.Linear(shapes["market"][1], hidden), nn.ReLU())
        self.bars = GruLayers(hidden, hidden, layers=1, dropout=0.0)
        self.step = nn.Sequential(nn.Linear(shapes["own"][1], hidden), nn.ReLU())
        self.steps = GruLayers(hidden, hidden, layers=1, dropout=0.0)
        self.now = nn.Sequential(nn.Linear(len(_KNOWN), hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.out = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, options.out), nn.ReLU())
        self.features_dim = options.out

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        now = observation["now"]
        market, own, at = observation["market"], observation["own"], now[:, _AT].long()
        of = torch.arange(len(now))
        if torch.is_grad_enabled():
            ends, of = _runs(market, own, at)
            bars, steps = at.max(dim=0).values.tolist()
            market, own = market[ends, : bars + 1], own[ends, : steps + 1]
        bars_now = self.bars(self.bar(market.transpose(0, 1)))[at[:, 0], of]
        steps_now = self.steps(self.step(own.transpose(0, 1)))[at[:, 1], of]
        found: Tensor = self.out(torch.cat([bars_now, steps_now, self.now(now[:, _KNOWN])], dim=1))
        return found


def _runs(market: Tensor, own: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """(R,) the last row of each run of rows of which each one's past begins as that of the row before, and (W,) the run
    of each row: states at all of their steps are found on the way to the last."""
    goes_on = torch.ones(len(at) - 1, dtype=torch.bool)
    for seen, now in ((market, at[:, 0]), (own, at[:, 1])):
        behind = torch.arange(seen.shape[1]) > now[:-1, None]
        goes_on &= (now[1:] >= now[:-1]) & ((seen[1:] == seen[:-1]).all(dim=2) | behind).all(dim=1)
    ends = torch.cat([~goes_on, goes_on.new_ones(1)])
    return ends.nonzero()[:, 0], ends.cumsum(0) - ends.long()


def extractor_of(shapes: Shapes, options: Mlp | Recurrent) -> Flat | Branches:
    """The network of these options for observations of these shapes, its weights drawn as PyTorch is seeded."""
    return Flat(shapes, options) if isinstance(options, Mlp) else Branches(shapes, options)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size
