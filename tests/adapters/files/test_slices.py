"""Rows into slices, against a slow plain version."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files import slices as module
from adapters.files.parquet import ParquetFeed
from engine.events import Status
from tests.adapters.files.made import CLOSE, Row, intraday, market_rows, parquet, plains, row, slices

KEYS = st.sets(st.tuples(st.integers(0, 12), st.sampled_from("ABCD")), min_size=1, max_size=30)


def plain_slices(rows: list[Row], symbols: tuple[str, ...]) -> list[list[float]]:
    """Closes by date and symbol, the slow way."""
    found = []
    for date in sorted({r[0] for r in rows}):
        closes = {r[1]: r[5] for r in rows if r[0] == date}
        found.append([closes.get(symbol, np.nan) for symbol in symbols])
    return found


@given(keys=KEYS, order=st.randoms(use_true_random=False), group=st.integers(1, 9))
def test_slices_equal_a_plain_pivot_in_any_order_of_rows(keys: Any, order: Any, group: int) -> None:
    rows = [row(t, symbol, 10.0 + 0.01 * t + ord(symbol)) for t, symbol in sorted(keys)]
    order.shuffle(rows)
    with TemporaryDirectory() as folder:
        found = ParquetFeed(path=parquet(Path(folder) / "a.parquet", rows, row_group_size=group), close=CLOSE)
        got = slices(found)
    np.testing.assert_array_equal([bars.close for bars in got], plain_slices(rows, found.universe.symbols))
    for bars in got:
        np.testing.assert_array_equal(bars.status == Status.MISSING, np.isnan(bars.close))


def test_shuffling_the_universe_shuffles_the_arrays(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", market_rows())
    order = [3, 0, 4, 1, 2]
    straight = slices(ParquetFeed(path=path, close=CLOSE))
    turned = slices(ParquetFeed(path=path, close=CLOSE, symbols=[f"S{k}" for k in order]))
    for a, b in zip(straight, turned, strict=True):
        for name in ("open", "high", "low", "close", "volume", "status", "member"):
            np.testing.assert_array_equal(getattr(a, name)[order], getattr(b, name))


def test_a_slice_exists_only_where_a_symbol_of_the_universe_has_a_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [row(0, "A", 1.0), row(1, "B", 1.0), row(2, "A", 1.0)])
    assert len(slices(ParquetFeed(path=path, close=CLOSE, symbols=["A"]))) == 2


@pytest.mark.parametrize("cells", [1, 5, 12, 10**6])
def test_how_many_cells_are_laid_out_at_a_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    found = ParquetFeed(path=parquet(tmp_path / "a.parquet", market_rows()), close=CLOSE)
    expected = plains(found.events())
    monkeypatch.setattr(module, "CELLS_MAX", cells)
    assert plains(found.events()) == expected


def test_interval_sides_a_bar_that_ends_on_the_boundary_belongs_to_one_slice(tmp_path: Path) -> None:
    """(opened, ts]: what one bar ends with, the next begins after."""
    stamps = [f"2018-01-02T15:{minute:02d}" for minute in range(0, 30, 5)]
    got = slices(ParquetFeed(path=intraday(tmp_path / "a.parquet", stamps), stamped="close"))
    assert all(a.ts == b.opened for a, b in zip(got, got[1:], strict=False))
