"""What binds in a mean-variance answer, and what it costs: shadow prices as notes. Pure functions of arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.optimizers.paying import Rows
from engine.events import Mask, Note, Vector

_NEAR = 1e-6  # of a weight: what a solver leaves between an answer and its bound
_LEAST = 1e-8  # of a return a slice: a shadow price below it is none


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one problem as the run file calls them."""

    max_weight: float
    cost: float  # share of traded value, a slice
    invest: float  # share of equity, of names that cannot move too
    capped: bool  # whether `invest` is max_invest, below what the targets want


@dataclass(frozen=True, slots=True)
class Solved:
    """Whose answer it is: n free names."""

    source: str
    ts: int
    free: Rows  # (n,) positions in the universe
    known: Mask  # (n,) whether there is an opinion
    limits: Limits


def notes_of(solved: Solved, problem: Any, weights: Vector) -> tuple[Note, ...]:
    """The weights that were solved, then one note for each kind of limit that binds, with shadow prices.

    `problem` is a `quadratic.Problem`. A shadow price is what the objective would gain if the limit were one unit of
    weight looser, at the margin: an expected return of equity over one slice, after risk and cost. With g the gain of
    one more unit of a name's weight, less what the unit earns elsewhere where the sum of the weights is limited,

        g = a - Sigma w - what a unit earns elsewhere

    | kind               | of                                           | value                                   |
    | ------------------ | -------------------------------------------- | --------------------------------------- |
    | `weights`          | every free name                              | its weight before rounding              |
    | `binds:max_weight` | names at max_weight                          | price: g - cost                         |
    | `binds:no_alpha`   | names without an opinion, never bought       | price: g - cost                         |
    | `binds:zero`       | names at 0 that a short sale would improve   | price: -g - cost                        |
    | `binds:cost`       | names left as they are                       | g, within the cost on both sides        |
    | `binds:invest`     | no symbol: the sum of weights                | price; below 0 where all is invested    |

    Prices come from the answer itself and not from a solver's multipliers, which are not the only ones where several
    limits bind at one place: these are the slopes of the best objective as the limit is loosened.
    """
    said = [_note(solved, "weights", f"{len(solved.free)} weights solved, before rounding", slice(None), weights)]
    slopes = _slopes(problem, weights)
    for kind, text, rows, values in _bound(solved, problem, weights, slopes):
        many = f"{len(rows)} {'name' if len(rows) == 1 else 'names'} {text}"
        said.append(_note(solved, f"binds:{kind}", many, rows, values[rows]))
    if abs(slopes.rise) > _LEAST:
        text, price = _invest(solved.limits, slopes.rise), np.array([slopes.rise])
        said.append(Note(ts=solved.ts, source=solved.source, kind="binds:invest", text=text, value=price))
    return tuple(said)


@dataclass(frozen=True, slots=True)
class _Slopes:
    """How the objective changes with each weight, and with the sum of weights."""

    gain: Vector  # (n,) of one more unit, before cost and wherever the unit comes from
    more: Vector  # (n,) of one more unit, after cost
    less: Vector  # (n,) of one unit less, after cost
    rise: float  # of one more unit in the sum, 0 where the sum is not limited
    fall: float  # what a unit must earn to be taken from another name, infinite where there is none to take


def _slopes(problem: Any, w: Vector) -> _Slopes:
    c = problem.c
    gain: Vector = problem.a - problem.L @ (w @ problem.L) - problem.d**2 * w
    more, less = gain - c, -c - gain
    if c > 0:  # one more unit costs c, unless it undoes a sale; one less costs c, unless it undoes a purchase
        moved = w - problem.w0
        more += (2.0 * c) * (moved < -_NEAR)
        less += (2.0 * c) * (moved > _NEAR)
    if w.sum() < problem.hi - _NEAR * len(w):
        return _Slopes(gain, more, less, 0.0, 0.0)
    up, down = more[w < problem.ub - _NEAR], less[w > _NEAR]
    rise = float(up.max()) if up.size else 0.0
    rise = rise if problem.lo > 0.0 else max(rise, 0.0)
    fall = max(rise, -float(down.max())) if down.size else np.inf
    return _Slopes(gain, more, less, rise, fall)


def _bound(solved: Solved, problem: Any, w: Vector, slopes: _Slopes) -> list[tuple[str, str, Rows, Vector]]:
    """(kind, what binds, rows, values of all) of the limits of single names that bind."""
    limits = solved.limits
    more, less = slopes.more - slopes.fall, slopes.less + slopes.rise
    top = (w >= problem.ub - _NEAR) & (more > _LEAST)
    floor = (w <= _NEAR) & (less > _LEAST)
    found = []
    if np.count_nonzero(top):
        at, guessed = (top & solved.known).nonzero()[0], (top & ~solved.known).nonzero()[0]
        found += [("max_weight", f"at max_weight {limits.max_weight:g}", at, more)] if at.size else []
        found += [("no_alpha", "without an opinion: not bought", guessed, more)] if guessed.size else []
    if np.count_nonzero(floor):
        found.append(("zero", "at 0: only a short position would be better", floor.nonzero()[0], less))
    if problem.c > 0:
        still = ((np.abs(w - problem.w0) <= _NEAR) & ~top & ~floor).nonzero()[0]
        if still.size:
            text = f"left as they are: a trade gains less than its cost of {limits.cost:.3g}"
            gain = slopes.gain
            net = np.maximum(gain - slopes.fall, 0.0) + np.minimum(gain - slopes.rise, 0.0)
            found.append(("cost", text, still, net))
    return found


def _invest(limits: Limits, price: float) -> str:
    of = f"max_invest {limits.invest:g}" if limits.capped else f"{limits.invest:.4g}, what the targets want invested"
    return f"the weights add up to {of}" + ("; less would be better" if price < 0 else "")


def _note(solved: Solved, kind: str, text: str, rows: Any, values: Vector) -> Note:
    symbol = solved.free[rows].astype(np.int32)
    return Note(ts=solved.ts, source=solved.source, kind=kind, text=text, symbol=symbol, value=values)
