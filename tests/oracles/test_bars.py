"""Bars made of shorter bars, against the longer bars that were published beside them: every field of every bar."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from adapters.operators.aggregate import Aggregate
from engine.events import DAY_NS, MINUTE_NS, Bars
from tests.adapters.operators.listed import sessions
from tests.oracles.expected import BARS

pytestmark = pytest.mark.data
FIELDS = ("open", "high", "low", "close", "volume")
LEAN = ["AAPL", "AIG", "BAC", "IBM", "SPY"]
Row = tuple[float, ...]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEWIRE_CACHE", str(tmp_path_factory.mktemp("cache")))


def rows(feed: Any, interval_ns: int) -> dict[tuple[int, str], Row]:
    """(ts, symbol) -> the five fields of every fresh bar of this interval."""
    found = {}
    for event in feed.events():
        if isinstance(event, Bars) and event.interval_ns == interval_ns:
            columns = [getattr(event, name).tolist() for name in FIELDS]
            for s in np.flatnonzero(event.status == 0).tolist():
                found[event.ts, feed.universe.symbols[s]] = tuple(column[s] for column in columns)
    return found


def test_hours_of_a_clock_make_every_day_of_five_symbols(data_dir: Path) -> None:
    """Most days have seven bars, of which the first is labelled 09:00 and holds half an hour; half days have four."""
    path = data_dir / "oracles" / "lean" / "equity_hour.parquet"
    close = "16:00 America/New_York"
    hours = ParquetFeed(path=path, stamped="open", close=close, interval="1h", symbols=LEAN)
    made = rows(Aggregate(of=hours, to=["1d"]), DAY_NS)
    daily = ParquetFeed(path=path.with_name("equity_daily.parquet"), close=close, symbols=LEAN)
    published = rows(daily, DAY_NS)
    assert len(published) == BARS["hours_to_days"]
    assert made == published
    bars_a_day: dict[int, int] = {}
    for event in hours.events():
        if isinstance(event, Bars):
            key = event.ts // DAY_NS
            bars_a_day[key] = bars_a_day.get(key, 0) + 1
    counts = set(bars_a_day.values())
    assert {4, 7} <= counts


def test_with_the_calendar_of_the_exchange_days_differ_only_where_bars_closed_after_its_close(data_dir: Path) -> None:
    """On half days before 2009 the vendor printed an hour after the close at 13:00; with a calendar it is left out."""
    path = data_dir / "oracles" / "lean" / "equity_hour.parquet"
    hours = ParquetFeed(path=path, stamped="open", calendar="XNYS", interval="1h", symbols=LEAN)
    made = rows(Aggregate(of=hours, to=["1d"]), DAY_NS)
    published = rows(ParquetFeed(path=path.with_name("equity_daily.parquet"), calendar="XNYS", symbols=LEAN), DAY_NS)
    assert made.keys() == published.keys()
    late = {ts for ts, symbol in made if made[ts, symbol] != published[ts, symbol]}
    closes = {dt.datetime.fromtimestamp(ts // 10**9, ZoneInfo("America/New_York")).strftime("%H:%M") for ts in late}
    assert closes == {"13:00"}
    assert all(made[ts, symbol][4] < published[ts, symbol][4] for ts in late for symbol in LEAN)


def test_minutes_of_extended_hours_make_sessions_by_the_calendar(data_dir: Path) -> None:
    """From 04:00 to 20:00 New York over the change of the clocks; the sessions alone make half hours and days."""
    path = data_dir / "intraday" / "spy_1min_2024_02_05.parquet"
    expected: dict[str, list[float]] = {}
    for row in pq.read_table(path).to_pylist():
        local = row["ts"].astimezone(ZoneInfo("America/New_York"))
        if dt.time(9, 30) <= local.time() < dt.time(16):
            o, h, low, c, v = (float(row[name]) for name in FIELDS)
            known = expected.setdefault(local.date().isoformat(), [o, h, low, c, 0.0])
            known[1], known[2], known[3], known[4] = max(known[1], h), min(known[2], low), c, known[4] + v
    for outside in ("drop", "keep"):
        feed = ParquetFeed(path=path, stamped="open", calendar="XNYS", outside=outside)  # type: ignore[arg-type]
        whole = Aggregate(of=feed, to=["30min", "1d"])
        days = rows(whole, DAY_NS)
        zone = ZoneInfo("America/New_York")
        named = {str(dt.datetime.fromtimestamp(ts // 10**9, zone).date()): list(row) for (ts, _), row in days.items()}
        assert named == expected
        assert len(rows(whole, 30 * MINUTE_NS)) == 13 * len(days)


def test_minutes_make_every_five_minutes_of_three_pairs(data_dir: Path) -> None:
    """Volumes are decimal fractions, whose sums have noise in the 16th digit: they are compared as printed."""
    minutes = ParquetFeed(path=data_dir / "intraday" / "crypto_usdt_1min_2025_06.parquet", stamped="open")
    made = rows(Aggregate(of=minutes, to=["5min"]), 5 * MINUTE_NS)
    published = rows(
        ParquetFeed(
            path=data_dir / "intraday" / "crypto_usdt_5min_2025.parquet",
            stamped="open",
            symbols=list(minutes.universe.symbols),
        ),
        5 * MINUTE_NS,
    )
    common = made.keys() & published.keys()
    assert len(common) == BARS["minutes_to_five"]
    # The five minutes in which the file of minutes begins are the only ones that the other does not have.
    assert {ts for ts, _ in made.keys() - published.keys()} == {min(ts for ts, _ in made)}
    assert sum(printed(made[key]) != printed(published[key]) for key in common) == 0


def printed(row: Row) -> Row:
    return (*row[:4], round(row[4], 8))


# The names whose minutes were downloaded together with their quarters of an hour; of the last three only prices were.
WHOLE = ("AMZN", "GLD", "JPM", "MSFT", "MU", "SPY", "V", "XLP")
PRICES_ONLY = ("BK", "TRV", "VXXB")


@pytest.mark.parametrize("calendar", [False, True], ids=["clock", "sessions"])
def test_minutes_stamped_at_their_end_make_every_quarter_of_an_hour(data_dir: Path, calendar: bool) -> None:
    symbols = [*WHOLE, *PRICES_ONLY]
    folder = data_dir / "intraday"
    minutes: Any = ParquetFeed(path=folder / "us_equity_1min_2019_02.parquet", stamped="close", symbols=symbols)
    if calendar:
        minutes.sessions = sessions(*((f"2019-02-{d}", "09:30", "16:00") for d in range(11, 16)))
    made = rows(Aggregate(of=minutes, to=["15min"]), 15 * MINUTE_NS)
    quarters = ParquetFeed(path=folder / "us_equity_15min_2019_01_02.parquet", stamped="close", symbols=symbols)
    first = min(ts for ts, _ in made)
    published = {key: row for key, row in rows(quarters, 15 * MINUTE_NS).items() if key[0] >= first}
    assert made.keys() == published.keys()
    assert len(made) == 5 * 26 * len(symbols)
    assert [key for key in made if key[1] in WHOLE and made[key] != published[key]] == []
    assert [key for key in made if made[key][:4] != published[key][:4]] == []


def test_days_make_every_week_of_an_index(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "oracles" / "backtrader"
    feeds = {}
    for name in ("2006_day_001", "2006_week_001"):
        lines = (folder / f"{name}.csv").read_text().splitlines()
        head, *body = [line.split(",") for line in lines]
        feeds[name] = {row[0]: tuple(map(float, row[1:6])) for row in body}
        assert tuple(head[1:6]) == FIELDS
    weekly = feeds["2006_week_001"]
    made = index_weeks(folder / "2006_day_001.csv", tmp_path)
    assert len(weekly) == BARS["days_to_weeks"]
    by_week = {dt.date.fromisoformat(day).isocalendar()[:2]: row for day, row in weekly.items()}
    assert made == by_week


def index_weeks(path: Path, folder: Path) -> dict[tuple[int, int], Row]:
    """(ISO year, week) -> the five fields. Where no calendar is known, a week comes with the end of its Sunday."""
    # A day more, so that the data does not break off before the last Sunday.
    (folder / "INDEX.csv").write_text("\n".join([*path.read_text().splitlines(), "2007-01-08,1,1,1,1,0,0"]))
    feed = CsvFeed(path=folder, close="17:30 Europe/Berlin", currency="EUR")
    found = {}
    for (ts, _), row in rows(Aggregate(of=feed, to=["1w"], keep=False), 7 * DAY_NS).items():
        ended = dt.datetime.fromtimestamp(ts // 10**9, ZoneInfo("Europe/Berlin"))
        assert ended.strftime("%A %H:%M") == "Sunday 17:30"
        found[ended.date().isocalendar()[:2]] = row
    return found


# ---- the same on data that nobody published: seeded changes, and a loop of its own -----------------------------------


def changed_minutes(data_dir: Path, seed: int) -> Iterator[dict[str, Any]]:
    """A week of real minutes with bars taken out, prices moved and volumes drawn anew, as rows."""
    rng = np.random.default_rng(seed)
    table = pq.read_table(data_dir / "intraday" / "us_equity_1min_2019_02.parquet").to_pylist()
    for row in table:
        if rng.random() < 0.2:
            continue
        factor = float(rng.choice([0.5, 1.0, 1.5]))
        yield row | {k: row[k] * factor for k in FIELDS[:4]} | {"volume": int(rng.integers(0, 10_000))}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("minutes", [5, 30])
def test_changed_data_gives_the_bars_of_a_plain_loop(data_dir: Path, tmp_path: Path, seed: int, minutes: int) -> None:
    table = list(changed_minutes(data_dir, seed))
    pq.write_table(pa.Table.from_pylist(table), tmp_path / "a.parquet")
    feed = ParquetFeed(path=tmp_path / "a.parquet", stamped="close")
    length = minutes * 60
    expected: dict[tuple[int, str], list[float]] = {}
    for row in sorted(table, key=lambda row: row["ts"]):
        stamp = int(row["ts"].timestamp())
        end = stamp + (-stamp) % length
        o, h, low, c, v = (float(row[name]) for name in FIELDS)
        known = expected.setdefault((end * 10**9, row["symbol"]), [o, h, low, c, 0.0])
        known[1], known[2], known[3] = max(known[1], h), min(known[2], low), c
        known[4] += v
    last = max(int(row["ts"].timestamp()) for row in table) * 10**9
    whole = {key: tuple(row) for key, row in expected.items() if key[0] <= last}
    assert rows(Aggregate(of=feed, to=[f"{minutes}min"]), minutes * MINUTE_NS) == whole
