"""`samewire train` and `samewire runs` as a script reads them."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from adapters.tracking.store import RunStore
from engine.learning import Metric
from samewire.cli import main
from samewire.training_job import alone
from samewire.training_progress import watching
from tests.samewire.test_training import a_run, model, trained


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main([*words, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    run = a_run(tmp_path, {"horizons": [1, 3], "split": {"use": "fixed", "until": "2018-02-28"}})
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    return tmp_path / "run.yaml"


def test_train_says_its_plan_and_its_results(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, plan = said(capsys, "train", str(file), "--plan")
    assert (code, plan["done"], [task["column"] for task in plan["tasks"]]) == (0, 0, ["linear-h1", "linear-h3"])
    elsewhere = file.parent / "elsewhere"
    code, results = said(capsys, "train", str(file), "--quiet", "--out", str(elsewhere))
    assert (code, results["ok"], results["scores"]) == (0, True, str(elsewhere / "scores.parquet"))
    assert [task["run"] for task in results["tasks"]] == [task["run"] for task in plan["tasks"]]
    assert said(capsys, "train", str(file), "--plan")[1]["done"] == 2
    assert json.loads((elsewhere / "results.json").read_text()) == results


def test_a_training_that_fails_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(tmp_path, models=model(refuse_before=50))
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    assert main(["train", str(tmp_path / "run.yaml")]) == 1
    shown = capsys.readouterr()
    assert "walks: 2 trained, 1 failed" in shown.out
    assert "linear until 2018-02-10: failed, ValueError: 38 slices are too few for me" in shown.out
    assert "1/3  linear until 2018-02-10: failed" in shown.err
    assert main(["train", str(tmp_path / "none.yaml")]) == 2


def test_runs_are_listed_shown_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = trained(a_run(tmp_path, {"horizons": [1, 3], "split": {"use": "fixed", "until": "2018-02-28"}}))
    store, (first, second) = str(results.store), [task.run for task in results.tasks]
    code, listed = said(capsys, "runs", "list", "--store", store)
    assert (code, [run["id"] for run in listed["runs"]]) == (0, [first, second])
    assert said(capsys, "runs", "list", "--store", store, "--name", "other")[1]["runs"] == []
    shown = said(capsys, "runs", "show", first[:6], "--store", store)[1]
    assert shown["run"]["outcome"]["artefact"] == results.tasks[0].artefact
    assert shown["metrics"]["loss"]["steps"] == 3
    task, figures = results.tasks[0], {name: found["value"] for name, found in shown["metrics"].items()}
    assert (figures["test_ic"], figures["test_rank_ic"]) == (task.ic, task.rank_ic)
    assert (figures["test_slices"], figures["test_coverage"]) == (task.slices, results.columns[0].coverage)
    assert figures["test_rank_ic_t"] == results.columns[0].rank_ic_t
    assert [run["rank_ic"] for run in listed["runs"]] == [each.rank_ic for each in results.tasks]
    differ = said(capsys, "runs", "compare", first, second, "--store", store)[1]["differ"]
    assert differ["task.horizon"] == [1, 3]
    assert "task.seed" not in differ
    for words in (["list"], ["show", first], ["compare", first, second], ["compare", first, first]):
        assert main(["runs", *words, "--store", store]) == 0
    text = capsys.readouterr().out
    assert "differ in nothing that is recorded" in text
    assert f"linear-h1   {results.tasks[0].rank_ic:>+8.4f}  " in text
    assert "linear-h3" in text


def test_what_is_no_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--store", str(tmp_path / "none")]) == 2
    assert "no store of runs" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    RunStore(tmp_path / "store").close()
    assert main(["runs", "list", "--store", str(tmp_path / "store")]) == 0
    assert main(["runs", "show", "abc", "--store", str(tmp_path / "store")]) == 2
    assert "no run has an id that begins with 'abc'" in capsys.readouterr().err


def test_a_loss_that_is_no_number_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RunStore(tmp_path / "store")
    run = store.begin("key", {"name": "diverged"})
    store.log(run, [Metric("loss", 0, float("inf")), Metric("ic", 0, float("nan"))])
    store.close()
    shown = said(capsys, "runs", "show", run, "--store", str(store.folder))[1]["metrics"]
    assert (shown["loss"]["value"], shown["ic"]["value"]) == ("inf", None)
    assert main(["runs", "show", run, "--store", str(store.folder)]) == 0


class Terminal:
    """A stream that says it is a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_a_bar_and_each_failure(tmp_path: Path) -> None:
    stream: Any = Terminal()
    with watching(stream=stream, environ={"TERM": "xterm"}) as watcher:
        results = trained(a_run(tmp_path, models=model(refuse_before=50)), watcher=watcher)
    assert len(results.failed) == 1
    assert "38 slices are too few" in stream.text
    assert "3/3" in stream.text
    assert watcher.count == "3 of 3 trainings"


def test_runs_of_different_data_are_told_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RunStore(tmp_path / "store")
    facts = {"name": "plan", "code": "c1", "data": {"prices.parquet": "a" * 64}}
    runs = [store.begin(key, facts | more) for key, more in (("a", {}), ("b", {}), ("c", {"data": {"p": "b" * 64}}))]
    store.close()
    for other, alike in ((runs[1], True), (runs[2], False)):
        words = ("runs", "compare", runs[0], other, "--store", str(tmp_path / "store"))
        assert said(capsys, *words)[1]["same_data"] is alike
        assert main([*words]) == 0
        assert ("of different data" in capsys.readouterr().out) is not alike


def test_what_trainings_left_is_shown_and_removed_unless_one_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunStore(tmp_path).close()
    assert main(["runs", "clean", "--store", str(tmp_path)]) == 0
    assert "nothing is left" in capsys.readouterr().out
    (tmp_path / "work/mine").mkdir(parents=True)  # of nobody: it has no lock
    for name in ("busy", "gone"):
        with contextlib.suppress(RuntimeError), alone(tmp_path / "work", name) as folder:
            (folder / "iteration-000001.safetensors").write_bytes(bytes(2**20))
            os.link(folder / "iteration-000001.safetensors", folder / "latest.safetensors")
            raise RuntimeError
    with alone(tmp_path / "work", "busy"):
        left = [{"run": "busy", "bytes": 2**20, "busy": True}, {"run": "gone", "bytes": 2**20, "busy": False}]
        assert said(capsys, "runs", "clean", "--store", str(tmp_path))[1]["left"] == left
        assert (tmp_path / "work/gone").exists()
        assert main(["runs", "clean", "--store", str(tmp_path), "--remove"]) == 0
        assert "gone                    1.0 MiB  removed" in capsys.readouterr().out
        assert [(tmp_path / "work" / name).exists() for name in ("busy", "gone", "mine")] == [True, False, True]
