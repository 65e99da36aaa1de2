"""Targets with prices through optimizer, gate, simulated broker and ledger together."""

import asyncio
from typing import Any

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.gates.limits import Limits
from components.optimizers.direct import Direct
from engine.barrier import Named
from engine.events import DAY_NS, Bars, Book, Event, Fills, LegAction, Orders, Refusals, Signal, Target, TargetKind
from engine.ids import OrderIds
from engine.session import Replay, Session
from engine.universe import universe_of
from engine.wiring import ModelPart, Parts, Wiring
from tests.make import bars, day

NAN = np.nan
UNIVERSE = universe_of(("A",), tick=0.01)


class Silent:
    """A model without an opinion."""

    lookback = 0

    def on_bars(self, slice_: Bars, /) -> Signal:
        return Signal(ts=slice_.ts, asof=slice_.ts, source="silent", value=np.full(1, NAN), horizon_ns=DAY_NS)


class Script:
    """A strategy that reads its wishes from a list: (shares, limit, stop) a slice."""

    interval_ns = 0

    def __init__(self, wishes: list[tuple[float, float, float]]) -> None:
        self._wishes = iter(wishes)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        shares, limit, stop = (np.array([value]) for value in next(self._wishes))
        none = np.full(1, NAN)
        return Target(
            ts=book.ts, source="s", kind=TargetKind.QUANTITY, value=shares, alpha=none, limit=limit, stop=stop
        )


def session(wishes: list[tuple[float, float, float]], slices: list[Bars], **options: Any) -> list[Event]:
    ids = {name: OrderIds("s", name) for name in ("optimizer", "gate")}
    costs = Bps()
    direct = Direct(universe=UNIVERSE, ids=ids["optimizer"], costs=costs, name="optimizer", **options)
    broker = Simulated(universe=UNIVERSE, costs=costs, name="broker", fill="next_open")
    wiring = Wiring(
        Parts(
            universe=UNIVERSE,
            interval_ns=DAY_NS,
            cash=1e5,
            broker=Named("broker", broker),
            models=(ModelPart(name="silent", model=Silent()),),
            strategies=(Named("s", Script(wishes)),),
            optimizer=Named("optimizer", direct),
            gate=Named("gate", Limits(universe=UNIVERSE, ids=ids["gate"], name="gate")),
        )
    )
    seen: list[Event] = []
    told = Session(wiring, recorders=(_Recorder(seen),))
    asyncio.run(told.run(Replay(lambda: iter(slices))))
    assert not [event for event in seen if isinstance(event, Refusals)]
    return seen


class _Recorder:
    def __init__(self, seen: list[Event]) -> None:
        self._seen = seen

    def append(self, origins: Any, events: Any, /) -> None:
        self._seen += events


def walk(*lows: float) -> list[Bars]:
    """Daily bars at 20 whose lows (or, above 20, highs) are these."""
    return [
        bars(day(k), [20.0], open=[20.0], low=[min(low, 20.0)], high=[max(low, 20.0)], volume=[1e6])
        for k, low in enumerate(lows)
    ]


def legs_of(events: list[Event]) -> list[tuple[int, int, float]]:
    """(slice, action, quantity) of each leg that the optimizer sent."""
    return [
        (round((orders.ts - day(0)) / DAY_NS), action, qty)
        for orders in events
        if isinstance(orders, Orders)
        for action, qty in zip(orders.action.tolist(), orders.qty.tolist(), strict=True)
    ]


def fills_of(events: list[Event]) -> list[tuple[int, float, float]]:
    return [
        (round((fills.ts - day(0)) / DAY_NS), qty, price)
        for fills in events
        if isinstance(fills, Fills)
        for qty, price in zip(fills.qty.tolist(), fills.price.tolist(), strict=True)
    ]


NEW, CANCEL, REPLACE = LegAction.NEW, LegAction.CANCEL, LegAction.REPLACE


def test_rule_34_a_limit_that_is_wanted_for_days_is_one_order() -> None:
    events = session([(100, 19.0, NAN)] * 5, walk(19.5, 19.5, 19.5, 18.5, 19.5), time_in_force="gtc")
    assert legs_of(events) == [(0, NEW, 100)]
    assert fills_of(events) == [(3, 100, 19.0)]


def test_a_day_order_is_sent_anew_each_day() -> None:
    events = session([(100, 19.0, NAN)] * 4, walk(19.5, 19.5, 19.5, 18.5))
    assert legs_of(events) == [(0, NEW, 100), (1, NEW, 100), (2, NEW, 100)]
    assert fills_of(events) == [(3, 100, 19.0)]


def test_a_price_that_moves_replaces_the_order_and_the_book_shows_it() -> None:
    wishes = [(100, 19.0, NAN), (100, 19.25, NAN), (150, 19.25, NAN), (150, 19.25, NAN)]
    events = session(wishes, walk(19.5, 19.5, 19.5, 19.2), time_in_force="gtc")
    sent = legs_of(events)
    assert [leg[:2] for leg in sent] == [(0, NEW), (1, REPLACE), (2, REPLACE)]
    assert (np.isnan(sent[1][2]), sent[2][2]) == (True, 150)
    assert fills_of(events) == [(3, 150, 19.25)]
    shown = [event.open_orders for event in events if isinstance(event, Book)]
    assert [rows.limit.tolist() for rows in shown] == [[], [19.0], [19.25], []]


def test_rule_40_a_limit_that_turns_into_a_market_order_is_cancelled_first() -> None:
    events = session([(100, 19.0, NAN)] + [(100, NAN, NAN)] * 3, walk(19.5, 19.5, 19.5, 19.5), time_in_force="gtc")
    assert legs_of(events) == [(0, NEW, 100), (1, CANCEL, 0), (2, NEW, 100)]
    assert fills_of(events) == [(3, 100, 20.0)]


def test_rule_34_a_stop_waits_as_one_order_and_triggers_as_one() -> None:
    events = session([(100, NAN, 21.0)] * 6, walk(20, 20.5, 20.5, 21.5, 20.5, 21.5), time_in_force="gtc")
    assert legs_of(events) == [(0, NEW, 100)]
    assert fills_of(events) == [(3, 100, 21.0)]


def test_a_stop_limit_waits_for_its_trigger_and_then_at_its_limit() -> None:
    events = session([(100, 20.5, 21.0)] * 6, walk(20, 20.5, 21.5, 20.5, 20.5, 20.5), time_in_force="gtc")
    assert legs_of(events) == [(0, NEW, 100)]
    assert sum(qty for _, qty, _ in fills_of(events)) == 100
    assert all(price <= 20.5 for _, _, price in fills_of(events))


def test_a_stop_that_guards_a_position_goes_with_the_wish_for_it() -> None:
    wishes = [(100, NAN, NAN), (100, NAN, NAN), (0, NAN, 19.0), (0, NAN, 19.0), (100, NAN, NAN), (100, NAN, NAN)]
    events = session(wishes, walk(20, 20, 20, 19.5, 19.5, 18.5), time_in_force="gtc")
    assert legs_of(events) == [(0, NEW, 100), (2, NEW, -100), (4, CANCEL, 0)]
    assert fills_of(events) == [(1, 100, 20.0)]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_wished_no_more_than_that_is_ever_held_or_working(seed: int) -> None:
    """Filled, working and waiting shares together never pass what was wished at any time."""
    rng = np.random.default_rng(seed)
    count = 40
    price = [NAN, NAN, 19.0, 19.5, 20.5]
    wishes = [
        (float(rng.integers(0, 5) * 25), float(rng.choice(price)), float(rng.choice([NAN, NAN, 20.5, 21.0])))
        for _ in range(count)
    ]
    events = session(wishes, walk(*rng.uniform(18.5, 21.5, count)), time_in_force="gtc")
    for event in events:
        if isinstance(event, Book):
            left = event.open_orders.left
            assert 0 <= event.qty[0] <= 100
            assert event.qty[0] + left[left > 0].sum() <= 100
            assert event.qty[0] + left[left < 0].sum() >= 0
