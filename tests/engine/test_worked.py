"""What the wiring does for an execution policy: parents in the optimizer's book, a timer behind each slice."""

from typing import Any

import numpy as np
import pytest

from engine.barrier import Named
from engine.clock import Timers
from engine.events import DAY_NS, SLICE_DECIDED, Bars, Book, OpenOrders, Orders, Timer
from engine.wiring import Wiring
from engine.worked import SliceEnds, parents_among, with_parents
from tests.engine.parts import Whole, parts
from tests.engine.test_wiring import ran
from tests.make import bars, book, day, no_orders


def open_orders(ids: list[int], parents: list[int]) -> OpenOrders:
    codes = np.zeros(len(ids), np.int32)
    none = np.full(len(ids), np.nan)
    named = np.array(ids, np.uint64), np.array(parents, np.uint64)
    return OpenOrders(
        ids=named[0], parent=named[1], symbol=codes, left=np.ones(len(ids)), kind=codes, limit=none, stop=none
    )


class Works:
    """A policy that takes everything in, sends nothing and is never done."""

    def __init__(self) -> None:
        self.woken: list[int] = []
        self.parents: list[int] = []

    @property
    def working(self) -> bool:
        return bool(self.parents)

    def open_parents(self) -> OpenOrders:
        return open_orders(self.parents, self.parents) if self.parents else no_orders()

    def on_orders(self, orders: Orders, /) -> None:
        self.parents += orders.ids.tolist()

    def on_timer(self, timer: Timer, /) -> None:
        assert timer.name == SLICE_DECIDED
        self.woken.append(timer.ts)


class Sees:
    """An optimizer that keeps the books it decides by."""

    def __init__(self) -> None:
        self.whole, self.books = Whole(), list[Book]()

    def on_bars(self, slice_: Bars, /) -> None:
        return None

    def on_targets(self, targets: Any, seen: Book, /) -> Any:
        self.books.append(seen)
        return self.whole.on_targets(targets, seen) if len(self.books) == 1 else None


async def test_a_policy_is_woken_behind_each_slice_in_which_it_works_the_last_one_too() -> None:
    policy, optimizer = Works(), Sees()
    made = parts(execution=Named("execution", policy), optimizer=Named("optimizer", optimizer))
    log = await ran(Wiring(made), [bars(day(k), [10.0 + k, 30.0]) for k in range(3)])
    assert policy.woken == [day(0), day(1), day(2)]
    kinds = [type(event).__name__ for _, event in log.rows]
    assert kinds[-1] == "Timer"
    first = kinds.index("Timer")
    assert kinds[first + 1] == "Bars"  # nothing of the slice comes behind it
    assert "Orders" in kinds[:first]


async def test_the_optimizer_alone_sees_parents() -> None:
    policy, optimizer = Works(), Sees()
    made = parts(execution=Named("execution", policy), optimizer=Named("optimizer", optimizer))
    log = await ran(Wiring(made), [bars(day(k), [10.0 + k, 30.0]) for k in range(2)])
    first, second = optimizer.books
    assert first.open_orders.ids.size == 0
    assert second.open_orders.ids.tolist() == policy.parents
    assert not second.working.any()
    assert not any(seen.open_orders.ids.size for seen in log.of(Book))


async def test_a_policy_without_work_is_left_asleep() -> None:
    class Idle:
        working = False

        def on_orders(self, orders: Orders, /) -> None:
            return None

        def on_timer(self, timer: Timer, /) -> None:
            raise AssertionError("it was woken")

    log = await ran(Wiring(parts(execution=Named("execution", Idle()))), [bars(day(k), [10.0, 30.0]) for k in range(3)])
    assert log.of(Timer) == []


async def test_with_several_intervals_it_is_woken_once_an_instant() -> None:
    policy = Works()
    policy.parents = [5]
    made = parts(execution=Named("execution", policy), intervals=(DAY_NS, 7 * DAY_NS))
    both = [bars(day(0), [10.0, 30.0]), bars(day(0), [10.0, 30.0], interval_ns=7 * DAY_NS), bars(day(1), [10.0, 30.0])]
    await ran(Wiring(made), both)
    assert policy.woken == [day(0), day(1)]


def test_a_parent_is_its_own_parent_and_a_child_is_not() -> None:
    assert parents_among(open_orders([3, 4, 0], [3, 3, 0])).tolist() == [True, False, False]


def test_the_columns_of_the_book_with_parents_are_read_only() -> None:
    seen = with_parents(book(day(0), [10.0, 10.0]), open_orders([3], [3]))
    with pytest.raises(ValueError, match="read-only"):
        seen.open_orders.left[0] = 2.0


def test_a_policy_is_woken_at_the_instants_that_it_names_before_the_next_bar() -> None:
    class Ends(Works):
        def wakes(self, ts: int) -> tuple[int, ...]:
            return () if ts > day(0) else (day(0) + 7, day(1) + 5)

    policy, timers = Ends(), Timers()
    policy.parents = [1]
    ends = SliceEnds(policy, timers)
    ends.on_bars(bars(day(0)))
    ends.on_bars(bars(day(1)))
    woken = [timer.due for _ in range(4) if (timer := timers.due(day(2), after_bars=False)) is not None]
    assert woken == [day(0), day(0) + 7, day(1), day(1) + 5]
