"""What each constraint that binds costs, from the multipliers of an answer. Pure functions."""

from typing import Any

import numpy as np

from components.optimizers.problem import Problem, Remark, Situation, Solution
from components.optimizers.remarks import plain
from components.optimizers.stating import marginal
from engine.events import Codes, Vector

_LEAST = 1e-8  # of a return a slice: a shadow price below it is none
_STILL = 1e-9  # of a weight: a trade below it is none


def binding(problem: Problem, solution: Solution, at: Situation) -> tuple[Remark, ...]:
    """One remark for each constraint that binds, of kind `binds:NAME`, with shadow prices.

    A shadow price is what the objective would gain if the limit were one unit of weight looser: a return over one
    slice, after risk and cost. Of bounds it stands by symbol; of a row that covers a part of the names, by symbol the
    row's price times the name's coefficient in it; of a row or cap over all names there is one price without a symbol.
    `binds:cost` are the names that are left as they are because a trade gains less than it costs; its value is the
    gain of one more unit of weight before that cost.
    """
    told: list[Remark] = []
    if solution.box is not None:
        told += _bounds(problem, solution.box, at)
    if solution.rows is not None:
        told += _rows(problem, solution.rows, at)
    caps: tuple[tuple[Any, float], ...] = (
        *zip(problem.turnover, solution.turnover, strict=False),
        *zip(problem.gross, solution.gross, strict=False),
        *zip(problem.risk_caps, solution.risk_caps, strict=False),
    )
    for cap, price in caps:
        if price > _LEAST:
            told.append(plain(f"binds:{cap.name}", f"{cap.name} at its limit of {cap.limit:.4g}", price))
    left = _left(problem, solution, at)
    return (*told, left) if left is not None else tuple(told)


def _bounds(problem: Problem, box: Vector, at: Situation) -> list[Remark]:
    told = []
    for side, by, mask in (("upper", problem.upper_by, box > _LEAST), ("lower", problem.lower_by, box < -_LEAST)):
        rows = np.flatnonzero(mask & at.free)
        codes = np.unique(by[rows]) if rows.size else rows
        for code in codes.tolist():
            of = rows[by[rows] == code].astype(np.int32)
            name = problem.names[code]
            text = f"{len(of)} {'name' if len(of) == 1 else 'names'} at the {side} bound of {name}"
            told.append(Remark(kind=f"binds:{name}", text=text, symbol=of, value=np.abs(box[of])))
    return told


def _rows(problem: Problem, prices: Vector, at: Situation) -> list[Remark]:
    told = []
    tight = np.flatnonzero(np.abs(prices) > _LEAST)
    member = (problem.A[tight] != 0) & at.free
    counts, half = member.sum(axis=1).tolist(), int(np.count_nonzero(at.free)) / 2
    given = prices[tight]
    limits = np.where(given > 0, problem.high[tight], problem.low[tight])
    figures = (x.tolist() for x in (tight, problem.row_by[tight], given, limits))
    for here, count, j, by, price, limit in zip(member, counts, *figures, strict=True):
        name, label = problem.names[by], problem.labels[j]
        text = f"{name}: {label} at its limit of {limit:.4g}"
        if count > half:
            told.append(plain(f"binds:{name}", text, abs(price)))
        else:
            members: Codes = np.flatnonzero(here).astype(np.int32)
            value = np.abs(price * problem.A[j, members])
            told.append(Remark(kind=f"binds:{name}", text=text, symbol=members, value=value))
    return told


def _left(problem: Problem, solution: Solution, at: Situation) -> Remark | None:
    """The names whose trade would gain less than it costs."""
    w, box = solution.w, solution.box
    if w is None or box is None or solution.rows is None:
        return None
    cost = np.zeros(len(w))
    for kink in problem.kinks:
        cost = np.where(kink.at == problem.w0, np.maximum(cost, np.maximum(kink.up, kink.down)), cost)
    still = at.free & (np.abs(w - problem.w0) <= _STILL) & (cost > 0) & (np.abs(box) <= _LEAST)
    if not still.any():
        return None
    rows = np.flatnonzero(solution.rows)
    gain = -(problem.q + problem.ridge * (w - problem.rest) + solution.rows[rows] @ problem.A[rows])
    if problem.aversion and problem.risk is not None:
        gain -= problem.aversion * marginal(problem.risk, w - problem.about)
    of: Codes = np.flatnonzero(still).astype(np.int32)
    text = f"{len(of)} names left as they are: a trade gains less than its cost of {float(cost[of].max()):.3g}"
    return Remark(kind="binds:cost", text=text, symbol=of, value=gain[of])
