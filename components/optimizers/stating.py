"""From pieces to one problem, and what a problem says of weights: its cost and what they break. Pure functions."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from components.optimizers.problem import (
    HARD,
    Box,
    Counted,
    GrossCap,
    Impact,
    Kink,
    Linear,
    Piece,
    Problem,
    Ridge,
    RiskCap,
    Rows,
    Situation,
    Tail,
    TurnoverCap,
    Variance,
)
from engine.events import Codes, Matrix, Vector
from engine.protocols import Risk

T = TypeVar("T")


def stated(pieces: Sequence[Piece], at: Situation) -> Problem:
    """The problem that these pieces say together. Bounds that cross stay crossed: that is infeasible, not repaired.

    Two variances about different points are one about their mean weighted by aversion, up to a constant; so are ridges.
    """
    n = len(at.w0)
    pieces = [piece for given in pieces for piece in _hardened(given)]
    limits = [p for p in pieces if isinstance(p, Box | Rows | TurnoverCap | GrossCap | RiskCap | Counted)]
    names = tuple(dict.fromkeys(piece.name for piece in limits))
    variances, ridges = _of(pieces, Variance), _of(pieces, Ridge)
    aversion = float(sum(v.aversion for v in variances))
    pull = sum((v.aversion * v.about for v in variances), np.zeros(n))
    ridge = sum((r.weight for r in ridges), np.zeros(n))
    rest = sum((r.weight * r.about for r in ridges), np.zeros(n))
    rows = _of(pieces, Rows)
    sizes = [len(piece.low) for piece in rows]
    risk_caps = tuple(_of(pieces, RiskCap))
    lower, upper, lower_by, upper_by = tightest(_of(pieces, Box), names, n)
    return Problem(
        risk=at.risk if aversion or risk_caps else None,
        q=sum((p.cost for p in _of(pieces, Linear)), np.zeros(n)),
        aversion=aversion,
        about=pull / aversion if aversion else np.zeros(n),
        ridge=ridge,
        rest=np.divide(rest, ridge, out=np.zeros(n), where=ridge > 0),
        kinks=tuple(_of(pieces, Kink)),
        impact=sum((p.k for p in _of(pieces, Impact)), np.zeros(n)),
        w0=at.w0,
        lower=lower,
        upper=upper,
        lower_by=lower_by,
        upper_by=upper_by,
        A=np.concatenate([piece.A for piece in rows]) if rows else np.zeros((0, n)),
        low=_stacked([piece.low for piece in rows]),
        high=_stacked([piece.high for piece in rows]),
        row_by=np.repeat(np.array([names.index(p.name) for p in rows], np.int32), sizes),
        row_soft=np.repeat(np.array([p.soft for p in rows], np.float64), sizes),
        labels=tuple(label for piece in rows for label in piece.labels),
        turnover=tuple(_of(pieces, TurnoverCap)),
        gross=tuple(_of(pieces, GrossCap)),
        risk_caps=risk_caps,
        tails=tuple(_of(pieces, Tail)),
        counted=tuple(_of(pieces, Counted)),
        names=names,
    )


def _of(pieces: Sequence[Any], kind: type[T]) -> list[T]:
    return [piece for piece in pieces if isinstance(piece, kind)]


def _hardened(piece: Piece) -> tuple[Piece, ...]:
    """A soft box as kinks at its bounds, anything else as it is."""
    if not isinstance(piece, Box) or piece.soft == HARD:
        return (piece,)
    n = len(piece.lower)
    price, none = np.full(n, piece.soft), np.zeros(n)
    above, below = np.isfinite(piece.upper), np.isfinite(piece.lower)
    over = Kink(name=piece.name, up=price * above, down=none, at=np.where(above, piece.upper, 0.0), soft=piece.soft)
    under = Kink(name=piece.name, up=none, down=price * below, at=np.where(below, piece.lower, 0.0), soft=piece.soft)
    return over, under


def tightest(boxes: Sequence[Box], names: tuple[str, ...], n: int) -> tuple[Vector, Vector, Codes, Codes]:
    """The tightest bounds and who set each."""
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    lower_by, upper_by = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    for box in boxes:
        place = names.index(box.name)
        tighter = box.lower > lower
        lower[tighter], lower_by[tighter] = box.lower[tighter], place
        tighter = box.upper < upper
        upper[tighter], upper_by[tighter] = box.upper[tighter], place
    return lower, upper, lower_by, upper_by


def _stacked(parts: list[Vector]) -> Vector:
    return np.concatenate(parts) if parts else np.zeros(0)


def exposures(risk: Risk) -> Matrix:
    """(N, K) R with S = R R' + diag(specific)."""
    K = len(risk.covariance)
    if np.array_equal(risk.covariance, np.eye(K)):
        return risk.factors
    values, vectors = np.linalg.eigh(risk.covariance)
    R: Matrix = risk.factors @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    return R


def volatilities(risk: Risk) -> Vector:
    """(N,) standard deviation of each name's return over one slice."""
    own: Vector = np.sqrt(np.einsum("ij,ij->i", risk.factors @ risk.covariance, risk.factors) + risk.specific)
    return own


class Volatilities:
    """`volatilities`, kept while the very same estimate comes again."""

    def __init__(self) -> None:
        self._of: Risk | None = None
        self._sigma: Vector = np.zeros(0)

    def __call__(self, risk: Risk) -> Vector:
        if risk is not self._of:
            self._of, self._sigma = risk, volatilities(risk)
        return self._sigma


def marginal(risk: Risk, x: Vector) -> Vector:
    """(N,) S x."""
    product: Vector = risk.factors @ (risk.covariance @ (x @ risk.factors)) + risk.specific * x
    return product


def objective(problem: Problem, w: Vector) -> float:
    """What weights cost, softly broken limits at their price included."""
    total = float(problem.q @ w)
    if problem.aversion and problem.risk is not None:
        x = w - problem.about
        total += 0.5 * problem.aversion * float(x @ marginal(problem.risk, x))
    total += 0.5 * float((problem.ridge * (w - problem.rest) ** 2).sum())
    for kink in problem.kinks:
        moved = w - kink.at
        total += float((kink.up * np.maximum(moved, 0.0) + kink.down * np.maximum(-moved, 0.0)).sum())
    total += float((problem.impact * np.abs(w - problem.w0) ** 1.5).sum())
    for tail in problem.tails:
        total += tail.weight * expected_shortfall(-(tail.returns @ w), tail.level)
    soft = np.isfinite(problem.row_soft)
    total += float((problem.row_soft[soft] * _beyond(problem, w)[soft]).sum())
    for cap, used in used_of_caps(problem, w):
        if np.isfinite(cap.soft):
            total += cap.soft * max(used - cap.limit, 0.0)
    return total


def expected_shortfall(losses: Vector, level: float) -> float:
    """Mean of the worst (1 - level) of the losses; the one at the edge counts in part (Rockafellar, Uryasev 2000)."""
    worst = np.sort(losses)[::-1]
    count = (1.0 - level) * len(worst)
    whole = int(count)
    rest = count - whole
    total = float(worst[:whole].sum()) + (rest * float(worst[whole]) if rest and whole < len(worst) else 0.0)
    return total / count


def broken(problem: Problem, w: Vector) -> dict[str, float]:
    """By name of constraint, the largest violation of it among those that must hold; those within 0 are left out."""
    found: dict[str, float] = {}

    def note(name: str, by: float) -> None:
        if by > 0:
            found[name] = max(found.get(name, 0.0), by)

    for gap, by in ((problem.lower - w, problem.lower_by), (w - problem.upper, problem.upper_by)):
        for i in np.flatnonzero(gap > 0).tolist():
            note(problem.names[by[i]], float(gap[i]))
    beyond = np.where(np.isfinite(problem.row_soft), 0.0, _beyond(problem, w))
    for i in np.flatnonzero(beyond > 0).tolist():
        note(problem.names[problem.row_by[i]], float(beyond[i]))
    for cap, used in used_of_caps(problem, w):
        if cap.soft == HARD:
            note(cap.name, used - cap.limit)
    return found


def _beyond(problem: Problem, w: Vector) -> Vector:
    """(m,) how far each row is beyond its limits, at least 0."""
    value = problem.A @ w
    beyond: Vector = np.maximum(np.maximum(value - problem.high, problem.low - value), 0.0)
    return beyond


def used_of_caps(problem: Problem, w: Vector) -> list[tuple[TurnoverCap | GrossCap | RiskCap, float]]:
    """Each cap with what the weights use of it."""
    used: list[tuple[TurnoverCap | GrossCap | RiskCap, float]] = []
    used += [(cap, float(np.abs(w - problem.w0).sum())) for cap in problem.turnover]
    used += [(cap, float(np.abs(w).sum())) for cap in problem.gross]
    for cap in problem.risk_caps:
        if problem.risk is not None:
            x = w - cap.about
            used.append((cap, max(float(x @ marginal(problem.risk, x)), 0.0) ** 0.5))
    return used
