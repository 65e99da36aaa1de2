"""The structured kernel against closed forms, cvxpy, and what must not change an answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.optimizers import kernel as kernel_module
from components.optimizers.certificate import residual
from components.optimizers.kernel import Kernel
from components.optimizers.kernel_loops import Limits, climbed, excess, movable, respond, searched, settled
from components.optimizers.kernel_names import names_of
from components.optimizers.kernel_newton import newton
from components.optimizers.problem import Counted, GrossCap, Kink, Problem, RiskCap, Solution, Tail, TurnoverCap
from components.optimizers.stating import broken, objective
from engine.protocols import Risk
from engine.state import pack, unpack
from tests.components.optimizers.drawn import by_cvxpy, covariance, drawn, problem, spread_risk, trading


def solved(p: Problem, start: Solution | None = None) -> Solution:
    answer = Kernel().solve(p, start)
    assert answer.status == "optimal"
    return answer


def weights(p: Problem) -> Any:
    return solved(p).w


def one(mu: float, **given: Any) -> Problem:
    """One asset of variance 0.0016 at aversion 5, w0 = 0.1, cost 0.0008."""
    risk = Risk(factors=np.zeros((1, 0)), covariance=np.zeros((0, 0)), specific=np.array([0.0016]))
    return problem([-mu], risk=risk, aversion=5.0, w0=[0.1], kinks=(trading(0.0008, [0.1]),), **given)


def long_only(n: int, seed: int = 0, **changes: Any) -> Problem:
    rng = np.random.default_rng(seed)
    w0 = rng.dirichlet(np.ones(n))
    fields: dict[str, Any] = {
        "risk": spread_risk(n, seed),
        "aversion": 5.0,
        "w0": w0,
        "kinks": (trading(1e-4, w0),),
        "lower": np.zeros(n),
        "upper": np.full(n, 4.0 / n),
        "A": np.ones((1, n)),
        "low": np.ones(1),
        "high": np.ones(1),
    }
    return problem(**({"q": rng.normal(size=n) * 1e-3} | fields | changes))


# ---- closed forms ----------------------------------------------------------------------------------------------------


def test_one_asset_with_linear_and_three_halves_cost() -> None:
    """g s2 |x| + 1.5 k sqrt|x| = |r| - c, so sqrt|x| = (-1.5 k + sqrt(2.25 k^2 + 4 g s2 (|r| - c))) / (2 g s2)."""
    answer = weights(one(0.004, impact=[0.002]))
    assert answer[0] == pytest.approx(0.2532149, abs=5e-8)
    assert weights(one(0.0015, impact=[0.002])).tolist() == [0.1]  # |r| = 0.0007 is within the cost
    down = weights(one(-0.004, impact=[0.002]))
    r = 0.004 + 5 * 0.0016 * 0.1 - 0.0008
    moved = ((-0.003 + np.sqrt(0.003**2 + 4 * 0.008 * r)) / 0.016) ** 2
    assert down[0] == pytest.approx(0.1 - moved, abs=1e-12)


def test_diagonal_risk_with_bounds_is_a_clipped_soft_threshold() -> None:
    rng = np.random.default_rng(3)
    n = 40
    s2, mu, w0 = rng.uniform(1, 4, n) * 1e-4, rng.normal(size=n) * 1e-3, rng.normal(size=n) * 0.1
    risk = Risk(factors=np.zeros((n, 1)), covariance=np.eye(1), specific=s2)
    lower, upper = w0 - 0.3, w0 + 0.2
    p = problem(-mu, risk=risk, aversion=5.0, w0=w0, kinks=(trading(2e-4, w0),), lower=lower, upper=upper)
    r = mu - 5 * s2 * w0
    expected = np.clip(w0 + np.sign(r) * np.maximum(np.abs(r) - 2e-4, 0) / (5 * s2), lower, upper)
    np.testing.assert_allclose(weights(p), expected, atol=1e-14)


@pytest.mark.parametrize("k", [3, 30])
def test_minimum_variance(k: int) -> None:
    """S^-1 1 / 1'S^-1 1, in factors and dense."""
    risk = spread_risk(20, 1, k)
    p = problem(np.zeros(20), risk=risk, aversion=1.0, A=np.ones((1, 20)), low=[1.0], high=[1.0])
    x = np.linalg.solve(covariance(risk), np.ones(20))
    np.testing.assert_allclose(weights(p), x / x.sum(), atol=1e-11)


def test_active_portfolio_about_a_benchmark() -> None:
    """x = S^-1 (m - (b/c) 1) / g with zero net, b = 1'S^-1 m, c = 1'S^-1 1."""
    rng = np.random.default_rng(2)
    risk, wb, m = spread_risk(15, 2), rng.dirichlet(np.ones(15)), rng.normal(size=15) * 1e-3
    p = problem(-m, risk=risk, aversion=20.0, about=wb, A=np.ones((1, 15)), low=[1.0], high=[1.0])
    inverse = np.linalg.inv(covariance(risk))
    one_ = np.ones(15)
    x = inverse @ (m - (one_ @ inverse @ m) / (one_ @ inverse @ one_)) / 20.0
    np.testing.assert_allclose(weights(p), wb + x, atol=1e-11)


# ---- against cvxpy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_cvxpy_finds_nothing_better(first: int) -> None:
    for seed in range(first, first + 20):
        p = drawn(seed)
        answer, other = solved(p), by_cvxpy(p)
        assert answer.w is not None
        assert max(broken(p, answer.w).values(), default=0.0) <= 1e-9, seed
        assert other is not None, seed
        gap = (objective(p, answer.w) - objective(p, other)) / float(np.abs(p.q).max())
        assert gap <= 1e-9, seed
        assert gap >= -1e-6, seed  # what it leaves may only be what it breaks


def test_a_thousand_drawn_problems_are_solved_and_certified() -> None:
    steps = []
    for seed in range(1000, 2000):
        p = drawn(seed)
        answer = solved(p)
        assert residual(p, answer) <= 1e-9, seed
        steps.append(answer.iterations)
    assert np.median(steps) <= 12
    assert max(steps) <= 60


def test_the_compiled_loop_says_what_the_arrays_say() -> None:
    for seed in range(60):
        p = drawn(seed)
        n = len(p)
        rng = np.random.default_rng(seed)
        names = names_of(p, rng.uniform(1e-4, 1e-2, n), p.lower, p.upper)
        u, prices = rng.normal(size=n) * 1e-3, rng.uniform(0, 1e-3, len(names.caps.limit))
        w = np.empty(n)
        respond(names.costs(), u, prices, w)
        np.testing.assert_allclose(w, names.respond(u, prices), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("solve", [settled, climbed])
def test_the_local_model_of_rows_is_solved(solve: Any) -> None:
    """At the answer every row is where its multiplier wants it, rows of rank below their number included."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        r = int(rng.integers(1, 12))
        half = rng.normal(size=(r, max(1, r - 2)))
        S = half @ half.T + 1e-6 * np.eye(r)
        low, high = -rng.uniform(0, 1, r), rng.uniform(0, 1, r)
        high = np.where(rng.random(r) < 0.2, low, high)
        ends = rng.random((2, r)) < 0.2
        low, high = np.where(ends[0] & (low < high), -np.inf, low), np.where(ends[1] & (low < high), np.inf, high)
        price = np.where(rng.random(r) < 0.3, rng.uniform(0, 2, r), np.inf)
        least, most = np.where(np.isinf(low), 0.0, -price), np.where(np.isinf(high), 0.0, price)
        limits = Limits(low, high, price, least, most)
        z0, v = np.clip(rng.normal(size=r), least, most), rng.normal(size=r) * 2
        z = solve(S, v, z0, limits, 1e-13)
        assert ((z >= least - 1e-9) & (z <= most + 1e-9)).all()
        assert np.abs(excess(limits, v - S @ (z - z0), z)).max() <= 1e-8, seed


def test_read_only_and_strided_arrays_are_no_other_code() -> None:
    before = len(newton.signatures)
    p = long_only(20, impact=np.full(40, 1e-4)[::2], turnover=(TurnoverCap(name="t", limit=0.3),))
    for array in (p.q, p.w0, p.lower, p.upper, p.A, p.low, p.high, p.row_soft, p.impact):
        array.flags.writeable = False
    upper = np.full(40, 0.2)[::2]
    answer = solved(replace(p, upper=upper), solved(p))
    assert residual(replace(p, upper=upper), answer) <= 1e-10
    assert (before, len(newton.signatures)) in ((0, 1), (1, 1))
    assert all(len(f.signatures) <= 1 for f in (respond, settled, excess, movable, searched))


def test_both_newton_methods_answer_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops that are compiled whole for few factors, and the calls that LAPACK serves where there are many."""
    answered = 0
    for seed in range(80):
        p = drawn(seed)
        compiled = Kernel().solve(p)
        with monkeypatch.context() as patch:
            patch.setattr(kernel_module, "FEW", 0)
            called = Kernel().solve(p)
        assert compiled.status == called.status, seed
        if compiled.status == "optimal":
            np.testing.assert_allclose(compiled.w, called.w, atol=1e-9, rtol=0, err_msg=str(seed))
            answered += 1
    assert answered >= 40


# ---- what must not change an answer ----------------------------------------------------------------------------------


def test_where_it_starts_does_not_show() -> None:
    kernel, last = Kernel(), None
    for seed in range(30):
        p = long_only(25, 7, q=np.random.default_rng(seed).normal(size=25) * 1e-3)
        warm, cold = kernel.solve(p, last), Kernel().solve(p)
        np.testing.assert_allclose(warm.w, cold.w, atol=1e-9, rtol=0)
        last = warm


def test_its_memory_can_be_saved_and_gives_the_same_bits() -> None:
    first, p = solved(long_only(25, 1)), long_only(25, 2)
    fields = unpack(pack("x", 1, memory=first.memory), "x", 1)
    again = Kernel().solve(p, Solution(status="optimal", route="kernel", memory=fields["memory"]))
    direct = Kernel().solve(p, first)
    assert again.w is not None
    assert direct.w is not None
    assert again.w.tobytes() == direct.w.tobytes()


def test_a_memory_of_another_shape_or_not_finite_is_not_used() -> None:
    p = long_only(25, 2)
    cold = weights(p)
    for memory in (solved(long_only(10)).memory, {"w": np.full(25, np.nan), "z": np.full(1, np.inf)}, None, {}):
        np.testing.assert_allclose(weights_from(p, memory), cold, atol=1e-12, rtol=0)


def weights_from(p: Problem, memory: Any) -> Any:
    return Kernel().solve(p, Solution(status="optimal", route="kernel", memory=memory)).w


def test_the_order_of_names_does_not_matter() -> None:
    p = long_only(30, 4)
    order = np.random.default_rng(0).permutation(30)
    assert p.risk is not None
    turned = long_only(
        30,
        4,
        q=p.q[order],
        w0=p.w0[order],
        kinks=(trading(1e-4, p.w0[order]),),
        risk=Risk(factors=p.risk.factors[order], covariance=p.risk.covariance, specific=p.risk.specific[order]),
    )
    np.testing.assert_allclose(weights(turned), weights(p)[order], atol=1e-11)


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_scaling_all_costs_together_changes_nothing(scale: float) -> None:
    p = long_only(30, 5)
    scaled = replace(p, q=p.q * scale, aversion=p.aversion * scale, kinks=(trading(1e-4 * scale, p.w0),))
    np.testing.assert_allclose(weights(scaled), weights(p), atol=1e-10)
    np.testing.assert_allclose(solved(scaled).rows, scale * solved(p).rows, rtol=1e-7)


def test_an_asset_split_in_two_is_held_as_one() -> None:
    """Two assets with the factors of one and twice its specific variance are, half and half, that one."""
    p = long_only(12, 6, kinks=())
    assert p.risk is not None
    doubled = np.append(np.arange(12), 11)
    specific = p.risk.specific[doubled]
    specific[-2:] *= 2.0
    risk = Risk(factors=p.risk.factors[doubled], covariance=p.risk.covariance, specific=specific)
    upper = np.append(p.upper[:-1], [p.upper[-1] / 2] * 2)
    split = problem(p.q[doubled], risk=risk, aversion=5.0, lower=np.zeros(13), upper=upper)
    split = replace(split, A=np.ones((1, 13)), low=p.low, high=p.high, row_soft=p.row_soft, row_by=p.row_by)
    w = weights(split)
    np.testing.assert_allclose(np.append(w[:11], w[11:].sum()), weights(p), atol=1e-10)


def test_redundant_rows_change_nothing() -> None:
    p = long_only(30, 8)
    A = np.concatenate((p.A, p.A, 2.0 * p.A, np.eye(30)[:4]))
    low = np.concatenate(([1.0, 1.0, 2.0], np.full(4, -1.0)))
    high = np.concatenate(([1.0, 1.0, 2.0], np.full(4, 1.0)))
    more = replace(p, A=A, low=low, high=high, row_soft=np.full(7, np.inf), row_by=np.zeros(7, np.int32))
    np.testing.assert_allclose(weights(more), weights(p), atol=1e-10)


def test_factors_and_their_dense_product_give_the_same_weights() -> None:
    """The same covariance in 3 factors, and in 60 columns of which most are other bases of it."""
    p = long_only(30, 9)
    assert p.risk is not None
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(60, 3)))[0].T
    wide = Risk(factors=p.risk.factors @ turn, covariance=np.eye(60), specific=p.risk.specific)
    np.testing.assert_allclose(weights(replace(p, risk=wide)), weights(p), atol=1e-10)


# ---- multipliers -----------------------------------------------------------------------------------------------------


def value_of(p: Problem) -> float:
    w = weights(p)
    return objective(p, w)


def test_multipliers_are_slopes_of_the_optimal_value() -> None:
    n, h = 25, 1e-6
    A = np.concatenate((np.ones((1, n)), np.random.default_rng(1).normal(size=(2, n))))
    p = long_only(n, 11, A=A, row_soft=np.full(3, np.inf))
    at = A @ p.w0
    low, high = np.array([1.0, at[1] - 0.02, -np.inf]), np.array([1.0, at[1] + 0.02, at[2] - 0.1])
    cap, gross = TurnoverCap(name="t", limit=0.5), GrossCap(name="g", limit=2.0)
    p = replace(p, low=low, high=high, turnover=(cap,), gross=(gross,))
    answer = solved(p)
    assert answer.rows is not None
    assert answer.box is not None
    assert np.count_nonzero(answer.rows) >= 2
    assert answer.turnover[0] > 1e-5
    for j in range(3):
        step = np.zeros(3)
        step[j] = h
        slope = (value_of(replace(p, low=low + step, high=high + step))
                 - value_of(replace(p, low=low - step, high=high - step))) / (2 * h)  # fmt: skip
        assert slope == pytest.approx(-answer.rows[j], abs=1e-6)
    wider = [value_of(replace(p, turnover=(replace(cap, limit=0.5 + s),))) for s in (h, -h)]
    assert (wider[0] - wider[1]) / (2 * h) == pytest.approx(-answer.turnover[0], abs=1e-6)
    i = int(np.argmax(answer.box))
    step = h * (np.arange(n) == i)
    slope = (value_of(replace(p, upper=p.upper + step)) - value_of(replace(p, upper=p.upper - step))) / (2 * h)
    assert slope == pytest.approx(-answer.box[i], abs=1e-6)
    assert answer.box[i] > 1e-6


def test_a_soft_row_costs_at_most_its_price() -> None:
    hard = long_only(25, 12, A=np.concatenate((np.ones((1, 25)), np.eye(25)[:1])))
    hard = replace(hard, low=np.array([1.0, 0.12]), high=np.array([1.0, np.inf]), row_soft=np.full(2, np.inf))
    price = -float(solved(hard).rows[1])  # type: ignore[index]
    assert price > 1e-4
    for part, holds in ((2.0, True), (1.01, True), (0.5, False), (0.0, False)):
        soft = replace(hard, row_soft=np.array([np.inf, part * price]))
        answer = solved(soft)
        assert answer.w is not None
        assert answer.rows is not None
        assert (answer.w[0] >= 0.12 - 1e-10) == holds
        assert -answer.rows[1] == pytest.approx(min(part, 1.0) * price, rel=1e-6)
        assert residual(soft, answer) <= 1e-10


def test_soft_caps_bend_at_their_price() -> None:
    p = long_only(25, 13)
    free = float(np.abs(weights(p) - p.w0).sum())
    hard = solved(replace(p, turnover=(TurnoverCap(name="t", limit=free / 2),)))
    price = hard.turnover[0]
    for part in (2.0, 0.5):
        answer = solved(replace(p, turnover=(TurnoverCap(name="t", limit=free / 2, soft=part * price),)))
        used = float(np.abs(answer.w - p.w0).sum())
        assert answer.turnover[0] == pytest.approx(min(part, 1.0) * price, rel=1e-6)
        assert used == pytest.approx(free / 2, abs=1e-9) if part > 1 else used > free / 2 + 1e-6


def test_turnover_falls_with_its_cost_and_variance_with_aversion() -> None:
    p = long_only(25, 14)
    assert p.risk is not None
    traded = [np.abs(weights(replace(p, kinks=(trading(c, p.w0),))) - p.w0).sum() for c in (0, 1e-4, 3e-4, 1e-3, 0.1)]
    assert (np.diff(traded) <= 1e-10).all()
    assert traded[0] > 0.1
    S = covariance(p.risk)
    variance = [float(w @ S @ w) for g in (1, 3, 10, 100) for w in [weights(replace(p, aversion=float(g)))]]
    assert (np.diff(variance) <= 1e-12).all()


# ---- what has no answer ----------------------------------------------------------------------------------------------


def test_what_cannot_be_is_always_found() -> None:
    """A row beyond what the bounds allow, on top of everything else."""
    steps, kernel = [], Kernel()
    for seed in range(300):
        p, rng = drawn(seed), np.random.default_rng(seed)
        if np.isinf(p.lower).any():
            continue
        a = rng.normal(size=len(p)) * (rng.random(len(p)) < 0.5)
        low = float(np.maximum(a * p.lower, a * p.upper).sum()) + 1e-3 * max(1.0, 100 * rng.random())
        rows = {"A": np.vstack((p.A, a)), "low": np.append(p.low, low), "high": np.append(p.high, np.inf)}
        p = replace(p, **rows, row_soft=np.append(p.row_soft, np.inf))
        answer = kernel.solve(p)
        assert (answer.status, answer.w) == ("infeasible", None), seed
        steps.append(answer.iterations)
    assert np.median(steps) <= 8
    assert max(steps) <= 60


@pytest.mark.parametrize(
    "changes",
    [
        {"upper": np.full(20, 0.04)},
        {"A": np.ones((2, 20)), "low": [1.0, 2.0], "high": [1.0, 2.0], "row_soft": np.full(2, np.inf)},
        {"turnover": (TurnoverCap(name="t", limit=0.1),), "w0": np.zeros(20)},
        {"gross": (GrossCap(name="g", limit=0.5),)},
        {"lower": np.full(20, 0.04), "upper": np.full(20, 0.04)},
        {"A": np.zeros((1, 20))},
    ],
)  # fmt: skip
def test_contradictions_are_infeasible(changes: dict[str, Any]) -> None:
    answer = Kernel().solve(long_only(20, 3, **changes))
    assert (answer.status, answer.w) == ("infeasible", None)
    assert answer.iterations <= 10


def test_crossing_bounds_are_infeasible_at_once() -> None:
    upper = np.full(20, 0.3)
    upper[4] = -0.1
    for changes in ({"upper": upper}, {"low": np.array([1.1])}, {"turnover": (TurnoverCap(name="t", limit=-0.1),)}):
        answer = Kernel().solve(long_only(20, 3, **changes))
        assert (answer.status, answer.iterations) == ("infeasible", 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_not_finite_is_named(value: float) -> None:
    p = long_only(20)
    q = p.q.copy()
    q[3] = -value
    assert Kernel().solve(replace(p, q=q)).status == "not finite: q"
    assert p.risk is not None
    risk = Risk(factors=p.risk.factors, covariance=p.risk.covariance, specific=p.risk.specific * np.nan)
    assert Kernel().solve(replace(p, risk=risk)).status == "not finite: specific of the risk"


def test_rows_that_are_not_finite_and_prices_below_0_are_named() -> None:
    p = long_only(20)
    A = p.A.copy()
    A[0, 3] = np.nan
    assert Kernel().solve(replace(p, A=A)).status == "not finite: A"
    assert Kernel().solve(replace(p, low=np.array([np.nan]))).status == "not finite: low"
    assert Kernel().solve(replace(p, row_soft=np.array([-1.0]))).status.startswith("not convex")


def test_a_return_beyond_all_measure_is_a_weight_at_its_bound() -> None:
    for value in (1e6, 1e20, 1e90):
        p = long_only(20)
        q = p.q.copy()
        q[3] = -value
        p = replace(p, q=q)
        answer = solved(p)
        assert answer.w is not None
        assert answer.w[3] == p.upper[3]
        assert residual(p, answer) <= 1e-9


def test_what_bends_inward_is_refused() -> None:
    p = long_only(20)
    bent = Kink(name="odd", up=np.full(20, -2e-3), down=np.full(20, 1e-3), at=p.w0)
    assert Kernel().solve(replace(p, kinks=(bent,))).status == "not convex: odd"


def test_nothing_that_curves_and_no_bound_is_unbounded() -> None:
    assert Kernel().solve(problem([-0.01, 0.0])).status == "unbounded"
    assert Kernel().solve(problem([-0.01, 0.02], lower=np.zeros(2))).status == "unbounded"


# ---- small and degenerate --------------------------------------------------------------------------------------------


def test_no_name_one_name_and_no_name_that_may_move() -> None:
    assert weights(problem([])).tolist() == []
    assert weights(problem([-0.01], lower=[0.0], upper=[0.7])).tolist() == [0.7]
    pinned = np.full(20, 0.05)
    p = long_only(20, lower=pinned, upper=pinned)
    answer = solved(p)
    assert answer.w is not None
    assert answer.w.tolist() == pinned.tolist()
    assert residual(p, answer) <= 1e-12


def test_pinned_names_keep_their_weight_to_the_bit() -> None:
    p = long_only(30, 2)
    lower, upper = p.lower.copy(), p.upper.copy()
    lower[:6] = upper[:6] = p.w0[:6]
    w = weights(replace(p, lower=lower, upper=upper))
    assert w[:6].tolist() == p.w0[:6].tolist()


def test_a_linear_programme_is_solved_to_its_corner() -> None:
    rows = {"A": np.ones((1, 3)), "low": [1.0], "high": [1.0]}
    p = problem([-0.3, -0.2, -0.1], lower=np.zeros(3), upper=np.full(3, 0.4), **rows)
    np.testing.assert_allclose(weights(p), [0.4, 0.4, 0.2], atol=1e-12)
    assert residual(p, solved(p)) <= 1e-10


def test_names_without_specific_variance_are_solved_too() -> None:
    for seed in range(40):
        p, rng = drawn(seed), np.random.default_rng(seed)
        assert p.risk is not None
        if np.isinf(p.lower).any():
            continue
        specific = p.risk.specific * (rng.random(len(p)) < rng.random())
        risk = Risk(factors=p.risk.factors, covariance=p.risk.covariance, specific=specific)
        p = replace(p, risk=risk, ridge=np.zeros(len(p)))
        answer = solved(p)
        assert residual(p, answer) <= 1e-9, seed
        other = by_cvxpy(p) if seed < 8 else None
        assert other is None or objective(p, answer.w) <= objective(p, other) + 1e-9 * np.abs(p.q).max(), seed


def test_it_says_what_it_lacks() -> None:
    p = long_only(20)
    assert Kernel().fits(p)
    tail = Tail(name="tail", returns=np.zeros((5, 20)), level=0.9, weight=1.0)
    assert not Kernel().fits(replace(p, tails=(tail,)))
    assert not Kernel().fits(replace(p, counted=(Counted(name="few", most=3),)))
    assert not Kernel().fits(replace(p, risk_caps=(RiskCap(name="te", limit=0.01, about=np.zeros(20)),)))


# ---- the path of a rebalance -----------------------------------------------------------------------------------------


def test_few_steps_suffice_along_a_path_of_500_names() -> None:
    """Counts, which are the same everywhere, and not seconds: factors, benchmark, sectors, exposures, costs."""
    rng, n, k = np.random.default_rng(0), 500, 30
    factors, sector, wb = rng.normal(size=(n, k)) / np.sqrt(k), rng.integers(0, 11, n), rng.dirichlet(np.full(n, 2.0))
    factors[:, 0] = 1.0 + 0.3 * rng.normal(size=n)
    volatility = np.concatenate(([0.01], rng.uniform(0.002, 0.006, k - 1)))
    specific = rng.uniform(0.01, 0.03, n) ** 2
    risk = Risk(factors=factors, covariance=np.diag(volatility**2), specific=specific)
    A = np.concatenate((np.ones((1, n)), sector == np.arange(11)[:, None], factors.T))
    width = np.concatenate(([0.0], np.full(11, 0.02), np.full(k, 0.1)))
    alpha, w0, kernel, last, steps = rng.normal(size=n), wb, Kernel(), None, []
    for _ in range(15):
        alpha = 0.9 * alpha + np.sqrt(0.19) * rng.normal(size=n)
        p = problem(-5e-4 * alpha, risk=risk, aversion=10.0, about=wb, w0=w0, kinks=(trading(2e-4, w0),))
        rows = {"A": A, "low": A @ wb - width, "high": A @ wb + width, "row_soft": np.full(len(A), np.inf)}
        p = replace(p, **rows, lower=np.maximum(wb - 0.01, 0.0), upper=wb + 0.01)
        last = kernel.solve(p, last)
        assert residual(p, last) <= 1e-10
        steps.append(last.iterations)
        assert last.w is not None
        w0 = last.w * (1.0 + 0.015 * rng.normal(size=n))
        w0 = w0 / w0.sum()
    assert np.median(steps) <= 12
    assert max(steps) <= 25
