"""The result of a run, as people meet it in Python and in notebooks."""

from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import DataError
from samewire.result import Result
from tests.samewire.sessions import session_directory


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return Result.load(session_directory(tmp_path_factory.mktemp("session") / "run", slices=60, n=12))


def test_a_session_is_loaded_from_its_directory(result: Result) -> None:
    assert result.summary["slices"] == 60
    assert result.equity.num_rows == 60
    assert result.warnings[0] == "The signal was made for a test."


def test_tables_are_frames_where_frames_are_wanted(result: Result) -> None:
    frame = result.to_pandas()
    assert frame.index.name == "ts"
    assert str(frame.index.tz) == "UTC"
    assert frame["equity"].iloc[-1] == result.summary["final_equity"]
    assert list(result.to_pandas("ic").columns) == ["ts", "source", "ic", "rank_ic", "names"]


def test_polars_is_asked_for_only_where_it_is_used(result: Result) -> None:
    pytest.importorskip("polars")
    assert result.to_polars().height == 60


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no table 'orders' in .*orders\.parquet"):
        _ = Result(tmp_path, {}).orders
    with pytest.raises(DataError, match="was not written to a directory"):
        _ = Result(None, {}).fills


def test_tables_may_be_given_without_a_directory() -> None:
    table = pa.table({"ts": [1], "equity": [2.0]})
    assert Result(None, {}, {"equity": table}).equity is table


def test_a_directory_without_a_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give the directory of a finished run"):
        Result.load(tmp_path)
    (tmp_path / "summary.json").write_text("{half")
    with pytest.raises(DataError, match="no session to read here"):
        Result.load(tmp_path)


def test_the_text_form_shows_figures_and_warnings(result: Result) -> None:
    text = repr(result)
    assert "Total return" in text
    assert "standard error" in text
    assert "! The signal was made for a test." in text


def test_the_notebook_form_is_static_and_escaped(result: Result) -> None:
    page = Result(result.directory, result.summary | {"warnings": ["<script>alert(1)</script>"]})._repr_html_()
    assert "<svg" in page
    assert "<polyline" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_result_without_anything_can_still_be_shown() -> None:
    assert repr(Result(None, {})).startswith("Result")
    assert "<table></table>" in Result(None, {})._repr_html_()


def test_a_damaged_table_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{}")
    (tmp_path / "equity.parquet").write_text("junk")
    with pytest.raises(DataError, match=r"equity\.parquet: it cannot be read as Parquet: .*; run the session again"):
        _ = Result.load(tmp_path).equity
