"""Trainings from a run file: what is planned, what comes out, and what no accident may change."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import samewire
from adapters.tracking.store import RunStore
from engine.clock import SystemClock
from engine.errors import ConfigError, DataError, SamewireError, StateError
from samewire.commands.train import as_text
from samewire.json_schema import json_schema
from samewire.schema import RunFile, RunFileErrors, dump_run, load_run, resolved
from samewire.training import How, planned_only, train
from samewire.training_plan import plan_of
from samewire.training_results import Results
from tests.adapters.scaleout.test_pool import wait_for

ROOT = Path(__file__).parent.parent.parent


def a_run(folder: Path, training: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """Two learners on a random walk of 100 slices: four windows."""
    plain: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "walks", "cash": 1_000_000, "seed": 3},
        "feed": {"use": "tests.samewire.own:Walk", "symbols": 5, "slices": 100},
        "features": [{"name": "rolling", "use": "rolling", "windows": [3]}],
        "models": [{"name": "linear", "use": "tests.samewire.learners:Linear", "features": "rolling"}],
        "strategy": {"use": "tests.samewire.own:Equal"},
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
    }
    section = {"split": {"use": "walk_forward", "every": 20, "window": 40}, "store": str(folder / "store")}
    return plain | {"training": section | (training or {})} | parts


def trained(run: dict[str, Any] | RunFile, **more: Any) -> Results:
    loaded = run if isinstance(run, RunFile) else load_run(run)
    return train(loaded, How(clock=SystemClock(), **more))


def model(**options: Any) -> list[dict[str, Any]]:
    return [{"name": "linear", "use": "tests.samewire.learners:Linear", "features": "rolling", **options}]


def kept(results: Results) -> dict[str, tuple[str, ...]]:
    """Artefact and hashes of files of each run."""
    with closing(RunStore(results.store)) as store:
        rows = [store.run(task.run) for task in results.tasks]
    return {row.id: (row.outcome["artefact"], *(file.sha256 for file in row.files)) for row in rows}


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_each_window_is_predicted_by_what_was_known_before_it(tmp_path: Path) -> None:
    results = trained(a_run(tmp_path))
    assert [task.status for task in results.tasks] == ["end"] * 3
    table = pq.read_table(results.folder / "scores.parquet").to_pandas()
    assert list(table.columns) == ["ts", "symbol", "linear"]
    assert len(table) == 60 * 5
    assert not table.duplicated(["ts", "symbol"]).any()
    (column,) = results.columns
    assert (column.column, column.tasks, column.slices) == ("linear", 3, 58)  # the last two have no outcome yet
    said = json.loads((results.folder / "results.json").read_text())
    assert "walks: linear" in (results.folder / "pages" / "linear.html").read_text()
    assert said["ok"]
    assert [task["artefact"] for task in said["tasks"]] == [task.artefact for task in results.tasks]


def test_what_the_figures_leave_out_is_said_beside_them(tmp_path: Path) -> None:
    """One window failed, and the next one's model has the same to say of all names."""
    mute = [{"name": "m", "use": "tests.samewire.learners:Mute", "features": "rolling"}]
    results = trained(a_run(tmp_path, models=[mute[0] | {"refuse_before": 50, "least": 70}]))
    assert [(task.status, task.slices, task.uncovered) for task in results.tasks] == [
        ("failed", 0, 20),
        ("end", 0, 20),
        ("end", 18, 0),  # the last two have no outcome yet, so nothing could be said of them
    ]
    (column,) = results.columns
    assert (column.slices, column.uncovered, column.failed) == (18, 40, 1)
    said = json.loads((results.folder / "results.json").read_text())
    assert (said["columns"][0]["uncovered"], said["columns"][0]["failed"]) == (40, 1)
    assert [task["uncovered"] for task in said["tasks"]] == [20, 20, 0]
    told = as_text(results)
    assert "  m: 40 of 58 slices are in no figure: without scores that tell names apart, 1 training failed" in told
    (silent,) = (line for line in told.splitlines() if line.endswith("20 slices not predicted"))
    assert "      0        -        -" in silent


def test_nothing_is_said_to_be_left_out_where_nothing_is(tmp_path: Path) -> None:
    results = trained(a_run(tmp_path))
    assert [task.uncovered for task in results.tasks] == [0, 0, 0]
    assert "no figure" not in as_text(results)
    assert "not predicted" not in as_text(results)


def test_serial_and_pool_leave_the_same_bytes(tmp_path: Path) -> None:
    serial = trained(a_run(tmp_path / "a", {"horizons": [1, 3]}))
    pool = trained(a_run(tmp_path / "b", {"horizons": [1, 3], "executor": {"use": "pool", "workers": 2}}))
    assert kept(serial) == kept(pool)
    assert len(kept(serial)) == 6
    assert (serial.folder / "scores.parquet").read_bytes() == (pool.folder / "scores.parquet").read_bytes()


def test_the_scores_are_what_the_model_says_in_a_session(tmp_path: Path) -> None:
    """The artefact of the last window, put to use in the wiring, answers bit for bit as it was scored."""
    run = a_run(tmp_path)
    results = trained(run)
    last = results.tasks[-1]
    artefact = results.store / "artefacts" / last.artefact
    del run["training"]
    run["models"] = model(artefact=str(artefact))
    live = samewire.run(run).table("signals").to_pandas().set_index(["ts", "symbol"])["value"]
    scores = pq.read_table(results.folder / "scores.parquet").to_pandas().set_index(["ts", "symbol"])["linear"]
    days = scores.index.get_level_values("ts").strftime("%Y-%m-%d")
    assert last.test is not None
    mine = scores[(days >= last.test[0]) & (days <= last.test[1])]
    assert len(mine) == 20 * 5
    assert (live.loc[mine.index] == mine).all()


def test_the_table_of_scores_can_be_replayed(tmp_path: Path) -> None:
    run = a_run(tmp_path, {"seeds": 2})
    results = trained(run)
    del run["training"]
    table = results.folder / "scores.parquet"
    run["models"] = [{"name": "mine", "use": "scores", "table": str(table), "column": "linear-s4"}]
    played = samewire.run(run).table("signals").to_pandas().dropna().set_index(["ts", "symbol"])["value"]
    scores = pq.read_table(table).to_pandas().set_index(["ts", "symbol"])["linear-s4"]
    assert len(played) == len(scores) == 300
    assert (played == scores.loc[played.index]).all()


def test_seeds_horizons_and_grids_multiply_and_a_grid_trains_no_other_model_twice(tmp_path: Path) -> None:
    two = [*model(), model()[0] | {"name": "other"}]
    plan = {"horizons": [1, 2], "seeds": 2, "grid": {"models.linear.rate": [0.1, 0.2, 0.3]}}
    made, _ = planned_only(load_run(a_run(tmp_path, plan, models=two)))
    columns = [planned.column for planned in made.tasks if planned.task.fold == 0]
    assert len(columns) == len(set(columns)) == 2 * 2 * 3 + 2 * 2
    assert "linear-h2-s4-rate=0.3" in columns
    assert "other-h1-s3" in columns
    assert not (tmp_path / "store").exists()


def test_a_fixed_split_trains_once(tmp_path: Path) -> None:
    split = {"use": "fixed", "until": "2018-02-28", "valid_from": "2018-02-20", "test_until": "2018-03-10"}
    (task,) = trained(a_run(tmp_path, {"split": split})).tasks
    assert (task.train, task.test) == (("2018-01-02", "2018-02-28"), ("2018-03-01", "2018-03-10"))


def test_a_model_may_read_a_table_and_is_another_when_it_changes(tmp_path: Path) -> None:
    split: dict[str, Any] = {"split": {"use": "fixed", "until": "2018-02-28"}}
    tilted = model(tilt=str(tmp_path / "tilt.csv"))
    made = []
    for executor, tilt in (("serial", 1.0), ("pool", 1.0), ("serial", 2.0)):
        (tmp_path / "tilt.csv").write_text(f"ts,symbol,tilt\n2018-01-02T21:00:00Z,S0,{tilt}\n")
        made += trained(a_run(tmp_path / f"{executor}", split | {"executor": executor}, models=tilted)).tasks
    assert made[0].artefact == made[1].artefact != made[2].artefact
    assert not made[2].reused
    assert made[2].run != made[0].run


def test_the_json_schema_knows_the_section(tmp_path: Path) -> None:
    known = json_schema()["properties"]["training"]["anyOf"][0]["properties"]
    told = [{"use": "mlflow", "uri": "http://127.0.0.1:5000"}]
    run = load_run(a_run(tmp_path, {"grid": {"models.linear.rate": [0.1]}, "online": {}, "sinks": told}))
    assert set(resolved(run)["training"]) == set(known) - {"agent"}  # which trains something else
    assert [each.get("title") for each in known["split"]["anyOf"][1:]] == [
        "WalkForwardSpec",
        "FixedSpec",
        "PurgedSpec",
        "CpcvSpec",
    ]


# ---- what is done again ----------------------------------------------------------------------------------------------


def test_what_ended_is_not_done_again_and_more_history_changes_no_earlier_window(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    feed = {"use": "tests.samewire.own:Walk", "symbols": 5, "slices": 120}
    until = {"until": "2018-04-11"}
    first = trained(a_run(tmp_path, until, models=model(trace=str(trace)), feed=feed))
    assert trace.read_text().count("epoch 0") == 3
    again = trained(a_run(tmp_path, until, models=model(trace=str(trace)), feed=feed))
    assert trace.read_text().count("epoch 0") == 3
    assert all(task.reused for task in again.tasks)
    assert kept(again) == kept(first)
    more = trained(a_run(tmp_path, models=model(trace=str(trace)), feed=feed))
    assert [task.reused for task in more.tasks] == [True, True, True, False]
    assert trace.read_text().count("epoch 0") == 4


def test_other_options_and_other_code_are_other_runs(tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path))
    try:
        (tmp_path / "mine_to_change.py").write_text(
            "from tests.samewire.learners import Linear as L\n\n\nclass M(L):\n    pass\n"
        )
        mine = [{"name": "linear", "use": "mine_to_change:M", "features": "rolling"}]
        first = trained(a_run(tmp_path, models=mine))
        assert not any(task.reused for task in trained(a_run(tmp_path, models=[mine[0] | {"rate": 0.2}])).tasks)
        assert all(task.reused for task in trained(a_run(tmp_path, models=mine)).tasks)
        with (tmp_path / "mine_to_change.py").open("a") as file:
            file.write("# a change\n")
        changed = trained(a_run(tmp_path, models=mine))
        assert not any(task.reused for task in changed.tasks)
        assert {task.run for task in changed.tasks} & {task.run for task in first.tasks} == set()
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize("option", ["processors", "reweighter"])
def test_other_code_of_a_part_of_the_users_own_is_another_run(option: str, tmp_path: Path) -> None:
    """A processor or a reweighter decides what is learned as much as the model does."""
    text = """
import numpy as np

class P:
    kind, options = "p", {{}}
    def fit(self, features, /): return {{}}
    def apply(self, value, frozen, /): return value * np.float32({factor})

class R:
    options = {{}}
    def weights(self, dataset, /): return 1 + {factor} * (np.isfinite(dataset.label) & (dataset.label > 0))
"""
    name = f"mine_nested_{option}"
    use = {"use": f"{name}:{'P' if option == 'processors' else 'R'}"}
    part = {option: [use] if option == "processors" else use}
    ridge = [{"name": "linear", "use": "linear", "features": "rolling", "estimator": "ridge", "alpha": 3.0, **part}]
    sys.path.insert(0, str(tmp_path))
    try:
        made = []
        for factor in (1.0, 1.0, 40.0):
            (tmp_path / f"{name}.py").write_text(text.format(factor=factor))
            sys.modules.pop(name, None)
            importlib.invalidate_caches()
            made.append(trained(a_run(tmp_path, models=ridge)))
        assert [[task.reused for task in each.tasks] for each in made] == [[False] * 3, [True] * 3, [False] * 3]
    finally:
        sys.path.remove(str(tmp_path))


def test_a_lost_artefact_is_trained_again(tmp_path: Path) -> None:
    first = trained(a_run(tmp_path))
    shutil.rmtree(first.store / "artefacts" / first.tasks[1].artefact)
    again = trained(a_run(tmp_path))
    assert [task.reused for task in again.tasks] == [True, False, True]
    assert kept(again) == kept(first)


def test_one_that_fails_stops_no_other_and_is_tried_again(tmp_path: Path) -> None:
    results = trained(a_run(tmp_path, models=model(refuse_before=50)))
    assert [task.status for task in results.tasks] == ["failed", "end", "end"]
    assert results.tasks[0].error == "ValueError: 38 slices are too few for me"
    with closing(RunStore(results.store)) as store:
        row = store.run(results.tasks[0].run)
    assert (row.status, row.outcome["error"]) == ("failed", results.tasks[0].error)
    again = trained(a_run(tmp_path, models=model(refuse_before=50)))
    assert [task.reused for task in again.tasks] == [False, True, True]


def test_a_killed_worker_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pool = {"executor": {"use": "pool", "workers": 1}, "split": {"use": "fixed", "until": "2018-02-28"}}
    killed = trained(a_run(tmp_path / "a", pool, models=model(die_after=2, epochs=4, trace=str(trace))))
    assert [task.status for task in killed.tasks] == ["end"]
    assert trace.read_text().split("\n")[:-1] == [f"epoch {k}" for k in range(4)]
    whole = trained(a_run(tmp_path / "b", pool, models=model(epochs=4)))
    assert killed.tasks[0].artefact == whole.tasks[0].artefact
    with closing(RunStore(killed.store)) as store:
        row = store.run(killed.tasks[0].run)
        assert row.attempts == 2
        assert [step for step, _ in store.metrics(row.id, "loss")] == [0, 1, 2, 3]
    assert not [path for path in (killed.store / "work").iterdir() if path.is_dir()]
    assert [path.name for path in (killed.store / "panels").iterdir()] == [".lock"]


def command(folder: Path, run: dict[str, Any], *words: str) -> list[str]:
    (folder / "run.yaml").write_text(json.dumps(run))
    return [sys.executable, "-m", "samewire", "train", str(folder / "run.yaml"), *words]


@pytest.mark.parametrize("executor", ["serial", "pool"])
def test_a_killed_command_goes_on_where_it_was(executor: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    run = a_run(tmp_path, {"executor": executor}, models=model(epochs=6, pause_s=0.25, trace=str(trace)))
    if executor == "pool":
        run["training"]["executor"] = {"use": "pool", "workers": 1}
    begun = subprocess.Popen(command(tmp_path, run, "--quiet"), cwd=ROOT, stderr=subprocess.DEVNULL)
    for _ in range(400):
        if trace.exists() and trace.read_text().count("epoch") >= 8:
            break
        signal.sigtimedwait((signal.SIGUSR2,), 0.05)
    begun.kill()
    begun.wait()
    signal.sigtimedwait((signal.SIGUSR2,), 0.5)  # its worker ends by itself
    before = trace.read_text().count("epoch")
    assert 8 <= before < 18
    fast = a_run(tmp_path, models=model(epochs=6, pause_s=0.25, trace=str(trace)))
    results = trained(fast)
    assert [task.reused for task in results.tasks] == [True, False, False]
    # Each epoch once, but for the one that was under way.
    assert trace.read_text().count("epoch") - 18 <= 1
    apart = trained(a_run(tmp_path / "apart", models=model(epochs=6)))
    assert [task.artefact for task in results.tasks] == [task.artefact for task in apart.tasks]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_told_to_end_ends_in_order(number: int, code: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pool = {"executor": {"use": "pool", "workers": 1}}
    run = a_run(tmp_path, pool, models=model(epochs=1000, pause_s=0.05, trace=str(trace)))
    begun = subprocess.Popen(command(tmp_path, run), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_for(trace)
    begun.send_signal(number)
    _, said = begun.communicate()
    assert begun.returncode == code, said
    assert "ended after 0 of 3 trainings; the same command goes on from here" in said
    epochs = trace.read_text()
    signal.sigtimedwait((signal.SIGUSR2,), 0.3)
    assert trace.read_text() == epochs  # the worker has gone too
    assert [path.name for path in (tmp_path / "store" / "panels").iterdir()] == [".lock"]
    assert not (tmp_path / "store" / "results").exists()


# ---- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "parts", "kind", "said"),
    [
        ({"split": {"window": 200}}, {}, DataError, "too little history for one window of 200 slices"),
        ({"split": {"window": "300d"}}, {}, DataError, "too little history for one window of 300d"),
        ({"split": {"start": "2030-01-01"}}, {}, DataError, "start 2030-01-01 lies behind the last slice"),
        ({"split": {"use": "fixed", "until": "2030-01-01"}}, {}, DataError, "the feed ends with 2018-04-11"),
        ({"horizons": [60]}, {}, DataError, "no label of horizon 60 to learn from"),
        ({"split": {"window": 0}}, {}, ConfigError, "training.split.window must be longer than 0"),
        ({"gpus": 1}, {}, ConfigError, "needs 1 GPU and this executor has no GPU"),
        ({}, {"feed": "tests.samewire.learners:Twice"}, DataError, "the slice of 2018-01-07 comes twice"),
        ({"since": "2030-01-01"}, {}, DataError, "no slice in the history"),
    ],
)
def test_what_cannot_be_trained_is_told(
    training: dict[str, Any], parts: dict[str, Any], kind: type[SamewireError], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        trained(a_run(tmp_path, training, **parts))
    with closing(RunStore(tmp_path / "store")) as store:
        assert store.runs() == ()


@pytest.mark.parametrize(
    ("training", "code", "path"),
    [
        ({"grid": {"models.linear.rat": [1]}}, "E104", "training.grid.models.linear.rat"),
        ({"grid": {"models.liner.rate": [1]}}, "E111", "training.grid.models.liner.rate"),
        ({"grid": {"models.linear.rate": [0.1, "x"]}}, "E107", "training.grid.models.linear.rate"),
        ({"grid": {"models.linear.rate": 0.1}}, "E107", "training.grid.models.linear.rate"),
        ({"grid": {"models.linear.features": ["rolling"]}}, "E113", "training.grid.models.linear.features"),
        ({"grid": {"strategy.topk": [1]}}, "E111", "training.grid.strategy.topk"),
        ({"grid": {"models.linear.epochs": list(range(1, 1002))}}, "E108", "training.grid"),
        ({"split": {"use": "k_fold"}}, "E109", "training.split.use"),
        ({"split": {"windw": 3}}, "E104", "training.split.windw"),
        ({"split": {"every": "1h"}}, "E108", "training.split.every"),
        ({"split": {"use": "cpcv", "groups": 3, "tested": 3}}, "E108", "training.split.tested"),
        ({"split": {"use": "cpcv", "groups": 2}}, "E108", "training.split.tested"),
        ({"split": {"use": "cpcv", "groups": 100, "tested": 50}}, "E108", "training.split.groups"),
        ({"executor": {"use": "pool", "workers": 0}}, "E108", "training.executor.workers"),
        ({"horizons": []}, "E108", "training.horizons"),
        ({"horizons": [0]}, "E108", "training.horizons[0]"),
        ({"seeds": 0}, "E108", "training.seeds"),
        ({"horizon": 1}, "E104", "training.horizon"),
        ({"leaks": "of"}, "E109", "training.leaks.use"),
        ({"leaks": {"permutations": -1}}, "E108", "training.leaks.permutations"),
        ({"leaks": {"use": "off", "permutations": 3}}, "E104", "training.leaks.permutations"),
        ({"online": "registry"}, "E107", "training.online"),
        ({"online": {"judge": "1h"}}, "E108", "training.online.judge"),
        ({"online": {"judge": 10}}, "E108", "training.online.judge"),
        ({"online": {"metric": "sharpe"}}, "E108", "training.online.metric"),
        ({"online": {"margin": ".nan"}}, "E107", "training.online.margin"),
        ({"online": {"stage": "candidate"}}, "E108", "training.online.stage"),
        ({"online": {"stag": "x"}}, "E104", "training.online.stag"),
    ],
)
def test_a_wrong_section_is_told_where_it_stands(
    training: dict[str, Any], code: str, path: str, tmp_path: Path
) -> None:
    with pytest.raises(RunFileErrors) as caught:
        load_run(a_run(tmp_path, training))
    assert [(problem.code, problem.path) for problem in caught.value.problems] == [(code, path)]


def test_a_section_without_a_model_that_trains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFileErrors, match="models that do not train: trend"):
        load_run(a_run(tmp_path, models=[{"name": "trend", "use": "momentum", "window": 5}]))
    plain = a_run(tmp_path)
    del plain["training"]
    with pytest.raises(ConfigError, match="it has no section `training:`"):
        trained(plain)


def test_two_models_on_one_feature_set_walk_history_once(tmp_path: Path) -> None:
    two = [*model(), model()[0] | {"name": "other"}]
    plan = plan_of(load_run(a_run(tmp_path, models=two)), tmp_path / "panels")
    assert len(plan.panels) == 1
    assert len({planned.run for planned in plan.tasks}) == 6


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    """Files may not grow beyond a limit, as where a disk is full."""
    first = trained(a_run(tmp_path))
    before = kept(first)
    text = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000));"
    text += "from samewire.cli import main; sys.exit(main(sys.argv[1:]))"
    wide = {"use": "tests.samewire.own:Walk", "symbols": 50, "slices": 100}
    words = command(tmp_path, a_run(tmp_path, feed=wide), "--quiet")[3:]
    ran = subprocess.run([sys.executable, "-c", text, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode in (2, 3), ran.stderr
    assert "free some space" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    again = trained(a_run(tmp_path))
    assert all(task.reused for task in again.tasks)
    assert kept(again) == before


def test_a_folder_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="it holds other files and no store of runs"):
        trained(a_run(tmp_path))
    shutil.rmtree(tmp_path / "store")
    trained(a_run(tmp_path))
    (tmp_path / "store" / "runs.sqlite").write_bytes(os.urandom(5000))
    with pytest.raises(StateError, match="this is no store of runs"):
        trained(a_run(tmp_path))


def test_the_section_survives_being_written_and_read(tmp_path: Path) -> None:
    plan = {
        "since": "2018-01-05",
        "horizons": [1, 5],
        "seeds": 3,
        "split": {"every": "4w", "window": "30d", "valid": 5, "embargo": "2d", "sliding": True},
        "grid": {"models.linear.rate": [0.1, "2e-1"], "models.linear.epochs": [1, 2]},
        "executor": {"use": "pool", "timeout": "90s", "attempts": 3},
        "leaks": "off",
        "online": {"registry": "models", "judge": "90d", "metric": "ic", "margin": 0.01, "least_t": 2},
    }
    run = load_run(a_run(tmp_path, plan))
    (tmp_path / "again.yaml").write_text(dump_run(run))
    again = load_run(tmp_path / "again.yaml")
    assert again == run
    assert run.training is not None
    assert len(run.training.variants) == 4
    assert run.training.executor.model_dump()["timeout"] == 90 * 10**9


def test_what_an_earlier_call_left_is_gone_where_nothing_comes_out(tmp_path: Path) -> None:
    first = trained(a_run(tmp_path, {"horizons": [1, 3]}))
    assert (first.folder / "scores.parquet").is_file()
    (first.folder / "notes.txt").write_text("mine")
    again = trained(a_run(tmp_path))
    assert sorted(path.name for path in (again.folder / "pages").iterdir()) == ["linear.html"]
    refuses = [{"name": "m", "use": "tests.samewire.learners:Mute", "features": "rolling", "refuse_before": 1000}]
    last = trained(a_run(tmp_path, models=refuses))
    assert [task.status for task in last.tasks] == ["failed"] * 3
    assert json.loads((last.folder / "results.json").read_text())["scores"] is None
    assert not (last.folder / "scores.parquet").exists()
    assert not list((last.folder / "pages").iterdir())
    assert (last.folder / "notes.txt").read_text() == "mine"
