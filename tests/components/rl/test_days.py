"""Days out of feeds, and the orders that are drawn from them."""

import datetime as dt
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.parquet import ParquetFeed
from components.rl.days import days_of
from components.rl.episodes import generated, split, traded, trailing
from components.rl.generated import GeneratedDays
from components.rl.tape import profiles
from engine.errors import DataError
from engine.events import Bars, Status
from tests.components.rl.made import FIRST, Minutes, minutes


def test_a_row_is_one_symbols_day_and_shorter_days_end_in_missing_bars() -> None:
    feed = Minutes(symbols=3, lengths=(12, 5, 9), holes=0.2)
    days = days_of(feed)
    assert (len(days), days.bars, days.length.tolist()) == (3, 12, [12, 5, 9])
    assert days.close.shape == (9, 12)
    slices = [event for event in feed.events() if isinstance(event, Bars)]
    for k, bars in enumerate(slices):
        day, t = (0, k) if k < 12 else (1, k - 12) if k < 17 else (2, k - 17)
        assert (days.ts[day, t], days.opened[day, t]) == (bars.ts, bars.opened)
        for name in ("open", "high", "low", "close", "vwap", "volume", "status"):
            np.testing.assert_array_equal(days.by_day(name)[day, :, t], getattr(bars, name))
    assert (days.by_day("status")[1, :, 5:] == Status.MISSING).all()
    assert np.isnan(days.by_day("close")[1, :, 5:]).all()
    assert [days.date(k) for k in range(3)] == [FIRST + dt.timedelta(days=k) for k in range(3)]


def late_evening(path: Path) -> Path:
    """Bars of a session in New York from 18:00 to 20:00, which ends after midnight UTC, on two days."""
    begins = [dt.datetime(2024, 1, day, 23, 0, tzinfo=dt.UTC) for day in (10, 11)]
    stamps = [begin + dt.timedelta(minutes=30 * k) for begin in begins for k in range(4)]
    ones = np.ones(len(stamps))
    columns = {"ts": pa.array(stamps, pa.timestamp("ns", "UTC")), "symbol": ["A"] * len(stamps)}
    columns |= {name: ones for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table(columns), path / "a.parquet")
    return path / "a.parquet"


def test_a_day_is_a_local_date_of_the_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEWIRE_CACHE", str(tmp_path / "cache"))
    path = late_evening(tmp_path)
    feed = ParquetFeed(path=path, stamped="open", interval="30m", close="20:00 America/New_York")
    days = days_of(feed)
    assert (days.length.tolist(), days.date(0), days.date(1)) == ([4, 4], dt.date(2024, 1, 10), dt.date(2024, 1, 11))
    assert len(days_of(feed, dt.date(2024, 1, 11))) == 1


def test_a_day_is_a_session_where_the_feed_has_a_calendar() -> None:
    feed = GeneratedDays(days=7, symbols=2)
    days = days_of(feed)
    assert days.label.tolist() == feed.sessions.label.tolist()
    assert days.date(5) == dt.date(2018, 1, 8)  # behind a weekend


def test_what_does_not_fit_into_memory_is_refused_while_it_is_read() -> None:
    with pytest.raises(DataError, match="more than 50 bars of its symbols.*name fewer symbols or a shorter range"):
        days_of(Minutes(), cells_max=50)
    with pytest.raises(DataError, match="no bars in the range"):
        days_of(Minutes(), dt.date(2030, 1, 1))


def test_sizes_are_a_share_of_the_volume_of_the_day_or_of_those_before() -> None:
    days = minutes(lengths=(12,) * 5, lot=10.0)
    volume = traded(days)
    own = generated(days, share=0.1, horizon=4, of="day", start=(0, 3))
    assert len(own) == 5 * 2 * 2 * 2
    np.testing.assert_allclose(own.quantity, np.floor(volume[own.day, own.symbol] * 0.01 + 1e-9) * 10)
    usual = generated(days, share=0.1, horizon=4, window=2)
    assert usual.day.min() == 1  # nothing is known before the first day
    at = usual.day == 3
    mean = volume[1:3].mean(axis=0)
    np.testing.assert_allclose(usual.quantity[at], np.floor(mean[usual.symbol[at]] * 0.01 + 1e-9) * 10)
    assert sorted(set(usual.side.tolist())) == [-1, 1]


def test_splits_rescale_the_volume_of_the_days_before() -> None:
    plain, halved = minutes(), minutes(splits={(2, 1): 2.0})
    assert (trailing(halved, 2)[2, 1], trailing(halved, 2)[3, 1]) == (
        2 * trailing(plain, 2)[2, 1],
        (2 * traded(plain)[1, 1] + traded(plain)[2, 1]) / 2,
    )
    assert (trailing(halved, 2)[:, 0][1:] == trailing(plain, 2)[:, 0][1:]).all()
    one, two = (profiles(each, 1).reshape(4, 2, 12) for each in (plain, halved))
    np.testing.assert_array_equal(two[2, 1], 2 * one[2, 1])
    np.testing.assert_array_equal(two[3], one[3])


def test_orders_are_left_out_where_nothing_can_be_said_of_them() -> None:
    days = minutes(lengths=(12, 3, 12), idle=(2,))
    of = generated(days, share=0.1, horizon=4, of="day", start=(0, 5))
    assert set(zip(of.day.tolist(), of.start.tolist(), strict=True)) == {(0, 0), (0, 5), (1, 0)}
    with pytest.raises(ValueError, match="share must be above 0"):
        generated(days, share=0.0, horizon=4)
    with pytest.raises(ValueError, match="of must be day or trailing, got 'week'"):
        generated(days, share=0.1, horizon=4, of="week")


def test_no_date_is_in_two_parts_and_each_order_is_in_one() -> None:
    days = minutes(lengths=(12,) * 6)
    of = generated(days, share=0.1, horizon=4, of="day")
    parts = split(of, days, validation_from=days.date(3), test_from=days.date(5))
    each = [set(part.day.tolist()) for part in (parts.train, parts.validation, parts.test)]
    assert each == [{0, 1, 2}, {3, 4}, {5}]
    assert sum(map(len, (parts.train, parts.validation, parts.test))) == len(of)


def test_an_empty_part_is_named() -> None:
    days = minutes()
    of = generated(days, share=0.1, horizon=4, of="day")
    with pytest.raises(DataError, match="split test: it has no order; the days go from 2019-01-07 to 2019-01-10"):
        split(of, days, validation_from=days.date(1), test_from=dt.date(2020, 1, 1))
    with pytest.raises(DataError, match="split train: it has no order"):
        split(of, days, validation_from=days.date(0), test_from=days.date(2))
    with pytest.raises(ValueError, match="test_from must come after validation_from"):
        split(of, days, validation_from=days.date(2), test_from=days.date(2))


@pytest.mark.parametrize("of", ["trailing", "day"])
def test_orders_of_days_without_any_known_volume_are_refused_for_that_reason(of: str) -> None:
    unknown = msgspec.structs.replace(minutes(), volume=np.full_like(minutes().volume, np.nan))
    with pytest.raises(DataError, match=r"no volume is known .* orders.share is a share of it; take a feed"):
        generated(unknown, share=0.1, horizon=4, of=of)
    idle = minutes(idle=(0, 1, 2, 3))  # known, and nobody traded
    assert len(generated(idle, share=0.1, horizon=4, of=of)) == 0
