"""A problem of only the names that may move: what is pinned goes into its figures, and the answer is spread out again.

So an answer does not depend on how many names stand aside, and takes the time of those that do not.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from components.optimizers.paying import Rows
from components.optimizers.problem import Counted, Kink, Problem, Solution
from components.optimizers.stating import exposures, product
from engine.events import Vector
from engine.protocols import Risk


@dataclass(frozen=True, slots=True)
class Narrowed:
    """`problem` is over the names `rows` of n; the others have the weights `pinned` (N,)."""

    problem: Problem
    rows: Rows
    pinned: Vector

    def spread(self, solution: Solution) -> Solution:
        """The answer for all names; one that is pinned has no multiplier."""
        w, box = solution.w, solution.box
        whole, bounds = self.pinned.copy(), np.zeros(len(self.pinned))
        if w is not None:
            whole[self.rows] = w
        if box is not None:
            bounds[self.rows] = box
        memory = solution.memory
        if isinstance(memory, dict):
            memory = memory | {"w": whole}
        return replace(solution, w=None if w is None else whole, box=None if box is None else bounds, memory=memory)

    def start(self, memory: dict[str, Any]) -> dict[str, Any]:
        """What an earlier answer for all names left to start from, of these names."""
        given = memory.get("w")
        if given is None or len(given) != len(self.pinned):
            return {name: value for name, value in memory.items() if name != "w"}
        return memory | {"w": given[self.rows]}


class Narrowing:
    """Narrows problems; keeps the risk of the last one, so that a solver sees the same object while it is the same."""

    def __init__(self) -> None:
        self._of: tuple[Risk, bytes] | None = None
        self._risk: Risk | None = None

    def __call__(self, problem: Problem) -> Narrowed | None:
        """None where nothing is gained: no name is pinned, bounds cross, or a cone or a tail needs the whole."""
        fixed = problem.lower == problem.upper
        count = int(np.count_nonzero(fixed))
        if not count or count == len(fixed) or problem.risk_caps or problem.tails:
            return None
        if not np.isfinite(problem.lower[fixed]).all():
            return None
        rows = np.flatnonzero(~fixed)
        p = np.where(fixed, problem.lower, 0.0)
        q = problem.q[rows]
        if problem.risk is not None and problem.aversion:
            risk, x = problem.risk, np.where(fixed, p - problem.about, 0.0)
            aside = np.flatnonzero(x)  # not those without a weight: sums of them would depend on how many there are
            q = q + problem.aversion * (risk.factors[rows] @ (risk.covariance @ (x[aside] @ risk.factors[aside])))
        held = np.flatnonzero(p)
        used = problem.A[:, held] @ p[held]
        traded = np.where(fixed, p - problem.w0, 0.0)
        turned, gross = float(np.abs(traded[np.flatnonzero(traded)]).sum()), float(np.abs(p[held]).sum())
        names = ("about", "ridge", "rest", "impact", "w0", "lower", "upper", "lower_by", "upper_by")
        parts: dict[str, Any] = {name: getattr(problem, name)[rows] for name in names}
        narrow = replace(
            problem,
            risk=None if problem.risk is None else self._narrow(problem.risk, rows),
            q=q,
            kinks=tuple(_of(kink, rows) for kink in problem.kinks),
            A=np.ascontiguousarray(problem.A[:, rows]),
            low=problem.low - used,
            high=problem.high - used,
            turnover=tuple(replace(cap, limit=cap.limit - turned) for cap in problem.turnover),
            gross=tuple(replace(cap, limit=cap.limit - gross) for cap in problem.gross),
            counted=tuple(_counted(piece, rows, len(held)) for piece in problem.counted),
            **parts,
        )
        return Narrowed(narrow, rows, p)

    def _narrow(self, risk: Risk, rows: Rows) -> Risk:
        key = rows.tobytes()
        if self._risk is None or self._of is None or self._of[0] is not risk or self._of[1] != key:
            self._of = risk, key
            C = product(risk)
            derived = {"exposures": exposures(risk)[rows]} if C is None else {"product": C[np.ix_(rows, rows)]}
            factors, specific = risk.factors[rows], risk.specific[rows]
            self._risk = Risk(factors=factors, covariance=risk.covariance, specific=specific, derived=derived)
        return self._risk


def _of(kink: Kink, rows: Rows) -> Kink:
    return Kink(name=kink.name, up=kink.up[rows], down=kink.down[rows], at=kink.at[rows])


def _counted(piece: Counted, rows: Rows, held: int) -> Counted:
    return Counted(
        name=piece.name,
        most=None if piece.most is None else piece.most - held,
        least_weight=None if piece.least_weight is None else piece.least_weight[rows],
        least_trade=None if piece.least_trade is None else piece.least_trade[rows],
    )
