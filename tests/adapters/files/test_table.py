"""A user's own scores from a file."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.table import checked_table, read_table
from engine.errors import ConfigError, DataError
from engine.universe import universe_of
from tests.adapters.files.made import CLOSE

UNIVERSE = universe_of(("A", "B", "NO", "000001"))
TEXT = """date,symbol,score,note
2018-01-03,B,0.5,late
2018-01-02,B,nan,x
2018-01-02,A,1.5,y
2018-01-02,ZZ,9,z
2018-01-03,000001,inf,
2018-01-03,NO,-2,
"""


def written(path: Path, text: str = TEXT) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_stand_in_time_order_and_become_known_at_the_close(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "scores.csv")
    if kind == "parquet":
        path = tmp_path / "scores.parquet"
        lines = [line.split(",") for line in TEXT.splitlines()[1:]]
        columns = {
            "date": pa.array([dt.date.fromisoformat(line[0]) for line in lines]),
            "symbol": [line[1] for line in lines],
            "score": [float(line[2]) for line in lines],
        }
        pq.write_table(pa.table(columns), path)
    table, issues = checked_table(path, UNIVERSE, close=CLOSE)
    stamps = table.ts.astype("datetime64[ns]").astype("datetime64[m]").astype(str).tolist()
    assert stamps == ["2018-01-02T21:00"] * 2 + ["2018-01-03T21:00"] * 3
    assert table.symbol.tolist() == [0, 1, 1, 2, 3]
    assert list(table.columns) == ["score"]
    np.testing.assert_array_equal(table.columns["score"], [1.5, np.nan, 0.5, -2.0, np.nan])
    assert [(issue.kind, issue.count, issue.examples) for issue in issues] == [
        ("unknown_symbol", 1, ("ZZ: 1 rows",)),
        ("not_finite", 2, ("B", "000001")),
    ]
    assert not table.ts.flags.writeable
    assert not table.columns["score"].flags.writeable
    assert len(table.hash) == 64


def test_rows_with_a_time_need_no_close(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "ts,symbol,score\n2018-01-02T21:00:00Z,A,1\n")
    assert read_table(path, UNIVERSE).ts.astype("datetime64[ns]").astype(str).tolist() == [
        "2018-01-02T21:00:00.000000000"
    ]


def test_columns_that_are_asked_for_and_no_others(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "date,symbol,a,b\n2018-01-02,A,1,2\n")
    assert list(read_table(path, UNIVERSE, close=CLOSE).columns) == ["a", "b"]
    assert list(read_table(path, UNIVERSE, close=CLOSE, columns=("b",)).columns) == ["b"]


BAD = {
    "duplicates": (
        "date,symbol,s\n2018-01-02,A,1\n2018-01-02,A,1\n",
        "A has more than one row at 2018-01-02T21:00:00Z",
    ),
    "no known symbol": ("date,symbol,s\n2018-01-02,ZZ,1\n", "none of its symbols is in the universe of 4 symbols"),
    "no value": ("date,symbol\n2018-01-02,A\n", "no numeric column"),
    "no symbol": ("date,tick,s\n2018-01-02,A,1\n", "it has no column symbol"),
    "no row": ("date,symbol,s\n", "it has no"),
    "a date that is not one": ("date,symbol,s\nsoon,A,1\n", "a date or time cannot be read"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD.keys())
def test_a_table_that_cannot_be_used_gives_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_table(written(tmp_path / "a.csv", text), UNIVERSE, close=CLOSE)


def test_a_missing_file_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_table(tmp_path / "nowhere.csv", UNIVERSE)
    with pytest.raises(DataError, match="no column scores; did you mean its column 'score'"):
        read_table(written(tmp_path / "a.csv"), UNIVERSE, close=CLOSE, columns=("scores",))
    (tmp_path / "b.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match="it cannot be read"):
        read_table(tmp_path / "b.parquet", UNIVERSE)


def test_dates_without_a_declared_close_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add the close of the trading day"):
        read_table(written(tmp_path / "a.csv"), UNIVERSE)
