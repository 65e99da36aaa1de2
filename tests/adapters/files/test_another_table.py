"""Tables with another future: rows known by the instant stay to the letter, later ones are others or gone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.another_table import another_table, is_table, write_another
from engine.protocols import Table
from tests.adapters.files.made import CLOSE
from tests.make import day

CSV = """date,symbol,close,rank,remark
2018-01-02,"A",1.50,1,x
2018-01-03,A,2.0,2,"y, z"
2018-01-04,A,3,3,
2018-01-05,A,nan,4,w
"""


def a_table(rows: int = 20) -> Table:
    return Table(
        path="mine.csv",
        hash="h",
        ts=np.array([day(k // 2) for k in range(rows)]),
        symbol=np.arange(rows) % 2,
        columns={"score": np.arange(1.0, rows + 1), "flag": np.ones(rows)},
    )


def test_later_rows_of_a_table_are_others_or_gone() -> None:
    table = a_table()
    changed = another_table(table, day(4), gone=False, seed=1)
    np.testing.assert_array_equal(changed.columns["score"][:10], table.columns["score"][:10])
    assert (changed.columns["score"][10:] != table.columns["score"][10:]).all()
    assert (changed.columns["score"] > 0).all()
    np.testing.assert_array_equal(table.columns["score"], np.arange(1.0, 21.0))
    gone = another_table(table, day(4), gone=True, seed=1)
    assert (len(gone.ts), len(gone.symbol), len(gone.columns["flag"]), gone.ts[-1]) == (10, 10, 10, day(4))
    assert len(another_table(table, day(-1), gone=True, seed=1).ts) == 20  # none would be left: they are changed
    again = another_table(table, day(4), gone=False, seed=1)
    np.testing.assert_array_equal(again.columns["score"], changed.columns["score"])


@pytest.mark.parametrize(("close", "first"), [(CLOSE, 2), (None, 3)])
def test_a_dated_row_is_known_at_the_close_else_from_its_midnight_on(
    close: str | None, first: int, tmp_path: Path
) -> None:
    """One second before the close of the 3rd its row is still to come; without a close it counts as known."""
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    assert write_another(path, tmp_path / "gone" / "a.csv", day(1) - 10**9, gone=True, seed=0, close=close)
    assert (tmp_path / "gone" / "a.csv").read_text() == "".join(CSV.splitlines(keepends=True)[:first])
    assert write_another(path, tmp_path / "all" / "a.csv", day(9), gone=True, seed=0, close=close)
    assert (tmp_path / "all" / "a.csv").read_text() == CSV


def test_earlier_lines_stay_to_the_letter_and_later_numbers_are_others(tmp_path: Path) -> None:
    path, into = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text(CSV)
    assert write_another(path, into, day(1), gone=False, seed=0, close=CLOSE)
    was, now = CSV.splitlines(), into.read_text().splitlines()
    assert now[:3] == was[:3]
    assert now[3].split(",")[:2] == ["2018-01-04", "A"]
    assert [line.split(",")[3] for line in now[3:]] == ["4", "3"]  # whole numbers may be codes: they change places
    assert now[4].split(",")[2] == "nan"  # no number, so it stays
    assert path.read_text() == CSV


def test_numbers_that_are_not_all_whole_are_scaled(tmp_path: Path) -> None:
    path, into = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("date,x\n2018-01-02,7\n2018-01-03,3\n2018-01-04,2.5\n")
    assert write_another(path, into, day(0), gone=False, seed=0, close=CLOSE)
    rows = [float(line.split(",")[1]) for line in into.read_text().splitlines()[1:]]
    assert rows[0] == 7
    assert 1.25 <= rows[1] <= 5
    assert 1.5 <= rows[2] <= 6


def test_a_parquet_file_keeps_its_types_and_its_nulls(tmp_path: Path) -> None:
    ts = pa.array([day(k) for k in range(6)]).cast(pa.timestamp("ns", "UTC"))
    table = pa.table(
        {
            "ts": ts,
            "symbol": ["A"] * 6,
            "x": pa.array([1.0, None, 3, 4, None, 6], pa.float32()),
            "n": [1, 2, 3, 4, 5, 6],
        }
    )
    path, into = tmp_path / "a.parquet", tmp_path / "out" / "a.parquet"
    pq.write_table(table, path)
    assert write_another(path, into, day(2), gone=False, seed=3, close=None)
    found = pq.read_table(into)
    assert found.schema.equals(table.schema)
    assert found.slice(0, 3).equals(table.slice(0, 3))
    assert not found.slice(3).equals(table.slice(3))
    assert found.column("x").null_count == 2
    assert sorted(found.column("n").to_pylist()) == [1, 2, 3, 4, 5, 6]
    write_another(path, tmp_path / "gone.parquet", day(2), gone=True, seed=3, close=None)
    assert pq.read_table(tmp_path / "gone.parquet").equals(table.slice(0, 3))


def test_a_folder_is_copied_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.csv").write_text(CSV)
    (folder / "readme.txt").write_text("2018-01-05")
    assert is_table(folder)
    assert write_another(folder, tmp_path / "g", day(0), gone=True, seed=0, close=CLOSE)
    assert (tmp_path / "g" / "deep" / "a.csv").read_text() == "".join(CSV.splitlines(keepends=True)[:2])
    assert (tmp_path / "g" / "readme.txt").read_text() == "2018-01-05"


@pytest.mark.parametrize("name", ["date", "When", "as_of", "time", "timestamp", "datetime"])
@pytest.mark.parametrize("days", [("2018/01/02", "2018/01/03"), ("2018-01-02", "2018-01-03"), ("20180102", "20180103")])
def test_dates_under_other_names_and_with_slashes_tell_when(name: str, days: tuple[str, str], tmp_path: Path) -> None:
    path, into = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text(f"{name},x\n{days[0]},1.5\n{days[1]},2.5\n")
    assert write_another(path, into, day(0), gone=True, seed=0, close=CLOSE)
    assert into.read_text() == f"{name},x\n{days[0]},1.5\n"


def test_instants_with_slashes_and_a_date_column_of_instants_tell_when(tmp_path: Path) -> None:
    path, into = tmp_path / "a.csv", tmp_path / "b.csv"
    text = "when,x\n2018/01/02 21:00:00,1.5\n2018/01/02 21:00:01,2.5\n"
    path.write_text(text)
    at = np.datetime64("2018-01-02T21:00:00", "ns").astype(np.int64).item()
    assert write_another(path, into, at, gone=True, seed=0, close=CLOSE)
    assert into.read_text() == "".join(text.splitlines(keepends=True)[:2])


@pytest.mark.parametrize("dates", [("02/01/2018", "03/01/2018"), ("2018/13/01", "2018/13/02"), ("soon/later", "x")])
def test_dates_that_may_be_read_in_two_ways_tell_nothing(dates: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"date,x\n{dates[0]},1.5\n{dates[1]},2.5\n")
    assert not write_another(path, tmp_path / "b.csv", day(0), gone=True, seed=0, close=CLOSE)


@pytest.mark.parametrize(
    "text",
    [
        "symbol,close\nA,1\n",
        "date,close\nsoon,1\n",
        "date,close\n",
        'date,close\n2018-01-02,"1\n2"\n',
        "",
        "date,x\n2018-01-02,1,2\n",
    ],
)
def test_a_file_in_which_nothing_tells_the_time_is_copied_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert not write_another(path, tmp_path / "b.csv", day(0), gone=True, seed=0, close=CLOSE)
    assert (tmp_path / "b.csv").read_text() == text


def test_what_is_no_table_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert not is_table(tmp_path / "a.json")
    assert not is_table(tmp_path)
    (tmp_path / "b.parquet").write_text("no parquet")
    assert is_table(tmp_path / "b.parquet")
    assert not write_another(tmp_path / "b.parquet", tmp_path / "c.parquet", day(0), gone=True, seed=0, close=None)
