"""How a symbol ends, by its list of actions or in silence; what a list has that prices do not show."""

import datetime as dt
import zoneinfo
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from engine.errors import DataError
from engine.events import Actions, Status
from tests.adapters.files.listed_actions import RANK, TWO, feed, legs, of
from tests.adapters.files.made import CLOSE, MONDAY, Row, parquet, plains, row, slices

# ---- the end of a symbol ---------------------------------------------------------------------------------------------


def ends_early(days: int = 12, last: int = 3) -> list[Row]:
    return [row(k, s, 10.0 + k) for k in range(days) for s in ("A", "B") if s == "B" or k <= last]


def test_a_delisting_states_its_price_and_ends_the_membership(tmp_path: Path) -> None:
    found = feed(tmp_path, ends_early(), "symbol,ex_date,kind,amount\nA,2018-03-09,delisting,12.5\n")
    events = list(found.events())
    assert legs(events)[0][4] == 12.5
    assert [bool(bars.member[0]) for bars in slices(found)] == [True] * 4 + [False] * 8
    assert found.issues() == ()


def test_a_delisting_without_a_price_is_at_the_last_close_in_shares_of_its_day(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,ratio,amount\nA,2018-03-12,delisting,,\nA,2018-03-09,split,2,\n"
    found = feed(tmp_path, ends_early(), text)
    assert legs(list(found.events()))[-1][4] == 13.0 / 2
    assert [(issue.kind, issue.count) for issue in found.issues()] == [("delisting_without_price", 1)]


def test_a_delisting_without_a_price_of_a_symbol_that_had_no_bar_closes_nothing(tmp_path: Path) -> None:
    rows = [row(k, "A", 10.0) for k in range(4)] + [row(3, "B", 10.0)]
    text = "symbol,ex_date,kind,ratio,amount\nB,2018-03-07,delisting,,\nA,2018-03-07,split,2,\n"
    events = list(feed(tmp_path, sorted(rows), text).events())
    assert [leg[:3] for leg in legs(events)] == [("2018-03-07T05:00", "SPLIT", 0)]


def test_a_name_that_vanishes_is_reported_and_left_alone(tmp_path: Path) -> None:
    found = feed(tmp_path, ends_early())
    assert legs(list(found.events())) == []
    (issue,) = found.issues()
    assert (issue.kind, issue.count, issue.examples) == ("vanished", 1, ("A 2018-03-08",))
    short = feed(tmp_path / "short", ends_early(days=9))
    list(short.events())
    assert short.issues() == ()  # a week of silence is no end


def test_delist_after_closes_a_silent_name_at_its_last_close(tmp_path: Path) -> None:
    found = feed(tmp_path, ends_early(), delist_after=3)
    events = list(found.events())
    ((when, kind, symbol, _, amount),) = legs(events)
    assert (when, kind, symbol, amount) == ("2018-03-13T20:00", "DELISTING", 0, 13.0)
    (place,) = (k for k, event in enumerate(events) if isinstance(event, Actions))
    assert place == 7  # behind the third slice without it
    assert [bool(bars.member[0]) for bars in slices(found)] == [True] * 7 + [False] * 5
    (issue,) = found.issues()
    assert (issue.kind, issue.rule) == ("delisted_in_silence", "no bar for 3 slices: delisted at the last close")
    assert issue.examples == ("A 2018-03-13T20:00:00Z: at 13",)


def test_delist_after_counts_slices_on_end_and_takes_splits_into_account(tmp_path: Path) -> None:
    rows = [row(k, s, 10.0 + k) for k in range(9) for s in ("A", "B") if s == "B" or k in (0, 2, 4)]
    text = "symbol,ex_date,kind,ratio\nA,2018-03-12,split,2\n"
    found = feed(tmp_path, rows, text, delist_after=2)
    (_, (_, kind, symbol, _, amount)) = legs(list(found.events()))
    assert (kind, symbol, amount) == ("DELISTING", 0, 7.0)


def test_a_halt_is_no_silence(tmp_path: Path) -> None:
    table = pq.read_table(parquet(tmp_path / "plain.parquet", TWO))
    halted = [k >= 4 and symbol == "A" for k, symbol in enumerate(table["symbol"].to_pylist())]
    pq.write_table(table.append_column("halted", pa.array(halted)), tmp_path / "bars.parquet")
    found = ParquetFeed(path=tmp_path / "bars.parquet", close=CLOSE, delist_after=2)
    events = list(found.events())
    assert of(events) == []
    assert [int(bars.status[0]) for bars in slices(found)] == [Status.FRESH] * 2 + [Status.HALTED] * 4


def test_a_bar_after_the_end_is_said_and_the_name_stays_out(tmp_path: Path) -> None:
    found = feed(tmp_path, TWO, "symbol,ex_date,kind,amount\nA,2018-03-09,delisting,12.5\n")
    assert [bool(bars.member[0]) for bars in slices(found)] == [True] * 4 + [False] * 2
    assert [(issue.kind, issue.count) for issue in found.issues()] == [("bar_after_the_end", 2)]


def test_a_change_of_symbol_names_its_successor_in_the_universe(tmp_path: Path) -> None:
    found = feed(tmp_path, TWO, "symbol,ex_date,kind,successor\nA,2018-03-09,symbol_change,B\n")
    (change,) = of(list(found.events()))
    assert (change.successor.tolist(), change.ratio.tolist()) == ([1], [1.0])


@pytest.mark.parametrize("instruments", ["symbol,currency\nB,EUR\n", "symbol,multiplier\nB,10\n"])
def test_a_change_of_symbol_into_other_money_is_refused_before_the_run(tmp_path: Path, instruments: str) -> None:
    (tmp_path / "i.csv").write_text(instruments)
    (tmp_path / "r.csv").write_text("date,currency,rate\n2018-03-01,EUR,1.2\n")
    more = {"instruments": tmp_path / "i.csv", "rates": tmp_path / "r.csv"}
    with pytest.raises(
        DataError, match=r"actions\.csv.*successor 'B' has another currency or multiplier.* a delisting"
    ):
        feed(tmp_path, TWO, "symbol,ex_date,kind,successor\nA,2018-03-09,symbol_change,B\n", **more)


def test_delist_after_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="delist_after must be at least 1 slice, got 0"):
        feed(tmp_path, TWO, delist_after=0)


def test_csv_bars_take_the_same_files(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,ratio\nA,2018-03-07,split,2\n"
    one = feed(tmp_path, TWO, text)
    lines = [f"{d},{s},{o},{h},{low},{c},{v}" for d, s, o, h, low, c, v in TWO]
    (tmp_path / "bars.csv").write_text("date,symbol,open,high,low,close,volume\n" + "\n".join(lines))
    other = CsvFeed(path=tmp_path / "bars.csv", close=CLOSE, actions=tmp_path / "actions.csv")
    assert plains(one.events()) == plains(other.events())


def midnight(day: dt.date) -> int:
    zone = zoneinfo.ZoneInfo("America/New_York")
    return int(dt.datetime.combine(day, dt.time(), zone).timestamp()) * 10**9


def test_a_jump_that_a_split_explains_is_not_counted(tmp_path: Path) -> None:
    rows = [row(k, s, 100.0 if k < 3 else 50.0) for k in range(6) for s in ("A", "B")]
    found = feed(tmp_path, rows, "symbol,ex_date,kind,ratio\nA,2018-03-08,split,2\nB,2018-03-09,split,2\n")
    list(found.events())
    jump, flat = found.issues()
    assert (jump.kind, jump.examples) == ("close_jump", ("B 2018-03-08: -50.0%",))
    assert flat.kind == "split_without_jump"
    assert flat.examples == ("B 2018-03-09T05:00:00Z: 2 for 1, close 50, then open 49.5",)


def counted(found: ParquetFeed) -> dict[str, tuple[str, ...]]:
    list(found.events())
    return {issue.kind: issue.examples for issue in found.issues()}


@pytest.mark.parametrize(
    ("ratio", "after", "said"),
    [
        ("7:1", 100.0, True),  # prices that were adjusted already
        ("7:1", 14.0, False),
        ("7:1", 30.0, False),  # fell far beside: nearer to the split than to nothing
        ("1:10", 105.0, True),
        ("1:10", 980.0, False),
        ("1.05", 100.0, False),  # a share for twenty: a night may move as much
    ],
)
def test_a_split_that_prices_do_not_show_is_counted(tmp_path: Path, ratio: str, after: float, said: bool) -> None:
    rows = [row(k, "A", 100.0 if k < 3 else after) for k in range(6) if k not in (2, 3)]
    found = feed(tmp_path, rows, f"symbol,ex_date,kind,ratio\nA,2018-03-08,split,{ratio}\n")
    assert ("split_without_jump" in counted(found)) == said
    (issue,) = [issue for issue in found.issues() if issue.kind == "split_without_jump"] or (None,)
    assert issue is None or "leave out `actions`, or use raw prices" in issue.rule


def test_two_splits_between_two_bars_are_one_jump(tmp_path: Path) -> None:
    rows = [row(k, "A", 100.0 if k < 2 else 25.0) for k in (0, 1, 4, 5)]
    text = "symbol,ex_date,kind,ratio\nA,2018-03-07,split,2\nA,2018-03-08,split,2\n"
    assert counted(feed(tmp_path, rows, text)) == {}


def test_a_dividend_of_half_the_price_is_counted(tmp_path: Path) -> None:
    rows = [row(k, s, 10.0) for k in range(6) for s in ("A", "B")]
    text = "symbol,ex_date,kind,amount\nA,2018-03-07,dividend,5\nB,2018-03-07,dividend,4.9\n"
    assert counted(feed(tmp_path, rows, text)) == {
        "large_dividend": ("A 2018-03-07T05:00:00Z: 5 a share, the last close is 10",)
    }


def test_what_comes_behind_the_end_of_a_symbol_is_counted(tmp_path: Path) -> None:
    text = (
        "symbol,ex_date,kind,amount\nA,2018-03-07,delisting,9\nA,2018-03-08,delisting,5\nA,2018-03-09,dividend,1\n"
        "B,2018-03-09,dividend,1\n"
    )
    rows = [one for one in TWO if one[1] == "B" or one[0] < dt.date(2018, 3, 7)]
    assert counted(feed(tmp_path, rows, text)) == {
        "action_after_the_end": ("A 2018-03-08T05:00:00Z: delisting", "A 2018-03-09T05:00:00Z: cash_dividend")
    }


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("instruments", "symbol,multiplierr\nA,50\n", "the column 'multiplierr', .* did you mean 'multiplier'"),
        ("actions", "symbol,ex_date,kind,ratioo\nA,2018-03-07,split,2\n", "'ratioo', .* did you mean 'ratio'"),
        ("members", "symbol,from,too\nA,2018-03-05,2018-03-06\n", "'too', .* did you mean 'to'"),
    ],
)
def test_a_slip_in_the_name_of_a_column_is_an_error(tmp_path: Path, option: str, text: str, said: str) -> None:
    (tmp_path / "side.csv").write_text(text)
    bars = parquet(tmp_path / "bars.parquet", TWO)
    beside: dict[str, Any] = {option: tmp_path / "side.csv"}
    with pytest.raises(DataError, match=said):
        ParquetFeed(path=bars, close=CLOSE, **beside)


def test_columns_that_mean_nothing_are_counted_and_those_of_other_files_are_no_fields(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("symbol,lot,country\nA,1,US\n")
    (tmp_path / "m.csv").write_text("symbol,from,name,multiplier\nA,2018-03-05,Alpha,2\n")
    text = "symbol,ex_date,kind,amount,paid_on\nA,2018-03-07,dividend,1,2018-03-09\n"
    found = feed(tmp_path, TWO, text, instruments=tmp_path / "i.csv", members=tmp_path / "m.csv")
    said = [(issue.count, issue.examples) for issue in found.issues() if issue.kind == "unknown_column"]
    assert said == [(4, ("i.csv: country", "actions.csv: paid_on", "m.csv: name", "m.csv: multiplier"))]


ACTION = st.tuples(st.integers(-3, 12), st.sampled_from("AB"), st.sampled_from((0.5, 2.0, 3.0)))


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTION, max_size=8, unique_by=lambda action: action[:2]), st.integers(0, 6), st.integers(0, 6))
def test_any_list_in_any_range_comes_out_as_a_plain_loop_has_it(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[int, str, float]], a: int, b: int
) -> None:
    days = [MONDAY + dt.timedelta(days=k) for k in range(-3, 13)]
    lines = [f"{s},{days[k + 3]},split,{r}" for k, s, r in actions]
    text = "\n".join(["symbol,ex_date,kind,ratio", *(lines or ["A,1999-01-01,split,2"])])
    found = feed(tmp_path_factory.mktemp("a"), TWO, text)
    closes = [bars.ts for bars in slices(found)]
    low, high = sorted((a, b))
    bounds = (closes[low - 1] + 1 if low else None, closes[high] if high < 6 else None)
    try:
        events = list(found.events(*bounds))
    except DataError:
        assert low == high  # there is no slice in between
        return
    since = bounds[0] if bounds[0] is not None else closes[0]
    until = min(bounds[1] or closes[-1], closes[-1])
    expected = sorted(
        (ts, k, s, r) for k, (d, s, r) in enumerate(actions) if since <= (ts := midnight(days[d + 3])) < until
    )
    got = [(e.ts, "AB"[s], r) for e in of(events) for s, r in zip(e.symbol.tolist(), e.ratio.tolist(), strict=True)]
    assert got == [(ts, s, r) for ts, _, s, r in expected]
    order = [(event.ts, RANK[type(event)]) for event in events]
    assert order == sorted(order)
