"""`training.agent.teacher`: read strictly, told in the run records, and nowhere in what comes out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load

from adapters.tracking.store import RunStore
from components.models.artefact import read_artefact
from components.rl.trainer_options import Teacher, TrainedTeacher
from samewire.agent_training import plan_text, planned_agents
from samewire.schema import load_run, resolved
from tests.samewire.test_agent_training import a_run, problems, trained

HINDSIGHT = {"use": "hindsight", "temperature": 0.5}


def test_it_is_read_with_its_defaults_and_none_is_none(tmp_path: Path) -> None:
    run = load_run(a_run(tmp_path, {"teacher": HINDSIGHT}))
    said = resolved(run)["training"]["agent"]["teacher"]
    assert said == {"use": "hindsight", "weight": 0.5, "temperature": 0.5, "fades": 0.5, "states_max": 128}
    assert run.training is not None
    assert run.training.agent is not None
    teacher = run.training.agent.course(0).teacher
    assert teacher is not None
    assert (teacher.temperature, teacher.weight) == (0.5, 0.5)
    alone = load_run(a_run(tmp_path))
    assert resolved(alone)["training"]["agent"]["teacher"] == {"use": "none"}
    assert alone.training is not None
    assert alone.training.agent is not None
    assert alone.training.agent.course(0).teacher is None


def test_a_trained_one_is_read_with_its_defaults_which_are_the_published_ones(tmp_path: Path) -> None:
    run = load_run(a_run(tmp_path, {"teacher": "trained"}))
    said = resolved(run)["training"]["agent"]["teacher"]
    assert said == {"use": "trained", "weight": 0.01, "fades": 0.0, "steps": 600_000, "hidden": [64, 64]}
    assert run.training is not None
    assert run.training.agent is not None
    assert run.training.agent.course(0).teacher == TrainedTeacher()


def test_the_section_that_the_page_shows_is_a_good_one(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reinforcement-teacher.md").read_text()
    (section,) = re.findall(r"^```yaml\n(training:\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    rest = {key: value for key, value in a_run(tmp_path).items() if key != "training"}
    path = tmp_path / "run.yaml"
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in rest.items()) + section)
    agent = load_run(path).training
    assert agent is not None
    assert agent.agent is not None
    assert agent.agent.course(0).teacher == Teacher(weight=0.5, temperature=5.0, fades=0.5)


@pytest.mark.parametrize(
    ("agent", "path", "expected"),
    [
        ({"algorithm": "dqn"}, "algorithm", "ppo, or teacher: none"),
        ({"action": "twap_relative"}, "action", "categorical, or teacher: none"),
        ({"reward": "end_ratio"}, "reward", "pa_penalty, or teacher: none"),
    ],
)
def test_what_it_cannot_teach_is_refused_by_key(
    tmp_path: Path, agent: dict[str, Any], path: str, expected: str
) -> None:
    (found,) = problems(a_run(tmp_path, agent | {"teacher": HINDSIGHT}))
    assert found[1:] == (f"training.agent.{path}", expected)
    of_trained = a_run(tmp_path, agent | {"teacher": TRAINED})
    if path == "reward":  # any will do: it learned from them
        assert load_run(of_trained).training is not None
    else:
        assert problems(of_trained) == [found]


@pytest.mark.parametrize(
    ("key", "value"), [("weight", 0), ("fades", 2), ("temperature", -1), ("states_max", 1), ("x", 1)]
)
def test_options_out_of_range_are_refused(tmp_path: Path, key: str, value: float) -> None:
    (found,) = problems(a_run(tmp_path, {"teacher": {"use": "hindsight", key: value}}))
    assert f"teacher.{key}" in found[1]


def test_its_figures_are_in_the_run_and_nothing_of_it_in_the_artefact(tmp_path: Path) -> None:
    alone, taught = (trained(a_run(tmp_path / name, agent)).agents[0] for name, agent in RUNS.items())
    assert (alone.status, taught.status) == ("end", "end"), taught.error
    store = RunStore(tmp_path / "taught" / "store")
    assert {"teacher_weight", "teacher_kl", "teacher_agreement"} <= store.metric_names(taught.run).keys()
    store.close()
    ours, theirs = (read_artefact(Path(each.place)).files for each in (taught, alone))
    assert ours.keys() == theirs.keys()
    for name in ("weights.safetensors", "check.safetensors"):
        shapes = [{key: each.shape for key, each in load(files[name]).items()} for files in (ours, theirs)]
        assert shapes[0] == shapes[1]


def test_a_trained_one_is_recorded_beside_its_student_and_stays_out_of_the_artefact(tmp_path: Path) -> None:
    result = trained(a_run(tmp_path, {"teacher": TRAINED})).agents[0]
    assert result.status == "end", result.error
    store = RunStore(tmp_path / "store")
    names = store.metric_names(result.run).keys()
    assert {"teacher/val/reward", "teacher/steps", "steps", "teacher_kl"} <= names
    store.close()
    weights = load(read_artefact(Path(result.place)).files["weights.safetensors"])
    alone = trained(a_run(tmp_path / "alone")).agents[0]
    theirs = load(read_artefact(Path(alone.place)).files["weights.safetensors"])
    assert {name: each.shape for name, each in weights.items()} == {n: each.shape for n, each in theirs.items()}
    assert not list((tmp_path / "store" / "work").glob("*/teacher"))


def test_the_plan_tells_the_budget_of_a_trained_teacher_in_whole_collections(tmp_path: Path) -> None:
    def planned(agent: dict[str, Any]) -> str:
        run = load_run(a_run(tmp_path, agent))
        return plan_text(run, *planned_agents(run, None))

    rounded = planned({"teacher": TRAINED | {"steps": 1_100}})
    assert re.search(r"^  before that  1,024 of its teacher in 2 collections$", rounded, re.MULTILINE)
    assert "teacher" not in planned({})


TRAINED = {"use": "trained", "steps": 512, "hidden": [8]}
RUNS: dict[str, dict[str, Any]] = {"alone": {}, "taught": {"teacher": HINDSIGHT}}
