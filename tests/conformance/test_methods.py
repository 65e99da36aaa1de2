"""What every method keeps: one list of methods, one battery."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.optimizers.constraints.max_trade import MaxTrade
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.black_litterman import BlackLitterman, View
from components.optimizers.methods.equal_weight import EqualWeight
from components.optimizers.methods.hrp import Hrp
from components.optimizers.methods.inverse_volatility import InverseVolatility
from components.optimizers.methods.max_diversification import MaxDiversification
from components.optimizers.methods.max_sharpe import MaxSharpe
from components.optimizers.methods.mean_cvar import MeanCvar
from components.optimizers.methods.minimum_variance import MinimumVariance
from components.optimizers.methods.multi_period import MultiPeriod
from components.optimizers.methods.risk_parity import RiskParity
from components.optimizers.problem import Situation
from engine.events import Vector
from engine.protocols import Risk
from engine.universe import Universe, universe_of
from samewire.registry import BUILT_IN, resolve
from tests.components.optimizers.methods.made import factor_risk, frozen_risk, risk_of, situation, solved
from tests.make import market

N, CAP = 12, 0.3
NAMES = tuple(f"S{i:02d}" for i in range(N))
VIEWS = (View({"S01": 1.0, "S05": -1.0}, 0.002, 0.7),)
LIMITS = (Sectors(max=0.9), Turnover(max=2.0), MaxTrade(max=0.5))  # held, and of no weight in what is checked here

CASES: dict[str, Callable[[Universe], Any]] = {
    "equal_weight": lambda u: EqualWeight(max_weight=CAP),
    "inverse_volatility": lambda u: InverseVolatility(max_weight=CAP),
    "inverse_variance": lambda u: InverseVolatility(of="variance", max_weight=CAP),
    "minimum_variance": lambda u: MinimumVariance(max_weight=CAP),
    "max_sharpe": lambda u: MaxSharpe(max_weight=CAP),
    "max_sharpe_grinold": lambda u: MaxSharpe(max_weight=CAP, alpha="grinold"),
    "risk_parity": lambda u: RiskParity(universe=u, max_weight=CAP),
    "risk_parity_by_sector": lambda u: RiskParity(universe=u, max_weight=CAP, by="sector", budgets={"banks": 3.0}),
    "max_diversification": lambda u: MaxDiversification(max_weight=CAP),
    "hrp": lambda u: Hrp(universe=u, max_weight=CAP),
    "hrp_ward_of_pairs": lambda u: Hrp(universe=u, max_weight=CAP, linkage="ward", of="pairs"),
    "mean_cvar": lambda u: MeanCvar(universe=u, window=40, min_slices=10, level=0.8, max_weight=CAP),
    "mean_cvar_of_alpha": lambda u: MeanCvar(
        universe=u, window=40, min_slices=10, level=0.8, max_weight=CAP, expected="alpha", reward=0.1
    ),
    "black_litterman": lambda u: BlackLitterman(universe=u, views=VIEWS, max_weight=CAP, fully_invested=True),
    "black_litterman_of_alpha": lambda u: BlackLitterman(
        universe=u, max_weight=CAP, alpha="grinold", fully_invested=True
    ),
    "multi_period": lambda u: MultiPeriod(horizon=3, half_life=2.0, max_weight=CAP, fully_invested=True),
    "multi_period_of_impact": lambda u: MultiPeriod(horizon=2, impact=0.5, max_weight=CAP, fully_invested=True),
    "multi_period_within": lambda u: MultiPeriod(
        universe=u, horizon=3, half_life=2.0, max_weight=CAP, fully_invested=True, constraints=LIMITS
    ),
}
SHORT: dict[str, Callable[[Universe], Any]] = {
    "minimum_variance_short": lambda u: MinimumVariance(long_only=False, max_weight=CAP),
    "minimum_variance_closed": lambda u: MinimumVariance(long_only=False),
    "black_litterman_short": lambda u: BlackLitterman(universe=u, views=VIEWS, long_only=False, fully_invested=True),
}
Make = Callable[[Universe], Any]
every = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
with_shorts = pytest.mark.parametrize("make", [*CASES.values(), *SHORT.values()], ids=[*CASES, *SHORT])
EXACT = 2e-6  # what an interior point leaves of a weight; those with a closed form or an active set are far below


def known(order: Any = None, **given: Any) -> Situation:
    """A usual day: alphas for most names, a benchmark, two sectors."""
    rng = np.random.default_rng(5)
    alpha = rng.normal(size=N) * 0.002
    alpha[3] = np.nan
    sector = np.array([0, 1, -1] * (N // 3))
    plain: dict[str, Any] = {
        "alpha": alpha,
        "benchmark": np.arange(1.0, N + 1) / 78,
        "sector": sector,
        "traded": rng.uniform(1e5, 1e6, N),
        "w0": np.where(np.arange(N) % 4 == 0, 0.1, 0.0),
    } | given
    risk = plain.pop("risk", factor_risk(N, 4))
    names = np.array(NAMES)
    if order is not None:
        plain = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in plain.items()}
        risk = None if risk is None else turned(risk, order)
        names = names[order]
    return situation(risk, N, names=names.tolist(), sectors=("banks", "mines"), **plain)


def turned(risk: Risk, order: Any) -> Risk:
    return frozen_risk(
        Risk(factors=risk.factors[order], covariance=risk.covariance.copy(), specific=risk.specific[order])
    )


def taught(make: Make, order: Any = None, slices: int = 30) -> Any:
    """A method that has seen some bars, if it looks at bars."""
    names = np.array(NAMES)
    method = make(universe_of(tuple((names if order is None else names[order]).tolist())))
    if hasattr(method, "on_bars"):
        for bars in market(N, slices, seed=2, holes=0.02, late=0):
            if order is not None:
                bars = replaced(bars, order)
            method.on_bars(bars)
    return method


def replaced(bars: Any, order: Any) -> Any:
    fields = {f: getattr(bars, f) for f in bars.__struct_fields__}
    return type(bars)(**{k: v[order] if isinstance(v, np.ndarray) else v for k, v in fields.items()})


def test_every_method_of_the_registry_is_in_this_battery() -> None:
    tested = {type(taught(make)) for make in CASES.values()}
    own = {name: resolve("methods", name) for name in BUILT_IN["methods"] if name != "composed"}
    assert set(own.values()) == tested


@with_shorts
def test_every_free_name_gets_a_finite_weight_and_nothing_else_is_said(make: Make) -> None:
    free, leaving = np.arange(N) % 5 != 1, np.arange(N) == 6
    at = known(free=free & ~leaving, leaving=leaving, w0=np.where(np.arange(N) == 6, 0.05, 0.0))
    w = solved(taught(make), at)
    assert np.isfinite(w[at.free]).all()
    assert w[6] == 0
    still = ~at.free & ~at.leaving
    assert (np.isnan(w[still]) | (w[still] == at.w0[still])).all()  # one within constraints says that they stay


@every
def test_weights_add_up_within_their_bounds(make: Make) -> None:
    for invest, total in ((1.0, 1.0), (0.6, 0.6), (3.0, 1.0)):
        w = solved(taught(make), known(invest=invest))
        assert w.sum() == pytest.approx(total, abs=EXACT)
        assert w.min() >= 0
        assert w.max() <= CAP * (1 + 1e-12)


@every
def test_what_cannot_be_traded_takes_its_share_of_the_total(make: Make) -> None:
    free = np.arange(N) != 4
    w = solved(taught(make), known(free=free, w0=np.where(free, 0.0, 0.25)))
    assert np.isnan(w[4]) or w[4] == 0.25  # one within constraints says that it stays
    assert w[free].sum() == pytest.approx(0.75, abs=EXACT)


@every
def test_pinned_names_that_take_all_leave_nothing(make: Make) -> None:
    free = np.arange(N) != 4
    w = solved(taught(make), known(free=free, w0=np.where(free, 0.0, 1.2)))
    np.testing.assert_allclose(w[free], 0.0, atol=EXACT)


@every
def test_caps_that_cannot_hold_the_total_are_all_reached(make: Make) -> None:
    free = np.arange(N) < 3
    w = solved(taught(make), known(free=free, w0=np.zeros(N), alpha=np.full(N, 0.001) * np.arange(1, N + 1)))
    np.testing.assert_allclose(w[:3], CAP, atol=EXACT)


@every
def test_a_name_wanted_below_zero_is_sold_by_a_method_without_shorts(make: Make) -> None:
    wanted = np.where(np.arange(N) == 2, -0.2, 1 / N)
    w = solved(taught(make), known(wanted=wanted, w0=np.zeros(N)))
    assert w[2] == 0


@with_shorts
def test_the_order_of_symbols_does_not_matter(make: Make) -> None:
    order = np.random.default_rng(9).permutation(N)
    w = solved(taught(make), known())
    np.testing.assert_allclose(solved(taught(make, order), known(order)), w[order], atol=EXACT)


@with_shorts
def test_inputs_stay_as_they_were_and_two_copies_agree_bit_for_bit(make: Make) -> None:
    at = known()
    before = {f.name: np.array(getattr(at, f.name)) for f in dataclasses.fields(at) if is_array(at, f.name)}
    method, w = taught(make), solved(taught(make), known())
    assert np.array_equal(solved(method, at), w)
    assert np.array_equal(solved(method, at), w)  # asked again
    for name, value in before.items():
        assert np.array_equal(getattr(at, name), value, equal_nan=True), name


def is_array(at: Situation, name: str) -> bool:
    return isinstance(getattr(at, name), np.ndarray)


@with_shorts
def test_an_earlier_answer_does_not_show_in_a_later_one(make: Make) -> None:
    method = taught(make)
    other = known(alpha=np.linspace(0.01, -0.01, N), invest=0.5, risk=factor_risk(N, 4, seed=8))
    solved(method, other)
    assert np.array_equal(solved(method, known()), solved(taught(make), known()))


@every
def test_nothing_free_is_no_failure(make: Make) -> None:
    none = np.zeros(N, bool)
    w = solved(taught(make), known(free=none, leaving=np.arange(N) == 1))
    assert w[1] == 0
    assert np.isnan(np.delete(w, 1)).all()


@with_shorts
def test_without_a_risk_model_there_is_a_reason_or_an_answer(make: Make) -> None:
    decision = taught(make).weights(known(risk=None))
    if decision.weights is None:
        assert decision.reason == "the risk model has too little history"
    else:
        assert type(taught(make)) in (EqualWeight, MeanCvar)


@every
def test_one_name_takes_what_its_cap_allows(make: Make) -> None:
    free = np.arange(N) == 7
    w = solved(taught(make), known(free=free, w0=np.zeros(N), alpha=np.linspace(0.001, 0.002, N)))
    assert w[7] == pytest.approx(CAP, abs=EXACT)


ODD: dict[str, dict[str, Any]] = {
    "no alpha at all": {"alpha": np.full(N, np.nan)},
    "all alphas negative": {"alpha": -np.linspace(0.001, 0.002, N)},
    "all alphas equal": {"alpha": np.full(N, 0.001)},
    "all alphas zero": {"alpha": np.zeros(N)},
    "a huge alpha": {"alpha": np.where(np.arange(N) == 2, 1e300, 0.001)},
    "an endless alpha": {"alpha": np.where(np.arange(N) == 2, np.inf, 0.001 * np.arange(N))},
    "tiny alphas": {"alpha": 1e-300 * np.arange(N)},
    "a name of no variance": {"risk": risk_of(np.diag(np.where(np.arange(N) == 2, 0.0, 4e-4)))},
    "no variance anywhere": {"risk": risk_of(np.zeros((N, N)))},
    "perfect correlation": {"risk": risk_of(np.outer(np.linspace(0.01, 0.03, N), np.linspace(0.01, 0.03, N)))},
    "names that offset each other": {"risk": risk_of(1e-4 * np.outer((-1.0) ** np.arange(N), (-1.0) ** np.arange(N)))},
    "tiny variances": {"risk": risk_of(1e-18 * np.eye(N))},
    "large variances": {"risk": risk_of(1e6 * np.eye(N))},
    "a covariance of rank two": {"risk": risk_of(np.cov(np.random.default_rng(0).normal(size=(N, 3)) * 0.01))},
    "a short position that cannot be bought back": {
        "free": np.arange(N) != 4,
        "w0": np.where(np.arange(N) == 4, -0.4, 0.0),
    },
}


@with_shorts
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_odd_inputs_give_finite_weights_or_a_reason(make: Make, odd: dict[str, Any]) -> None:
    decision = taught(make).weights(known(**odd))
    if decision.weights is None:
        assert decision.reason
        return
    free = known(**odd).free
    assert np.isfinite(decision.weights[free]).all()
    assert np.abs(decision.weights[free]).sum() <= 100


def extreme(seed: int) -> dict[str, Any]:
    """Variances over fourteen orders of magnitude, factors that repeat, alphas of any size, odd positions."""
    rng = np.random.default_rng(seed)
    K = int(rng.integers(1, 15))
    F = rng.normal(size=(N, K)) * 10.0 ** rng.uniform(-3, 1) + rng.integers(0, 2)
    F = np.tile(F[0], (N, 1)) if rng.random() < 0.2 else F
    root = rng.normal(size=(K, K)) * 10.0 ** rng.uniform(-9, 1) * (rng.random() < 0.8)
    specific = 10.0 ** rng.uniform(-14, 0, N) * (rng.random(N) < rng.choice([0.0, 0.7, 1.0]))
    alpha = rng.normal(size=N) * 10.0 ** rng.uniform(-8, 3)
    alpha[rng.random(N) < 0.2] = np.nan
    if rng.random() < 0.2:
        alpha[rng.integers(N)] = rng.choice([1e300, -1e300, np.inf, -np.inf])
    free = rng.random(N) < 0.8
    return {
        "risk": frozen_risk(Risk(factors=F, covariance=root @ root.T, specific=specific)),
        "alpha": alpha,
        "free": free,
        "leaving": ~free & (rng.random(N) < 0.4),
        "w0": np.where(rng.random(N) < 0.5, rng.normal(0, 0.2, N), 0.0),
        "wanted": np.where(rng.random(N) < 0.15, -0.1, 0.1),
        "invest": float(rng.choice([0.0, 0.5, 1.0, 2.0])),
        "benchmark": np.abs(rng.normal(size=N)),
        "traded": 10.0 ** rng.uniform(2, 9, N),
    }


@every
def test_extreme_numbers_give_weights_within_their_limits_or_a_reason(make: Make) -> None:
    method = taught(make)
    seeds = range(0, 40, 8) if isinstance(method, MultiPeriod) else range(24)
    answered = 0
    for seed in seeds:
        at = known(**extreme(seed))
        decision = method.weights(at)
        for remark in decision.remarks:
            assert remark.symbol.dtype == np.int32
            assert len(remark.value) == len(remark.symbol) or (len(remark.value), len(remark.symbol)) == (1, 0)
        if decision.weights is None:
            assert decision.reason
            continue
        answered += 1
        w = decision.weights[at.free]
        pinned = np.where(~at.free & ~at.leaving, at.w0, 0.0).sum()
        assert w.min() >= -1e-12
        assert w.max() <= CAP * (1 + 1e-9)
        assert w.sum() <= max(min(at.invest, 1.0) - pinned, 0.0) + EXACT
    assert answered >= 0.8 * len(seeds)


def of_risk_alone() -> dict[str, Make]:
    """The others weigh risk against returns."""
    return {name: make for name, make in CASES.items() if type(taught(make)) not in (BlackLitterman, MultiPeriod)}


@pytest.mark.parametrize("make", of_risk_alone().values(), ids=of_risk_alone().keys())
@pytest.mark.parametrize("scale", [1e-4, 252.0])
def test_methods_of_risk_alone_do_not_see_its_scale(make: Make, scale: float) -> None:
    risk = factor_risk(N, 4)
    scaled = frozen_risk(
        Risk(factors=risk.factors.copy(), covariance=scale * risk.covariance, specific=scale * risk.specific)
    )
    np.testing.assert_allclose(solved(taught(make), known(risk=scaled)), solved(taught(make), known()), atol=1e-9)


def stateful() -> dict[str, Make]:
    return {name: make for name, make in CASES.items() if hasattr(taught(make), "save")}


@pytest.mark.parametrize("make", stateful().values(), ids=stateful().keys())
@pytest.mark.parametrize("cut", [0, 1, 15, 29, 59])
def test_state_saved_anywhere_decides_the_same(make: Make, cut: int) -> None:
    rows = market(N, 60, seed=4, holes=0.05, late=1)
    whole, first = make(universe_of(NAMES)), make(universe_of(NAMES))
    second = make(universe_of(NAMES))
    for bars in rows[:cut]:
        whole.on_bars(bars)
        first.on_bars(bars)
    second.load(first.save())
    for bars in rows[cut:]:
        whole.on_bars(bars)
        second.on_bars(bars)
        one, other = whole.weights(known()), second.weights(known())
        assert one.reason == other.reason
        assert same_weights(one.weights, other.weights)


def same_weights(one: Vector | None, other: Vector | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("make", stateful().values(), ids=stateful().keys())
def test_its_lookback_is_all_it_looks_at(make: Make) -> None:
    rows = market(N, 90, seed=4, holes=0.0, late=0)
    long, short = make(universe_of(NAMES)), make(universe_of(NAMES))
    for bars in rows:
        long.on_bars(bars)
    for bars in rows[-long.lookback :]:
        short.on_bars(bars)
    assert same_weights(long.weights(known()).weights, short.weights(known()).weights)
