"""Plans within constraints: beside plain cvxpy, one slice beside the composed problem, and what cannot be met."""

from dataclasses import replace
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from components.optimizers.constraints.benchmark_band import BenchmarkBand
from components.optimizers.constraints.beta import Beta
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.cardinality import Cardinality
from components.optimizers.constraints.exposures import Exposures
from components.optimizers.constraints.gross import Gross
from components.optimizers.constraints.group import Group
from components.optimizers.constraints.listed import Listed
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.max_trade import MaxTrade
from components.optimizers.constraints.no_trade_zone import NoTradeZone
from components.optimizers.constraints.participation import Participation
from components.optimizers.constraints.risk_limit import RiskLimit
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods import horizon
from components.optimizers.methods.composed import Composed
from components.optimizers.methods.multi_period import MultiPeriod
from components.optimizers.problem import Decision, Situation
from components.optimizers.stating import objective, stated
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.impact import ImpactCost
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from engine.universe import universe_of
from tests.components.optimizers.placed import covariance, situation

N, H = 12, 3
DECAYS = 0.5 ** (np.arange(H) / 2.0)
U = universe_of(tuple(f"S{i:03d}" for i in range(N)))
EXACT: dict[str, Any] = {"solver": "CLARABEL", "tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}


def day(seed: int = 0, n: int = N, **given: Any) -> Situation:
    """A day on which some names cannot trade, one leaves, one has no opinion."""
    rng = np.random.default_rng(seed)
    leaving, halted = np.arange(n) == seed % n, np.arange(n) == (seed + 3) % n
    alpha = rng.normal(2e-4, 2e-3, n)
    alpha[(seed + 5) % n] = np.nan
    plain: dict[str, Any] = {
        "alpha": alpha,
        "w0": rng.dirichlet(np.ones(n)) * 0.9,
        "leaving": leaving,
        "free": ~(leaving | halted),
        "references": {"exposures": rng.normal(size=(n, 2))},
        "columns": {"exposures": ("size", "value")},
    }
    return situation(n, seed, **(plain | given))


def planner(*constraints: Any, **options: Any) -> MultiPeriod:
    plain: dict[str, Any] = {"horizon": H, "half_life": 2.0, "alpha": "raw", "max_weight": 0.5, "risk_aversion": 8.0}
    plain |= {"turnover_cost_bps": 10.0, "universe": U, "constraints": constraints}
    return MultiPeriod(**(plain | options))


def weights(decision: Decision) -> Any:
    assert decision.weights is not None, decision.reason
    return np.asarray(decision.weights)


def kinds(decision: Decision) -> set[str]:
    return {remark.kind.split(":")[0] for remark in decision.remarks}


LIMITS: dict[str, tuple[Any, ...]] = {
    "sectors": (Sectors(min=0.2, max=0.55), Turnover(max=0.6)),
    "factors": (Exposures(min=-0.1, max=0.1), Beta(min=0.8, max=1.0), MaxTrade(max=0.06)),
    "bands": (BenchmarkBand(deviation=0.12), Gross(max=0.85), Participation(share=1e-3)),
    "sums": (Budget(min=0.7, max=0.8), Group(universe=U, label="few", symbols=U.symbols[:4], max=0.3), LongOnly()),
    "boxes": (WeightBox(min=0.01, max=0.2), Turnover(max=0.4, count="one_way"), Sectors(deviation=0.08)),
}


class Plainly:
    """The plan as the documentation states it, in cvxpy, with numbers that no constraint of ours has made."""

    def __init__(self, at: Situation, which: str, impact: float = 0.0, **looser: float) -> None:
        n, self.looser = len(at.w0), looser
        S, self.w = covariance(at.risk), cp.Variable((H, n))  # type: ignore[arg-type]
        a = np.nan_to_num(at.alpha)
        k = impact * np.sqrt(np.diag(S) * at.equity / at.traded)
        still = np.where(at.leaving, 0.0, at.w0)
        most = np.where(np.isfinite(at.alpha), 0.5, np.clip(at.w0, 0.0, 0.5))
        gain, self.rows, before = 0.0, [], at.w0
        for h in range(H):
            w = self.w[h]
            gain += DECAYS[h] * a[at.free] @ w[at.free] - 4.0 * cp.quad_form(w, cp.psd_wrap(S))
            traded = (w - before)[at.free]
            gain -= 1e-3 * cp.norm1(traded)
            if impact:
                gain -= k[at.free] @ cp.power(cp.abs(traded), 1.5)
            self.rows += [w[~at.free] == still[~at.free], w[at.free] >= 0, (w - most)[at.free] <= 0]
            self.rows += [cp.sum(w) <= 1.0, *getattr(self, which)(at, w, before, h)]
            before = w
        self.gain, self.impact = gain, impact

    def best(self, first: Any = None) -> float:
        """Of all plans, or of those that begin so, give or take what a solver leaves."""
        more = [] if first is None else [cp.abs(self.w[0] - first) <= 1e-7]
        problem = cp.Problem(cp.Maximize(100.0 * self.gain), [*self.rows, *more])
        problem.solve(**(EXACT if not self.impact else {"solver": "CLARABEL"}))
        assert problem.status == "optimal"
        return float(problem.value) / 100.0

    def sectors(self, at: Situation, w: Any, before: Any, h: int) -> list[Any]:
        forced = 0.6 + (2 * np.abs(at.w0[at.leaving]).sum() if h == 0 else 0.0) + self.looser.get("turnover", 0.0)
        sums, high = [cp.sum(w[at.sector == s]) for s in (0, 1)], 0.55 + self.looser.get("sectors", 0.0)
        return [*(s >= 0.2 for s in sums), *(s <= high for s in sums), cp.norm1(w - before) <= forced]

    def factors(self, at: Situation, w: Any, before: Any, h: int) -> list[Any]:
        X, b, S = at.references["exposures"], at.benchmark, covariance(at.risk)  # type: ignore[arg-type]
        beta = S @ b / (b @ S @ b)
        rows = [cp.abs(X.T @ (w - b)) <= 0.1, beta @ w >= 0.8, beta @ w <= 1.0]
        return [*rows, cp.abs(w - before)[at.free] <= 0.06]

    def bands(self, at: Situation, w: Any, before: Any, h: int) -> list[Any]:
        most = 1e-3 * at.traded / at.equity
        low, high = np.maximum(at.benchmark - 0.12, 0.0), at.benchmark + 0.12
        band = [(w - low)[at.free] >= 0, (w - high)[at.free] <= 0]
        return [*band, cp.norm1(w) <= 0.85, (cp.abs(w - before) - most)[at.free] <= 0]

    def sums(self, at: Situation, w: Any, before: Any, h: int) -> list[Any]:
        return [cp.sum(w) >= 0.7, cp.sum(w) <= 0.8, cp.sum(w[:4]) <= 0.3]

    def boxes(self, at: Situation, w: Any, before: Any, h: int) -> list[Any]:
        forced = 0.8 + (2 * np.abs(at.w0[at.leaving]).sum() if h == 0 else 0.0)
        off = [cp.sum((w - at.benchmark)[at.sector == s]) for s in (0, 1)]
        rows = [w[at.free] >= 0.01, w[at.free] <= 0.2, cp.norm1(w - before) <= forced]
        return [*rows, *(cp.abs(s) <= 0.08 for s in off)]


@pytest.mark.parametrize("impact", [0.0, 0.5])
@pytest.mark.parametrize("which", LIMITS)
def test_the_first_step_begins_the_best_plan_that_keeps_every_limit_at_every_step(which: str, impact: float) -> None:
    tried = 0
    for seed in range(6 if impact == 0 else 2):
        at = day(seed)
        plainly = Plainly(at, which, impact)
        decision = planner(*LIMITS[which], impact=impact).weights(at)
        problem = cp.Problem(cp.Minimize(0), plainly.rows)
        problem.solve(solver="CLARABEL")
        if problem.status != "optimal":
            assert "infeasible" in kinds(decision)
            continue
        assert not kinds(decision) & {"infeasible", "fallback", "route"}, decision.remarks
        w = weights(decision)
        tried += 1
        plainly.w.value = np.repeat(w[None], H, axis=0)
        assert max(np.max(row.violation()) for row in plainly.rows[: len(plainly.rows) // H]) <= 1e-7
        assert plainly.best() - plainly.best(w) <= 1e-8  # of gains of some 1e-3
    assert tried


@pytest.mark.parametrize("limit", [Turnover(max=0.1), MaxTrade(max=0.1)])
def test_what_later_steps_may_trade_begins_today(limit: Any) -> None:
    """An alpha that comes tomorrow is bought tomorrow, unless that is more than one slice may trade."""
    other = np.where(np.arange(N) == 0, 0.01, 0.0)  # something is held, so that turnover is limited today too
    alpha = np.where(np.arange(N) == 1, 5e-3, np.nan)
    at = day(alpha=alpha, w0=other, leaving=np.zeros(N, bool), free=np.ones(N, bool))
    given: dict[str, Any] = {"decay": (0.0, 1.0, 1.0), "half_life": None}
    assert weights(planner(Sectors(max=1.0), **given).weights(at))[1] < 0.01
    assert weights(planner(limit, **given).weights(at))[1] > 0.05


def composed(constraints: tuple[Any, ...], impact: float) -> Composed:
    terms: list[Any] = [ExpectedReturn(universe=U, alpha="raw"), RiskOf(aversion=8.0)]
    terms += [LinearCost(buy_bps=10, sell_bps=10, holding_slices=1)]
    terms += [ImpactCost(coefficient=impact, holding_slices=1)] if impact else []
    own = (LongOnly(), WeightBox(max=0.5), Budget())
    return Composed(universe=U, objective=tuple(terms), constraints=(*own, *constraints))


def cost(at: Situation, constraints: tuple[Any, ...], impact: float, decision: Decision) -> float:
    terms = composed(constraints, impact)._terms
    return objective(stated([piece for term in terms for piece in term.cost(at)], at), weights(decision))


@pytest.mark.parametrize("impact", [0.0, 0.5])
@pytest.mark.parametrize("which", LIMITS)
def test_a_plan_of_one_slice_is_the_composed_problem(which: str, impact: float) -> None:
    # Benchmark bands and boxes from below are limits of what is not looked for too: the same in both.
    for seed in range(4):
        at = day(seed)
        one = planner(*LIMITS[which], horizon=1, half_life=None, impact=impact).weights(at)
        other = composed(LIMITS[which], impact).weights(at)
        assert ("infeasible" in kinds(one)) == ("infeasible" in kinds(other))
        if "infeasible" not in kinds(one):
            np.testing.assert_allclose(weights(one), weights(other), atol=2e-5)
            assert cost(at, LIMITS[which], impact, one) - cost(at, LIMITS[which], impact, other) <= 1e-8
            told, others = (
                {r.kind for r in d.remarks if r.kind.startswith("binds") and r.kind not in OWN} for d in (one, other)
            )
            assert told == others


OWN = ("binds:max_weight", "binds:no_alpha", "binds:long_only", "binds:cost", "binds:box", "binds:total")
OWN += ("binds:budget", "binds:turnover")


def test_constraints_that_never_bind_change_nothing() -> None:
    for full in (False, True):
        at = day(1)
        free = weights(planner(fully_invested=full, universe=None).weights(at))
        loose = weights(planner(WeightBox(max=0.9), Sectors(max=5.0), fully_invested=full).weights(at))
        np.testing.assert_allclose(loose[at.free], free[at.free], atol=1e-5)


@pytest.mark.parametrize("which", ["sectors", "turnover"])
def test_a_price_is_what_the_plan_gains_from_a_looser_limit(which: str) -> None:
    at = day(2, w0=np.where(np.arange(N) == 7, 0.5, 0.04))
    step, limits = 1e-4, (Sectors(min=0.2, max=0.55), Turnover(max=0.6))
    found = [r for r in planner(*limits).weights(at).remarks if r.kind == f"binds:{which}"]
    gains = [Plainly(at, "sectors", **{which: by}).best() for by in (-step, 0.0, step)]
    assert found
    price = sum(float(remark.value[0]) for remark in found)
    assert (gains[2] - gains[1]) / step <= price + 1e-6
    assert (gains[1] - gains[0]) / step >= price - 1e-6


def text(decision: Decision, kind: str) -> str:
    return " ".join(remark.text for remark in decision.remarks if remark.kind == kind)


IMPOSSIBLE: dict[str, tuple[Any, ...]] = {
    "sums": (Budget(min=0.7), Sectors(max=0.2)),
    "bounds": (WeightBox(min=0.2), Sectors(max=0.5)),
    "trades": (MaxTrade(max=0.01), Sectors(min=0.45)),
    "turnover": (Turnover(max=0.01), Beta(min=1.3, max=2.0)),
}


@pytest.mark.parametrize("which", IMPOSSIBLE)
@pytest.mark.parametrize("steps", [1, 3])
def test_limits_that_contradict_each_other_are_named_and_relaxed_as_those_of_one_slice(which: str, steps: int) -> None:
    at = day(3, w0=np.full(N, 0.05), leaving=np.zeros(N, bool), free=np.ones(N, bool))
    limits = IMPOSSIBLE[which]
    plan = planner(*limits, horizon=steps).weights(at)
    one = composed(limits, 0.0).weights(at)
    assert "infeasible" in kinds(plan)
    assert text(plan, "infeasible") == text(one, "infeasible")
    assert text(plan, "fallback:relax") == text(one, "fallback:relax")
    assert np.isfinite(weights(plan)).all()


def test_a_plan_that_nothing_may_give_for_keeps_the_last_weights_and_then_holds() -> None:
    firm = (Budget(min=0.7, firm=True), Sectors(max=0.5, firm=True))
    method = planner(*firm)
    good = method.weights(day(1))
    assert weights(good).sum() >= 0.7 - 1e-7
    halted = day(1, sector=np.zeros(N, np.int32))  # all are in one sector now
    again = method.weights(halted)
    assert text(again, "fallback:shrink")
    fresh = planner(*firm).weights(halted)
    assert fresh.weights is None
    assert "no weights satisfy" in fresh.reason
    assert "budget" in fresh.reason
    assert "sectors" in fresh.reason


def test_a_sector_without_a_name_that_may_move_is_named_and_gives() -> None:
    at = day(0)
    tech = at.sector == 1
    at = replace(at, free=at.free & ~tech, leaving=tech, w0=np.where(tech, 0.02, 0.1))
    decision = planner(Sectors(min=0.1)).weights(at)
    assert "sectors[Tech]" in text(decision, "infeasible")
    assert weights(decision)[tech].tolist() == [0.0] * int(tech.sum())


def test_whole_lots_and_states_get_what_constraints_say() -> None:
    at = day(1)
    method = planner(*LIMITS["sectors"])
    decision = method.weights(at)
    limits = decision.limits
    assert limits is not None
    assert limits.turnover == pytest.approx(0.6 + 2 * at.w0[at.leaving].sum())
    assert {"sectors", "max_weight", "total"} <= set(limits.names)
    assert limits.upper[at.free].max() == 0.5
    other = planner(*LIMITS["sectors"])
    other.load(method.save())  # type: ignore[attr-defined]
    np.testing.assert_array_equal(weights(other.weights(day(2))), weights(method.weights(day(2))))
    assert ("sectors",) in method.needs  # type: ignore[attr-defined]


def test_an_account_without_positions_may_buy_once_what_turnover_forbids_later() -> None:
    none = np.zeros(N)
    at = day(1, w0=none, alpha=np.full(N, 2e-3), leaving=none > 0, free=none == 0)
    assert weights(planner(Turnover(max=0.1)).weights(at)).sum() > 0.9
    assert weights(planner(Turnover(max=0.1, build_up=False)).weights(at)).sum() == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("which", LIMITS)
def test_the_order_of_symbols_does_not_matter(which: str) -> None:
    if which == "sums":  # it lists symbols by name
        return
    at, order = day(1), np.random.default_rng(1).permutation(N)
    fields = {name: getattr(at, name) for name in at.__slots__}
    turned = {k: v[order] if isinstance(v, np.ndarray) and v.shape[:1] == (N,) else v for k, v in fields.items()}
    risk: Any = at.risk
    turned["risk"] = type(risk)(factors=risk.factors[order], covariance=risk.covariance, specific=risk.specific[order])
    turned["references"] = {"exposures": at.references["exposures"][order]}
    turned["universe"] = universe_of(tuple(np.array(U.symbols)[order].tolist()))
    one, other = planner(*LIMITS[which]).weights(at), planner(*LIMITS[which]).weights(Situation(**turned))
    np.testing.assert_allclose(weights(other), weights(one)[order], atol=2e-6)


def test_no_opinion_is_not_bought_and_none_at_all_is_a_reason() -> None:
    at = day(2, alpha=np.where(np.arange(N) < 6, np.nan, 3e-3))
    w = weights(planner(Sectors(max=0.6)).weights(at))
    assert (w[:6] <= at.w0[:6] + 1e-7)[at.free[:6]].all()
    said = planner(Sectors(max=0.6)).weights(replace(at, alpha=np.full(N, np.nan))).reason
    assert said == "there is no alpha for any name that may change"


class Priced:
    """One of the user's own that says a price when it is asked, and not before."""

    soft = None

    def allows(self, at: Situation, /) -> Any:
        return WeightBox(max=0.1, soft=1e-3).allows(at)


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        (Cardinality(most=5), "constraints: cardinality counts names, which a plan of several slices cannot state"),
        (NoTradeZone(width=0.01), "constraints: no_trade_zone counts names"),
        (RiskLimit(max=0.2), "constraints: risk_limit limits risk"),
        (Sectors(max=0.3, soft=1e-3), r"constraints: sectors has a price \(soft\)"),
        (WeightBox(max=0.1, soft=1e-3), r"constraints: box has a price"),
    ],
)
def test_what_no_plan_can_state_is_refused_at_start(constraint: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        planner(constraint)


def test_what_cannot_be_seen_at_start_is_a_reason() -> None:
    decision = planner(Priced()).weights(day(1))
    assert decision.weights is None
    assert decision.reason == "a plan of several slices cannot state box"


def test_constraints_want_the_universe_and_listed_names_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="universe must be given beside constraints"):
        planner(WeightBox(max=0.1), universe=None).weights(day(1))
    at = day(1)
    keep = Listed(universe=U, symbols=("S007", "S008"), rule="hold")
    np.testing.assert_allclose(weights(planner(keep).weights(at))[7:9], at.w0[7:9], atol=1e-9)


@pytest.mark.parametrize("impact", [0.0, 0.6])
def test_days_of_any_size_of_alpha_and_liquidity_are_answered(impact: float) -> None:
    rng = np.random.default_rng(0)
    method = planner(Sectors(max=0.6), Turnover(max=0.5), MaxTrade(max=0.2), impact=impact)
    for k in range(12):
        alpha, traded = rng.normal(size=N) * 10 ** rng.uniform(-5, -1), 10 ** rng.uniform(4, 9, N)
        at = day(k, alpha=alpha, traded=traded)
        decision = method.weights(at)
        w = weights(decision)
        if "infeasible" not in kinds(decision):
            assert not kinds(decision) & {"fallback", "route"}, decision.remarks
            assert max(w[at.sector == s].sum() for s in (0, 1)) <= 0.6 + 1e-7


@pytest.mark.parametrize("constraints", [(), LIMITS["sectors"]])
def test_a_large_cone_program_is_stated_anew_to_the_same_answer(
    constraints: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = weights(planner(*constraints, impact=0.5).weights(day(1)))
    monkeypatch.setattr(horizon, "_COMPILED_MAX", 0)
    anew = weights(planner(*constraints, impact=0.5).weights(day(1)))
    np.testing.assert_allclose(anew[day(1).free], compiled[day(1).free], atol=2e-6)
