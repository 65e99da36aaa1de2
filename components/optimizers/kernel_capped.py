"""The structured kernel with caps on risk: the aversion that makes the volatility of its answer the limit.

A cap on s(w) = sqrt((w - c)' S (w - c)) at a multiplier m pulls the weights as m S (w - c) / s does, and so does a
variance about c with the aversion g = m / s. So the optimum under the cap is the one of the same problem with that
variance and without the cap, where s is the limit, or where m is the price of a cap that has one. s falls as g rises:
one number is to be found, and each trial starts where the last one ended. Caps about several points are found one
within the other.

Source: More, Sorensen (1983), Computing a trust region step, SIAM J. Scientific and Statistical Computing 4(3), for
taking 1 / s, which is nearly linear in g.
"""

from dataclasses import dataclass, replace

import numpy as np

from components.optimizers.kernel import Kernel
from components.optimizers.problem import HARD, Problem, RiskCap, Solution
from components.optimizers.stating import marginal
from engine.events import Vector

_CAPS = 3  # about different points
_TRIALS = 80
_EXACT = 1e-13  # of the limit, and of the aversion between two trials
_RISES = 4  # trials above the first guess after which it is asked whether any weights meet the cap
_STEEP = 100.0  # times the aversion of the last trial: the most of the next, while no bound above is known


class CappedKernel:
    """The kernel, and the caps on risk that it lacks: up to three about different points, each at a limit above 0.

    Exact as the kernel is. A cap that binds costs some ten of its solves from cold and fewer from a `start` nearby.
    Memory: the kernel's, and the aversions that stand for the caps.
    """

    name = "kernel"

    def __init__(self) -> None:
        self._kernel = Kernel()

    def fits(self, problem: Problem, /) -> bool:
        if not problem.risk_caps:
            return self._kernel.fits(problem)
        caps = problem.risk_caps if problem.risk is not None else ()
        able = len(_binding(caps)) <= _CAPS and all(cap.limit > 0 for cap in caps)
        return able and self._kernel.fits(replace(problem, risk_caps=()))

    def solve(self, problem: Problem, /, start: Solution | None = None) -> Solution:
        if not problem.risk_caps:
            return self._kernel.solve(problem, start)
        bare, caps = replace(problem, risk_caps=()), problem.risk_caps
        if problem.risk is None:
            answer = self._kernel.solve(bare, start)
            return replace(answer, risk_caps=(0.0,) * len(caps))
        chosen = _binding(caps)
        kept = start.memory.get("aversions") if start is not None and isinstance(start.memory, dict) else None
        near = np.zeros(len(chosen)) if kept is None else np.asarray(kept, np.float64)
        near = near if near.shape == (len(chosen),) else np.zeros(len(chosen))
        search = _Search(self._kernel)
        found = search.under(bare, [caps[k] for k in chosen], near, start)
        answer = replace(found.solution, iterations=search.steps)
        if answer.w is None:
            return replace(answer, memory=None)
        prices = [0.0] * len(caps)
        for k, aversion in zip(chosen, found.aversions.tolist(), strict=True):
            prices[k] = aversion * used(problem, caps[k], answer.w)
        return replace(answer, risk_caps=tuple(prices), memory=answer.memory | {"aversions": found.aversions})


def used(problem: Problem, cap: RiskCap, w: Vector) -> float:
    """The standard deviation that a cap limits."""
    assert problem.risk is not None
    x = w - cap.about
    deviation: float = max(float(x @ marginal(problem.risk, x)), 0.0) ** 0.5
    return deviation


def _binding(caps: tuple[RiskCap, ...]) -> list[int]:
    """Positions of the caps that can bind: of those that must hold about one point only the tightest does."""
    kept: list[int] = []
    for k, cap in enumerate(caps):
        same = [j for j in kept if cap.soft == caps[j].soft == HARD and np.array_equal(cap.about, caps[j].about)]
        if same and cap.limit < caps[same[0]].limit:
            kept[kept.index(same[0])] = k
        elif not same:
            kept.append(k)
    return kept


@dataclass(frozen=True, slots=True)
class _Trial:
    """An answer at aversions for the caps; `over` rises with the first of them and is 0 where it is right."""

    aversions: Vector
    solution: Solution
    over: float


class _Search:
    """The trials of one problem."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.steps = 0  # Newton steps of all trials

    def under(self, problem: Problem, caps: list[RiskCap], near: Vector, start: Solution | None) -> _Trial:
        """The optimum under all caps, or the trial without weights that says why there is none."""
        if not caps:
            answer = self._kernel.solve(problem, start)
            self.steps += answer.iterations
            return _Trial(np.zeros(0), answer, 0.0)
        line = _Line(self, (problem, caps), near, start)
        guess = float(near[0]) or (_guess(problem, caps[0]) if not problem.aversion else 0.0)
        if guess > 0:
            first = line.tried(guess)
            if first.solution.status == "infeasible" or first.over == 0.0:
                return first
        if line.high is not None or guess == 0.0:
            at_0 = line.tried(0.0)
            if at_0.over >= 0.0 or at_0.solution.status == "infeasible":
                return at_0
        failed = line.bracketed()
        return failed if failed is not None else line.closed()

    def least(self, problem: Problem, cap: RiskCap) -> float:
        """The least deviation that the limits which must hold allow, infinite where they allow nothing."""
        hard = np.isposinf(problem.row_soft)
        none = np.zeros(len(problem))
        answer = self._kernel.solve(
            replace(
                problem,
                q=none,
                ridge=none,
                rest=none,
                impact=none,
                kinks=(),
                aversion=1.0,
                about=cap.about,
                A=problem.A[hard],
                low=problem.low[hard],
                high=problem.high[hard],
                row_by=problem.row_by[hard],
                row_soft=problem.row_soft[hard],
                labels=tuple(label for label, kept in zip(problem.labels, hard, strict=True) if kept),
                turnover=tuple(each for each in problem.turnover if each.soft == HARD),
                gross=tuple(each for each in problem.gross if each.soft == HARD),
            )
        )
        self.steps += answer.iterations
        return float("inf") if answer.w is None else used(problem, cap, answer.w)


class _Line:
    """The first cap's aversion: what was tried last below and above the right one."""

    def __init__(
        self, search: _Search, what: tuple[Problem, list[RiskCap]], near: Vector, start: Solution | None
    ) -> None:
        self._search = search
        self._problem, self._caps = what
        self._near, self._start = near[1:], start
        self.low: _Trial | None = None
        self.high: _Trial | None = None
        self.count = 0

    def tried(self, aversion: float) -> _Trial:
        """The answer at this aversion for the first cap, under all others. Moves a bound."""
        cap, problem = self._caps[0], self._problem
        total = problem.aversion + aversion
        pull = problem.aversion * problem.about + aversion * cap.about
        there = replace(problem, aversion=total, about=pull / total if total else problem.about)
        inner = self._search.under(there, self._caps[1:], self._near, self._start)
        self.count += 1
        over = -1.0
        if inner.solution.w is not None:
            self._near, self._start = inner.aversions, inner.solution
            deviation = used(problem, cap, inner.solution.w)
            over = cap.limit / deviation - 1.0 if deviation > 0 else np.inf
            over = max(over, aversion * deviation / cap.soft - 1.0)
        over = 0.0 if abs(over) <= _EXACT else over
        trial = _Trial(np.concatenate(([aversion], inner.aversions)), inner.solution, over)
        if over > 0:
            self.high = trial
        else:
            self.low = trial
        return trial

    def bracketed(self) -> _Trial | None:
        """Raises the aversion until the cap holds; a trial without weights where it cannot."""
        rises = 0
        while self.high is None:
            low = self.low
            assert low is not None
            if low.over == 0.0:
                return low
            if rises == _RISES and self._caps[0].soft == HARD:
                least = self._search.least(self._problem, self._caps[0])
                if least > self._caps[0].limit * (1.0 + 1e-9):
                    return replace(low, solution=replace(low.solution, status="infeasible", w=None))
            if self.count >= _TRIALS:
                return replace(low, solution=replace(low.solution, status="no progress", w=None))
            now, rises = float(low.aversions[0]), rises + 1
            step = now + self._problem.aversion
            more = 1.2 * step * (1.0 / (1.0 + low.over) - 1.0) if low.over > -1.0 else 0.0
            guess = now + more if step else _guess(self._problem, self._caps[0])
            tried = self.tried(min(max(guess, 2.0 * now), _STEEP * now) if now else guess)
            if tried.solution.status == "infeasible":
                return tried
        return None

    def closed(self) -> _Trial:
        """Closes in on the right aversion: false position with the weight of the side that stays halved (Illinois)."""
        low, high = self.low, self.high
        assert low is not None
        assert high is not None
        below, above, last = low.over, high.over, 0
        best = high
        while self.count < _TRIALS:
            a, b = float(low.aversions[0]), float(high.aversions[0])
            if b - a <= _EXACT * b:
                break
            at = b - above * (b - a) / (above - below) if np.isfinite(above) and below > -1.0 else 0.5 * (a + b)
            if not a < at < b or self.count % 8 == 7:  # now and then the middle, so that it ends
                at = 0.5 * (a + b)
            trial = self.tried(at)
            if trial.solution.w is None and trial.solution.status == "infeasible":
                return trial
            best = trial if abs(trial.over) < abs(best.over) else best
            if trial.over == 0.0:
                break
            if trial.over > 0:
                high, above, below = trial, trial.over, below * (0.5 if last > 0 else 1.0)
            else:
                low, below, above = trial, trial.over, above * (0.5 if last < 0 else 1.0)
            last = 1 if trial.over > 0 else -1
        return best


def _guess(problem: Problem, cap: RiskCap) -> float:
    """An aversion at which returns alone would lead to about the limit: what could be earned by risk, over it."""
    risk = problem.risk
    assert risk is not None
    variance = np.einsum("ij,jk,ik->i", risk.factors, risk.covariance, risk.factors) + risk.specific
    away = problem.q - problem.q.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = float(np.sqrt(np.where(variance > 0, away**2 / variance, 0.0).sum()))
    return ratio / cap.limit if 0 < ratio < np.inf else 1.0
