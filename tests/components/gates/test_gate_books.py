"""What a batch, the working orders and the state of the book leave of each limit."""

import msgspec
import numpy as np

from engine.events import (
    Approved,
    LegAction,
    Refusals,
)
from tests.components.gates.asked import MARK, NAN, ask, full, gate, working
from tests.make import book, day, legs


def test_a_sector_limit_without_sectors_lets_only_exits_pass() -> None:
    made = gate(book(day(0), MARK, qty=[9, 0, 0, 0]), max_sector_gross=0.9)
    assert ask(made, [0, 1], [-9, 1]) == ([1], ["max_sector_gross"])


def test_orders_a_minute_are_counted_in_event_time() -> None:
    made = gate(book(day(0), MARK, qty=[50, 0, 0, 0]), max_orders_per_minute=3)

    def rules(after_s: float, count: int, side: int = 1) -> list[str]:
        ids = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(1000 * after_s)
        orders = legs(ts=day(0) + int(after_s * 10**9), symbol=[0] * count, qty=[side * 1.0] * count, ids=ids)
        return [rule for e in made.on_orders(orders) if isinstance(e, Refusals) for rule in e.rule]

    assert rules(0, 2) == []
    assert rules(30, 2) == ["max_orders_per_minute"]  # the second is the fourth
    assert rules(59.9, 1) == ["max_orders_per_minute"]
    assert rules(60, 2) == []  # the two of the beginning are a minute old
    assert rules(61, 2, side=-1) == []  # exits pass, and count
    assert rules(89, 1) == ["max_orders_per_minute"]
    fresh = gate(max_orders_per_minute=3)
    fresh.load(made.save())
    made = fresh
    assert rules(122, 3) == []


def test_a_replace_counts_as_an_order_of_the_minute_and_a_cancel_does_not() -> None:
    made = gate(book(day(0), MARK, **working((7, 0, 5.0))), max_orders_per_minute=2)
    action = np.array([LegAction.CANCEL, LegAction.REPLACE, LegAction.REPLACE, LegAction.REPLACE], np.int32)
    passed, refused = ask(made, [0] * 4, [0, 6, NAN, NAN], action=action, ref=np.full(4, 7, np.uint64))
    assert (passed, refused) == ([1, 2, 3], ["max_orders_per_minute"])


def test_orders_approved_since_the_book_are_open_too() -> None:
    made = gate(book(day(0), MARK, **working((7, 0, 5.0))), max_open_orders=3)
    assert ask(made, [0, 1], [1, 1]) == ([1, 2], [])
    assert ask(made, [2], [1]) == ([], ["max_open_orders"])
    made.on_book(book(day(1), MARK))
    assert ask(made, [0, 1, 2, 3], [1] * 4) == ([1, 2, 3], ["max_open_orders"])


def test_rule_45_the_net_limit_takes_the_working_orders_of_the_orders_own_side() -> None:
    """Rule 45: a working sale gives a purchase no room, and what was approved before the book came counts."""
    made = gate(book(day(0), MARK, cash=1e3, **working((7, 1, -25.0))), max_net=0.5)
    assert ask(made, [0], [51]) == ([], ["max_net"])
    assert ask(made, [0], [50]) == ([1], [])
    assert ask(made, [2], [1]) == ([], ["max_net"])


def test_rule_45_a_sector_takes_working_orders_at_their_worst() -> None:
    """Rule 45: by sector as for the whole book."""
    made = full(max_sector_gross=0.5, max_sector_net=0.5)
    made.on_book(book(day(0), MARK, cash=1e3, **working((7, 1, -10.0))))
    assert ask(made, [0], [31]) == ([], ["max_sector_gross"])


def test_two_legs_of_one_symbol_are_added_up() -> None:
    made = gate(book(day(0), MARK, cash=1e4), max_weight=0.1)
    assert ask(made, [0, 0, 0], [60, 41, 40]) == ([1, 3], ["max_weight"])


def test_a_refused_leg_uses_up_nothing() -> None:
    made = gate(book(day(0), MARK, cash=1e3), max_gross=1.0)
    assert ask(made, [0, 1, 2], [60, 30, 8]) == ([1, 3], ["max_gross"])


def test_rule_45_working_orders_count_as_if_all_of_their_side_fill() -> None:
    """Rule 45: check on worst-case working orders."""
    where = book(day(0), MARK, cash=1e4, **working((7, 0, 60.0), (8, 1, -30.0)))
    made = gate(where, max_weight=0.1, max_gross=1.0)
    assert ask(made, [0], [41]) == ([], ["max_weight"])
    assert ask(made, [0], [40]) == ([1], [])
    assert ask(made, [1], [50]) == ([1], [])  # a working sale gives no room and takes none from a purchase
    assert ask(made, [1], [-21]) == ([], ["max_weight"])


def test_a_sale_that_is_working_makes_a_second_one_no_exit() -> None:
    columns = working((7, 0, -100.0))
    made = gate(book(day(0), MARK, cash=0.0, qty=[100, 0, 0, 0], **columns), max_order_value=500.0)
    assert ask(made, [0], [-60]) == ([], ["max_order_value"])


def test_orders_approved_since_the_book_count_too() -> None:
    where = book(day(0), MARK, cash=1e4)
    made = gate(where, max_weight=0.1)
    assert ask(made, [0], [60]) == ([1], [])
    assert ask(made, [0], [41]) == ([], ["max_weight"])
    made.on_book(where)
    assert ask(made, [0], [41]) == ([1], [])


def test_rule_30_a_missing_or_broken_mark_is_refused() -> None:
    """Rule 30 at the gate: it fails closed."""
    for mark in (NAN, 0.0, np.inf, -1.0):
        where = msgspec.structs.replace(book(day(0), MARK), mark=np.array([10, mark, 50, 100]))
        assert ask(gate(where, max_gross=1.0), [0, 1], [1, 1]) == ([1], ["price"])


def test_a_book_that_cannot_be_valued_lets_only_exits_pass() -> None:
    where = msgspec.structs.replace(book(day(0), MARK, qty=[5, 5, 0, 0]), mark=np.array([10, NAN, 50, 100]))
    assert ask(gate(where, max_gross=1.0), [0, 2], [-5, 1]) == ([1], ["max_gross"])


def test_without_a_book_all_but_cancels_are_refused() -> None:
    action = np.array([LegAction.NEW, LegAction.CANCEL], np.int32)
    assert ask(gate(), [0, 0], [1, 0], action=action) == ([2], ["no_book"])


def test_without_equity_only_exits_pass() -> None:
    made = gate(book(day(0), MARK, qty=[10, 0, 0, 0], cash=-200.0), max_weight=0.1)
    assert ask(made, [0, 1], [-10, 1]) == ([1], ["equity"])


def test_a_quantity_that_is_not_finite_is_refused() -> None:
    assert ask(gate(book(day(0), MARK)), [0, 1], [NAN, 1]) == ([2], ["quantity"])
    assert ask(gate(book(day(0), MARK), max_gross=1.0), [0, 1], [np.inf, 1]) == ([2], ["quantity"])


def test_an_order_for_a_symbol_that_is_none_of_the_universe_is_refused_and_no_other_with_it() -> None:
    made = gate(book(day(0), MARK), max_weight=0.9)
    approved, refused = made.on_orders(legs(ts=day(0), symbol=[0, 7, -1], qty=[1, 1, 1]))
    assert approved.ids.tolist() == [1]
    assert refused.rule == ("unknown_symbol", "unknown_symbol")
    assert (refused.value.tolist(), refused.threshold.tolist()) == ([7.0, -1.0], [3.0, 3.0])


def test_a_replace_frees_what_it_replaces() -> None:
    where = book(day(0), MARK, cash=1e4, **working((7, 0, 60.0)))
    made = gate(where, max_weight=0.1)
    replace = {"action": np.array([LegAction.REPLACE], np.int32)}
    assert ask(made, [0], [100], ref=np.array([7], np.uint64), **replace) == ([1], [])
    made.on_book(where)
    assert ask(made, [0], [100], ref=np.array([9], np.uint64), **replace) == ([], ["max_weight"])


def test_rule_40_a_replace_that_asks_for_less_frees_nothing_before_the_broker_has_agreed() -> None:
    """It may be refused, and then the order is as it was."""
    made = gate(book(day(0), MARK, cash=10_000, **working((9, 0, 400.0))), max_weight=0.5)
    action = np.array([LegAction.REPLACE, LegAction.NEW, LegAction.NEW], np.int32)
    ref = np.array([9, 0, 0], np.uint64)
    passed, refused = ask(made, [0, 0, 0], [50.0, 200.0, 100.0], action=action, ref=ref)
    assert (passed, refused) == ([1, 3], ["max_weight"])  # 400 and 200 are too many, 400 and 100 are not


def test_a_replace_of_the_price_alone_keeps_the_quantity_and_its_place_in_the_limits() -> None:
    made = gate(book(day(0), MARK, cash=1e4, **working((7, 0, 100.0))), max_weight=0.1)
    replace = {"action": np.array([LegAction.REPLACE], np.int32)}
    assert ask(made, [0], [NAN], ref=np.array([7], np.uint64), **replace) == ([1], [])
    assert ask(made, [0], [NAN], ref=np.array([9], np.uint64), **replace) == ([1], [])  # the broker knows no such order
    assert ask(made, [0], [1]) == ([], ["max_weight"])


def test_no_legs_are_approved_as_no_legs() -> None:
    (approved,) = gate(book(day(0), MARK)).on_orders(legs(ts=day(0), symbol=[], qty=[]))
    assert isinstance(approved, Approved)
