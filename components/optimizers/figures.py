"""What is made of a problem's arrays for compiled loops, once for each problem. Pure functions.

Loops are compiled for arrays that can be written to and lie side by side; for others they would be compiled once more.
"""

from typing import Any

import numpy as np

from components.optimizers.problem import Problem
from components.optimizers.stating import marginal
from engine.events import Matrix, Vector

Q, REST, W0, ABOUT, RIDGE, IMPACT, KINKS = range(7)  # rows of `vectors`; of each kink its place, up and down


def usual(problem: Problem) -> bool:
    """Whether it has nothing but rows, bounds, kinks, impact and a covariance."""
    return not (problem.turnover or problem.gross or problem.risk_caps or problem.tails or problem.counted)


def vectors(problem: Problem) -> Matrix:
    """(6 + 3 J, N) q, rest, w0, about, ridge, impact, and of each kink at, up and down."""
    found: Matrix | None = problem.derived.get("vectors")
    if found is None:
        p = problem
        each = [p.q, p.rest, p.w0, p.about, p.ridge, p.impact]
        for kink in p.kinks:
            each += (kink.at, kink.up, kink.down)
        found = p.derived["vectors"] = np.array(each, np.float64)
    return found


def bounds(problem: Problem) -> Matrix:
    """(2, N) lower and upper."""
    found: Matrix | None = problem.derived.get("bounds")
    if found is None:
        found = problem.derived["bounds"] = np.array((problem.lower, problem.upper), np.float64)
    return found


def limits(problem: Problem) -> Matrix:
    """(3, m) limits of rows and the price of each."""
    found: Matrix | None = problem.derived.get("limits")
    if found is None:
        found = problem.derived["limits"] = np.array((problem.low, problem.high, problem.row_soft), np.float64)
    return found


def squares(problem: Problem) -> Vector:
    """(m,) squared lengths of the rows."""
    found: Vector | None = problem.derived.get("squares")
    if found is None:
        found = problem.derived["squares"] = np.vecdot(problem.A, problem.A)
    return found


def pulled(problem: Problem, z: Vector) -> Vector:
    """(N,) gradient of the rows at multipliers z (m,); kept for who asks for the same ones again."""
    last: Any = problem.derived.get("pulled")
    if last is None or last[0] is not z:
        rows = z.nonzero()[0]
        last = problem.derived["pulled"] = (z, z[rows] @ problem.A[rows])
    found: Vector = last[1]
    return found


def aversion(problem: Problem) -> float:
    """That of a problem with a covariance, else 0."""
    return float(problem.aversion) if problem.risk is not None else 0.0


def answer_of(problem: Problem, answer: tuple[Vector, Vector, Vector], d: Vector) -> Matrix:
    """(5, N) weights, multipliers of bounds, `d`, S (w - about) and the pull of rows; `answer` is w, box and rows.

    Kept for who asks of the very same answer again.
    """
    w, box, z = answer
    last: Any = problem.derived.get("answer")
    if last is not None and last[0] is w and last[1] is box and last[2] is z and last[3] is d:
        return last[4]  # type: ignore[no-any-return]
    risk = problem.risk if problem.aversion else None
    pull = np.zeros(len(w)) if risk is None else marginal(risk, w - problem.about)
    found = np.array((w, box, d, pull, pulled(problem, z)), np.float64)
    problem.derived["answer"] = (w, box, z, d, found)
    return found
