"""Qlib's binary layout in, slices out."""

from pathlib import Path

import numpy as np
import pytest

from adapters.files.parquet import ParquetFeed
from adapters.files.qlib_layout import QlibFeed
from engine.errors import DataError
from tests.adapters.files.made import CLOSE, market_rows, parquet, plains, qlib, row, slices


def test_raw_prices_are_the_adjusted_ones_over_the_factor_and_volume_times_it(tmp_path: Path) -> None:
    rows = market_rows()
    expected = slices(ParquetFeed(path=parquet(tmp_path / "a.parquet", rows), close=CLOSE))
    found = QlibFeed(path=qlib(tmp_path / "q", rows), close=CLOSE)
    got = slices(found)
    assert found.universe.symbols == ("S0", "S1", "S2", "S3", "S4")
    for a, b in zip(got, expected, strict=True):
        assert (a.ts, a.opened, a.interval_ns) == (b.ts, b.opened, b.interval_ns)
        np.testing.assert_array_equal(a.status, b.status)
        np.testing.assert_array_equal(a.member, b.member)
        for name in ("open", "high", "low", "close", "volume"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=3e-7)


def test_adjusted_prices_are_those_of_the_files(tmp_path: Path) -> None:
    got = slices(
        QlibFeed(path=qlib(tmp_path / "q", [row(k, "A", 10.0) for k in range(8)]), close=CLOSE, prices="adjusted")
    )
    assert [float(bars.close[0]) for bars in got] == [5.0] * 5 + [2.5] * 3


def test_a_day_without_prices_is_missing_and_not_a_defect(tmp_path: Path) -> None:
    rows = [row(0, "A", 10.0), row(1, "B", 10.0), row(2, "A", 10.0), row(2, "B", 10.0)]
    got = slices(found := QlibFeed(path=qlib(tmp_path / "q", rows), close=CLOSE))
    assert [bars.status.tolist() for bars in got] == [[0, 1], [1, 0], [0, 0]]
    assert found.issues() == ()


@pytest.mark.parametrize("close", [CLOSE, "15:00 Asia/Shanghai", "16:00 Australia/Sydney", "24:00 UTC"])
def test_point_in_time_membership_follows_the_instruments_file(tmp_path: Path, close: str) -> None:
    rows = [row(k, s, 10.0) for k in range(10) for s in "AB"]
    listed = ["A\t2018-03-06\t2018-03-07", "A\t2018-03-12\t2018-03-13", "B\t2018-03-05\t2018-03-16"]
    got = slices(QlibFeed(path=qlib(tmp_path / "q", rows, market=listed), close=close, market="index"))
    assert [bool(bars.member[0]) for bars in got] == [False, True, True, False, False, True, True, False, False, False]
    assert all(bars.member[1] for bars in got)
    assert all((bars.status == 0).all() for bars in got)


def test_a_range_is_the_slice_of_the_whole(tmp_path: Path) -> None:
    found = QlibFeed(path=qlib(tmp_path / "q", market_rows()), close=CLOSE)
    whole = list(found.events())
    assert plains(found.events(whole[4].ts, whole[9].ts)) == plains(whole[4:9])


def test_every_file_that_is_read_has_its_hash(tmp_path: Path) -> None:
    found = QlibFeed(path=qlib(tmp_path / "q", [row(0, "A", 1.0)]), close=CLOSE)
    assert {name.rpartition("/")[2] for name in found.hashes()} == {
        "day.txt",
        "all.txt",
        *(f"{name}.day.bin" for name in ("open", "high", "low", "close", "volume", "factor")),
    }


def test_layouts_that_cannot_be_used_give_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        QlibFeed(path=tmp_path / "nowhere", close=CLOSE)
    path = qlib(tmp_path / "q", [row(k, "A", 1.0) for k in range(6)])
    with pytest.raises(DataError, match="there is no such market; the folder has all"):
        QlibFeed(path=path, close=CLOSE, market="csi300")
    (path / "features" / "a" / "factor.day.bin").unlink()
    with pytest.raises(DataError, match="set prices: adjusted"):
        slices(QlibFeed(path=path, close=CLOSE))
    np.zeros(3, "<f4").tofile(path / "features" / "a" / "open.day.bin")
    with pytest.raises(DataError, match=r"open.day.bin: it holds 2 days from 0, close.day.bin of the symbol holds 6"):
        slices(QlibFeed(path=path, close=CLOSE, prices="adjusted"))
    np.zeros(30, "<f4").tofile(path / "features" / "a" / "close.day.bin")
    with pytest.raises(DataError, match="do not lie in the calendar of 6 days"):
        QlibFeed(path=path, close=CLOSE)
    (path / "features" / "a" / "close.day.bin").unlink()
    with pytest.raises(DataError, match="but A is an instrument"):
        QlibFeed(path=path, close=CLOSE)
    (path / "calendars" / "day.txt").write_text("2018-03-05\nsoon\n")
    with pytest.raises(DataError, match="a line is not a date"):
        QlibFeed(path=path, close=CLOSE)
