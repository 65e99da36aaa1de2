"""Sorting outside memory, and the cache."""

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.columns import Chunk
from adapters.files.parquet import ParquetFeed
from adapters.files.rows import EXAMPLES_MAX, Disorder
from adapters.files.store import stored
from engine.errors import DataError
from tests.adapters.files.made import CLOSE, by_symbol, market_rows, parquet, plains

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.mark.parametrize("rows_max", [1, 7, 50, 10**6])
def test_any_row_budget_gives_the_same_events(tmp_path: Path, rows_max: int) -> None:
    rows = market_rows(60, 5)
    expected = ParquetFeed(path=parquet(tmp_path / "a.parquet", rows), close=CLOSE)
    turned = parquet(tmp_path / "b.parquet", by_symbol(rows), row_group_size=20)
    found = ParquetFeed(path=turned, close=CLOSE, sort_rows_max=rows_max)
    assert plains(found.events()) == plains(expected.events())


def chunks(symbols: int, slices: int) -> Iterator[Chunk]:
    """One symbol after the other, as most files are; each row says who and when it is."""
    for s in range(symbols):
        t = np.arange(slices, dtype=np.int64)
        values = np.vstack([t * 1000.0 + s] * 5)
        yield Chunk(t, [f"S{s:03d}"], np.zeros(slices, np.int32), values)


def test_a_table_far_larger_than_the_budget_sorts_in_bounded_memory() -> None:
    symbols, slices, budget = 100, 10_000, 20_000
    row_bytes = 8 + 4 + 5 * 8
    tracemalloc.start()
    try:
        arrow_before = pa.default_memory_pool().max_memory()
        store = stored(
            chunks(symbols, slices),
            fields=("open", "high", "low", "close", "volume"),
            dated=False,
            key="big",
            hashes={},
            rows_max=budget,
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    whole = symbols * slices * row_bytes
    assert peak < whole / 4
    assert pa.default_memory_pool().max_memory() - arrow_before < whole / 2
    seen, last = 0, -1
    for rows in store.rows(None, None):
        assert rows.stamp[0] >= last
        assert (np.diff(rows.stamp) >= 0).all()
        np.testing.assert_array_equal(rows.values[0], rows.stamp * 1000.0 + rows.code)
        seen, last = seen + len(rows), int(rows.stamp[-1])
    assert seen == symbols * slices == store.survey.rows
    assert (store.survey.low, store.survey.high, store.survey.step) == (0, slices - 1, 1)
    assert store.survey.symbols == tuple(f"S{s:03d}" for s in range(symbols))


def test_the_second_reader_finds_what_the_first_has_sorted(tmp_path: Path, cache: Path) -> None:
    path = parquet(tmp_path / "a.parquet", by_symbol(market_rows()))
    first = ParquetFeed(path=path, close=CLOSE)
    (kept,) = cache.iterdir()
    stamp = kept.stat().st_mtime_ns
    second = ParquetFeed(path=path, close=CLOSE)
    assert kept.stat().st_mtime_ns == stamp
    assert plains(first.events()) == plains(second.events())


def test_a_damaged_file_in_the_cache_is_made_again_or_named(tmp_path: Path, cache: Path) -> None:
    path = parquet(tmp_path / "a.parquet", by_symbol(market_rows()))
    expected = plains(ParquetFeed(path=path, close=CLOSE).events())
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert plains(ParquetFeed(path=path, close=CLOSE).events()) == expected
    kept.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    with pytest.raises(DataError, match="this sorted table is damaged.*delete it and run again"):
        list(ParquetFeed(path=path, close=CLOSE).events())


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMEWIRE_CACHE", str(tmp_path / "file"))
    path = parquet(tmp_path / "a.parquet", by_symbol(market_rows()))
    with pytest.raises(DataError, match="set SAMEWIRE_CACHE"):
        ParquetFeed(path=path, close=CLOSE)


@pytest.mark.parametrize("rows_max", [1, 7, 10**6])
def test_rows_out_of_order_are_sorted_and_counted_for_the_whole_file(tmp_path: Path, rows_max: int) -> None:
    rows = by_symbol(market_rows())
    rows[3], rows[4] = rows[4], rows[3]
    rows[-1], rows[-3] = rows[-3], rows[-1]
    path = parquet(tmp_path / "a.parquet", rows, row_group_size=7)
    for _ in ("sorted now", "from the cache"):
        feed = ParquetFeed(path=path, close=CLOSE, sort_rows_max=rows_max)
        expected = ParquetFeed(path=parquet(tmp_path / "b.parquet", sorted(rows)), close=CLOSE)
        assert plains(feed.events()) == plains(expected.events())
        assert [issue for issue in feed.issues() if issue.kind != "unsorted_row"] == list(expected.issues())
        (issue,) = (issue for issue in feed.issues() if issue.kind == "unsorted_row")
        assert (issue.count, issue.rule) == (3, "sorted by time; the order of the file does not matter")
        assert issue.examples == tuple(
            f"{rows[k][1]} {rows[k][0]}: after {rows[k - 1][0]}" for k in (4, len(rows) - 2, len(rows) - 1)
        )


def test_a_table_sorted_by_symbol_is_not_out_of_order(tmp_path: Path) -> None:
    rows = market_rows()
    turned = sorted(rows, key=lambda r: (r[1], -r[0].toordinal()))[::-1]  # symbols from Z to A, time forward
    years = by_symbol(rows[:60]) + by_symbol(rows[60:])  # pieces of time, each by symbol
    for k, order in enumerate((by_symbol(rows), turned, years)):
        feed = ParquetFeed(path=parquet(tmp_path / f"{k}.parquet", order, row_group_size=11), close=CLOSE)
        list(feed.events())
        assert "unsorted_row" not in {issue.kind for issue in feed.issues()}


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), max_size=60), cuts=st.lists(st.integers(0, 60)))
def test_disorder_is_what_walking_row_by_row_finds(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    disorder = Disorder()
    stamp, code = np.array([at for _, at in rows], np.int64), np.array([of for of, _ in rows], np.int32)
    for low, high in pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        disorder.add(stamp[low:high], code[low:high], int(code[:high].max(initial=-1)) + 1)
    last: dict[int, int] = {}
    expected = []
    for of, at in rows:
        if at < last.get(of, at):
            expected.append((of, at, last[of]))
        last[of] = at
    assert (disorder.count, disorder.first) == (len(expected), expected[:EXAMPLES_MAX])


def test_two_processes_may_sort_the_same_table_at_once(tmp_path: Path, cache: Path) -> None:
    path = parquet(tmp_path / "a.parquet", by_symbol(market_rows(200, 20)))
    code = (
        "import sys; from pathlib import Path; from adapters.files.parquet import ParquetFeed;"
        f"f = ParquetFeed(path=Path(sys.argv[1]), close='{CLOSE}', sort_rows_max=500);"
        "print(sum(1 for _ in f.events()))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["200", "200"]
    assert [entry.suffix for entry in cache.iterdir()] == [".parquet"]


def test_the_same_content_under_other_options_is_another_entry(tmp_path: Path, cache: Path) -> None:
    rows = by_symbol(market_rows())
    path = parquet(tmp_path / "a.parquet", rows)
    whole = pq.read_table(path)
    pq.write_table(whole.append_column("bid", whole["close"]), path)
    ParquetFeed(path=path, close=CLOSE)
    ParquetFeed(path=path, close=CLOSE, extra=["bid"])
    assert len(list(cache.iterdir())) == 2
