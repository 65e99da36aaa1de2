"""The matrices of a problem in slots, scaled: what stays the same from slice to slice where the risk model does."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from components.optimizers.problem import Problem
from components.optimizers.stating import exposures
from engine.events import Codes, Mask, Matrix, Vector

GROUPS = ("dense", "dense_priced", "factored", "factored_priced")  # rows by how they are stated
PRICED = GROUPS[1::2]

_LEAST = 8  # slots
_PROBES = 3  # entries of a row that are compared with a factor's before the whole of it is

Groups: TypeAlias = tuple[Codes, Codes, Codes, Codes]
Places: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrices:
    """Factors and rows of the names that may move, and what they were made of, by which they are known again."""

    F: Matrix  # (K, N) factors by their units
    covariance: Matrix  # (K, K) of those
    slotted: Matrix  # (slots, factor slots) F of the names that move
    groups: Groups  # rows of each of GROUPS
    places: Places  # of the factored rows, the factor
    dense: dict[str, Matrix]  # by group of rows the matrix, in slots
    units: dict[str, Vector]  # by group of rows, what each is multiplied by
    faulty: bool  # some entry is not a number
    free: Codes
    given: tuple[Matrix, Mask, Matrix | None, Matrix | None]  # copies: A, priced, factors, covariance

    def hold(self, problem: Problem, free: Codes) -> bool:
        """Whether a problem has these very matrices."""
        A, priced, factors, covariance = self.given
        risk = problem.risk
        if (risk is None) != (factors is None):
            return False
        return (
            np.array_equal(self.free, free)
            and np.array_equal(priced, np.isfinite(problem.row_soft))
            and np.array_equal(A, problem.A)
            and (risk is None or np.array_equal(factors, risk.factors))  # type: ignore[arg-type]
            and (risk is None or np.array_equal(covariance, risk.covariance))  # type: ignore[arg-type]
        )


def matrices_of(problem: Problem, free: Codes, n: int) -> Matrices:
    """The matrices in n slots."""
    F, covariance, unit, own = _factors(problem)
    slotted = np.zeros((n, size_for(len(F))), order="F")
    slotted[: len(free), : len(F)] = F[:, free].T
    groups, places = _row_groups(problem, own)
    dense, units = {}, {}
    for name, rows, at in zip(GROUPS, groups, (None, None, *places), strict=True):
        if at is not None:
            units[name] = unit[list(at)]
        else:
            given = problem.A[rows][:, free]
            units[name] = unit_of(np.abs(given).max(axis=1, initial=0.0))
            dense[name] = np.zeros((len(rows), n), order="F")
            dense[name][:, : len(free)] = given * units[name][:, None]
    risk = problem.risk
    kept = (None, None) if risk is None else (risk.factors.copy(), risk.covariance.copy())
    return Matrices(
        F=F,
        covariance=covariance,
        slotted=slotted,
        groups=groups,
        places=places,
        dense=dense,
        units=units,
        faulty=bool(np.isnan(F).any() or np.isnan(problem.A).any() or np.isnan(covariance).any()),
        free=free,
        given=(problem.A.copy(), np.isfinite(problem.row_soft), *kept),
    )


def _factors(problem: Problem) -> tuple[Matrix, Matrix, Vector, Matrix]:
    """Factors by their units, their covariance, the units, and the model's own factors.

    Where the model has more of them than names, fewer with the same covariance, none of which is its own.
    """
    risk = problem.risk
    if risk is None:
        none = np.zeros((0, len(problem)))
        return none, np.zeros((0, 0)), np.zeros(0), none
    F, covariance = np.ascontiguousarray(risk.factors.T), risk.covariance
    own = F
    if len(F) > F.shape[1]:
        F = narrowed(exposures(risk), F.shape[1]).T
        covariance, own = np.eye(len(F)), F[:0]
    unit = unit_of(np.abs(F).max(axis=1))
    return F * unit[:, None], covariance / np.outer(unit, unit), unit, own


def unit_of(largest: Vector) -> Vector:
    """Powers of two that bring each to the order of 1: exact, where a solver's own scaling rounds."""
    there = np.isfinite(largest) & (largest > 0)
    exponent: Vector = np.round(np.log2(np.where(there, largest, 1.0))).astype(np.float64)
    unit: Vector = np.exp2(-exponent)
    return unit


def _row_groups(problem: Problem, factors: Matrix) -> tuple[Groups, Places]:
    """Rows by how they are stated. One that is a factor of the risk model is a limit on v: v is not computed twice."""
    soft = np.isfinite(problem.row_soft)
    place = np.full(len(problem.low), -1, np.int32)
    if len(factors) and len(place):
        probes = np.linspace(0, len(problem) - 1, _PROBES).astype(int)
        alike = problem.A[:, probes][:, None] == factors[:, probes][None]
        i, k = np.nonzero(alike.all(axis=2))
        same = (problem.A[i] == factors[k]).all(axis=1)
        place[i[same]] = k[same]
    found = [np.flatnonzero(m).astype(np.int32) for m in ((place < 0) & ~soft, (place < 0) & soft)]
    found += [np.flatnonzero(m).astype(np.int32) for m in ((place >= 0) & ~soft, (place >= 0) & soft)]
    places = (tuple(place[found[2]].tolist()), tuple(place[found[3]].tolist()))
    return (found[0], found[1], found[2], found[3]), places


def size_for(count: int) -> int:
    """Slots for this many names: the next power of two, so that few sizes are ever compiled.

    >>> size_for(3), size_for(50)
    (8, 64)
    """
    return max(_LEAST, 1 << (count - 1).bit_length())


def narrowed(L: Matrix, columns: int) -> Matrix:
    """L with at most `columns` columns and the same L L'; `columns` is at least the number of rows."""
    if L.shape[1] <= columns:
        return L
    return np.asarray(np.linalg.qr(L.T, mode="r")).T
