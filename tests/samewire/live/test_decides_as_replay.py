"""A live session over a real broker decides what a replay of the same days decides, event by event."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SystemClock
from samewire import arun
from samewire.agent_training import train_agents
from samewire.cli import main
from samewire.schema import dump_run, load_run
from samewire.training import How
from tests.samewire import paced
from tests.samewire.live.markets import beside, days, members, quarters
from tests.samewire.live.sessions import Ground, events_of, first_apart


def own(folder: Path, name: str) -> str:
    """Components of one's own, without save and load, in a module that lies beside the run file."""
    (folder / f"{name}.py").write_text(inspect.getsource(paced))
    return f"{name}:"


def spec(feed: dict[str, Any], **changed: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "same", "cash": 1_000_000, "snapshot_every": 9},
        "feed": feed,
        "models": [{"name": "mom", "use": "momentum", "window": 3}],
        "strategy": {"name": "top", "use": "topk_dropout", "topk": 2, "n_drop": 1},
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 2, "slippage_bps": 3}},
        "sinks": [{"use": "session_dir"}],
    }
    whole["session"] |= changed.pop("session", {})
    return whole | changed


def daily(folder: Path) -> dict[str, Any]:
    """Days by a close, a late listing, a delisting, a split, a dividend, sectors, a reference."""
    life = beside(folder, dates=("2018-03-28", "2018-04-03", "2018-03-05"))
    feed = {"use": "parquet", "path": str(days(folder)), "close": "16:00 America/New_York", **life}
    return spec(feed, session={"start": "2018-03-12", "end": "2018-04-13"})


def daily_members(folder: Path) -> dict[str, Any]:
    """Days of a calendar with a file of members, and answers that are a slice late."""
    feed = {
        "use": "parquet",
        "path": str(days(folder)),
        "calendar": "XNYS",
        **members(folder, "2018-03-22", "2018-04-04"),
    }
    models = [{"name": "mom", "use": "momentum", "window": 3, "lag": 1}]
    return spec(feed, models=models, session={"start": "2018-03-12", "end": "2018-04-13"})


def half_day(folder: Path) -> dict[str, Any]:
    """Quarters of an hour in the sessions of a calendar, one a half day; a halt, a column more, a latency."""
    life = beside(folder, dates=("2018-07-05", "2018-07-09", "2018-07-02"))
    feed = {"use": "parquet", "path": str(quarters(folder)), "stamped": "close", "calendar": "XNYS", "extra": ["bid"]}
    models = [{"name": "mom", "use": "momentum", "window": 3, "latency": "20min"}]
    return spec(feed | life, models=models, session={"start": "2018-07-03", "end": "2018-07-09"})


def intervals(folder: Path, name: str = "own_by_calendar") -> dict[str, Any]:
    """Longer bars of an aggregate by a calendar, and components of one's own that cannot be saved."""
    of = {"use": "parquet", "path": str(quarters(folder)), "stamped": "close", "calendar": "XNYS"}
    module = own(folder, name)
    return spec(
        {"use": "aggregate", "of": of, "to": ["1h", "1d"]},
        models=[
            {"name": "quarter", "use": module + "LastClose"},
            {"name": "hour", "use": module + "LastClose", "interval": "1h"},
            {"name": "day", "use": module + "LastClose", "interval": "1d", "ttl": "23h"},
        ],
        strategy={"name": "top", "use": module + "Watcher", "interval": "1h"},
        session={"start": "2018-07-03", "end": "2018-07-09"},
    )


def worked(folder: Path) -> dict[str, Any]:
    """Quarters of an hour in the sessions of a calendar, orders worked over six of them, cut at each close."""
    whole = half_day(folder)
    models = [{"name": "mom", "use": "momentum", "window": 3}]
    return whole | {"models": models, "execution": {"use": "vwap", "horizon": 6, "days": 2}}


def by_agent(folder: Path) -> dict[str, Any]:
    """The same, worked by an agent that was trained on these days for a moment."""
    whole = worked(folder)
    agent = {
        "network": {"use": "mlp", "hidden": [8]},
        "orders": {"of": "day", "start": [0, 5, 9, 20]},
        "split": {"validation_from": "2018-07-06", "test_from": "2018-07-09"},
        "horizon": 6,
        "bars_per_step": 2,
        "steps": 512,
        "rows": 32,
    }
    broker = whole["broker"] | {"participation": 0.1}
    session = {"name": "taught", "cash": 1_000_000}
    taught = {"session": session, "broker": broker, "training": {"agent": agent, "store": str(folder / "store")}}
    (made,) = train_agents(load_run({**whole, **taught, "execution": None}), How(clock=SystemClock())).agents
    return whole | {"broker": broker, "execution": {"use": "rl", "artefact": made.place, "horizon": 6}}


def by_a_close(folder: Path) -> dict[str, Any]:
    """The same without a calendar: days end at a close that is declared, hours at the hour."""
    of = {"use": "parquet", "path": str(quarters(folder)), "stamped": "close", "close": "16:00 America/New_York"}
    whole = intervals(folder, "own_by_close")
    return whole | {"feed": {"use": "aggregate", "of": of, "to": ["1h", "1d"]}}


@pytest.mark.parametrize("market", [daily, daily_members, half_day, worked, by_agent, intervals, by_a_close])
async def test_every_event_is_that_of_a_replay(
    kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, market: Any
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "run.yaml"
    path.write_text(dump_run(load_run(market(tmp_path))))
    ground = Ground(path, kafka, topic_prefix, "live.snapshot_every=11")
    await ground.feed()
    open_end = market is by_a_close  # on a clock the end of a day is shown by a later bar alone
    first = await ground.live(until=20)
    said = await ground.live(until=100 if open_end else None)
    assert said["run_id"] == first["run_id"]
    assert first["slices"] < said["slices"]

    assert await ground.command("fetch", "--out", str(tmp_path / "live")) == 0
    assert await asyncio.to_thread(main, ["verify", str(tmp_path / "live")]) == 0
    await arun(str(path), out=tmp_path / "replay")
    live, replayed = (list(events_of(tmp_path / name)) for name in ("live", "replay"))
    assert {kind for _, kind, _, _ in live} >= {"Bars", "Signal", "Target", "Orders", "Approved", "Fills", "Book"}
    apart = first_apart(live, replayed[: len(live)] if open_end else replayed)
    assert apart == ""


async def test_a_session_that_works_no_order_is_fetched_and_is_that_of_a_replay(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.yaml"
    idle = worked(tmp_path) | {"optimizer": {"use": "direct", "min_order_value": 1e12}}
    path.write_text(dump_run(load_run(idle)))
    ground = Ground(path, kafka, topic_prefix)
    await ground.feed()
    await ground.live()
    assert await ground.command("fetch", "--out", str(tmp_path / "live")) == 0
    result = await arun(str(path), out=tmp_path / "replay")
    assert result.summary["execution"]["orders"] == 0
    assert first_apart(*(list(events_of(tmp_path / name)) for name in ("live", "replay"))) == ""
