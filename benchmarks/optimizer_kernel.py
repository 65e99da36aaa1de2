"""The structured kernel alone, without optimizer around it: milliseconds of CPU a solve along a path, certified.

Problem A: long only, dense covariance (a shrunk sample of 2 N slices), cost of trading. Problem B: a factor model about
a benchmark, 11 sectors within 2 %, exposures to factors within 0.1, bands, cost of trading. Alphas are AR(1), weights
drift with returns; each solve starts from the last. Goals: medians of 1, 2 and 6 ms for B of 50, 500 and 3,000 names.

With `--peers` the first slices go through PIQP too, its matrices handed over once and vectors anew, and through cvxpy,
the problem well written and compiled once; their objective is compared with ours.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from measure import Outcome, arguments, conclude, cpu_seconds, versions

from components.optimizers.certificate import residual
from components.optimizers.kernel import Kernel
from components.optimizers.problem import Box, Kink, Linear, Problem, Rows, Situation, Variance
from components.optimizers.stating import objective, stated
from engine.protocols import Risk
from engine.universe import universe_of

SIZES, FACTORS = (50, 500, 3000), {50: 20, 500: 30, 3000: 50}
GOAL_MS = {("A", 50): 0.5, ("A", 500): 1.2, ("A", 3000): 5.0, ("B", 50): 1.0, ("B", 500): 2.0, ("B", 3000): 6.0}
PERSISTENCE, EDGE, COST, AVERSION, VOLATILITY = 0.9, 5e-4, 2e-4, 10.0, 0.015


def situation(n: int, risk: Risk, benchmark: Any, w0: Any, alpha: Any) -> Situation:
    none = np.full(n, np.nan)
    every = np.ones(n, bool)
    return Situation(
        ts=0,
        universe=universe_of(tuple(f"S{i}" for i in range(n))),
        equity=1e8,
        unit=np.ones(n),
        w0=w0,
        wanted=np.ones(n),
        alpha=alpha,
        free=every,
        leaving=~every,
        risk=risk,
        benchmark=benchmark,
        sector=np.zeros(n, np.int32),
        sectors=("all",),
        traded=none,
        half_spread=none,
        references={},
        columns={},
        invest=1.0,
        rate=COST,
    )


def dense(n: int, rng: np.random.Generator) -> tuple[Risk, Any, list[Any]]:
    """Problem A: risk, benchmark, constraints."""
    market = rng.normal(size=(1, 2 * n)) * (1.0 + 0.3 * rng.normal(size=(n, 1)))
    returns = 0.01 * (rng.normal(size=(n, 2 * n)) + market) * rng.uniform(0.7, 1.5, (n, 1))
    variance = returns.var(axis=1)
    returns -= returns.mean(axis=1, keepdims=True)
    factors = returns * np.sqrt(0.7 / (2 * n))
    risk = Risk(factors=factors, covariance=np.eye(2 * n), specific=0.3 * variance)
    box = Box(name="box", lower=np.zeros(n), upper=np.full(n, max(0.05, 3.0 / n)))
    return risk, np.zeros(n), [box]


def about_benchmark(n: int, rng: np.random.Generator) -> tuple[Risk, Any, list[Any]]:
    """Problem B: risk, benchmark, constraints."""
    k = FACTORS[n]
    factors = rng.normal(size=(n, k)) / np.sqrt(k)
    factors[:, 0] = 1.0 + 0.3 * rng.normal(size=n)
    turn = (np.eye(k) + 0.1 * rng.normal(size=(k, k))) * np.append(0.01, rng.uniform(0.002, 0.006, k - 1))
    risk = Risk(factors=factors, covariance=turn @ turn.T, specific=rng.uniform(0.01, 0.03, n) ** 2)
    benchmark, sector = rng.dirichlet(np.full(n, 2.0)), rng.integers(0, 11, n)
    groups = (sector == np.arange(11)[:, None]).astype(float)
    band = max(0.01, 2.0 / n)
    limits: list[Any] = [Box(name="band", lower=np.maximum(benchmark - band, 0.0), upper=benchmark + band)]
    for name, A, width in (("sectors", groups, 0.02), ("exposures", np.ascontiguousarray(factors.T), 0.1)):
        at = A @ benchmark
        labels = tuple(map(str, range(len(A))))
        limits.append(Rows(name=name, A=A, low=at - width, high=at + width, labels=labels))
    return risk, benchmark, limits


KINDS: dict[str, Callable[[int, np.random.Generator], tuple[Risk, Any, list[Any]]]] = {"A": dense, "B": about_benchmark}


def path(kind: str, n: int, slices: int) -> Iterator[Problem]:
    """Problems of a run of rebalances, `send` the weights that each ended with."""
    rng = np.random.default_rng(n)
    risk, benchmark, limits = KINDS[kind](n, rng)
    budget = Rows(name="budget", A=np.ones((1, n)), low=np.ones(1), high=np.ones(1), labels=("all",))
    variance = Variance(name="risk", aversion=AVERSION, about=benchmark)
    alpha, w0, rate = rng.normal(size=n), benchmark if benchmark.any() else np.full(n, 1.0 / n), np.full(n, COST)
    for _ in range(slices):
        alpha = PERSISTENCE * alpha + np.sqrt(1 - PERSISTENCE**2) * rng.normal(size=n)
        cost = Kink(name="cost", up=rate, down=rate, at=w0)
        pieces = [Linear(name="alpha", cost=-EDGE * alpha), variance, cost, budget, *limits]
        w = yield stated(pieces, situation(n, risk, benchmark, w0, alpha))
        w0 = w * np.exp(VOLATILITY * rng.normal(size=n))
        w0 = w0 / w0.sum()


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Milliseconds of CPU, and what the call gives."""
    answers: list[Any] = []
    seconds = cpu_seconds(lambda: answers.append(work(*arguments)))
    return 1e3 * seconds, answers[0]


def walked(kind: str, n: int, slices: int) -> tuple[dict[str, Any], list[tuple[Problem, Any]]]:
    """The figures of a path by the kernel, and its first problems with their answers."""
    kernel, last, found, kept = Kernel(), None, [], []
    problems: Any = path(kind, n, slices)
    problem = next(problems)
    kernel.solve(problem)
    for t in range(slices):
        ms, last = timed(kernel.solve, problem, last)
        assert last.status == "optimal", f"{kind} {n} slice {t}: {last.status}"
        cold_ms, _ = timed(kernel.solve, problem)
        judged_ms, left = timed(residual, problem, last)
        found.append((ms, last.iterations, left, cold_ms, judged_ms))
        kept.append((problem, last.w))
        if t + 1 < slices:
            problem = problems.send(last.w)
    warm, steps, residuals, cold, judged = np.array(found[1:]).T
    figures = {
        "ms": round(float(np.median(warm)), 3),
        "ms_p95": round(float(np.quantile(warm, 0.95)), 3),
        "cold_ms": round(float(np.median(cold)), 3),
        "certificate_ms": round(float(np.median(judged)), 3),
        "iterations": float(np.median(steps)),
        "iterations_max": int(steps.max()),
        "residual_max": float(f"{residuals.max():.1e}"),
        "goal_ms": GOAL_MS[kind, n],
    }
    return figures, kept[1:]


# ---- peers -----------------------------------------------------------------------------------------------------------


def factored(p: Problem) -> tuple[Any, Any, int]:
    """F (N, K) and Omega of v = F'(w - about), and the rows of A that limit v; no factor where a dense S is smaller."""
    assert p.risk is not None
    n, k = p.risk.factors.shape
    if k > n:
        return np.zeros((n, 0)), np.zeros((0, 0)), 0
    limited = k if np.array_equal(p.A[-k:], p.risk.factors.T) else 0
    return p.risk.factors, p.risk.covariance, limited


def own_covariance(p: Problem) -> Any:
    """(N, N) what is left of the covariance beside the factors: a diagonal, or all of a dense one."""
    assert p.risk is not None
    n, k = p.risk.factors.shape
    part = p.risk.factors @ p.risk.factors.T if k > n else np.zeros((n, n))
    return part + np.diag(p.risk.specific)


def by_piqp(kept: list[tuple[Problem, Any]]) -> dict[str, float]:
    """PIQP alone: x = (w, v, up, down), v = F'(w - about), w = w0 + up - down; matrices once, vectors each time.

    Limits on exposures are bounds of v, and the objective is 100 times as large, which closes the gap at no cost.
    """
    import piqp
    from scipy import sparse

    first = kept[0][0]
    n, scale, own = len(first), 100.0, own_covariance(first)
    F, omega, limited = factored(first)
    k, rows = F.shape[1], len(first.low) - limited
    parts = [scale * AVERSION * sparse.csc_matrix(own), scale * AVERSION * sparse.csc_matrix(omega)]
    P = sparse.block_diag([*parts, sparse.csc_matrix((2 * n, 2 * n))]).tocsc()
    eye, none = sparse.identity(n), None
    links = [[sparse.csc_matrix(F.T), -sparse.identity(k), none, none]] if k else []
    A = sparse.bmat([*links, [eye, none if k else sparse.csc_matrix((n, 0)), -eye, eye]]).tocsc()
    G = sparse.hstack([sparse.csc_matrix(first.A[:rows]), sparse.csc_matrix((rows, k + 2 * n))]).tocsc()
    solver, ms, gaps = piqp.SparseSolver(), [], []
    for t, (p, w) in enumerate(kept):
        at = F.T @ p.about
        v_low, v_high = (
            (p.low[rows:] - at, p.high[rows:] - at) if limited else (np.full(k, -np.inf), np.full(k, np.inf))
        )
        linear = np.concatenate((p.q - AVERSION * (own @ p.about), np.zeros(k), p.kinks[0].up, p.kinks[0].down))
        given = {
            "c": scale * linear,
            "b": np.concatenate((at, p.w0)),
            "h_l": p.low[:rows],
            "h_u": p.high[:rows],
            "x_l": np.concatenate((p.lower, v_low, np.zeros(2 * n))),
            "x_u": np.concatenate((p.upper, v_high, np.full(2 * n, np.inf))),
        }
        if t == 0:
            solver.setup(P, given["c"], A, given["b"], G, *(given[name] for name in ("h_l", "h_u", "x_l", "x_u")))
        ms.append(1e3 * cpu_seconds(lambda vectors=given: (solver.update(**vectors), solver.solve())))
        gaps.append(objective(p, solver.result.x[:n]) - objective(p, w))
    return {"ms": round(float(np.median(ms[1:])), 3), "worst_gap": float(f"{max(gaps):.1e}")}


def by_cvxpy(kept: list[tuple[Problem, Any]]) -> dict[str, float]:
    """cvxpy, well written (v = F'(w - about) once, for risk and for limits) and compiled once, with PIQP."""
    import cvxpy as cp

    first = kept[0][0]
    F, omega, limited = factored(first)
    rows = len(first.low) - limited
    w, q, w0 = cp.Variable(len(first)), cp.Parameter(len(first)), cp.Parameter(len(first))
    risk = cp.quad_form(w - first.about, cp.psd_wrap(own_covariance(first)))
    rules = [w >= first.lower, w <= first.upper]
    if F.shape[1]:
        v, at = cp.Variable(F.shape[1]), F.T @ first.about
        risk += cp.quad_form(v, cp.psd_wrap(omega))
        rules += [v == F.T @ (w - first.about)]
        rules += [v >= first.low[rows:] - at, v <= first.high[rows:] - at] if limited else []
    equal = first.low[:rows] == first.high[:rows]
    A, low, high = first.A[:rows], first.low[:rows], first.high[:rows]
    rules += [A[equal] @ w == low[equal]]
    rules += [A[~equal] @ w >= low[~equal], A[~equal] @ w <= high[~equal]] if (~equal).any() else []
    cost = q @ w + AVERSION / 2 * risk + first.kinks[0].up @ cp.abs(w - w0)
    program = cp.Problem(cp.Minimize(100.0 * cost), rules)
    ms, gaps = [], []
    for p, ours in kept:
        q.value, w0.value = p.q, p.w0
        ms.append(1e3 * cpu_seconds(lambda: program.solve(solver=cp.PIQP)))
        gaps.append(objective(p, w.value) - objective(p, ours))
    return {"ms": round(float(np.median(ms[1:])), 3), "worst_gap": float(f"{max(gaps):.1e}")}


def compared(kind: str, n: int, kept: list[tuple[Problem, Any]]) -> dict[str, Any]:
    """What the peers need for the same problems; cvxpy, and any of them with a dense covariance, up to 500 names."""
    if kind == "A" and n > 500:
        return {}
    some = kept[: 8 if n < 3000 else 4]
    found = {"piqp": by_piqp(some)}
    return found | {"cvxpy": by_cvxpy(some)} if n <= 500 else found


def main() -> None:
    args = arguments(__doc__ or "")
    detail: dict[str, Any] = {}
    peers: dict[str, Any] = {}
    print(f"{'':8}{'ms':>8}{'p95':>8}{'cold':>8}{'judged':>8}{'steps':>7}{'most':>6}{'residual':>10}{'goal':>7}")
    for kind in KINDS:
        for n in SIZES[: 2 if args.quick else 3]:
            slices = 20 if args.quick or (kind, n) == ("A", 3000) else 60
            row, kept = walked(kind, n, slices)
            detail[f"{kind} {n}"] = row
            figures = "".join(f"{row[name]:8.2f}" for name in ("ms", "ms_p95", "cold_ms", "certificate_ms"))
            counts = (
                f"{row['iterations']:7.0f}{row['iterations_max']:6d}{row['residual_max']:10.0e}{row['goal_ms']:7.1f}"
            )
            print(f"{kind} {n:<6}{figures}{counts}", flush=True)
            if args.peers:
                peers[f"{kind} {n}"] = compared(kind, n, kept)
                for name, other in peers[f"{kind} {n}"].items():
                    times = other["ms"] / row["ms"]
                    print(f"  {name:8}{other['ms']:8.2f} ms, {times:.1f} times ours, gap {other['worst_gap']:.0e}")
    value = detail["B 500"]["ms"]
    met = all(row["ms"] <= row["goal_ms"] and row["residual_max"] <= 1e-9 for row in detail.values())
    work = "a rebalance of 500 names by the kernel, problem B, warm"
    detail["versions"] = versions("cvxpy", "piqp") if args.peers else {}
    outcome = Outcome(work=work, value=value, unit="ms", goal=GOAL_MS["B", 500], met=met, peers=peers, detail=detail)
    conclude(args, "optimizer_kernel", outcome)


if __name__ == "__main__":
    main()
