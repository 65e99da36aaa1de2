"""Cost models where they are used: one object in the broker's fills and the optimizer's sizes."""

from typing import Any

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.half_spread import HalfSpread
from components.costs.per_share import PerShare
from components.costs.square_root import SquareRoot
from components.costs.tiered import Tier, Tiered
from components.costs.together import Together
from components.costs.volume_share import VolumeShare
from components.optimizers.direct import Direct
from engine.events import ActionKind, Approved, Fills, TimeInForce
from engine.ids import OrderIds
from engine.universe import Universe, universe_of
from tests.conformance.driving import action
from tests.make import bars, book, day, legs, target

ONE = universe_of(("A",))
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
    import msgspec

    quoted = msgspec.structs.replace(ONE, extra=("bid", "ask"))
    made = Simulated(universe=quoted, costs=HalfSpread(bps=50), name="broker", fill="next_close")
    made.on_book(book(day(0), [20.0], cash=1e9))
    for side, price in ((1.0, 20.3), (-1.0, 19.9)):
        made.on_book(book(day(1), [20.0], cash=1e9, qty=[10.0]))
        made.on_orders(legs(Approved, day(1), symbol=[0], qty=[5 * side], ids=np.array([int(9 + side)], np.uint64)))
        slice_ = bars(day(2), [20.0], extra=(np.array([19.9]), np.array([20.3])))
        assert fills_of(made.on_bars(slice_)).price.tolist() == [price]


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
