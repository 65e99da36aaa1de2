"""CSV in, slices out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from engine.errors import DataError
from tests.adapters.files.made import CLOSE, Row, by_symbol, market_rows, parquet, plains, row, slices


def folder(path: Path, rows: list[Row], header: str = "Date,Open,High,Low,Close,Volume") -> Path:
    path.mkdir(parents=True)
    for symbol in {r[1] for r in rows}:
        lines = [",".join(str(v) for v in (r[0], *r[2:])) for r in rows if r[1] == symbol]
        (path / f"{symbol}.csv").write_text("\n".join([header, *lines]) + "\n")
    return path


def long(path: Path, rows: list[Row], header: str = "date,symbol,open,high,low,close,volume") -> Path:
    path.write_text("\n".join([header, *(",".join(str(v) for v in r) for r in rows)]) + "\n")
    return path


HEADERS = [
    "Date,Open,High,Low,Close,Volume",
    "date,open,high,low,close,volume",
    "DATE,OPEN,HIGH,LOW,CLOSE,VOL",
    "Trade Date,Open Price,High Price,Low Price,Close Price,Shares",
    "Timestamp,o,h,l,c,v",
    "datetime,Open,High,Low,Close/Last,Volume",
]


@pytest.mark.parametrize("header", HEADERS)
def test_the_usual_spellings_give_the_same_events_as_parquet(tmp_path: Path, header: str) -> None:
    rows = market_rows()
    expected = ParquetFeed(path=parquet(tmp_path / "a.parquet", rows), close=CLOSE)
    found = CsvFeed(path=folder(tmp_path / "csv", rows, header), close=CLOSE)
    assert plains(found.events()) == plains(expected.events())


@pytest.mark.parametrize("order", [list, by_symbol])
def test_one_long_file_is_the_same_as_a_folder(tmp_path: Path, order: Callable[[list[Row]], list[Row]]) -> None:
    rows = market_rows()
    one = CsvFeed(path=long(tmp_path / "a.csv", order(rows)), close=CLOSE)
    many = CsvFeed(path=folder(tmp_path / "csv", rows), close=CLOSE)
    assert plains(one.events()) == plains(many.events())


def test_symbols_that_look_like_values_stay_text(tmp_path: Path) -> None:
    names = ["000001", "NO", "NULL", "TRUE", "NA", "nan", "1e5", "ON"]
    rows = [row(0, name, 10.0) for name in names]
    one = CsvFeed(path=long(tmp_path / "a.csv", rows), close=CLOSE)
    many = CsvFeed(path=folder(tmp_path / "csv", rows), close=CLOSE)
    assert one.universe.symbols == many.universe.symbols == tuple(sorted(names))


def test_the_adjusted_close_is_ignored_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "A.csv").write_text(
        "Date,Open,High,Low,Close,Adj Close,Volume\n2018-01-02,9,12,8,10,5,100\n2018-01-03,9,12,8,10,10,100\n"
    )
    plain = slices(CsvFeed(path=tmp_path / "csv", close=CLOSE))
    assert [(b.open[0], b.close[0]) for b in plain] == [(9.0, 10.0), (9.0, 10.0)]
    adjusted = slices(CsvFeed(path=tmp_path / "csv", close=CLOSE, adjusted=True))
    assert [(b.open[0], b.high[0], b.close[0], b.volume[0]) for b in adjusted] == [
        (4.5, 6.0, 5.0, 100.0),
        (9.0, 12.0, 10.0, 100.0),
    ]


def test_asking_for_an_adjusted_close_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it has no column Adj Close"):
        CsvFeed(path=folder(tmp_path / "csv", market_rows()), close=CLOSE, adjusted=True)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2018-01-02 15:00:00", "2018-01-02T15:00"),
        ("2018-01-02T15:00:00Z", "2018-01-02T15:00"),
        ("2018-01-02 10:00:00-05:00", "2018-01-02T15:00"),
        ("2018-01-02 15:00:00.000000001", "2018-01-02T15:00:00.000000001"),
    ],
)
def test_instants_in_text_are_utc_unless_they_name_an_offset(tmp_path: Path, text: str, utc: str) -> None:
    path = long(tmp_path / "a.csv", [(text, "A", 9, 12, 8, 10, 5)], "ts,symbol,open,high,low,close,volume")  # type: ignore[list-item]
    (bars,) = slices(CsvFeed(path=path, stamped="close", interval="5m"))
    assert bars.ts == np.datetime64(utc, "ns").astype(np.int64)


@pytest.mark.parametrize("text", ["20180102", "2018-01-02"])
def test_dates_in_text(tmp_path: Path, text: str) -> None:
    path = long(tmp_path / "a.csv", [(text, "A", 9, 12, 8, 10, 5)])  # type: ignore[list-item]
    (bars,) = slices(CsvFeed(path=path, close=CLOSE))
    assert bars.ts == np.datetime64("2018-01-02T21:00", "ns").astype(np.int64)


def test_a_date_that_could_mean_two_days_is_refused(tmp_path: Path) -> None:
    path = long(tmp_path / "a.csv", [("01/02/2018", "A", 9, 12, 8, 10, 5)])  # type: ignore[list-item]
    with pytest.raises(DataError, match="a date or time cannot be read"):
        CsvFeed(path=path, close=CLOSE)


def test_an_empty_cell_is_a_missing_value_that_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "date,symbol,open,high,low,close,volume\n2018-01-02,A,9,12,,10,100\n2018-01-02,B,9,12,8,10,100\n"
    )
    (bars,) = slices(found := CsvFeed(path=tmp_path / "a.csv", close=CLOSE))
    assert bars.status.tolist() == [1, 0]
    assert [(issue.kind, issue.count) for issue in found.issues()] == [("nan_price", 1)]


def test_files_that_cannot_be_used_give_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        CsvFeed(path=tmp_path / "nowhere", close=CLOSE)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"holds no \.csv file"):
        CsvFeed(path=tmp_path / "none", close=CLOSE)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="it is empty"):
        CsvFeed(path=tmp_path / "empty.csv", close=CLOSE)
    (tmp_path / "head.csv").write_text("date,symbol,open,high,low,close,volume\n")
    with pytest.raises(DataError, match="it has no row"):
        CsvFeed(path=tmp_path / "head.csv", close=CLOSE)
    (tmp_path / "words.csv").write_text("date,symbol,open,high,low,close,volume\n2018-01-02,A,nine,12,8,10,100\n")
    with pytest.raises(DataError, match="it cannot be read as CSV: .*nine"):
        CsvFeed(path=tmp_path / "words.csv", close=CLOSE)
    (tmp_path / "near.csv").write_text("date,symbol,open,high,low,close,volum\n2018-01-02,A,9,12,8,10,100\n")
    with pytest.raises(DataError, match="it has no column volume; did you mean its column 'volum'"):
        CsvFeed(path=tmp_path / "near.csv", close=CLOSE)


def test_files_of_a_folder_must_have_the_same_columns(tmp_path: Path) -> None:
    path = folder(tmp_path / "csv", [row(0, "A", 10.0), row(0, "B", 10.0)])
    (path / "B.csv").write_text("Date,Open,High,Low,Close,Volume,VWAP\n2018-01-02,9,12,8,10,100,10\n")
    with pytest.raises(DataError, match="column 'vwap' is not in all files"):
        CsvFeed(path=path, close=CLOSE)


def test_a_changed_file_is_read_anew(tmp_path: Path, cache: Path) -> None:
    path = long(tmp_path / "a.csv", market_rows())
    before = CsvFeed(path=path, close=CLOSE)
    assert len(list(cache.iterdir())) == 1
    CsvFeed(path=path, close=CLOSE)
    assert len(list(cache.iterdir())) == 1
    long(path, market_rows(seed=1))
    assert plains(CsvFeed(path=path, close=CLOSE).events()) != plains(before.events())
    assert len(list(cache.iterdir())) == 2
