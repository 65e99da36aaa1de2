"""Legs that are not well formed, and books of no worth: refused one by one, and none with another."""

from typing import Any

import msgspec
import numpy as np
import pytest

from engine.errors import ComponentError
from engine.events import (
    Approved,
    Children,
    LegAction,
    Legs,
    Orders,
    Refusals,
)
from engine.ledger import Ledger
from engine.state import pack, unpack
from engine.universe import universe_of
from tests.components.gates.asked import MARK, NAN, ask, codes, gate, order_ids, working
from tests.make import bars, book, day, legs


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
    ({"ref": order_ids(0, 0, 9)}, [3], "unknown_parent", NAN, 0.0),
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
