"""The S&P file: sorted by symbol, with known bad rows."""

import csv
import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapters.files.parquet import ParquetFeed
from adapters.files.when import parse_interval
from engine.events import Bars, Status, Timer
from tests.adapters.files.made import CLOSE, slices

pytestmark = pytest.mark.data
ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def feed(data_dir: Path) -> ParquetFeed:
    return ParquetFeed(path=data_dir / "sp500_daily_2013_2018.parquet", close=CLOSE, sectors=data_dir / "sectors.csv")


def test_every_listed_bad_row_is_missing_and_counted(feed: ParquetFeed, data_dir: Path) -> None:
    bars = {dt.datetime.fromtimestamp(b.ts / 1e9, dt.UTC).date().isoformat(): b for b in slices(feed)}
    assert len(bars) == 1259
    assert len(feed.universe) == 505
    with (data_dir / "sp500_daily_2013_2018_issues.csv").open() as file:
        listed = [row for row in csv.DictReader(file) if row["issue"] in ("nan_ohl", "ohlc_inconsistent")]
    assert len(listed) == 23
    for row in listed:
        position = feed.universe.symbols.index(row["symbol"])
        assert bars[row["date"]].status[position] == Status.MISSING
        assert np.isnan(bars[row["date"]].close[position])
    counts = {issue.kind: issue.count for issue in feed.issues()}
    assert counts["nan_price"] == 11
    # One of the twelve listed as inconsistent has its high below its low.
    assert counts["ohlc_inconsistent"] + counts["high_below_low"] == 12
    # Two of the 24 listed jumps lead to and from the one bad row among them, which is not used.
    assert counts["close_jump"] == 22
    assert counts["one_day_glitch"] > 40
    assert "zero_volume" not in counts


def test_no_fresh_bar_has_a_price_that_is_not_one(feed: ParquetFeed) -> None:
    rows = 0
    for bars in slices(feed):
        fresh = bars.status == Status.FRESH
        prices = np.array([bars.open, bars.high, bars.low, bars.close, bars.volume])
        assert np.isfinite(prices[:, fresh]).all()
        assert np.isnan(prices[:, ~fresh]).all()
        rows += int(fresh.sum())
    assert rows == 619_040 - 23


def test_a_pass_over_it_stays_small(data_dir: Path) -> None:
    code = (
        "import re, sys; from pathlib import Path; from adapters.files.parquet import ParquetFeed;"
        f"f = ParquetFeed(path=Path(sys.argv[1]), close='{CLOSE}');"
        "n = sum(1 for _ in f.events());"
        "print(n, int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) // 1024)"
    )
    path = data_dir / "sp500_daily_2013_2018.parquet"
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    count, megabytes = map(int, done.stdout.split())
    assert count == 1259
    assert megabytes < 300


@pytest.mark.parametrize(
    ("name", "stamped", "interval", "close"),
    [
        ("us_equity_1min_2019_02", "close", "1m", CLOSE),
        ("us_equity_15min_2019_01_02", "close", "15m", CLOSE),
        ("spy_1min_2024_02_05", "open", "1m", "20:00 America/New_York"),
        ("crypto_usdt_5min_2025", "open", "5m", None),
        ("btcusd_1min_2015", "open", "1m", None),
        ("btc_perp_1min_2022_01", "close", "1m", None),
    ],
)
def test_intraday_files_have_their_interval_and_their_sessions(
    data_dir: Path, name: str, stamped: str, interval: str, close: str | None
) -> None:
    path = data_dir / "intraday" / f"{name}.parquet"
    found = ParquetFeed(path=path, stamped=stamped, close=close)  # type: ignore[arg-type]
    assert found.interval_ns == parse_interval(interval)
    events = list(found.events())
    assert [event.ts for event in events] == sorted(event.ts for event in events)
    stamps = pd.read_parquet(path, columns=["ts"])["ts"]
    ends = stamps + pd.Timedelta(found.interval_ns if stamped == "open" else 0)
    last = (ends - pd.Timedelta(1)).dt.tz_convert("UTC" if close is None else close.split()[1])
    assert sum(isinstance(event, Timer) for event in events) == last.dt.date.nunique()
    assert sum(int((b.status == Status.FRESH).sum()) for b in events if isinstance(b, Bars)) == len(stamps)


def test_a_warm_cache_needs_no_second_sort(feed: ParquetFeed) -> None:
    assert len(os.listdir(os.environ["SAMEWIRE_CACHE"])) == 1
    assert sum(1 for _ in feed.events()) == 1260
