"""Quotes, auctions, halts and bars without volume: what a file has beside open, high, low, close and volume."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from engine.errors import DataError
from engine.events import Status
from tests.adapters.files.made import CLOSE, parquet, plains, row, slices

TWO = [row(k, s, 10.0 + k) for k in range(3) for s in ("A", "B")]
NAMES = ["bid", "ask", "open_volume", "close_volume", "limit_up", "limit_down"]


def test_extra_columns_reach_the_slices_under_their_names(tmp_path: Path) -> None:
    table = pq.read_table(parquet(tmp_path / "plain.parquet", TWO))
    for k, name in enumerate(NAMES):
        table = table.append_column(name, pa.array([100.0 * k + i for i in range(6)]))
    pq.write_table(table, tmp_path / "bars.parquet")
    found = ParquetFeed(path=tmp_path / "bars.parquet", close=CLOSE, extra=NAMES)
    assert found.universe.extra == tuple(NAMES)
    got = slices(found)
    for t, bars in enumerate(got):
        assert [column.tolist() for column in bars.extra] == [
            [100.0 * k + 2 * t, 100.0 * k + 2 * t + 1] for k in range(6)
        ]


@pytest.mark.parametrize("flags", [["true", "False", "", "YES", "0", "1"], [True, False, None, True, False, True]])
def test_halted_is_a_flag_in_any_writing(tmp_path: Path, flags: list[object]) -> None:
    table = pq.read_table(parquet(tmp_path / "plain.parquet", TWO))
    pq.write_table(table.append_column("halted", pa.array(flags)), tmp_path / "bars.parquet")
    found = ParquetFeed(path=tmp_path / "bars.parquet", close=CLOSE)
    assert [bars.status.tolist() for bars in slices(found)] == [[2, 0], [0, 2], [0, 2]]
    lines = [f"{d},{s},{o},{h},{low},{c},{v},{f or ''}" for (d, s, o, h, low, c, v), f in zip(TWO, flags, strict=True)]
    (tmp_path / "bars.csv").write_text("date,symbol,open,high,low,close,volume,halted\n" + "\n".join(lines))
    assert plains(CsvFeed(path=tmp_path / "bars.csv", close=CLOSE).events()) == plains(found.events())


def test_a_flag_that_is_none_says_so(tmp_path: Path) -> None:
    table = pq.read_table(parquet(tmp_path / "plain.parquet", TWO))
    pq.write_table(table.append_column("halted", pa.array(["maybe"] * 6)), tmp_path / "bars.parquet")
    with pytest.raises(DataError, match="'maybe' is neither true nor false"):
        list(ParquetFeed(path=tmp_path / "bars.parquet", close=CLOSE).events())


def quotes(path: Path) -> Path:
    lines = [
        f"2018-03-05T15:{k:02d}:00Z,EURUSD,{b},{b + 2},{b - 2},{b + 1},{b + 1},{b + 3},{b - 1},{b + 3}"
        for k, b in enumerate((100, 101, 102))
    ]
    head = "ts,symbol,open_bid,high_bid,low_bid,close_bid,open_ask,high_ask,low_ask,close_ask"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_quotes_without_trades_become_bars_at_the_middle_with_unknown_volume(tmp_path: Path) -> None:
    path = quotes(tmp_path / "q.csv")
    found = CsvFeed(path=path, stamped="open", prices="mid", volume="unknown", extra=["bid", "ask"])
    first = slices(found)[0]
    assert [float(c[0]) for c in (first.open, first.high, first.low, first.close)] == [100.5, 102.5, 98.5, 102.0]
    assert np.isnan(first.volume[0])
    assert first.status[0] == Status.FRESH
    assert [float(column[0]) for column in first.extra] == [101.0, 103.0]  # at the close
    assert found.issues() == ()


def test_quotes_are_the_same_from_parquet(tmp_path: Path) -> None:
    import pyarrow.csv as pc

    table = pc.read_csv(quotes(tmp_path / "q.csv"))
    pq.write_table(table, tmp_path / "q.parquet")
    options = {"stamped": "open", "prices": "mid", "volume": "unknown", "extra": ["ask", "bid"]}
    one = CsvFeed(path=tmp_path / "q.csv", **options)  # type: ignore[arg-type]
    other = ParquetFeed(path=tmp_path / "q.parquet", **options)  # type: ignore[arg-type]
    assert plains(one.events()) == plains(other.events())


def test_the_same_file_read_in_two_ways_is_two_tables_in_the_cache(tmp_path: Path) -> None:
    lines = [
        "date,symbol,open,high,low,close,volume,bid open,bid high,bid low,bid close,ask open,ask high,ask low,ask close"
    ]
    lines += [f"2018-03-0{k},A,10,12,9,11,5,20,22,19,21,22,24,21,23" for k in (5, 6)]
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    for _ in range(2):
        assert slices(CsvFeed(path=tmp_path / "b.csv", close=CLOSE))[0].close[0] == 11.0
        assert slices(CsvFeed(path=tmp_path / "b.csv", close=CLOSE, prices="mid"))[0].close[0] == 22.0
        assert slices(CsvFeed(path=tmp_path / "b.csv", close=CLOSE, prices="mid"))[0].volume[0] == 5.0
        assert np.isnan(slices(CsvFeed(path=tmp_path / "b.csv", close=CLOSE, volume="unknown"))[0].volume[0])


def test_a_file_without_quotes_or_without_volume_says_what_it_lacks(tmp_path: Path) -> None:
    path = parquet(tmp_path / "bars.parquet", TWO)
    with pytest.raises(DataError, match="it has no column bid_open, bid_high"):
        ParquetFeed(path=path, close=CLOSE, prices="mid")
    pq.write_table(pq.read_table(path).drop_columns(["volume"]), path)
    with pytest.raises(DataError, match="it has no column volume"):
        ParquetFeed(path=path, close=CLOSE)
    assert len(slices(ParquetFeed(path=path, close=CLOSE, volume="unknown"))) == 3


def test_a_bad_bar_of_quotes_is_missing_as_any_other(tmp_path: Path) -> None:
    path = quotes(tmp_path / "q.csv")
    path.write_text(path.read_text().replace(",102,102,", ",,102,"))
    found = CsvFeed(path=path, stamped="open", prices="mid", volume="unknown")
    assert [int(bars.status[0]) for bars in slices(found)] == [0, 1, 0]
    assert [issue.kind for issue in found.issues()] == ["nan_price"]


@pytest.mark.data
def test_two_months_of_currency_quotes(data_dir: Path) -> None:
    path = data_dir / "intraday" / "fx_1min_bidask_2012_2013.parquet"
    found = ParquetFeed(
        path=path, stamped="open", prices="mid", volume="unknown", extra=["bid", "ask"], symbols=["GBPUSD"]
    )
    table = pq.read_table(path).to_pandas()
    table = table[table.symbol == "GBPUSD"].sort_values("ts")
    got = slices(found)
    assert len(got) == len(table) == 30_117
    expected = (table.close_bid.to_numpy() + table.close_ask.to_numpy()) / 2
    assert np.array_equal([float(bars.close[0]) for bars in got], expected)
    assert np.array_equal([float(bars.extra[0][0]) for bars in got], table.close_bid.to_numpy())
    assert np.array_equal([float(bars.extra[1][0]) for bars in got], table.close_ask.to_numpy())


@pytest.mark.data
def test_minutes_with_trades_and_quotes(data_dir: Path) -> None:
    path = data_dir / "oracles" / "lean" / "equity_minute.parquet"
    found = ParquetFeed(path=path, stamped="open", extra=["bid", "ask"], symbols=["SPY", "IBM"], interval="1m")
    got = slices(found)
    quoted = [bars for bars in got if bars.status[0] == Status.FRESH and not np.isnan(bars.extra[0][0])]
    assert len(quoted) > 2_000
    spread = np.array([float((bars.extra[1] - bars.extra[0])[0]) for bars in quoted])
    assert np.median(spread) == pytest.approx(0.01)
    assert any(issue.kind == "nan_price" for issue in found.issues())  # minutes that had quotes and no trade
