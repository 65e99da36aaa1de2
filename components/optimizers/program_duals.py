"""From the columns and rows of a solved program to the weights and multipliers of its problem."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.optimizers.problem import Problem, Tail
from components.optimizers.program_layout import Figures
from components.optimizers.program_matrices import GROUPS
from components.optimizers.stating import marginal
from engine.events import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Multipliers:
    """Of the problem: not scaled, signed as `problem.Solution` says."""

    box: Vector  # (N,)
    rows: Vector  # (m,)
    turnover: tuple[float, ...]
    gross: tuple[float, ...]
    risk_caps: tuple[float, ...]
    tails: tuple[Vector, ...]


def multipliers(problem: Problem, figures: Figures, w: Vector, found: dict[str, Any]) -> Multipliers:
    """`found` has, by name of constraint, the multipliers of the program in slots, at least 0."""
    scale, free = figures.scale, figures.free
    rows = np.zeros(len(problem.low))
    for name, places in zip(GROUPS, figures.matrices.groups, strict=True):
        if len(places):
            rows[places] = (found[f"{name}_high"] - found[f"{name}_low"]) * figures.units[name] / scale
    turnover = tuple(float(found[f"turnover{i}"][0]) / scale for i in range(len(problem.turnover)))
    gross = tuple(float(found[f"gross{i}"][0]) / scale for i in range(len(problem.gross)))
    risk_caps = [0.0] * len(problem.risk_caps)  # they say nothing without a risk model
    for i in range(len(figures.layout.risk_caps)):
        unit = problem.risk_caps[i].limit if problem.risk_caps[i].limit > 0 else 1.0
        risk_caps[i] = float(found[f"risk{i}"][0]) / (scale * unit)
    box = np.zeros(len(problem))
    box[free] = (found["upper"] - found["lower"])[: len(free)] / scale
    tails = [
        found[f"tail{i}"][: len(tail.returns)] * figures.units[f"tail{i}"] / scale
        for i, tail in enumerate(problem.tails)
    ]
    result = Multipliers(
        box=box, rows=rows, turnover=turnover, gross=gross, risk_caps=tuple(risk_caps), tails=tuple(tails)
    )
    still = np.ones(len(problem), bool)
    still[free] = False
    if still.any():
        box[still] = balance(problem, result, w, tails)[still]
    return result


def unpriced(problem: Problem, w: Vector) -> Multipliers:
    """All multipliers 0, but for those of scenarios, of which the worst count."""
    return Multipliers(
        box=np.zeros(len(problem)),
        rows=np.zeros(len(problem.low)),
        turnover=(0.0,) * len(problem.turnover),
        gross=(0.0,) * len(problem.gross),
        risk_caps=(0.0,) * len(problem.risk_caps),
        tails=tuple(worst(tail, w) for tail in problem.tails),
    )


def worst(tail: Tail, w: Vector) -> Vector:
    """(T,) by how much each scenario counts in the tail's cost: a slope, one of several where losses are equal."""
    count = (1.0 - tail.level) * len(tail.returns)
    order = np.argsort(tail.returns @ w, kind="stable")
    share = np.zeros(len(order))
    share[order] = np.clip(count - np.arange(len(order)), 0.0, 1.0) * (tail.weight / count)
    return share


def balance(problem: Problem, known: Multipliers, w: Vector, tails: list[Vector]) -> Vector:
    """(N,) the bounds' multipliers that all others leave, the least of those that balance the slopes of the cost."""
    gradient = problem.q + problem.ridge * (w - problem.rest) + problem.A.T @ known.rows
    if problem.risk is not None:
        gradient = gradient + problem.aversion * marginal(problem.risk, w - problem.about)
        for cap, price in zip(problem.risk_caps, known.risk_caps, strict=True):
            pull = marginal(problem.risk, w - cap.about)
            size = max(float((w - cap.about) @ pull), 0.0) ** 0.5
            gradient = gradient + (price / size * pull if size > 0 else 0.0)
    for tail, worst in zip(problem.tails, tails, strict=True):
        gradient = gradient - tail.returns.T @ worst
    moved = w - problem.w0
    gradient = gradient + 1.5 * problem.impact * np.sqrt(np.abs(moved)) * np.sign(moved)
    least, most = gradient.copy(), gradient.copy()
    kinks = [(w - kink.at, kink.up, kink.down) for kink in problem.kinks]
    traded, held = np.full(len(w), sum(known.turnover)), np.full(len(w), sum(known.gross))
    for beyond, up, down in [*kinks, (moved, traded, traded), (w, held, held)]:
        least += np.where(beyond > 0, up, -down)
        most += np.where(beyond < 0, -down, up)
    box: Vector = -np.where(least > 0, least, np.where(most < 0, most, 0.0))
    return box
