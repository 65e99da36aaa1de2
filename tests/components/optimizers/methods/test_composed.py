"""The composed problem: closed forms, what is pinned, what binds and costs, what is done where nothing fits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.optimizers.constraints.benchmark_band import BenchmarkBand
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.cardinality import Cardinality
from components.optimizers.constraints.exposures import Exposures
from components.optimizers.constraints.gross import Gross
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.no_trade_zone import NoTradeZone
from components.optimizers.constraints.risk_limit import RiskLimit
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.composed import Composed
from components.optimizers.problem import Decision, Situation
from components.optimizers.stating import objective, stated
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.impact import ImpactCost
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from tests.components.optimizers.placed import covariance, situation

FULL = Budget(min=1.0, max=1.0)


def composed(at: Situation, *objective: Any, constraints: tuple[Any, ...] = (), **options: Any) -> Composed:
    return Composed(universe=at.universe, objective=objective, constraints=constraints, **options)


def returns(at: Situation, **options: Any) -> ExpectedReturn:
    return ExpectedReturn(universe=at.universe, **options)


def weights(decision: Decision) -> np.ndarray:
    assert decision.weights is not None, decision.reason
    return decision.weights


def kinds(decision: Decision) -> list[str]:
    return [remark.kind for remark in decision.remarks]


def test_minimum_variance_without_other_constraints_is_the_closed_form() -> None:
    at = situation(12)
    w = weights(composed(at, RiskOf(aversion=1.0), constraints=(FULL,)).weights(at))
    x = np.linalg.solve(covariance(at.risk), np.ones(12))
    np.testing.assert_allclose(w, x / x.sum(), atol=1e-9)


def test_mean_variance_without_constraints_is_the_closed_form() -> None:
    at = situation(12)
    alpha = at.alpha * 1e-4
    w = weights(composed(at, returns(at, alpha="raw"), RiskOf(aversion=4.0)).weights(replace(at, alpha=alpha)))
    np.testing.assert_allclose(w, np.linalg.solve(covariance(at.risk), alpha) / 4.0, atol=1e-9)


def test_without_an_opinion_tracking_gives_the_benchmark() -> None:
    at = situation(10, alpha=np.full(10, np.nan), w0=np.zeros(10))
    w = weights(composed(at, RiskOf(about="benchmark"), constraints=(FULL, LongOnly())).weights(at))
    np.testing.assert_allclose(w, at.benchmark, atol=1e-9)


def test_names_that_may_not_move_keep_their_weights_and_exits_go() -> None:
    free = np.array([True] * 6 + [False] * 2)
    leaving = np.array([False] * 7 + [True])
    w0 = np.array([0.1] * 6 + [0.25, 0.15])
    at = situation(8, free=free, leaving=leaving, w0=w0)
    w = weights(composed(at, returns(at), RiskOf(), constraints=(FULL, LongOnly())).weights(at))
    assert w[6:].tolist() == [0.25, 0.0]
    assert w.sum() == pytest.approx(1.0)


def test_where_nothing_may_move_nothing_is_solved() -> None:
    at = situation(4, free=np.zeros(4, bool))
    decision = composed(at, RiskOf(), constraints=(FULL,)).weights(at)
    assert np.isnan(weights(decision)).all()
    assert decision.remarks == ()


def test_without_a_risk_estimate_it_says_so() -> None:
    at = situation(4, risk=None)
    decision = composed(at, RiskOf(), constraints=(FULL,)).weights(at)
    assert (decision.weights, decision.reason) == (None, "the risk model has too little history")


def test_the_answer_is_told_with_its_route_and_residual() -> None:
    at = situation(30, seed=4)
    decision = composed(at, returns(at), RiskOf(), LinearCost(), constraints=(FULL, LongOnly())).weights(at)
    told = next(remark for remark in decision.remarks if remark.kind == "weights")
    assert told.text.startswith("30 weights solved by kernel in ")
    np.testing.assert_array_equal(told.value, weights(decision))


def best(at: Situation, terms: tuple[Any, ...], constraints: tuple[Any, ...]) -> float:
    pieces = [piece for term in terms for piece in term.cost(at)]
    pieces += [piece for each in constraints for piece in each.allows(at)]
    problem = stated(pieces, at)
    method = composed(at, *terms, constraints=constraints)
    return objective(problem, weights(method.weights(at)))


@pytest.mark.parametrize("which", ["box", "sectors", "gross", "turnover"])
def test_a_shadow_price_is_what_a_looser_limit_gains(which: str) -> None:
    at = situation(16, seed=2, w0=np.full(16, 1 / 16))
    terms = (returns(at, ic=0.2), RiskOf(aversion=3.0), LinearCost(buy_bps=1, sell_bps=2))

    def limits(by: float) -> tuple[Any, ...]:
        one = {which: by}
        return (
            FULL,
            WeightBox(min=-0.05, max=0.12 + one.get("box", 0.0)),
            Sectors(min=0.0, max=0.55 + one.get("sectors", 0.0)),
            Gross(max=1.1 + one.get("gross", 0.0)),
            Turnover(max=0.6 + one.get("turnover", 0.0)),
        )

    decision = composed(at, *terms, constraints=limits(0.0)).weights(at)
    found = [remark for remark in decision.remarks if remark.kind == f"binds:{which}"]
    assert found, kinds(decision)
    step = 1e-5
    here, looser, tighter = (best(at, terms, limits(by)) for by in (0.0, step, -step))
    if which == "box":  # one more unit for each of the names at the upper bound
        total = sum(remark.value.sum() for remark in found if "upper" in remark.text)
    elif which == "sectors":
        total = sum(remark.value[0] for remark in found if "0.55" in remark.text)
    else:
        total = found[0].value[0]
    # Where several limits meet in one place the two slopes differ, and any price between them is one.
    assert (here - looser) / step <= total * 1.002 + 1e-8
    assert (tighter - here) / step >= total * 0.998 - 1e-8


def test_names_left_for_their_cost_are_told_with_what_they_would_gain() -> None:
    at = situation(10, alpha=np.full(10, 1e-5), w0=np.full(10, 0.05))
    decision = composed(
        at, returns(at, alpha="raw"), RiskOf(aversion=1.0), LinearCost(buy_bps=50, sell_bps=50)
    ).weights(at)
    np.testing.assert_allclose(weights(decision), at.w0, atol=1e-12)
    told = next(remark for remark in decision.remarks if remark.kind == "binds:cost")
    assert len(told.symbol) == 10
    gain = 1e-5 - covariance(at.risk) @ at.w0
    np.testing.assert_allclose(told.value, gain, atol=1e-12)
    assert told.text.endswith("less than its cost of 0.001")


def test_a_name_that_only_the_cap_on_turnover_stops_is_not_left_for_its_cost() -> None:
    """Of equal names with a cost of 2 bps each way, one would gain less than that by trading and the others more."""
    n = 12
    alpha = np.linspace(3e-4, 30e-4, n)
    alpha[0] = 1e-4
    at = situation(n, alpha=alpha, w0=np.full(n, 0.05))
    terms = (returns(at, alpha="raw"), RiskOf(aversion=0.1), LinearCost(buy_bps=2, sell_bps=2, holding_slices=1))
    limits = (LongOnly(), WeightBox(max=0.1), Turnover(max=0.1))
    decision = composed(at, *terms, constraints=limits).weights(at)
    cap, stopped = (remark for remark in decision.remarks if remark.kind == "binds:turnover")
    cost = next(remark for remark in decision.remarks if remark.kind == "binds:cost")
    w = weights(decision)
    gain = alpha - 0.1 * covariance(at.risk) @ w
    assert cost.symbol.tolist() == [0]
    assert sorted(stopped.symbol.tolist()) == [i for i in range(1, n) if abs(w[i] - 0.05) < 1e-9]
    np.testing.assert_allclose(stopped.value, gain[stopped.symbol] - 2e-4, atol=1e-9)
    assert (stopped.value <= cap.value[0] + 1e-8).all()
    assert "but for turnover" in stopped.text


def test_soft_limits_that_are_not_kept_say_by_how_much_and_what_is_paid() -> None:
    at = situation(10, w0=np.full(10, 0.05))
    limits = (
        *(Budget(min=1.0, max=1.0, soft=0.01), LongOnly(), WeightBox(max=0.08)),
        *(Sectors(max=0.3, soft=1e-5), Turnover(max=0.1, soft=1e-5), RiskLimit(max=0.001, about="zero", soft=1e-5)),
    )
    decision = composed(at, RiskOf(aversion=1e-3), constraints=limits).weights(at)
    w = weights(decision)
    told: dict[str, Any] = {}
    for remark in decision.remarks:
        told.setdefault(remark.kind, []).append(remark)
    assert told["soft:budget"][0].value[0] == pytest.approx(1.0 - w.sum())
    assert told["soft:budget"][0].text == "budget: sum beyond its limit by 0.2, at 0.01 a unit: 0.002 a slice in all"
    beyond = [w[at.sector == s].sum() - 0.3 for s in (0, 1)]
    assert [remark.value[0] for remark in told["soft:sectors"]] == pytest.approx(beyond)
    assert told["soft:turnover"][0].value[0] == pytest.approx(np.abs(w - at.w0).sum() - 0.1)
    deviation = float(np.sqrt(w @ covariance(at.risk) @ w))
    assert told["soft:risk_limit"][0].value[0] == pytest.approx(deviation - 0.001 / 252**0.5)
    assert f"({deviation * 252**0.5 - 0.001:.4g} a year)" in told["soft:risk_limit"][0].text
    assert "(0.001 a year)" in told["binds:risk_limit"][0].text


def test_a_soft_box_says_which_names_are_beyond_it() -> None:
    at = situation(10, w0=np.zeros(10))
    constraints = (FULL, LongOnly(), WeightBox(max=0.08, soft=0.01))
    decision = composed(at, returns(at), RiskOf(), constraints=constraints).weights(at)
    told = next(remark for remark in decision.remarks if remark.kind == "soft:box")
    np.testing.assert_allclose(told.value, weights(decision)[told.symbol] - 0.08, atol=1e-12)
    assert told.value.sum() == pytest.approx(0.2)
    assert told.text.endswith("at 0.01 a unit: 0.002 a slice in all")


def test_impact_and_cones_are_solved_too() -> None:
    at = situation(10, seed=3)
    decision = composed(at, returns(at, ic=0.2), RiskOf(), ImpactCost(), constraints=(FULL, LongOnly())).weights(at)
    assert weights(decision).sum() == pytest.approx(1.0)
    active = composed(at, returns(at, ic=0.2), constraints=(FULL, LongOnly(), RiskLimit(max=0.02))).weights(at)
    x = weights(active) - at.benchmark
    assert np.sqrt(x @ covariance(at.risk) @ x * 252) == pytest.approx(0.02, rel=1e-4)
    assert "binds:risk_limit" in kinds(active)


ACCEPTED: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "risk limit": ((LinearCost(buy_bps=1, sell_bps=2),), (LongOnly(), RiskLimit(max=0.02))),
    "risk limit alone": ((), (LongOnly(), RiskLimit(max=0.3, about="zero"))),
    "two risk limits": ((), (LongOnly(), RiskLimit(max=0.04), RiskLimit(max=0.145, about="zero"))),
    "soft risk limit": ((LinearCost(),), (LongOnly(), RiskLimit(max=0.01, soft=0.05))),
    "impact": ((ImpactCost(), LinearCost(buy_bps=1, sell_bps=2)), (LongOnly(), WeightBox(max=0.1))),
    "turnover and gross": ((LinearCost(),), (WeightBox(min=-0.1, max=0.2), Turnover(max=0.3), Gross(max=1.2))),
    "soft limits": (
        (ImpactCost(),),
        (WeightBox(min=-0.1, max=0.02, soft=0.001), Sectors(max=0.45, soft=0.0005), Turnover(max=0.1, soft=0.0004)),
    ),
}


@pytest.mark.parametrize("which", ACCEPTED)
def test_whatever_is_accepted_is_certified(which: str) -> None:
    terms, constraints = ACCEPTED[which]
    for seed in range(4):
        at = situation(40, seed=seed, w0=np.full(40, 0.9 / 40) * (seed > 0))
        decision = composed(at, returns(at, ic=0.1), RiskOf(), *terms, constraints=(FULL, *constraints)).weights(at)
        told = next(remark.text for remark in decision.remarks if remark.kind == "weights")
        residual = float(told.split("residual ")[1].split(",")[0])
        assert residual <= 1e-7, (seed, told)
        assert not [kind for kind in kinds(decision) if kind.startswith(("route", "fallback"))], decision.remarks


@pytest.mark.parametrize("which", [which for which in ACCEPTED if which != "soft limits"])  # that one has residual 0
def test_what_cannot_be_certified_is_not_traded(which: str) -> None:
    terms, constraints = ACCEPTED[which]
    at = situation(20, seed=1)
    options: dict[str, Any] = {"tolerance": 1e-300, "fallback": ("hold",)}
    decision = composed(at, returns(at), RiskOf(), *terms, constraints=(FULL, *constraints), **options).weights(at)
    assert decision.weights is None
    assert "above 1e-300" in decision.reason
    routes = [remark.text.split(" ")[0] for remark in decision.remarks if remark.kind == "route"]
    assert len(routes) == len(set(routes)) >= 2  # no solver is asked twice


def rebalances(method: Composed, count: int, cut: int | None = None) -> list[np.ndarray]:
    """Decisions over a path; at `cut` a fresh copy goes on from the saved state."""
    at, found = situation(20, seed=9), []
    rng = np.random.default_rng(1)
    for k in range(count):
        if k == cut:
            state = method.save()
            method = composed(at, returns(at), RiskOf(), LinearCost(), constraints=(FULL, LongOnly()))
            method.load(state)
        at = replace(at, alpha=rng.normal(0, 1, 20), w0=found[-1] if found else np.zeros(20))
        found.append(weights(method.weights(at)))
    return found


def test_state_saved_and_loaded_decides_the_very_same() -> None:
    at = situation(20, seed=9)
    parts = (returns(at), RiskOf(), LinearCost())

    def fresh() -> Composed:
        return composed(at, *parts, constraints=(FULL, LongOnly()))

    whole = rebalances(fresh(), 6)
    for cut in range(1, 6):
        for one, other in zip(whole, rebalances(fresh(), 6, cut), strict=True):
            assert one.tobytes() == other.tobytes()


def test_aversions_that_stand_for_a_cap_on_risk_are_state_too() -> None:
    at = situation(20, seed=9)

    def fresh() -> Composed:
        limits = (FULL, LongOnly(), RiskLimit(max=0.02))
        return composed(at, returns(at, ic=0.1), RiskOf(), LinearCost(), constraints=limits)

    one = fresh()
    one.weights(at)
    other = fresh()
    other.load(one.save())
    later = replace(at, alpha=at.alpha[::-1].copy())
    first, second = one.weights(later), other.weights(later)
    assert "binds:risk_limit" in kinds(first)
    assert weights(first).tobytes() == weights(second).tobytes()


# ---- where nothing fits ----------------------------------------------------------------------------------------------


def too_much(at: Situation, **options: Any) -> Composed:
    """Sectors may hold 0.8 in all, and 1 is to be invested."""
    constraints = (FULL, LongOnly(), Sectors(max=0.4))
    return composed(at, returns(at), RiskOf(), constraints=constraints, **options)


def test_a_contradiction_is_named_with_its_smallest_relaxation() -> None:
    at = situation(8)
    decision = too_much(at).weights(at)
    told = next(remark for remark in decision.remarks if remark.kind == "infeasible")
    assert "budget" in told.text
    assert "sectors" in told.text
    assert "long_only" not in told.text
    assert weights(decision).min() >= -1e-9
    assert "fallback:relax" in kinds(decision)
    sums = [weights(decision)[at.sector == s].sum() for s in (0, 1)]
    total = sum(sums)
    assert max(0, 1 - total) + sum(max(0, s - 0.4) for s in sums) == pytest.approx(0.2, abs=2e-6)


def amounts(text: str) -> dict[str, float]:
    """What a note says that limits give or would have to: by name without the label of a row."""
    pairs = [part.rsplit(" by ", 1) for part in text.split(": ")[-1].split(", ")]
    return {name.split("[")[0]: float(by) for name, by in pairs}


@pytest.mark.parametrize("order", [0, 1])
def test_a_box_that_no_long_book_can_meet_gives_alike_for_all_and_nothing_is_sold_short(order: int) -> None:
    at = situation(50, w0=np.zeros(50))
    box = (LongOnly(), WeightBox(min=0.05))
    decision = composed(at, returns(at), RiskOf(), constraints=(FULL, *box[:: 1 - 2 * order])).weights(at)
    w = weights(decision)
    assert w.min() >= 0.02 - 2e-6  # 50 names at 0.05 are 2.5; at 0.02 they are 1
    assert w.sum() == pytest.approx(1.0)
    told = {remark.kind: remark.text for remark in decision.remarks}
    assert amounts(told["infeasible"])["box"] == pytest.approx(0.03)
    assert amounts(told["fallback:relax"]) == {"box": pytest.approx(0.03, abs=2e-6)}


def test_what_is_firm_is_never_loosened_though_another_limit_is_tighter() -> None:
    at = situation(10, w0=np.zeros(10))
    at = replace(at, benchmark=np.full(10, 0.4))
    limits = (BenchmarkBand(deviation=0.1), WeightBox(min=0.05, max=0.15, firm=True))  # at least 0.3, at most 0.15
    decision = composed(at, returns(at), RiskOf(), constraints=(FULL, *limits)).weights(at)
    assert 0.05 - 1e-9 <= weights(decision).min() <= weights(decision).max() <= 0.15 + 1e-9
    assert "fallback:relax" in kinds(decision)


def test_a_firm_limit_has_no_price() -> None:
    with pytest.raises(ValueError, match=r"WeightBox is firm and has a price \(soft\): choose one"):
        composed(situation(2), RiskOf(), constraints=(WeightBox(max=0.5, soft=0.1, firm=True),))


def test_a_cap_on_turnover_gives_way_before_limits_of_positions() -> None:
    at = situation(30, w0=np.r_[0.9, np.zeros(29)])
    limits = (FULL, LongOnly(), WeightBox(max=0.1))
    w = weights(composed(at, returns(at), RiskOf(), constraints=(*limits, Turnover(max=0.1))).weights(at))
    assert w.max() <= 0.1 + 1e-9
    assert np.abs(w - at.w0).sum() == pytest.approx(1.7, abs=1e-5)  # 0.8 sold and 0.9 bought: no more than is needed
    held = composed(at, returns(at), RiskOf(), constraints=(*limits, Turnover(max=0.1, firm=True))).weights(at)
    assert np.abs(weights(held) - at.w0).sum() <= 0.1 + 1e-9
    firm = (FULL, LongOnly(), WeightBox(max=0.1, firm=True), Turnover(max=0.1, firm=True))
    none = composed(at, returns(at), RiskOf(), constraints=firm).weights(at)
    assert (none.weights, kinds(none)[-1]) == (None, "fallback:hold")


def test_a_conflict_of_many_names_is_found_in_programs_of_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of names are no rows of the programs that search for a conflict: that is what makes them fast."""
    from components.optimizers import elastic_program

    rows, solve = [], elastic_program.linear
    monkeypatch.setattr(elastic_program, "linear", lambda p: (rows.append(len(p.b) + len(p.right)), solve(p))[1])
    at = situation(400, sector=(np.arange(400) % 4).astype(np.int32), sectors=tuple("abcd"))
    limits = (FULL, LongOnly(), WeightBox(max=0.02), Sectors(min=0.4), Turnover(max=0.05))
    decision = composed(at, returns(at), RiskOf(), constraints=limits).weights(at)
    assert "fallback:relax" in kinds(decision)
    assert sum(count > 12 for count in rows) == 1  # the relaxation itself, once


COUNTS: dict[str, tuple[tuple[Any, ...], set[str], str]] = {
    "too few names": (
        (LongOnly(), WeightBox(max=0.1), Cardinality(most=5)),
        {"cardinality most", "budget[sum]", "box"},
        "cardinality most raised to 10",
    ),
    "too little trading": (
        (LongOnly(), WeightBox(max=0.3), Cardinality(most=10), Turnover(max=0.3)),
        {"turnover", "cardinality most"},
        "turnover",
    ),
    "too little trading, firm": (
        (LongOnly(), WeightBox(max=0.3), Cardinality(most=10), Turnover(max=0.3, firm=True)),
        {"turnover", "cardinality most"},
        "cardinality most raised to ",
    ),
    "too large positions": (
        (LongOnly(), WeightBox(max=0.06, firm=True), Cardinality(least_weight=0.07)),
        {"cardinality least_weight", "box", "budget[sum]"},
        "cardinality least_weight",
    ),
}


@pytest.mark.parametrize("which", COUNTS)
def test_limits_that_count_names_say_what_they_conflict_with_and_give_way_as_declared(which: str) -> None:
    limits, helps, dropped = COUNTS[which]
    at = situation(24)
    decision = composed(at, returns(at), RiskOf(), constraints=(FULL, *limits), nodes=20).weights(at)
    told = {remark.kind: remark.text for remark in decision.remarks}
    assert set(told["infeasible"].split("without one of these it is: ")[1].split(", ")) == helps
    assert f"let go was {dropped}" in told["fallback:relax"]
    w = weights(decision)
    assert w.sum() == pytest.approx(1.0)
    if "cardinality most" not in dropped and "most" in str(helps):
        assert np.count_nonzero(np.abs(w) > 1e-9) <= 10
    none = composed(at, returns(at), RiskOf(), constraints=(FULL, *limits), nodes=20, fallback=("hold",)).weights(at)
    assert none.weights is None


def test_limits_that_contradict_and_count_names_too_give_way_both() -> None:
    at = situation(50, w0=np.zeros(50))
    limits = (FULL, LongOnly(), WeightBox(max=0.01), NoTradeZone(width=0.05))
    decision = composed(at, returns(at), RiskOf(), constraints=limits, nodes=20).weights(at)
    assert weights(decision).max() <= 0.02 + 2e-6
    told = next(remark.text for remark in decision.remarks if remark.kind == "fallback:relax")
    assert "let go was no_trade_zone least_trade" in told


def test_a_cap_on_turnover_that_cannot_be_kept_is_dropped_where_that_is_declared() -> None:
    at = situation(8, w0=np.array([0.9] + [0.1 / 7] * 7))
    constraints = (FULL, LongOnly(), WeightBox(max=0.2), Turnover(max=0.1))
    method = composed(at, RiskOf(), constraints=constraints, fallback=("turnover", "hold"))
    decision = method.weights(at)
    assert "fallback:turnover" in kinds(decision)
    assert weights(decision).max() <= 0.2 + 1e-9


def test_the_last_weights_are_kept_within_the_bounds_of_today_and_what_they_break_is_told() -> None:
    flat = {"references": {"exposures": np.zeros((8, 1))}, "columns": {"exposures": ("size",)}}
    at = situation(8, invest=0.9, **flat)
    method = composed(
        *(at, returns(at, ic=0.3), RiskOf()),
        constraints=(Budget(), LongOnly(), WeightBox(max=0.3), Exposures(min=0.0, max=0.7, active=False)),
        fallback=("shrink",),
    )
    before = weights(method.weights(at))
    assert before.sum() == pytest.approx(0.9)
    halted = np.arange(8) == int(before.argmin())
    beyond = {"references": {"exposures": halted[:, None] * 1.0}, "columns": {"exposures": ("size",)}}
    later = replace(at, free=~halted, w0=np.where(halted, 0.8, before), **beyond)  # what is halted is too much alone
    decision = method.weights(later)
    w = weights(decision)
    assert w[halted].tolist() == [0.8]
    assert w[~halted].sum() == pytest.approx(0.1)
    np.testing.assert_allclose(w[~halted] / w[~halted].sum(), before[~halted] / before[~halted].sum(), atol=1e-12)
    told = next(remark for remark in decision.remarks if remark.kind == "fallback:shrink")
    assert "beyond its limit: exposures by 0.1" in told.text


def test_without_last_weights_there_is_nothing_to_shrink() -> None:
    decision = too_much(situation(8), fallback=("shrink",)).weights(situation(8))
    assert decision.weights is None


def test_holding_is_the_end_of_the_ladder_and_says_why() -> None:
    at = situation(8)
    decision = too_much(at, fallback=("hold",)).weights(at)
    assert decision.weights is None
    assert decision.reason.startswith("no weights satisfy ")
    assert kinds(decision)[-1] == "fallback:hold"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"solver": "magic"}, "solver must be one of auto, kernel, piqp, clarabel, osqp, scs, got 'magic'"),
        ({"fallback": ("pray",)}, "fallback must list relax, turnover, shrink, hold, got 'pray'"),
        ({"fallback": ("hold", "hold")}, "fallback names a step twice"),
        ({"tolerance": 0.0}, "tolerance must be finite and above 0, got 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: dict[str, Any], said: str) -> None:
    at = situation(2)
    with pytest.raises(ValueError, match=said):
        composed(at, RiskOf(), **options)


def test_an_empty_objective_is_refused() -> None:
    with pytest.raises(ValueError, match="objective must have a term at least"):
        composed(situation(2))
