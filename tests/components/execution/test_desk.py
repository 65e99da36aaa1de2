"""What becomes of parents: their slices, their horizons, amendments and ends."""

from typing import Any

import numpy as np
import pytest

from components.execution.desk import Desk
from components.execution.immediate import Immediate
from components.execution.pov import Pov
from components.execution.twap import Twap
from components.metrics.execution import ExecutionFold
from engine.calendar import Sessions
from engine.events import (
    DAY_NS,
    MINUTE_NS,
    SLICE_DECIDED,
    Children,
    Control,
    ControlAction,
    Fills,
    LegAction,
    Note,
    OrderKind,
    Reports,
    Status,
    TimeInForce,
    Timer,
)
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.components.execution.floor import ONE, OPEN_NS, TWO, Floor, minute, minutes, orders


def session() -> Sessions:
    """Two days from 09:30 to 16:00 in New York, without a break."""
    opens = np.array([OPEN_NS, OPEN_NS + DAY_NS])
    label, none = opens // DAY_NS * DAY_NS, np.zeros(2, np.int64)
    return Sessions(name="X", label=label, opens=opens, closes=opens + 390 * MINUTE_NS, break_from=none, break_to=none)


def test_a_parent_is_sent_in_slices_that_sum_to_it_and_ends_once() -> None:
    floor = Floor(Twap(horizon=4), TWO)
    floor.slice(minutes(1, [10.0, 20.0]), orders(1, [100.0, -10.0]))
    for k in range(2, 8):
        floor.slice(minutes(k, [10.0, 20.0]))
    assert floor.sent() == {1: [25.0] * 4, 2: [-2.0, -3.0, -2.0, -3.0]}  # halves to the even lot, caught up with
    assert floor.filled() == {1: 100.0, 2: -10.0}
    assert floor.ends([1, 2]) == {1: ["FINISHED"], 2: ["FINISHED"]}
    assert not floor.desk.working
    assert floor.notes() == []


def test_less_than_a_lot_a_step_waits_for_a_whole_one_and_an_odd_rest_goes_last() -> None:
    floor = Floor(Twap(horizon=5), universe_of(("A", "B"), lot=100.0))
    floor.slice(minutes(1, [10.0, 10.0]), orders(1, [200.0, -30.0]))
    for k in range(2, 8):
        floor.slice(minutes(k, [10.0, 10.0]))
    assert floor.sent()[1] == [100.0, 100.0]
    assert sum(floor.sent()[1]) == 200.0
    assert floor.sent()[2] == [-30.0]  # less than a lot: whole, in the last step


def test_a_child_lives_for_one_bar_and_what_it_left_is_caught_up_with() -> None:
    floor = Floor(Twap(horizon=3), ONE, participation=0.1)
    floor.slice(minutes(1, [10.0]), orders(1, [300.0]))
    floor.slice(minutes(2, [10.0], volume=[400.0]))  # 40 of 100
    for k in (3, 4):
        floor.slice(minutes(k, [10.0], volume=[1e6]))
    assert floor.sent() == {1: [100.0, 160.0, 100.0]}
    assert floor.filled() == {1: 300.0}
    tif = {int(t) for event in floor.of(Children) for t in event.tif}
    assert tif == {TimeInForce.IMMEDIATE_OR_CANCEL}
    assert not floor.ledger.book(0).open_orders.ids.size


@pytest.mark.parametrize("status", [Status.HALTED, Status.MISSING])
def test_nothing_is_sent_of_a_symbol_without_a_bar_and_the_rest_is_reported(status: Status) -> None:
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    floor.slice(minutes(2, [10.0]))
    for k in range(3, 7):
        floor.slice(minutes(k, [np.nan], status=[status]))
    assert floor.sent() == {1: [25.0, 25.0, 75.0]}  # the last step sends all that is left, whatever the bar
    assert floor.filled() == {1: 25.0}
    assert floor.ends([1]) == {1: ["EXPIRED"]}
    (note,) = floor.of(Note)
    assert (note.kind, note.value.tolist(), note.symbol.tolist()) == ("unfilled", [75.0], [0])


def test_a_day_without_volume_fills_nothing_and_ends_the_parent() -> None:
    floor = Floor(Immediate(horizon=2), ONE, participation=0.2)
    floor.slice(minutes(1, [10.0], volume=[0.0]), orders(1, [100.0]))
    for k in (2, 3, 4):
        floor.slice(minutes(k, [10.0], volume=[0.0]))
    assert floor.sent() == {1: [100.0, 100.0]}
    assert floor.filled() == {}
    assert floor.ends([1]) == {1: ["EXPIRED"]}
    assert floor.notes() == ["unfilled"]


def test_an_order_larger_than_the_volume_of_its_horizon_takes_what_there_is() -> None:
    floor = Floor(Twap(horizon=4), ONE, participation=0.5)
    floor.slice(minutes(1, [10.0], volume=[100.0]), orders(1, [1000.0]))
    for k in range(2, 7):
        floor.slice(minutes(k, [10.0], volume=[100.0]))
    assert floor.filled() == {1: 200.0}
    assert floor.ends([1]) == {1: ["EXPIRED"]}
    assert floor.of(Note)[-1].value.tolist() == [800.0]


def test_a_horizon_is_cut_at_the_close_and_noted() -> None:
    floor = Floor(Twap(horizon=10), ONE, sessions=session())
    floor.slice(minutes(386, [10.0]), orders(386, [8.0]))
    for k in range(387, 391):
        floor.slice(minutes(k, [10.0]))
    assert floor.sent() == {1: [2.0] * 4}
    assert floor.ends([1]) == {1: ["FINISHED"]}
    (note,) = floor.of(Note)
    assert (note.kind, note.value.tolist()) == ("horizon", [4.0])
    assert note.text == "the session leaves 1 orders 4 slices of their horizon of 10"


def test_missing_slices_do_not_carry_a_parent_over_the_close() -> None:
    floor = Floor(Twap(horizon=4), ONE, sessions=session())
    floor.slice(minutes(386, [10.0]), orders(386, [8.0]))
    floor.slice(minutes(389, [10.0]))  # two slices never came: this is the last before the close
    assert floor.sent() == {1: [2.0, 6.0]}
    floor.slice(minutes(24 * 60 + 1, [10.0]))
    assert floor.filled() == {1: 2.0}  # the last bar never came: what was sent for it is taken back at the close
    assert floor.ends([1]) == {1: ["EXPIRED"]}
    assert floor.notes()[-1] == "unfilled"
    assert not floor.desk.working


def test_what_no_bar_came_for_goes_on_over_the_close_where_horizons_span_days() -> None:
    floor = Floor(Twap(horizon=4, span_days=True), ONE, sessions=session())
    floor.slice(minutes(388, [10.0]), orders(388, [8.0]))
    for k in range(1, 5):
        floor.slice(minutes(24 * 60 + k, [10.0]))
    assert floor.filled() == {1: 8.0}


def test_an_order_decided_at_the_close_works_in_the_next_session() -> None:
    floor = Floor(Twap(horizon=2), ONE, sessions=session())
    floor.slice(minutes(390, [10.0]), orders(390, [8.0]))
    for k in (24 * 60 + 1, 24 * 60 + 2):
        floor.slice(minutes(k, [10.0]))
    assert floor.sent() == {1: [4.0, 4.0]}
    assert floor.filled() == {1: 8.0}


def test_a_new_order_takes_the_place_of_the_parent_that_works() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    floor.slice(minutes(2, [10.0]), orders(2, [-40.0], first=9))
    for k in range(3, 8):
        floor.slice(minutes(k, [10.0]))
    assert floor.sent() == {1: [25.0], 9: [-10.0] * 4}
    assert floor.ends([1, 9]) == {1: ["CANCELLED"], 9: ["FINISHED"]}


def test_a_new_order_in_the_slice_in_which_a_horizon_ends_follows_it_at_once() -> None:
    floor = Floor(Twap(horizon=2), ONE, participation=0.1)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    floor.slice(minutes(2, [10.0], volume=[100.0]))
    assert floor.desk.open_parents().left.tolist() == [90.0]
    floor.slice(minutes(3, [10.0], volume=[100.0]), orders(3, [80.0], first=9))
    floor.slice(minutes(4, [10.0]))
    floor.slice(minutes(5, [10.0]))
    assert floor.ends([1, 9]) == {1: ["EXPIRED"], 9: ["FINISHED"]}
    assert floor.sent() == {1: [50.0, 90.0], 9: [40.0, 40.0]}


def test_a_parent_whose_horizon_is_over_is_not_shown_to_the_optimizer() -> None:
    desk = Desk(universe=ONE, ids=OrderIds("t", "e"), name="e", pace=Twap(horizon=1))
    desk.on_bars(minutes(1, [10.0]))
    desk.on_orders(orders(1, [100.0]))
    assert desk.open_parents().ids.tolist() == [1]
    desk.on_bars(minutes(2, [10.0]))
    assert desk.open_parents().ids.tolist() == []
    assert desk.working


def test_a_replace_changes_what_is_left_and_not_the_clock() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    amend: dict[str, Any] = {"action": np.array([LegAction.REPLACE], np.int32), "ref": np.array([1], np.uint64)}
    floor.slice(minutes(2, [10.0]), orders(2, [35.0], first=9, **amend))
    for k in range(3, 8):
        floor.slice(minutes(k, [10.0]))
    assert floor.sent() == {1: [25.0, 5.0, 15.0, 15.0]}  # 60 in all: 30, 45, 60 by the end of each step
    assert floor.filled() == {1: 60.0}
    assert floor.ends([1]) == {1: ["FINISHED"]}


def replaced(floor: Floor, k: int, qty: float) -> None:
    amend: dict[str, Any] = {"action": np.array([LegAction.REPLACE], np.int32), "ref": np.array([1], np.uint64)}
    floor.slice(minutes(k, [10.0]), orders(k, [qty], first=100 + k, **amend))


def test_a_parent_that_grows_by_more_than_a_step_of_the_whole_begins_its_horizon_anew() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    fold = ExecutionFold(universe=ONE, interval_ns=MINUTE_NS, point="open", window=floor.desk.window)
    opens = [10.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 90.0, 90.0, 500.0]
    for k in range(1, 10):
        action = {1: LegAction.NEW, 4: LegAction.REPLACE}.get(k)
        columns: dict[str, Any] = {"action": np.array([action or 0], np.int32), "ref": np.array([k == 4], np.uint64)}
        given = (
            [orders(k, [10.0 if k == 1 else 4993.0], first=1 if k == 1 else 9, **columns)] if action is not None else []
        )
        event = minutes(k, [10.0], open=[opens[k]], volume=[1e6])
        fold.append([], [event, *given, *floor.slice(event, *given)])
    assert floor.sent() == {1: [2.0, 3.0, 2.0, 1248.0, 1248.0, 1249.0, 1248.0]}  # not 4993 in the last step
    assert floor.ends([1]) == {1: ["FINISHED"]}
    table = fold.table()
    assert (table["asked"].tolist(), table["filled"].tolist()) == ([5000.0], [5000.0])
    assert table["twap"].tolist() == [np.mean(opens[2:9])]  # of the horizon as it became


def test_a_parent_that_creeps_keeps_its_clock_and_ends() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    for k, left in ((2, 77.0), (3, 54.0), (4, 29.0)):
        replaced(floor, k, left)
    floor.slice(minutes(5, [10.0]))
    assert sum(floor.sent()[1]) > 100.0
    assert len(floor.sent()[1]) == 4
    assert floor.ends([1]) == {1: ["FINISHED"]}


def test_many_small_increases_hurry_no_more_than_one_large_one() -> None:
    """Each slice asks for 20 more; no step is ever above two steps of the whole."""
    floor = Floor(Twap(horizon=5), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    total = 100.0
    for k in range(2, 30):
        held = sum(floor.filled().values()) + (floor.sent()[1][-1] if floor.desk.working else 0.0)
        total += 20.0
        replaced(floor, k, total - held)
        assert floor.sent()[1][-1] <= 2 * total / 5


def test_a_replace_of_the_other_side_or_of_nothing_is_noted_and_changes_nothing() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    amend: dict[str, Any] = {"action": np.array([LegAction.REPLACE], np.int32), "ref": np.array([1], np.uint64)}
    said = floor.slice(minutes(2, [10.0]), orders(2, [-5.0], first=9, **amend))
    assert [event.kind for event in said if isinstance(event, Note)] == ["replace"]
    assert floor.sent() == {1: [25.0, 25.0]}


def test_a_cancel_ends_a_parent_and_halt_and_flatten_end_all() -> None:
    for how in ("cancel", "halt", "flatten"):
        floor = Floor(Twap(horizon=4), TWO)
        floor.slice(minutes(1, [10.0, 10.0]), orders(1, [100.0, 80.0]))
        if how == "cancel":
            away: dict[str, Any] = {
                "action": np.full(2, LegAction.CANCEL, np.int32),
                "ref": np.array([1, 2], np.uint64),
            }
            floor.slice(minutes(2, [10.0, 10.0]), orders(2, [0.0, 0.0], first=9, **away))
        else:
            floor.slice(minutes(2, [10.0, 10.0]))
            floor.take(floor.desk.on_control(Control(ts=minute(2), action=ControlAction(how))))
        for k in range(3, 8):
            floor.slice(minutes(k, [10.0, 10.0]))
        assert floor.ends([1, 2]) == {1: ["CANCELLED"], 2: ["CANCELLED"]}
        assert floor.filled() == ({1: 25.0, 2: 20.0} if how == "cancel" else {1: 50.0, 2: 40.0})


def test_an_order_with_a_price_passes_on_whole_and_ends_as_its_child() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    price: dict[str, Any] = {"kind": np.array([OrderKind.LIMIT], np.int32), "limit": np.array([9.0])}
    floor.slice(minutes(1, [10.0]), orders(1, [100.0], tif=np.array([TimeInForce.GOOD_TILL_CANCELLED]), **price))
    assert floor.sent() == {1: [100.0]}
    assert floor.ledger.book(0).open_orders.limit.tolist() == [9.0]
    floor.slice(minutes(2, [10.0]))
    assert floor.ends([1]) == {1: []}
    assert floor.desk.open_parents().ids.size == 0
    floor.slice(minutes(3, [8.0], open=[8.5]))
    floor.slice(minutes(4, [8.0]))
    assert floor.filled() == {1: 100.0}
    assert floor.ends([1]) == {1: ["FINISHED"]}


@pytest.mark.parametrize("tif", list(TimeInForce))
def test_a_market_order_with_a_moment_of_its_own_passes_on_whole(tif: TimeInForce) -> None:
    """One that lasts is worked; the others live as they say, and the figures leave them out."""
    floor = Floor(Twap(horizon=4), ONE, participation=0.1)
    fold = ExecutionFold(universe=ONE, interval_ns=MINUTE_NS, point="open", window=floor.desk.window)
    given = orders(1, [100.0], tif=np.array([tif]), expires=np.array([minute(3)]))
    for k in range(1, 8):
        event = minutes(k, [10.0], volume=[600.0])
        now = (given,) if k == 1 else ()
        fold.append([], [event, *now, *floor.slice(event, *now)])
    lasts = tif in (TimeInForce.DAY, TimeInForce.GOOD_TILL_CANCELLED)
    assert floor.sent() == {1: [25.0] * 4 if lasts else [100.0]}
    kept = {TimeInForce.IMMEDIATE_OR_CANCEL: 60.0, TimeInForce.FILL_OR_KILL: 0.0}  # of 60 that a bar takes
    assert floor.filled().get(1, 0.0) == kept.get(tif, 100.0)
    assert len(floor.ends([1])[1]) == 1
    assert fold.table()["filled"].tolist() == ([100.0] if lasts else [])


def test_a_cancel_of_a_child_goes_on_to_the_broker() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    price: dict[str, Any] = {"kind": np.array([OrderKind.LIMIT], np.int32), "limit": np.array([9.0])}
    floor.slice(minutes(1, [10.0]), orders(1, [100.0], **price))
    child = floor.ledger.book(0).open_orders
    assert child.parent.tolist() == [1]
    away: dict[str, Any] = {"action": np.array([LegAction.CANCEL], np.int32), "ref": child.ids}
    floor.slice(minutes(2, [10.0]), orders(2, [0.0], first=9, **away))
    floor.slice(minutes(3, [10.0]))
    assert floor.ends([1]) == {1: ["CANCELLED"]}
    assert not floor.ledger.book(0).open_orders.ids.size


def test_pov_does_not_complete_unless_it_is_asked_to() -> None:
    for complete, sent in ((False, [10.0, 20.0, 10.0]), (True, [10.0, 20.0, 70.0])):
        floor = Floor(Pov(universe=ONE, horizon=3, rate=0.1, complete=complete), ONE)
        floor.slice(minutes(1, [10.0], volume=[109.0]), orders(1, [100.0]))
        floor.slice(minutes(2, [10.0], volume=[200.0]))
        for k in range(3, 6):
            floor.slice(minutes(k, [10.0], volume=[100.0]))
        assert floor.sent() == {1: sent}
        assert floor.ends([1]) == {1: ["FINISHED" if complete else "EXPIRED"]}


def test_the_optimizer_sees_parents_with_what_they_have_not_filled() -> None:
    floor = Floor(Twap(horizon=4), TWO)
    floor.slice(minutes(1, [10.0, 10.0]), orders(1, [100.0, -40.0]))
    floor.slice(minutes(2, [10.0, 10.0]))
    seen = floor.desk.open_parents()
    assert (seen.ids.tolist(), seen.parent.tolist(), seen.left.tolist()) == ([1, 2], [1, 2], [75.0, -30.0])


def test_a_child_that_stays_in_the_market_is_cancelled_first_and_nothing_is_sent_twice() -> None:
    """A broker that lets an order rest, and fills a part of it before it is cancelled."""
    desk = Desk(universe=ONE, ids=OrderIds("t", "e"), name="e", pace=Twap(horizon=4))

    def woken(k: int) -> Any:
        desk.on_bars(minutes(k, [10.0]))
        return desk.on_timer(Timer(ts=minute(k), name=SLICE_DECIDED, due=minute(k)))

    desk.on_bars(minutes(1, [10.0]))
    desk.on_orders(orders(1, [100.0]))
    (first,) = desk.on_timer(Timer(ts=minute(1), name=SLICE_DECIDED, due=minute(1)))
    cancel, second = woken(2)
    assert (cancel.action.tolist(), cancel.ref.tolist()) == ([LegAction.CANCEL], first.ids.tolist())
    assert second.qty.tolist() == [25.0]  # beside the 25 in the market: 50 of 100 by the end of the second step
    at = minute(2), first.ids, np.zeros(1, np.int32)
    desk.on_reports(Reports(ts=at[0], ids=at[1], symbol=at[2], state=np.array([3], np.int32), left=np.zeros(1)))
    price, none = np.array([10.0]), np.zeros((1, 3))
    traded: dict[str, Any] = {"qty": np.array([10.0]), "price": price, "reference": price, "fees": none}
    desk.on_fills(Fills(ts=at[0], exec_ids=at[1], order_ids=at[1], symbol=at[2], at=np.array([at[0]]), **traded))
    assert desk.open_parents().left.tolist() == [90.0]  # the fill came behind the report of the cancel
    _, third = woken(3)
    assert third.qty.tolist() == [40.0]  # 10 filled and 25 in the market: 75 by the end of the third


def test_a_long_horizon_costs_what_it_sends() -> None:
    """Children that are over and booked are forgotten, by the desk and by the figures: no slice is dearer than before.

    What the bar left of a child is known for a few slices more: its fills may come behind its report.
    """
    for participation, most in ((None, 2), (1e-6, 7)):
        floor = Floor(Twap(horizon=300), TWO, participation=participation)
        fold = ExecutionFold(universe=TWO, interval_ns=MINUTE_NS, point="open", window=floor.desk.window)
        sizes = []
        for k in range(1, 120):
            given = (orders(k, [30_000.0, -60_000.0]),) if k == 1 else ()
            event = minutes(k, [10.0, 10.0], volume=[1e7, 1e7])
            said = floor.slice(event, *given)
            fold.append([], [event, *given, *said])
            sizes.append((len(floor.desk.save()), len(fold._children)))
        assert sizes[100][0] <= sizes[10][0] + 100
        assert sizes[100][1] <= 2 * most
        assert fold.table()["filled"].tolist() == list(floor.filled().values())
