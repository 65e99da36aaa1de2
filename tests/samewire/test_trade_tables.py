"""trades.parquet and pnl.parquet: what the session wrote, walked again."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.files import session_dir
from adapters.files.session_dir import SessionDir
from components.metrics.fold import SessionFold
from components.metrics.trades import Trade
from engine.events import Fills
from samewire import trade_tables
from samewire.trade_tables import Traded, derive
from tests.components.metrics.accounts import Account, action, charges, fills, random_account
from tests.components.metrics.test_accounts import TWO, trips_of
from tests.make import bars, day


async def session(folder: Path, account: Account) -> tuple[SessionFold, Traded | None]:
    fold = SessionFold(universe=account.universe, cash=account.cash)
    fold.append((), account.events)
    fold.finish()
    sink = SessionDir(directory=folder, universe=account.universe)
    for event in account.events:
        await sink.write(event)
    await sink.aclose()
    return fold, derive(folder, fold, account.universe, account.keeping)


def read(folder: Path, name: str) -> dict[str, list[Any]]:
    table = pq.read_table(folder / f"{name}.parquet")
    return {
        column: (table[column].cast("int64") if "timestamp" in str(table[column].type) else table[column]).to_pylist()
        for column in table.column_names
    }


def expected_of(account: Account) -> list[Trade]:
    trips = trips_of(account)
    return [*trips.closed, *trips.still_open(account.book.mark)]


@pytest.mark.parametrize("rows", [7, 65_536])
@pytest.mark.parametrize("seed", range(12))
async def test_the_table_has_the_trades_of_the_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, rows: int
) -> None:
    monkeypatch.setattr(session_dir, "ROWS_MAX", rows)
    monkeypatch.setattr(trade_tables, "_ROWS_MAX", rows)
    account = random_account(seed, currencies=1 + seed % 3, days=40)
    await session(tmp_path, account)
    table, expected = read(tmp_path, "trades"), expected_of(account)
    assert len(expected) > 5
    for name in ("opened", "quantity", "entry", "gross", "fees", "borrow", "income", "net"):
        np.testing.assert_allclose(table[name], [getattr(trade, name) for trade in expected], rtol=1e-12, atol=1e-9)
    assert table["symbol"] == [account.universe.symbols[trade.symbol] for trade in expected]
    assert table["side"] == ["long" if trade.side > 0 else "short" for trade in expected]
    assert table["closed"] == [trade.closed if trade.closed_ts else None for trade in expected]


@pytest.mark.parametrize("seed", range(8))
async def test_the_pnl_table_adds_up_to_the_change_of_equity(tmp_path: Path, seed: int) -> None:
    account = random_account(seed, currencies=1 + seed % 3, days=40)
    fold, traded = await session(tmp_path, account)
    pnl = read(tmp_path, "pnl")
    assert fold.book is not None
    assert sum(pnl["total"]) == pytest.approx(fold.book.equity - account.cash, abs=1e-9 * account.cash)
    assert pnl["symbol"][-1] == ""
    assert len(set(pnl["symbol"])) == len(pnl["symbol"])
    assert traded is not None
    assert sum(pnl["trades"]) == traded.figures.trades + traded.still_open
    before = np.r_[account.cash, fold.columns()["equity"][:-1]]
    assert sum(pnl["traded"]) == pytest.approx(float((fold.columns()["turnover"] * before).sum()))


async def test_holding_times_and_exposure_are_counted_in_slices(tmp_path: Path) -> None:
    account = Account(TWO, cash=1000.0)
    plan = {1: [(0, 10.0, 10.0, 0.0)], 3: [(0, -10.0, 11.0, 0.0)], 6: [(1, 5.0, 20.0, 0.0)]}
    for k in range(10):
        account.feed(bars(day(k), [10.0, 20.0]))
        account.feed(fills(day(k), plan.get(k, [])))
    _, traded = await session(tmp_path, account)
    table = read(tmp_path, "trades")
    assert table["slices"] == [2, 3]  # the second is still open in the last slice
    assert traded is not None
    assert traded.exposure == pytest.approx(7 / 10)  # slices 1 to 3 and 6 to 9
    assert (traded.figures.trades, traded.still_open, traded.figures.slices) == (1, 1, 2.0)
    assert traded.figures.best == pytest.approx(0.1)
    assert read(tmp_path, "pnl")["slices"] == [2, 3, 0]


async def test_charges_come_before_the_fills_of_their_instant_and_actions_after(tmp_path: Path) -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    account.feed(fills(day(0), [(0, -10.0, 10.0, 0.0)]))
    account.feed(bars(day(1), [10.0, 20.0]))
    account.feed(charges(day(1), (0, 0, 0, -0.5)))
    account.feed(fills(day(1), [(0, 10.0, 10.0, 0.0), (1, 3.0, 20.0, 0.0)]))
    account.feed(action(day(1), 1, 1, amount=1.0))  # of the same instant: the shares of this slice have the right
    await session(tmp_path, account)
    table = read(tmp_path, "trades")
    assert table["borrow"] == [0.5, 0.0]
    assert table["income"] == [0.0, 3.0]


async def test_a_session_that_traded_nothing_has_empty_tables_with_all_columns(tmp_path: Path) -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    account.feed(fills(day(0), []))
    _, traded = await session(tmp_path, account)
    assert read(tmp_path, "trades")["return"] == []
    assert read(tmp_path, "pnl")["total"] == [0.0]
    assert traded is not None
    assert (traded.figures.trades, traded.exposure) == (0, 0.0)


def test_without_a_table_of_fills_there_are_no_trades_and_still_a_pnl(tmp_path: Path) -> None:
    account = random_account(3)
    fold = SessionFold(universe=account.universe, cash=account.cash)
    fold.append((), account.events)
    fold.finish()
    assert derive(tmp_path, fold, account.universe, account.keeping) is None
    assert [path.name for path in tmp_path.iterdir()] == ["pnl.parquet"]
    assert sum(read(tmp_path, "pnl")["total"]) == pytest.approx(account.book.equity - account.cash, abs=1e-4)


async def test_fills_tell_their_participation_slippage_fees_and_rate(tmp_path: Path) -> None:
    universe = random_account(0, currencies=2).universe
    account = Account(universe)
    made = fills(day(0), [(1, -10.0, 9.5, 0.0), (2, 4.0, 21.0, 0.0)])
    columns = {name: getattr(made, name) for name in made.__struct_fields__}
    fees = np.array([[1.0, 0.5, 0.25], [0.0, 0.0, 2.0]])
    account.feed(bars(day(0), [10.0] * 5, volume=[50.0, 100.0, np.nan, 1.0, 1.0]))
    account.feed(Fills(**columns | {"reference": np.array([10.0, 20.0]), "fees": fees}))
    await session(tmp_path, account)
    table = read(tmp_path, "fills")
    assert table["slippage"] == [5.0, 4.0 * 1.0 * 10.0]  # the second has a multiplier of 10
    assert table["participation"][0] == 0.1
    assert np.isnan(table["participation"][1])
    assert (table["commission"], table["exchange"], table["tax"]) == ([1.0, 0.0], [0.5, 0.0], [0.25, 2.0])
    assert table["fee"] == [1.75, 2.0]
    assert table["rate"] == [1.0, 1.0]
