"""What every cost model keeps: one list of cost models, one battery."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.costs.bps_slippage import BpsSlippage
from components.costs.by_side import BySide
from components.costs.dated import Dated, DatedFee
from components.costs.fixed_slippage import FixedSlippage
from components.costs.half_spread import HalfSpread
from components.costs.per_share import PerShare
from components.costs.quadratic_impact import QuadraticImpact
from components.costs.square_root import SquareRoot
from components.costs.tiered import Tier, Tiered
from components.costs.together import Together
from components.costs.volume_share import VolumeShare
from engine.events import FEE_KINDS, Fills
from engine.protocols import Conditions, CostModel, Stateful
from engine.universe import Universe, universe_of
from samewire.registry import BUILT_IN, resolve
from tests.make import day, market

N = 4
UNIVERSE = universe_of(tuple(f"S{i}" for i in range(N)))
FUTURES = msgspec.structs.replace(UNIVERSE, multiplier=np.array([1.0, 50.0, 10.0, 1.0]))

Make = Callable[[Universe], CostModel]
RATES = (
    DatedFee(dt.date(2017, 1, 1), bps_sell=10),
    DatedFee(dt.date(2018, 1, 10), bps_buy=5, bps_sell=4, per_share_sell=0.01, maximum=8.3),
)
CASES: dict[str, Make] = {
    "free": lambda u: Bps(universe=u),
    "bps": lambda u: Bps(commission_bps=5, slippage_bps=10, universe=u),
    "bps_minimum_and_tax": lambda u: Bps(
        commission_bps=5, slippage_bps=10, min_commission=1, tax_bps_sell=10, universe=u
    ),
    "by_side": lambda u: BySide(buy_bps=15, sell_bps=25, minimum=5, universe=u),
    "by_side_impact": lambda u: BySide(buy_bps=15, sell_bps=25, minimum=5, impact=0.1, universe=u),
    "per_share": lambda u: PerShare(rate=0.0075, minimum=1.0, universe=u),
    "per_share_capped": lambda u: PerShare(rate=0.005, minimum=1.0, maximum=0.005, universe=u),
    "tiered": lambda u: Tiered(universe=u),
    "tiered_by_value_and_day": lambda u: Tiered(
        tiers=(Tier(0, 0.001), Tier(1e6, 0.0005)), period="day", unit="value", minimum=2.0, maximum=None, universe=u
    ),
    "dated": lambda u: Dated(rates=RATES, universe=u),
    "fixed_slippage": lambda u: FixedSlippage(amount=0.05),
    "bps_slippage": lambda u: BpsSlippage(bps=7),
    "volume_share": lambda u: VolumeShare(),
    "half_spread": lambda u: HalfSpread(bps=5),
    "square_root": lambda u: SquareRoot(universe=u, window=4, fallback_bps=5),
    "quadratic_impact": lambda u: QuadraticImpact(impact=0.1, universe=u),
    "together": lambda u: Together(
        parts=(
            VolumeShare(),
            PerShare(rate=0.0075, minimum=1.0, universe=u),
            BySide(buy_bps=1, sell_bps=2, minimum=0.5, universe=u),
            SquareRoot(universe=u, window=4, fallback_bps=5),
            Tiered(universe=u),
        ),
        universe=u,
    ),
}
pytestmark = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
trades = st.lists(
    st.tuples(
        st.integers(-10_000, 10_000),
        st.floats(0.01, 1e4),
        st.integers(0, N - 1),
        st.sampled_from([np.nan, 0.0, 1.0, 5e4, 1e7]),
        st.integers(0, 500),
    ),
    min_size=0,
    max_size=30,
)
Row = tuple[int, float, int, float, int]


def columns(rows: list[Row]) -> tuple[np.ndarray, np.ndarray, Conditions]:
    qty, reference, symbol, volume, filled = (np.array([row[i] for row in rows], float) for i in range(5))
    paid = np.column_stack([filled * 0.01, np.zeros(len(rows)), filled * 0.02])
    at = Conditions(ts=day(9), symbol=symbol.astype(np.int32), volume=volume, filled=filled, paid=paid)
    return qty, reference, at


def warm(make: Make, universe: Universe = UNIVERSE, slices: int = 8) -> CostModel:
    """The model after some slices, each with its fills."""
    costs = make(universe)
    for k, bars in enumerate(market(N, slices, seed=3, late=0)):
        feed(costs, k, bars)
    return costs


def feed(costs: Any, k: int, bars: Any) -> None:
    fills = Fills(
        ts=bars.ts,
        exec_ids=np.array([k], np.uint64),
        order_ids=np.array([k], np.uint64),
        symbol=np.array([k % N], np.int32),
        qty=np.array([-90_000.0 if k % 2 else 70_000.0]),
        price=np.array([20.0]),
        reference=np.array([20.0]),
        fees=np.zeros((1, len(FEE_KINDS))),
        at=np.array([bars.ts]),
    )
    for name, event in (("on_fills", fills), ("on_bars", bars)):
        told = getattr(costs, name, None)
        if told is not None:
            told(event)


def rows_of(at: Conditions, rows: slice) -> Conditions:
    fields = {f: getattr(at, f) for f in at.__struct_fields__}
    return Conditions(**{f: v[rows] if isinstance(v, np.ndarray) else v for f, v in fields.items()})


def answers(costs: CostModel, qty: np.ndarray, reference: np.ndarray, at: Conditions) -> tuple[np.ndarray, np.ndarray]:
    price = costs.price(qty, reference, at)
    return price, costs.fees(qty, price, at)


@given(rows=trades)
def test_shapes_and_signs(make: Make, rows: list[Row]) -> None:
    qty, reference, at = columns(rows)
    price, fees = answers(warm(make), qty, reference, at)
    assert price.shape == qty.shape
    assert fees.shape == (len(qty), len(FEE_KINDS))
    assert np.isfinite(fees).all()
    assert (fees >= 0).all()
    assert (qty * (price - reference) >= 0).all()  # never better than the market
    assert (price > 0).all()


@given(rows=trades)
def test_inputs_are_not_changed(make: Make, rows: list[Row]) -> None:
    qty, reference, at = columns(rows)
    for array in (qty, reference, at.symbol, at.volume, at.filled, at.paid):
        array.flags.writeable = False  # type: ignore[union-attr]
    answers(make(FUTURES), qty, reference, at)


@given(rows=trades)
def test_a_trade_costs_the_same_in_whatever_company_and_order(make: Make, rows: list[Row]) -> None:
    """But for tiers, to which the trades before it count."""
    qty, reference, at = columns(rows)
    costs = warm(make, FUTURES)
    counts = hasattr(costs, "on_fills")
    price, fees = answers(costs, qty, reference, at)
    for i in range(len(rows)):
        alone, own = answers(costs, qty[i : i + 1], reference[i : i + 1], rows_of(at, slice(i, i + 1)))
        assert alone[0] == price[i]
        if i == 0 or not counts:
            np.testing.assert_array_equal(own[0], fees[i])


@given(rows=trades)
def test_a_trade_costs_the_same_whatever_trades_after_it(make: Make, rows: list[Row]) -> None:
    qty, reference, at = columns(rows)
    costs = warm(make, FUTURES)
    price, fees = answers(costs, qty, reference, at)
    for i in range(len(rows)):
        before, own = answers(costs, qty[:i], reference[:i], rows_of(at, slice(i)))
        np.testing.assert_array_equal(before, price[:i])
        np.testing.assert_array_equal(own, fees[:i])


@given(rows=trades)
def test_asking_changes_nothing(make: Make, rows: list[Row]) -> None:
    qty, reference, at = columns(rows)
    costs = warm(make)
    first = answers(costs, qty, reference, at)
    for left, right in zip(first, answers(costs, qty, reference, at), strict=True):
        np.testing.assert_array_equal(left, right)


@given(rows=trades, more=st.integers(1, 5))
def test_more_of_the_same_never_costs_less(make: Make, rows: list[Row], more: int) -> None:
    qty, reference, at = columns(rows)
    costs = warm(make)
    at = msgspec.structs.replace(at, filled=None, paid=None)
    price, fees = answers(costs, qty, reference, at)
    dearer, higher = answers(costs, qty * (1 + more), reference, at)
    assert (np.abs(dearer - reference) >= np.abs(price - reference) * (1 - 1e-12)).all()
    assert (higher.sum(axis=1) >= fees.sum(axis=1) * (1 - 1e-9)).all()


def test_nothing_traded_costs_nothing(make: Make) -> None:
    at = Conditions(ts=day(9), symbol=np.zeros(3, np.int32))
    assert not make(UNIVERSE).fees(np.zeros(3), np.full(3, 10.0), at).any()


def test_a_missing_price_stays_missing(make: Make) -> None:
    at = Conditions(ts=day(9), symbol=np.zeros(1, np.int32))
    assert np.isnan(make(UNIVERSE).price(np.array([1.0]), np.array([np.nan]), at))[0]


def test_the_rate_is_a_share(make: Make) -> None:
    assert 0 <= make(UNIVERSE).rate() < 1


def test_rule_41_the_same_order_in_two_fills_costs_its_fees_once(make: Make) -> None:
    """At one price: the fees of both fills are what one fill of the whole costs; the state stays as it is."""
    costs = make(FUTURES)
    # What is not linear above the minimum, or is capped by the fill, only stays what a fee is.
    linear = not isinstance(costs, QuadraticImpact | Tiered) and make not in (CASES["by_side_impact"], CASES["dated"])
    symbol, price = np.array([0, 1], np.int32), np.array([20.0, 3.0])
    multiplier = FUTURES.multiplier[symbol]
    volume = np.full(2, 1e9)
    for first, second in ((10.0, 5.0), (10.0, 4000.0), (3000.0, 2.0), (3000.0, 3000.0)):
        for side in (1.0, -1.0):
            before = Conditions(ts=day(9), symbol=symbol, volume=volume)
            whole = costs.fees(side * np.full(2, first + second) * multiplier, price, before)
            paid = costs.fees(side * np.full(2, first) * multiplier, price, before)
            after = msgspec.structs.replace(before, filled=np.full(2, first), paid=paid)
            rest = costs.fees(side * np.full(2, second) * multiplier, price, after)
            assert (rest >= 0).all()
            if linear:
                np.testing.assert_allclose(paid + rest, whole, rtol=1e-12)


def test_what_is_remembered_of_an_order_adds_up_over_its_fills(make: Make) -> None:
    """At changing prices the memo of a model is numbers of one width, and fees stay fees."""
    costs: Any = make(FUTURES)
    if not hasattr(costs, "memo"):
        return
    symbol, filled = np.array([0, 1], np.int32), np.zeros(2)
    where = Conditions(ts=day(9), symbol=symbol, volume=np.full(2, 1e9))
    paid, memo = np.zeros((2, len(FEE_KINDS))), np.zeros((2, 0))
    for shares, price in ((10.0, 3.0), (200.0, 900.0), (5.0, 0.5), (4000.0, 20.0)):
        qty, level = np.full(2, shares) * FUTURES.multiplier[symbol], np.full(2, price)
        at = msgspec.structs.replace(where, filled=filled, paid=paid, memo=memo) if filled.any() else where
        fees, noted = costs.fees(qty, level, at), costs.memo(qty, level, at)
        assert noted.shape == (2, memo.shape[1] or noted.shape[1])
        assert np.isfinite(noted).all()
        assert (noted >= 0).all()
        assert (fees >= 0).all()
        np.testing.assert_array_equal(costs.memo(qty, level, at), noted)
        memo = noted if not memo.size else memo + noted
        filled, paid = filled + shares, paid + fees


def test_state_saved_and_loaded_at_every_point_costs_the_same(make: Make) -> None:
    straight: Any = make(UNIVERSE)
    broken: Any = make(UNIVERSE)
    if not isinstance(straight, Stateful):
        assert not {"on_bars", "on_fills", "on_actions"} & set(dir(straight))
        return
    rng = np.random.default_rng(0)
    for k, bars in enumerate(market(N, 9, seed=3, late=0)):
        fresh: Any = make(UNIVERSE)
        fresh.load(broken.save())
        assert fresh.save() == broken.save()
        broken = fresh
        feed(straight, k, bars)
        feed(broken, k, bars)
        qty, reference = rng.integers(-5000, 5000, N).astype(float), np.full(N, 30.0)
        at = Conditions(ts=bars.ts, symbol=np.arange(N, dtype=np.int32), volume=bars.volume)
        for left, right in zip(answers(straight, qty, reference, at), answers(broken, qty, reference, at), strict=True):
            np.testing.assert_array_equal(left, right)


def test_every_registered_cost_model_is_in_this_battery(make: Make) -> None:
    del make
    tested = {type(case(UNIVERSE)) for case in CASES.values()}
    assert {resolve("costs", name) for name in BUILT_IN["costs"]} == tested
