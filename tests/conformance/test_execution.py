"""What every execution policy keeps: one list of policies, one battery."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.execution.almgren_chriss import AlmgrenChriss
from components.execution.desk import Desk
from components.execution.immediate import Immediate
from components.execution.pov import Pov
from components.execution.rl import Rl
from components.execution.sbb_ema import SbbEma
from components.execution.twap import Twap
from components.execution.vwap import Vwap
from components.rl.acting import Categorical
from components.rl.observing import Compact
from components.rl.trainer_options import Mlp
from engine.events import MINUTE_NS, SLICE_DECIDED, Bars, Children, Orders, Timer
from engine.ids import OrderIds
from engine.universe import Universe, universe_of
from samewire.registry import BUILT_IN
from tests.components.execution.floor import Floor, minute, minutes, orders
from tests.components.rl.agents import card_of, drawn
from tests.conformance.streams import arrays, same
from tests.make import bars

Make = Callable[[Universe], Any]
T = 6
AGENT = drawn(card_of(Compact(), Categorical(5), Mlp((8,)), interval_ns=MINUTE_NS, bars=40, horizon=T, sessions=False))
CASES: dict[str, Make] = {
    "immediate": lambda u: Immediate(horizon=T),
    "twap": lambda u: Twap(horizon=T),
    "vwap": lambda u: Vwap(universe=u, horizon=T, days=2),
    "pov": lambda u: Pov(universe=u, horizon=T, rate=0.02, bars=2, complete=True),
    "pov_open_ended": lambda u: Pov(universe=u, horizon=T, rate=0.02),
    "almgren_chriss": lambda u: AlmgrenChriss(universe=u, horizon=T, window=4, risk_aversion=1.0, eta=1e-6),
    "almgren_chriss_published": lambda u: AlmgrenChriss(
        universe=u, horizon=T, window=4, risk_aversion=1.0, eta=1e-6, as_published=True
    ),
    "sbb_ema": lambda u: SbbEma(universe=u, horizon=T, fast=2, slow=4),
    "sbb_ema_published": lambda u: SbbEma(universe=u, horizon=T, fast=2, slow=4, as_published=True),
    "rl": lambda u: Rl(universe=u, artefact=AGENT, horizon=T),
}
PARTIAL = ("pov_open_ended", "sbb_ema_published")  # may leave shares by their own rule
pytestmark = pytest.mark.parametrize("name", CASES)
N, LOT = 6, 10.0
QTY = np.array([400.0, -300.0, 55.0, -7.0, 130.0, -2000.0])  # odd lots among them, and less than one


def names(n: int = N, order: Any = None) -> Universe:
    symbols = [f"S{i}" for i in range(n)]
    return universe_of(tuple(symbols if order is None else [symbols[i] for i in order]), lot=LOT)


def day(seed: int = 0, n: int = N, slices: int = 30, *, holes: float = 0.0, start: int = 1) -> list[Bars]:
    """Minute bars of a day, with holes where they are asked for."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.002, (slices, n)), axis=0))
    opens = close * np.exp(rng.normal(0, 0.001, (slices, n)))
    volume = np.round(rng.lognormal(9, 0.5, (slices, n)))
    gone = rng.random((slices, n)) < holes
    for column in (close, opens, volume):
        column[gone] = np.nan
    return [minutes(start + k, close[k], open=opens[k], volume=volume[k]) for k in range(slices)]


def traded(name: str, *, holes: float = 0.0, participation: float | None = None) -> Floor:
    """Orders in the twelfth slice, worked to their end."""
    floor = Floor(CASES[name](names()), names(), participation=participation)
    floor.hold(np.where(QTY % LOT, -QTY, 0.0).tolist(), 50.0)  # a broker takes what is no whole lot to close a position
    for k, event in enumerate(day(holes=holes)):
        floor.slice(event, *((orders(12, QTY.tolist()),) if k == 11 else ()))
    return floor


def test_every_policy_of_the_registry_is_here(name: str) -> None:
    assert set(BUILT_IN["execution"]) <= set(CASES)


def test_children_sum_to_the_parent_when_the_market_takes_them(name: str) -> None:
    floor = traded(name)
    sent = {parent: sum(parts) for parent, parts in floor.sent().items()}
    if name in PARTIAL:
        assert all(abs(sent.get(k + 1, 0.0)) <= abs(qty) for k, qty in enumerate(QTY))
    else:
        assert sent == {k + 1: qty for k, qty in enumerate(QTY)}
        assert floor.filled() == sent
    assert not floor.desk.working


@pytest.mark.parametrize("holes", [0.0, 0.4])
def test_children_are_of_one_side_in_whole_lots_and_never_more_than_the_parent(name: str, holes: float) -> None:
    floor = traded(name, holes=holes, participation=0.005)
    for parent, parts in floor.sent().items():
        qty = QTY[parent - 1]
        assert all(part * qty > 0 for part in parts)
        odd = [part for part in parts if part % LOT]
        assert all(abs(part) <= abs(qty) for part in odd)
        assert len({part % LOT for part in odd}) <= 1  # all that is left, where that is no whole number of lots
    filled = floor.filled()
    assert all(0 <= filled.get(k + 1, 0.0) * np.sign(qty) <= abs(qty) for k, qty in enumerate(QTY))


def test_every_parent_ends_in_exactly_one_report(name: str) -> None:
    floor = traded(name, holes=0.4, participation=0.005)
    ends = floor.ends(range(1, N + 1))
    assert all(len(states) == 1 for states in ends.values())
    filled = floor.filled()
    for k, qty in enumerate(QTY):
        assert ends[k + 1] == ["FINISHED" if filled.get(k + 1, 0.0) == qty else "EXPIRED"]


def test_saved_and_loaded_before_every_event_it_sends_the_same(name: str) -> None:
    def desk() -> Desk:
        return Desk(universe=names(), ids=OrderIds("t", "execution"), name="execution", pace=CASES[name](names()))

    def told(resume: bool) -> list[Any]:
        made, out = desk(), []
        for k, event in enumerate(day(holes=0.1)):
            for given in (event, orders(12, QTY.tolist()), Timer(ts=event.ts, name=SLICE_DECIDED, due=event.ts)):
                if isinstance(given, Orders) and k != 11:
                    continue
                if resume:
                    fresh = desk()
                    fresh.load(made.save())
                    made = fresh
                handler = {Bars: made.on_bars, Orders: made.on_orders, Timer: made.on_timer}[type(given)]
                out.append(handler(given))
        return out

    assert same(told(resume=False), told(resume=True))


def test_symbols_in_another_order_get_the_same_children(name: str) -> None:
    order = np.array([3, 5, 0, 1, 4, 2])

    def sent(permuted: bool) -> dict[int, list[float]]:
        u = names(order=order if permuted else None)
        floor = Floor(CASES[name](u), u)
        place = np.argsort(order) if permuted else np.arange(N)
        for k, event in enumerate(day()):
            columns = [getattr(event, f)[order] if permuted else getattr(event, f) for f in ("close", "open", "volume")]
            row = minutes(k + 1, columns[0], open=columns[1], volume=columns[2])
            floor.slice(row, *((orders(12, QTY.tolist(), symbol=place.tolist()),) if k == 11 else ()))
        return floor.sent()

    assert sent(permuted=False) == sent(permuted=True)


def test_what_comes_in_is_not_written_into(name: str) -> None:
    floor = Floor(CASES[name](names()), names())
    for k, event in enumerate(day(holes=0.1)):
        given = orders(12, QTY.tolist())
        before = [arrays(event), arrays(given)]
        floor.slice(event, *((given,) if k == 11 else ()))
        for old, new in zip(before, [arrays(event), arrays(given)], strict=True):
            assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(old, new, strict=True))


def test_what_is_sent_does_not_depend_on_later_slices(name: str) -> None:
    def children(other: bool) -> list[Any]:
        floor = Floor(CASES[name](names()), names())
        rows = day()
        if other:
            rows[15:] = day(seed=1)[15:]
        for k, event in enumerate(rows):
            floor.slice(event, *((orders(12, QTY.tolist()),) if k == 11 else ()))
        return [event for event in floor.of(Children) if event.ts <= minute(15)]

    assert same(children(other=False), children(other=True))


def test_two_thousand_parents_are_worked_as_arrays(name: str) -> None:
    """About 2 ms of processor a slice; a loop over parents would take a hundred."""
    n = 2_000
    u = universe_of(tuple(f"S{i}" for i in range(n)))
    desk = Desk(universe=u, ids=OrderIds("t", "execution"), name="execution", pace=CASES[name](u))
    rows = [bars(e.ts, e.close, open=e.open, volume=e.volume, interval_ns=MINUTE_NS) for e in day(n=n, slices=18)]
    given = orders(6, np.where(np.arange(n) % 2, 900.0, -900.0).tolist())
    begun, count = time.process_time(), 0
    for k, event in enumerate(rows):
        desk.on_bars(event)
        if k == 5:
            desk.on_orders(given)
        said = desk.on_timer(Timer(ts=event.ts, name=SLICE_DECIDED, due=event.ts))
        count += sum(len(each.ids) for each in said or () if isinstance(each, Children))
    assert time.process_time() - begun < 0.5
    assert count >= n
