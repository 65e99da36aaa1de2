"""Defects: what is used, what is counted, what is refused."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.parquet import ParquetFeed
from adapters.files.quality import ROUNDING, defects
from engine.errors import DataError
from engine.events import Status
from tests.adapters.files.made import CLOSE, Row, by_symbol, market_rows, parquet, plains, row, slices

DAY = dt.date(2018, 3, 6)
INF, NAN = float("inf"), float("nan")
# One line a case: open, high, low, close, volume, and the kind it is counted as.
CASES = [
    (NAN, 12.0, 8.0, 10.0, 1.0, "nan_price"),
    (9.0, NAN, 8.0, 10.0, 1.0, "nan_price"),
    (9.0, 12.0, 8.0, NAN, 1.0, "nan_price"),
    (NAN, NAN, NAN, NAN, NAN, "nan_price"),
    (9.0, INF, 8.0, 10.0, 1.0, "infinite_value"),
    (9.0, 12.0, 8.0, 10.0, INF, "infinite_value"),
    (9.0, 12.0, -INF, 10.0, 1.0, "infinite_value"),
    (0.0, 12.0, 0.0, 10.0, 1.0, "price_not_positive"),
    (9.0, 12.0, -8.0, 10.0, 1.0, "price_not_positive"),
    (0.0, 0.0, 0.0, 0.0, 1.0, "price_not_positive"),
    (9.0, 8.0, 12.0, 10.0, 1.0, "high_below_low"),
    (13.0, 12.0, 8.0, 10.0, 1.0, "ohlc_inconsistent"),
    (9.0, 12.0, 8.0, 7.0, 1.0, "ohlc_inconsistent"),
    (9.0, 12.0, 8.0, 12.5, 1.0, "ohlc_inconsistent"),
    (7.9, 12.0, 8.0, 10.0, 1.0, "ohlc_inconsistent"),
    (9.0, 12.0, 8.0, 10.0, -1.0, "bad_volume"),
    (9.0, 12.0, 8.0, 10.0, NAN, "bad_volume"),
    (9.0, 12.0, 8.0, 10.0, 0.0, None),
    (9.0, 12.0, 8.0, 10.0, 1.0, None),
    (10.0, 10.0, 10.0, 10.0, 1.0, None),
]


def feed(tmp_path: Path, rows: list[Row], **options: Any) -> ParquetFeed:
    return ParquetFeed(path=parquet(tmp_path / "a.parquet", rows), close=CLOSE, **options)


@pytest.mark.parametrize(("o", "h", "low", "c", "v", "kind"), CASES)
def test_a_bad_row_is_not_used_and_is_counted_under_one_kind(
    tmp_path: Path, o: float, h: float, low: float, c: float, v: float, kind: str | None
) -> None:
    found = feed(tmp_path, [row(0, "A", 10.0), row(0, "B", 10.0), (DAY, "A", o, h, low, c, v), row(1, "B", 10.0)])
    _, bars = slices(found)
    if kind is None:
        assert bars.status[0] == Status.FRESH
        assert (bars.open[0], bars.close[0], bars.volume[0]) == (o, c, v)
        return
    assert bars.status.tolist() == [Status.MISSING, Status.FRESH]
    assert np.isnan([bars.open[0], bars.high[0], bars.low[0], bars.close[0], bars.volume[0]]).all()
    (issue,) = found.issues()
    assert (issue.kind, issue.count) == (kind, 1)
    assert issue.rule == "the row is not used: its bar is missing"
    assert issue.examples[0].startswith("A 2018-03-06: open ")


@given(st.lists(st.sampled_from([NAN, INF, -INF, -1.0, 0.0, 8.0, 9.0, 10.0, 11.0, 12.0]), min_size=5, max_size=5))
def test_defects_agree_with_a_plain_statement_of_the_rules(values: list[float]) -> None:
    o, h, low, c, v = values
    sound = (
        all(np.isfinite(values))
        and min(o, h, low, c) > 0
        and low <= min(o, c)
        and h >= max(o, c)
        and h >= low
        and v >= 0
    )
    found = defects(np.array(values)[:, None])
    assert len(found) == (0 if sound else 1)


def test_prices_that_cross_by_float32_rounding_are_sound() -> None:
    row32 = np.array([[10.0], [10.0], [9.0], [10.0 * (1 + ROUNDING / 2)], [1.0]])
    assert defects(row32) == {}


def test_missing_bar_versus_zero_volume_bar_are_different_states(tmp_path: Path) -> None:
    found = feed(tmp_path, [row(0, "A", 10.0, volume=0.0), row(0, "B", 10.0), row(1, "B", 10.0)])
    first, second = slices(found)
    assert (first.status[0], first.volume[0], first.close[0]) == (Status.FRESH, 0.0, 10.0)
    assert second.status[0] == Status.MISSING
    assert np.isnan([second.volume[0], second.close[0]]).all()
    assert [(issue.kind, issue.count) for issue in found.issues()] == [("zero_volume", 1)]


def test_bad_rows_error_stops_at_the_row_and_hands_out_all_before(tmp_path: Path) -> None:
    rows = [row(0, "A", 10.0), row(1, "A", 10.0), (row(2, "A", 1.0)[0], "A", 9.0, 8.0, 12.0, 10.0, 1.0)]
    found = feed(tmp_path, rows, bad_rows="error")
    got: list[object] = []
    with pytest.raises(DataError, match="high_below_low: A 2018-03-07: open 9 high 8 low 12"):
        got.extend(found.events())
    assert len(got) == 2


def test_identical_duplicates_are_one_row_and_counted(tmp_path: Path) -> None:
    rows = market_rows()
    twice = feed(tmp_path, by_symbol([*rows, *rows[::3]]))
    once = ParquetFeed(path=parquet(tmp_path / "b.parquet", rows), close=CLOSE)
    assert plains(twice.events()) == plains(once.events())
    counts = {issue.kind: issue for issue in twice.issues()}
    assert counts["duplicate_row"].count == len(rows[::3])
    assert len(counts["duplicate_row"].examples) == 10


def test_differing_duplicates_are_refused_with_symbol_instant_and_both_closes(tmp_path: Path) -> None:
    rows = [row(0, "A", 10.0), row(1, "A", 10.0), row(1, "A", 10.5), row(2, "A", 10.0)]
    found = feed(tmp_path, rows)
    walk = found.events()
    next(walk)
    with pytest.raises(
        DataError, match=r"\.\w+: A has two different rows at 2018-03-06: close 10 and close 10.5; keep one"
    ):
        next(walk)


def test_endless_identical_rows_of_one_instant_do_not_pile_up(tmp_path: Path) -> None:
    rows = [row(0, "A", 10.0)] * 200_000
    assert len(slices(found := feed(tmp_path, rows))) == 1
    assert found.issues()[0].count == 199_999


def test_a_move_beyond_30_percent_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    found = feed(
        tmp_path, [row(0, "A", 10.0), row(0, "B", 10.0), row(1, "A", 13.1), row(2, "B", 12.9), row(3, "B", 9.0)]
    )
    assert [bars.close.tolist() for bars in slices(found)][1][0] == 13.1
    (issue,) = found.issues()
    assert (issue.kind, issue.count) == ("close_jump", 2)
    assert issue.examples == ("A 2018-03-06: +31.0%", "B 2018-03-08: -30.2%")


def test_a_bar_wholly_off_both_neighbours_is_a_one_day_glitch(tmp_path: Path) -> None:
    closes = [10.0, 10.1, 11.5, 10.1, 10.0, 10.9, 10.9, 10.0]
    found = feed(tmp_path, [row(k, "A", close) for k, close in enumerate(closes)])
    got = slices(found)
    assert [bars.close[0] for bars in got] == closes
    (issue,) = found.issues()
    assert (issue.kind, issue.count, issue.examples) == ("one_day_glitch", 1, ("A 2018-03-07: +13.9% and back",))


@pytest.mark.parametrize("group_rows", [3, 7, 1000])
def test_counts_do_not_depend_on_how_the_file_is_cut(tmp_path: Path, group_rows: int) -> None:
    rng = np.random.default_rng(3)
    rows = [
        row(t, f"S{s}", float(np.round(rng.choice([10.0, 11.0, 14.0]), 2)), float(rng.integers(0, 3)))
        for t in range(40)
        for s in range(3)
        if rng.random() > 0.2
    ]
    whole = ParquetFeed(path=parquet(tmp_path / "a.parquet", rows), close=CLOSE)
    cut = ParquetFeed(path=parquet(tmp_path / "b.parquet", rows, row_group_size=group_rows), close=CLOSE)
    assert plains(whole.events()) == plains(cut.events())
    assert {(i.kind, i.count) for i in whole.issues()} == {(i.kind, i.count) for i in cut.issues()}
    assert {i.kind for i in whole.issues()} == {"zero_volume", "close_jump", "one_day_glitch"}


def test_issues_are_those_of_the_last_walk_only(tmp_path: Path) -> None:
    found = feed(tmp_path, [row(0, "A", 10.0, volume=0.0), row(1, "A", 10.0, volume=0.0)])
    (late,) = [bars.ts for bars in slices(found)][1:]
    assert found.issues()[0].count == 2
    assert len(slices(found, start=late)) == 1
    assert found.issues()[0].count == 1
