"""`training.agent`: read strictly, trained by seeds, recorded like other trainings, put to use in a session."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.tracking.store import RunStore
from components.models.artefact import read_artefact
from components.rl.acting import TwapRelative
from components.rl.policy import REACH
from components.rl.rewards import EndRatio, PAPenalty
from engine.clock import SystemClock
from engine.errors import ConfigError, DataError
from samewire.agent_training import AgentResult, AgentResults, as_text, plan_text, planned_agents, train_agents
from samewire.agent_world import agent_of
from samewire.api import run as replay
from samewire.cli import main
from samewire.diagnostics import RunFileErrors
from samewire.json_schema import json_schema
from samewire.lookahead import look_ahead
from samewire.schema import load_run, resolved
from samewire.training import How

SMALL = {
    "algorithm": {"use": "ppo", "lr": 0.003, "epochs": 2, "batch": 64},
    "network": {"use": "mlp", "hidden": [8]},
    "reward": {"use": "pa_penalty", "penalty": 0, "scale": 0.1, "against": "arrival"},
    "split": {"validation_from": "2018-05-01", "test_from": "2018-06-01"},
    "steps": 2_048,
    "rows": 64,
    "validate_every": 2,
}


def a_run(
    folder: Path, agent: Mapping[str, Any] | None = None, section: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "schema": 1,
        "session": {"name": "agents", "cash": 1_000_000, "start": "2018-06-01", "seed": 3},
        "feed": {"use": "generated_days", "days": 130, "symbols": 2},
        "models": [{"name": "trend", "use": "momentum", "window": 5}],
        "strategy": {"use": "sign", "signal": "trend", "schedule": {"use": "every", "slices": 10}},
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 1}},
        "training": {"agent": {**SMALL, **(agent or {})}, "store": str(folder / "store"), **(section or {})},
    }


def trained(words: dict[str, Any]) -> AgentResults:
    return train_agents(load_run(words), How(clock=SystemClock()))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AgentResult]:
    """One training with its store, for all tests that only read it."""
    folder = tmp_path_factory.mktemp("plain")
    (made,) = trained(a_run(folder)).agents
    return folder, made


def problems(words: dict[str, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(RunFileErrors) as caught:
        load_run(words)
    return [(problem.code, problem.path, problem.expected) for problem in caught.value.problems]


# ---- the section -----------------------------------------------------------------------------------------------------


def test_what_was_read_is_written_with_every_default_and_read_again(tmp_path: Path) -> None:
    run = load_run(a_run(tmp_path))
    said = resolved(run)
    assert said["training"]["agent"]["observation"] == {"use": "compact", "longer": 5}
    assert said["training"]["agent"]["algorithm"]["gae_lambda"] == 1.0
    assert said["training"]["agent"]["reward"]["rest"] == "close"
    ignored = load_run(a_run(tmp_path, {"reward": {"use": "pa_penalty", "rest": "ignored"}}))
    assert agent_of(ignored).rewarded() == PAPenalty(rest="ignored")
    assert agent_of(load_run(a_run(tmp_path, {"reward": "end_ratio"}))).rewarded() == EndRatio(rest="close")
    assert resolved(load_run(said)) == said
    jsonschema.validate(said, json_schema())
    unknown = a_run(tmp_path, {"stepz": 1})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(unknown, json_schema())


@pytest.mark.parametrize(
    ("agent", "code", "path"),
    [
        ({"stepz": 1}, "E104", "training.agent.stepz"),
        ({"algorithm": "sac"}, "E109", "training.agent.algorithm.use"),
        ({"algorithm": {"use": "dqn", "epochs": 3}}, "E104", "training.agent.algorithm.epochs"),
        ({"algorithm": {"use": "ppo", "gamma": 2}}, "E108", "training.agent.algorithm.gamma"),
        ({"algorithm": "dqn", "action": "twap_relative"}, "E113", "training.agent.action"),
        ({"network": "recurrent"}, "E113", "training.agent.observation"),
        ({"split": {"validation_from": "2018-06-01", "test_from": "2018-06-01"}}, "E113", "training.agent.split"),
        ({"split": {"validation_from": "2018-06-01"}}, "E105", "training.agent.split.test_from"),
        ({"bars_per_step": 9}, "E113", "training.agent.bars_per_step"),
        ({"monitor": "reward"}, "E108", "training.agent.monitor"),
        ({"reward": {"use": "pa_penalty", "rest": "open"}}, "E108", "training.agent.reward.rest"),
        ({"reward": {"use": "pa_penalty", "scale": 0}}, "E108", "training.agent.reward.scale"),
        ({"steps": 63}, "E113", "training.agent.steps"),
        ({"teacher": {"use": "trained", "steps": 63}}, "E113", "training.agent.teacher.steps"),
        ({"rows": 1, "horizon": 1}, "E113", "training.agent.rows"),
        ({"action": {"use": "twap_relative", "most": 4.5}}, "E108", "training.agent.action.most"),
        ({"network": {"use": "mlp", "hidden": [65_536] * 3}}, "E113", "training.agent.network.hidden"),
        ({"algorithm": {"use": "dqn", "learning_starts": 2048}}, "E113", "training.agent.algorithm.learning_starts"),
    ],
)
def test_what_cannot_be_is_told_where_it_stands(agent: dict[str, Any], code: str, path: str, tmp_path: Path) -> None:
    assert [(c, p) for c, p, _ in problems(a_run(tmp_path, agent))] == [(code, path)]


def test_the_largest_multiple_of_an_even_pace_is_what_a_network_can_say(tmp_path: Path) -> None:
    run = load_run(a_run(tmp_path, {"action": "twap_relative"}))
    assert agent_of(run).acted() == TwapRelative(most=REACH)
    ((_, _, expected),) = problems(a_run(tmp_path, {"action": {"use": "twap_relative", "most": 1e6}}))
    assert "4" in expected
    less = load_run(a_run(tmp_path, {"action": {"use": "twap_relative", "most": 2}}))
    assert agent_of(less).acted() == TwapRelative(most=2.0)


def test_a_bar_that_orders_are_decided_at_twice_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(RunFileErrors) as caught:
        load_run(a_run(tmp_path, {"orders": {"start": [0, 3, 0, 3]}}))
    assert [(each.code, each.path, each.got) for each in caught.value.problems] == [
        ("E108", "training.agent.orders.start[2]", "0 again"),
        ("E108", "training.agent.orders.start[3]", "3 again"),
    ]
    assert "stands at start[1] too, and its orders would count twice; remove one" in caught.value.problems[1].expected
    assert load_run(a_run(tmp_path, {"orders": {"start": [3, 0]}})).training is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("horizon", 100_001),
        ("horizon", 10**24),
        ("bars_per_step", 10**9),
        ("rounds", 10**9),
        ("orders.start", [10**23]),
        ("orders.share", 1e308),
        ("orders.window", 10**9),
        ("observation.longer", 10**23),
        ("algorithm.buffer", 10**15),
        ("algorithm.batch", 10**15),
    ],
)
def test_a_size_that_nothing_could_have_is_refused_by_its_key(key: str, value: Any, tmp_path: Path) -> None:
    """Most were trained for, and some were accepted and their artefact was not."""
    name, _, inner = key.partition(".")
    uses = {"algorithm": {"use": "dqn", "learning_starts": 1}, "observation": {"use": "compact"}}
    agent = {name: uses.get(name, {}) | {inner: value} if inner else value}
    (found,) = problems(a_run(tmp_path, agent))
    assert (found[0], found[1].removesuffix("[0]")) == ("E108", f"training.agent.{key}")


def test_keys_for_models_say_nothing_beside_agent(tmp_path: Path) -> None:
    found = problems(a_run(tmp_path, section={"split": "walk_forward", "grid": {}}))
    assert found[0] == ("E113", "training.split", "no split beside agent: its own dates are training.agent.split")
    assert [path for _, path, _ in found] == ["training.split", "training.grid"]


# ---- training --------------------------------------------------------------------------------------------------------


def test_seeds_are_trainings_of_their_own_wherever_they_run_and_are_done_once(tmp_path: Path) -> None:
    serial = trained(a_run(tmp_path / "a", section={"seeds": 2}))
    pool = trained(a_run(tmp_path / "b", section={"seeds": 2, "executor": {"use": "pool", "workers": 1}}))
    assert serial.ok
    assert pool.ok
    assert [a.column for a in serial.agents] == ["agent-s3", "agent-s4"]
    assert [a.artefact for a in serial.agents] == [a.artefact for a in pool.agents]
    assert serial.agents[0].artefact != serial.agents[1].artefact
    again = trained(a_run(tmp_path / "a", section={"seeds": 2}))
    assert [a.reused for a in again.agents] == [True, True]
    assert "agents: 0 trained, 2 done before" in as_text(again)
    assert (again.rest, again.penalty) == ("close", 0.0)  # of its reward
    other = trained(a_run(tmp_path / "a", {"rows": 32}, section={"seeds": 2}))
    assert [a.reused for a in other.agents] == [False, False]


def test_runs_have_the_metrics_of_each_iteration_the_figures_and_the_orders(
    plain: tuple[Path, AgentResult], tmp_path: Path
) -> None:
    folder, made = plain
    store = RunStore(folder / "store")
    row = store.run(made.run)
    assert (row.status, row.facts["column"], row.facts["orders"]["test"]) == (
        "end",
        "agent",
        row.facts["orders"]["test"],
    )
    names = store.metric_names(made.run)
    assert {"pa", "ffr", "reward", "steps", "loss_policy", "loss_value", "kl", "cpu_collect_s", "cpu_update_s"} <= {
        *names
    }
    assert (names["pa"], names["val/pa"]) == (4, 2)
    assert [value for _, value in store.metrics(made.run, "steps")] == [512.0, 1024.0, 1536.0, 2048.0]
    assert all((value or 0) > 0 for _, value in store.metrics(made.run, "cpu_update_s"))
    (kept,) = row.files
    (tmp_path / "orders.parquet").write_bytes(store.read(kept))
    orders = pq.read_table(tmp_path / "orders.parquet").to_pandas()
    assert len(orders) == row.facts["orders"]["test"]
    assert orders["pa"].mean() == pytest.approx(row.outcome["test/pa"])
    by_day = orders.groupby("date")["net"].mean().to_numpy()  # as many orders on each day
    assert row.outcome["test/net_error"] == pytest.approx(by_day.std(ddof=1) / np.sqrt(len(by_day)))
    said = json.loads((folder / "store/results/agents/results.json").read_text())
    assert said["agents"][0]["artefact"] == made.artefact == read_artefact(Path(made.place)).hash


def test_dqn_and_a_recurrent_network_are_trained_too(tmp_path: Path) -> None:
    dqn = {"use": "dqn", "learning_starts": 256, "updates": 2, "buffer": 1024}
    recurrent = {"use": "recurrent", "hidden": 4, "out": 4}
    agent = {"algorithm": dqn, "network": recurrent, "observation": "full_history", "bars_per_step": 2}
    (made,) = trained(a_run(tmp_path, agent)).agents
    assert made.status == "end"
    relative = {"action": "twap_relative", "steps": 1024}
    assert trained(a_run(tmp_path, relative)).ok


OUTCOME: dict[str, Any] = {
    "steps": 4_096,
    "val/net": 1.0,
    "test/net": 1.0,
    "test/net_error": 0.5,
    "test/twap_net": -0.2,
    "test/gain": 1.2,
    "test/gain_error": 1.04,
    "test/pa_vwap": 1.0,
    "test/ffr": 0.64,
    "test/twap_ffr": 0.92,
    "artefact": "0" * 64,
}


@pytest.mark.parametrize(
    ("reward", "told"),
    [
        ({"use": "pa_penalty", "penalty": 0}, "that is no dearer than to trade it; raise broker.participation or the"),
        ({"use": "pa_penalty", "penalty": 5}, "or the horizon, or lower reward.penalty (it is 5)"),
        ({"use": "pa_penalty", "penalty": 0, "rest": "ignored"}, "costs it nothing; take reward.rest: close"),
        ({"use": "end_ratio", "rest": "ignored"}, "costs it nothing; take reward.rest: close"),
    ],
)
def test_an_agent_that_fills_less_than_an_even_pace_is_told_by_what_its_reward_says(
    reward: dict[str, Any], told: str
) -> None:
    made = AgentResult(column="agent", seed=0, run="r", status="end", outcome=OUTCOME)
    counted = {"rest": reward.get("rest", "close"), "penalty": reward.get("penalty", 0.0)}
    text = as_text(AgentResults(name="n", folder="f", agents=(made,), **counted))
    (warned,) = [line for line in text.splitlines() if "warning" in line]
    assert told in warned
    assert "it fills 64.0 % of the orders of test, and an even pace 92.0 %" in warned
    assert ("reward.rest" in warned) == (counted["rest"] == "ignored")
    assert ("penalty" in warned) == (counted["penalty"] > 0)
    assert "1.20 ± 1.04*" in text
    assert "part of the difference is of shares that nobody traded" in text
    whole = msgspec.structs.replace(made, outcome=OUTCOME | {"test/ffr": 0.92})
    text = as_text(AgentResults(name="n", folder="f", agents=(whole,), **counted))
    assert "*" not in text
    assert "warning" not in text


def test_one_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    agent = {"algorithm": {"use": "dqn", "lr": 1e30, "learning_starts": 64, "updates": 8}}
    results = trained(a_run(tmp_path, agent))
    assert not results.ok
    assert "lower `lr` (it is 1e+30)" in as_text(results)
    assert RunStore(tmp_path / "store").run(results.agents[0].run).status == "failed"


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ({"rows": 256, "steps": 2_047}, "256 rows x 1 rounds x 8 decisions of an order are 2,048; set steps: 2048"),
        (
            {"algorithm": {"use": "dqn", "learning_starts": 2_000}},
            "is 2,000, and 1,920 order-steps are all that is run",
        ),
        ({"teacher": {"use": "trained", "steps": 479}}, "teacher.steps is 479, which is less than one collection, 480"),
        ({"rounds": 10**6, "steps": 10**9}, "of 36,621 MiB would be held at once, .*; lower rows or rounds"),
        (
            {"algorithm": {"use": "dqn", "buffer": 10**8, "learning_starts": 9}, "observation": "full_history"},
            "; lower algorithm.buffer, or take",
        ),
        ({"orders": {"start": [0, 9]}}, "orders.start: no day has a bar behind bar 9, the longest has 10"),
    ],
)
def test_what_these_days_make_no_training_of_is_refused_before_anything_is_recorded(
    agent: dict[str, Any], said: str, tmp_path: Path
) -> None:
    run = load_run(a_run(tmp_path, {"rows": 60} | agent))
    for attempt in (lambda: planned_agents(run, None), lambda: train_agents(run, How(clock=SystemClock()))):
        with pytest.raises(ConfigError, match=said):
            attempt()
    assert not (tmp_path / "store/work").exists()


def test_a_part_without_orders_and_a_market_that_cannot_be_are_refused(tmp_path: Path) -> None:
    late = {"split": {"validation_from": "2018-06-01", "test_from": "2030-01-01"}}
    with pytest.raises(DataError, match="split test: it has no order; the days go from 2018-01-01"):
        trained(a_run(tmp_path, late))
    words = a_run(tmp_path)
    words["broker"] = words["broker"] | {"fill": "same_close"}
    with pytest.raises(ConfigError, match="is no timing of episodes"):
        trained(words)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "stable_baselines3", None)
    with pytest.raises(ConfigError, match=r"pip install 'samewire\[rl\]'"):
        trained(a_run(tmp_path))


def test_without_the_library_a_plan_names_the_extra_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "gymnasium":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    with pytest.raises(ConfigError, match=r"gymnasium is not installed; pip install 'samewire\[rl\]'"):
        planned_agents(load_run(a_run(tmp_path)), None)


def test_the_command_plans_trains_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(a_run(tmp_path)))
    assert main(["train", str(path), "--plan"]) == 0
    planned = capsys.readouterr().out
    assert "1 trainings planned, 0 of them done before" in planned
    assert "to run  2,048 order-steps in 4 collections of 64 orders x 8 decisions; 2 validations" in planned
    assert main(["train", str(path), "--plan", "--set", "training.agent.steps=2559", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["steps"], said["collection"], said["collections"], said["validations"]) == (2048, 512, 4, 2)
    assert not (tmp_path / "store").exists()
    assert main(["train", str(path), "--quiet"]) == 0
    assert "agents: 1 trained" in capsys.readouterr().out
    assert planned_agents(load_run(path), None)[2] == 1
    assert main(["runs", "list", "--store", str(tmp_path / "store")]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert "2018-06-01 to" in row
    net = RunStore(tmp_path / "store").runs()[0].outcome["test/net"]
    assert row[head.index("net, bp") - 1 : head.index("net, bp") + 7].strip() == f"{net:+.2f}"
    assert main(["train", str(path), "--update"]) == 2
    assert "--update and --permutations are for models" in capsys.readouterr().err


# ---- in a session ----------------------------------------------------------------------------------------------------


def test_a_session_keeps_its_agent_and_is_verified_without_the_store(
    plain: tuple[Path, AgentResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, made = plain
    place = Path(shutil.copytree(made.place, tmp_path / "agent"))
    words = a_run(tmp_path)
    del words["training"]
    words["execution"] = {"use": "rl", "artefact": str(place), "horizon": 8}
    verdict = asyncio.run(look_ahead(load_run(words), cuts=2, slices=80))
    assert (verdict.findings, verdict.undated) == ((), ())
    first = replay(load_run(words), out=tmp_path / "session")
    assert first.summary["fills"] > first.summary["orders"]  # worked in several bars
    early = replay(load_run(words, ["session.start=2018-05-15"]))
    assert any("execution was trained on data up to 2018-05-31" in said for said in early.summary["warnings"])
    assert read_artefact(tmp_path / "session/models/execution").hash == made.artefact
    place.rename(tmp_path / "moved")
    assert main(["verify", str(tmp_path / "session")]) == 0
    assert capsys.readouterr().out.startswith("identical, ")


def test_a_registry_names_an_agent_too(
    plain: tuple[Path, AgentResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, made = plain
    registry = ["--registry", str(tmp_path / "registry"), "--actor", "ann"]
    assert main(["models", "register", "desk", made.place, *registry]) == 0
    assert main(["models", "promote", "desk", made.artefact, "production", *registry, "--reason", "test PA"]) == 0
    words = a_run(tmp_path)
    words["execution"] = {"use": "rl", "artefact": str(tmp_path / "registry:desk@production"), "horizon": 8}
    result = replay(load_run(words))
    assert result.summary["fills"] > 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"execution": {"use": "rl", "horizon": 7}}, "works orders over 8 slices; set horizon: 8"),
        ({"feed": {"use": "generated_days", "days": 130, "bars": 13}}, "learned from bars of 39 minutes, and these"),
    ],
)
def test_a_session_that_does_not_fit_is_refused_before_it_runs(
    changed: dict[str, Any], said: str, plain: tuple[Path, AgentResult], tmp_path: Path
) -> None:
    _, made = plain
    words = a_run(tmp_path) | changed
    words["execution"] = {"use": "rl", "horizon": 8, "artefact": made.place} | changed.get("execution", {})
    with pytest.raises(ConfigError, match=said):
        replay(load_run(words))


def test_a_plan_says_how_large_a_replay_buffer_is(tmp_path: Path) -> None:
    dqn = {"use": "dqn", "buffer": 1_024_000}
    run = load_run(a_run(tmp_path, {"algorithm": dqn}))
    world, asked, done = planned_agents(run, None)
    text = plan_text(run, world, asked, done)
    assert "checkpoint  up to 55 MiB" in text  # 1,024,000 observations of 10 numbers, and 16 bytes each
    assert "warning" not in text
    full = load_run(a_run(tmp_path, {"algorithm": dqn, "observation": "full_history"}))
    assert "lower algorithm.buffer" in plan_text(full, world, asked, done)
