"""Several intervals in one run, from a run file: who sees what, and when."""

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import ConfigError
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS
from samewire import load_run, open_session, run
from samewire.schema import config_hash, dump_run
from tests.adapters.operators.listed import at

FIVE_NS = 5 * MINUTE_NS
NEW_YORK = ZoneInfo("America/New_York")
DATES = ("2018-07-02", "2018-07-03", "2018-07-05", "2018-07-06")
OWN = "tests.samewire.paced:"


def rows(seed: int = 3) -> list[dict[str, Any]]:
    """Minutes from 09:30 to 11:00 of four days, stamped at their beginning; one in ten is not there."""
    rng = np.random.default_rng(seed)
    made = []
    for date in DATES:
        for k in range(90):
            for symbol in ("AAA", "BBB"):
                if rng.random() < 0.1:
                    continue
                o, c = rng.uniform(10, 20, 2).round(2).tolist()
                ts = at(f"{date} 09:30") + k * MINUTE_NS
                high, low, volume = max(o, c) + 0.1, min(o, c) - 0.1, float(rng.integers(1000, 9000))
                made.append(dict(ts=ts, symbol=symbol, open=o, high=high, low=low, close=c, volume=volume))
    return made


@pytest.fixture(scope="module")
def bars_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("minutes") / "minutes.parquet"
    table = pa.Table.from_pylist(rows())
    stamps = table["ts"].cast(pa.timestamp("ns", "UTC"))
    pq.write_table(table.set_column(0, "ts", stamps), path)
    return path


def paced(path: Path, **changed: Any) -> dict[str, Any]:
    feed = {"use": "parquet", "path": str(path), "stamped": "open", "close": "11:00 America/New_York"}
    whole: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "paced", "cash": 100_000},
        "feed": {"use": "aggregate", "of": feed, "to": ["5min", "1d"]},
        "models": [
            {"name": "minute", "use": OWN + "LastClose"},
            {"name": "five", "use": OWN + "LastClose", "interval": "5min"},
            {"name": "day", "use": OWN + "LastClose", "interval": "1d", "ttl": "23h"},
        ],
        "strategy": {"use": OWN + "Watcher", "interval": "5min"},
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 1}},
        "sinks": [],
    }
    return whole | changed


def closes_by(length_ns: int, until: int | None = None) -> dict[int, dict[str, float]]:
    """End of each stretch -> the last close of each symbol in it, by a plain loop; days end at 11:00 New York."""
    found: dict[int, dict[str, float]] = {}
    for row in rows():
        ts = row["ts"] + MINUTE_NS
        if length_ns == DAY_NS:
            day = dt.datetime.fromtimestamp(row["ts"] // 10**9, NEW_YORK).date()
            end = at(f"{day} 11:00")
        else:
            end = ts + -ts % length_ns
        if until is None or ts <= until:
            found.setdefault(end, {})[row["symbol"]] = row["close"]
    return found


def values(closes: dict[str, float]) -> list[float]:
    return [closes.get(symbol, np.nan) for symbol in ("AAA", "BBB")]


async def test_rule_13_a_strategy_sees_of_each_interval_what_was_complete_by_then_and_nothing_else(
    bars_file: Path,
) -> None:
    session = open_session(paced(bars_file))
    await session.run()
    (watcher,) = (named.component for named in session.session.wiring.parts.strategies)
    minutes, fives, days = closes_by(MINUTE_NS), closes_by(FIVE_NS), closes_by(DAY_NS)
    assert [ts for ts, _, _ in watcher.calls] == sorted(fives)  # once every five minutes that had a bar
    mark: dict[str, float] = {}
    stamps = sorted(minutes)
    seen = 0
    for ts, signals, book in watcher.calls:
        while seen < len(stamps) and stamps[seen] <= ts:
            mark |= minutes[stamps[seen]]
            seen += 1
        (minute_ts, minute), (five_ts, five), (day_ts, day) = signals
        latest = stamps[seen - 1]
        assert minute_ts == latest <= ts == five_ts
        np.testing.assert_array_equal(minute, values(minutes[latest]))
        np.testing.assert_array_equal(five, values(fives[ts]))
        over = [end for end in sorted(days) if end < ts]  # a longer bar of the same instant comes after the decision
        expired = bool(over) and ts - over[-1] > 23 * HOUR_NS
        assert day_ts == (over[-1] if over else day_ts)
        np.testing.assert_array_equal(day, values(days[over[-1]]) if over and not expired else [np.nan, np.nan])
        np.testing.assert_array_equal(book.mark, values(mark))
    # Both happened: a day's opinion the next morning, and one that was too old.
    daily = [bool(np.isfinite(signals[2][1]).any()) for _, signals, _ in watcher.calls]
    assert 0 < sum(daily) < len(daily) - 17
    assert session.fold.counts().slices == len(minutes)


async def test_a_slower_strategy_decides_with_the_latest_book_though_no_finer_bar_ends_with_its_own(
    bars_file: Path,
) -> None:
    feed = paced(bars_file)["feed"]
    # Days that end at 16:00, when nothing trades in this file.
    feed["of"]["close"] = "16:00 America/New_York"
    file = paced(bars_file, feed=feed, strategy={"use": OWN + "Watcher", "interval": "1d"})
    session = open_session(file)
    await session.run()
    (watcher,) = (named.component for named in session.session.wiring.parts.strategies)
    assert [ts for ts, _, _ in watcher.calls] == [at(f"{date} 16:00") for date in DATES[:-1]]  # the data breaks off
    assert [book.ts for _, _, book in watcher.calls] == [ts for ts, _, _ in watcher.calls]
    fills = session.fold.counts().fills
    assert fills >= 2
    first = watcher.calls[1][2]
    best = int(np.argmax(watcher.calls[0][1][2][1]))
    assert first.qty[best] > 0
    assert first.opened[best] > at(f"{DATES[1]} 09:30")  # at the next open after the decision


async def test_warm_up_counts_the_slices_of_each_interval_apart(bars_file: Path) -> None:
    models = [
        {"name": "minute", "use": OWN + "LastClose", "lookback": 7},
        {"name": "five", "use": OWN + "LastClose", "interval": "5min", "lookback": 4},
        {"name": "day", "use": OWN + "LastClose", "interval": "1d", "lookback": 2},
    ]
    session = {"name": "paced", "cash": 100_000, "start": DATES[3]}
    prepared = open_session(paced(bars_file, models=models, session=session))
    assert prepared.session.wiring.lookbacks == {MINUTE_NS: 7, FIVE_NS: 4, DAY_NS: 2}
    assert await prepared.warm_up() == 7 + 4 + 2
    for part, (length, count) in zip(
        prepared.session.wiring.parts.models, ((MINUTE_NS, 7), (FIVE_NS, 4), (DAY_NS, 2)), strict=True
    ):
        before = [end for end in sorted(closes_by(length)) if end < at(f"{DATES[3]} 00:00")]
        assert part.model.seen == [(end, length) for end in before[-count:]]


async def test_a_given_warm_up_is_that_many_slices_of_each_interval(bars_file: Path) -> None:
    session = {"name": "paced", "cash": 100_000, "start": DATES[3], "warmup": 3}
    prepared = open_session(paced(bars_file, session=session))
    assert await prepared.warm_up() == 9


async def test_features_are_made_of_the_bars_of_their_interval_and_two_sets_of_equal_windows_are_kept_apart(
    bars_file: Path,
) -> None:
    file = paced(
        bars_file,
        features=[
            {"name": "quick", "use": "rolling", "windows": [2]},
            {"name": "daily", "use": "rolling", "windows": [2], "interval": "1d"},
        ],
        models=[
            {"name": "a", "use": OWN + "FirstFeature", "features": "quick", "interval": "5min"},
            {"name": "b", "use": OWN + "FirstFeature", "features": "daily"},
        ],
    )
    loaded = load_run(file)
    assert [c.interval_ns for c in loaded.features] == [FIVE_NS, DAY_NS]  # of the model that names it; its own
    assert [spec.interval_ns for spec in loaded.models] == [FIVE_NS, DAY_NS]
    session = open_session(file)
    await session.run()
    a, b = (part.model for part in session.session.wiring.parts.models)
    assert a.seen == sorted(closes_by(FIVE_NS))
    assert b.seen == sorted(closes_by(DAY_NS))


def test_a_run_file_with_intervals_is_written_back_equal(bars_file: Path, tmp_path: Path) -> None:
    loaded = load_run(paced(bars_file, models=[{"use": OWN + "LastClose", "interval": "1d"}]))
    path = tmp_path / "run.yaml"
    path.write_text(dump_run(loaded))
    again = load_run(path)
    assert again == loaded
    assert again.strategies[0].interval_ns == FIVE_NS
    assert config_hash(again) != config_hash(load_run(path, ["strategy[0].interval=1d"]))


SAMPLE = {"use": "sample", "symbols": 10}
MODEL = {"name": "m", "use": OWN + "LastClose"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"strategy": {"use": OWN + "Watcher", "interval": "1h"}}, r"an interval of the feed: 5min, 1d"),
        ({"models": [MODEL | {"interval": "1w"}]}, r"models.m.interval"),
        ({"feed": SAMPLE, "models": [MODEL | {"interval": "1h"}]}, r"an interval of the feed: 1d"),
        ({"feed": SAMPLE}, r"use: aggregate, of"),
        ({"models": [MODEL | {"interval": "soon"}]}, r"a duration such as"),
        ({"strategy": {"use": OWN + "Watcher", "interval": "-5min"}}, r"strategy.interval"),
        ({"strategy": {"use": OWN + "Watcher", "pace": "5min"}}, r"one of: .*interval"),
        (
            {"strategy": {"use": "sign", "signal": "five", "interval": "5min", "interval_ns": 60_000_000_000}},
            r"interval 5min and interval_ns 1min",
        ),
        (
            {
                "features": [{"name": "f", "use": "rolling"}],
                "models": [
                    {"name": "a", "use": OWN + "FirstFeature", "features": "f", "interval": "5min"},
                    {"name": "b", "use": OWN + "FirstFeature", "features": "f"},
                ],
            },
            r"a feature set of its own for each interval",
        ),
        (
            {
                "features": [{"name": "f", "use": "rolling", "interval": "1d"}],
                "models": [{"name": "a", "use": OWN + "FirstFeature", "features": "f", "interval": "5min"}],
            },
            r"5min, while its features f are of 1d",
        ),
    ],
)
def test_what_cannot_be_is_told_by_check(bars_file: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_run(paced(bars_file, **changed))


@pytest.mark.parametrize("to", [["soon"], ["5min", "2d"], []])
def test_check_tells_what_is_wrong_with_the_intervals_of_a_feed(bars_file: Path, to: list[str]) -> None:
    feed = paced(bars_file)["feed"] | {"to": to}
    with pytest.raises(ConfigError, match=r"feed\.to"):
        load_run(paced(bars_file, feed=feed))


def test_an_interval_that_only_the_file_can_refute_is_refused_before_anything_runs(bars_file: Path) -> None:
    file = paced(bars_file, models=[MODEL | {"interval": "30s"}])
    with pytest.raises(
        ConfigError, match="m: interval_ns is 30 s, but the feed makes bars of 60 s, 300 s, 86400 s only"
    ):
        run(file)


def test_a_strategy_that_takes_no_interval_is_refused_by_name(bars_file: Path) -> None:
    with pytest.raises(ConfigError, match="takes no interval"):
        run(paced(bars_file, strategy={"use": OWN + "Frozen", "interval": "5min"}))


@pytest.mark.parametrize("keep", [True, False])
def test_the_shipped_components_run_on_several_intervals_to_the_end(bars_file: Path, keep: bool) -> None:
    feed = paced(bars_file)["feed"] | {"keep": keep}
    file = paced(
        bars_file,
        feed=feed,
        models=[
            {"name": "fast", "use": "momentum", "window": 2, "interval": "5min"},
            {"name": "slow", "use": "momentum", "window": 1, "interval": "1d", "ttl": "3d"},
        ],
        strategy={"use": "sign", "signal": "slow", "interval": "5min"},
    )
    first, second = run(file), run(file)
    assert first.summary["digest"] == second.summary["digest"]
    assert first.summary["fills"] > 0
    finest = MINUTE_NS if keep else FIVE_NS
    assert first.summary["slices"] == len(closes_by(finest))
    rows_of = first.to_pandas("equity").reset_index()
    assert len(rows_of) == first.summary["slices"]
    # The first day is complete at its end, and the second one is what its momentum needs.
    before = rows_of[rows_of["ts"] < at(f"{DATES[1]} 11:00")]
    assert before["gross"].to_numpy().max() == 0.0
    assert rows_of["gross"].to_numpy().max() > 0.2


def test_training_on_days_of_a_run_of_minutes_learns_from_days_only(bars_file: Path) -> None:
    file = paced(
        bars_file,
        session={"name": "paced", "cash": 100_000, "start": DATES[3]},
        features=[{"name": "f", "use": "rolling", "windows": [2]}],
        models=[
            {
                "name": "g",
                "use": "lightgbm",
                "features": "f",
                "interval": "5min",
                "num_boost_round": 2,
                "min_data_in_leaf": 5,
                "train": {"until": DATES[2], "least": 20},
            }
        ],
    )
    session = open_session(file)
    (artefact,) = session.artefacts.values()
    import json

    card = json.loads(artefact.files["model.json"])
    assert card["horizon_ns"] == FIVE_NS


def test_scores_of_days_are_met_though_no_minute_ends_with_the_day(bars_file: Path, tmp_path: Path) -> None:
    feed = paced(bars_file)["feed"]
    feed["of"]["close"] = "16:00 America/New_York"
    lines = [f"{date},{symbol},{k}" for date in DATES[:-1] for k, symbol in enumerate(("AAA", "BBB"))]
    scores = tmp_path / "scores.csv"
    scores.write_text("\n".join(["date,symbol,score", *lines]))
    file = paced(
        bars_file,
        feed=feed,
        models=[{"name": "s", "use": "scores", "table": str(scores), "interval": "1d"}],
        strategy={"use": "sign", "interval": "1d"},
    )
    result = run(file)
    assert [warning for warning in result.summary["warnings"] if "not used" in warning] == []
    assert result.summary["fills"] > 0
