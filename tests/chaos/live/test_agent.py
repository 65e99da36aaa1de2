"""A trained agent works the orders of a live session: killed within their horizons, it is taken up on a machine without
its files; operators stop it while it works."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from engine.clock import SystemClock
from engine.events import Approved, Book, LegAction, Orders, OrderState, Reports
from samewire import arun
from samewire.agent_training import train_agents
from samewire.artefacts import registry_at
from samewire.cli import main
from samewire.recorded import open_recorded
from samewire.schema import load_run
from samewire.training import How
from tests.chaos.live.ground import NO_DIFFERENCE, Left, Victims, compare, left
from tests.chaos.live.points import Crash
from tests.chaos.live.victim import Order
from tests.samewire.live.sessions import Ground, events_of, first_apart

SESSION = "desk"
PUBLIC = ("signals.trend", "targets.strategy", "orders.paper", "fills.paper", "refusals.paper", "late.39m")
COMPARED = (*PUBLIC, f"deadletter.{SESSION}")
TRAINED = {
    "algorithm": {"use": "ppo", "lr": 0.003, "epochs": 2, "batch": 64},
    "network": {"use": "mlp", "hidden": [8]},
    "split": {"validation_from": "2018-05-01", "test_from": "2018-06-01"},
    "bars_per_step": 2,
    "steps": 2_048,
    "rows": 64,
}
# Lives, each with where it ends: at or behind this transaction of its own. The third is on another machine.
LIVES = (
    Crash(point="commit:within", transaction=9, after_us=400),
    Crash(point="send:after", transaction=12, nth=2),
    Crash(point="commit:after", transaction=7),
    Crash(point="read:journal"),
    Crash(point="ack:after", transaction=14),
    Crash(point="commit:before", transaction=17),
)


def words(kafka: str, env: str) -> dict[str, Any]:
    """Twelve days of orders that take most of their horizon, since a bar takes a tenth of its volume."""
    return {
        "schema": 1,
        "session": {"name": SESSION, "cash": 15_000_000, "start": "2018-06-01", "end": "2018-06-18", "seed": 3},
        "feed": {"use": "generated_days", "days": 130, "symbols": 4},
        "models": [{"name": "trend", "use": "momentum", "window": 5}],
        "strategy": {"use": "sign", "signal": "trend", "schedule": {"use": "every", "slices": 6}},
        "optimizer": "direct",
        "execution": {"use": "rl", "artefact": "registry:desk@production", "horizon": 8},
        "broker": {"use": "simulated", "fill": "next_open", "participation": 0.1, "costs": {"commission_bps": 1}},
        "live": {"env": env, "servers": kafka, "dev": True, "batch_ms": 0, "snapshot_every": 7, "deadline_s": 3600},
    }


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an agent that was trained, for a second."""
    folder = tmp_path_factory.mktemp("trained")
    run = words("localhost:9092", "dev") | {"training": {"agent": TRAINED, "store": str(folder / "store")}}
    run["execution"], run["broker"]["costs"] = {"use": "twap", "horizon": 8}, {"commission_bps": 2}
    (made,) = train_agents(load_run(run), How(clock=SystemClock())).agents
    there = ["--registry", str(folder / "registry"), "--actor", "ann"]
    assert main(["models", "register", "desk", made.place, *there]) == 0
    assert main(["models", "promote", "desk", made.artefact, "production", *there, "--reason", "test"]) == 0
    return folder / "registry"


def fed(kafka: str, env: str, folder: Path, registry: Path) -> Ground:
    """A run file beside a registry, and topics with its bars in them."""
    folder.mkdir()
    (folder / "registry").symlink_to(registry)
    (folder / "run.json").write_text(json.dumps(words(kafka, env)))
    found = Ground(folder / "run.json", kafka, env)
    asyncio.run(found.feed())
    return found


def committed(kafka: str, env: str) -> Left:
    return asyncio.run(left(kafka, env, COMPARED, SESSION))


def at_work(directory: Path) -> dict[str, tuple[int, int]]:
    """Of each parent when it was decided and when it ended."""
    begun: dict[int, int] = {}
    spans = {}
    for entry in open_recorded(directory).entries():
        event = entry.event
        if isinstance(event, Orders):
            begun |= dict.fromkeys(event.ids[event.action == LegAction.NEW].tolist(), event.ts)
        elif isinstance(event, Reports) and entry.origin == "execution":
            ended = event.ids[event.state != OrderState.REPLACED].tolist()
            spans |= {f"{number:016x}": (begun.pop(number), event.ts) for number in ended if number in begun}
    return spans


@pytest.mark.slow
def test_an_agent_that_is_killed_in_mid_horizon_goes_on_where_none_of_its_files_are(
    kafka: str, topic_prefix: str, registry: Path, tmp_path: Path
) -> None:
    calm, ground = (fed(kafka, f"{topic_prefix}-{n}", tmp_path / n, registry) for n in ("calm", "killed"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "killed/run.json", elsewhere)
    asyncio.run(arun(str(tmp_path / "calm/run.json"), out=tmp_path / "replay"))

    victims, said, places = Victims(kafka), tmp_path / "said", []
    assert victims.run(Order(run=str(tmp_path / "calm/run.json"), said=str(said))) == 0
    said.unlink()
    for life, crash in enumerate(LIVES):
        folder = tmp_path / "killed" if life < 2 else elsewhere
        if life == 2:
            shutil.rmtree(tmp_path / "killed")
        assert victims.run(Order(run=str(folder / "run.json"), said=str(said), crash=crash)) == -9, said.read_text()
        places.append(committed(kafka, ground.env).last.course[0])
    assert victims.run(Order(run=str(elsewhere / "run.json"), said=str(said))) == 0, said.read_text()
    victims.close()
    told = [json.loads(line) for line in said.read_text().splitlines()]
    assert [line["point"] for line in told if line["what"] == "killed"] == [crash.point for crash in LIVES]
    (warned,) = (line["said"] for line in told if line["what"] == "session.warning")
    assert "the agent learned under broker.costs" in warned

    undisturbed, found = committed(kafka, calm.env), committed(kafka, ground.env)
    assert compare(undisturbed, found) == NO_DIFFERENCE
    assert len(found.records["orders.paper"]) > 50
    there = Ground(elsewhere / "run.json", kafka, ground.env)
    assert asyncio.run(there.command("fetch", "--out", str(tmp_path / "live"))) == 0
    assert main(["verify", str(tmp_path / "live")]) == 0
    live, replayed = (list(events_of(tmp_path / name)) for name in ("live", "replay"))
    assert first_apart(live, replayed) == ""
    said_of = [json.loads((tmp_path / each / "summary.json").read_text())["warnings"] for each in ("live", "replay")]
    assert said_of[0] == said_of[1]
    assert warned in said_of[0]
    spans = at_work(tmp_path / "live")
    assert [ts for ts in places if not any(begin <= ts < end for begin, end in spans.values())] == []
    for name in ("orders", "fills", "execution", "execution_slices"):
        tables = [pq.read_table(tmp_path / each / f"{name}.parquet").to_pandas() for each in ("live", "replay")]
        assert_frame_equal(*tables, check_exact=True)
        assert len(tables[0]) > 5


async def operated(ground: Ground, agent: str) -> None:
    """Decided on with what operators ask in between, and cut off each time."""
    await ground.live(until=4, kill=True)
    await ground.ask("swap_model", component="execution", artefact=agent)
    await ground.ask("halt", reason="a look at it")
    await ground.live(until=9, kill=True)
    await ground.ask("resume")
    await ground.live(until=24, kill=True)
    await ground.ask("flatten", reason="the end of the day")
    await ground.live(until=30, kill=True)
    await ground.ask("resume")
    await ground.live()


def test_operators_halt_flatten_and_resume_while_it_works(
    kafka: str, topic_prefix: str, registry: Path, tmp_path: Path
) -> None:
    ground, out = fed(kafka, topic_prefix, tmp_path / "run", registry), tmp_path / "live"
    agent = registry_at(registry).entries()[0].artefact
    asyncio.run(operated(ground, agent))
    assert asyncio.run(ground.command("fetch", "--out", str(out))) == 0
    assert main(["verify", str(out)]) == 0
    ((_, letter, _),) = committed(kafka, ground.env).records[f"deadletter.{SESSION}"]
    assert b"execution has an agent, which stays for the session" in (letter or b"")

    entries = list(open_recorded(out).entries())
    asked = [entry.plain["ts"] for entry in entries if entry.kind == "Control"]
    ends = pq.read_table(out / "execution.parquet").to_pandas().set_index("order")["end"]
    spans = at_work(out)
    assert len(asked) == 4
    for stopped, resumed in (asked[:2], asked[2:]):
        dropped = [ends[each] for each, (begin, end) in spans.items() if begin < stopped <= end <= resumed]
        assert dropped
        assert {*dropped} == {"cancelled"}
        sent = [
            entry.event for entry in entries if isinstance(entry.event, Approved) and stopped < entry.event.ts < resumed
        ]
        assert not any((each.action == LegAction.NEW).any() for each in sent)
    flat = [entry.event for entry in entries if isinstance(entry.event, Book) and asked[2] < entry.event.ts <= asked[3]]
    assert np.any(flat[0].qty)
    held = np.abs([book.qty for book in flat])
    assert (np.diff(held, axis=0) <= 0).all()  # a bar takes a tenth of its volume
    assert not held[-1].any()
    assert (ends == "finished").sum() > 5
