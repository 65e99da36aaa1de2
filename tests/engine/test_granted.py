"""A broker of the user's own fills no more of an order than what the gate approved."""

from typing import Any

import msgspec
import numpy as np
import pytest

from engine.barrier import Named
from engine.errors import ComponentError
from engine.events import ActionKind, Approved, Bars, Book, Fills, LegAction, OrderState, Refusals, Reports
from engine.granted import Granted
from engine.wiring import Wiring
from tests.engine.parts import FillAtOpen, parts
from tests.engine.test_ledger import action
from tests.engine.test_wiring import ran, two_slices
from tests.make import book, day, legs


def order_ids(*values: int) -> Any:
    return np.array(values, np.uint64)


def fills(order: int, qty: float, symbol: int = 0) -> Fills:
    one = np.ones(1)
    return Fills(
        ts=day(0),
        exec_ids=order_ids(1),
        order_ids=order_ids(order),
        symbol=np.full(1, symbol, np.int32),
        qty=one * qty,
        price=one,
        reference=one,
        fees=np.zeros((1, 3)),
        at=np.full(1, day(0)),
    )


class Times(FillAtOpen):
    """Fills a multiple of each order."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def on_bars(self, slice_: Bars, /) -> Any:
        *reports, done = super().on_bars(slice_)
        return (*reports, msgspec.structs.replace(done, qty=done.qty * self._factor))


@pytest.mark.parametrize("factor", [1000.0, 1.01, -1.0])
async def test_a_broker_that_fills_more_than_was_approved_is_named_before_it_is_booked(factor: float) -> None:
    with pytest.raises(ComponentError, match=r"broker: failed on Fills .* it filled .* were approved and not filled"):
        await ran(Wiring(parts(broker=Named("broker", Times(factor)))), two_slices())


@pytest.mark.parametrize("factor", [1.0, 0.5])
async def test_one_that_fills_what_was_approved_or_less_is_let_be(factor: float) -> None:
    log = await ran(Wiring(parts(broker=Named("broker", Times(factor)))), two_slices())
    assert log.of(Book)[-1].qty.all()


def test_parts_of_an_order_add_up_to_the_whole_and_to_no_share_more() -> None:
    granted = Granted("b")
    granted.on_approved(legs(Approved, symbol=[0, 1], qty=[0.3, -7.0]))
    for part in (0.1, 0.1, 0.1):
        granted.on_fills(fills(1, part))
    granted.on_fills(fills(2, -3.0, 1))
    assert granted.left(2) == -4.0
    for order, qty in ((1, 0.1), (2, -4.1), (2, 1.0), (2, np.nan)):
        with pytest.raises(ComponentError, match=f"b: failed on Fills .* of order {order:016x}, of which"):
            granted.on_fills(fills(order, qty, order - 1))


def test_an_order_is_filled_in_its_own_symbol_only() -> None:
    granted = Granted("b")
    granted.on_approved(legs(Approved, symbol=[1], qty=[5.0]))
    with pytest.raises(ComponentError, match=r"b: .* filled symbol 0 .* for order 0{15}1, which is of symbol 1"):
        granted.on_fills(fills(1, 1.0, 0))


def test_an_order_that_nobody_approved_is_not_filled() -> None:
    granted = Granted("b")
    granted.on_book(book(day(0), [1.0], qty=[-5.0]))
    granted.on_approved(legs(Approved, symbol=[0], qty=[5.0]))
    with pytest.raises(
        ComponentError, match=r"b: failed on Fills .* 1 of order 0{15}9, which was not approved .* id 0"
    ):
        granted.on_fills(fills(9, 1.0))


class Strange(FillAtOpen):
    """Fills whole orders, under ids of its own."""

    def on_bars(self, slice_: Bars, /) -> Any:
        *reports, done = super().on_bars(slice_)
        return (*reports, msgspec.structs.replace(done, order_ids=done.order_ids + np.uint64(1)))


async def test_a_broker_that_fills_under_ids_of_its_own_is_named_before_anything_is_booked() -> None:
    with pytest.raises(
        ComponentError, match=r"broker: failed on Fills .* of order [0-9a-f]{16}, which was not approved"
    ):
        await ran(Wiring(parts(broker=Named("broker", Strange()))), two_slices())


@pytest.mark.parametrize(("held", "qty"), [(10.0, -10.0), (10.0, -3.0), (-10.0, 10.0)])
def test_what_a_broker_does_on_its_own_reduces_a_position(held: float, qty: float) -> None:
    granted = Granted("b")
    granted.on_book(book(day(0), [1.0], qty=[held]))
    granted.on_fills(fills(0, qty))


@pytest.mark.parametrize(("held", "qty"), [(10.0, -11.0), (10.0, 1.0), (-10.0, -1.0), (0.0, 1.0), (10.0, np.nan)])
def test_and_never_opens_adds_to_or_turns_one_over(held: float, qty: float) -> None:
    granted = Granted("b")
    granted.on_book(book(day(0), [1.0], qty=[held]))
    with pytest.raises(ComponentError, match=r"b: .* for no order \(id 0\) at a position of .*; what a broker does on"):
        granted.on_fills(fills(0, qty))


def test_several_fills_of_one_event_count_together() -> None:
    granted = Granted("b")
    granted.on_book(book(day(0), [1.0], qty=[10.0]))
    twice = fills(0, -6.0)
    pairs = {name: np.concatenate([getattr(twice, name)] * 2) for name in ("order_ids", "symbol", "qty")}
    with pytest.raises(ComponentError, match="at a position of 4"):
        granted.on_fills(msgspec.structs.replace(twice, **pairs))


def test_fills_of_several_events_count_together_until_the_next_book() -> None:
    granted, twin = Granted("b"), Granted("b")
    before = book(day(0), [1.0], qty=[10.0])
    granted.on_book(before)
    granted.on_fills(fills(0, -10.0))
    twin.load(granted.save())
    for each in (granted, twin):
        with pytest.raises(ComponentError, match="at a position of 0"):
            each.on_fills(fills(0, -10.0))
    assert before.qty.tolist() == [10.0]
    granted.on_book(book(day(0), [1.0], qty=[4.0]))
    granted.on_fills(fills(0, -4.0))


def test_what_an_order_opened_may_be_closed_before_the_next_book() -> None:
    granted = Granted("b")
    granted.on_book(book(day(0), [1.0], qty=[0.0]))
    granted.on_approved(legs(Approved, symbol=[0], qty=[8.0]))
    granted.on_fills(fills(1, 8.0))
    granted.on_fills(fills(0, -8.0))
    with pytest.raises(ComponentError, match="at a position of 0"):
        granted.on_fills(fills(0, -1.0))


class Turns(FillAtOpen):
    """Closes every position that there is, and once more."""

    def __init__(self) -> None:
        super().__init__()
        self._there = np.zeros(2)

    def on_book(self, seen: Book, /) -> None:
        self._there = seen.qty

    def on_bars(self, slice_: Bars, /) -> Any:
        *reports, done = super().on_bars(slice_)
        rows = np.flatnonzero(self._there)
        if not rows.size:
            return (*reports, done)
        count = len(rows)
        own = Fills(
            ts=slice_.ts,
            exec_ids=np.arange(count, dtype=np.uint64) + np.uint64(slice_.ts),
            order_ids=np.zeros(count, np.uint64),
            symbol=rows.astype(np.int32),
            qty=-self._there[rows],
            price=slice_.open[rows],
            reference=slice_.open[rows],
            fees=np.zeros((count, 3)),
            at=np.full(count, slice_.ts),
        )
        again = msgspec.structs.replace(own, exec_ids=own.exec_ids + np.uint64(100))
        return (*reports, done, own, again)


async def test_a_broker_that_turns_positions_over_by_two_events_is_named() -> None:
    slices = two_slices()
    last = [each for each in slices if isinstance(each, Bars)][-1]
    slices += [msgspec.structs.replace(last, ts=day(2))]
    with pytest.raises(ComponentError, match=r"broker: failed on Fills .* at a position of \S+; what a broker does"):
        await ran(Wiring(parts(broker=Named("broker", Turns()))), slices)


def replace(granted: Granted, leg: int, size: float) -> None:
    action = np.array([LegAction.REPLACE], np.int32)
    granted.on_approved(legs(Approved, symbol=[0], qty=[size], action=action, ref=order_ids(1), ids=order_ids(leg)))


def replaced(left: float) -> Reports:
    state, none = np.array([OrderState.REPLACED], np.int32), np.zeros(1, np.int32)
    return Reports(ts=day(0), ids=order_ids(1), symbol=none, state=state, left=np.array([left]))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_what_a_broker_says_it_replaced_by_less_is_no_larger_again(side: float) -> None:
    granted = Granted("b")
    granted.on_approved(legs(Approved, symbol=[0], qty=[8.0 * side]))
    replace(granted, 2, 2.0 * side)
    assert granted.left(1) == 8.0 * side  # the broker may not have agreed yet
    granted.on_reports(replaced(2.0 * side))
    assert granted.left(1) == 2.0 * side
    with pytest.raises(ComponentError, match="of which -?2 were approved"):
        granted.on_fills(fills(1, 8.0 * side))


def test_a_larger_replace_that_is_on_its_way_stands() -> None:
    granted, twin = Granted("b"), Granted("b")
    granted.on_approved(legs(Approved, symbol=[0], qty=[8.0]))
    for leg, size in ((2, 2.0), (3, 9.0), (4, 5.0)):
        replace(granted, leg, size)
    granted.on_reports(replaced(2.0))
    twin.load(granted.save())
    assert (granted.left(1), twin.left(1)) == (9.0, 9.0)
    twin.on_actions(action(0, ActionKind.SPLIT, 0, ratio=2.0))
    twin.on_reports(replaced(4.0))
    assert twin.left(1) == 10.0
    granted.on_refusals(refused(3, "max_weight"))
    granted.on_reports(replaced(5.0))
    assert granted.left(1) == 5.0


def test_a_restart_knows_the_positions() -> None:
    granted, twin = Granted("b"), Granted("b")
    granted.on_book(book(day(0), [1.0], qty=[10.0]))
    twin.load(granted.save())
    twin.on_fills(fills(0, -10.0))


def test_a_replace_that_asks_for_more_counts_and_one_for_less_does_not_yet() -> None:
    granted = Granted("b")
    granted.on_approved(legs(Approved, symbol=[0], qty=[5.0]))
    for size, left in ((8.0, 8.0), (2.0, 8.0), (np.nan, 8.0)):
        replace = {"action": np.array([LegAction.REPLACE], np.int32), "ref": order_ids(1), "ids": order_ids(2)}
        granted.on_approved(legs(Approved, symbol=[0], qty=[size], **replace))
        assert granted.left(1) == left


def test_a_split_a_second_sending_and_a_restart_change_no_value_of_it() -> None:
    granted, twin = Granted("b"), Granted("b")
    for _ in range(2):
        granted.on_approved(legs(Approved, symbol=[0, 1], qty=[5.0, 5.0]))
    granted.on_actions(action(0, ActionKind.SPLIT, 0, ratio=2.0))
    granted.on_actions(action(0, ActionKind.CASH_DIVIDEND, 1, amount=2.0))
    assert (granted.left(1), granted.left(2)) == (10.0, 5.0)
    granted.on_fills(fills(1, 4.0))
    granted.on_approved(legs(Approved, symbol=[0], qty=[5.0]))
    twin.load(granted.save())
    assert (twin.left(1), twin.left(2)) == (6.0, 5.0)
    assert twin.save() == granted.save()


def test_what_is_kept_is_bounded() -> None:
    granted = Granted("b")
    count = 65_537
    granted.on_approved(legs(Approved, symbol=[0] * count, qty=np.ones(count)))
    assert granted.left(1) == 1.0  # an open order is not forgotten
    for order in (2, 3):
        granted.on_fills(fills(order, 1.0))
    granted.on_reports(ended(4))
    granted.on_refusals(refused(5, "duplicate"))
    granted.on_refusals(refused(6, "short"))
    more = {"ids": order_ids(*range(count + 1, count + 6))}
    granted.on_approved(legs(Approved, symbol=[0] * 5, qty=np.ones(5), **more))
    assert [order for order in range(1, count + 6) if np.isnan(granted.left(order))] == [2, 3, 4, 6]


def ended(order: int) -> Reports:
    state, none = np.array([OrderState.CANCELLED], np.int32), np.zeros(1, np.int32)
    return Reports(ts=day(0), ids=order_ids(order), symbol=none, state=state, left=np.zeros(1))


def refused(order: int, rule: str) -> Refusals:
    one, none = np.ones(1), np.zeros(1, np.int32)
    return Refusals(
        ts=day(0), by="b", ids=order_ids(order), symbol=none, qty=one, rule=(rule,), value=one, threshold=one
    )


def test_a_fill_that_was_on_its_way_when_its_order_ended_is_let_be() -> None:
    granted = Granted("b")
    granted.on_approved(legs(Approved, symbol=[0], qty=[5.0]))
    granted.on_reports(ended(1))
    granted.on_fills(fills(1, 5.0))
    with pytest.raises(ComponentError, match="of which 0 were approved"):
        granted.on_fills(fills(1, 1.0))
