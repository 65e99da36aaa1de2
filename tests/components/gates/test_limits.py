"""The risk gate: what passes, what is refused and why."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.gates.limits import Limits
from components.gates.rules import LIMITS, exits
from engine.calendar import Sessions
from engine.events import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    ActionKind,
    Actions,
    Approved,
    Children,
    LegAction,
    Orders,
    Refusals,
    Status,
)
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.components.gates.asked import MARK, NAN, ask, full, gate, working
from tests.make import bars, book, day, legs


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


def test_a_child_that_waited_for_trading_to_begin_is_as_old_as_when_it_had_stopped() -> None:
    """The last bar ends 10 minutes before the close; children go out at the open, where a break ends, and later."""
    opens, since = day(np.arange(2)) - 6 * HOUR_NS, np.array([0, day(1) - 3 * HOUR_NS])
    until = np.array([0, day(1) - 2 * HOUR_NS])
    columns = {"label": day(np.arange(2)) // DAY_NS * DAY_NS, "opens": opens, "closes": day(np.arange(2))}
    hours = Sessions(name="X", **columns, break_from=since, break_to=until)

    def judged(ts: int, kind: Any = Children, **options: Any) -> list[float]:
        """The age for which it is refused, empty = it passes."""
        made = gate(book(day(0), MARK), **({"max_bar_age": "15m", "sessions": hours} | options))
        made.on_parents(legs(ts=day(0), symbol=[0], qty=[10.0]))
        made.on_bars(bars(ts=day(0) - 10 * MINUTE_NS, close=MARK))
        parent = {"parent": np.array([1], np.uint64)} if kind is Children else {}
        ids = np.array([7], np.uint64)
        (said,) = made.on_orders(legs(kind, ts, symbol=[0], qty=[10.0], ids=ids, **parent))
        return said.value.tolist() if isinstance(said, Refusals) else []

    opened = int(opens[1])
    assert judged(opened) == []
    assert judged(opened, max_bar_age="5m") == [600.0]
    assert judged(opened + MINUTE_NS) == [18 * 3600 + 660.0]
    assert judged(int(until[1])) == [21 * 3600 + 600.0]  # the break is not counted, the night is
    assert judged(opened, sessions=None) == judged(opened, Orders) == [18 * 3600 + 600.0]


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
