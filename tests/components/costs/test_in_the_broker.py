"""Cost models where they are used: one object in the broker's fills and the optimizer's sizes."""

import datetime as dt
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.costs.by_side import BySide
from components.costs.dated import Dated, DatedFee
from components.costs.half_spread import HalfSpread
from components.costs.per_share import PerShare
from components.costs.square_root import SquareRoot
from components.costs.tiered import Tier, Tiered
from components.costs.together import Together
from components.costs.volume_share import VolumeShare
from components.optimizers.direct import Direct
from engine.events import ActionKind, Approved, Fills, OrderKind, TimeInForce
from engine.ids import OrderIds
from engine.universe import Universe, universe_of
from tests.conformance.driving import action
from tests.make import bars, book, day, legs, target

ONE = universe_of(("A",))
DAY_2 = dt.datetime.fromtimestamp(day(2) / 1e9, dt.UTC).date()
GTC = np.array([TimeInForce.GOOD_TILL_CANCELLED], np.int32)


def broker(costs: Any, universe: Universe = ONE, **options: Any) -> Simulated:
    made = Simulated(universe=universe, costs=costs, name="broker", fill="next_open", **options)
    made.on_book(book(day(0), [20.0] * len(universe), cash=1e9))
    return made


def fills_of(events: Any) -> Fills:
    (found,) = [event for event in events if isinstance(event, Fills)]
    return found


def walked(costs: Any, qty: float, volumes: list[float], **options: Any) -> list[Fills]:
    """One order over the bars of these volumes, a tenth of each."""
    made = broker(costs, participation=0.1, **options)
    made.on_orders(legs(Approved, day(0), symbol=[0], qty=[qty], tif=GTC))
    return [fills_of(made.on_bars(bars(day(k), [20.0], volume=[v]))) for k, v in enumerate(volumes, 1)]


def test_rule_41_an_order_that_fills_over_several_bars_pays_its_minimum_once() -> None:
    found = walked(PerShare(rate=0.0075, minimum=1.0), 160, [500, 500, 5000])
    assert [fill.qty.tolist() for fill in found] == [[50], [50], [60]]
    assert [fill.fees[0, 0] for fill in found] == pytest.approx([1.0, 0.0, 0.2])


def paid_over(costs: Any, prices: list[float], qty: float = 100.0, resume: bool = False, **options: Any) -> float:
    """What one purchase costs that fills `qty` at each of these opens; resumed from its state before every bar."""

    def fresh(level: float) -> Simulated:
        made = broker(costs(), participation=0.1, **options)
        made.on_book(book(day(0), [level], cash=1e9))
        return made

    made = fresh(prices[0])
    made.on_orders(legs(Approved, day(0), symbol=[0], qty=[qty * len(prices)], tif=GTC))
    total = 0.0
    for k, price in enumerate(prices, 1):
        if resume:
            again = fresh(price)
            again.load(made.save())
            made = again
            made.on_book(book(day(k - 1), [price], cash=1e9))
        fill = fills_of(made.on_bars(bars(day(k), [price], volume=[10 * qty])))
        assert fill.qty.tolist() == [qty]
        total += float(fill.fees.sum())
    return total


def listed(*parts: Any) -> Any:
    return lambda: Together(parts=tuple(part() for part in parts))


CAPPED = partial(PerShare, rate=0.05, minimum=8.0, maximum=0.01)
SHARES, SHARE_OF_VALUE = partial(PerShare, rate=0.01, minimum=1.0), partial(Bps, commission_bps=5, min_commission=15.0)
TURNING = partial(Dated, rates=(DatedFee(dt.date(2017, 1, 1), bps_buy=10), DatedFee(DAY_2, bps_buy=50)))


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("costs", "prices", "due"),
    [
        (partial(Bps, commission_bps=5, min_commission=20.0), [10.0, 1000.0], 101_000 * 5e-4),
        (partial(BySide, buy_bps=5, sell_bps=5, minimum=20.0), [10.0, 1000.0], 101_000 * 5e-4),
        (CAPPED, [1000.0, 1.0, 1.0], 300 * 0.05),
        (listed(SHARES, SHARE_OF_VALUE), [50.0, 100.0, 200.0], 300 * 0.01 + 35_000 * 5e-4),
        (listed(SHARE_OF_VALUE, SHARES), [50.0, 100.0, 200.0], 300 * 0.01 + 35_000 * 5e-4),
        (listed(CAPPED, TURNING), [100.0, 100.0], 10.0 + 100 * 100 * 1e-3 + 100 * 100 * 5e-3),
        (listed(listed(SHARES, SHARE_OF_VALUE), TURNING), [50.0, 50.0], 2.0 + 15.0 + 5.0 + 25.0),
    ],
)
def test_rule_41_an_order_over_fills_at_other_prices_costs_what_its_parts_add_up_to(
    costs: Any, prices: list[float], due: float, resume: bool
) -> None:
    assert paid_over(costs, prices, resume=resume) == pytest.approx(due, rel=1e-12)


def test_rule_41_below_the_minimum_the_tiers_and_the_impact_of_earlier_fills_count() -> None:
    tiers = (Tier(0, 0.02), Tier(100, 0.01))
    assert paid_over(partial(Tiered, tiers=tiers, minimum=2.5, maximum=None), [20.0, 20.0, 20.0]) == pytest.approx(4.0)
    by_side = partial(BySide, buy_bps=10, minimum=20.0, impact=0.1)  # a tenth of the volume: 10 bps more
    assert paid_over(by_side, [10.0, 1000.0]) == pytest.approx(101_000 * 2e-3)


def test_a_multiplier_is_in_the_value_of_earlier_fills() -> None:
    future = msgspec.structs.replace(ONE, multiplier=np.array([50.0]))
    bps = partial(Bps, commission_bps=50, min_commission=20.0, universe=future)
    assert paid_over(bps, [1.0, 100.0], 2.0, universe=future) == pytest.approx(2 * 50 * 101 * 5e-3)
    capped = partial(PerShare, rate=3.0, minimum=1.0, maximum=0.01, universe=future)
    assert paid_over(capped, [1.0, 100.0], 2.0, universe=future) == pytest.approx(12.0)


def test_two_orders_of_a_slice_go_through_the_tiers_one_after_the_other() -> None:
    made = broker(Tiered(tiers=(Tier(0, 0.01), Tier(1000, 0.005)), minimum=0.0, maximum=None))
    ids = np.array([1, 2], np.uint64)
    made.on_orders(legs(Approved, day(0), symbol=[0, 0], qty=[1000.0, 1000.0], ids=ids))
    fill = fills_of(made.on_bars(bars(day(1), [20.0], volume=[1e6])))
    assert fill.fees[:, 0].tolist() == pytest.approx([10.0, 5.0])


def test_volume_share_sees_the_volume_of_the_bar_that_fills() -> None:
    found = walked(VolumeShare(impact=0.1, limit=0.2), 160, [500, 500, 5000])
    assert [fill.price[0] for fill in found] == pytest.approx([20 * 1.001, 20 * 1.001, 20 * (1 + 0.1 * 0.012**2)])


def test_tiers_learn_from_fills_and_from_fills_alone() -> None:
    costs = Tiered(tiers=(Tier(0, 0.02), Tier(100, 0.01)), minimum=0.0, maximum=None)
    found = walked(costs, 300, [1000, 1000, 1000])
    assert [fill.fees[0, 0] for fill in found] == pytest.approx([2.0, 1.0, 1.0])


def test_the_state_of_costs_goes_with_the_brokers() -> None:
    def tiers() -> Together:
        return Together(parts=(Tiered(tiers=(Tier(0, 0.02), Tier(100, 0.01)), minimum=0.0, maximum=None),))

    straight = broker(tiers(), participation=0.1)
    straight.on_orders(legs(Approved, day(0), symbol=[0], qty=[300.0], tif=GTC))
    straight.on_bars(bars(day(1), [20.0], volume=[1000.0]))
    resumed = broker(tiers(), participation=0.1)
    resumed.load(straight.save())
    resumed.on_book(book(day(0), [20.0], cash=1e9))
    after = bars(day(2), [20.0], volume=[1000.0])
    left, right = fills_of(straight.on_bars(after)), fills_of(resumed.on_bars(after))
    assert left.fees.tolist() == right.fees.tolist() == [[1.0, 0.0, 0.0]]


def test_impact_is_estimated_from_the_bars_before_the_one_that_fills() -> None:
    costs = SquareRoot(universe=ONE, window=2, fallback_bps=10)
    made = broker(costs)
    for k, close in ((1, 20.0), (2, 20.2), (3, 20.0)):
        made.on_bars(bars(day(k), [close], volume=[1e4]))
    before = costs.price(np.array([100.0]), np.array([20.0]), made_at())
    made.on_orders(legs(Approved, day(3), symbol=[0], qty=[100.0]))
    (fill,) = [fills_of(made.on_bars(bars(day(4), [30.0], open=[20.0], volume=[1e6])))]
    assert fill.price.tolist() == before.tolist()


def made_at() -> Any:
    from engine.protocols import Conditions

    return Conditions(ts=day(3), symbol=np.zeros(1, np.int32))


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_a_split_reaches_the_estimates_after_the_bar_before_it(fill: str) -> None:
    prices = []
    for ratio in (1.0, 2.0):
        costs = SquareRoot(universe=ONE, window=2)
        made = Simulated(universe=ONE, costs=costs, name="broker", fill=fill)
        for k, close in ((1, 20.0), (2, 20.2)):
            made.on_bars(bars(day(k), [close], volume=[1e4]))
        if ratio != 1:
            made.on_actions(action(2, ActionKind.SPLIT, 0, ratio=ratio))
        for k in (3, 4):
            made.on_bars(bars(day(k), [20.0 / ratio], volume=[1e4 * ratio]))
        made.on_orders(legs(Approved, day(4), symbol=[0], qty=[1.0]))
        prices.append(costs.price(np.array([100.0 * ratio]), np.array([20.0]), made_at())[0])
    assert prices[0] > 20.0
    assert prices[1] == pytest.approx(prices[0], rel=1e-12)


def test_quotes_of_the_feed_are_what_an_order_fills_at() -> None:
    quoted = msgspec.structs.replace(ONE, extra=("bid", "ask"))
    made = Simulated(universe=quoted, costs=HalfSpread(bps=50), name="broker", fill="next_close")
    made.on_book(book(day(0), [20.0], cash=1e9))
    for side, price in ((1.0, 20.3), (-1.0, 19.9)):
        made.on_book(book(day(1), [20.0], cash=1e9, qty=[10.0]))
        made.on_orders(legs(Approved, day(1), symbol=[0], qty=[5 * side], ids=np.array([int(9 + side)], np.uint64)))
        slice_ = bars(day(2), [20.0], extra=(np.array([19.9]), np.array([20.3])))
        assert fills_of(made.on_bars(slice_)).price.tolist() == [price]


def test_quotes_at_the_open_are_what_an_order_at_the_open_fills_at() -> None:
    """And not those at the close, which an order at the open cannot know; at the close it is the other way round."""
    quoted = msgspec.structs.replace(ONE, extra=("ask", "bid_open", "ask_open", "bid"))
    columns = tuple(np.array([price]) for price in (30.3, 19.9, 20.3, 29.9))
    for fill, buy, sale in (("next_open", 20.3, 19.9), ("next_close", 30.3, 29.9)):
        for side, price in ((1.0, buy), (-1.0, sale)):
            made = Simulated(universe=quoted, costs=HalfSpread(bps=50), name="broker", fill=fill)
            made.on_book(book(day(1), [20.0], cash=1e9, qty=[10.0]))
            made.on_orders(legs(Approved, day(1), symbol=[0], qty=[5 * side]))
            slice_ = bars(day(2), [30.0], open=[20.0], extra=columns)
            assert fills_of(made.on_bars(slice_)).price.tolist() == [price]


def test_a_quote_at_the_open_is_not_met_inside_the_bar() -> None:
    quoted = msgspec.structs.replace(ONE, extra=("bid_open", "ask_open"))
    made = Simulated(universe=quoted, costs=HalfSpread(), name="broker", fill="next_open")
    made.on_book(book(day(1), [20.0], cash=1e9))
    kind = np.array([OrderKind.LIMIT], np.int32)
    made.on_orders(legs(Approved, day(1), symbol=[0], qty=[5.0], kind=kind, limit=np.array([19.0])))
    slice_ = bars(day(2), [20.0], open=[20.0], low=[18.0], extra=(np.array([17.0]), np.array([17.5])))
    assert fills_of(made.on_bars(slice_)).price.tolist() == [19.0]


def test_rule_41_what_sizes_the_orders_prices_the_fills() -> None:
    """A purchase of everything that is sized with impact, a minimum and volume does not overdraw."""
    costs = Together(parts=(VolumeShare(impact=0.5, limit=1.0), PerShare(rate=0.01, minimum=2.0)))
    direct = Direct(universe=ONE, ids=OrderIds("s", "o"), costs=costs, name="opt", reserve_bps=0.0)
    direct.on_bars(bars(day(0), [20.0], volume=[1000.0]))
    (orders, *_) = [
        event
        for event in direct.on_targets((target(day(0), [1.0]),), book(day(0), [20.0], cash=10_000.0))
        if hasattr(event, "qty")
    ]
    made = broker(costs)
    made.on_book(book(day(0), [20.0], cash=10_000.0))
    made.on_orders(legs(Approved, day(0), symbol=[0], qty=orders.qty.tolist()))
    fill = fills_of(made.on_bars(bars(day(1), [20.0], volume=[1000.0])))
    assert fill.qty.tolist() == orders.qty.tolist()
    spent = float(fill.qty[0] * fill.price[0] + fill.fees.sum())
    assert 0.97 * 10_000 < spent <= 10_000
