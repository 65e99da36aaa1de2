"""The risk gate: what passes, what is refused and why."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.gates.limits import Limits
from components.gates.rules import LIMITS, exits
from engine.events import Approved, Book, Control, ControlAction, LegAction, OpenOrders, Refusals
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.make import book, day, legs

NAN = np.nan
MARK = [10.0, 20.0, 50.0, 100.0]


def gate(where: Book | None = None, **options: Any) -> Limits:
    made = Limits(universe=universe_of(tuple("ABCD")), ids=OrderIds("s", "risk"), name="risk", **options)
    if where is not None:
        assert made.on_book(where) is None
    return made


def ask(made: Limits, symbol: list[int], qty: list[float], **columns: Any) -> tuple[list[int], list[str]]:
    """Ids approved, and `rule` of each refusal."""
    answer = made.on_orders(legs(ts=day(0), symbol=symbol, qty=qty, **columns))
    passed = [i for e in answer if isinstance(e, Approved) for i in e.ids.tolist()]
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
    return Control(ts=ts, action=action)


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


def test_every_limit_of_the_table_is_an_option() -> None:
    for limit in LIMITS:
        gate(**{limit.name: 1.0})
        for value in (0.0, -1.0, NAN, np.inf):
            with pytest.raises(ValueError, match=f"{limit.name} must be above 0"):
                gate(**{limit.name: value})


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
