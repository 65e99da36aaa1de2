"""What every gate keeps: one list of gates, one battery."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from components.gates.limits import Limits
from engine.events import (
    SESSION_OPENED,
    Approved,
    Control,
    ControlAction,
    LegAction,
    Reference,
    Refusals,
    Timer,
)
from engine.ids import OrderIds
from engine.universe import Universe
from tests.conformance.streams import N, arrays, grown_after, moved, refuses_moved, same, session, universe
from tests.make import legs

CASES: dict[str, Callable[[Universe], Any]] = {
    "limits": lambda u: Limits(
        universe=u, ids=OrderIds("s", "g"), name="g", max_weight=0.3, max_order_value=2e4, max_gross=0.9, max_net=0.8
    ),
    "limits_open": lambda u: Limits(universe=u, ids=OrderIds("s", "g"), name="g"),
    "limits_all": lambda u: Limits(
        universe=u,
        ids=OrderIds("s", "g"),
        name="g",
        max_order_value=6e5,
        max_order_qty=3000.0,
        price_collar=0.2,
        max_position=1_500.0,
        max_weight=0.4,
        max_gross=1.3,
        max_net=0.8,
        max_sector_gross=0.5,
        max_sector_net=0.5,
        max_participation=0.004,
        volume_slices=3,
        max_orders_per_minute=6,
        max_open_orders=5,
        max_bar_age="40h",
        max_daily_loss=0.35,
        max_drawdown=0.479,
        on_drawdown="flatten",
        restricted=("S0",),
    ),
}
Make = Callable[[Universe], Any]


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


CONTROLS = {
    8: ControlAction.REDUCE_ONLY,
    12: ControlAction.RESUME,
    18: ControlAction.FLATTEN,
    22: ControlAction.RESUME,
    26: ControlAction.HALT,
    28: ControlAction.RESUME,
}
RELEASED = {5: "max_daily_loss", 11: "max_drawdown", 20: "max_drawdown", 24: "max_drawdown"}

SECTORS = np.array([0.0, 0.0, 1.0, 1.0, np.nan, 0.0])


def orders(k: int, ts: int) -> Any:
    """Up to nine legs, some symbols twice, sizes from small to far too large."""
    rng = np.random.default_rng([k, 3])
    count = int(rng.integers(1, 10))
    ids = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(100 * k)
    sizes = np.round(rng.uniform(-1, 1, count) * 10 ** rng.uniform(0.5, 4, count)) + 1.0
    return legs(ts=ts, symbol=rng.integers(0, N, count), qty=sizes, ids=ids)


def step(gate: Any, k: int, row: Any, batch: Any = None) -> list[Any]:
    """All answers of one slice, in order."""
    said = []
    bars, ts = row[0], row[2].ts
    n = len(bars.close)
    sectors = np.where(np.arange(n) < N, SECTORS[np.arange(n) % N], np.nan)[:, None]
    for method, event in (
        ("on_reference", Reference(ts=ts, name="sectors", rows="symbol", value=sectors)),
        ("on_bars", bars),
        ("on_timer", Timer(ts=ts, name=SESSION_OPENED, due=ts)),
    ):
        if hasattr(gate, method) and (k % 5 == 0 or method == "on_bars"):
            assert getattr(gate, method)(event) is None
    if k in CONTROLS:
        said.append(gate.on_control(Control(ts=ts, action=CONTROLS[k], actor="jo")))
    if k in RELEASED:
        said.append(gate.on_control(Control(ts=ts, action=ControlAction.RESUME, latch=RELEASED[k], actor="jo")))
    said.append(gate.on_book(row[2]))
    said.extend(gate.on_orders(orders(k, row[2].ts) if batch is None else batch))
    return [each for event in said for each in (event if isinstance(event, tuple) else (event,)) if each is not None]


def test_a_session_of_this_battery_trips_and_is_released() -> None:
    gate = CASES["limits_all"](universe())
    said = [event for k, row in enumerate(session()) for event in step(gate, k, row)]
    tripped = [event.latch for event in said if isinstance(event, Control)]
    assert set(tripped) == {"max_daily_loss", "max_drawdown"}
    assert sum(isinstance(event, Approved) for event in said) > 10
    rules = {rule for event in said if isinstance(event, Refusals) for rule in event.rule}
    assert len(rules) >= 7


def test_every_leg_is_approved_or_refused_once(make: Make) -> None:
    gate = make(universe())
    refused = 0
    for k, row in enumerate(session()):
        batch = orders(k, row[2].ts)
        gate.on_book(row[2])
        answer = gate.on_orders(batch)
        ids = [i for event in answer for i in event.ids.tolist()]
        assert sorted(ids) == batch.ids.tolist()
        assert [type(event) for event in answer] in ([Approved], [Refusals], [Approved, Refusals])
        for event in answer:
            assert event.ts == batch.ts
            lengths = {len(getattr(event, f)) for f in event.__struct_fields__ if f not in ("ts", "by")}
            assert lengths == {len(event.ids)}
            refused += len(event.ids) if isinstance(event, Refusals) else 0
    assert refused > 0


def test_a_name_never_seen_is_always_refused(make: Make) -> None:
    gate = make(universe())
    for _, _, book in session():
        gate.on_book(msgspec.structs.replace(book, mark=np.where(np.arange(N) == 2, np.nan, book.mark)))
        (answer,) = gate.on_orders(legs(ts=book.ts, symbol=[2], qty=[1]))
        assert answer.rule in (("price",), ("halted",), ("reduce_only",))  # one may have tripped


def test_a_cancel_always_passes(make: Make) -> None:
    for action in (None, ControlAction.HALT, ControlAction.REDUCE_ONLY, ControlAction.FLATTEN):
        gate = make(universe())
        if action is not None:
            gate.on_control(Control(ts=1, action=action))
        cancel = legs(ts=1, symbol=[0], qty=[0], action=np.array([LegAction.CANCEL], np.int32))
        (approved,) = gate.on_orders(cancel)
        assert isinstance(approved, Approved)


def test_inputs_are_not_changed(make: Make) -> None:
    gate = make(universe())
    for k, row in enumerate(session()):
        batch = orders(k, row[2].ts)
        before = [arrays(row[2]), arrays(batch)]
        step(gate, k, row, batch)
        assert same(before, [arrays(row[2]), arrays(batch)])


def test_state_saved_and_loaded_at_every_point_decides_the_same(make: Make) -> None:
    straight, broken = make(universe()), make(universe())
    for k, row in enumerate(session()):
        fresh = make(universe())
        fresh.load(broken.save())
        assert fresh.save() == broken.save()
        broken = fresh
        assert same(step(broken, k, row), step(straight, k, row))


def test_state_between_book_and_orders_decides_the_same(make: Make) -> None:
    straight, broken = make(universe()), make(universe())
    for k, row in enumerate(session()):
        for gate in (straight, broken):
            gate.on_book(row[2])
            gate.on_orders(orders(k + 500, row[2].ts))
        fresh = make(universe())
        fresh.load(broken.save())
        batch = orders(k, row[2].ts)
        assert same(fresh.on_orders(batch), straight.on_orders(batch))
        broken.on_orders(batch)


def test_two_fresh_copies_agree(make: Make) -> None:
    one, two = make(universe()), make(universe())
    assert all(same(step(one, k, row), step(two, k, row)) for k, row in enumerate(session()))


@pytest.mark.parametrize("cut", [0, 1, 9, 20])
def test_state_goes_on_in_a_universe_with_names_appended(make: Make, cut: int) -> None:
    longer, always = grown_after(make, step, session(), cut)
    assert same(longer, always)


def test_state_of_a_symbol_that_is_gone_or_moved_is_refused(make: Make) -> None:
    refuses_moved(make)


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_prefix_property(make: Make, cut: int) -> None:
    one, two = make(universe()), make(universe())
    changed = session()[:cut] + session(seed=99)[cut:]
    before = [step(one, k, row) for k, row in enumerate(session())][:cut]
    assert same(before, [step(two, k, row) for k, row in enumerate(changed)][:cut])


def test_rule_46_an_exit_at_the_market_passes_every_gate_that_is_not_halted(make: Make) -> None:
    gate = make(universe())
    left = 0
    for k, row in enumerate(session()):
        where = row[2]
        step(gate, k, row, legs(ts=where.ts, symbol=[], qty=[]))
        fresh = make(universe())
        fresh.load(gate.save())
        fresh.on_control(Control(ts=where.ts, action=ControlAction.RESUME, actor="jo"))  # of the operator; a trip stays
        fresh.on_book(where)  # what flatten sent is over
        for symbol in np.flatnonzero(where.qty).tolist():
            answer = fresh.on_orders(
                legs(ts=where.ts, symbol=[symbol], qty=[-where.qty[symbol]], ids=np.array([10**6 + symbol], np.uint64))
            )
            rules = [rule for event in answer if isinstance(event, Refusals) for rule in event.rule]
            assert rules in ([], ["halted"])
            left += not rules
    assert left > 10


def test_refusals_carry_finite_figures_wherever_there_is_one(make: Make) -> None:
    gate = make(universe())
    for k, row in enumerate(session()):
        for event in step(gate, k, row):
            if isinstance(event, Refusals):
                for rule, value in zip(event.rule, event.value, strict=True):
                    assert np.isfinite(value) or rule in UNKNOWN
                assert np.isfinite(event.threshold).all()


# What there may be no figure of: no mark, no equity, no volume yet, no bar yet.
UNKNOWN = {"no_book", "price", "equity", "max_participation", "max_bar_age"}


def test_permuting_symbols_permutes_the_verdicts(make: Make) -> None:
    order = np.random.default_rng(5).permutation(N)
    place = np.argsort(order)
    one, two = make(universe()), make(universe(order=order))
    for k, row in enumerate(session()):
        batch = orders(k, row[2].ts)
        for gate, book in ((one, row[2]), (two, moved(row[2], order))):
            gate.on_book(book)
        first = one.on_orders(batch)
        second = two.on_orders(msgspec.structs.replace(batch, symbol=place[batch.symbol].astype(np.int32)))
        assert [event.ids.tolist() for event in first] == [event.ids.tolist() for event in second]
