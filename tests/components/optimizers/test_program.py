"""The compiled route against cvxpy stated the plain way, and what a user relies on beside the optimum."""

from dataclasses import replace
from typing import Any

import cvxpy as cp
import msgspec
import numpy as np
import pytest

from components.optimizers import program_drive
from components.optimizers.problem import HARD, Counted, Problem
from components.optimizers.program import TOLERANCE, Compiled
from components.optimizers.program_duals import Multipliers, balance, worst
from components.optimizers.stating import broken, objective
from tests.components.optimizers.problems import PIECES, PRICED, plain, random_problem

GAP = 1e-9  # of return: a hundred thousandth of a basis point
SETS = [
    ("variance",),
    ("ridge",),
    ("tail",),
    *[("variance", kind) for kind in (*PIECES, *PRICED)],
    ("tail", "kink", "turnover"),
    ("risk",),
    ("kink", "soft_risk", "factors"),
    ("variance", *PIECES),
    ("variance", *PRICED),
]
pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate")  # of the plain statement, with impact


def seeded(kinds: tuple[str, ...], seed: int, n: int | None = None) -> Problem:
    rng = np.random.default_rng([seed, *map(ord, "".join(kinds))])
    return random_problem(int(rng.integers(6, 40)) if n is None else n, rng, kinds)


def with_pinned(problem: Problem, share: float = 0.3) -> Problem:
    """The same with some names held where they are, as those are that do not trade."""
    held = np.random.default_rng(len(problem)).random(len(problem)) < share
    kept = np.clip(problem.w0, problem.lower, problem.upper) * 0.3
    return replace(problem, lower=np.where(held, kept, problem.lower), upper=np.where(held, kept, problem.upper))


@pytest.mark.parametrize("kinds", SETS, ids="+".join)
def test_the_optimum_is_that_of_the_plain_statement(kinds: tuple[str, ...]) -> None:
    route = Compiled()
    for seed in range(3):
        problem = seeded(kinds, seed)
        for made in (problem, with_pinned(problem)):
            answer = route.solve(made)
            status, best = plain(made)
            if status.startswith("infeasible"):
                assert answer.status == "infeasible"
                continue
            assert answer.status == "optimal"
            assert answer.w is not None
            assert max(broken(made, answer.w).values(), default=0.0) <= TOLERANCE
            assert (answer.w >= made.lower).all()
            assert (answer.w <= made.upper).all()
            assert abs(objective(made, answer.w) - best) <= GAP


# A tail's slope where two losses are equal is one of many: tails have a test of their own.
@pytest.mark.parametrize("kinds", [kinds for kinds in SETS if "tail" not in kinds], ids="+".join)
def test_multipliers_leave_no_name_a_slope(kinds: tuple[str, ...]) -> None:
    """Stationarity: what the named multipliers leave of the slopes of the cost is what the bounds are said to hold."""
    for seed in range(3):
        problem = with_pinned(seeded(kinds, seed), 0.2)
        answer = Compiled().solve(problem)
        if answer.status == "infeasible":
            continue
        assert answer.w is not None
        assert answer.box is not None
        assert answer.rows is not None
        known = Multipliers(
            box=answer.box,
            rows=answer.rows,
            turnover=answer.turnover,
            gross=answer.gross,
            risk_caps=answer.risk_caps,
            tails=(),
        )
        # Weights within a solver's accuracy of a kink are at it: there any slope between its two sides will do.
        w = answer.w
        points = [kink.at for kink in problem.kinks]
        points += [problem.w0] * bool(problem.turnover) + [np.zeros(len(w))] * bool(problem.gross)
        for at in points:
            w = np.where(np.abs(w - at) < 1e-5, at, w)
        left = balance(replace(problem, q=problem.q + answer.box), known, w, [])
        assert np.abs(left).max() <= 2e-6
        assert (answer.box[answer.w < problem.upper - 1e-4] <= 1e-6).all()
        assert (answer.box[answer.w > problem.lower + 1e-4] >= -1e-6).all()


def test_a_multiplier_is_what_a_looser_limit_would_gain() -> None:
    """Checked by solving again with the limit a little looser."""
    step, found = 1e-4, 0
    for seed in range(4):
        for kinds in (("variance", "rows", "turnover"), ("variance", "risk"), ("variance", "gross", "factors")):
            problem = seeded((*kinds, "kink"), seed, 20)
            route = Compiled()
            answer = route.solve(problem)
            assert answer.w is not None
            assert answer.rows is not None
            best = objective(problem, answer.w)
            looser: list[tuple[float, Problem]] = []
            for name, multipliers in (
                ("turnover", answer.turnover),
                ("gross", answer.gross),
                ("risk_caps", answer.risk_caps),
            ):
                caps = getattr(problem, name)
                moved = tuple(
                    replace(cap, limit=cap.limit + step * (0.01 if name == "risk_caps" else 1)) for cap in caps
                )
                if caps:
                    unit = 0.01 if name == "risk_caps" else 1.0
                    looser.append((multipliers[0] * unit, replace(problem, **{name: moved})))
            for i in np.flatnonzero(np.abs(answer.rows) > 1e-5).tolist():
                high, low = problem.high.copy(), problem.low.copy()
                (high if answer.rows[i] > 0 else low)[i] += step * np.sign(answer.rows[i])
                if problem.low[i] == problem.high[i]:
                    low[i] = high[i] = problem.low[i] + step * np.sign(answer.rows[i])
                looser.append((abs(float(answer.rows[i])), replace(problem, high=high, low=low)))
            for multiplier, other in looser:
                again = route.solve(other)
                assert again.w is not None
                gained = (best - objective(other, again.w)) / step
                assert gained == pytest.approx(multiplier, rel=0.1, abs=2e-5)
                found += multiplier > 1e-4
    assert found > 10


def test_tails_have_a_slope_that_their_cost_has() -> None:
    problem = seeded(("tail",), 1, 10)
    w, step = np.full(10, 0.1), 1e-7
    slope = -problem.tails[0].returns.T @ worst(problem.tails[0], w)
    for i in range(10):
        moved = w + step * (np.arange(10) == i)
        gained = objective(replace(problem, q=np.zeros(10)), moved) - objective(replace(problem, q=np.zeros(10)), w)
        assert gained / step == pytest.approx(slope[i], abs=1e-6)


@pytest.mark.parametrize("solver", ["piqp", "clarabel", "highs"])
def test_an_answer_depends_on_its_problem_alone(solver: Any) -> None:
    """Bit for bit, whatever the same object solved before: sizes, shapes and figures that come and go."""
    kinds = ("tail", "kink", "turnover") if solver == "highs" else ("variance", "kink", "rows")
    problems = [seeded(kinds, seed, 30) for seed in range(3)]
    problems += [with_pinned(problems[0], 0.1), with_pinned(problems[1], 0.5 if solver != "highs" else 0.1)]
    used = Compiled(solver=solver)
    first = [used.solve(problem) for problem in problems]
    for order in ([4, 0, 3, 1, 2], [2, 2, 0, 1, 4]):
        for i in order:
            again, fresh = used.solve(problems[i], start=first[0]), Compiled(solver=solver).solve(problems[i])
            for answer in (again, fresh):
                assert answer.status == first[i].status == "optimal"
                assert answer.w is not None
                assert first[i].w is not None
                assert answer.w.tobytes() == first[i].w.tobytes()  # type: ignore[union-attr]
                assert answer.iterations == first[i].iterations


def test_names_that_come_and_go_compile_nothing() -> None:
    rng = np.random.default_rng(7)
    problem = random_problem(60, rng, ("variance", "kink", "rows"))
    route = Compiled()
    assert route.solve(problem).status == "optimal"
    for _ in range(100):
        gone = rng.random(60) < rng.uniform(0, 0.4)
        made = replace(problem, lower=np.where(gone, 0.0, problem.lower), upper=np.where(gone, 0.0, problem.upper))
        answer = route.solve(made)
        assert answer.status == "optimal"
        assert answer.w is not None
        assert not answer.w[gone].any()
    assert route.compiled <= 2  # of 64 and of 32 slots


@pytest.mark.parametrize(
    "kinds", [("variance", "kink", "factors", "soft_rows"), ("variance", "risk", "impact"), ("tail",)]
)
def test_what_is_taken_from_cvxpy_solves_to_what_cvxpy_does(kinds: tuple[str, ...], monkeypatch: Any) -> None:
    """The contract with cvxpy: on random figures both ways agree; without the names it hides, its own way is taken."""
    route, other = Compiled(), Compiled()
    problems = [seeded(kinds, seed, 24) for seed in range(6)]
    direct = [route.solve(problem) for problem in problems]
    assert all(program.maps is not None for program in route._programs.values())
    shown = cp.Problem.get_problem_data

    def hidden(self: Any, *args: Any, **options: Any) -> Any:
        compiled, chain, inverse = shown(self, *args, **options)
        return {name: part for name, part in compiled.items() if name != "param_prob"}, chain, inverse

    monkeypatch.setattr(cp.Problem, "get_problem_data", hidden)
    for problem, answer in zip(problems, direct, strict=True):
        slow = other.solve(problem)
        assert slow.status == answer.status == "optimal"
        assert slow.route == answer.route
        assert slow.w is not None
        assert answer.w is not None
        assert abs(objective(problem, slow.w) - objective(problem, answer.w)) <= 1e-8
        assert slow.rows == pytest.approx(answer.rows, abs=1e-5)
    assert all(program.maps is None for program in other._programs.values())


@pytest.mark.parametrize("solver", ["osqp", "scs", "clarabel"])
def test_declared_alternatives_come_to_the_same(solver: Any) -> None:
    kinds = ("variance", "kink", "rows") if solver == "osqp" else ("variance", "kink", "soft_risk")
    for seed in range(3):
        problem = seeded(kinds, seed, 20)
        answer = Compiled(solver=solver).solve(problem)
        assert (answer.status, answer.route) == ("optimal", solver)
        assert answer.w is not None
        assert abs(objective(problem, answer.w) - plain(problem)[1]) <= 1e-7
        assert answer.rows == pytest.approx(Compiled().solve(problem).rows, abs=1e-5)


def test_solvers_get_only_what_they_can_solve() -> None:
    """HiGHS takes a quadratic program for unbounded, or hangs on it: it never receives one."""
    quadratic, cone, linear = seeded(("variance",), 1), seeded(("risk",), 1), seeded(("tail",), 1)
    counted = replace(quadratic, counted=(Counted(name="names", most=3),))
    expected = {
        "auto": (True, True, True),
        "piqp": (True, False, True),
        "osqp": (True, False, True),
        "highs": (False, False, True),
        "clarabel": (True, True, True),
        "scs": (True, True, True),
    }
    for solver, fits in expected.items():
        route = Compiled(solver=solver)  # type: ignore[arg-type]
        assert tuple(route.fits(problem) for problem in (quadratic, cone, linear)) == fits
        assert not route.fits(counted)
        with pytest.raises(ValueError, match="count names"):
            route.solve(counted)
    assert [Compiled().solve(problem).route for problem in (quadratic, cone, linear)] == ["piqp", "clarabel", "highs"]
    with pytest.raises(ValueError, match="highs: the problem has a quadratic objective"):
        Compiled(solver="highs").solve(quadratic)
    with pytest.raises(ValueError, match="piqp: the problem has cones"):
        Compiled(solver="piqp").solve(cone)
    with pytest.raises(ValueError, match="solver is 'ecos'"):
        Compiled(solver="ecos")  # type: ignore[arg-type]


def test_what_went_wrong_has_a_name(monkeypatch: Any) -> None:
    problem = seeded(("variance", "rows"), 1, 20)
    impossible = replace(problem, low=problem.low + 2.0, high=problem.high + 2.0)
    crossed = replace(problem, lower=problem.upper + 0.1)
    nothing = replace(problem, lower=np.full(20, 0.01), upper=np.full(20, 0.01))
    held = replace(problem, lower=np.full(20, 0.05), upper=np.full(20, 0.05))
    route = Compiled()
    assert route.solve(impossible).status == "infeasible"
    assert route.solve(impossible).w is None
    assert route.solve(crossed).status == "infeasible"
    assert (route.solve(nothing).status, route.solve(nothing).route) == ("infeasible", "bounds")
    assert route.solve(held).status == "optimal"
    assert Compiled(solver="clarabel").solve(impossible).status == "infeasible"
    q = problem.q.copy()
    q[3] = np.nan
    assert route.solve(replace(problem, q=q)).status == "failed: q has an entry that is not a number"
    free = replace(seeded((), 1, 10), lower=np.full(10, -np.inf), upper=np.full(10, np.inf))
    assert Compiled().solve(free).status == "unbounded"
    assert Compiled(solver="clarabel").solve(free).status == "unbounded"
    for solver in ("piqp", "clarabel", "osqp", "scs"):
        monkeypatch.setitem(program_drive.MAX_ITERATIONS, solver, 2)
        stopped = Compiled(solver=solver).solve(problem)  # type: ignore[arg-type]
        assert stopped.status in ("iteration_limit", "inaccurate")
        assert stopped.w is None


def test_an_answer_that_breaks_a_limit_is_not_optimal(monkeypatch: Any) -> None:
    problem = seeded(("variance", "rows"), 1, 20)
    solve = program_drive.Piqp.solve

    def off(self: Any, *program: Any) -> program_drive.Answer:
        answer = solve(self, *program)
        assert answer.x is not None
        return replace(answer, x=answer.x * (1 + 1e-5))

    monkeypatch.setattr(program_drive.Piqp, "solve", off)
    answer = Compiled().solve(problem)
    assert answer.status == "inaccurate"
    assert answer.w is None


@pytest.mark.parametrize("power", [-8, 8])
def test_scaled_money_leaves_the_weights(power: int) -> None:
    """Returns, risk and costs all a power of two larger: the same problem, so the same answer."""
    problem, by = seeded(("variance", "kink", "rows"), 2, 30), 2.0**power
    scaled = replace(
        problem,
        q=problem.q * by,
        aversion=problem.aversion * by,
        kinks=tuple(replace(kink, up=kink.up * by, down=kink.down * by) for kink in problem.kinks),
    )
    one, other = Compiled().solve(problem), Compiled().solve(scaled)
    assert one.w is not None
    assert other.w is not None
    assert one.w.tobytes() == other.w.tobytes()
    assert other.rows == pytest.approx(one.rows * by)  # type: ignore[operator]


def test_wide_risk_models_and_large_kinks_are_kept() -> None:
    """More factors than names; soft bounds far away at a high price."""
    rng = np.random.default_rng(3)
    problem = random_problem(12, rng, ("variance", "soft_box", "risk"))
    assert problem.risk is not None
    wide = np.random.default_rng(1).normal(0, 0.01, (12, 40))
    risk = msgspec.structs.replace(problem.risk, factors=wide, covariance=np.eye(40) / 5)
    made = replace(
        problem, risk=risk, kinks=tuple(replace(kink, up=kink.up * 1e3, down=kink.down * 1e3) for kink in problem.kinks)
    )
    answer = Compiled().solve(made)
    assert answer.w is not None
    assert abs(objective(made, answer.w) - plain(made)[1]) <= GAP
    assert HARD not in answer.risk_caps


def of_any_scale(seed: int) -> Problem:
    """Every mixture of pieces; risk, aversion, costs and specific risk over orders of magnitude."""
    rng = np.random.default_rng(seed)
    kinds = [
        kind for kind in (*PIECES, *PRICED) if rng.random() < (0.15 if "risk" in kind or kind == "impact" else 0.3)
    ]
    problem = random_problem(int(rng.choice([10, 20, 40, 80])), rng, ("variance", *kinds))
    assert problem.risk is not None
    by = 10.0 ** (rng.uniform([-6, -2, -3, -2, -2], [0, 2, 1, 2, 1.5]) * rng.integers(0, 2, 5))
    risk = msgspec.structs.replace(
        problem.risk,
        specific=problem.risk.specific * by[0],
        factors=problem.risk.factors * by[1],
        covariance=problem.risk.covariance * by[2],
    )
    kinks = tuple(replace(kink, up=kink.up * by[4], down=kink.down * by[4]) for kink in problem.kinks)
    return replace(problem, risk=risk, aversion=problem.aversion * by[3], kinks=kinks)


def same_as_clarabel(seed: int, route: Compiled, other: Compiled) -> None:
    problem = of_any_scale(seed)
    answer, reference = route.solve(problem), other.solve(problem)
    assert answer.status in ("optimal", "infeasible"), seed
    assert answer.status == reference.status, seed
    if answer.w is not None and reference.w is not None:
        gap = objective(problem, answer.w) - objective(problem, reference.w)
        assert abs(gap) <= 1e-7 + 1e-5 * abs(objective(problem, answer.w)), seed


def test_problems_of_any_scale_are_solved() -> None:
    route, other = Compiled(), Compiled(solver="clarabel")
    for seed in range(30):
        same_as_clarabel(seed, route, other)


@pytest.mark.long
def test_five_hundred_problems_of_any_scale_are_solved() -> None:
    route, other = Compiled(), Compiled(solver="clarabel")
    for seed in range(30, 530):
        same_as_clarabel(seed, route, other)
