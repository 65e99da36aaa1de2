"""What an optimizer makes of parents that an execution policy works: left alone, amended, or cancelled."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.costs.bps import Bps
from components.optimizers.direct import Direct
from engine.events import Book, LegAction, OpenOrders, Orders, TargetKind
from engine.ids import OrderIds
from engine.universe import universe_of
from engine.worked import with_intent, with_parents
from tests.make import bars, book, day, no_orders, target

NAN = np.nan


def parents(left: float, *, parent: int = 7) -> OpenOrders:
    """One order of the first symbol with this id for a parent; its own id is 7."""
    ids, none = np.array([7], np.uint64), np.full(1, NAN)
    return OpenOrders(
        ids=ids,
        parent=np.array([parent], np.uint64),
        symbol=np.zeros(1, np.int32),
        left=np.array([left]),
        kind=np.zeros(1, np.int32),
        limit=none,
        stop=none,
    )


def answered(
    wanted: float, held: float, left: float, *, close: float = 10.0, **options: Any
) -> list[tuple[str, int, float]]:
    """(action, reference, quantity) of each leg, of a target in shares."""
    direct = Direct(universe=universe_of(("A", "B")), ids=OrderIds("s", "o"), costs=Bps(), name="direct", **options)
    direct.on_bars(bars(day(0), [close, 10.0]))
    seen = with_parents(book(day(0), [10.0, 10.0], qty=[held, 0.0]), parents(left))
    out = direct.on_targets((target(day(0), [wanted, NAN], kind=TargetKind.QUANTITY),), seen)
    return legs_of(out)


def legs_of(out: Any) -> list[tuple[str, int, float]]:
    legs = [event for event in out if isinstance(event, Orders)]
    return [
        (LegAction(action).name, ref, qty)
        for event in legs
        for action, ref, qty in zip(event.action.tolist(), event.ref.tolist(), event.qty.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("wanted", "held", "left", "said"),
    [
        (100.0, 25.0, 75.0, []),  # what it trades is what is wanted
        (100.0, 0.0, 75.0, [("REPLACE", 7, 100.0)]),
        (60.0, 25.0, 75.0, [("REPLACE", 7, 35.0)]),
        (25.0, 25.0, 75.0, [("CANCEL", 7, 0.0)]),  # what is held is what is wanted
        (10.0, 25.0, 75.0, [("CANCEL", 7, 0.0), ("NEW", 0, -15.0)]),  # the other side need not wait
        (0.0, 25.0, -25.0, []),
        (NAN, 25.0, 75.0, []),  # nobody said anything of it
    ],
)
def test_a_parent_is_left_alone_amended_or_cancelled(wanted: float, held: float, left: float, said: Any) -> None:
    assert answered(wanted, held, left) == said


def test_without_a_bar_a_parent_is_left_as_it_is() -> None:
    assert answered(0.0, 25.0, 75.0, close=NAN) == []


@pytest.mark.parametrize(
    ("wanted", "left", "said"),
    [
        (26.0, 75.0, [("REPLACE", 7, 1.0)]),  # else each order would stop short of its target by nearly the band
        (25.0, 75.0, [("CANCEL", 7, 0.0)]),
        (24.0, 75.0, [("CANCEL", 7, 0.0)]),  # the other side has not begun
        (24.0, -75.0, [("REPLACE", 7, -1.0)]),
    ],
)
def test_the_band_says_whether_a_trade_begins_not_where_it_ends(wanted: float, left: float, said: Any) -> None:
    assert answered(wanted, 25.0, left, min_order_value=50.0) == said


def test_purchases_are_amended_to_the_money_there_is() -> None:
    ((action, ref, qty),) = answered(1e6, 0.0, 75.0)
    assert (action, ref) == ("REPLACE", 7)
    assert qty < 1e5


def test_a_child_is_no_parent() -> None:
    """An order in the market whose parent is another order: left to who sent it."""
    direct = Direct(universe=universe_of(("A", "B")), ids=OrderIds("s", "o"), costs=Bps(), name="direct")
    direct.on_bars(bars(day(0), [10.0, 10.0]))
    child = parents(75.0, parent=3)
    seen = book(day(0), [10.0, 10.0], qty=[25.0, 0.0], working=np.array([75.0, 0.0]), open_orders=child)
    assert direct.on_targets((target(day(0), [100.0, NAN], kind=TargetKind.QUANTITY),), seen) == ()


@pytest.mark.parametrize(
    ("wanted", "sent", "said"),
    [
        (100.0, 25.0, []),  # a target given again, with a child in the market
        (100.0, 100.0, []),  # all of the parent is in the market
        (140.0, 25.0, [("REPLACE", 7, 140.0)]),
        (60.0, 25.0, [("REPLACE", 7, 60.0)]),
        (25.0, 25.0, [("REPLACE", 7, 25.0)]),  # what is in the market is all that is wanted
        (10.0, 25.0, [("REPLACE", 7, 10.0)]),
        (0.0, 0.0, [("CANCEL", 7, 0.0)]),
    ],
)
def test_a_child_in_the_market_counts_once(wanted: float, sent: float, said: Any) -> None:
    """Order 7 wants 100; its child of `sent` shares is in the market, and among the working shares."""
    both, child = parents(100.0), parents(sent)
    columns = {name: np.concatenate([getattr(child, name), getattr(both, name)]) for name in both.__struct_fields__}
    columns["ids"] = np.array([8, 7], np.uint64)
    none = OpenOrders(**columns) if sent else both
    direct = Direct(universe=universe_of(("A", "B")), ids=OrderIds("s", "o"), costs=Bps(), name="direct")
    direct.on_bars(bars(day(0), [10.0, 10.0]))
    seen = book(day(0), [10.0, 10.0], qty=[0.0, 0.0], working=np.array([sent, 0.0]), open_orders=none)
    out = direct.on_targets((target(day(0), [wanted, NAN], kind=TargetKind.QUANTITY),), seen)
    assert legs_of(out) == said


def test_the_rest_of_a_parent_is_worked_to_its_end_be_it_below_the_band() -> None:
    assert answered(100.0, 97.0, 3.0, min_order_value=50.0) == []


def test_a_strategy_sees_what_parents_have_not_sent_among_the_working_shares() -> None:
    child = parents(25.0, parent=7)
    child = msgspec.structs.replace(child, ids=np.array([8], np.uint64))
    plain = book(day(0), [10.0, 10.0], qty=[40.0, 0.0], working=np.array([25.0, 0.0]), open_orders=child)
    seen = with_intent(plain, parents(100.0))
    assert seen.working.tolist() == [100.0, 0.0]  # 25 in the market and 75 to be sent
    assert seen.open_orders is plain.open_orders
    assert plain.working.tolist() == [25.0, 0.0]
    assert with_intent(plain, no_orders()) is plain


def test_a_position_that_a_parent_closes_is_none() -> None:
    """In lots of tenths, sums of parts leave dust; a strategy must not take it for a position."""
    held = 0.1 + 0.2
    seen = with_intent(book(day(0), [10.0, 10.0], qty=[held, 0.0]), parents(-0.3))
    assert (seen.qty + seen.working).tolist() == [0.0, 0.0]


def test_the_book_an_optimizer_sees_has_parents_beside_the_working_shares() -> None:
    plain: Book = book(day(0), [10.0, 10.0])
    seen = with_parents(plain, parents(75.0))
    assert seen.open_orders.ids.tolist() == [7]
    assert seen.working is plain.working
    assert with_parents(plain, no_orders()) is plain
