"""`training.sinks`: trainings told to MLflow while they run, or by `samewire runs push`, and no different for it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adapters.tracking import telling
from samewire.cli import main
from samewire.json_schema import json_schema
from samewire.schema import RunFileErrors, dump_run, load_run, resolved
from tests.adapters.tracking.mlflow_server import serving
from tests.samewire.test_training import a_run, kept, model, trained


def sinks(uri: str, **options: Any) -> dict[str, Any]:
    return {"sinks": [{"use": "mlflow", "uri": uri, "timeout_s": 5.0, **options}]}


ONE = {"split": {"use": "fixed", "until": "2018-02-28"}}


def doomed(folder: Path, *parts: dict[str, Any]) -> dict[str, Any]:
    """One training that fails at once: what is told does not ask how it went."""
    section = dict(ONE)
    for part in parts:
        section |= part
    return a_run(folder, section, models=model(refuse_before=1000))


@pytest.mark.slow
def test_a_training_is_the_same_and_told_whoever_carries_it_out(tmp_path: Path) -> None:
    alone = trained(a_run(tmp_path / "alone"))
    with serving() as server:
        pool = {"executor": {"use": "pool", "workers": 2}}
        told = trained(a_run(tmp_path / "told", sinks(server.uri) | pool))
        assert (told.told[0].runs, told.told[0].missing) == (3, 0)
        assert kept(told) == kept(alone)
        for task in told.tasks:
            there = server.run(task.run)
            assert there["status"] == "FINISHED"
            assert there["tags"]["samewire.outcome.artefact"] == task.artefact
            assert len([each for each in there["metrics"] if each[0] == "loss"]) == 3
        last = server.run(told.tasks[-1].run)
        assert "test_rank_ic" in [each[0] for each in last["metrics"]]
        assert "long_short_sharpe" in [each[0] for each in last["metrics"]], "what is known once all have ended"


def test_what_a_server_missed_is_pushed_once_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_EVERY_S", 0.02)
    with serving() as server:
        server.fails = 503
        file = tmp_path / "run.yaml"
        file.write_text(json.dumps(doomed(tmp_path, sinks(server.uri))))
        assert main(["train", str(file), "--quiet"]) == 1, "since a training failed, and for nothing else"
        shown = capsys.readouterr()
        assert shown.err.count("warning: mlflow") == 1
        assert "NOT TOLD  mlflow" in shown.out
        assert "1 of 1 runs are not there: it answers 503" in shown.out
        assert main(["runs", "push", str(file), "--format", "json"]) == 1
        assert json.loads(capsys.readouterr().out)["sinks"][0]["missing"] == 1
        server.fails = 0
        assert main(["runs", "push", str(file)]) == 0
        assert "walks: 1 sent now\n  told    mlflow" in capsys.readouterr().out
        assert sorted(run["status"] for run in server.runs.values()) == ["FAILED"]
        count = len(server.requests)
        assert main(["runs", "push", str(file)]) == 0
        assert "walks: 0 sent now" in capsys.readouterr().out
        assert len(server.requests) == count


@pytest.mark.slow
def test_an_update_is_told_with_its_decision(tmp_path: Path) -> None:
    from engine.clock import SystemClock
    from samewire.training import How
    from samewire.training_update import update

    with serving() as server:
        online = {"registry": str(tmp_path / "registry"), "judge": 30}
        updates = update(load_run(a_run(tmp_path, sinks(server.uri) | {"online": online})), How(clock=SystemClock()))
        assert (updates.told[0].runs, updates.told[0].missing) == (2, 0)
        said = [run["tags"].get("samewire.outcome.reason", "") for run in server.runs.values()]
        assert updates.decisions[0].reason in said


def test_a_secret_is_read_when_it_is_needed_and_stands_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_WORD", "opensesame")
    with serving() as server:
        file = tmp_path / "run.yaml"
        file.write_text(json.dumps(doomed(tmp_path, sinks(server.uri, token="${env:MLFLOW_WORD}"))))
        assert main(["train", str(file), "--quiet"]) == 1
        assert {headers["Authorization"] for _, _, headers in server.requests} == {"Bearer opensesame"}
        server_side = json.dumps([body for _, body, _ in server.requests])
    assert "opensesame" not in server_side
    assert "opensesame" not in capsys.readouterr().out
    for path in (tmp_path / "store").rglob("*"):
        assert not path.is_file() or b"opensesame" not in path.read_bytes()
    monkeypatch.delenv("MLFLOW_WORD")
    assert main(["check", str(file)]) == 0
    capsys.readouterr()
    assert main(["train", str(file), "--quiet"]) == 2
    assert "the environment has no MLFLOW_WORD" in capsys.readouterr().err


def test_the_section_is_checked_written_back_and_known_to_editors(tmp_path: Path) -> None:
    run = a_run(tmp_path, sinks("https://mlflow.example", user="ann", password="${env:MLFLOW_WORD}"))
    jsonschema.validate(run, json_schema())
    loaded = load_run(run)
    (tmp_path / "again.yaml").write_text(dump_run(loaded))
    assert load_run(tmp_path / "again.yaml") == loaded
    assert resolved(loaded)["training"]["sinks"][0]["password"] == "${env:MLFLOW_WORD}"
    for wrong, place in (
        (sinks("http://mlflow.example"), r"training\.sinks\[0\]\.uri"),
        (sinks("https://h", user="ann"), r"user and password must be given together"),
        (sinks("https://h", token="opensesame"), "a secret is written out"),
        ({"sinks": [{"use": "mlflow"}]}, r"training\.sinks\[0\]\.uri"),
        ({"sinks": {"use": "mlflow"}}, "a list such as"),
    ):
        with pytest.raises(RunFileErrors, match=place):
            load_run(a_run(tmp_path, wrong))


def test_one_place_twice_and_none_at_all_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    twice = sinks("https://h")["sinks"] * 2
    file.write_text(json.dumps(a_run(tmp_path, {"sinks": twice})))
    assert main(["train", str(file), "--quiet"]) == 2
    assert "names one place twice" in capsys.readouterr().err
    file.write_text(json.dumps(a_run(tmp_path)))
    assert main(["runs", "push", str(file)]) == 2
    assert "training.sinks names no place to tell" in capsys.readouterr().err


@pytest.mark.slow
def test_places_are_no_part_of_what_a_run_is_found_by(tmp_path: Path) -> None:
    first = trained(a_run(tmp_path, ONE))
    with serving() as server:
        again = trained(a_run(tmp_path, ONE | sinks(server.uri)))
        assert [task.reused for task in again.tasks] == [True]
        assert [task.run for task in again.tasks] == [task.run for task in first.tasks]
        assert len(server.runs) == 1, "what was recorded before is told too"
