"""Where two events differ in their rows: the order, and what became of it on either side."""

from typing import Any

import msgspec
import numpy as np

from engine.events import Approved, Fills, Legs, Note, Orders, OrderState, Refusals, Reports
from samewire.first_row import fate
from samewire.first_value import first_value
from tests.samewire.sessions import fills

SYMBOLS = ("AA", "BB", "CC")


def legs(kind: type[Legs], *symbols: int) -> Any:
    """A leg a symbol, with the id 10 + symbol."""
    n = len(symbols)
    codes: Any = {name: np.zeros(n, np.int8) for name in ("action", "kind", "tif")}
    prices: Any = {name: np.full(n, np.nan) for name in ("limit", "stop", "trail")}
    return kind(
        ts=1,
        ids=np.array(symbols, np.uint64) + np.uint64(10),
        ref=np.zeros(n, np.uint64),
        symbol=np.array(symbols, np.int32),
        qty=np.arange(n) + 100.0,
        expires=np.zeros(n, np.int64),
        **codes,
        **prices,
    )


def refusals(rule: str, *symbols: int) -> Refusals:
    n = len(symbols)
    ids = np.array(symbols, np.uint64) + np.uint64(10)
    value = np.zeros(n)
    code = np.array(symbols, np.int32)
    return Refusals(ts=1, by="risk", ids=ids, symbol=code, qty=value, rule=(rule,) * n, value=value, threshold=value)


def found(one: Any, two: Any, *beside: Any) -> tuple[Any, ...]:
    value = first_value(one, two, SYMBOLS, beside or ((), ()))  # type: ignore[arg-type]
    assert value is not None
    return value.field, value.symbol, value.one, value.two


def test_an_order_that_one_side_lacks_is_named_with_what_became_of_it() -> None:
    one, two = legs(Approved, 0, 1, 2), legs(Approved, 0, 2)
    assert found(one, two) == ("ids", "BB", "approved", "nothing")
    assert found(two, one) == ("ids", "BB", "nothing", "approved")
    wanted = legs(Orders, 0, 1, 2)
    refused = refusals("restricted", 1)
    assert found(one, two, [wanted, one], [wanted, two, refused]) == ("ids", "BB", "approved", "refused by restricted")
    assert found(refused, refusals("restricted", 1, 2), [refused, one], [two]) == (
        *("ids", "CC", "approved"),
        "refused by restricted",
    )


def test_an_order_of_another_kind_of_event_is_named_too() -> None:
    only, refused = legs(Approved, 1), refusals("max_gross", 1)
    assert fate(only, [refused]) == ("ids", 1, "approved", "refused by max_gross")
    assert fate(only, [legs(Orders, 1)]) == ("ids", 1, "approved", "nothing")
    assert fate(only, [legs(Orders, 1), only]) is None


def test_reports_and_fills_have_rows_of_orders() -> None:
    state = np.array([OrderState.ACCEPTED, OrderState.CANCELLED], np.int8)
    ids, code = np.array([10, 11], np.uint64), np.array([0, 1], np.int32)
    one = Reports(ts=1, ids=ids, symbol=code, state=state, left=np.zeros(2))
    two = Reports(ts=1, ids=ids[:1], symbol=code[:1], state=state[:1], left=np.zeros(1))
    assert found(one, two) == ("ids", "BB", "cancelled", "nothing")
    first, second = fills(1, [0, 2], [5, 5], [10, 10]), fills(1, [0], [5], [10])
    assert isinstance(first, Fills)
    assert found(first, second) == ("exec_ids", "CC", "filled", "nothing")


def test_columns_of_no_orders_are_told_by_their_symbols_and_others_by_their_shapes() -> None:
    one = Note(ts=1, source="s", kind="k", text="", symbol=np.array([0, 2], np.int32), value=np.zeros(2))
    two = msgspec.structs.replace(one, symbol=one.symbol[:1], value=one.value[:1])
    assert found(one, two) == ("symbol", "CC", "CC", "nothing")
    assert found(two, one) == ("symbol", "CC", "nothing", "CC")
    assert found(one, msgspec.structs.replace(one, value=np.zeros(3)))[0] == "value"
