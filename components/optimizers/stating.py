"""From pieces to one problem, and what a problem says of weights: its cost and what they break. Pure functions."""

from collections.abc import Callable, Sequence
from typing import Any

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

_LIMITS = (Box, Rows, TurnoverCap, GrossCap, RiskCap, Counted)
_DENSE_FROM = 0.8  # of N: with more factors than that the product R R' is cheaper than R


class Stack:
    """(m, N) rows of several pieces one below another, kept while the very same matrices come again."""

    def __init__(self) -> None:
        self._of: tuple[Matrix, ...] = ()
        self._A: Matrix = np.zeros((0, 0))
        self.squares: Vector = np.zeros(0)  # (m,) squared lengths of them

    def __call__(self, parts: Sequence[Matrix]) -> Matrix:
        of = tuple(parts)
        if len(of) != len(self._of) or any(one is not other for one, other in zip(of, self._of, strict=True)):
            self._of, self._A = of, np.concatenate(of)
            with np.errstate(all="ignore"):
                self.squares = np.vecdot(self._A, self._A)
        return self._A

    def noted(self, problem: Problem) -> Problem:
        """The problem, with what is known of its rows already."""
        if problem.A is self._A:
            problem.derived["squares"] = self.squares
        return problem


_FIGURES: dict[type[Any], tuple[str, ...]] = {
    Linear: ("cost",),
    Variance: ("about",),
    Ridge: ("weight", "about"),
    Kink: ("up", "down", "at"),
    Impact: ("k",),
    Box: ("lower", "upper"),
    Rows: ("low", "high"),
    TurnoverCap: ("limit",),
    GrossCap: ("limit",),
    RiskCap: ("limit",),
}


def stated(pieces: Sequence[Piece], at: Situation, stack: Stack | None = None) -> Problem:
    """The problem that these pieces say together. Bounds that cross stay crossed: that is infeasible, not repaired.

    Two variances about different points are one about their mean weighted by aversion, up to a constant; so are ridges.
    `stack` puts rows together, for who states problem after problem.
    """
    n = len(at.w0)
    pieces = [piece for given in pieces for piece in _hardened(given)]
    by: dict[type, list[Any]] = {}
    for piece in pieces:
        by.setdefault(type(piece), []).append(piece)
    names = tuple(dict.fromkeys(p.name for p in pieces if isinstance(p, _LIMITS)))
    variances: list[Variance] = by.get(Variance, [])
    ridges: list[Ridge] = by.get(Ridge, [])
    aversion = float(sum(v.aversion for v in variances))
    ridge = _total([r.weight for r in ridges], n)
    rest = _total([r.weight * r.about for r in ridges], n)
    rows: list[Rows] = by.get(Rows, [])
    sizes = [len(piece.low) for piece in rows]
    risk_caps = tuple(by.get(RiskCap, ()))
    lower, upper, lower_by, upper_by = tightest(by.get(Box, []), names, n)
    return Problem(
        risk=at.risk if aversion or risk_caps else None,
        q=_total([p.cost for p in by.get(Linear, ())], n),
        aversion=aversion,
        about=_middle(variances, aversion, n),
        ridge=ridge,
        rest=np.divide(rest, ridge, out=np.zeros(n), where=ridge > 0) if ridges else rest,
        kinks=tuple(by.get(Kink, ())),
        impact=_total([p.k for p in by.get(Impact, ())], n),
        w0=at.w0,
        lower=lower,
        upper=upper,
        lower_by=lower_by,
        upper_by=upper_by,
        A=(stack or np.concatenate)([piece.A for piece in rows]) if rows else np.zeros((0, n)),
        low=_stacked([piece.low for piece in rows]),
        high=_stacked([piece.high for piece in rows]),
        row_by=np.repeat(np.array([names.index(p.name) for p in rows], np.int32), sizes),
        row_soft=np.repeat(np.array([p.soft for p in rows], np.float64), sizes),
        labels=tuple(label for piece in rows for label in piece.labels),
        turnover=tuple(by.get(TurnoverCap, ())),
        gross=tuple(by.get(GrossCap, ())),
        risk_caps=risk_caps,
        tails=tuple(by.get(Tail, ())),
        counted=tuple(by.get(Counted, ())),
        names=names,
    )


def unknown(pieces: Sequence[Piece]) -> str:
    """Which piece has figures that are no numbers, empty = none. A bound of NaN would be no bound, and not missed."""
    for piece in pieces:
        for field in _FIGURES.get(piece.__class__, ()):
            nameless = int(np.count_nonzero(np.isnan(getattr(piece, field))))
            if nameless:
                return f"{piece.name}: {field} has {nameless} figures that are no numbers"
    return ""


def _middle(variances: list[Variance], aversion: float, n: int) -> Vector:
    """(N,) mean of what variances are about, weighted by their aversion."""
    if len(variances) == 1 and aversion:
        return variances[0].about
    pull = sum((v.aversion * v.about for v in variances), np.zeros(n))
    return pull / aversion if aversion else pull


def _total(parts: list[Vector], n: int) -> Vector:
    """(N,) their sum, an array of its own."""
    total: Vector = parts[0].astype(np.float64) if parts else np.zeros(n)
    for part in parts[1:]:
        total += part
    return total


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
    from components.optimizers.stating_loops import narrowest

    given = np.array([side for box in boxes for side in (box.lower, box.upper)], np.float64).reshape(len(boxes), 2, n)
    found: tuple[Vector, Vector, Codes, Codes] = narrowest(
        given, np.array([names.index(b.name) for b in boxes], np.int32)
    )
    return found


def _stacked(parts: list[Vector]) -> Vector:
    return np.concatenate(parts) if parts else np.zeros(0)


def exposures(risk: Risk) -> Matrix:
    """(N, K) R with S = R R' + diag(specific), not to be written to."""
    kept: Matrix = _once(risk, "exposures", _exposures)
    return kept


def _exposures(risk: Risk) -> Matrix:
    K = len(risk.covariance)
    if np.array_equal(risk.covariance, np.eye(K)):
        return risk.factors.view()
    if not np.isfinite(risk.covariance).all():
        return np.full(risk.factors.shape, np.nan)
    try:
        root = np.linalg.cholesky(risk.covariance)
    except np.linalg.LinAlgError:  # it is singular
        values, vectors = np.linalg.eigh(risk.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
    R: Matrix = risk.factors @ root
    return R


def product(risk: Risk) -> Matrix | None:
    """(N, N) R R' where that is cheaper than R, as of a history of many slices, not to be written to; else None."""
    if len(risk.covariance) <= _DENSE_FROM * len(risk.specific):
        return None
    kept: Matrix = _once(risk, "product", _product)
    return kept


def _product(risk: Risk) -> Matrix:
    R = exposures(risk)
    C: Matrix = R @ R.T
    return C


def alone(risk: Risk) -> Vector:
    """(N,) variances by factors taken as uncorrelated, not to be written to."""
    kept: Vector = _once(risk, "alone", _alone)
    return kept


def _alone(risk: Risk) -> Vector:
    own: Vector = np.square(risk.factors) @ risk.covariance.diagonal() + risk.specific
    return own


def volatilities(risk: Risk) -> Vector:
    """(N,) standard deviation of each name's return over one slice, not to be written to."""
    kept: Vector = _once(risk, "volatilities", _volatilities)
    return kept


def _volatilities(risk: Risk) -> Vector:
    R = exposures(risk)
    own: Vector = np.sqrt(np.vecdot(R, R) + risk.specific)
    return own


def marginal(risk: Risk, x: Vector) -> Vector:
    """(N,) S x, not to be written to; that of the last x is kept, since a judge and an explanation ask for the same."""
    last = risk.derived.get("marginal")
    if last is None or not np.array_equal(last[0], x):
        last = risk.derived["marginal"] = (x.copy(), _marginal(risk, x))
        last[1].flags.writeable = False
    kept: Vector = last[1]
    return kept


def _marginal(risk: Risk, x: Vector) -> Vector:
    C = product(risk)
    if C is None:
        pulled: Vector = risk.factors @ (risk.covariance @ (x @ risk.factors)) + risk.specific * x
        return pulled
    rows = np.flatnonzero(x)
    by = C @ x if 3 * len(rows) > len(x) else x[rows] @ C[rows]
    return np.asarray(by + risk.specific * x)


def _once(risk: Risk, name: str, make: Callable[[Risk], Any]) -> Any:
    kept = risk.derived.get(name)
    if kept is None:
        kept = make(risk)
        kept.flags.writeable = False
        risk.derived[name] = kept
    return kept


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
