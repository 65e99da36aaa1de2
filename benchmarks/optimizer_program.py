"""The compiled route beside bare PIQP on the same rebalances: a factor model, a benchmark, bands, sectors, costs.

Bare PIQP gets matrices made by hand beforehand and, where risk is fixed, only vectors move. The compiled route starts
from a `Problem` and ends with checked weights and multipliers (`ratio`); `path_ratio` is of what lies between: figures
to PIQP's answer. Goal: at most 1.2 times bare at 500 names, fixed risk.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import piqp
import scipy.sparse as sp
from measure import Outcome, arguments, conclude, cpu_seconds

from components.optimizers.problem import Box, Kink, Linear, Problem, Rows, Situation, Variance
from components.optimizers.program import Compiled
from components.optimizers.program_drive import Piqp, shaped
from components.optimizers.program_layout import figured
from components.optimizers.program_maps import mapped
from components.optimizers.program_statement import state
from components.optimizers.stating import objective, stated
from engine.protocols import Risk
from engine.universe import universe_of

GOAL = 1.2
SIZES = ((50, 20, 40), (500, 30, 20), (3000, 50, 4))  # names, factors, rebalances
SECTORS, AVERSION, COST, BAND, TILT = 11, 10.0, 5e-4, 0.02, 0.1
SCALE = 100.0


@dataclass
class Path:
    """Rebalances one after another: alpha moves, weights drift, and where asked the risk model too."""

    problems: list[Problem]
    sectors: np.ndarray[Any, np.dtype[np.float64]]


def path(names: int, factors: int, days: int, *, moving: bool) -> Path:
    """Problem B of the reference: all data synthetic, of a daily order of magnitude."""
    rng = np.random.default_rng(names)
    benchmark = rng.pareto(1.5, names) + 0.1
    benchmark /= benchmark.sum()
    sector = (np.arange(names) % SECTORS).astype(np.int32)
    member = np.stack([(sector == s).astype(float) for s in range(SECTORS)])
    F = rng.normal(0, 1, (names, factors))
    root = rng.normal(0, 1, (factors, 2 * factors)) / np.sqrt(2 * factors)
    covariance = root @ root.T * 0.004**2
    specific = rng.uniform(0.008, 0.03, names) ** 2
    alpha, w0 = rng.normal(0, 0.002, names), benchmark.copy()
    universe, none = universe_of(tuple(f"S{i:04d}" for i in range(names))), np.full(names, np.nan)
    cap = np.maximum(5 * benchmark, 2.0 / names)
    problems = []
    route = Compiled()
    for _ in range(days):
        if moving:
            F = F + rng.normal(0, 0.02, F.shape)
            specific = specific * rng.uniform(0.98, 1.02, names)
            covariance = covariance * rng.uniform(0.95, 1.05)
        at = Situation(
            ts=0,
            universe=universe,
            equity=1e9,
            unit=np.ones(names),
            w0=w0,
            wanted=none,
            alpha=alpha,
            free=np.ones(names, bool),
            leaving=np.zeros(names, bool),
            risk=Risk(factors=F, covariance=covariance, specific=specific),
            benchmark=benchmark,
            sector=sector,
            sectors=tuple(map(str, range(SECTORS))),
            traded=none,
            half_spread=none,
            references={},
            columns={},
            invest=1.0,
            rate=COST,
        )
        problems.append(
            stated(
                [
                    Linear(name="return", cost=-alpha),
                    Variance(name="risk", aversion=AVERSION, about=benchmark),
                    Kink(name="costs", up=np.full(names, COST), down=np.full(names, COST), at=w0),
                    Box(name="band", lower=np.zeros(names), upper=cap),
                    Rows(
                        name="sectors",
                        A=member,
                        low=member @ benchmark - BAND,
                        high=member @ benchmark + BAND,
                        labels=at.sectors,
                    ),
                    Rows(
                        name="exposures",
                        A=F.T.copy(),
                        low=F.T @ benchmark - TILT,
                        high=F.T @ benchmark + TILT,
                        labels=tuple(map(str, range(factors))),
                    ),
                    Rows(name="budget", A=np.ones((1, names)), low=np.ones(1), high=np.ones(1), labels=("all",)),
                ],
                at,
            )
        )
        answer = route.solve(problems[-1])
        assert answer.w is not None, answer.status
        grown = answer.w * (1 + rng.normal(0, 0.015, names))
        w0 = grown / grown.sum()
        alpha = 0.95 * alpha + rng.normal(0, 0.0006, names)
    return Path(problems, member)


class Bare:
    """Written by hand: columns w, what of it is sold, and v; 1/2 w'Dw + 1/2 v'Om v, sectors as rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._solver = piqp.SparseSolver()
        self._made = [self._program(problem) for problem in path.problems]
        self._solver.setup(**self._made[0])

    def _program(self, problem: Problem) -> dict[str, Any]:
        assert problem.risk is not None
        n, risk = len(problem), problem.risk
        K = len(risk.covariance)
        member = self._path.sectors
        up = problem.kinks[0].up
        g = problem.aversion * SCALE
        P = sp.block_diag([sp.diags(g * risk.specific), sp.csc_matrix((n, n)), g * risk.covariance], format="csc")
        pull = risk.factors @ (risk.covariance @ (problem.about @ risk.factors)) + risk.specific * problem.about
        q = np.r_[SCALE * (problem.q + up) - g * pull, SCALE * 2 * up, np.zeros(K)]
        A = sp.bmat([[np.ones((1, n)), None, None], [risk.factors.T, sp.csc_matrix((K, n)), -sp.eye(K)]], format="csc")
        G = sp.bmat([[sp.eye(n), sp.eye(n), None], [member, None, sp.csc_matrix((len(member), K))]], format="csc")
        rows, tilts = slice(0, len(member)), slice(len(member), len(member) + K)
        return {
            "P": P,
            "c": q,
            "A": A,
            "b": np.r_[1.0, np.zeros(K)],
            "G": G,
            "h_l": np.r_[problem.w0, problem.low[rows]],
            "h_u": np.r_[np.full(n, np.inf), problem.high[rows]],
            "x_l": np.r_[problem.lower, np.zeros(n), problem.low[tilts]],
            "x_u": np.r_[problem.upper, np.full(n, np.inf), problem.high[tilts]],
        }

    def solve(self, t: int, *, matrices: bool) -> Any:
        made = self._made[t]
        self._solver.update(**{name: part for name, part in made.items() if matrices or name not in ("P", "A", "G")})
        self._solver.solve()
        return self._solver.result.x[: len(self._path.problems[t])]


class Driven:
    """The compile-once path alone: figures that are ready, one product, PIQP."""

    def __init__(self, path: Path) -> None:
        self._figures = [figured(problem) for problem in path.problems]
        maps = mapped(state(self._figures[0].layout), "PIQP")
        assert maps is not None
        self._maps, self._piqp = maps, Piqp()
        self._shape = shaped(maps, maps.raw(self._figures[0].values, self._figures[0].idle))

    def solve(self, t: int) -> Any:
        raw = self._maps.raw(self._figures[t].values, self._figures[t].idle)
        if not self._shape.holds(raw):
            self._shape = shaped(self._maps, raw)
        answer = self._piqp.solve(self._maps, self._shape, raw)
        assert answer.status == "optimal"


def compared(names: int, factors: int, days: int, rounds: int, *, moving: bool) -> dict[str, float]:
    """CPU milliseconds a rebalance, medians, in turn; the ratio is that of the sums, and the gap the worst of all."""
    made = path(names, factors, days, moving=moving)
    route, bare, driven = Compiled(), Bare(made), Driven(made)
    first = cpu_seconds(lambda: route.solve(made.problems[0]))
    ours: list[float] = []
    theirs: list[float] = []
    paths: list[float] = []
    gap = -np.inf
    for t in [*range(days)] * rounds:
        problem, kept = made.problems[t], {}
        theirs.append(cpu_seconds(lambda: kept.update(x=bare.solve(t, matrices=moving))))  # noqa: B023 - called at once
        paths.append(cpu_seconds(lambda: driven.solve(t)))  # noqa: B023
        ours.append(cpu_seconds(lambda: kept.update(w=route.solve(problem).w)))  # noqa: B023
        gap = max(gap, objective(problem, kept["w"]) - objective(problem, kept["x"]))
    kind = "moving" if moving else "fixed"
    return {
        f"{names}_{kind}_ms": round(float(np.median(ours)) * 1e3, 3),
        f"{names}_{kind}_bare_ms": round(float(np.median(theirs)) * 1e3, 3),
        f"{names}_{kind}_ratio": round(sum(ours) / sum(theirs), 3),
        f"{names}_{kind}_path_ratio": round(sum(paths) / sum(theirs), 3),
        f"{names}_{kind}_first_ms": round(first * 1e3, 1),
        f"{names}_{kind}_gap": float(f"{gap:.1e}"),
    }


def main() -> None:
    args = arguments(__doc__ or "")
    detail: dict[str, float] = {}
    for names, factors, days in SIZES[:2] if args.quick else SIZES:
        for moving in (False, True):
            detail |= compared(names, factors, days, 1 if args.quick else 3, moving=moving)
    ratio = detail["500_fixed_ratio"]
    outcome = Outcome(
        work="mean-variance about a benchmark with a factor model, sectors, exposures, costs: 500 names, risk fixed",
        value=ratio,
        unit="times bare PIQP",
        goal=GOAL,
        met=ratio <= GOAL,
        detail=dict(detail),
    )
    conclude(args, "optimizer_program", outcome)


if __name__ == "__main__":
    main()
