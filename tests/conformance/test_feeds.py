"""What every feed keeps: one list of feeds, one battery."""

import datetime as dt
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from adapters.files.qlib_layout import QlibFeed
from adapters.files.sample import SampleFeed
from adapters.operators.aggregate import Aggregate
from components.rl.generated import GeneratedDays
from engine.events import INPUT_ORDER, Bars, Event, Reference, Status, Timer
from tests.adapters.files.made import CLOSE, Row, by_symbol, market_rows, parquet, plain, plains, qlib, table

Rows = Sequence[Row]


def timed(path: Path, rows: Rows, **options: Any) -> ParquetFeed:
    """The same rows as five-minute bars: the days become minutes, ten to a trading day."""
    path.mkdir()
    whole = table(rows)
    days = whole["date"].cast(pa.int32()).to_numpy().astype("datetime64[D]").astype(np.int64)
    k = np.searchsorted(np.unique([np.datetime64(r[0], "D").astype(np.int64) for r in market_rows()]), days)
    ns = np.int64(1_520_260_200_000_000_000) + (k // 10 * 86_400 + k % 10 * 300) * 1_000_000_000
    stamps = pa.array(ns).cast(pa.timestamp("ns", "UTC"))
    pq.write_table(whole.set_column(0, "ts", stamps), path / "a.parquet", row_group_size=11)
    return ParquetFeed(path=path, stamped="open", interval="5m", **(options or {"close": CLOSE}))


def csv(path: Path, rows: Rows) -> CsvFeed:
    path.mkdir()
    lines = [",".join(map(str, r)) for r in rows]
    (path / "a.csv").write_text("\n".join(["date,symbol,open,high,low,close,volume", *lines]))
    return CsvFeed(path=path / "a.csv", close=CLOSE)


def sectored(path: Path, rows: Rows) -> ParquetFeed:
    path.mkdir()
    (path / "sectors.csv").write_text("symbol,sector\nS0,Tech\nS1,Banks\n")
    file = parquet(path / "a.parquet", by_symbol(rows))
    return ParquetFeed(path=file, close=CLOSE, sectors=path / "sectors.csv", sort_rows_max=40)


def with_life(path: Path, rows: Rows) -> ParquetFeed:
    path.mkdir()
    days = sorted({r[0] for r in market_rows()})
    splits = [f"S{k % 5},{day},split,{2 + k % 3},\nS{k % 4},{day},dividend,,0.1" for k, day in enumerate(days[::3])]
    (path / "actions.csv").write_text("\n".join(["symbol,ex_date,kind,ratio,amount", *splits]))
    (path / "instruments.csv").write_text("symbol,currency,lot\nS1,EUR,10\n")
    (path / "rates.csv").write_text("\n".join(["date,currency,rate", *(f"{d},EUR,1.{d.day}" for d in days)]))
    (path / "shortable.csv").write_text("\n".join(["date,symbol,shortable", *(f"{d},S2,{d.day}" for d in days[::2])]))
    return ParquetFeed(
        path=parquet(path / "a.parquet", rows),
        close=CLOSE,
        actions=path / "actions.csv",
        instruments=path / "instruments.csv",
        rates=path / "rates.csv",
        reference={"shortable": path / "shortable.csv"},
    )


FROM_ROWS: dict[str, Callable[[Path, Rows], Any]] = {
    "parquet": lambda path, rows: ParquetFeed(path=parquet(path / "a.parquet", rows, row_group_size=13), close=CLOSE),
    "parquet_by_symbol": sectored,
    "parquet_intraday": timed,
    "parquet_calendar": lambda path, rows: ParquetFeed(path=parquet(path / "a.parquet", rows), calendar="24/5"),
    "parquet_intraday_calendar": lambda path, rows: timed(path, rows, calendar="24/7"),
    "parquet_life": with_life,
    "csv": csv,
    "qlib": lambda path, rows: QlibFeed(path=qlib(path, rows), close=CLOSE),
    "aggregate": lambda path, rows: Aggregate(of=timed(path, rows), to=["15min", "1d"]),
    "aggregate_weeks": lambda path, rows: Aggregate(of=sectored(path, rows), to=["1w"]),
}
CASES = FROM_ROWS | {
    "sample": lambda path, rows: SampleFeed(symbols=10, years=1),
    "generated_days": lambda path, rows: GeneratedDays(days=12, symbols=3),
    "generated_days_without_pattern": lambda path, rows: GeneratedDays(days=12, symbols=2, bars=5, pattern="none"),
}
Make = Callable[[Path, Rows], Any]
every_feed = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
every_file = pytest.mark.parametrize("make", FROM_ROWS.values(), ids=FROM_ROWS.keys())


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEWIRE_CACHE", str(tmp_path_factory.mktemp("cache")))


def arrays(event: Event) -> list[np.ndarray[Any, Any]]:
    columns = [getattr(event, name) for name in event.__struct_fields__]
    found = [column for column in columns if isinstance(column, np.ndarray)]
    return found + [
        array for column in columns if isinstance(column, tuple) for array in column if hasattr(array, "flags")
    ]


@every_feed
def test_time_never_runs_back_and_equal_instants_keep_the_input_order(make: Make, tmp_path: Path) -> None:
    keys = [(event.ts, INPUT_ORDER.index(type(event))) for event in make(tmp_path / "f", market_rows()).events()]
    assert keys == sorted(keys)


@every_feed
def test_ties_one_slice_an_instant(make: Make, tmp_path: Path) -> None:
    slices = [event for event in make(tmp_path / "f", market_rows()).events() if isinstance(event, Bars)]
    assert all((a.ts, a.interval_ns) < (b.ts, b.interval_ns) for a, b in pairwise(slices))


@every_feed
def test_arrays_have_the_shape_of_the_universe_and_nobody_may_write_to_them(make: Make, tmp_path: Path) -> None:
    feed = make(tmp_path / "f", market_rows())
    n = len(feed.universe)
    assert len(feed.sectors) in (0, n)
    for event in feed.events():
        if isinstance(event, Bars):
            assert {array.shape for array in arrays(event)} == {(n,)}
            assert len(event.extra) == len(feed.universe.extra)
            assert (event.status.dtype, event.member.dtype) == (np.dtype(np.int32), np.dtype(np.bool_))
            assert event.interval_ns in (feed.interval_ns, *getattr(feed, "intervals", ()))
            assert event.opened < event.ts
        assert not any(array.flags.writeable for array in arrays(event))


@every_feed
def test_prices_are_there_exactly_where_the_bar_is_fresh(make: Make, tmp_path: Path) -> None:
    for event in make(tmp_path / "f", market_rows()).events():
        if isinstance(event, Bars):
            prices = np.array([event.open, event.high, event.low, event.close, event.volume])
            fresh = event.status == Status.FRESH
            assert np.isfinite(prices[:, fresh]).all()
            assert (prices[:4, fresh] > 0).all()
            assert np.isnan(prices[:, ~fresh]).all()
            assert not (fresh & ~event.member).any()


@every_feed
def test_every_walk_gives_the_same_events_and_so_does_a_fresh_feed(make: Make, tmp_path: Path) -> None:
    feed = make(tmp_path / "f", market_rows())
    first = plains(feed.events())
    assert plains(feed.events()) == first
    assert plains(make(tmp_path / "g", market_rows()).events()) == first
    one, other = feed.events(), feed.events()
    assert [plain(event) for pair in zip(one, other, strict=True) for event in pair] == [
        event for event in first for _ in range(2)
    ]


@every_feed
def test_a_range_is_the_slice_of_the_whole(make: Make, tmp_path: Path) -> None:
    feed = make(tmp_path / "f", market_rows())
    whole = [event for event in feed.events() if not isinstance(event, Reference)]
    for low, high in ((0, 9), (5, 21), (12, len(whole) - 1)):
        start, end = whole[low].ts, whole[high].ts
        expected = [event for event in whole if start <= event.ts < end]
        got = [event for event in feed.events(start, end) if not isinstance(event, Reference)]
        assert plains(got) == plains(expected)


def new_york(ts: int) -> dt.date:
    """The trading date: what happens exactly at a midnight belongs to the day that it ends."""
    return dt.datetime.fromtimestamp((ts - 1) / 1e9, ZoneInfo("America/New_York")).date()


@every_feed
def test_both_days_of_a_span_count_in_the_zone_of_the_feed(make: Make, tmp_path: Path) -> None:
    feed = make(tmp_path / "f", market_rows())
    whole = [event for event in feed.events() if isinstance(event, Bars | Timer)]
    first, last = new_york(whole[0].ts), new_york(whole[-1].ts)
    day = dt.timedelta(days=1)
    # Shifted by one day at a time, the ends of the span fall on days without a session too.
    for start, end in [(first + k * day, min(last, first + (k + 3) * day)) for k in range(min(9, (last - first).days))]:
        low, high = feed.bounds(start, end)
        expected = [event for event in whole if start <= new_york(event.ts) <= end]
        if expected:
            got = [event for event in feed.events(low, high) if isinstance(event, Bars | Timer)]
            assert plains(got) == plains(expected)
    assert feed.bounds(None, None) == (None, None)
    assert feed.bounds(first, None) == (feed.bounds(first, last)[0], None)
    assert feed.bounds(None, last) == (None, feed.bounds(first, last)[1])
    assert plains(feed.events(*feed.bounds(first, last))) == plains(feed.events())


@every_feed
def test_a_span_may_reach_as_far_as_the_calendar(make: Make, tmp_path: Path) -> None:
    feed = make(tmp_path / "f", market_rows())
    assert plains(feed.events(*feed.bounds(dt.date.min, dt.date.max))) == plains(feed.events())


@every_feed
def test_what_was_read_has_a_hash_that_follows_its_content(make: Make, tmp_path: Path) -> None:
    feed = make(tmp_path / "f", market_rows())
    assert all(len(digest) == 64 for digest in feed.hashes().values())
    assert feed.hashes()
    assert make(tmp_path / "g", market_rows()).hashes() == feed.hashes()


def mutated(rows: Rows, after: Any, seed: int) -> list[Row]:
    """Every row later than a date is other, bad, or gone; the symbols and the last date stay."""
    rng = np.random.default_rng(seed)
    last = max(r[0] for r in rows)
    changed: list[Row] = []
    for r in rows:
        if r[0] <= after:
            changed.append(r)
        elif r[0] == last or rng.random() > 0.2:
            o, h, low, c, v = (float(x * rng.choice([0.5, 1.0, 3.0])) for x in r[2:])
            changed.append((r[0], r[1], o, h, low, c, v if rng.random() > 0.2 else -1.0))
    return changed


@every_file
@pytest.mark.parametrize("k", [0, 7, 18, 28])
def test_changing_any_row_after_t_changes_no_event_up_to_t(make: Make, tmp_path: Path, k: int) -> None:
    rows = market_rows()
    dates = sorted({r[0] for r in rows})
    other = mutated(rows, dates[k], seed=k)
    whole, changed = make(tmp_path / "f", rows), make(tmp_path / "g", other)
    slices = [event for event in whole.events() if isinstance(event, Bars)]
    cut = [event.ts for event in slices if event.interval_ns == whole.interval_ns][k]
    before = plains(event for event in whole.events() if event.ts <= cut)
    assert plains(event for event in changed.events() if event.ts <= cut) == before
    assert len(before) > k
    # The counts of a range know nothing of what comes after it.
    list(whole.events(None, cut + 1))
    list(changed.events(None, cut + 1))
    assert whole.issues() == changed.issues()
