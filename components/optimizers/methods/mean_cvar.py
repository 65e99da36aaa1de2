"""The weights of least expected shortfall over the returns of a window."""

from typing import Any, Literal

import numpy as np

from components.optimizers.methods.returns import Returns
from components.optimizers.methods.room import cannot, decided, positive, room_of
from components.optimizers.methods.routes import SolverName
from components.optimizers.methods.within import TOLERANCE, Asked, bounds, limited
from components.optimizers.needs import Need
from components.optimizers.problem import Constraint, Decision, Linear, Situation, Tail
from engine.events import Actions, Bars, Matrix, Reference, Vector
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "mean_cvar", 1
_BOTH = "mean_cvar within constraints"
_SCALE = 1_000.0  # daily returns are small beside a solver's tolerance; the answer does not depend on it


class MeanCvar:
    """Minimise the mean loss of the worst slices, less what is expected to be earned.

        minimise    CVaR_level(-R (w + p)) - reward * e'w
        subject to  sum w = total,  0 <= w <= max_weight

    R (T, N) are the returns of the last `window` slices, p is what is held and cannot be traded. e is the mean return
    over the window, or the targets' alpha as a return over one slice (NaN counts as 0); with `reward: 0` it does not
    matter. A symbol with fewer than `min_slices` returns is not increased; a missing return counts as the mean of the
    others in its slice. It needs no risk model. A linear program of T + 1 rows, solved by HiGHS' dual simplex, names
    in the order of their symbols; with `constraints` it is the composed problem of `cvar` and reward, with these
    beside. Memory: `window` rows of N float64. `lookback` is window + 1 slices.

    Source: Rockafellar, Uryasev (2000), Optimization of conditional value-at-risk, J. of Risk 2(3), theorem 2.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        window: int = 250,
        min_slices: int = 60,
        level: float = 0.95,
        reward: float = 0.0,
        expected: Literal["history", "alpha"] = "history",
        max_weight: float = 1.0,
        max_invest: float = 1.0,
        constraints: tuple[Constraint, ...] = (),
        solver: SolverName = "auto",
        tolerance: float = TOLERANCE,
    ) -> None:
        positive({"max_weight": max_weight, "max_invest": max_invest})
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}")
        if not 0 <= reward < np.inf:
            raise ValueError(f"reward must be at least 0, got {reward}")
        if expected not in ("history", "alpha"):
            raise ValueError(f"expected must be history or alpha, got {expected!r}")
        self._level, self._reward, self._expected = level, reward, expected
        self._max_weight, self._max_invest = max_weight, max_invest
        self._returns = Returns(universe, window, min_slices)
        self._place = np.argsort(np.argsort(np.array(universe.symbols), kind="stable"), kind="stable")
        self._within = limited(universe, constraints, Asked(0.0, max_weight, solver, tolerance, tail=True))
        inner = self._within
        self.lookback: int = max(self._returns.lookback, 0 if inner is None else inner.lookback)
        self.needs: tuple[Need, ...] = () if inner is None else inner.needs
        self.needs_risk: bool = inner is not None and inner.needs_risk

    def on_bars(self, bars: Bars, /) -> None:
        self._returns.on_bars(bars)
        if self._within is not None:
            self._within.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._returns.on_actions(actions)
        if self._within is not None:
            self._within.on_actions(actions)

    def on_reference(self, reference: Reference, /) -> None:
        if self._within is not None:
            self._within.on_reference(reference)

    def weights(self, at: Situation, /) -> Decision:
        room, ready = room_of(at, self._max_invest, self._max_weight), self._returns.ready()
        if not ready.any():
            return cannot("no symbol has enough returns yet")
        rows, R = room.rows, self._returns.scenarios()
        if not len(rows):
            return decided(at, room, np.zeros(0))
        if self._expected == "history":
            e = R.mean(axis=0)[rows]
        else:
            e = np.where(np.isfinite(at.alpha), at.alpha, 0.0)[rows]
        high = np.where(ready[rows], self._max_weight, np.clip(np.nan_to_num(at.w0[rows]), 0.0, self._max_weight))
        if self._within is not None:
            tail = Tail(name="cvar", returns=R, level=self._level, weight=1.0)
            gains = np.zeros(len(at.w0))
            gains[rows] = -self._reward * e
            limits = bounds(at, room, np.zeros(len(rows)), high)
            return self._within.weights(at, limits, tail, Linear(name="reward", cost=gains))
        total = min(room.total, float(high.sum()))
        order = np.argsort(self._place[rows])
        task = (R[:, rows[order]], R @ room.pinned, self._reward * e[order], high[order])
        found = _least(task, self._level, total)
        if isinstance(found, str):
            return cannot(found)
        w = np.zeros(len(rows))
        w[order] = found
        return decided(at, room, w)

    def save(self) -> bytes:
        own = self._returns.save(_KIND, _VERSION)
        return own if self._within is None else pack(_BOTH, _VERSION, own=own, within=self._within.save())

    def load(self, state: bytes, /) -> None:
        if self._within is None:
            self._returns.load(state, _KIND, _VERSION)
            return
        fields = unpack(state, _BOTH, _VERSION)
        self._returns.load(fields["own"], _KIND, _VERSION)
        self._within.load(fields["within"])


def _least(task: tuple[Matrix, Vector, Vector, Vector], level: float, total: float) -> Vector | str:
    """(n,) the best weights of scenarios (T, n), what is pinned earns (T,), gains (n,) and upper bounds (n,).

    With the value at risk a and what each loss exceeds it by, u:

        minimise  a + sum u / ((1 - level) T) - gain'w   subject to   u >= -R w - pinned - a,  u >= 0
    """
    from scipy.optimize import linprog

    solve: Any = linprog
    R, pinned, gain, high = task
    T, n = R.shape
    cost = np.concatenate([-gain * _SCALE, [1.0], np.full(T, 1.0 / ((1.0 - level) * T))])
    rows = np.concatenate([-R * _SCALE, np.full((T, 1), -1.0), -np.eye(T)], axis=1)
    sums = np.concatenate([np.ones(n), np.zeros(T + 1)])[None]
    bounds = np.zeros((n + 1 + T, 2))
    bounds[:, 1] = np.inf
    bounds[:n, 1], bounds[n, 0] = high, -np.inf
    found = solve(
        cost / max(float(np.abs(cost).max()), 1.0),
        A_ub=rows,
        b_ub=pinned * _SCALE,
        A_eq=sums,
        b_eq=[total],
        bounds=bounds,
        method="highs-ds",
    )
    if found.status != 0:
        return f"linear program: {str(found.message).splitlines()[0]}"
    w: Vector = np.clip(found.x[:n], 0.0, high)
    return w
