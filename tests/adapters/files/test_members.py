"""Membership of a universe from a file, as it was known at each slice."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.files.parquet import ParquetFeed
from engine.errors import DataError
from tests.adapters.files.made import CLOSE, intraday, parquet, plains, row, slices

TEN = [row(k, s, 10.0) for k in range(10) for s in ("A", "B")]
DAYS = sorted({r[0] for r in TEN})


def feed(folder: Path, members: str, **options: Any) -> ParquetFeed:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "members.csv").write_text(members)
    bars = parquet(folder / "bars.parquet", TEN)
    return ParquetFeed(path=bars, close=CLOSE, members=folder / "members.csv", **options)


def who(found: ParquetFeed) -> list[str]:
    """The members of each slice."""
    return ["".join(s for s, in_it in zip("AB", bars.member.tolist(), strict=False) if in_it) for bars in slices(found)]


def test_both_days_count_and_an_empty_end_is_open(tmp_path: Path) -> None:
    found = feed(tmp_path, "symbol,from,to\nA,2018-03-06,2018-03-08\nB,2018-03-07,\n")
    assert who(found) == ["", "A", "AB", "AB", "B", "B", "B", "B", "B", "B"]
    assert found.issues() == ()


def test_ends_far_away_and_beginnings_long_ago_are_days_like_others(tmp_path: Path) -> None:
    found = feed(tmp_path, "symbol,from,to\nA,1957-03-04,9999-12-31\nB,1600-01-01,2018-03-05\n")
    assert who(found) == ["AB"] + ["A"] * 9


def test_a_symbol_may_come_back(tmp_path: Path) -> None:
    found = feed(tmp_path, "symbol,from,to\nA,2018-03-09,2018-03-12\nA,2018-03-05,2018-03-06\nB,2018-03-05,\n")
    assert who(found) == ["AB", "AB", "B", "B", "AB", "AB", "B", "B", "B", "B"]


def test_rule_22_a_row_counts_only_once_it_is_known(tmp_path: Path) -> None:
    text = (
        "symbol,from,to,known_at\n"
        "A,2018-03-05,,2018-03-01\n"
        "A,2018-03-05,2018-03-07,2018-03-09\n"  # that it left on the 7th became known on the 9th
        "B,2018-03-06,,2018-03-08\n"
    )
    found = feed(tmp_path, text)
    assert who(found) == ["A", "A", "A", "AB", "B", "B", "B", "B", "B", "B"]


def test_rows_added_later_change_no_slice_before_they_were_known(tmp_path: Path) -> None:
    head = "symbol,from,to,known_at\nA,2018-03-05,,2018-03-01\nB,2018-03-05,,2018-03-01\n"
    before = feed(tmp_path / "1", head)
    after = feed(tmp_path / "2", head + "A,2018-03-05,2018-03-06,2018-03-13\nB,2018-03-05,,2018-03-13\n")
    assert plains(slices(before)[:6]) == plains(slices(after)[:6])
    assert who(after)[6:] == ["B"] * 4


def test_a_walk_that_starts_in_the_middle_has_the_members_of_its_days(tmp_path: Path) -> None:
    found = feed(tmp_path, "symbol,from,to\nA,2018-03-06,2018-03-12\nB,2018-03-07,2018-03-08\n")
    whole = slices(found)
    assert plains(slices(found, start=whole[3].ts)) == plains(whole[3:])


def test_a_day_without_a_bar_of_its_own_bounds_like_any_other(tmp_path: Path) -> None:
    found = feed(tmp_path, "symbol,from,to\nA,2018-03-10,2018-03-11\nB,2018-03-10,2018-03-12\n")  # a weekend
    assert who(found) == [""] * 5 + ["B"] + [""] * 4


def test_intraday_bars_belong_to_the_trading_day_that_they_close_on(tmp_path: Path) -> None:
    stamps = ["2018-03-05T15:00", "2018-03-05T21:00", "2018-03-06T15:00", "2018-03-06T21:00", "2018-03-07T15:00"]
    path = intraday(tmp_path / "bars.parquet", stamps)
    (tmp_path / "m.csv").write_text("symbol,from,to\nAAA,2018-03-06,2018-03-06\n")
    for how in ({"close": CLOSE}, {"calendar": "XNYS"}):
        found = ParquetFeed(path=path, stamped="close", interval="1h", members=tmp_path / "m.csv", **how)  # type: ignore[arg-type]
        assert [bool(bars.member[0]) for bars in slices(found)] == [False, False, True, True, False], how


def test_names_nobody_knows_and_names_nobody_mentions_are_counted(tmp_path: Path) -> None:
    found = feed(tmp_path, "symbol,from,to\nA,2018-03-05,\nZZZ,2018-03-05,\n")
    assert who(found) == ["A"] * 10
    assert [(issue.kind, issue.examples) for issue in found.issues()] == [
        ("unknown_member", ("ZZZ",)),
        ("never_member", ("B",)),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,from,to\nA,2018-03-08,2018-03-06\n", "line 2: from 2018-03-08 lies after to 2018-03-06"),
        ("symbol,to\nA,2018-03-08\n", "it has no column from"),
        ("symbol,from\nZZZ,2018-03-08\n", "it names none of the 2 symbols"),
        ("symbol,from\n,2018-03-08\n", "line 2: it has no symbol"),
        ("symbol,from\nA,soon\n", "a date or time cannot be read"),
        ("symbol,from\n", "it has no row"),
    ],
)
def test_a_file_that_cannot_be_meant_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        feed(tmp_path, text)


SPELL = st.tuples(st.sampled_from("AB"), st.integers(0, 9), st.integers(0, 9), st.none() | st.integers(0, 9))


@settings(max_examples=60, deadline=None)
@given(st.lists(SPELL, min_size=1, max_size=8), st.integers(0, 9))
def test_any_spells_are_what_a_plain_loop_makes_of_them(
    tmp_path_factory: pytest.TempPathFactory, spells: list[tuple[str, int, int, int | None]], start: int
) -> None:
    rows = [(s, min(a, b), max(a, b), k) for s, a, b, k in spells]
    lines = [f"{s},{DAYS[a]},{DAYS[b]},{'' if k is None else DAYS[k]}" for s, a, b, k in rows]
    found = feed(tmp_path_factory.mktemp("m"), "\n".join(["symbol,from,to,known_at", *lines]) + "\n")
    expected = []
    for t in range(10):
        members = set()
        for name in "AB":
            known: dict[int, tuple[int, int, int]] = {}
            for order, (s, a, b, k) in enumerate(rows):
                since = -1 if k is None else k
                if s == name and since <= t and (since, order) >= known.get(a, (-1, -1, 0))[:2]:
                    known[a] = (since, order, b)
            if any(a <= t <= b for a, (_, _, b) in known.items()):
                members.add(name)
        expected.append("".join(sorted(members)))
    whole = slices(found)
    assert who(found) == expected
    assert plains(slices(found, start=whole[start].ts)) == plains(whole[start:])


@pytest.mark.data
def test_lists_of_the_index_at_a_few_dates_become_spells_known_at_those_dates(data_dir: Path, tmp_path: Path) -> None:
    """The names of the S&P 500 as 19 lists had them: a list is known at its date and holds until the next one."""
    lists = pq.read_table(data_dir / "sp500_membership_snapshots_2013_2018.parquet").select(["snapshot_date", "symbol"])
    dates = sorted(set(lists["snapshot_date"].to_pylist()))
    on = {date: set() for date in dates}  # type: dict[dt.date, set[str]]
    for date, symbol in zip(lists["snapshot_date"].to_pylist(), lists["symbol"].to_pylist(), strict=True):
        on[date].add(symbol)
    rows = [
        {"symbol": s, "from": a, "to": None if b is None else b - dt.timedelta(days=1), "known_at": a}
        for a, b in zip(dates, [*dates[1:], None], strict=True)
        for s in sorted(on[a])
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "members.parquet")
    path = data_dir / "sp500_daily_2013_2018.parquet"
    found = ParquetFeed(path=path, close=CLOSE, members=tmp_path / "members.parquet")
    position = {symbol: k for k, symbol in enumerate(found.universe.symbols)}
    days = sorted(set(pq.read_table(path, columns=["date"])["date"].to_pylist()))
    seen = 0
    for day, bars in zip(days, slices(found), strict=True):
        past = [date for date in dates if date <= day]
        expected = np.zeros(len(position), bool)
        expected[[position[s] for s in (on[past[-1]] if past else ()) if s in position]] = True
        assert np.array_equal(bars.member, expected), day
        seen += int(expected.sum())
    assert seen > 400 * 1_000
