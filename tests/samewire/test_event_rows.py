"""Events as rows: names instead of codes, text instead of stamps, one row for what has one subject."""

import msgspec
import numpy as np
import pytest

from engine.events import (
    EVENT_TYPES,
    ActionKind,
    Actions,
    ChargeKind,
    Charges,
    Control,
    ControlAction,
    Features,
    Fills,
    LegAction,
    Mode,
    Note,
    OrderState,
    Reference,
    Refusals,
    Reports,
    Timer,
    Watermark,
)
from samewire.event_rows import TOPICS, rows
from tests.make import bars, book, day, legs, signal, target

SYMBOLS = ("AAA", "BBB")
TS = "2018-01-03T21:00:00Z"


def test_every_event_type_but_features_has_a_topic() -> None:
    covered = {kind for kinds in TOPICS.values() for kind in kinds}
    assert set(EVENT_TYPES) - covered == {Features}


def test_bars_have_a_row_a_symbol_and_a_missing_price_is_none() -> None:
    first, second = rows(bars(day(1), [10.0, np.nan]), SYMBOLS)
    assert (first["ts"], first["symbol"], first["close"], first["status"]) == (TS, "AAA", 10.0, "fresh")
    assert (second["symbol"], second["close"], second["status"]) == ("BBB", None, "missing")


def test_a_signal_has_rows_only_where_it_says_something() -> None:
    assert [(r["source"], r["symbol"], r["value"]) for r in rows(signal(day(1), [np.nan, 0.5]), SYMBOLS)] == [
        ("model", "BBB", 0.5)
    ]
    assert list(rows(signal(day(1), [np.nan, 0.5]), SYMBOLS, only=0)) == []


def test_a_target_names_its_kind() -> None:
    assert [row["kind"] for row in rows(target(day(1), [0.1, 0.2]), SYMBOLS)] == ["weight", "weight"]


def test_orders_have_a_row_a_leg_with_names_for_codes() -> None:
    event = legs(
        ts=day(1), symbol=[1, 0], qty=[5, -5], action=np.array([0, 1], np.int32), ref=np.array([0, 7], np.uint64)
    )
    first, second = rows(event, SYMBOLS)
    assert (first["symbol"], first["action"], first["kind"], first["tif"]) == ("BBB", "new", "market", "day")
    assert (first["ids"], first["ref"], first["limit"], first["expires"]) == ("0000000000000001", "", None, "")
    assert (second["action"], second["ref"]) == (LegAction.CANCEL.name.lower(), "0000000000000007")
    assert [row["qty"] for row in rows(event, SYMBOLS, only=0)] == [-5.0]


def test_fees_of_a_fill_are_summed() -> None:
    one = np.ones(1)
    ids = np.ones(1, np.uint64)
    event = Fills(
        ts=day(1),
        exec_ids=ids,
        order_ids=ids,
        symbol=np.zeros(1, np.int32),
        qty=one,
        price=one,
        reference=one,
        fees=np.array([[1.0, 2.0, 3.0]]),
        at=np.array([day(1)]),
    )
    (row,) = rows(event, SYMBOLS)
    assert (row["fees"], row["at"]) == (6.0, TS)


def test_refusals_and_reports_name_rule_and_state() -> None:
    ids, symbol, qty = np.ones(1, np.uint64), np.zeros(1, np.int32), np.ones(1)
    refused = Refusals(
        ts=day(1), by="risk", ids=ids, symbol=symbol, qty=qty, rule=("max_weight",), value=qty, threshold=qty
    )
    reported = Reports(ts=day(1), ids=ids, symbol=symbol, state=np.array([OrderState.EXPIRED], np.int32), left=qty)
    assert [(r["by"], r["rule"]) for r in rows(refused, SYMBOLS)] == [("risk", "max_weight")]
    assert [r["state"] for r in rows(reported, SYMBOLS)] == ["expired"]


def test_a_book_is_one_row_and_with_a_symbol_its_position() -> None:
    event = book(day(1), [10.0, 20.0], cash=100.0, qty=[3.0, 0.0])
    (whole,) = rows(event, SYMBOLS)
    assert (whole["equity"], whole["cash"], whole["positions"], whole["mode"]) == (130.0, 100.0, 1, "active")
    assert whole["unsettled"] == 0.0
    (row,) = rows(event, SYMBOLS, only=0)
    assert (row["symbol"], row["qty"], row["mark"], row["opened"]) == ("AAA", 3.0, 10.0, TS)
    assert Mode.ACTIVE == 0


def test_charges_name_their_kind_and_one_of_no_symbol_has_an_empty_one() -> None:
    event = Charges(
        ts=day(1),
        kind=np.array([ChargeKind.BORROW, ChargeKind.CASH_INTEREST], np.int32),
        symbol=np.array([1, -1], np.int32),
        currency=np.zeros(2, np.int32),
        amount=np.array([-1.5, 2.0]),
    )
    assert [(r["symbol"], r["kind"], r["amount"]) for r in rows(event, SYMBOLS)] == [
        ("BBB", "borrow", -1.5),
        ("", "cash_interest", 2.0),
    ]
    assert [r["kind"] for r in rows(event, SYMBOLS, only=1)] == ["borrow"]
    assert TOPICS["charges"] == (Charges,)


def test_fills_that_settle_later_say_when() -> None:
    one, ids = np.ones(1), np.ones(1, np.uint64)
    columns = {"exec_ids": ids, "order_ids": ids, "symbol": np.zeros(1, np.int32), "qty": -one, "price": one}
    event = Fills(
        ts=day(0), **columns, reference=one, fees=np.zeros((1, 3)), at=np.array([day(0)]), settles=np.array([day(1)])
    )
    assert [r["settles"] for r in rows(event, SYMBOLS)] == [TS]


def test_actions_name_their_kind() -> None:
    one = np.ones(1)
    event = Actions(
        ts=day(1),
        kind=np.array([ActionKind.SPLIT], np.int32),
        symbol=np.ones(1, np.int32),
        ratio=2 * one,
        amount=np.zeros(1),
        pay_at=np.zeros(1, np.int64),
        successor=np.full(1, -1, np.int32),
    )
    shown = ("symbol", "kind", "ratio", "pay_at", "successor")
    assert [tuple(r[name] for name in shown) for r in rows(event, SYMBOLS)] == [("BBB", "split", 2.0, "", "")]
    change = msgspec.structs.replace(
        event, kind=np.array([ActionKind.SYMBOL_CHANGE], np.int32), successor=np.zeros(1, np.int32)
    )
    assert [(r["kind"], r["successor"]) for r in rows(change, SYMBOLS)] == [("symbol_change", "AAA")]


@pytest.mark.parametrize(
    "event",
    [
        Control(ts=day(1), action=ControlAction.HALT, reason="test"),
        Timer(ts=day(1), name="session_closed", due=day(1)),
        Watermark(ts=day(1)),
        Note(ts=day(1), source="optimizer", kind="fallback", text="no estimate"),
        Reference(ts=day(1), name="sectors", rows="symbol", value=np.zeros((2, 1))),
        Features(ts=day(1), schema="abc", value=np.zeros((2, 3))),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_speaks_of_no_symbol_is_one_row_and_none_of_a_symbol(event: object) -> None:
    (row,) = rows(event, SYMBOLS)  # type: ignore[arg-type]
    assert row["ts"] == TS
    assert list(rows(event, SYMBOLS, only=1)) == []  # type: ignore[arg-type]


def test_a_note_about_symbols_has_a_row_each() -> None:
    event = Note(
        ts=day(1), source="optimizer", kind="dropped", symbol=np.array([1, 0], np.int32), value=np.array([0.1, 0.2])
    )
    assert [(r["kind"], r["symbol"], r["value"]) for r in rows(event, SYMBOLS)] == [
        ("dropped", "BBB", 0.1),
        ("dropped", "AAA", 0.2),
    ]
