"""The risk gate: what passes, what is refused and why."""

from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.gates.limits import Limits
from components.gates.rules import LIMITS, exits
from engine.errors import ComponentError
from engine.events import (
    HOUR_NS,
    ActionKind,
    Actions,
    Approved,
    Book,
    Children,
    Control,
    ControlAction,
    LegAction,
    Legs,
    OpenOrders,
    Orders,
    Reference,
    Refusals,
    Status,
)
from engine.ids import OrderIds
from engine.ledger import Ledger
from engine.state import pack, unpack
from engine.universe import universe_of
from tests.make import bars, book, day, legs

NAN = np.nan
MARK = [10.0, 20.0, 50.0, 100.0]


def gate(where: Book | None = None, **options: Any) -> Limits:
    made = Limits(universe=universe_of(tuple("ABCD")), ids=OrderIds("s", "risk"), name="risk", **options)
    if where is not None:
        assert made.on_book(where) is None
    return made


_ASKED: WeakKeyDictionary[Limits, int] = WeakKeyDictionary()  # ids asked for


def ask(made: Limits, symbol: list[int], qty: list[float], **columns: Any) -> tuple[list[int], list[str]]:
    """Places of the orders that were approved, from 1, or the ids that were given; `rule` of each refusal.

    Ids not given go on from those asked for of the same gate before.
    """
    first = 0
    if "ids" not in columns:
        first = _ASKED.get(made, 0)
        _ASKED[made] = first + len(symbol)
        columns["ids"] = np.arange(first + 1, first + len(symbol) + 1, dtype=np.uint64)
    answer = made.on_orders(legs(ts=day(0), symbol=symbol, qty=qty, **columns))
    passed = [i - first for e in answer if isinstance(e, Approved) for i in e.ids.tolist()]
    return passed, [rule for e in answer if isinstance(e, Refusals) for rule in e.rule]


def working(*rows: tuple[int, int, float]) -> dict[str, Any]:
    """Columns of a book with these open market orders: (id, symbol, left)."""
    ids, symbol, left = (np.array(column) for column in zip(*rows, strict=True))
    none = np.full(len(ids), NAN)
    orders = OpenOrders(
        ids=ids.astype(np.uint64),
        parent=np.zeros(len(ids), np.uint64),
        symbol=symbol.astype(np.int32),
        left=left.astype(float),
        kind=np.zeros(len(ids), np.int32),
        limit=none,
        stop=none,
    )
    return {"open_orders": orders, "working": np.bincount(orders.symbol, orders.left, minlength=4)}


def control(action: ControlAction, ts: int = day(0)) -> Control:
    return Control(ts=ts, action=action, actor="jo")


def test_an_order_within_all_limits_is_approved_with_the_same_arrays() -> None:
    made = gate(book(day(0), MARK), max_order_value=1e5, max_weight=0.2, max_gross=1.0, max_net=1.0)
    orders = legs(ts=day(0), symbol=[0, 1], qty=[100, -100])
    (approved,) = made.on_orders(orders)
    assert isinstance(approved, Approved)
    assert approved.ts == day(0)
    for name in orders.__struct_fields__:
        if name != "ts":
            assert np.shares_memory(getattr(approved, name), getattr(orders, name))


def test_a_refusal_carries_rule_value_and_threshold_and_spares_the_others() -> None:
    made = gate(book(day(0), MARK, cash=1e4), max_order_value=1000.0)
    approved, refusals = made.on_orders(legs(ts=day(0), symbol=[0, 1, 2], qty=[100, 51, 20]))
    assert isinstance(approved, Approved)
    assert isinstance(refusals, Refusals)
    assert (approved.ids.tolist(), approved.qty.tolist()) == ([1, 3], [100, 20])
    assert (refusals.by, refusals.ts, refusals.ids.tolist()) == ("risk", day(0), [2])
    assert (refusals.symbol.tolist(), refusals.qty.tolist()) == ([1], [51])
    assert (refusals.rule, refusals.value.tolist(), refusals.threshold.tolist()) == (
        ("max_order_value",),
        [1020.0],
        [1000.0],
    )


TABLE = [  # options, book columns, symbol, qty, rules refused
    ({}, {}, [0], [1e9], []),
    ({"max_order_value": 1000}, {}, [0], [100], []),  # at the limit
    ({"max_order_value": 1000}, {}, [0], [-101], ["max_order_value"]),
    ({"max_order_value": 1000}, {"qty": [500, 0, 0, 0]}, [0], [-500], []),  # leaving is always possible
    ({"max_weight": 0.1}, {"cash": 1e4}, [0], [100], []),
    ({"max_weight": 0.1}, {"cash": 1e4}, [0], [101], ["max_weight"]),
    ({"max_weight": 0.1}, {"cash": 1e4}, [0], [-101], ["max_weight"]),
    ({"max_weight": 0.1}, {"cash": 9500, "qty": [50, 0, 0, 0]}, [0], [51], ["max_weight"]),
    ({"max_weight": 0.1}, {"cash": 8000, "qty": [200, 0, 0, 0]}, [0], [-1], []),  # still above, but less
    ({"max_weight": 0.1}, {"cash": 8000, "qty": [200, 0, 0, 0]}, [0], [-301], ["max_weight"]),  # turns over too far
    ({"max_gross": 1.0}, {"cash": 1e3}, [0, 1], [50, 26], ["max_gross"]),
    ({"max_gross": 1.0}, {"cash": 1e3}, [0, 1], [50, -26], ["max_gross"]),
    ({"max_gross": 1.0}, {"cash": 0, "qty": [100, 0, 0, 0]}, [0, 1], [-100, 50], []),  # sold before it buys
    ({"max_gross": 1.0}, {"cash": 0, "qty": [100, 0, 0, 0]}, [1, 0], [50, -100], ["max_gross"]),  # the other order
    ({"max_net": 0.5}, {"cash": 1e3}, [0, 1], [50, 1], ["max_net"]),
    ({"max_net": 0.5}, {"cash": 1e3}, [0, 1, 2], [50, -25, 10], []),
    ({"max_net": 0.5}, {"cash": 1e3}, [0], [-51], ["max_net"]),
    ({"max_weight": 0.1, "max_order_value": 100}, {"cash": 1e3}, [0], [11], ["max_order_value"]),  # the first rule
]


@pytest.mark.parametrize(("options", "columns", "symbol", "qty", "rules"), TABLE)
def test_rule_46_limits_by_table(
    options: dict[str, Any], columns: dict[str, Any], symbol: list[int], qty: list[float], rules: list[str]
) -> None:
    """Rule 46: the final orders are checked, not the targets."""
    passed, refused = ask(gate(book(day(0), MARK, **columns), **options), symbol, qty)
    assert refused == rules
    assert len(passed) == len(symbol) - len(rules)


def full(**options: Any) -> Limits:
    """A gate of four names of two sectors (D has none) that saw one slice, all of them fresh but D."""
    made = gate(**options)
    seen = bars(ts=day(0), close=[10, 20, 50, NAN], volume=[1000, 1000, 1000, NAN])
    sectors = Reference(ts=day(0), name="sectors", rows="symbol", value=np.array([[0.0], [0.0], [1.0], [NAN]]))
    for method, event in (("on_bars", seen), ("on_reference", sectors)):
        if hasattr(made, method):
            getattr(made, method)(event)
    return made


MORE = [  # options, book columns, columns of the orders, symbol, qty, rule, value, threshold; an empty rule passes
    ({"max_order_qty": 50}, {}, {}, 0, 50, "", 0, 0),
    ({"max_order_qty": 50}, {}, {}, 0, -51, "max_order_qty", 51, 50),
    ({"max_order_qty": 50}, {"qty": [90, 0, 0, 0]}, {}, 0, -90, "", 0, 0),  # an exit
    ({"price_collar": 0.1}, {}, {}, 0, 1, "", 0, 0),  # no price
    ({"price_collar": 0.1}, {}, {"kind": 1, "limit": 11.0}, 0, 1, "", 0, 0),
    ({"price_collar": 0.1}, {}, {"kind": 1, "limit": 11.5}, 0, 1, "price_collar", 0.15, 0.1),
    ({"price_collar": 0.1}, {}, {"kind": 1, "limit": 8.5}, 0, 1, "price_collar", 0.15, 0.1),
    ({"price_collar": 0.1}, {"qty": [9, 0, 0, 0]}, {"kind": 1, "limit": 1.0}, 0, -9, "price_collar", 0.9, 0.1),
    ({"price_collar": 0.1}, {"qty": [9, 0, 0, 0]}, {}, 0, -9, "", 0, 0),  # it leaves at the market
    ({"price_collar": 0.1}, {}, {"kind": 2, "stop": 12.0}, 0, 1, "price_collar", 0.2, 0.1),
    ({"price_collar": 0.1}, {}, {"kind": 3, "stop": 10.5, "limit": 12.0}, 0, 1, "price_collar", 0.2, 0.1),
    ({"price_collar": 0.1}, {}, {"kind": 1}, 0, 1, "price_collar", NAN, 0.1),  # a limit order without one
    ({"price_collar": 0.1}, {}, {"kind": 3, "limit": 10.0}, 0, 1, "price_collar", NAN, 0.1),
    ({"price_collar": 0.1}, {}, {"kind": 1, "limit": np.inf}, 0, 1, "price_collar", np.inf, 0.1),
    ({"max_position": 50}, {"qty": [20, 0, 0, 0]}, {}, 0, 30, "", 0, 0),
    ({"max_position": 50}, {"qty": [20, 0, 0, 0]}, {}, 0, 31, "max_position", 51, 50),
    ({"max_position": 50}, {"qty": [20, 0, 0, 0]}, {}, 0, -71, "max_position", 51, 50),
    ({"max_position": 50}, {"qty": [90, 0, 0, 0]}, {}, 0, -10, "", 0, 0),
    ({"max_participation": 0.05}, {}, {}, 0, 50, "", 0, 0),
    ({"max_participation": 0.05}, {}, {}, 0, 51, "max_participation", 0.051, 0.05),
    ({"max_participation": 0.05}, {}, {}, 3, 1, "max_participation", NAN, 0.05),  # its volume is not known
    ({"max_participation": 0.05}, {"qty": [0, 0, 0, 9]}, {}, 3, -9, "", 0, 0),
    ({"max_open_orders": 1}, {}, {}, 0, 1, "", 0, 0),
    ({"max_open_orders": 1}, "working", {}, 0, 1, "max_open_orders", 2, 1),
    ({"max_open_orders": 1}, "working", {"action": 2, "ref": 7}, 1, 1, "", 0, 0),  # a replace opens none
    ({"max_bar_age": "1h"}, {}, {}, 0, 1, "", 0, 0),
    ({"max_bar_age": "1h"}, {}, {"ts": day(0) + HOUR_NS}, 0, 1, "", 0, 0),
    ({"max_bar_age": "1h"}, {}, {"ts": day(0) + 2 * HOUR_NS}, 0, 1, "max_bar_age", 7200, 3600),
    ({"max_bar_age": "1h"}, {"qty": [9, 0, 0, 0]}, {"ts": day(1)}, 0, -9, "", 0, 0),
    ({"max_bar_age": "1h"}, {}, {}, 3, 1, "max_bar_age", NAN, 3600),  # it never had a fresh bar
    ({"restricted": ("A",)}, {}, {}, 0, 5, "restricted", 5, 0),
    ({"restricted": ("A",)}, {}, {}, 1, 5, "", 0, 0),
    ({"restricted": ("A",)}, {"qty": [9, 0, 0, 0]}, {}, 0, -9, "", 0, 0),
    ({"restricted": ("A",)}, {"qty": [9, 0, 0, 0]}, {}, 0, -10, "restricted", 10, 0),
    ({"banned": ("A",)}, {"qty": [9, 0, 0, 0]}, {}, 0, -9, "banned", 9, 0),
    ({"max_sector_gross": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 1, 15, "", 0, 0),
    ({"max_sector_gross": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 1, 16, "max_sector_gross", 0.52, 0.5),
    ({"max_sector_gross": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 1, -16, "max_sector_gross", 0.52, 0.5),
    ({"max_sector_gross": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 2, 10, "", 0, 0),  # another sector
    ({"max_sector_gross": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 3, 6, "max_sector_gross", 0.6, 0.5),
    ({"max_sector_net": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 1, 16, "max_sector_net", 0.52, 0.5),
    ({"max_sector_net": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 1, -16, "", 0, 0),
    ({"max_sector_net": 0.5}, {"cash": 800, "qty": [20, 0, 0, 0]}, {}, 1, -36, "max_sector_net", 0.52, 0.5),
]


@pytest.mark.parametrize(("options", "columns", "given", "symbol", "qty", "rule", "value", "threshold"), MORE)
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among_others"])
def test_rule_46_a_refusal_tells_value_and_threshold_of_each_limit(
    options: Any,
    columns: Any,
    given: Any,
    symbol: int,
    qty: float,
    rule: str,
    value: float,
    threshold: float,
    alone: bool,
) -> None:
    """Rule 46: by the whole batch at once or leg by leg, each limit judges alike."""
    made = full(**options)
    made.on_book(book(day(0), MARK, **({"cash": 1e3} | (working((7, 1, 1.0)) if columns == "working" else columns))))
    types = {"kind": np.int32, "action": np.int32, "ref": np.uint64, "limit": float, "stop": float}
    count = 1 if alone else 2  # a cancel in the batch has each leg judged on its own
    rows = {name: np.full(count, kind(given[name]), kind) for name, kind in types.items() if name in given}
    if not alone:
        rows["action"] = np.array([given.get("action", 0), LegAction.CANCEL], np.int32)
    orders = legs(ts=given.get("ts", day(0)), symbol=[symbol] * count, qty=[float(qty), 0.0][:count], **rows)
    refused = [event for event in made.on_orders(orders) if isinstance(event, Refusals)]
    found = [(e.rule[0], e.value[0], e.threshold[0]) for e in refused]
    assert [r for r, _, _ in found] == ([rule] if rule else [])
    if rule:
        np.testing.assert_allclose(found[0][1:], (value, threshold))


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
    assert ask(made, [0, 2], [30, 11]) == ([1], ["max_sector_gross"])


def test_volumes_follow_splits_and_changes_of_symbol_and_age_does_not_count_halts() -> None:
    made = gate(max_participation=0.1, volume_slices=2, max_bar_age="30h")
    rows = ([100, 100, 100, 100], [300, NAN, 100, 0])
    for k, volume in enumerate(rows):
        made.on_bars(bars(ts=day(k), close=[10, NAN if k else 20, 50, 100], volume=volume))
    made.on_book(book(day(1), MARK, cash=1e6))
    assert ask(made, [0, 1, 2, 3], [20, 10, 10, 5]) == ([1, 2, 3, 4], [])  # means 200, 100, 100, 50
    split = Actions(
        ts=day(1),
        kind=np.array([ActionKind.SPLIT, ActionKind.SYMBOL_CHANGE], np.int32),
        symbol=np.array([0, 2], np.int32),
        ratio=np.array([2.0, 1.0]),
        amount=np.zeros(2),
        pay_at=np.zeros(2, np.int64),
        successor=np.array([-1, 1], np.int32),
    )
    made.on_actions(split)
    made.on_book(book(day(1), MARK, cash=1e6))
    assert ask(made, [0, 0], [40, 41]) == ([1], ["max_participation"])
    fresh = gate(max_participation=0.1, volume_slices=1, max_bar_age="30h")  # keeps the latest slice only
    fresh.load(made.save())
    assert ask(fresh, [3, 0], [1, 60]) == ([2], ["max_participation"])
    fresh.on_bars(bars(ts=day(2), close=[NAN] * 4, status=[Status.HALTED] * 4, volume=[9.0] * 4))
    late = legs(ts=day(2) + 7 * HOUR_NS, symbol=[0], qty=[1])
    (answer,) = fresh.on_orders(late)
    assert (answer.rule, answer.value.tolist()) == (("max_bar_age",), [31 * 3600.0])


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
    assert len(approved.ids) == 0


def test_halt_refuses_all_but_cancels_until_resume() -> None:
    made = gate(book(day(0), MARK, qty=[5, 0, 0, 0]))
    assert made.on_control(control(ControlAction.HALT)) is None
    action = np.array([LegAction.NEW, LegAction.NEW, LegAction.CANCEL], np.int32)
    assert ask(made, [0, 1, 0], [-5, 1, 0], action=action) == ([3], ["halted", "halted"])
    made.on_control(control(ControlAction.RESUME))
    assert ask(made, [0, 1], [-5, 1]) == ([1, 2], [])


def test_reduce_only_lets_exits_pass() -> None:
    made = gate(book(day(0), MARK, qty=[5, -5, 0, 0]))
    made.on_control(control(ControlAction.REDUCE_ONLY))
    assert ask(made, [0, 1, 0, 2], [-3, 5, -3, 1]) == ([1, 2], ["reduce_only", "reduce_only"])


def test_flatten_cancels_everything_then_closes_every_position() -> None:
    made = gate(book(day(0), MARK, qty=[5, -3, 0, 0.5], **working((7, 2, 10.0))))
    ask(made, [2], [4])  # approved since the book: cancelled too
    approved = made.on_control(control(ControlAction.FLATTEN, day(0) + 5))
    assert approved is not None
    assert approved.ts == day(0) + 5
    assert approved.action.tolist() == [LegAction.CANCEL] * 2 + [LegAction.NEW] * 3
    assert approved.ref.tolist() == [7, 1, 0, 0, 0]
    assert approved.symbol.tolist() == [2, 2, 0, 3, 1]
    assert approved.qty.tolist() == [0, 0, -5, -0.5, 3]
    assert len(set(approved.ids.tolist())) == 5
    assert ask(made, [0], [-1]) == ([], ["halted"])


def test_rule_54_flatten_closes_again_what_did_not_fill_until_resume() -> None:
    """Rule 54: stop."""
    made = gate(book(day(0), MARK, qty=[5, -3, 0, 0]))
    first = made.on_control(control(ControlAction.FLATTEN))
    assert first is not None
    waiting = book(day(1), MARK, qty=[5, -3, 0, 0], **working((11, 0, -5.0)))  # the other order has expired
    second = made.on_book(waiting)
    assert second is not None
    assert (second.symbol.tolist(), second.qty.tolist()) == ([1], [3.0])
    assert made.on_book(book(day(2), MARK)) is None
    late = made.on_book(book(day(3), MARK, qty=[0, 0, 2, 0]))  # a fill that was on its way
    assert late is not None
    assert late.qty.tolist() == [-2]
    made.on_control(control(ControlAction.RESUME))
    assert made.on_book(book(day(4), MARK, qty=[0, 0, 2, 0])) is None


def test_flatten_twice_in_a_slice_repeats_no_id() -> None:
    made = gate(book(day(0), MARK, qty=[5, 0, 0, 0]))
    first, second = (made.on_control(control(ControlAction.FLATTEN)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert not set(first.ids.tolist()) & set(second.ids.tolist())


def test_flatten_of_nothing_sends_nothing() -> None:
    assert gate().on_control(control(ControlAction.FLATTEN)) is None
    assert gate(book(day(0), MARK)).on_control(control(ControlAction.FLATTEN)) is None


def test_other_controls_change_nothing() -> None:
    made = gate(book(day(0), MARK))
    assert made.on_control(control(ControlAction.SWAP_MODEL)) is None
    assert ask(made, [0], [1]) == ([1], [])


def test_flatten_survives_a_restart() -> None:
    made = gate(book(day(0), MARK, qty=[5, 0, 0, 0], **working((7, 2, 10.0))))
    made.on_control(control(ControlAction.FLATTEN))
    fresh = gate()
    fresh.load(made.save())
    assert fresh.save() == made.save()
    assert ask(fresh, [0], [-1]) == ([], ["halted"])
    again = fresh.on_book(book(day(1), MARK, qty=[5, 0, 0, 0]))
    assert again is not None
    assert again.qty.tolist() == [-5]


def test_currency_and_multiplier_enter_the_value() -> None:
    universe = msgspec.structs.replace(
        universe_of(tuple("ABCD")),
        currencies=("USD", "EUR"),
        currency=np.array([0, 1, 0, 0], np.int32),
        multiplier=np.array([1.0, 1.0, 10.0, 1.0]),
    )
    made = Limits(universe=universe, ids=OrderIds("s", "risk"), name="risk", max_order_value=1000.0)
    made.on_book(book(day(0), MARK, rate=np.array([1.0, 2.0])))
    assert ask(made, [1, 1, 2, 2], [25, 26, 2, 2.1]) == ([1, 3], ["max_order_value", "max_order_value"])


NUMBERS = [limit.name for limit in LIMITS if limit.name not in ("banned", "restricted", "max_bar_age")]


@pytest.mark.parametrize("name", [*NUMBERS, "max_daily_loss", "max_drawdown", "volume_slices"])
def test_every_limit_of_the_table_is_an_option_above_zero(name: str) -> None:
    gate(**{name: 1})
    for value in (0.0, -1.0, NAN, np.inf):
        with pytest.raises(ValueError, match=f"{name} must be above 0"):
            gate(**{name: value})


def test_options_that_are_no_numbers_are_checked_too() -> None:
    gate(max_bar_age="36h", restricted=("A",), banned=("B", "C"))
    with pytest.raises(ValueError, match="max_bar_age must be a duration such as 2min or 30s, got 'long'"):
        gate(max_bar_age="long")
    with pytest.raises(ValueError, match="max_bar_age must be above 0"):
        gate(max_bar_age="0")
    with pytest.raises(ValueError, match="on_drawdown must be reduce_only, halt or flatten, got 'resume'"):
        gate(on_drawdown="resume")
    for option in ("restricted", "banned"):
        with pytest.raises(ValueError, match=f"{option} names 'a', which is no symbol of the universe"):
            gate(**{option: ("A", "a")})


def test_unused_limits_leave_no_handler_to_be_routed_to() -> None:
    handlers = ("on_bars", "on_actions", "on_reference", "on_timer")
    assert [name for name in handlers if hasattr(gate(max_weight=0.1, max_gross=1.0, max_net=1.0), name)] == []
    assert hasattr(gate(max_participation=0.1), "on_bars")
    assert hasattr(gate(max_sector_net=0.1), "on_reference")
    assert hasattr(gate(max_drawdown=0.1), "on_timer")
    assert (gate(max_weight=0.1).lookback, gate(max_participation=0.1, volume_slices=9).lookback) == (0, 9)


@pytest.mark.parametrize(
    ("before", "qty", "leaves"),
    [(10, -10, True), (10, -11, False), (10, 1, False), (-10, 10, True), (-10, 11, False), (0, 1, False)],
)
def test_an_exit_only_reduces(before: float, qty: float, leaves: bool) -> None:
    assert exits(np.array([before]), np.array([qty])).tolist() == [leaves]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 8))
def test_rule_46_whatever_passes_keeps_every_limit_unless_it_only_leaves(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    where = book(day(0), MARK, cash=1e4, qty=np.round(rng.uniform(-40, 80, 4)))
    made = gate(where, max_weight=0.15, max_gross=0.6, max_net=0.4, max_order_value=900.0)
    orders = legs(ts=day(0), symbol=rng.integers(0, 4, count), qty=np.round(rng.uniform(-60, 60, count)) + 0.5)
    seen = 0
    qty = np.array(where.qty)
    for event in made.on_orders(orders):
        seen += len(event.ids)
        if isinstance(event, Approved):
            for symbol, size in zip(event.symbol, event.qty, strict=True):
                held = qty[symbol]
                leaves = held * size < 0 and abs(size) <= abs(held)
                qty[symbol] += size
                value = qty * where.mark / where.equity
                inside = [
                    abs(value[symbol]) <= 0.15 + 1e-9,
                    np.abs(value).sum() <= 0.6 + 1e-9,
                    abs(value.sum()) <= 0.4 + 1e-9,
                    abs(size) * where.mark[symbol] <= 900,
                ]
                # Purchases and sales of one symbol in one batch are each taken at their worst
                assert leaves or all(inside) or len(set(event.symbol.tolist())) < len(event.symbol)
    assert seen == count


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 4))
def test_a_batch_and_its_legs_one_by_one_are_judged_alike(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    where = book(day(0), MARK, cash=1e4, qty=np.round(rng.uniform(0, 40, 4)))
    options = {"max_weight": 0.15, "max_order_value": 900.0}
    symbol, qty = rng.permutation(4)[:count].tolist(), np.round(rng.uniform(-60, 60, count)).tolist()
    _, together = ask(gate(where, **options), symbol, qty)
    made = gate(where, **options)
    alone = [rule for s, q in zip(symbol, qty, strict=True) for rule in ask(made, [s], [q])[1]]
    assert together == alone


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 12))
def test_a_batch_that_names_symbols_again_is_judged_as_it_is_leg_by_leg(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    waiting = working((101, 0, 5.0), (102, 0, -3.0), (103, 2, 8.0), (104, 0, 1.5))
    where = book(day(0), MARK, cash=1e4, qty=np.round(rng.uniform(-20, 40, 4)), **waiting)
    table = {"max_weight": 0.3, "max_gross": 0.8, "max_net": 0.5, "max_order_value": 900.0}
    table |= {"max_orders_per_minute": 9, "max_open_orders": 12}
    options = {name: value for name, value in table.items() if rng.random() < 0.3}
    size = rng.choice([3.0, 12.0, 60.0])
    symbol, qty = rng.integers(0, 4, count).tolist(), np.round(rng.uniform(-size, size, count), 1).tolist()
    named = [*symbol, 0, 0, 2, 0], np.array([*qty, 5.0, -3.0, 8.0, 1.5])  # with what is working
    high, low = (where.qty + np.bincount(named[0], side(named[1], 0.0), 4) for side in (np.maximum, np.minimum))
    asked = sorted(set(symbol))
    most = max(*np.abs(high[asked]), *np.abs(low[asked]))  # the last leg that reaches it is refused below it
    options["max_position"] = most * rng.choice([0.97, 1.0, 1.5])
    passed, refused = ask(gate(where, **options), symbol, qty)
    # A leg of no symbol at all is refused, and has the gate look at each of the others on its own.
    assert ask(gate(where, **options), [*symbol, 9], [*qty, 1.0]) == (passed, [*refused, "unknown_symbol"])


# ---- legs that are not well formed -----------------------------------------------------------------------------------


def codes(*values: int) -> Any:
    return np.array(values, np.int32)


def order_ids(*values: int) -> Any:
    return np.array(values, np.uint64)


@pytest.mark.parametrize("name", sorted(set(Legs.__struct_fields__) - {"ts", "symbol"}))
@pytest.mark.parametrize("kind", [Orders, Children])
def test_columns_of_different_lengths_are_nobodys_orders(name: str, kind: type[Legs]) -> None:
    made = gate(book(day(0), MARK), max_order_value=1e9)
    more = {"parent": order_ids(0)} if kind is Children else {}
    good = legs(kind, day(0), symbol=[0], qty=[1], **more)
    wrong = msgspec.structs.replace(good, **{name: np.repeat(getattr(good, name), 2)})
    before = made.save()
    with pytest.raises(ComponentError, match=rf"risk: .*columns of {kind.__name__} .*\b{name} 2"):
        made.on_orders(wrong)
    assert made.save() == before


def test_children_without_a_parent_for_each_are_nobodys_orders() -> None:
    made = gate(book(day(0), MARK))
    with pytest.raises(ComponentError, match=r"columns.* parent 1"):
        made.on_orders(legs(Children, day(0), symbol=[0, 1], qty=[1, 1], parent=order_ids(0)))


MALFORMED = [  # columns of three orders of A, B and C, ids refused, rule, value, threshold
    ({"ids": order_ids(1, 2, 1)}, [1], "duplicate", 2.0, 1.0),
    ({"ids": order_ids(1, 7, 2)}, [7], "duplicate", 2.0, 1.0),  # open
    ({"ids": order_ids(1, 5, 2)}, [5], "duplicate", 2.0, 1.0),  # approved since the book
    ({"ids": order_ids(1, 0, 2)}, [0], "no_id", 0.0, 1.0),
    ({"ref": order_ids(0, 0, 9)}, [3], "unknown_parent", np.nan, 0.0),
    ({"action": codes(0, 0, 3)}, [3], "action", 3.0, 2.0),
    ({"action": codes(-1, 0, 0)}, [1], "action", -1.0, 2.0),
    ({"kind": codes(0, 7, 0)}, [2], "order_kind", 7.0, 6.0),
    ({"kind": codes(0, -1, 0)}, [2], "order_kind", -1.0, 6.0),
    ({"tif": codes(0, 0, 5)}, [3], "time_in_force", 5.0, 4.0),
    ({"tif": codes(-2, 0, 0)}, [1], "time_in_force", -2.0, 4.0),
    ({"action": codes(0, 0, 2), "ref": order_ids(0, 0, 7)}, [3], "replace_symbol", 2.0, 0.0),
    ({"action": codes(0, 2, 0), "ref": order_ids(0, 5, 0)}, [2], "replace_symbol", 1.0, 3.0),
    ({"action": codes(0, 2, 0), "ref": order_ids(0, 1, 0)}, [2], "replace_symbol", 1.0, 0.0),  # of this very batch
]


@pytest.mark.parametrize("options", [{}, {"max_gross": 10.0, "price_collar": 0.5, "max_open_orders": 9}])
@pytest.mark.parametrize("row", MALFORMED, ids=lambda row: row[2])
def test_a_leg_that_is_not_well_formed_is_refused_and_spares_the_others(row: Any, options: dict[str, Any]) -> None:
    columns, ids, rule, value, threshold = row
    made = gate(book(day(0), MARK, **working((7, 0, 3.0))), **options)
    made.on_orders(legs(ts=day(0), symbol=[3], qty=[1], ids=order_ids(5)))
    given = legs(ts=day(0), symbol=[0, 1, 2], qty=[1, 1, 1], **columns)
    approved, refused = made.on_orders(given)
    assert (refused.ids.tolist(), refused.rule) == (ids, (rule,))
    np.testing.assert_array_equal([refused.value, refused.threshold], [[value], [threshold]])
    assert sorted([*approved.ids.tolist(), *ids]) == sorted(given.ids.tolist())


@pytest.mark.parametrize(
    ("parents", "symbols", "rule"),
    [
        ([7, 8, 9], [0, 1, 2], "unknown_parent"),  # 9 was an order that nobody gave
        ([7, 8, 0], [0, 1, 2], "unknown_parent"),
        ([7, 8, 8], [0, 1, 2], "parent_symbol"),
        ([7, 8, 8], [0, 1, 1], ""),
    ],
)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_child_is_of_an_order_that_was_given_and_of_its_symbol(
    parents: list[int], symbols: list[int], rule: str, restarts: bool
) -> None:
    made, twin = gate(book(day(0), MARK)), gate(book(day(0), MARK))
    made.on_parents(legs(ts=day(0), symbol=[0, 1], qty=[5, 5], ids=order_ids(7, 8)))
    made.on_parents(legs(ts=day(0), symbol=[2], qty=[5], ids=order_ids(9), action=codes(1), ref=order_ids(8)))
    if restarts:
        twin.load(made.save())
        made = twin
    given = legs(Children, day(0), symbol=symbols, qty=[1, 1, 1], parent=order_ids(*parents), ids=order_ids(1, 2, 3))
    approved, *refused = made.on_orders(given)
    assert approved.ids.tolist() == ([1, 2] if rule else [1, 2, 3])
    assert [(each.ids.tolist(), each.rule) for each in refused] == ([([3], (rule,))] if rule else [])


def test_the_reference_of_a_child_may_be_its_parent_and_no_other_order() -> None:
    made = gate(book(day(0), MARK))
    made.on_parents(legs(ts=day(0), symbol=[0], qty=[5], ids=order_ids(7)))
    for ref, rules in ((7, []), (5, [("unknown_parent",)])):
        child = legs(Children, day(0), symbol=[0], qty=[1], parent=order_ids(7), ref=order_ids(ref), ids=order_ids(ref))
        assert [each.rule for each in made.on_orders(child) if isinstance(each, Refusals)] == rules


def test_a_state_from_before_parents_were_kept_can_be_loaded() -> None:
    made = gate(book(day(0), MARK))
    fields = unpack(made.save(), "limits", 3)
    del fields["parents"]
    made.load(pack("limits", 3, **fields))
    assert ask(made, [0], [1]) == ([1], [])


def test_the_parents_that_are_kept_are_bounded() -> None:
    made = gate(book(day(0), MARK))
    count = 65_537
    made.on_parents(legs(ts=day(0), symbol=[0] * count, qty=np.ones(count)))
    child = {"symbol": [0], "qty": [1]}
    for parent, kind in ((1, Refusals), (2, Approved), (count, Approved)):
        (answer,) = made.on_orders(legs(Children, day(0), parent=order_ids(parent), ids=order_ids(9 + parent), **child))
        assert answer.__class__ is kind


def test_a_replace_is_not_judged_at_the_mark_of_another_symbol() -> None:
    """A share of A costs 10, one of D 100: 90 of A would be 900, of D they are 9,000."""
    made = gate(book(day(0), MARK, **working((7, 3, 3.0))), max_order_value=1000.0)
    replace = {"action": codes(LegAction.REPLACE), "ref": order_ids(7)}
    assert ask(made, [0], [90], **replace) == ([], ["replace_symbol"])
    assert ask(made, [3], [90], **replace) == ([], ["max_order_value"])
    assert ask(made, [3], [9], **replace) == ([1], [])


def test_a_cancel_passes_whatever_its_id_is() -> None:
    made = gate(book(day(0), MARK, **working((7, 0, 3.0))))
    assert ask(made, [0, 0], [0, 0], ids=order_ids(7, 7), action=codes(1, 1), ref=order_ids(7, 7)) == ([7, 7], [])


def test_a_new_order_with_the_id_of_a_cancel_before_it_is_refused() -> None:
    made = gate(book(day(0), MARK, **working((7, 0, 3.0))))
    columns = {"ids": order_ids(9, 9), "action": codes(1, 0), "ref": order_ids(7, 0)}
    assert ask(made, [0, 0], [0, 1], **columns) == ([9], ["duplicate"])


def test_an_id_whose_order_is_over_may_come_again() -> None:
    made = gate(book(day(0), MARK))
    assert ask(made, [0], [1], ids=order_ids(5)) == ([5], [])
    assert ask(made, [0], [1], ids=order_ids(5)) == ([], ["duplicate"])
    made.on_book(book(day(1), MARK))
    assert ask(made, [0], [1], ids=order_ids(5)) == ([5], [])


def test_the_first_of_two_orders_of_one_id_stays_in_the_ledger() -> None:
    """Also where the first of a batch is refused: then neither of them works."""
    ledger = Ledger(universe=universe_of(tuple("ABCD")), cash=1e6)
    ledger.on_bars(bars(day(0), MARK))
    made = gate(ledger.book(day(0)), max_order_qty=10)
    for ids, qty in ((order_ids(5, 5, 6, 6), [1, 2, 11, 3]), (order_ids(5), [4])):
        for event in made.on_orders(legs(ts=day(0), symbol=[0] * len(ids), qty=qty, ids=ids)):
            (ledger.on_approved if isinstance(event, Approved) else ledger.on_refusals)(event)
    orders = ledger.book(day(0)).open_orders
    assert (orders.ids.tolist(), orders.left.tolist()) == ([5], [1.0])


@pytest.mark.parametrize("equity", [np.inf, -np.inf, NAN, 0.0, -1.0])
@pytest.mark.parametrize("options", [{}, {"max_weight": 0.1}, {"max_gross": 1.0, "max_net": 0.1}])
def test_without_a_positive_finite_equity_nothing_but_exits_passes(equity: float, options: dict[str, Any]) -> None:
    made = gate(msgspec.structs.replace(book(day(0), MARK, qty=[5, 0, 0, 0]), equity=equity), **options)
    assert ask(made, [1, 2], [1, 1]) == ([], ["equity"] * 2)
    assert ask(made, [0, 1], [-5, 1])[1] == ["equity"]
