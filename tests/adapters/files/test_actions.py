"""Corporate actions from a file, between the slices they stand between."""

import datetime as dt
import zoneinfo
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from engine.errors import DataError
from engine.events import INPUT_ORDER, ActionKind, Actions, Bars, Event, Status, Timer
from tests.adapters.files.made import CLOSE, MONDAY, Row, intraday, parquet, plains, row, slices

RANK = {kind: k for k, kind in enumerate(INPUT_ORDER)}


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def feed(folder: Path, rows: list[Row], actions: str | None = None, **options: Any) -> ParquetFeed:
    """Bars with a file of actions beside them: the text of a CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    if actions is not None:
        (folder / "actions.csv").write_text(actions)
        options["actions"] = folder / "actions.csv"
    return ParquetFeed(path=parquet(folder / "bars.parquet", rows), **({"close": CLOSE} | options))


def of(events: list[Event]) -> list[Actions]:
    return [event for event in events if isinstance(event, Actions)]


def legs(events: list[Event]) -> list[tuple[str, str, int, float, float]]:
    """(day, kind, symbol, ratio, amount) of every action."""
    return [
        (str(np.datetime64(a.ts, "ns"))[:16], ActionKind(k).name, s, r, m)
        for a in of(events)
        for k, s, r, m in zip(a.kind.tolist(), a.symbol.tolist(), a.ratio.tolist(), a.amount.tolist(), strict=True)
    ]


TWO = [row(k, s, 10.0 + k) for k in range(6) for s in ("A", "B")]


def test_an_action_enters_at_the_local_midnight_that_begins_its_ex_date(tmp_path: Path) -> None:
    found = feed(tmp_path, TWO, "symbol,ex_date,kind,ratio,amount\nA,2018-03-07,split,2,\nB,2018-03-12,dividend,,0.5\n")
    events = list(found.events())
    assert legs(events)[0][:4] == ("2018-03-07T05:00", "SPLIT", 0, 2.0)
    assert legs(events)[1][:3] == ("2018-03-12T04:00", "CASH_DIVIDEND", 1)  # the clocks changed on the 11th
    assert legs(events)[1][4] == 0.5
    order = [(event.ts, RANK[type(event)]) for event in events]
    assert order == sorted(order)
    place = events.index(of(events)[0])
    before, after = events[place - 1], events[place + 1]
    assert isinstance(before, Bars)
    assert isinstance(after, Bars)
    assert before.ts < of(events)[0].ts <= after.opened


def test_a_dividend_is_paid_on_its_pay_date_and_without_one_on_its_ex_date(tmp_path: Path) -> None:
    text = (
        "symbol,ex_date,kind,amount,pay_date\nA,2018-03-07,cash_dividend,0.5,2018-03-09\nB,2018-03-07,dividend,0.1,\n"
    )
    (found,) = of(list(feed(tmp_path, TWO, text).events()))
    assert found.pay_at.tolist() == [ns("2018-03-09T05:00"), found.ts]


def test_an_action_of_a_day_without_a_slice_enters_before_the_next_slice(tmp_path: Path) -> None:
    saturday = "symbol,ex_date,kind,ratio\nA,2018-03-10,split,2\n"
    events = list(feed(tmp_path, TWO, saturday).events())
    (place,) = (k for k, event in enumerate(events) if isinstance(event, Actions))
    assert place == 5
    assert isinstance(events[6], Bars)


def test_actions_stand_in_any_order_in_the_file_and_come_out_in_time_order(tmp_path: Path) -> None:
    lines = ["B,2018-03-09,split,3", "A,2018-03-07,split,2", "A,2018-03-12,split,5"]
    head = "symbol,ex_date,kind,ratio\n"
    straight = feed(tmp_path / "1", TWO, head + "\n".join(sorted(lines, key=lambda line: line[2:])))
    turned = feed(tmp_path / "2", TWO, head + "\n".join(lines))
    assert plains(straight.events()) == plains(turned.events())
    assert [leg[3] for leg in legs(list(turned.events()))] == [2.0, 3.0, 5.0]


def test_several_actions_of_one_instant_are_one_event_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "symbol,ex_date,kind,ratio,amount\nA,2018-03-07,split,2,\nA,2018-03-07,dividend,,0.5\nB,2018-03-07,split,3,\n"
    )
    (found,) = of(list(feed(tmp_path, TWO, text).events()))
    assert found.kind.tolist() == [ActionKind.SPLIT, ActionKind.CASH_DIVIDEND, ActionKind.SPLIT]
    assert found.symbol.tolist() == [0, 0, 1]


def test_a_list_read_from_csv_and_from_parquet_is_the_same(tmp_path: Path) -> None:
    text = "Symbol,Ex Date,Kind,Ratio,Amount\nA,20180307,Split,0.1,\nB,20180308,cash dividend,,0.5\n"
    day = [dt.date(2018, 3, 7), dt.date(2018, 3, 8)]
    table = {"symbol": ["A", "B"], "ex_date": day, "kind": ["split", "cash_dividend"]}
    pq.write_table(pa.table(table | {"ratio": [0.1, None], "amount": [None, 0.5]}), tmp_path / "a.parquet")
    one = feed(tmp_path, TWO, text)
    other = feed(tmp_path, TWO, actions=None)
    del other
    second = ParquetFeed(path=tmp_path / "bars.parquet", close=CLOSE, actions=tmp_path / "a.parquet")
    assert plains(one.events()) == plains(second.events())
    assert {"actions.csv", "bars.parquet"} == set(one.hashes())


def test_ratios_may_be_written_new_to_old(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,split_new_for_old\nA,2018-03-07,split,7:1\nB,2018-03-07,split,1:10\n"
    assert [leg[3] for leg in legs(list(feed(tmp_path, TWO, text).events()))] == [7.0, 0.1]


def test_the_same_action_twice_is_applied_once_and_said(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,ratio\n" + "A,2018-03-07,split,2\n" * 3
    found = feed(tmp_path, TWO, text)
    assert len(legs(list(found.events()))) == 1
    issue, flat = found.issues()
    assert (issue.kind, issue.count, issue.examples[0]) == ("duplicate_action", 2, "A 2018-03-07 split")
    assert (flat.kind, flat.count) == ("split_without_jump", 1)


def test_two_dividends_of_one_day_that_differ_are_both_paid(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,amount\nA,2018-03-07,dividend,0.1\nA,2018-03-07,dividend,2\n"
    assert [leg[4] for leg in legs(list(feed(tmp_path, TWO, text).events()))] == [0.1, 2.0]


def test_an_unknown_symbol_is_counted_and_one_that_was_not_asked_for_is_not(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,ratio\nB,2018-03-07,split,2\nZZZ,2018-03-07,split,2\n"
    found = feed(tmp_path, TWO, text, symbols=["A"])
    assert legs(list(found.events())) == []
    (issue,) = found.issues()
    assert (issue.kind, issue.count, issue.examples) == ("unknown_symbol", 1, ("ZZZ 2018-03-07 split",))


def test_a_kind_nobody_knows_is_counted_or_with_bad_rows_error_refused(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,ratio\nA,2018-03-07,spin_off,0.2\n"
    found = feed(tmp_path, TWO, text)
    assert legs(list(found.events())) == []
    assert [(issue.kind, issue.count) for issue in found.issues()] == [("unknown_action", 1)]
    with pytest.raises(DataError, match="A 2018-03-07 spin_off.*mend the row"):
        feed(tmp_path, TWO, text, bad_rows="error")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("A,2018-03-07,split,0,,,,", "line 2: A 2018-03-07 split: ratio is 0.0; it must be new shares for one old"),
        ("A,2018-03-07,split,-2,,,,", "ratio is -2.0"),
        ("A,2018-03-07,split,,,,,", "ratio is nan"),
        ("A,2018-03-07,split,inf,,,,", "ratio is inf"),
        ("A,2018-03-07,split,2:0,,,,", "ratio '2:0' is neither a number nor new:old"),
        ("A,2018-03-07,split,1e300,,,,", "line 2: A 2018-03-07 split: ratio is 1e.300; .* from 0.0001 to 10000; mend"),
        ("A,2018-03-07,split,1:10001,,,,", "ratio is 9.99"),
        ("A,2018-03-07,symbol_change,1e5,,,B,", "ratio is 100000.0"),
        ("A,2018-03-07,split,two,,,,", "ratio 'two' is neither a number nor new:old"),
        ("A,2018-03-07,dividend,,,,,", "line 2: A 2018-03-07 dividend: amount is nan; it must be cash a share"),
        ("A,2018-03-07,dividend,,-1,,,", "amount is -1.0"),
        ("A,2018-03-07,dividend,,x,,,", "line 2: amount 'x' is not a number"),
        ("A,2018-03-07,dividend,,1,2018-03-06,,", "its pay_date comes before its ex_date"),
        ("A,2018-03-07,delisting,,-1,,,", "amount is -1.0; it must be the last price"),
        ("A,2018-03-07,symbol_change,,,,,", "it names no successor"),
        ("A,2018-03-07,symbol_change,,,,C,", "successor 'C' is not in the universe of 2 symbols; add it to symbols"),
        ("A,2018-03-07,symbol_change,,,,A,", "its successor is the symbol itself"),
        ("A,2018-03-07,symbol_change,-1,,,B,", "ratio is -1.0"),
        (",2018-03-07,split,2,,,,", "line 2: it has no symbol"),
        ("A,,split,2,,,,", "line 2: it has no ex_date"),
        ("A,07.03.2018,split,2,,,,", "a date or time cannot be read"),
    ],
)
def test_a_row_that_cannot_be_meant_is_an_error_that_names_it(tmp_path: Path, line: str, said: str) -> None:
    head = "symbol,ex_date,kind,ratio,amount,pay_date,successor,known_at\n"
    with pytest.raises(DataError, match=said.replace("(", r"\(")):
        feed(tmp_path, TWO, head + line + "\n")


def test_two_splits_of_one_day_that_differ_are_an_error(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,ratio\nA,2018-03-07,split,2\nA,2018-03-07,split,3\n"
    with pytest.raises(DataError, match="line 3: A 2018-03-07 split: it differs from another split of that day"):
        feed(tmp_path, TWO, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,kind\nA,split\n", "it has no column ex_date or ts"),
        ("symbol,ex_date\nA,2018-03-07\n", "it has no column kind; it has symbol, ex_date"),
        ("symbol,ex_date,kind\n", "it has no row"),
        ("", "it is empty"),
        ("symbol,ex_date,kind,kind\nA,2018-03-07,split,split\n", "the column 'kind' stands twice"),
    ],
)
def test_a_file_that_is_no_list_of_actions_says_what_is_missing(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        feed(tmp_path, TWO, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: there is no such file"):
        feed(tmp_path, TWO, actions=None).__class__(
            path=tmp_path / "bars.parquet", close=CLOSE, actions=tmp_path / "none.csv"
        )


def test_an_action_known_late_enters_when_it_is_known_and_is_counted(tmp_path: Path) -> None:
    text = (
        "symbol,ex_date,kind,ratio,known_at\n"
        "A,2018-03-07,split,2,2018-02-01\nB,2018-03-07,split,2,2018-03-07\nB,2018-03-09,split,4,2018-03-08\n"
    )
    found = feed(tmp_path, TWO, text)
    # The end of a day is its close: an action announced on its ex-date was not known before it.
    assert [leg[0] for leg in legs(list(found.events()))] == [
        "2018-03-07T05:00",
        "2018-03-07T21:00",
        "2018-03-09T05:00",
    ]
    # What came late is not compared with prices, which moved before; that of the 9th is, and they did not.
    assert [(issue.kind, issue.count) for issue in found.issues()] == [("late_action", 1), ("split_without_jump", 2)]


def test_an_intraday_action_with_a_time_stands_behind_the_bar_and_the_timer_of_that_instant(tmp_path: Path) -> None:
    stamps = [f"2018-03-05T{hour:02d}:00" for hour in (19, 20, 21)] + ["2018-03-06T15:00"]
    path = intraday(tmp_path / "bars.parquet", stamps)
    (tmp_path / "a.csv").write_text("symbol,ts,kind,ratio\nAAA,2018-03-05T21:00:00Z,split,2\n")
    found = ParquetFeed(path=path, stamped="close", close=CLOSE, interval="1h", actions=tmp_path / "a.csv")
    kinds = [type(event) for event in found.events()]
    assert kinds == [Bars, Bars, Bars, Timer, Actions, Bars, Timer]


def test_without_a_declared_close_dates_are_those_of_utc(tmp_path: Path) -> None:
    stamps = [f"2018-03-05T{hour:02d}:00" for hour in range(22, 24)] + ["2018-03-06T00:00", "2018-03-06T01:00"]
    path = intraday(tmp_path / "bars.parquet", stamps)
    (tmp_path / "a.csv").write_text("symbol,ex_date,kind,ratio\nAAA,2018-03-06,split,2\n")
    found = ParquetFeed(path=path, stamped="close", actions=tmp_path / "a.csv")
    kinds = [type(event) for event in found.events()]
    assert kinds == [Bars, Bars, Bars, Timer, Actions, Bars, Timer]


def test_with_a_calendar_an_action_stands_before_the_open_of_its_trading_day(tmp_path: Path) -> None:
    stamps = [f"2018-03-05T{hour:02d}:00" for hour in (15, 21)] + ["2018-03-06T15:00"]
    path = intraday(tmp_path / "bars.parquet", stamps)
    (tmp_path / "a.csv").write_text("symbol,ex_date,kind,ratio\nAAA,2018-03-06,split,2\n")
    found = ParquetFeed(path=path, stamped="close", interval="30m", calendar="XNYS", actions=tmp_path / "a.csv")
    events = list(found.events())
    order = [(event.ts, RANK[type(event)]) for event in events]
    assert order == sorted(order)
    (split,) = of(events)
    assert ns("2018-03-05T21:00") < split.ts <= ns("2018-03-06T14:30")


def test_a_range_holds_the_actions_of_its_own_time_and_two_ranges_hold_all_of_them(tmp_path: Path) -> None:
    text = "symbol,ex_date,kind,ratio\n" + "".join(f"A,2018-03-{d:02d},split,{d}\n" for d in (1, 5, 6, 7, 8, 12, 20))
    found = feed(tmp_path, TWO, text)
    whole = [leg[:4] for leg in legs(list(found.events()))]
    assert [leg[3] for leg in whole] == [6.0, 7.0, 8.0, 12.0]  # nothing before the first slice, none behind the last
    low, _ = found.bounds(dt.date(2018, 3, 7), None)
    assert low is not None
    early, late = list(found.events(None, low)), list(found.events(low, None))
    assert [leg[:4] for leg in legs(early) + legs(late)] == whole
    assert [leg[3] for leg in legs(early)] == [6.0, 7.0]  # before the close of the 7th


def test_an_action_between_the_start_and_the_first_slice_is_part_of_the_session(tmp_path: Path) -> None:
    found = feed(tmp_path, TWO, "symbol,ex_date,kind,ratio\nA,2018-03-12,split,2\n")
    low, _ = found.bounds(dt.date(2018, 3, 10), None)  # a Saturday
    events = list(found.events(low, None))
    assert [type(event) for event in events] == [Actions, Bars]


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
