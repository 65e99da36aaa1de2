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


def notes_of(solved: Solved, problem: Any, weights: Vector, budget: float) -> tuple[Note, ...]:
    """The weights that were solved, then one note for each kind of limit that binds, with shadow prices.

    `problem` is a `quadratic.Problem` and `budget` the shadow price of its sum of weights.

    A shadow price is what the objective would gain if the limit were one unit of weight looser, at the margin: an
    expected return of equity over one slice, after risk and cost. With g the gain of one more unit of a name's weight,

        g = a - Sigma w - price of the sum of weights

    | kind             | of                                           | value                                         |
    | ---------------- | -------------------------------------------- | --------------------------------------------- |
    | `weights`        | every free name                              | its weight before rounding                    |
    | `binds:max_weight` | names at max_weight                        | price: g - cost                               |
    | `binds:no_alpha` | names without an opinion, never bought       | price: g - cost                               |
    | `binds:zero`     | names at 0 that a short sale would improve   | price: -g - cost                              |
    | `binds:cost`     | names left as they are                       | g, within the cost on both sides: no price    |
    | `binds:invest`   | no symbol: the sum of weights                | price; below 0 where all must be invested     |
    """
    said = [_note(solved, "weights", f"{len(solved.free)} weights solved, before rounding", slice(None), weights)]
    for kind, text, rows, values in _bound(solved, problem, weights, budget):
        many = f"{len(rows)} {'name' if len(rows) == 1 else 'names'} {text}"
        said.append(_note(solved, f"binds:{kind}", many, rows, values[rows]))
    if abs(budget) > _LEAST:
        said.append(
            Note(
                ts=solved.ts,
                source=solved.source,
                kind="binds:invest",
                text=_invest(solved.limits, budget),
                value=np.array([budget]),
            )
        )
    return tuple(said)


def gains(problem: Any, weights: Vector, budget: float) -> Vector:
    """(n,) what one more unit of each weight brings before cost, at the price of the sum of weights."""
    result: Vector = problem.a - problem.L @ (weights @ problem.L) - problem.d**2 * weights
    result -= budget
    return result


def _bound(solved: Solved, problem: Any, w: Vector, budget: float) -> list[tuple[str, str, Rows, Vector]]:
    """(kind, what binds, rows, values of all) of the limits of single names that bind."""
    limits, c = solved.limits, problem.c
    g = gains(problem, w, budget)
    moved = w - problem.w0
    bought, sold = moved > _NEAR, moved < -_NEAR
    # One more unit costs c, unless it undoes a sale; one less costs c, unless it undoes a purchase.
    more, less = g - c, -c - g
    if c > 0:
        more += (2.0 * c) * sold
        less += (2.0 * c) * bought
    top = (w >= problem.ub - _NEAR) & (more > _LEAST)
    floor = (w <= _NEAR) & (less > _LEAST)
    found = []
    if np.count_nonzero(top):
        at, guessed = (top & solved.known).nonzero()[0], (top & ~solved.known).nonzero()[0]
        found += [("max_weight", f"at max_weight {limits.max_weight:g}", at, more)] if at.size else []
        found += [("no_alpha", "without an opinion: not bought", guessed, more)] if guessed.size else []
    if np.count_nonzero(floor):
        found.append(("zero", "at 0: only a short position would be better", floor.nonzero()[0], less))
    still = (~(bought | sold | top | floor)).nonzero()[0] if c > 0 else moved.nonzero()[0][:0]
    if still.size:
        text = f"left as they are: a trade gains less than its cost of {limits.cost:.3g}"
        found.append(("cost", text, still, g))
    return found


def _invest(limits: Limits, price: float) -> str:
    of = f"max_invest {limits.invest:g}" if limits.capped else f"{limits.invest:.4g}, what the targets want invested"
    return f"the weights add up to {of}" + ("; less would be better" if price < 0 else "")


def _note(solved: Solved, kind: str, text: str, rows: Any, values: Vector) -> Note:
    symbol = solved.free[rows].astype(np.int32)
    return Note(ts=solved.ts, source=solved.source, kind=kind, text=text, symbol=symbol, value=values)
