"""The highest ratio of what is earned to risk within a problem's limits: a route that asks another time and again."""

from dataclasses import replace
from typing import Any

import numpy as np

from components.optimizers.methods.ladder import Route
from components.optimizers.problem import Problem, Remark, Solution
from components.optimizers.stating import marginal
from engine.events import Vector

_EARNED = 1e-9  # of the largest gain: less than that is nothing
_LARGEST = 4.0**15  # times the t beyond which nothing is earned, for limits that count names


class NothingEarnedError(Exception):
    """No weights within the limits earn more than 0, so that there is no ratio to look for."""


class Tangency:
    """Answers a problem of least variance / 2 with the weights of the highest gains'w / sqrt(w'Sw) within its limits.

    They minimise variance / 2 - t gains'w at the t where t times what they earn is their variance; that difference is a
    line in t from corner to corner of the frontier, so that few t are tried. Limits that contradict each other are
    found at t = 0, and that answer is returned: who relaxes them asks again. Whether anything is earned is asked of a
    linear program first, and raises NothingEarnedError. Trials leave nothing behind but the inner route's start.
    """

    def __init__(self, inner: Route, gains: Vector) -> None:
        self._inner, self._gains, self._t = inner, gains, 0.0

    def priced(self, problem: Problem) -> Problem:
        """The problem whose answer the last one was: that of least variance, less t times the gains."""
        return replace(problem, q=problem.q - self._t * self._gains)

    def solve(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]:
        from scipy.optimize import brentq

        self._t = 0.0
        answers = {0.0: self._inner.solve(problem)}
        first = answers[0.0][0].w
        if first is None:
            return answers[0.0]
        risk, gains = problem.risk, self._gains
        assert risk is not None
        furthest = self._furthest(problem)

        def off(t: float) -> float:
            self._t = t
            if t not in answers:
                answers[t] = self._inner.solve(self.priced(problem))
            w = answers[t][0].w
            if w is None:
                raise _NoAnswerError
            return t * float(gains @ w) - float(w @ marginal(risk, w))

        top = max((-off(0.0)) ** 0.5 / max(float(np.abs(gains).max()), 1e-300), 1e-12)
        try:
            while off(top) <= 0.0:
                if top > _LARGEST * furthest:
                    raise NothingEarnedError(_NOTHING)
                top *= 4.0
            root: Any = brentq(off, 0.0, top, xtol=1e-15 * top, rtol=1e-13, maxiter=200)
            off(float(root))
        except _NoAnswerError:
            pass
        return answers[self._t]

    def _furthest(self, problem: Problem) -> float:
        """The t of the weights that earn the most, which that of the highest ratio does not exceed."""
        from components.optimizers.elastic import boxes_of
        from components.optimizers.elastic_program import Statement

        able = (problem.lower != 0) | (problem.upper != 0)
        largest = float(np.abs(self._gains[able]).max(initial=0.0))
        if largest == 0:
            raise NothingEarnedError(_NOTHING)
        w = Statement(problem, boxes_of(problem)).cheapest(-self._gains / largest)
        if w is None:
            return 1.0 / largest  # no solver says: the search finds out
        earned = float(self._gains @ w)
        if earned <= _EARNED * largest:
            raise NothingEarnedError(_NOTHING)
        assert problem.risk is not None
        return max(float(w @ marginal(problem.risk, w)) / earned, 1e-12)


_NOTHING = "no weights within the constraints have an expected return above 0"


class _NoAnswerError(Exception):
    """No solver answered at one t: that failure is the answer."""
