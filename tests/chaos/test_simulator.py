"""Thirty seeds of the whole system, and proof that the simulator sees what it is there to see."""

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.bus import Route
from engine.cuts import Counts, CutRule
from engine.events import Approved, Bars, Fills, Late, Orders, Signal, Watermark
from engine.wiring import Wiring
from tests.chaos.auditor import ViolationError
from tests.chaos.simulate import examine, simulate
from tests.chaos.slices import check_slices, follow_cuts
from tests.chaos.transport import LiveSource, arrivals
from tests.chaos.worlds import World, world

SEEDS = range(30)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_seed_of_the_whole_system_holds(seed: int) -> None:
    found = await simulate(seed)
    assert found["Book"] >= found["Bars"] / 8
    assert found["kills"] >= 1


def changed(drawn: World, change: Callable[[Wiring], Any]) -> World:
    """The same world with something wrong in every wiring of it."""

    def wiring(**options: Any) -> Wiring:
        made = drawn.wiring(**options)
        change(made)
        return made

    return msgspec.structs.replace(drawn, wiring=wiring)


def rerouted(component: str, event: type[Any], around: Callable[[Callable[[Any], Any], Any], Any]) -> Any:
    """Wraps the handler of one component for one kind of event."""

    def other(route: Route) -> Route:
        if (route.component, route.event) != (component, event):
            return route
        return msgspec.structs.replace(route, handler=lambda said, inner=route.handler: around(inner, said))

    def change(wiring: Wiring) -> None:
        wiring.routes = tuple(map(other, wiring.routes))

    return change


def unpaid(inner: Any, fills: Fills) -> Any:
    return inner(msgspec.structs.replace(fills, fees=fills.fees * 0.999))


def generous(inner: Any, orders: Any) -> Any:
    return (Approved(**{name: getattr(orders, name) for name in Approved.__struct_fields__}),)


def doubled(inner: Any, bars: Bars) -> Any:
    *others, fills = inner(bars)
    return (*others, msgspec.structs.replace(fills, qty=fills.qty * 2.0))


def twice(inner: Any, bars: Bars) -> Any:
    *others, fills = inner(bars)
    return (*others, msgspec.structs.replace(fills, exec_ids=np.ones_like(fills.exec_ids)))


class Forgets:
    """A broker whose saved state lacks its orders."""

    def __init__(self, inner: Any, fresh: bytes) -> None:
        self._inner, self._fresh = inner, fresh

    def __getattr__(self, name: str) -> Any:
        return (lambda: self._fresh) if name == "save" else getattr(self._inner, name)


class Counted:
    """How often something happened in this process: what no component may look at."""

    def __init__(self) -> None:
        self.count = 0

    def drifted(self, inner: Any, said: Any) -> Any:
        self.count += 1
        signal: Signal = inner(said)
        return msgspec.structs.replace(signal, value=signal.value + 1e-12 * self.count)


async def first_complaint(change: Any, seeds: range = range(40)) -> str:
    for seed in seeds:
        try:
            await examine(changed(world(seed), change))
        except ViolationError as error:
            return str(error)
    return ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rerouted("ledger", Fills, unpaid), r"fees of \d|cash \d"),
        (rerouted("gate", Orders, generous), "order value|weight|passed|without a price"),
        (rerouted("broker", Bars, doubled), "had .* left and filled"),
        (rerouted("broker", Bars, twice), "execution 1 came twice"),
        (rerouted("cross", Bars, Counted().drifted), "the second run differs"),
    ],
    ids=["fees", "gate", "fills", "executions", "process state"],
)
async def test_a_planted_fault_is_seen_and_the_seed_is_told(change: Any, said: str) -> None:
    found = await first_complaint(change)
    assert found.startswith("seed ")
    assert "only this one: python -m tests.chaos.simulate" in found
    assert re.search(said, found), found


async def test_a_component_that_forgets_is_seen_at_a_restart() -> None:
    def forget(wiring: Wiring) -> None:
        broker = wiring.parts.broker.component
        forgetful = Forgets(broker, broker.save())
        wiring.parts = msgspec.structs.replace(
            wiring.parts, broker=msgspec.structs.replace(wiring.parts.broker, component=forgetful)
        )

    assert "the run that went on from record" in await first_complaint(forget)


async def live(seed: int) -> tuple[World, Any, list[Any], LiveSource]:
    drawn = world(seed)
    rows = arrivals(drawn)
    source = LiveSource(drawn, rows)
    return drawn, rows, [event async for event in source], source


def of_bars(inputs: list[Any], **change: Callable[[Any], Any]) -> None:
    """Changes columns of the first slice that lacks a bar and has another."""
    k = next(k for k, e in enumerate(inputs) if isinstance(e, Bars) and len(set(e.status.tolist())) > 1)
    inputs[k] = msgspec.structs.replace(inputs[k], **{n: each(getattr(inputs[k], n)) for n, each in change.items()})


def without(inputs: list[Any], kind: type[Any]) -> None:
    inputs.remove(next(event for event in inputs if isinstance(event, kind)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda inputs, source: of_bars(inputs, volume=lambda v: v + 1.0), r"the slice of .* has \("),
        (lambda inputs, source: of_bars(inputs, member=np.logical_not), "has members"),
        (lambda inputs, source: of_bars(inputs, status=np.zeros_like), "has status 0"),
        (lambda inputs, source: of_bars(inputs, opened=lambda at: at - 1), "is said to be"),
        (lambda inputs, source: without(inputs, Bars), "should have come|is said to be"),
        (lambda inputs, source: without(inputs, Late), "should have come|not the late"),
        (lambda inputs, source: without(inputs, Watermark), "not the watermark"),
        (lambda inputs, source: source.cuts.append(source.cuts[0]), "no slice belongs to"),
        (lambda inputs, source: source.cuts.insert(0, source.cuts[1]), "was cut as"),
    ],
)
async def test_a_slice_that_holds_something_else_is_seen(change: Any, said: str) -> None:
    """What else may be wrong in a slice is a fault of the slicer; here one is put into what it handed out."""
    drawn, rows, inputs, source = await live(0)
    check_slices(drawn, rows, inputs, source)
    follow_cuts(drawn, rows, inputs, source, np.random.default_rng(1))
    change(inputs, source)
    with pytest.raises(ViolationError, match=said):
        check_slices(drawn, rows, inputs, source)


async def test_every_rule_and_every_fate_of_a_bar_is_met_by_these_seeds() -> None:
    rules, fates, absent, members = set(), set(), 0, 0
    for seed in SEEDS:
        drawn, _, inputs, source = await live(seed)
        rules |= {cut.rule for cut in source.cuts}
        fates |= {name for name in Counts.__struct_fields__ if getattr(source.slicer.counts, name)}
        absent += any(cut.absent for cut in source.cuts)
        members += any(isinstance(event, Bars) and not event.member.all() for event in inputs)
    assert rules == set(CutRule)
    assert fates == set(Counts.__struct_fields__)
    assert absent > 3
    assert members > 3
