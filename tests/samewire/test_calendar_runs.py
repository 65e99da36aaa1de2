"""Runs by the calendar of an exchange: what is recorded, handed on and refused."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.calendars.compiled import sessions_of
from adapters.calendars.record import facts
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, Bars, Signal, Timer
from engine.universe import Universe
from samewire import Result, run
from samewire.diagnostics import RunFileErrors
from samewire.recorded import open_recorded
from tests.adapters.files.made import intraday, parquet
from tests.samewire.own import Walk

DATES = [f"2018-07-{day:02}" for day in (2, 3, 5, 6, 9, 10, 11, 12, 13, 16, 17, 18)]


class Known(Walk):
    """A feed of one's own whose calendar was compiled for other days than its bars have."""

    def __init__(self, *, first: dt.date, last: dt.date) -> None:
        super().__init__(symbols=2, slices=20)
        whole = sessions_of("XNYS", first, last)
        low, high = (int(np.datetime64(day, "ns").astype(np.int64)) for day in (first, last))
        self.sessions: Sessions = whole.between(low, high + DAY_NS)


def file(path: Path) -> Path:
    rows = []
    for k, date in enumerate(DATES):
        for s, symbol in enumerate(("AAA", "BBB", "CCC")):
            close = 10.0 + s + 0.1 * ((k * (s + 3)) % 7)
            rows.append((dt.date.fromisoformat(date), symbol, close, close * 1.01, close * 0.99, close, 1e6))
    return parquet(path / "bars.parquet", rows)


def spec(feed: dict[str, Any], **session: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "session": {"name": "days", "cash": 1_000_000} | session,
        "feed": feed,
        "models": [{"name": "mom", "use": "momentum", "window": 2}],
        "strategy": {"use": "topk_dropout", "topk": 1, "n_drop": 1},
        "optimizer": "direct",
        "risk": {"max_weight": 1.0},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 1}},
    }


def test_rule_11_the_sessions_of_a_run_are_recorded_beside_its_manifest(tmp_path: Path) -> None:
    feed = {"use": "parquet", "path": str(file(tmp_path)), "calendar": "NYSE"}
    result = run(spec(feed, start="2018-07-03", end="2018-07-16"), out=tmp_path / "out")
    assert result.summary["fills"] > 0
    found = json.loads((tmp_path / "out" / "manifest.json").read_text())["calendar"]
    expected = sessions_of("XNYS", dt.date(2018, 7, 2), dt.date(2018, 7, 18))
    low, high = (int(np.datetime64(day, "ns").astype(np.int64)) for day in ("2018-07-03", "2018-07-17"))
    part = expected.between(low, high)
    assert found == facts(part)
    assert (found["name"], found["first"], found["last"], found["sessions"]) == ("XNYS", "2018-07-03", "2018-07-16", 9)
    assert found["source"].startswith("exchange_calendars 4.")
    table = Result.load(tmp_path / "out").table("calendar").to_pylist()
    assert [row["label"].isoformat() for row in table] == DATES[1:-2]
    assert [row["closes"].isoformat()[:16] for row in table[:2]] == ["2018-07-03T17:00", "2018-07-05T20:00"]
    assert {row["break_from"] for row in table} == {None}
    bars = [e.event.ts for e in open_recorded(tmp_path / "out").entries() if isinstance(e.event, Bars)]
    assert bars == part.closes.tolist()


def test_a_run_without_a_calendar_records_none(tmp_path: Path) -> None:
    feed = {"use": "parquet", "path": str(file(tmp_path)), "close": "16:00 America/New_York"}
    run(spec(feed), out=tmp_path / "out")
    assert "calendar" not in json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert not (tmp_path / "out" / "calendar.parquet").exists()


def test_a_second_run_by_the_same_calendar_has_the_same_digest_and_table(tmp_path: Path) -> None:
    feed = {"use": "parquet", "path": str(file(tmp_path)), "calendar": "XNYS"}
    for name in ("a", "b"):
        run(spec(feed), out=tmp_path / name)
    one, other = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in "ab")
    assert (one["digest"], one["calendar"]) == (other["digest"], other["calendar"])
    assert (tmp_path / "a" / "calendar.parquet").read_bytes() == (tmp_path / "b" / "calendar.parquet").read_bytes()


@pytest.mark.parametrize("nested", [False, True])
def test_a_wrong_name_is_told_with_the_nearest_and_its_place_before_any_file_is_opened(nested: bool) -> None:
    feed: dict[str, Any] = {"use": "parquet", "path": "no/such/file.parquet", "calendar": "XNYZ"}
    whole = {"use": "aggregate", "of": feed, "to": ["1w"]} if nested else feed
    with pytest.raises(RunFileErrors) as caught:
        run(spec(whole))
    (problem,) = caught.value.problems
    assert problem.path == ("feed.of.calendar" if nested else "feed.calendar")
    assert "exchange_calendars does not have; did you mean XNZE, XNYS or XZAG?" in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("lot", 0, "lot must be above 0 shares"),
        ("tick", -1, "tick must be at least 0"),
        ("interval", "nonsense", "interval must be a count and a unit"),
        ("delist_after", 0, "delist_after must be at least 1 slice"),
    ],
)
def test_an_option_of_a_feed_that_cannot_be_meant_is_told_before_any_file_is_opened(
    option: str, value: Any, said: str
) -> None:
    feed: dict[str, Any] = {"use": "parquet", "path": "no/such/file.parquet", "calendar": "XNYS", option: value}
    with pytest.raises(RunFileErrors, match=said) as caught:
        run(spec(feed))
    assert caught.value.problems[0].path == f"feed.{option}"


def test_checking_a_calendar_does_not_load_the_library_that_makes_them(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(json.dumps(spec({"use": "parquet", "path": "x.parquet", "calendar": "XNYS"})))
    code = (
        "import sys\n"
        "from samewire.schema import load_run\n"
        f"load_run({str(tmp_path / 'run.yaml')!r})\n"
        "assert 'exchange_calendars' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


OWN = f"{Known.__module__}:{Known.__name__}"


def test_a_calendar_that_ends_before_the_run_is_refused_before_anything_runs() -> None:
    """The bars of the feed go from 2018-01-02 to the 21st, day by day."""
    feed = {"use": OWN, "first": "2017-12-20", "last": "2018-01-12"}
    with pytest.raises(
        ConfigError,
        match="calendar XNYS ends with 2018-01-12, and the run goes on to 2018-01-21T21:00:00Z; set session.end",
    ):
        run(spec(feed))
    assert run(spec(feed, end="2018-01-12")).summary["slices"] == 11


def test_a_calendar_that_begins_after_the_run_is_refused_before_anything_runs() -> None:
    feed = {"use": OWN, "first": "2018-01-08", "last": "2018-02-12"}
    with pytest.raises(
        ConfigError,
        match="calendar XNYS begins with 2018-01-08, and the run begins at 2018-01-02T21:00:00Z; set session.st",
    ):
        run(spec(feed))
    assert run(spec(feed, start="2018-01-08")).summary["slices"] == 14


def test_rule_12_the_end_of_a_half_day_is_an_event_of_its_own_behind_its_last_bar(tmp_path: Path) -> None:
    stamps = [
        f"2018-07-{day:02}T{hour}:00" for day in (2, 3, 5) for hour in range(14, 21) if (day, hour) < (3, 18) or day > 3
    ]
    path = intraday(tmp_path / "bars.parquet", stamps, ("AAA", "BBB"))
    feed = {"use": "parquet", "path": str(path), "calendar": "XNYS", "stamped": "close"}
    run(spec(feed), out=tmp_path / "out")
    inputs = [e.event for e in open_recorded(tmp_path / "out").entries() if isinstance(e.event, Bars | Timer)]
    closed = [k for k, event in enumerate(inputs) if isinstance(event, Timer) and event.name == "session_closed"]
    assert [str(np.datetime64(inputs[k].ts, "ns"))[:16] for k in closed] == [
        *("2018-07-02T20:00", "2018-07-03T17:00", "2018-07-05T20:00"),
    ]
    assert all(isinstance(inputs[k - 1], Bars) and inputs[k - 1].ts == inputs[k].ts for k in closed)


def test_scores_with_a_date_join_the_close_of_their_own_session(tmp_path: Path) -> None:
    """With the early close of the third of July as everywhere."""
    lines = [f"{date},{symbol},{k}" for date in DATES for k, symbol in enumerate(("AAA", "BBB", "CCC"))]
    (tmp_path / "scores.csv").write_text("\n".join(["date,symbol,score", *lines]))
    feed = {"use": "parquet", "path": str(file(tmp_path)), "calendar": "XNYS"}
    models = [{"name": "given", "use": "scores", "table": str(tmp_path / "scores.csv")}]
    result = run(spec(feed) | {"models": models})
    assert result.summary["fills"] == 1
    assert result.warnings == [] or not any("not used" in warning for warning in result.warnings)


class Clocked:
    """A model that asks for the trading days of its feed."""

    lookback = 0

    def __init__(self, *, sessions: Sessions, universe: Universe, name: str) -> None:
        self._sessions, self._name, self._n = sessions, name, len(universe)

    def on_bars(self, bars: Bars, /) -> Signal:
        value = np.full(self._n, float(self._sessions.day_of(bars.ts)))
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS)


def test_a_component_is_handed_the_trading_days_of_the_feed_or_told_that_there_are_none(tmp_path: Path) -> None:
    feed = {"use": "parquet", "path": str(file(tmp_path))}
    models = [{"name": "clock", "use": f"{Clocked.__module__}:{Clocked.__name__}"}]
    result = run(spec(feed | {"calendar": "XNYS"}) | {"models": models})
    rows = result.signals["value"].to_pylist()[::3]
    assert rows == [rows[0] + k for k in range(len(DATES))]
    with pytest.raises(ConfigError, match="models .*needs the trading days of an exchange .* set feed.calendar"):
        run(spec(feed | {"close": "16:00 America/New_York"}) | {"models": models})
