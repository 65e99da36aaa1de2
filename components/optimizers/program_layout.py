"""A problem cut down to the names that may move: its layout, and figures for the parameters of its program.

Names whose bounds are equal are constants and leave the program, so its size is that of the names that may move. Slots
are powers of two: a program serves every slice of its layout, whoever came or went.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.optimizers.problem import HARD, Kink, Problem
from components.optimizers.program_matrices import GROUPS, PRICED, Matrices, matrices_of, size_for, unit_of
from components.optimizers.stating import marginal
from engine.events import Codes, Mask, Matrix, Vector

_SCALE_MAX = 30  # the objective is multiplied by at most 2 to this power


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a program is compiled for. Two problems of one layout differ in figures only."""

    slots: int
    factors: int  # slots of v = F'w, 0 = no risk
    quadratic: bool
    dense: tuple[int, int]  # rows that must hold, rows with a price
    factored: tuple[tuple[int, ...], tuple[int, ...]]  # rows that are factors, as positions in v: likewise
    splits: tuple[bool, ...]  # parts of a weight on one side of a point: True = above it, False = below it
    traded: int  # the split about w0 that turnover is counted with, -1 = none
    shorted: int  # the split about 0 that gross is counted with, -1 = none
    turnover: tuple[bool, ...]  # of each cap, whether it has a price
    gross: tuple[bool, ...]
    risk_caps: tuple[bool, ...]
    impact: bool
    tails: tuple[int, ...]  # slots for scenarios

    @property
    def conic(self) -> bool:
        return self.impact or bool(self.risk_caps)

    @property
    def linear(self) -> bool:
        return not self.quadratic and not self.conic


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The numbers of one problem: by name of parameter the value, in slots; by name of variable what lies idle."""

    layout: Layout
    free: Codes  # (n,) the names that may move
    matrices: Matrices  # a next problem with the same ones takes them from here
    scale: float  # the objective is multiplied by it
    units: dict[str, Vector]  # by group of rows, what each is multiplied by
    values: dict[str, Vector | Matrix]
    idle: dict[str, Mask]

    def faulty(self) -> str:
        """The first parameter that is not a number, or nothing."""
        if self.matrices.faulty:
            return "the matrix of factors or of rows"
        known = ("F", *(f"{name}_A" for name in self.matrices.dense))
        return next((name for name, value in self.values.items() if name not in known and np.isnan(value).any()), "")


@dataclass(frozen=True, slots=True)
class _Split:
    at: Vector  # (N,)
    over: bool
    cost: Vector  # (N,) of the part beyond `at`
    slope: Vector  # (N,) what w itself costs beside


def figured(problem: Problem, known: Matrices | None = None) -> Figures:
    """Layout and figures. At least one name may move. `known` saves work and changes nothing."""
    free = np.flatnonzero(problem.lower < problem.upper).astype(np.int32)
    n = size_for(len(free))
    fixed = np.where(problem.lower < problem.upper, 0.0, problem.lower)
    risk = problem.risk
    matrices = known if known is not None and known.hold(problem, free) else matrices_of(problem, free, n)
    splits, traded, shorted = _splits(problem)
    curved = problem.aversion if risk is not None else 0.0
    layout = Layout(
        slots=n,
        factors=0 if risk is None else matrices.slotted.shape[1],
        quadratic=bool(curved) or bool(problem.ridge[free].any()),
        dense=(len(matrices.groups[0]), len(matrices.groups[1])),
        factored=matrices.places,
        splits=tuple(split.over for split in splits),
        traded=traded,
        shorted=shorted,
        turnover=tuple(cap.soft != HARD for cap in problem.turnover),
        gross=tuple(cap.soft != HARD for cap in problem.gross),
        risk_caps=tuple(cap.soft != HARD for cap in problem.risk_caps) if risk is not None else (),
        impact=bool(problem.impact[free].any()),
        tails=tuple(size_for(len(tail.returns)) for tail in problem.tails),
    )
    q = _linear(problem, curved) + sum((split.slope for split in splits), np.zeros(len(problem)))
    scale = _scale(problem, q[free], free, curved)
    figures = Figures(
        layout=layout, free=free, matrices=matrices, scale=scale, units=dict(matrices.units), values={}, idle={}
    )
    _write_weights(figures, problem, q)
    if risk is not None:
        _write_factors(figures, risk.specific, fixed, curved)
        _write_risk_caps(figures, problem, risk.specific, fixed)
    _write_rows(figures, problem, fixed)
    _write_splits(figures, splits)
    _write_caps(figures, problem, fixed)
    if layout.impact:
        _write_impact(figures, problem)
    _write_tails(figures, problem, fixed)
    return figures


def pinned(problem: Problem) -> Mask:
    """(N,) names whose bounds leave no choice."""
    return np.asarray(problem.lower >= problem.upper)


def _splits(problem: Problem) -> tuple[list[_Split], int, int]:
    """Kinks about the same point are one; turnover and gross use theirs or get one without a cost."""
    splits: list[_Split] = []
    for point in _gathered(problem.kinks):
        up = sum((kink.up for kink in point), np.zeros(len(problem)))
        down = sum((kink.down for kink in point), np.zeros(len(problem)))
        over = not down.any()
        splits.append(_Split(point[0].at, over, up + down, -down if over else up))
    places = []
    for needed, at in ((bool(problem.turnover), problem.w0), (bool(problem.gross), np.zeros(len(problem)))):
        place = next((i for i, s in enumerate(splits) if not s.over and np.array_equal(s.at, at)), -1)
        if needed and place < 0:
            splits.append(_Split(at, False, np.zeros(len(problem)), np.zeros(len(problem))))
            place = len(splits) - 1
        places.append(place if needed else -1)
    return splits, places[0], places[1]


def _gathered(kinks: Sequence[Kink]) -> list[list[Kink]]:
    points: list[list[Kink]] = []
    for kink in kinks:
        same = next((point for point in points if np.array_equal(point[0].at, kink.at)), None)
        if same is None:
            points.append([kink])
        else:
            same.append(kink)
    return points


def _linear(problem: Problem, curved: float) -> Vector:
    """(N,) the linear cost once the quadratic ones are about 0; `v` carries what fixed names add to risk."""
    q = problem.q - problem.ridge * problem.rest
    if curved and problem.risk is not None:
        q = q - curved * marginal(problem.risk, problem.about)
    return q


def _scale(problem: Problem, q: Vector, free: Codes, curved: float) -> float:
    """A power of two that brings the gradient to the order of 1: tolerances of solvers are absolute."""
    largest = max((float(np.abs(kink.up + kink.down)[free].max()) for kink in problem.kinks), default=0.0)
    w = 0.5 * (problem.w0 + 1.0 / len(free))
    gradient = q + problem.ridge[free] * w[free]
    if curved and problem.risk is not None:
        gradient = gradient + curved * marginal(problem.risk, w)[free]
    largest = max(largest, float(np.abs(gradient).max()))
    largest = max([largest, *(tail.weight * float(np.abs(tail.returns).max()) for tail in problem.tails)])
    if not np.isfinite(largest) or largest <= 0:
        return 1.0
    return 2.0 ** -min(max(round(math.log2(largest)), -_SCALE_MAX), _SCALE_MAX)


def _write_weights(figures: Figures, problem: Problem, q: Vector) -> None:
    free, n = figures.free, figures.layout.slots
    figures.values["q"] = filled(q[free] * figures.scale, n)
    figures.values["lower"] = filled(problem.lower[free], n)
    figures.values["upper"] = filled(problem.upper[free], n)
    figures.values["d"] = filled(problem.ridge[free] * figures.scale, n)
    figures.idle["w"] = np.arange(n) >= len(free)


def _write_factors(figures: Figures, specific: Vector, fixed: Vector, curved: float) -> None:
    layout, free, matrices = figures.layout, figures.free, figures.matrices
    K, by = len(matrices.F), curved * figures.scale
    Om = np.zeros((layout.factors, layout.factors), order="F")
    Om[:K, :K] = matrices.covariance * by
    figures.values["F"], figures.values["Om"] = matrices.slotted, Om
    figures.values["d"] = figures.values["d"] + filled(specific[free] * by, layout.slots)
    v_fixed = matrices.F @ fixed if fixed.any() else np.zeros(K)
    figures.values["v_fixed"] = filled(v_fixed, layout.factors)
    figures.idle["v"] = np.arange(layout.factors) >= K


def _write_risk_caps(figures: Figures, problem: Problem, specific: Vector, fixed: Vector) -> None:
    """Each cap divided by its limit: |[L'(v - v_about), d (w - about), rest]| <= 1."""
    layout, free, matrices = figures.layout, figures.free, figures.matrices
    if not layout.risk_caps:
        return
    K = len(matrices.F)
    values, vectors = np.linalg.eigh(matrices.covariance)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    deviation = np.sqrt(specific)
    out = pinned(problem)
    for i, cap in enumerate(problem.risk_caps):
        unit = cap.limit if cap.limit > 0 else 1.0
        L = np.zeros((layout.factors, layout.factors), order="F")
        L[:K, :K] = root / unit
        about = root @ (matrices.F @ cap.about) / unit
        figures.values[f"risk_root{i}"] = L
        figures.values[f"risk_about{i}"] = filled(about, layout.factors)
        figures.values[f"risk_specific{i}"] = filled(deviation[free] / unit, layout.slots)
        figures.values[f"risk_own{i}"] = filled((deviation * cap.about)[free] / unit, layout.slots)
        rest = np.linalg.norm((deviation * (fixed - cap.about))[out]) / unit
        figures.values[f"risk_rest{i}"] = np.array([rest])
        figures.values[f"risk_limit{i}"] = np.array([cap.limit / unit])
        figures.values[f"risk_price{i}"] = np.array([_price(cap.soft) * unit * figures.scale])


def _write_rows(figures: Figures, problem: Problem, fixed: Vector) -> None:
    """Limits of the dense groups are less by what the fixed names use; `v` has them in it already."""
    matrices = figures.matrices
    used = problem.A @ fixed if fixed.any() else np.zeros(len(problem.low))
    for name, rows in zip(GROUPS, matrices.groups, strict=True):
        if not len(rows):
            continue
        unit, less = matrices.units[name], np.zeros(len(rows))
        if name in matrices.dense:
            figures.values[f"{name}_A"], less = matrices.dense[name], used[rows]
        figures.values[f"{name}_low"] = (problem.low[rows] - less) * unit
        figures.values[f"{name}_high"] = (problem.high[rows] - less) * unit
        if name in PRICED:
            figures.values[f"{name}_price"] = problem.row_soft[rows] * figures.scale / unit


def _write_splits(figures: Figures, splits: list[_Split]) -> None:
    """A part that costs nothing and that no cap counts is idle: nothing would hold it."""
    layout, free = figures.layout, figures.free
    for i, split in enumerate(splits):
        counted = i in (layout.traded, layout.shorted)
        idle = np.ones(layout.slots, bool)
        idle[: len(free)] = (split.cost[free] <= 0) & (not counted)
        none = np.inf if split.over else -np.inf
        figures.values[f"at{i}"] = np.where(idle, none, filled(split.at[free], layout.slots))
        figures.values[f"cost{i}"] = filled(split.cost[free] * figures.scale, layout.slots)
        figures.idle[f"beyond{i}"] = idle


def _write_caps(figures: Figures, problem: Problem, fixed: Vector) -> None:
    """A cap is less by what the fixed names use of it; |x| is x and twice its part below 0."""
    moving = np.zeros(len(problem), bool)
    moving[figures.free] = True
    still = float(np.abs(fixed - problem.w0)[~moving].sum()) - float(problem.w0[moving].sum())
    held = float(np.abs(fixed)[~moving].sum())
    limits = [("turnover", i, cap.limit - still, cap.soft) for i, cap in enumerate(problem.turnover)]
    limits += [("gross", i, cap.limit - held, cap.soft) for i, cap in enumerate(problem.gross)]
    for name, i, limit, soft in limits:
        figures.values[f"{name}_limit{i}"] = np.array([limit])
        figures.values[f"{name}_price{i}"] = np.array([_price(soft) * figures.scale])


def _write_impact(figures: Figures, problem: Problem) -> None:
    """Names without impact get no cone: theirs is about 0. Trades are of the order of 1 / n, in cones of that of 1."""
    free, n = figures.free, figures.layout.slots
    k = filled(problem.impact[free] * figures.scale, n)
    figures.values["impact"] = k / n**1.5
    figures.values["impact_on"] = np.where(k > 0, float(n), 0.0)
    figures.values["impact_at"] = np.where(k > 0, filled(problem.w0[free], n) * n, 0.0)
    figures.values["impact_most"] = np.where(k > 0, np.inf, 1.0)


def _write_tails(figures: Figures, problem: Problem, fixed: Vector) -> None:
    """Slots without a scenario have a floor that holds nothing."""
    free, n = figures.free, figures.layout.slots
    for i, (tail, slots) in enumerate(zip(problem.tails, figures.layout.tails, strict=True)):
        T = len(tail.returns)
        unit = unit_of(np.abs(tail.returns).max(keepdims=True)[0])
        R = np.zeros((slots, n), order="F")
        R[:T, : len(free)] = tail.returns[:, free] * unit
        floor = np.full(slots, -np.inf)
        floor[:T] = -(tail.returns @ fixed) * unit
        weight = tail.weight * figures.scale / unit
        figures.units[f"tail{i}"] = unit
        worse = filled(np.full(T, weight[0] / ((1.0 - tail.level) * T)), slots)
        figures.values.update({f"returns{i}": R, f"floor{i}": floor, f"worse{i}": worse, f"tail{i}": weight})
        figures.idle[f"excess{i}"] = np.arange(slots) >= T


def filled(values: Vector, slots: int) -> Vector:
    """The values and zeros for the slots that are empty."""
    result = np.zeros(slots)
    result[: len(values)] = values
    return result


def _price(soft: float) -> float:
    return soft if np.isfinite(soft) else 0.0
