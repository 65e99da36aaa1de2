"""Parquet in, slices out."""

import datetime as dt
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.parquet import ParquetFeed
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS, Bars, Reference, Status, Timer
from tests.adapters.files.made import (
    CLOSE,
    by_symbol,
    intraday,
    market_rows,
    parquet,
    plains,
    row,
    slices,
    table,
)


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def feed(path: Path, **options: object) -> ParquetFeed:
    return ParquetFeed(path=path, **({"close": CLOSE} | options))  # type: ignore[arg-type]


def test_symbols_that_start_late_end_early_or_have_holes_are_missing_never_invented(tmp_path: Path) -> None:
    rows = market_rows()
    known = {(r[0], r[1]): r for r in rows}
    dates = sorted({r[0] for r in rows})
    got = slices(found := feed(parquet(tmp_path / "a.parquet", rows)))
    assert found.universe.symbols == tuple(sorted({r[1] for r in rows}))
    assert len(got) == len(dates)
    for date, bars in zip(dates, got, strict=True):
        for k, symbol in enumerate(found.universe.symbols):
            expected = known.get((date, symbol))
            values = [getattr(bars, name)[k] for name in ("open", "high", "low", "close", "volume")]
            if expected is None:
                assert bars.status[k] == Status.MISSING
                assert np.isnan(values).all()
            else:
                assert bars.status[k] == Status.FRESH
                assert values == list(expected[2:])


def test_member_from_the_first_row_on_and_never_ended_by_a_later_absence(tmp_path: Path) -> None:
    rows = market_rows()
    got = slices(found := feed(parquet(tmp_path / "a.parquet", rows)))
    dates = sorted({r[0] for r in rows})
    for k, symbol in enumerate(found.universe.symbols):
        first = dates.index(min(r[0] for r in rows if r[1] == symbol))
        assert [bool(bars.member[k]) for bars in got] == [t >= first for t in range(len(dates))]


def test_dst_moves_the_utc_close_not_the_local_one(tmp_path: Path) -> None:
    got = slices(feed(parquet(tmp_path / "a.parquet", [row(4, "A", 10.0), row(5, "A", 10.0)]), open="09:30"))
    assert [bars.ts for bars in got] == [ns("2018-03-09T21:00"), ns("2018-03-12T20:00")]
    assert [bars.opened for bars in got] == [ns("2018-03-09T14:30"), ns("2018-03-12T13:30")]


def test_the_open_of_a_dated_bar_is_six_and_a_half_hours_before_its_close_unless_declared(tmp_path: Path) -> None:
    (bars,) = slices(feed(parquet(tmp_path / "a.parquet", [row(0, "A", 10.0)])))
    assert bars.ts - bars.opened == 6 * HOUR_NS + 30 * MINUTE_NS


def test_rows_sorted_by_symbol_give_the_same_events_as_rows_sorted_by_time(tmp_path: Path) -> None:
    rows = market_rows(60, 7)
    straight = feed(parquet(tmp_path / "a.parquet", rows))
    turned = feed(parquet(tmp_path / "b.parquet", by_symbol(rows)))
    shuffled = [rows[k] for k in np.random.default_rng(1).permutation(len(rows))]
    mixed = feed(parquet(tmp_path / "c.parquet", shuffled))
    assert plains(straight.events()) == plains(turned.events()) == plains(mixed.events())


def test_a_table_in_time_order_leaves_no_file_in_the_cache(tmp_path: Path, cache: Path) -> None:
    feed(parquet(tmp_path / "a.parquet", market_rows()))
    assert list(cache.iterdir()) == []
    feed(parquet(tmp_path / "b.parquet", by_symbol(market_rows())))
    assert len(list(cache.iterdir())) == 1


def test_a_folder_of_files_is_one_table(tmp_path: Path) -> None:
    rows = market_rows()
    whole = feed(parquet(tmp_path / "a.parquet", rows))
    parquet(tmp_path / "flat" / "1.parquet", rows[:50])
    parquet(tmp_path / "flat" / "2.parquet", rows[50:])
    flat = feed(tmp_path / "flat")
    for symbol in {r[1] for r in rows}:
        mine = table([r for r in rows if r[1] == symbol]).drop_columns(["symbol"])
        (folder := tmp_path / "hive" / f"symbol={symbol}").mkdir(parents=True)
        pq.write_table(mine, folder / "part-0.parquet")
    hive = feed(tmp_path / "hive")
    assert plains(whole.events()) == plains(flat.events()) == plains(hive.events())
    assert set(flat.hashes()) == {"1.parquet", "2.parquet"}


@pytest.mark.parametrize("start_day", [0, 7, 13])
@pytest.mark.parametrize("group_rows", [7, 1000])
def test_a_range_is_the_slice_of_the_whole(tmp_path: Path, start_day: int, group_rows: int) -> None:
    found = feed(parquet(tmp_path / "a.parquet", market_rows(), row_group_size=group_rows))
    whole = list(found.events())
    start, end = whole[start_day].ts, whole[20].ts
    assert plains(found.events(start, end)) == plains(whole[start_day:20])


@pytest.mark.parametrize(
    ("kind", "unit"),
    [(pa.timestamp("s"), 10**9), (pa.timestamp("ms", "UTC"), 10**6), (pa.timestamp("us", "America/New_York"), 10**3)],
)
def test_timestamps_of_any_unit_and_zone_are_utc_instants(tmp_path: Path, kind: pa.DataType, unit: int) -> None:
    path = intraday(tmp_path / "a.parquet", ["2018-01-02T15:00", "2018-01-02T15:05"])
    whole = pq.read_table(path)
    column = pa.array(whole["ts"].cast(pa.int64()).to_numpy() // unit, pa.int64()).cast(kind)
    pq.write_table(whole.set_column(0, "ts", column), tmp_path / "b.parquet")
    found = ParquetFeed(path=tmp_path / "b.parquet", stamped="close")
    assert [bars.ts for bars in slices(found)] == [ns("2018-01-02T15:00"), ns("2018-01-02T15:05")]


def test_integer_stamps_are_ns_and_coarser_ones_are_refused(tmp_path: Path) -> None:
    path = intraday(tmp_path / "a.parquet", ["2018-01-02T15:00", "2018-01-02T15:05"])
    whole = pq.read_table(path)
    stamps = whole["ts"].cast(pa.int64())
    pq.write_table(whole.set_column(0, "ts", stamps), path)
    assert slices(ParquetFeed(path=path, stamped="close"))[0].ts == ns("2018-01-02T15:00")
    pq.write_table(whole.set_column(0, "ts", pa.array(stamps.to_numpy() // 10**6)), path)
    with pytest.raises(DataError, match="must be UTC ns"):
        ParquetFeed(path=path, stamped="close")


def test_bar_stamp_at_the_open_is_moved_to_the_close(tmp_path: Path) -> None:
    path = intraday(tmp_path / "a.parquet", ["2018-01-02T15:00", "2018-01-02T15:05", "2018-01-02T15:10"])
    (first, *_) = slices(ParquetFeed(path=path, stamped="open"))
    assert (first.opened, first.ts) == (ns("2018-01-02T15:00"), ns("2018-01-02T15:05"))
    assert first.interval_ns == 5 * MINUTE_NS
    (first, *_) = slices(ParquetFeed(path=path, stamped="close"))
    assert (first.opened, first.ts) == (ns("2018-01-02T14:55"), ns("2018-01-02T15:00"))


def test_bar_stamp_undeclared_is_refused_with_what_to_add(tmp_path: Path) -> None:
    timed = intraday(tmp_path / "a.parquet", ["2018-01-02T15:00", "2018-01-02T15:05"])
    with pytest.raises(ConfigError, match="add stamped: open or stamped: close"):
        ParquetFeed(path=timed)
    dated = parquet(tmp_path / "b.parquet", [row(0, "A", 10.0)])
    with pytest.raises(ConfigError, match='add the close of the trading day, e.g. close: "16:00 America/New_York"'):
        ParquetFeed(path=dated)


def test_midnight_stamps_with_a_declared_close_are_dates(tmp_path: Path) -> None:
    dates = [dt.datetime(2018, 1, 2), dt.datetime(2018, 1, 3)]  # noqa: DTZ001 - as pandas writes dates
    whole = table([row(0, "A", 10.0), row(1, "A", 10.0)]).set_column(0, "ts", pa.array(dates, pa.timestamp("us")))
    pq.write_table(whole, tmp_path / "a.parquet")
    got = slices(feed(tmp_path / "a.parquet"))
    assert [bars.ts for bars in got] == [ns("2018-01-02T21:00"), ns("2018-01-03T21:00")]


def test_interval_declared_must_fit_the_rows(tmp_path: Path) -> None:
    path = intraday(tmp_path / "a.parquet", ["2018-01-02T15:00", "2018-01-02T15:05", "2018-01-02T15:10"])
    with pytest.raises(DataError, match="interval 1h is declared, but its rows stand 5m apart"):
        ParquetFeed(path=path, stamped="close", interval="1h")
    assert ParquetFeed(path=path, stamped="close", interval="5m").interval_ns == 5 * MINUTE_NS
    one = intraday(tmp_path / "b.parquet", ["2018-01-02T15:00"])
    with pytest.raises(ConfigError, match="its interval is unknown"):
        ParquetFeed(path=one, stamped="close")


def test_end_of_day_is_an_event_of_its_own_at_the_declared_close(tmp_path: Path) -> None:
    """A half day ends early, its declared close does not: that no bar follows is known only then."""
    stamps = ["2018-01-02T20:55", "2018-01-02T21:00", "2018-01-03T18:00", "2018-01-04T14:35", "2018-01-04T14:40"]
    path = intraday(tmp_path / "a.parquet", stamps)
    found = ParquetFeed(path=path, stamped="close", close=CLOSE)
    told = [(type(event).__name__, event.ts) for event in found.events()]
    assert told == [
        ("Bars", ns("2018-01-02T20:55")),
        ("Bars", ns("2018-01-02T21:00")),
        ("Timer", ns("2018-01-02T21:00")),
        ("Bars", ns("2018-01-03T18:00")),
        ("Timer", ns("2018-01-03T21:00")),
        ("Bars", ns("2018-01-04T14:35")),
        ("Bars", ns("2018-01-04T14:40")),
        ("Timer", ns("2018-01-04T21:00")),
    ]
    whole = list(found.events())
    for start in [event.ts for event in whole]:
        assert plains(found.events(start)) == plains(event for event in whole if event.ts >= start)
        if start > whole[0].ts:
            assert plains(found.events(None, start)) == plains(event for event in whole if event.ts < start)


def test_without_a_declared_close_the_trading_day_ends_at_utc_midnight(tmp_path: Path) -> None:
    path = intraday(tmp_path / "a.parquet", ["2018-01-02T23:55", "2018-01-03T00:00", "2018-01-03T00:05"])
    timers = [e for e in ParquetFeed(path=path, stamped="close").events() if isinstance(e, Timer)]
    assert [timer.ts for timer in timers] == [ns("2018-01-03"), ns("2018-01-04")]
    assert {timer.name for timer in timers} == {"session_closed"}


def test_a_daily_bar_is_its_session_and_has_no_timer(tmp_path: Path) -> None:
    found = feed(parquet(tmp_path / "a.parquet", market_rows()))
    assert all(isinstance(event, Bars) for event in found.events())
    assert found.interval_ns == DAY_NS


def test_sectors_enter_before_the_first_bar(tmp_path: Path) -> None:
    (tmp_path / "sectors.csv").write_text("symbol,sector\nS0,Tech\nS2,Banks\nZZ,None of ours\n")
    found = feed(parquet(tmp_path / "a.parquet", market_rows(4, 3)), sectors=tmp_path / "sectors.csv")
    assert found.sectors == ("Tech", "", "Banks")
    first, second, *_ = found.events()
    assert isinstance(first, Reference)
    assert isinstance(second, Bars)
    assert (first.name, first.rows, first.columns, first.ts) == ("sectors", "symbol", ("Banks", "Tech"), second.ts)
    np.testing.assert_array_equal(first.value, [[1.0], [np.nan], [0.0]])
    assert set(found.hashes()) == {"a.parquet", "sectors.csv"}


def test_extra_columns_and_vwap_travel_with_the_bars(tmp_path: Path) -> None:
    rows = market_rows(4, 2)
    whole = table(rows)
    bid = np.arange(float(len(rows)))
    whole = whole.append_column("bid", pa.array(bid)).append_column("vwap", whole["close"])
    pq.write_table(whole, tmp_path / "a.parquet")
    found = feed(tmp_path / "a.parquet", extra=["bid"])
    assert found.universe.extra == ("bid",)
    got = slices(found)
    assert [x for bars in got for x in bars.extra[0] if np.isfinite(x)] == bid.tolist()
    for bars in got:
        np.testing.assert_array_equal(bars.vwap, bars.close)


def test_a_halt_that_the_file_states_is_halted_not_missing(tmp_path: Path) -> None:
    whole = table([row(0, "A", 10.0), row(0, "B", 10.0), row(1, "A", 10.0), row(1, "B", 10.0)])
    pq.write_table(whole.append_column("halted", pa.array([False, False, True, False])), tmp_path / "a.parquet")
    _, bars = slices(found := feed(tmp_path / "a.parquet"))
    assert bars.status.tolist() == [Status.HALTED, Status.FRESH]
    assert np.isnan([bars.open[0], bars.close[0], bars.volume[0]]).all()
    assert found.issues() == ()


def test_asking_for_symbols_gives_them_in_that_order(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", market_rows())
    assert feed(path, symbols=["S3", "S1"]).universe.symbols == ("S3", "S1")
    (tmp_path / "names.txt").write_text("symbol\nS2\nS0\n")
    assert feed(path, symbols_file=tmp_path / "names.txt").universe.symbols == ("S2", "S0")


def test_symbols_that_look_like_values_stay_text(tmp_path: Path) -> None:
    names = ["000001", "NO", "NULL", "TRUE", "NaN", "1e5"]
    found = feed(parquet(tmp_path / "a.parquet", [row(0, name, 10.0) for name in names]))
    assert found.universe.symbols == tuple(sorted(names))


BAD: dict[str, tuple[dict[str, object], str]] = {
    "a symbol that is not there": ({"symbols": ["S11"]}, "no symbol 'S11' of the 1 asked for; did you mean 'S1'"),
    "a universe larger than the data": (
        {"symbols": [f"S{k}" for k in range(9)]},
        "no symbol 'S5' and 3 more of the 9 asked for",
    ),
    "no symbol": ({"symbols": []}, "names no symbol"),
    "a symbol twice": ({"symbols": ["S1", "S1"]}, "'S1' stands twice"),
    "a column that is not there": ({"extra": ["vollume"]}, "no column vollume; did you mean its column 'volume'"),
}


@pytest.mark.parametrize(("options", "said"), BAD.values(), ids=BAD.keys())
def test_a_wrong_option_gives_one_clear_error(tmp_path: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        feed(parquet(tmp_path / "a.parquet", market_rows()), **options)


def test_files_that_cannot_be_used_give_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        feed(tmp_path / "nowhere.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        feed(tmp_path / "empty")
    (tmp_path / "text.parquet").write_text("date,symbol")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        feed(tmp_path / "text.parquet")
    pq.write_table(table([row(0, "A", 1.0)])[:0], tmp_path / "none.parquet")
    with pytest.raises(DataError, match="it has no row"):
        feed(tmp_path / "none.parquet")
    pq.write_table(
        table([row(0, "A", 1.0)]).rename_columns(["date", "symbol", "opn", "high", "low", "close", "volume"]),
        tmp_path / "columns.parquet",
    )
    with pytest.raises(DataError, match="it has no column open; did you mean its column 'opn'"):
        feed(tmp_path / "columns.parquet")


def test_a_range_without_bars_is_refused_and_says_what_there_is(tmp_path: Path) -> None:
    found = feed(parquet(tmp_path / "a.parquet", market_rows()))
    with pytest.raises(DataError, match="no bar from 2030-01-01T00:00:00Z; it covers 2018-03-05T21:00:00Z to"):
        list(found.events(ns("2030-01-01")))


OPTIONS = {
    "close": ({"close": "16:00"}, "must name its zone"),
    "zone": ({"close": "16:00 America/NewYork"}, "did you mean 'America/New_York'"),
    "open": ({"open": "17:00"}, "must come before close"),
    "interval": ({"interval": "soon"}, "such as 5m"),
    "lot": ({"lot": 0.0}, "lot must be above 0"),
    "tick": ({"tick": -1.0}, "tick must be at least 0"),
    "sort_rows_max": ({"sort_rows_max": 0}, "at least 1"),
    "extra": ({"extra": ["close"]}, "already reads"),
    "both": ({"symbols": ["A"], "symbols_file": Path("a")}, "keep one"),
}


@pytest.mark.parametrize(("options", "said"), OPTIONS.values(), ids=OPTIONS.keys())
def test_options_out_of_bounds_are_refused_before_any_file_is_opened(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        feed(Path("nowhere"), **options)


def test_a_table_in_time_order_streams_in_memory_of_a_row_group(tmp_path: Path) -> None:
    """Arrow holds one row group at a time, however many there are."""
    minutes = np.arange(400_000, dtype=np.int64) * 60_000_000_000 + ns("2018-01-01")
    close = 10 + np.sin(np.arange(len(minutes)))
    columns = {name: close for name in ("open", "high", "low", "close", "volume")}
    symbols = pa.repeat("A", len(minutes))
    whole = pa.table({"ts": pa.array(minutes).cast(pa.timestamp("ns")), "symbol": symbols, **columns})
    size = whole.nbytes
    pq.write_table(whole, tmp_path / "a.parquet", row_group_size=10_000)
    del whole, columns, symbols
    before = pa.total_allocated_bytes()
    found = ParquetFeed(path=tmp_path / "a.parquet", stamped="close")
    held = [pa.total_allocated_bytes() - before for k, _ in enumerate(found.events()) if k % 1000 == 0]
    assert len(held) > 400
    assert max(held) < size / 5


def test_symbols_in_dictionaries_and_numbers_are_text(tmp_path: Path) -> None:
    whole = table([row(0, "B", 10.0), row(0, "A", 10.0)])
    coded = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int8()), pa.array(["A", "never", "B"]))
    pq.write_table(whole.set_column(1, "symbol", coded), tmp_path / "a.parquet")
    assert feed(tmp_path / "a.parquet").universe.symbols == ("A", "B")
    pq.write_table(whole.set_column(1, "symbol", pa.array([700, 5])), tmp_path / "b.parquet")
    assert feed(tmp_path / "b.parquet").universe.symbols == ("5", "700")
    pq.write_table(whole.set_column(1, "symbol", pa.array(["A", None])), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="some rows have no symbol"):
        feed(tmp_path / "c.parquet")


def test_reading_the_options_of_a_feed_loads_no_heavy_library() -> None:
    code = (
        "import sys, adapters.files.parquet, adapters.files.csv_folder, adapters.files.qlib_layout,"
        " adapters.files.sample, adapters.files.table;"
        "print([name for name in ('pyarrow', 'pandas', 'scipy', 'numba') if name in sys.modules])"
    )
    root = Path(__file__).parent.parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
