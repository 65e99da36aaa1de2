"""Corporate actions from a file, between the slices they stand between."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.parquet import ParquetFeed
from engine.errors import DataError
from engine.events import ActionKind, Actions, Bars, Timer
from tests.adapters.files.listed_actions import RANK, TWO, feed, legs, ns, of
from tests.adapters.files.made import CLOSE, intraday, plains


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
