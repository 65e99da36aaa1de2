"""What each constraint that binds costs, from the multipliers of an answer. Pure functions."""

from typing import Any

import numpy as np

from components.optimizers import figures
from components.optimizers.problem import HARD, Problem, Remark, Situation, Solution
from components.optimizers.remarks import amount, plain
from components.optimizers.stating import marginal, used_of_caps
from engine.events import Codes, Vector

_LEAST = 1e-8  # of a return a slice: a shadow price below it is none
_BEYOND = 1e-9  # of a weight, above which a soft limit is not kept
_STILL = 1e-9  # of a weight: a trade below it is none


def binding(problem: Problem, solution: Solution, at: Situation) -> tuple[Remark, ...]:
    """One remark for each constraint that binds, of kind `binds:NAME`, with shadow prices.

    A shadow price is what the objective would gain if the limit were one unit of weight looser: a return over one
    slice, after risk and cost. Of bounds it stands by symbol; of a row that covers a part of the names, by symbol the
    row's price times the name's coefficient in it; of a row or cap over all names there is one price without a symbol.
    `binds:cost` are the names that are left as they are because a trade either way gains less than it costs; its value
    is the gain of one more unit of weight before that cost, after the prices of rows and caps. Names left because a cap
    on turnover or gross stops a trade that would gain more than it costs stand in a second remark of that cap.

    Soft limits that are not kept have a remark `soft:NAME` beside: by how much, and what is paid for it.
    """
    w = solution.w
    left = _left(problem, solution, at)
    return (*bound(problem, solution, at), *left, *(() if w is None else softly(problem, w, at)))


def bound(problem: Problem, solution: Solution, at: Situation) -> tuple[Remark, ...]:
    """Those remarks of `binding` that are of limits alone: they need no more than multipliers."""
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
            limit = amount(problem, cap.name, cap.limit)
            told.append(plain(f"binds:{cap.name}", f"{cap.name} at its limit of {limit}", price))
    return tuple(told)


def _bounds(problem: Problem, box: Vector, at: Situation) -> list[Remark]:
    from components.optimizers.judging_loops import stopped

    told = []
    above, below = stopped(np.array(box, np.float64), np.array(at.free), _LEAST)
    for side, by, rows in (("upper", problem.upper_by, above), ("lower", problem.lower_by, below)):
        set_by = by[rows]
        for code in sorted(set(set_by.tolist())):
            of: Codes = rows[set_by == code]
            name = problem.names[code]
            text = f"{len(of)} {'name' if len(of) == 1 else 'names'} at the {side} bound of {name}"
            told.append(Remark(kind=f"binds:{name}", text=text, symbol=of, value=np.abs(box[of])))
    return told


def _rows(problem: Problem, prices: Vector, at: Situation) -> list[Remark]:
    told = []
    tight = (np.abs(prices) > _LEAST).nonzero()[0]
    if not tight.size:
        return []
    member = (problem.A[tight] != 0) & at.free
    counts, half = np.add.reduce(member, 1).tolist(), int(np.count_nonzero(at.free)) / 2
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


def _left(problem: Problem, solution: Solution, at: Situation) -> list[Remark]:
    """The names whose trade would gain less than it costs, and those that only a cap keeps from trading."""
    w, box = solution.w, solution.box
    if w is None or box is None or solution.rows is None:
        return []
    if figures.usual(problem):
        return _left_alone(problem, (w, box, solution.rows), at)
    up, down = np.zeros(len(w)), np.zeros(len(w))
    for kink in problem.kinks:
        if kink.soft == HARD:
            up, down = np.where(kink.at == problem.w0, (up + kink.up, down + kink.down), (up, down))
    still = at.free & (np.abs(w - problem.w0) <= _STILL) & (np.abs(box) <= _LEAST)
    gain = _gain(problem, solution, w)
    gross = sum(solution.gross) * (np.abs(w) <= _STILL)
    within = (gain <= up + _LEAST) & (gain >= -down - _LEAST)
    told = []
    of: Codes = np.flatnonzero(still & within & (np.maximum(up, down) > 0)).astype(np.int32)
    if len(of):
        told.append(_stays(of, gain[of], float(np.maximum(up, down)[of].max())))
    beyond = np.maximum(gain - up, -down - gain)
    for cap in problem.turnover[:1] if sum(solution.turnover) > _LEAST else problem.gross[:1]:
        stopped: Codes = np.flatnonzero(still & ~within & (beyond <= sum(solution.turnover) + gross + _LEAST)).astype(
            np.int32
        )
        if len(stopped):
            text = f"{len(stopped)} of the names left as they are would trade at a gain beyond cost but for {cap.name}"
            told.append(Remark(kind=f"binds:{cap.name}", text=text, symbol=stopped, value=beyond[stopped]))
    return told


def _left_alone(problem: Problem, answer: tuple[Vector, Vector, Vector], at: Situation) -> list[Remark]:
    """As `_left`, of a problem without caps and tails, by compiled loops; `answer` is w, box and rows."""
    from components.optimizers.certificate import curved
    from components.optimizers.judging_loops import left_alone

    marks = np.array(at.free), np.array([kink.soft == HARD for kink in problem.kinks], bool)
    given = figures.answer_of(problem, answer, curved(problem)[0])
    least, aversion = (_STILL, _LEAST), figures.aversion(problem)
    of, gain, most = left_alone(figures.vectors(problem), given, marks, aversion, least)
    return [_stays(of, gain, most)] if len(of) else []


def _stays(of: Codes, gain: Vector, most: float) -> Remark:
    names = "1 name" if len(of) == 1 else f"{len(of)} names"
    text = f"{names} left as they are: a trade gains less than its cost of {most:.3g}"
    return Remark(kind="binds:cost", text=text, symbol=of, value=gain)


def _gain(problem: Problem, solution: Solution, w: Vector) -> Vector:
    """(N,) what one more unit of weight gains before what trading it costs, after the prices of rows and caps."""
    assert solution.rows is not None
    rows = np.flatnonzero(solution.rows)
    gain: Vector = -(problem.q + problem.ridge * (w - problem.rest) + solution.rows[rows] @ problem.A[rows])
    for tail, share in zip(problem.tails, solution.tails, strict=True):
        gain = gain + share @ tail.returns
    gain = gain - sum(solution.gross) * np.where(np.abs(w) > _STILL, np.sign(w), 0.0)
    if problem.risk is None:
        return gain
    gain = gain - problem.aversion * marginal(problem.risk, w - problem.about)
    for cap, price in zip(problem.risk_caps, solution.risk_caps, strict=False):
        pull = marginal(problem.risk, w - cap.about)
        gain = gain - price / max(float((w - cap.about) @ pull), 1e-300) ** 0.5 * pull
    return gain


def softly(problem: Problem, w: Vector, at: Situation) -> list[Remark]:
    """One remark of kind `soft:NAME` for each soft limit that the weights are beyond: by how much, and the price."""
    told: list[Remark] = []
    if figures.usual(problem) and not _priced(problem):
        return told
    for kink in problem.kinks:
        if kink.soft == HARD:
            continue
        beyond = np.where(kink.up > 0, w - kink.at, 0.0) + np.where(kink.down > 0, kink.at - w, 0.0)
        of: Codes = np.flatnonzero(at.free & (beyond > _BEYOND)).astype(np.int32)
        if len(of):
            side = "above the upper" if kink.up.any() else "below the lower"
            many = f"{len(of)} {'name' if len(of) == 1 else 'names'} {side} bound of {kink.name} by up to"
            text = f"{many} {beyond[of].max():.4g}{_paid(kink.soft, float(beyond[of].sum()))}"
            told.append(Remark(kind=f"soft:{kink.name}", text=text, symbol=of, value=beyond[of]))
    soft = np.flatnonzero(np.isfinite(problem.row_soft))
    value = problem.A[soft] @ w
    over = np.zeros(len(problem.row_soft))
    over[soft] = np.maximum(value - problem.high[soft], problem.low[soft] - value)
    for j in np.flatnonzero(over > _BEYOND).tolist() if soft.size else ():
        name, by = problem.names[problem.row_by[j]], float(over[j])
        text = f"{name}: {problem.labels[j]} beyond its limit by {by:.4g}{_paid(float(problem.row_soft[j]), by)}"
        told.append(plain(f"soft:{name}", text, by))
    for cap, used in used_of_caps(problem, w):
        by = used - cap.limit
        if cap.soft < HARD and by > _BEYOND:
            text = f"{cap.name} beyond its limit by {amount(problem, cap.name, by)}{_paid(cap.soft, by)}"
            told.append(plain(f"soft:{cap.name}", text, by))
    return told


def _priced(problem: Problem) -> bool:
    """Whether a row or a bound may be violated at a price."""
    return any(kink.soft != HARD for kink in problem.kinks) or bool(np.isfinite(problem.row_soft).any())


def _paid(price: float, by: float) -> str:
    return f", at {price:g} a unit: {price * by:.3g} a slice in all"
