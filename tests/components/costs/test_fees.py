"""Cost models that charge, each against a plain loop over numbers."""

import datetime as dt
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.costs.by_side import BySide
from components.costs.dated import Dated, DatedFee
from components.costs.per_share import PerShare
from components.costs.quadratic_impact import QuadraticImpact
from components.costs.tiered import IB_TIERS, Tier, Tiered
from components.costs.together import Together
from engine.errors import StateError
from engine.events import FEE_KINDS, Fills
from engine.protocols import Conditions
from engine.universe import universe_of
from tests.make import day

COMMISSION, EXCHANGE, TAX = range(3)
trades = st.lists(st.tuples(st.integers(-5_000, 5_000), st.floats(0.05, 500.0)), min_size=1, max_size=12)


def at(n: int, ts: int = day(0), **columns: Any) -> Conditions:
    given_ = {name: np.array(column, float) for name, column in columns.items()}
    return Conditions(ts=ts, symbol=np.zeros(n, np.int32), **given_)


def fees(costs: Any, qty: list[float], price: list[float], where: Conditions | None = None) -> list[float]:
    rows = costs.fees(np.array(qty, float), np.array(price, float), where or at(len(qty)))
    assert rows.shape == (len(qty), len(FEE_KINDS))
    return rows.sum(axis=1).tolist()


def stamp(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def fill(ts: int, qty: float, price: float = 10.0) -> Fills:
    ids = np.array([1], np.uint64)
    return Fills(
        ts=ts,
        exec_ids=ids,
        order_ids=ids,
        symbol=np.zeros(1, np.int32),
        qty=np.array([qty]),
        price=np.array([price]),
        reference=np.array([price]),
        fees=np.zeros((1, 3)),
        at=np.array([ts]),
    )


# ---- per share -------------------------------------------------------------------------------------------------------


@given(rows=trades, rate=st.floats(0, 0.02), minimum=st.floats(0, 5), cap=st.none() | st.floats(0, 0.02))
def test_per_share_is_the_plain_loop(
    rows: list[tuple[int, float]], rate: float, minimum: float, cap: float | None
) -> None:
    expected = []
    for qty, price in rows:
        raw = abs(qty) * rate
        if cap is not None:
            raw = min(raw, abs(qty) * price * cap)
        expected.append(max(raw, minimum) if qty else 0.0)
    got = fees(PerShare(rate=rate, minimum=minimum, maximum=cap), [q for q, _ in rows], [p for _, p in rows])
    assert got == pytest.approx(expected)


def test_rule_41_a_zipline_order_in_parts_pays_its_minimum_once() -> None:
    """zipline: 0.0075 a share, at least 1.00 an order, over its partial fills."""
    costs, paid, filled, seen = PerShare(rate=0.0075, minimum=1.0), 0.0, 0.0, []
    for part in (50, 50, 30, 10, 1000):
        before = at(1, filled=[filled], paid=[[paid, 0, 0]])
        (fee,) = fees(costs, [part], [20.0], before)
        seen.append(fee)
        paid, filled = paid + fee, filled + part
    assert seen == pytest.approx([1.0, 0.0, 0.0, 0.05, 7.5])
    assert paid == pytest.approx(1140 * 0.0075)


@pytest.mark.parametrize(
    ("shares", "price", "fee"),
    [(687, 145.0, 3.435), (10, 145.0, 1.0), (512, 97.84, 2.56), (1000, 0.5, 2.5), (2, 400.0, 1.0)],
)
def test_leans_fee_of_an_order(shares: float, price: float, fee: float) -> None:
    assert fees(PerShare(rate=0.005, minimum=1, maximum=0.005), [shares], [price]) == pytest.approx([fee])


def test_a_contract_is_one_share_whatever_its_multiplier() -> None:
    universe = msgspec.structs.replace(universe_of(("ES",)), multiplier=np.array([50.0]))
    costs = PerShare(rate=2.0, maximum=0.5, universe=universe)
    where = at(1)
    assert fees(costs, [3 * 50.0], [4000.0], where) == [6.0]
    assert fees(costs, [3 * 50.0], [4000.0], msgspec.structs.replace(where, filled=np.array([2.0]))) == [6.0]


# ---- percentages -----------------------------------------------------------------------------------------------------


@given(rows=trades, volume=st.sampled_from([np.nan, 0.0, 100.0, 1e6]), impact=st.sampled_from([0.0, 0.1]))
def test_by_side_is_qlibs_cost(rows: list[tuple[int, float]], volume: float, impact: float) -> None:
    """reference: cost = max(value rate, min_cost); the impact is in the rate, whole where the volume is unknown."""
    expected = []
    for qty, price in rows:
        value = abs(qty) * price
        share = abs(qty) / volume if volume > 0 else 1.0
        rate = (0.0015 if qty > 0 else 0.0025) + impact * share**2
        expected.append(max(value * rate, 5.0) if value > 1e-5 else 0.0)
    costs = BySide(buy_bps=15, sell_bps=25, minimum=5, impact=impact)
    where = at(len(rows), volume=[volume] * len(rows))
    assert fees(costs, [q for q, _ in rows], [p for _, p in rows], where) == pytest.approx(expected)


@given(rows=trades, volume=st.sampled_from([np.nan, 0.0, 100.0, 1e6]))
def test_quadratic_impact_is_the_plain_loop(rows: list[tuple[int, float]], volume: float) -> None:
    expected = [abs(q) * p * 0.1 * ((abs(q) / volume) ** 2 if volume > 0 else 1.0) for q, p in rows]
    where = at(len(rows), volume=[volume] * len(rows))
    assert fees(QuadraticImpact(impact=0.1), [q for q, _ in rows], [p for _, p in rows], where) == pytest.approx(
        expected
    )


@given(parts=st.lists(st.tuples(st.integers(1, 900), st.floats(1.0, 100.0)), min_size=1, max_size=8))
def test_rule_41_a_minimum_counts_once_an_order_whatever_its_parts(parts: list[tuple[int, float]]) -> None:
    """Never below the rate on all of it nor below the minimum, and never more than a minimum above both."""
    costs, paid, filled, value = Bps(commission_bps=10, min_commission=5.0), 0.0, 0.0, 0.0
    for qty, price in parts:
        (fee,) = fees(costs, [qty], [price], at(1, filled=[filled], paid=[[paid, 0, 0]]))
        assert fee >= 0
        paid, filled, value = paid + fee, filled + qty, value + qty * price
    assert paid >= 5.0 - 1e-9
    assert paid <= max(value * 1e-3, 5.0) + 5.0


@given(parts=st.lists(st.integers(1, 900), min_size=1, max_size=8), price=st.floats(1.0, 100.0))
def test_rule_41_at_one_price_the_parts_of_an_order_cost_what_the_whole_costs(parts: list[int], price: float) -> None:
    for costs in (
        Bps(commission_bps=10, min_commission=5.0),
        BySide(buy_bps=10, sell_bps=20, minimum=5.0),
        PerShare(rate=0.01, minimum=1.0, maximum=0.005),
    ):
        paid, filled = 0.0, 0.0
        for qty in parts:
            (fee,) = fees(costs, [qty], [price], at(1, filled=[filled], paid=[[paid, 0, 0]]))
            paid, filled = paid + fee, filled + qty
        assert paid == pytest.approx(fees(costs, [filled], [price])[0])


def test_above_the_minimum_a_further_fill_pays_its_own_rate_whatever_the_price_was() -> None:
    costs = Bps(commission_bps=10, min_commission=5.0)
    assert fees(costs, [1000], [20.0], at(1, filled=[1000], paid=[[10.0, 0, 0]])) == pytest.approx([20.0])


def test_fees_paid_in_another_column_are_not_the_commissions() -> None:
    costs = Bps(commission_bps=10, min_commission=5.0, tax_bps_sell=10)
    where = at(1, filled=[1000], paid=[[10.0, 0, 10.0]])
    assert costs.fees(np.array([-1000.0]), np.array([10.0]), where).tolist() == [[10.0, 0.0, 10.0]]


# ---- tiers -----------------------------------------------------------------------------------------------------------


def plain_tiers(tiers: tuple[Tier, ...], before: float, amount: float) -> float:
    """Share by share would be exact; piece by piece is the same."""
    edges = [tier.above for tier in tiers[1:]] + [float("inf")]
    total, at_now, left = 0.0, before, amount
    for tier, edge in zip(tiers, edges, strict=True):
        piece = max(min(edge - at_now, left), 0.0)
        total, at_now, left = total + piece * tier.rate, at_now + piece, left - piece
    return total


@given(
    traded=st.lists(st.integers(1, 400_000), max_size=5),
    qty=st.integers(1, 30_000_000),
    price=st.floats(5.0, 100.0),
)
def test_tiers_are_paid_piece_by_piece(traded: list[int], qty: int, price: float) -> None:
    costs = Tiered()
    for amount in traded:
        costs.on_fills(fill(day(1), -amount))
    expected = max(min(plain_tiers(IB_TIERS, sum(traded), qty), 0.01 * qty * price), 0.35)
    assert fees(costs, [qty], [price], at(1, ts=day(2))) == pytest.approx([expected])


@given(rows=st.lists(st.tuples(st.integers(-900_000, 900_000), st.floats(5.0, 100.0)), min_size=1, max_size=6))
def test_trades_of_one_slice_go_through_the_tiers_in_their_order(rows: list[tuple[int, float]]) -> None:
    before, expected = 0.0, []
    for qty, price in rows:
        due = max(min(plain_tiers(IB_TIERS, before, abs(qty)), 0.01 * abs(qty) * price), 0.35)
        expected.append(due if qty else 0.0)
        before += abs(qty)
    assert fees(Tiered(), [q for q, _ in rows], [p for _, p in rows]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_tiers_begin_anew_with_the_period() -> None:
    january, february = stamp("2024-01-31T21:00"), stamp("2024-02-01T21:00")
    by_month, by_day = Tiered(minimum=0.0), Tiered(minimum=0.0, period="day")
    for costs in (by_month, by_day):
        costs.on_fills(fill(stamp("2024-01-30T21:00"), 300_000))
        costs.on_fills(fill(stamp("2024-01-30T21:00"), 100_000))
    assert fees(by_month, [1000], [20.0], at(1, ts=january)) == pytest.approx([2.0])
    assert fees(by_month, [1000], [20.0], at(1, ts=february)) == pytest.approx([3.5])
    assert fees(by_day, [1000], [20.0], at(1, ts=january)) == pytest.approx([3.5])
    by_month.on_fills(fill(february, 10.0))
    assert fees(by_month, [1000], [20.0], at(1, ts=february)) == pytest.approx([3.5])


def test_tiers_by_value_count_money() -> None:
    costs = Tiered(tiers=(Tier(0, 0.002), Tier(1000, 0.001)), unit="value", minimum=0.0, maximum=None)
    costs.on_fills(fill(day(1), 50, price=10.0))
    assert fees(costs, [100], [10.0], at(1, ts=day(2))) == pytest.approx([500 * 0.002 + 500 * 0.001])


def test_an_order_over_two_slices_pays_its_tiers_minimum_once() -> None:
    costs = Tiered()
    (first,) = fees(costs, [50], [20.0], at(1, ts=day(1)))
    costs.on_fills(fill(day(1), 50, price=20.0))
    (rest,) = fees(costs, [150], [20.0], at(1, ts=day(2), filled=[50], paid=[[first, 0, 0]]))
    assert (first, first + rest) == pytest.approx((0.35, 200 * 0.0035))


# ---- dated -----------------------------------------------------------------------------------------------------------

STAMP_DUTY = (DatedFee(dt.date(2008, 9, 19), bps_sell=10), DatedFee(dt.date(2023, 8, 28), bps_sell=5))


@pytest.mark.parametrize(
    ("when", "duty"),
    [("2008-09-18T23:59", 0), ("2008-09-19", 10), ("2023-08-27T23:59:59", 10), ("2023-08-28", 5), ("2030-01-01", 5)],
)
def test_rule_41_a_rate_holds_from_its_day_to_the_next(when: str, duty: float) -> None:
    rows = Dated(rates=STAMP_DUTY).fees(np.array([-100.0, 100.0]), np.array([10.0, 10.0]), at(2, ts=stamp(when)))
    assert rows == pytest.approx(np.array([[0, 0, duty * 0.1], [0, 0, 0]]))


def test_the_activity_fee_has_its_cap_and_its_column() -> None:
    costs = Dated(rates=(DatedFee(dt.date(2024, 1, 1), per_share_sell=0.000166, maximum=8.30),), kind="exchange")
    rows = costs.fees(np.array([-1000.0, -60_000.0, 1000.0]), np.full(3, 10.0), at(3, ts=stamp("2024-05-01")))
    assert rows[:, EXCHANGE].tolist() == pytest.approx([0.166, 8.30, 0.0])
    assert not rows[:, [COMMISSION, TAX]].any()


def test_a_fee_of_a_contract_counts_contracts() -> None:
    universe = msgspec.structs.replace(universe_of(("ES",)), multiplier=np.array([50.0]))
    costs = Dated(rates=(DatedFee(dt.date(2017, 1, 1), per_share_buy=0.5),), universe=universe)
    assert fees(costs, [2 * 50.0], [4000.0]) == [1.0]


# ---- together --------------------------------------------------------------------------------------------------------


def test_rule_41_each_part_of_a_list_keeps_its_own_minimum_over_partial_fills() -> None:
    parts = (PerShare(rate=0.0075, minimum=1.0), Bps(commission_bps=1, min_commission=3.0))
    paid, filled = np.zeros(3), 0.0
    for qty in (40, 60, 900, 2000):
        where = at(1, filled=[filled], paid=[paid.tolist()])
        paid = paid + Together(parts=parts).fees(np.array([float(qty)]), np.array([20.0]), where)[0]
        filled += qty
    assert paid.tolist() == pytest.approx([3000 * 0.0075 + 3000 * 20.0 * 1e-4, 0.0, 0.0])


def test_a_list_of_other_length_refuses_the_state() -> None:
    state = Together(parts=(Tiered(), Bps())).save()
    with pytest.raises(StateError, match="of 2 parts and there are 1 now"):
        Together(parts=(Tiered(),)).load(state)


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("make", "option"),
    [
        (PerShare, "rate"),
        (QuadraticImpact, "impact"),
        (lambda minimum: PerShare(rate=0, minimum=minimum), "minimum"),
        (lambda maximum: PerShare(rate=0, maximum=maximum), "maximum"),
        (BySide, "buy_bps"),
        (BySide, "sell_bps"),
        (BySide, "minimum"),
        (BySide, "impact"),
        (Tiered, "minimum"),
        (Tiered, "maximum"),
    ],
)
def test_a_cost_that_is_no_cost_is_refused(make: Any, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} must be finite and at least 0"):
        make(**{option: value})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PerShare(rate=0.005, maximum=1), "maximum must be below 1"),
        (lambda: Tiered(tiers=()), "must begin with one above: 0 and go up"),
        (lambda: Tiered(tiers=(Tier(5, 0.1),)), "must begin with one above: 0"),
        (lambda: Tiered(tiers=(Tier(0, 0.1), Tier(0, 0.2))), "go up"),
        (lambda: Tiered(tiers=(Tier(0, -0.1),)), "tiers rate must be finite"),
        (lambda: Tiered(tiers=(Tier(0, 1.0),), unit="value"), "below 1 of value"),
        (lambda: Dated(rates=()), "at least one entry"),
        (lambda: Dated(rates=STAMP_DUTY[::-1]), "in the order of their days, got 2008-09-19 after 2023-08-28"),
        (lambda: Dated(rates=(DatedFee(dt.date(2020, 1, 1), bps_buy=20_000),)), "below 10000 bps"),
        (lambda: Together(parts=()), "at least one cost model"),
    ],
)
def test_bounds_are_checked(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
