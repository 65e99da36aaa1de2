"""From wanted shares to orders that can be paid for."""

import warnings
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.optimizers.latest import Latest
from components.optimizers.paying import Sizing, Trades, afford, expected_cost
from components.optimizers.sizing import alpha_of, contradicted, orders_for, round_trades, wanted_shares
from engine.events import LegAction, Note, OpenOrders, OrderKind, Orders, TargetKind
from engine.ids import OrderIds
from engine.universe import Universe, universe_of
from tests.make import book, day, target

NAN = np.nan
FRESH = Latest(np.zeros(6, np.int32))


def sizing(universe: Universe | None = None, *, costs: Bps | None = None, **options: float) -> Sizing:
    given_ = {"reserve_bps": 0.0, "min_order_value": 0.0, "band": 0.0} | options
    where = universe_of(("A", "B", "C")) if universe is None else universe
    return Sizing(where, OrderIds("s", "o"), costs or Bps(), "opt", **given_)


def split(answer: tuple[Note | Orders, ...]) -> tuple[list[Note], list[Orders]]:
    return [e for e in answer if isinstance(e, Note)], [e for e in answer if isinstance(e, Orders)]


def sent(answer: tuple[Note | Orders, ...]) -> dict[int, float]:
    """Symbol -> shares of the new legs, in the order of the legs."""
    _, orders = split(answer)
    if not orders:
        return {}
    (o,) = orders
    new = o.action == LegAction.NEW
    return dict(zip(o.symbol[new].tolist(), o.qty[new].tolist(), strict=True))


@pytest.mark.parametrize(
    ("wanted", "position", "lot", "trade"),
    [
        (159, 0, 100, 100),  # toward zero when a position opens
        (259, 100, 100, 100),  # ... or grows
        (-159, 0, 100, -100),
        (-259, -100, 100, -100),
        (40, 150, 100, -100),  # toward zero when it shrinks
        (0, 150, 100, -150),  # exact when it closes
        (0, 0.37, 1, -0.37),
        (-70, 30, 50, -80),  # turning over: closed exactly, opened in lots
        (-30, 30, 50, -30),  # too small to open: closed
        (30, 30, 50, 0),
        (99.9999999999, 0, 100, 100),  # a division's last bit is no lot
    ],
)
def test_rule_35_lots_round_toward_zero_and_close_exactly(
    wanted: float, position: float, lot: float, trade: float
) -> None:
    """Rule 35: rounding."""
    assert round_trades(np.array([wanted]), np.array([position]), np.array([lot])).tolist() == [trade]


@given(
    wanted=st.floats(-1e6, 1e6),
    position=st.integers(-10_000, 10_000),
    lot=st.sampled_from([1.0, 10.0, 100.0]),
)
def test_rule_35_rounding_never_changes_a_sign_nor_passes_what_is_wanted(
    wanted: float, position: int, lot: float
) -> None:
    trade = float(round_trades(np.array([wanted]), np.array([float(position)]), np.array([lot]))[0])
    after = position + trade
    assert after * wanted >= 0 or after * position > 0
    assert min(position, wanted) - 1e-6 <= after <= max(position, wanted) + 1e-6
    assert abs(after - wanted) < lot or wanted * position > 0


def test_several_targets_of_all_kinds_are_added() -> None:
    where = book(day(0), [10.0, 20.0, NAN], cash=1000.0)
    many = (
        target(day(0), [0.1, 0.2, 0.0]),
        target(day(0), [1, 2, 5], kind=TargetKind.QUANTITY),
        target(day(0), [-100, NAN, 0], kind=TargetKind.VALUE),
    )
    total = wanted_shares(many, where, universe_of(("A", "B", "C")))
    assert np.array_equal(total, [10 + 1 - 10, NAN, 5], equal_nan=True)
    no_mark = wanted_shares((target(day(0), [0, 0, 0.3]),), where, universe_of(("A", "B", "C")))
    assert np.array_equal(no_mark, [0, 0, NAN], equal_nan=True)
    with pytest.raises(ValueError, match="it was given no target"):
        wanted_shares((), where, universe_of(("A",)))


def test_weights_use_multiplier_and_rate() -> None:
    universe = msgspec.structs.replace(
        universe_of(("A", "B")), currencies=("USD", "EUR"), currency=np.array([0, 1]), multiplier=np.array([1.0, 5.0])
    )
    where = book(day(0), [10.0, 10.0], rate=np.array([1.0, 2.0]), equity=1000.0)
    assert wanted_shares((target(day(0), [0.5, 0.5]),), where, universe).tolist() == [50.0, 5.0]


def test_the_highest_alpha_of_several_targets_counts() -> None:
    two = (target(day(0), [0, 0], alpha=[1, NAN]), target(day(0), [0, 0], alpha=[2, NAN]))
    assert np.array_equal(alpha_of(two), [2, NAN], equal_nan=True)


def test_cash_and_costs_of_a_worked_example() -> None:
    """100 bought at 50 and 100 sold at 20: 5 bp slippage, 10 bp commission of at least 8, reserve of 1 %."""
    costs = Bps(commission_bps=10, slippage_bps=5, min_commission=8.0)
    trades = Trades(
        np.array([0, 1]), np.array([100.0, -100.0]), np.zeros(2), np.array([50.0, 20.0]), np.array([50.0, 20.0])
    )
    value, fees = expected_cost(sizing(costs=costs, reserve_bps=100), trades)
    np.testing.assert_allclose(value, [100 * 50 * 1.0005 * 1.01, -100 * 20 * 0.9995 * 0.99])
    np.testing.assert_allclose(fees, [8.0, 8.0])


def test_rule_36_sales_come_before_purchases() -> None:
    """Rule 36: sequencing."""
    where = book(day(0), [10.0, 10.0, 10.0], cash=0.0, qty=[0, 100, 0])
    answer = sent(orders_for(sizing(), np.array([50.0, 0.0, 50.0]), np.full(3, NAN), where, FRESH))
    assert list(answer.items()) == [(1, -100.0), (0, 50.0), (2, 50.0)]


def test_rule_36_purchases_are_cut_in_the_order_of_alpha() -> None:
    """Rule 36: one tested rule for which buys are cut."""
    where = book(day(0), [10.0, 10.0, 10.0], cash=1250.0)
    wanted = np.full(3, 100.0)
    answer = orders_for(sizing(), wanted, np.array([0.1, 0.3, NAN]), where, FRESH)
    assert sent(answer) == {0: 25.0, 1: 100.0}
    (note,), _ = split(answer)
    assert (note.kind, note.symbol.tolist(), note.value.tolist()) == ("cut", [0, 2], [75.0, 100.0])
    tied = orders_for(sizing(), wanted, np.full(3, NAN), where, FRESH)
    assert sent(tied) == {0: 100.0, 1: 25.0}


def test_covering_a_short_comes_before_any_other_purchase() -> None:
    where = book(day(0), [10.0, 10.0, 10.0], cash=1000.0, qty=[0, 0, -80])
    answer = sent(orders_for(sizing(), np.array([100.0, 0.0, 0.0]), np.array([1.0, 0, 0]), where, FRESH))
    assert answer == {0: 20.0, 2: 80.0}


def test_what_is_cut_is_cut_to_whole_lots_with_its_fees() -> None:
    universe = universe_of(("A",), lot=10.0)
    costs = Bps(commission_bps=100, min_commission=30.0)
    where = book(day(0), [10.0], cash=1029.0)
    assert sent(orders_for(sizing(universe, costs=costs), np.array([200.0]), np.zeros(1), where, FRESH)) == {0: 90.0}
    enough = book(day(0), [10.0], cash=1030.0)
    assert sent(orders_for(sizing(universe, costs=costs), np.array([200.0]), np.zeros(1), enough, FRESH)) == {0: 100.0}
    nothing = book(day(0), [10.0], cash=-5.0)
    answer = orders_for(sizing(universe), np.array([200.0]), np.zeros(1), nothing, FRESH)
    assert [type(e) for e in answer] == [Note]


def test_multiplier_and_rate_enter_cash_and_fees() -> None:
    """One contract of A: 10 * 5 EUR * 2 USD = 100 USD, its commission of 1 % 1 USD, the least being 0.1 EUR."""
    universe = msgspec.structs.replace(
        universe_of(("A", "B")),
        currencies=("USD", "EUR"),
        currency=np.array([1, 0], np.int32),
        multiplier=np.array([5.0, 1.0]),
    )
    costs = Bps(commission_bps=100, min_commission=0.1)
    where = book(day(0), [10.0, 10.0], rate=np.array([1.0, 2.0]))
    for cash, qty in (([303.0, 0.0], 3.0), ([302.9, 0.0], 2.0), ([3.0, 150.0], 3.0)):
        wallet = msgspec.structs.replace(where, cash=np.array(cash))
        answer = sent(orders_for(sizing(universe, costs=costs), np.array([4.0, 0.0]), np.zeros(2), wallet, FRESH))
        assert answer == {0: qty}


def test_fractions_of_a_lot_are_no_trade() -> None:
    where = book(day(0), [10.0, 10.0, 10.0], qty=[7, 0, 0])
    (note,) = orders_for(sizing(), np.array([7.5, 0.9, 0.0]), np.zeros(3), where, FRESH)
    assert isinstance(note, Note)
    assert (note.kind, note.symbol.tolist(), note.value.tolist()) == ("lot", [1], [0.9])
    assert orders_for(sizing(), np.array([7.5, 1e-12, 0.0]), np.zeros(3), where, FRESH) == ()


def test_an_infinite_target_is_left_alone_and_told() -> None:
    where = book(day(0), [10.0, 10.0, 10.0], qty=[7, -3, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = orders_for(sizing(), np.array([np.inf, -np.inf, 2.0]), np.zeros(3), where, FRESH)
    (note,), _ = split(answer)
    assert (note.kind, note.symbol.tolist(), note.value.tolist()) == ("infinite", [0, 1], [np.inf, -np.inf])
    assert sent(answer) == {2: 2}


def test_only_sales_need_no_cash() -> None:
    where = book(day(0), [10.0, 10.0, 10.0], cash=-500.0, qty=[7, 0, 0])
    assert sent(orders_for(sizing(), np.zeros(3), np.zeros(3), where, FRESH)) == {0: -7.0}


def test_rule_40_working_purchases_keep_their_cash() -> None:
    """Rule 40: an order counts as possibly filled until it is over."""
    where = book(day(0), [10.0, 10.0, 10.0], cash=1000.0, working=np.array([60.0, 0, 0]))
    answer = sent(orders_for(sizing(), np.array([60.0, 100.0, 0]), np.zeros(3), where, FRESH))
    assert answer == {1: 40.0}


def test_rule_34_targets_are_netted_against_filled_and_working_shares() -> None:
    """Rule 34: targets are idempotent."""
    where = book(day(0), [10.0, 10.0, 10.0], qty=[30, 0, 0], working=np.array([20.0, 0, 0]))
    assert orders_for(sizing(), np.array([50.0, 0, 0]), np.zeros(3), where, FRESH) == ()


def test_rule_30_names_without_a_fresh_bar_or_a_mark_get_no_order() -> None:
    """Rule 30: stale price."""
    where = book(day(0), [10.0, 10.0, NAN], qty=[0, 40, 0])
    status = Latest(np.array([1, 2, 0], np.int32))
    answer = orders_for(sizing(), np.array([5.0, 0.0, 5.0]), np.zeros(3), where, status)
    (note,), orders = split(answer)
    assert not orders
    assert (note.kind, note.symbol.tolist(), note.value.tolist()) == ("untradable", [0, 1, 2], [5.0, -40.0, 5.0])
    assert note.text.startswith("3 wanted trades")


def test_rule_17_nan_leaves_a_position_alone() -> None:
    """Rule 17: NaN never becomes 0 by accident."""
    where = book(day(0), [10.0, 10.0, 10.0], qty=[7, 0, 0])
    assert orders_for(sizing(), np.array([NAN, NAN, 0.0]), np.zeros(3), where, FRESH) == ()


def test_rule_35_small_trades_are_dropped_after_rounding_unless_they_close() -> None:
    where = book(day(0), [10.0, 10.0, 10.0], cash=10_000.0, qty=[20, 3, 0])
    answer = orders_for(sizing(min_order_value=50.0), np.array([24.9, 0.0, 5.9]), np.zeros(3), where, FRESH)
    assert sent(answer) == {1: -3.0, 2: 5.0}
    (note,), _ = split(answer)
    assert (note.kind, note.symbol.tolist(), note.value.tolist()) == ("small", [0], [4.0])
    banded = orders_for(sizing(band=0.01), np.array([30.0, 3.0, 11.0]), np.zeros(3), where, FRESH)
    assert sent(banded) == {2: 11.0}


def open_orders(*rows: tuple[int, int, float, OrderKind]) -> OpenOrders:
    ids, symbol, left, kind = zip(*rows, strict=True)
    none = np.full(len(rows), NAN)
    return OpenOrders(
        ids=np.array(ids, np.uint64),
        parent=np.zeros(len(rows), np.uint64),
        symbol=np.array(symbol, np.int32),
        left=np.array(left),
        kind=np.array(kind, np.int32),
        limit=none,
        stop=none,
    )


def test_rule_40_an_order_that_contradicts_the_target_is_cancelled_and_nothing_new_is_sent_for_it() -> None:
    """Rule 40: cancel and replace races."""
    waiting = open_orders((7, 0, 50.0, OrderKind.LIMIT), (8, 1, 20.0, OrderKind.MARKET))
    where = book(day(0), [10.0] * 3, qty=[10, 0, 0], working=np.array([50.0, 20.0, 0]), open_orders=waiting)
    _, (orders,) = split(orders_for(sizing(), np.array([5.0, 30.0, 4.0]), np.zeros(3), where, FRESH))
    assert orders.action.tolist() == [LegAction.CANCEL, LegAction.NEW, LegAction.NEW]
    assert orders.ref.tolist() == [7, 0, 0]
    assert orders.symbol.tolist() == [0, 1, 2]
    assert orders.qty.tolist() == [0, 10, 4]
    assert len(set(orders.ids.tolist())) == 3


def test_stops_are_cancelled_with_the_position_they_guard() -> None:
    waiting = open_orders((7, 0, -50.0, OrderKind.STOP), (8, 1, -50.0, OrderKind.TRAILING_STOP))
    rows = contradicted(waiting, np.array([0.0, 60.0]), np.array([50.0, 50.0]))
    assert rows.tolist() == [0]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Sizing, np.ndarray, np.ndarray, object, np.ndarray]:
    n = draw(st.integers(1, 6))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    costs = Bps(
        commission_bps=draw(st.sampled_from([0.0, 5.0, 50.0])),
        slippage_bps=draw(st.sampled_from([0.0, 10.0])),
        min_commission=draw(st.sampled_from([0.0, 5.0])),
        tax_bps_sell=draw(st.sampled_from([0.0, 10.0])),
    )
    universe = universe_of(tuple(f"S{i}" for i in range(n)), lot=draw(st.sampled_from([1.0, 10.0])))
    what = sizing(universe, costs=costs, reserve_bps=draw(st.sampled_from([0.0, 100.0, 500.0])))
    mark = rng.uniform(1, 200, n)
    qty = np.round(rng.uniform(0, 300, n)) * (rng.random(n) < 0.5)
    where = book(day(0), mark, cash=float(rng.uniform(100, 50_000)), qty=qty)
    wanted = rng.uniform(0, 600, n) * (rng.random(n) < 0.7)
    return what, wanted, rng.normal(size=n), where, rng.uniform(-1, 1, n)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_rule_37_cash_is_never_negative_with_a_gap_within_the_reserve(case: tuple) -> None:  # type: ignore[type-arg]
    """Rule 37: sizing price."""
    what, wanted, alpha, where, gap = case
    n = len(wanted)
    _, orders = split(orders_for(what, wanted, alpha, where, Latest(np.zeros(n, np.int32))))
    if not orders:
        return
    symbol, qty = orders[0].symbol, orders[0].qty
    reference = where.mark[symbol] * (1 + gap[symbol] * what.reserve_bps * 1e-4)
    price = what.costs.price(qty, reference)
    cash = where.cash[0] - float((qty * price).sum() + what.costs.fees(qty, price).sum())
    sold_short_of_fees = min(cash, 0.0) < -1e-6 and (qty > 0).any()
    assert not sold_short_of_fees
    after = where.qty.copy()
    after[symbol] += qty
    lot = what.universe.lot
    assert (after >= 0).all()
    assert (np.abs((after - where.qty) / lot % 1) < 1e-9)[(after != 0)].all()
    assert (after <= np.maximum(wanted, where.qty) + 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(cases())
def test_prices_and_cash_in_another_unit_change_nothing(case: tuple) -> None:  # type: ignore[type-arg]
    what, wanted, alpha, where, _ = case
    free = sizing(what.universe, reserve_bps=what.reserve_bps)
    n = len(wanted)
    scaled = book(day(0), where.mark * 4.0, cash=float(where.cash[0]) * 4.0, qty=where.qty)
    status = Latest(np.zeros(n, np.int32))
    assert sent(orders_for(free, wanted, alpha, where, status)) == sent(orders_for(free, wanted, alpha, scaled, status))


def test_without_proceeds_purchases_are_paid_with_what_is_at_hand_alone() -> None:
    two, latest = universe_of(("A", "B")), Latest(np.zeros(2, np.int32))
    where, wanted = book(day(0), [10.0, 10.0], cash=200.0, qty=[100.0, 0.0]), np.array([0.0, 100.0])
    for proceeds, bought in ((True, 100.0), (False, 20.0)):
        answer = orders_for(sizing(two, proceeds=proceeds), wanted, np.zeros(2), where, latest)
        assert sent(answer) == {0: -100.0, 1: bought}


def test_afford_leaves_trades_alone_when_money_suffices() -> None:
    trades = Trades(np.array([0]), np.array([10.0]), np.zeros(1), np.array([5.0]), np.array([5.0]))
    assert afford(sizing(), trades, np.zeros(1), 50.0) is trades.qty


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"reserve_bps": -1.0}, "reserve_bps must be between 0 and 5000, got -1"),
        ({"min_order_value": NAN}, "min_order_value must be between 0 and inf, got nan"),
        ({"band": 1.5}, "band must be between 0 and 1, got 1.5"),
    ],
)
def test_bounds_are_checked(option: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sizing(**option)


# ---- on margin -------------------------------------------------------------------------------------------------------


def margin_orders(wanted: list[float], leverage: float = 2.0, **state: Any) -> dict[int, float]:
    alpha = np.array([3.0, 2.0, 1.0])[: len(wanted)]
    columns = {name: np.array(value) for name, value in state.items()}
    where = book(day(0), [10.0] * len(wanted), **{"cash": 1000.0} | columns)
    universe = universe_of(("A", "B", "C")[: len(wanted)])
    answer = orders_for(sizing(universe, leverage=leverage), np.array(wanted), alpha, where, FRESH_OF[len(wanted)])
    return sent(answer)


FRESH_OF = {n: Latest(np.zeros(n, np.int32)) for n in (1, 2, 3)}


def test_purchases_on_margin_are_cut_to_leverage_times_equity_less_the_positions() -> None:
    assert margin_orders([100, 80]) == {0: 100, 1: 80}
    assert margin_orders([100, 180]) == {0: 100, 1: 100}
    assert margin_orders([100, 180], leverage=1.0) == {0: 100}
    # 150 shares on borrowed money: power 2 * 1000 - 1500.
    assert margin_orders([150, 80], qty=[150.0, 0.0], cash=-500.0) == {1: 50}
    # Beyond what the leverage allows nothing is bought, but what is sold is.
    assert margin_orders([250, 80], qty=[250.0, 0.0], cash=-1500.0) == {}
    assert margin_orders([150, 80], qty=[250.0, 0.0], cash=-1500.0) == {0: -100, 1: 50}


def test_what_works_on_margin_takes_buying_power_on_both_sides() -> None:
    assert margin_orders([100, 180], qty=[0.0, 0.0], working=[100.0, 0.0]) == {1: 100}
    assert margin_orders([-100, 180], qty=[0.0, 0.0], working=[-100.0, 0.0]) == {1: 100}
    assert margin_orders([0, 180], qty=[100.0, 0.0], cash=0.0, working=[-100.0, 0.0]) == {1: 100}


def test_shorts_take_buying_power_and_covering_them_gives_it() -> None:
    assert margin_orders([-50, 180]) == {0: -50, 1: 150}  # no proceeds of a short are spent twice
    assert margin_orders([0, 200], qty=[-100.0, 0.0], cash=2000.0) == {0: 100, 1: 200}
    assert margin_orders([50], qty=[-100.0], cash=1500.0, leverage=1.0) == {0: 150}  # worth 500, buys 50
    assert margin_orders([80], qty=[-100.0], cash=1500.0, leverage=1.0) == {0: 150}
    assert margin_orders([80], qty=[-100.0], cash=500.0, leverage=1.0) == {0: 100}  # ruined: still closed whole


def test_a_leverage_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"leverage must be finite and at least 1 \(times equity\), got 0.5"):
        sizing(leverage=0.5)


@settings(max_examples=60)
@given(
    qty=st.lists(st.integers(-200, 200), min_size=3, max_size=3),
    wanted=st.lists(st.integers(-200, 200), min_size=3, max_size=3),
    leverage=st.sampled_from([1.0, 1.5, 4.0]),
)
def test_purchases_on_margin_never_take_the_account_beyond_its_leverage(
    qty: list[int], wanted: list[int], leverage: float
) -> None:
    price = np.array([10.0, 20.0, 5.0])
    where = book(day(0), price, qty=np.array(qty, float), cash=3000.0)
    answer = orders_for(sizing(leverage=leverage), np.array(wanted, float), np.zeros(3), where, FRESH_OF[3])
    after = np.array(qty, float)
    for symbol, shares in sent(answer).items():
        after[symbol] += shares
    equity = 3000.0 + float(price @ np.array(qty))
    grown = [s for s, shares in sent(answer).items() if shares > 0 and after[s] > 0]
    if grown:
        assert float(price @ np.abs(after)) <= leverage * equity + 1e-6
    assert ((after >= np.minimum(qty, wanted)) & (after <= np.maximum(qty, wanted))).all()
