"""What `samewire train` looks for before it trains, and how it says what it found."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.tracking.store import RunStore
from components.training.splitters import PurgedKFold
from engine.clock import SystemClock
from engine.errors import ConfigError
from samewire import training_plan
from samewire.cli import main
from samewire.commands.train import as_text
from samewire.schema import load_run
from samewire.training import How, train
from samewire.training_results import Results
from tests.samewire.test_training import a_run, model, trained

BLOCKS = {"use": "tests.samewire.learners:Blocks"}


def behind(honest: bool, **options: Any) -> dict[str, Any]:
    return {
        "feed": BLOCKS,
        "features": [{"name": "behind", "use": "tests.samewire.learners:Behind", "honest": honest}],
        "models": [model()[0] | {"features": "behind"} | options],
    }


def permuted(run: dict[str, Any], count: int) -> Results:
    return train(load_run(run), How(clock=SystemClock(), permutations=count))


def test_an_honest_training_is_told_to_be_one_and_what_was_looked_at(tmp_path: Path) -> None:
    results = trained(a_run(tmp_path, {"horizons": [1, 3], "seeds": 2}))
    assert results.ok
    left = "permuted labels and predictions over another future (--permutations 20)"
    sentence = f"no leak found in 3 folds, 1 other future; not looked at: {left}"
    assert f"\n  leaks   {sentence}\n" in as_text(results)
    said = json.loads((results.folder / "results.json").read_text())
    assert said["leaks"] == {"looked": True, "found": [], "not_looked_at": [left], "sentence": sentence}
    assert "no leak found in 3 folds" in (results.folder / "pages" / "linear-h1-s3.html").read_text()
    with closing(RunStore(results.store)) as store:
        assert [row.facts["leaks"] for row in store.runs()] == [said["leaks"]] * 12


def test_features_that_know_later_slices_are_named_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text(json.dumps(a_run(tmp_path, **behind(honest=False))))
    assert main(["train", str(tmp_path / "run.yaml"), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "linear: " not in said
    assert "walks: 3 trained\n  LEAK   1 leak found in 3 folds, 1 other future: look ahead: block looks up to" in said
    assert main(["train", str(tmp_path / "run.yaml"), "--quiet", "--format", "json"]) == 1
    words = json.loads(capsys.readouterr().out)
    assert words["ok"] is False
    assert [(leak["kind"], leak["where"]) for leak in words["leaks"]["found"]] == [("look_ahead", "block")]


def test_the_same_features_without_a_look_behind_the_slice_pass(tmp_path: Path) -> None:
    assert trained(a_run(tmp_path, **behind(honest=True))).ok


def test_not_to_look_is_possible_and_said_loudly(tmp_path: Path) -> None:
    results = trained(a_run(tmp_path, {"leaks": "off"}, **behind(honest=False)))
    assert results.ok
    assert results.verdict is None
    assert "\n  leaks   NOT LOOKED FOR: training.leaks is off\n" in as_text(results)
    said = json.loads((results.folder / "results.json").read_text())
    assert said["leaks"] == {
        "looked": False,
        "found": [],
        "not_looked_at": [],
        "sentence": "NOT LOOKED FOR: training.leaks is off",
    }


def test_another_feature_set_is_walked_for_itself(tmp_path: Path) -> None:
    parts = behind(honest=False)
    parts["features"].append({"name": "rolling", "use": "rolling", "windows": [3]})
    parts["models"].append(model()[0] | {"name": "other"})
    results = trained(a_run(tmp_path, **parts))
    assert results.verdict is not None
    assert [leak.where for leak in results.verdict.found] == ["block"]


def test_labels_are_permuted_where_that_is_asked_for(tmp_path: Path) -> None:
    split = {"split": {"use": "walk_forward", "every": 40, "window": 40}}
    results = trained(a_run(tmp_path, split | {"leaks": {"permutations": 5}}))
    assert results.verdict is not None
    assert results.verdict.sentence.endswith("1 other future, 5 permutations of labels")
    assert len(results.verdict.t) == 5
    assert results.verdict.left_out == ()
    again = permuted(a_run(tmp_path, split), 2)
    assert again.verdict is not None
    assert len(again.verdict.t) == 2
    assert all(task.reused for task in again.tasks)
    with pytest.raises(ConfigError, match="--permutations must lie between 0 and 1000, got -1"):
        permuted(a_run(tmp_path, split), -1)


@pytest.mark.parametrize("count", [0, 2])
def test_features_that_fail_over_another_future_are_told_and_keep_nothing_from_being_trained(
    count: int, tmp_path: Path
) -> None:
    wary = [{"name": "wary", "use": "tests.samewire.learners:Wary"}]
    run = a_run(tmp_path, {"leaks": {"permutations": count}}, features=wary)
    run["models"] = [model()[0] | {"features": "wary"}]
    results = trained(run)
    assert results.ok
    assert results.verdict is not None
    assert results.verdict.looked_at == ("3 folds", "2 permutations of labels")[: 1 + bool(count)]
    told = "; not looked at: another future, over which the features fail (ValueError:"
    assert told in results.verdict.sentence


def test_one_model_that_cannot_be_trained_keeps_no_other_from_being_looked_at(tmp_path: Path) -> None:
    """It refuses the short history before the cut, and all of it on permuted labels: the others are looked at."""
    split = {"split": {"use": "walk_forward", "every": 40, "window": 40}}
    refuses = model(refuse_before=1000)[0] | {"name": "refuses"}
    for models in ([refuses, *model()], [*model(), refuses]):
        results = permuted(a_run(tmp_path, split, models=models), 3)
        assert results.verdict is not None
        assert results.verdict.found == ()
        assert results.verdict.looked_at == ("2 folds", "1 other future", "3 permutations of labels")
        assert len(results.verdict.t) == 3
        (left,) = results.verdict.left_out
        assert left.startswith("refuses (ValueError: ")
        assert left.endswith(" slices are too few for me)")
        assert {task.status for task in results.tasks if task.model == "linear"} == {"end"}


def test_a_plan_is_audited_by_how_far_features_and_model_look_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rolling windows of 3 look at 4 bars. A splitter that leaves out less than the plan says is found."""
    run = a_run(tmp_path, {"split": {"use": "purged", "folds": 3}})
    assert trained(run).ok
    monkeypatch.setattr(training_plan, "splitter_of", lambda split, asked: PurgedKFold(folds=split.folds, lookback=0))
    results = trained(run)
    assert results.verdict is not None
    assert {leak.kind for leak in results.verdict.found} == {"embargo"}
    assert "leave an embargo of 4 slices behind each test" in results.verdict.sentence


def test_an_embargo_that_the_run_file_lowers_is_no_leak_and_is_said(tmp_path: Path) -> None:
    for embargo, lowered in ((3, True), (4, False), (9, False)):
        split = {"use": "purged", "folds": 3, "embargo": embargo}
        results = trained(a_run(tmp_path, {"split": split}))
        assert results.ok
        assert results.verdict is not None
        said = (
            "not looked at: what looks back at a test (training.split.embargo is 3, and features and model look back 4"
        )
        assert (said in results.verdict.sentence) is lowered


def backfills(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "m", "use": "tests.samewire.learners:Backfills", "features": "rolling", **more}]


@pytest.mark.parametrize("executor", ["serial", "pool"])
def test_one_answer_that_knows_the_next_slice_refuses_its_column_and_stands_in_the_verdict(
    executor: str, tmp_path: Path
) -> None:
    """It does so at a single slice of all that are predicted, in the second of three windows."""
    run = a_run(tmp_path, {"executor": executor}, models=[*model(), *backfills(nth=9)])
    results = trained(run)
    assert not results.ok
    assert results.verdict is not None
    (leak,) = results.verdict.found
    assert (leak.kind, leak.where) == ("prediction", "m")
    assert "m, that learned until 2018-03-02: Backfills.predict answers" in leak.sentence
    assert "look at no slice behind the one that is answered" in leak.sentence
    assert [column.column for column in results.columns] == ["linear"]
    told = {task.fold: task.error for task in results.tasks if task.column == "m"}
    assert "look at no slice" in told[1]
    assert told[0] == told[2] == "the training until 2018-03-02 sees later slices, so no part of the column counts"
    text = as_text(results)
    assert "walks: 3 trained, 3 failed\n  LEAK   1 leak found in 3 folds" in text
    again = trained(run)
    assert again.verdict == results.verdict
    assert "walks: 0 trained, 3 done before, 3 failed" in as_text(again)
    with closing(RunStore(results.store)) as store:
        (row,) = [store.run(task.run) for task in results.tasks if task.column == "m" and task.fold == 1]
    assert (row.status, row.outcome["leak"]) == ("failed", "prediction")


def test_the_same_model_whose_holes_lie_elsewhere_passes(tmp_path: Path) -> None:
    assert trained(a_run(tmp_path, models=backfills(nth=45))).ok  # in the part that is learned from, and never asked
