"""Columns of every type and spelling."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.columns import stamps
from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from adapters.files.rows import STEPS_MAX, Surveyor
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS
from tests.adapters.files.made import CLOSE, market_rows, parquet, plains, row, slices, table

ROWS = [row(0, "A", 10.0), row(1, "A", 11.0)]
MIDNIGHTS = [dt.datetime.combine(r[0], dt.time(), tzinfo=dt.UTC) for r in ROWS]
DATES = {
    "date64": pa.array([r[0] for r in ROWS], pa.date64()),
    "timestamp at midnight": pa.array(MIDNIGHTS, pa.timestamp("us", "UTC")),
    "text": pa.array([r[0].isoformat() for r in ROWS]),
    "large text": pa.array([r[0].isoformat() for r in ROWS], pa.large_string()),
    "text in a dictionary": pa.array([r[0].isoformat() for r in ROWS]).dictionary_encode(),
    "YYYYMMDD": pa.array([20180305, 20180306], pa.int32()),
}


def with_stamp(path: Path, column: pa.Array, name: str = "date") -> Path:
    pq.write_table(table(ROWS).set_column(0, name, column), path)
    return path


@pytest.mark.parametrize("column", DATES.values(), ids=DATES.keys())
def test_dates_of_any_type_are_the_same_days(tmp_path: Path, column: pa.Array) -> None:
    expected = ParquetFeed(path=parquet(tmp_path / "a.parquet", ROWS), close=CLOSE)
    found = ParquetFeed(path=with_stamp(tmp_path / "b.parquet", column), close=CLOSE)
    assert plains(found.events()) == plains(expected.events())


BAD = {
    "times in a date column": (pa.array([m + dt.timedelta(hours=1) for m in MIDNIGHTS]), "holds times; call it ts"),
    "no date": (pa.array([ROWS[0][0], None]), "1 rows have no date or time"),
    "truth values": (pa.array([True, False]), "of type bool; write dates"),
}


@pytest.mark.parametrize(("column", "said"), BAD.values(), ids=BAD.keys())
def test_stamps_that_are_none_are_refused(tmp_path: Path, column: pa.Array, said: str) -> None:
    with pytest.raises(DataError, match=said):
        ParquetFeed(path=with_stamp(tmp_path / "a.parquet", column), close=CLOSE)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([10.0, 11.0], pa.float32()),
        pa.array([10, 11], pa.int8()),
        pa.array(["10", "11"]),
        pa.array([10.0, 11.0]).dictionary_encode(),
        pa.array([10, 11]).cast(pa.decimal128(25, 2)),
    ],
    ids=["float32", "int8", "text", "dictionary", "decimal"],
)
def test_numbers_of_any_type_are_the_same_prices(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(table(ROWS).set_column(5, "close", column), tmp_path / "a.parquet")
    got = slices(ParquetFeed(path=tmp_path / "a.parquet", close=CLOSE))
    assert [float(bars.close[0]) for bars in got] == [10.0, 11.0]


def test_a_column_of_words_is_named(tmp_path: Path) -> None:
    pq.write_table(table(ROWS).set_column(5, "close", pa.array(["10", "eleven"])), tmp_path / "a.parquet")
    found = ParquetFeed(path=tmp_path / "a.parquet", close=CLOSE)
    with pytest.raises(DataError, match="its column 'close' is not numeric"):
        list(found.events())


def test_files_of_a_folder_must_be_dated_and_shaped_alike(tmp_path: Path) -> None:
    parquet(tmp_path / "p" / "1.parquet", ROWS)
    with_stamp(tmp_path / "p" / "2.parquet", pa.array(MIDNIGHTS, pa.timestamp("us")), "ts")
    with pytest.raises(DataError, match="dated differently"):
        ParquetFeed(path=tmp_path / "p", close=CLOSE)
    whole = table(ROWS)
    pq.write_table(whole.append_column("vwap", whole["close"]), tmp_path / "p" / "2.parquet")
    with pytest.raises(DataError, match="column 'vwap' is not in all files"):
        ParquetFeed(path=tmp_path / "p", close=CLOSE)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "A.csv").write_text("date,open,high,low,close,volume\n2018-01-02,9,12,8,10,1\n")
    (tmp_path / "c" / "B.csv").write_text("date,open,high,low,close,volume\n2018-01-02T10:00:00,9,12,8,10,1\n")
    with pytest.raises(DataError, match="dated differently"):
        CsvFeed(path=tmp_path / "c", close=CLOSE)
    (tmp_path / "c" / "B.csv").write_text("date,open,high,low,close,close,volume\n2018-01-02,9,12,8,10,1,1\n")
    with pytest.raises(DataError, match="the column 'close' stands twice"):
        CsvFeed(path=tmp_path / "c", close=CLOSE)


@pytest.mark.parametrize("odd", [20180230, 20181301, 20180100, 20180001, 20180132, 20190229, 20180999, 19_000_199])
@pytest.mark.parametrize("text", [False, True])
def test_a_number_that_is_no_date_is_refused_by_its_name(tmp_path: Path, odd: int, text: bool) -> None:
    column = pa.array([20180305, odd], pa.int64())
    path = with_stamp(tmp_path / "a.parquet", column.cast(pa.string()) if text else column)
    with pytest.raises(DataError, match=f"{odd} is not a date"):
        ParquetFeed(path=path, close=CLOSE)


@pytest.mark.parametrize("odd", [0, -1, 18991231, 21010101, 1_520_260_200])
def test_integers_that_are_neither_dates_nor_ns_are_refused_by_their_name(tmp_path: Path, odd: int) -> None:
    path = with_stamp(tmp_path / "a.parquet", pa.array([20180305, odd], pa.int64()))
    with pytest.raises(DataError, match=f"UTC ns or YYYYMMDD, all alike, got {odd};"):
        ParquetFeed(path=path, close=CLOSE)


def test_dates_among_instants_are_refused(tmp_path: Path) -> None:
    path = with_stamp(tmp_path / "a.parquet", pa.array([1_520_260_200_000_000_000, 20180306], pa.int64()), "ts")
    with pytest.raises(DataError, match="YYYYMMDD, all alike, got 20180306"):
        ParquetFeed(path=path, close=CLOSE)


def test_dates_in_one_row_group_and_instants_in_another_are_refused(tmp_path: Path) -> None:
    column = pa.array([20180305, 1_520_360_200_000_000_000], pa.int64())
    pq.write_table(table(ROWS).set_column(0, "ts", column), tmp_path / "a.parquet", row_group_size=1)
    with pytest.raises(DataError, match="dated differently"):
        ParquetFeed(path=tmp_path / "a.parquet", close=CLOSE, stamped="close")


@given(day=st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31)))
def test_every_real_date_is_read_as_itself(day: dt.date) -> None:
    found, dated = stamps(pa.array([int(day.strftime("%Y%m%d"))]), "here", dated=True)
    assert (dt.date(1970, 1, 1) + dt.timedelta(days=int(found[0])), dated) == (day, True)


def test_text_that_is_no_date_is_refused(tmp_path: Path) -> None:
    for odd in ("2018-02-30", "2018-13-01"):
        with pytest.raises(DataError, match=f"cannot be read.*{odd}"):
            ParquetFeed(path=with_stamp(tmp_path / "a.parquet", pa.array(["2018-03-05", odd])), close=CLOSE)


def test_sectors_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", ROWS)
    (tmp_path / "s.csv").write_text("name,sector\nA,Tech\n")
    with pytest.raises(DataError, match="needs the columns symbol and sector, it has name, sector"):
        ParquetFeed(path=path, close=CLOSE, sectors=tmp_path / "s.csv")
    (tmp_path / "s.csv").write_text("symbol,sector\nZ,Tech\n")
    with pytest.raises(DataError, match="a sector for none of the 1 symbols"):
        ParquetFeed(path=path, close=CLOSE, sectors=tmp_path / "s.csv")
    with pytest.raises(DataError, match="there is no such file"):
        ParquetFeed(path=path, close=CLOSE, sectors=tmp_path / "nowhere.csv")
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        ParquetFeed(path=path, close=CLOSE, sectors=tmp_path / "s.csv")


def test_dated_rows_have_an_interval_of_whole_days(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", market_rows())
    with pytest.raises(ConfigError, match="whole days, got 1h"):
        ParquetFeed(path=path, close=CLOSE, interval="1h")
    assert ParquetFeed(path=path, close=CLOSE, interval="1d").interval_ns == DAY_NS
    weekly = parquet(tmp_path / "b.parquet", [row(4 + 5 * k, "A", 10.0) for k in range(4)])
    assert ParquetFeed(path=weekly, close=CLOSE).interval_ns == 7 * DAY_NS


def test_steps_between_stamps_are_counted_in_bounded_memory() -> None:
    surveyor = Surveyor()
    stamps = np.cumsum(np.concatenate((np.arange(1, 3 * STEPS_MAX), np.full(50, 7))))
    for part in np.array_split(stamps, 9):
        assert surveyor.add(part, np.zeros(len(part), np.int32), 1)
    survey = surveyor.survey(["A"], dated=False)
    assert (survey.step, survey.least, survey.rows) == (7, 2, len(stamps))
    assert not surveyor.add(stamps[:1], np.zeros(1, np.int32), 1)


def test_many_rows_of_one_instant_that_differ_are_refused(tmp_path: Path) -> None:
    rows = [*[row(0, "A", 10.0)] * 70_000, row(0, "A", 11.0), *[row(0, "A", 10.0)] * 70_000]
    with pytest.raises(DataError, match=r"\.\w+: A has two different rows at 2018-03-05: close 10 and close 11"):
        list(ParquetFeed(path=parquet(tmp_path / "a.parquet", rows), close=CLOSE).events())


def test_an_empty_symbol_and_a_date_beyond_64_bit_nanoseconds_are_refused(tmp_path: Path) -> None:
    def feed(symbol: str, day: dt.date) -> ParquetFeed:
        prices = {name: [10.0] for name in ("open", "high", "low", "close")}
        pq.write_table(pa.table({"date": [day], "symbol": [symbol], **prices, "volume": [1.0]}), tmp_path / "b.parquet")
        return ParquetFeed(path=tmp_path / "b.parquet", close="16:00 America/New_York")

    with pytest.raises(DataError, match="some rows have an empty symbol"):
        feed("", dt.date(2020, 1, 2))
    with pytest.raises(DataError, match="the date 1500-01-01 lies outside 1678 to 2261"):
        feed("A", dt.date(1500, 1, 1))
