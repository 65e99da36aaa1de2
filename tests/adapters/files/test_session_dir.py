"""The session directory's tables: what went in comes out, in bus order, in bounded memory."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.files import session_dir
from adapters.files.session_dir import FILES, SessionDir, write_equity
from engine.events import ActionKind, Actions, ChargeKind, Charges, Fills, Orders, Refusals, TargetKind
from engine.ids import id_text
from engine.universe import universe_of
from tests.make import bars, book, day, legs, signal, target

UNIVERSE = universe_of(("AAA", "NULL", "000001"))


def fills(ts: int, symbol: list[int], qty: list[float]) -> Fills:
    n = len(symbol)
    ids = np.arange(7, 7 + n, dtype=np.uint64)
    return Fills(
        ts=ts,
        exec_ids=ids + np.uint64(1),
        order_ids=ids,
        symbol=np.array(symbol, np.int32),
        qty=np.array(qty),
        price=np.full(n, 10.0),
        reference=np.full(n, 9.5),
        fees=np.tile([1.0, 0.5, 0.25], (n, 1)),
        at=np.full(n, ts - 5),
    )


async def written(folder: Path, *events: object) -> dict[str, dict[str, list[object]]]:
    sink = SessionDir(directory=folder, universe=UNIVERSE)
    for event in events:
        await sink.write(event)  # type: ignore[arg-type]
    await sink.aclose()
    return {name: pq.read_table(folder / f"{name}.parquet").to_pydict() for name in FILES}


async def test_a_fill_is_one_row_with_signed_quantity_and_the_sum_of_its_fees(tmp_path: Path) -> None:
    table = (await written(tmp_path, fills(day(1), [0, 2], [5.0, -3.0])))["fills"]
    assert table["order_id"] == [id_text(7), id_text(8)]
    assert table["exec_id"] == [id_text(8), id_text(9)]
    assert table["symbol"] == ["AAA", "000001"]
    assert (table["quantity"], table["fee"], table["reference"]) == ([5.0, -3.0], [1.75, 1.75], [9.5, 9.5])
    stamps = pq.read_table(tmp_path / "fills.parquet")["ts"]
    assert str(stamps.type) == "timestamp[ns, tz=UTC]"
    assert stamps.cast("int64").to_pylist() == [day(1), day(1)]


async def test_symbols_read_back_as_text_whatever_they_are_called(tmp_path: Path) -> None:
    await written(tmp_path, signal(day(0), [1.0, 2.0, 3.0]))
    column = pq.read_table(tmp_path / "signals.parquet")["symbol"]
    assert str(column.type) == "string"
    assert column.to_pylist() == ["AAA", "NULL", "000001"]


async def test_a_nan_opinion_has_no_row(tmp_path: Path) -> None:
    out = await written(
        tmp_path,
        signal(day(0), [np.nan, 0.0, -1.0], source="b"),
        signal(day(1), [np.nan] * 3, source="a"),
        target(day(1), [0.5, np.nan, 0.0], kind=TargetKind.QUANTITY),
    )
    assert out["signals"]["value"] == [0.0, -1.0]
    assert out["signals"]["source"] == ["b", "b"]
    assert out["targets"]["symbol"] == ["AAA", "000001"]
    assert out["targets"]["kind"] == ["quantity", "quantity"]


async def test_orders_say_what_they_ask_for(tmp_path: Path) -> None:
    orders = legs(Orders, day(0), symbol=[1, 0], qty=[3.0, -2.0], kind=np.array([0, 1], np.int32))
    cancel = legs(Orders, day(1), symbol=[1], qty=[0.0], action=np.array([1], np.int32), ref=np.array([1], np.uint64))
    table = (await written(tmp_path, orders, cancel))["orders"]
    assert table["action"] == ["new", "new", "cancel"]
    assert table["kind"] == ["market", "limit", "market"]
    assert table["ref"] == ["", "", id_text(1)]


async def test_refusals_carry_rule_value_and_threshold(tmp_path: Path) -> None:
    refusals = Refusals(
        ts=day(0),
        by="gate",
        ids=np.array([3], np.uint64),
        symbol=np.array([1], np.int32),
        qty=np.array([9.0]),
        rule=("max_weight",),
        value=np.array([0.3]),
        threshold=np.array([0.1]),
    )
    table = (await written(tmp_path, refusals))["refusals"]
    assert (table["rule"], table["by"], table["threshold"]) == (["max_weight"], ["gate"], [0.1])


async def test_charges_name_kind_and_currency_and_one_of_no_symbol_has_an_empty_one(tmp_path: Path) -> None:
    charges = Charges(
        ts=day(0),
        kind=np.array([ChargeKind.BORROW, ChargeKind.MARGIN_INTEREST], np.int32),
        symbol=np.array([1, -1], np.int32),
        currency=np.zeros(2, np.int32),
        amount=np.array([-1.5, -2.0]),
    )
    table = (await written(tmp_path, charges))["charges"]
    assert table["symbol"] == ["NULL", ""]
    assert table["kind"] == ["borrow", "margin_interest"]
    assert (table["currency"], table["amount"]) == (["USD", "USD"], [-1.5, -2.0])


async def test_actions_say_at_what_price_a_fraction_is_paid_out(tmp_path: Path) -> None:
    kinds = [ActionKind.SPLIT, ActionKind.SPLIT, ActionKind.DELISTING, ActionKind.SYMBOL_CHANGE]
    actions = Actions(
        ts=day(0) + 1,
        kind=np.array(kinds, np.int32),
        symbol=np.array([0, 0, 1, 0], np.int32),
        ratio=np.array([2.0, 5.0, 1.0, 0.5]),
        amount=np.array([0.0, 0.0, 3.0, 0.0]),
        pay_at=np.array([0, 0, day(2), 0]),
        successor=np.array([0, 0, 0, 2], np.int32),
    )
    table = (await written(tmp_path, book(day(0), [100.0, 20.0, np.nan]), actions))["actions"]
    assert table["kind"] == ["split", "split", "delisting", "symbol_change"]
    assert table["price"] == [50.0, 10.0, 3.0, 20.0]  # the second split starts from the first; 10 over 0.5
    assert table["successor"] == ["", "", "", "000001"]
    assert [None if t is None else t.value for t in table["pay_at"]] == [None, None, day(2), None]


async def test_trailing_stops_carry_their_distance(tmp_path: Path) -> None:
    stop = legs(Orders, day(0), symbol=[1, 0], qty=[3.0, 2.0], trail=np.array([0.5, np.nan]))
    plain = legs(Orders, day(1), symbol=[1], qty=[1.0])
    table = (await written(tmp_path, stop, plain))["orders"]
    assert table["trail"][0] == 0.5
    assert np.isnan(table["trail"][1:]).all()


async def test_participation_is_of_the_bar_of_the_finest_interval(tmp_path: Path) -> None:
    minute, daily = (bars(day(1), [1.0] * 3, volume=[v, v, v], interval_ns=i) for v, i in ((50.0, 60), (5e3, 900)))
    table = (await written(tmp_path, minute, daily, fills(day(1), [0], [-5.0])))["fills"]
    assert table["participation"] == [0.1]


async def test_a_session_without_events_leaves_empty_tables_with_all_columns(tmp_path: Path) -> None:
    out = await written(tmp_path, bars(day(0), [1.0, 2.0, 3.0]), book(day(0), [1.0, 2.0, 3.0]))
    assert set(out["fills"]) >= {"ts", "order_id", "symbol", "quantity", "price", "fee", "reference"}
    assert all(not column for table in out.values() for column in table.values())


async def test_rows_are_written_in_groups_so_memory_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_dir, "ROWS_MAX", 30)
    sink = SessionDir(directory=tmp_path, universe=UNIVERSE)
    for k in range(100):
        await sink.write(signal(day(k), [float(k), 1.0, 2.0]))
        assert sink._parts["signals"].rows < 30
    await sink.aclose()
    file = pq.ParquetFile(tmp_path / "signals.parquet")
    assert file.num_row_groups == 10
    assert file.read()["value"].to_pylist()[::3] == [float(k) for k in range(100)]


async def test_a_source_that_appears_later_is_in_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_dir, "ROWS_MAX", 3)
    out = await written(tmp_path, signal(day(0), [1.0] * 3, source="z"), signal(day(1), [1.0] * 3, source="a"))
    assert out["signals"]["source"] == ["z"] * 3 + ["a"] * 3


async def test_closing_twice_changes_nothing(tmp_path: Path) -> None:
    sink = SessionDir(directory=tmp_path, universe=UNIVERSE)
    await sink.write(signal(day(0), [1.0, 2.0, 3.0]))
    await sink.aclose()
    before = (tmp_path / "signals.parquet").read_bytes()
    await sink.aclose()
    assert (tmp_path / "signals.parquet").read_bytes() == before


def test_equity_is_written_whole_with_times_as_utc_nanoseconds(tmp_path: Path) -> None:
    write_equity(
        tmp_path / "new" / "equity.parquet", {"ts": np.array([day(0), day(1)]), "equity": np.array([1.0, 2.0])}
    )
    table = pq.read_table(tmp_path / "new" / "equity.parquet")
    assert str(table["ts"].type) == "timestamp[ns, tz=UTC]"
    assert table["equity"].to_pylist() == [1.0, 2.0]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["equity.parquet"]
