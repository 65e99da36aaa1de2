"""Trainings on both sides of what they are tested on: purged k-fold and combinatorial purged cross-validation."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import samewire
from adapters.files.origin import origin_of
from components.metrics.signal import spearman
from components.models.linear import Linear
from components.training.by_fold import learned
from components.training.splitters import Combinatorial, PurgedKFold, recombined
from engine.errors import ConfigError, DataError
from engine.learning import Fold, Splitter
from engine.protocols import Dataset
from engine.universe import universe_of
from samewire.cli import main
from samewire.commands.train import as_text
from samewire.hindsight import hindsight
from samewire.schema import RunFileErrors, load_run
from samewire.training import planned_only
from samewire.training_results import Results
from tests.samewire.test_training import a_run, model, trained
from tests.samewire.test_training_leaks import behind
from tests.samewire.test_training_update import updated

SYMBOLS, SLICES, WARM = 5, 100, 1
WALK = {"use": "tests.samewire.own:Walk", "symbols": SYMBOLS, "slices": 120}


def by_hand(run: dict[str, Any], splitter: Splitter) -> tuple[Any, Any, pd.DatetimeIndex]:
    """The scores (P, T, N) of each path, made with the splitter and the model alone; the labels, and when."""
    plan, _ = planned_only(load_run(run))
    (panel,) = plan.panels.values()
    labels = panel.labels[1]
    data = Dataset(
        names=panel.names,
        schema=panel.schema,
        symbols=panel.symbols,
        ts=panel.ts,
        features=panel.features,
        label=labels.value,
        label_from=labels.since,
        label_to=labels.until,
        horizon_ns=panel.interval_ns,
    )
    folds = list(splitter.folds(data.ts, data.label_from, data.label_to))
    known = data.label_to <= data.ts[-1]
    taught = [Fold(train=fold.train & known, test=fold.test) for fold in folds]
    made = partial(Linear, universe=universe_of(panel.symbols), name="linear")
    scores = recombined(folds, [learned(made, data, fold) for fold in taught])
    return scores, data.label, pd.to_datetime(data.ts, utc=True)


def folds(folder: Path, split: dict[str, Any], **more: Any) -> dict[str, Any]:
    run = a_run(folder, {"split": split} | more)
    run["models"] = [{"name": "linear", "use": "linear", "features": "rolling"}]
    return run


def wide(results: Results, column: str, when: pd.DatetimeIndex) -> Any:
    """(T, N) the scores of a column of the table that came out."""
    found = table(results).pivot_table(index="ts", columns="symbol", values=column, observed=True)
    return found.reindex(when).to_numpy()


def table(results: Results) -> pd.DataFrame:
    return pq.read_table(results.folder / "scores.parquet").to_pandas()


def test_purged_k_fold_predicts_each_slice_once_by_what_its_label_does_not_touch(tmp_path: Path) -> None:
    run = folds(tmp_path, {"use": "purged", "folds": 4, "embargo": 2})
    results = trained(run)
    assert results.ok
    assert results.verdict is not None
    assert results.verdict.sentence.startswith("no leak found in 4 folds, 1 other future")
    assert [(task.train, task.test) for task in results.tasks][0][1] == ("2018-01-02", "2018-01-26")
    found = table(results)
    assert list(found.columns) == ["ts", "symbol", "linear"]
    assert len(found) == (SLICES - WARM) * SYMBOLS
    paths, label, when = by_hand(run, PurgedKFold(folds=4, lookback=0, embargo=2))
    mine = wide(results, "linear", when)
    np.testing.assert_array_equal(mine, paths[0])
    (column,) = results.columns
    assert column.rank_ic == pytest.approx(np.nanmean(spearman(mine, label)))
    assert (column.slices, column.uncovered, column.tasks) == (98 - WARM, WARM, 4)


def test_what_is_learned_from_lies_on_both_sides_and_nothing_touches_the_test(tmp_path: Path) -> None:
    plan, _ = planned_only(load_run(folds(tmp_path, {"use": "purged", "folds": 4, "embargo": 6})))
    (panel,) = plan.panels.values()
    until = panel.labels[1].until
    for planned in plan.tasks:
        task = planned.task
        (block,) = task.blocks
        out = np.zeros(SLICES, bool)
        for span in task.left_out:
            out |= (panel.ts >= span.since) & (panel.ts < span.until)
        learns = ~out & (panel.ts >= task.train.since) & (panel.ts < task.train.until) & (until <= task.train.until)
        tests = (panel.ts >= block.span.since) & (panel.ts < block.span.until)
        assert not (learns & tests).any()
        low, high = np.flatnonzero(tests)[[0, -1]]
        assert (until[:low][learns[:low]] < panel.ts[low]).all()
        behind = np.flatnonzero(learns[high + 1 :])
        assert not len(behind) or behind[0] == 1 + 6  # its label ends with the bar of the second
        assert learns.sum() > 60


def test_without_an_embargo_named_it_is_as_long_as_the_features_and_the_model_look_back(tmp_path: Path) -> None:
    def gap(**split: Any) -> int:
        plan, _ = planned_only(load_run(folds(tmp_path, {"use": "purged", "folds": 2} | split)))
        (panel,) = plan.panels.values()
        first = plan.tasks[0].task
        return int(np.searchsorted(panel.ts, first.train.since))

    assert gap() == gap(embargo=4)  # rolling windows of 3 look at 4 bars
    assert gap() - gap(embargo=1) == 3
    assert gap(embargo=0) == gap(embargo=1)  # the slice in which the last tested label ended is purged anyway


def test_cpcv_makes_whole_paths_and_a_page_of_each_that_says_which(tmp_path: Path) -> None:
    run = folds(tmp_path, {"use": "cpcv", "groups": 4, "tested": 2, "embargo": 1})
    results = trained(run)
    assert results.ok
    assert len(results.tasks) == 6
    assert [column.column for column in results.columns] == ["linear-p0", "linear-p1", "linear-p2"]
    found = table(results)
    assert list(found.columns) == ["ts", "symbol", "linear-p0", "linear-p1", "linear-p2"]
    assert found.notna().all().all()
    assert len(found) == (SLICES - WARM) * SYMBOLS
    paths, label, when = by_hand(run, Combinatorial(groups=4, tested=2, lookback=0, embargo=1))
    for k, column in enumerate(results.columns):
        mine = wide(results, column.column, when)
        np.testing.assert_array_equal(mine, paths[k])
        assert column.rank_ic == pytest.approx(np.nanmean(spearman(mine, label)))
        assert (column.slices, column.uncovered, column.failed) == (98 - WARM, WARM, 0)
        page = (results.folder / "pages" / f"{column.column}.html").read_text()
        assert "cpcv: 2 of 4 blocks at a time, predicted from all others, later ones too" in page
        assert f"linear-p{k}" in page
    assert results.trials == 1  # paths are no trials
    text = as_text(results)
    assert "  split   cpcv: 2 of 4 blocks at a time" in text
    assert "2018-01-02 to 2018-01-26, 2018-02-21 to 2018-03-17" in text
    said = json.loads((results.folder / "results.json").read_text())
    assert said["split"].startswith("cpcv")
    assert trained(run).columns == results.columns


def test_a_failed_training_leaves_gaps_on_the_paths_that_it_belongs_to(tmp_path: Path) -> None:
    run = folds(tmp_path, {"use": "purged", "folds": 4, "embargo": 0})
    run["models"] = model(refuse_before=73)  # all but the last lose a slice on either side
    results = trained(run)
    assert [task.status for task in results.tasks] == ["failed", "failed", "failed", "end"]
    (column,) = results.columns
    assert (column.failed, column.uncovered) == (3, 75)


@pytest.mark.parametrize("split", [{"use": "purged", "folds": 3}, {"use": "cpcv", "groups": 3, "tested": 1}])
def test_a_model_that_remembers_slices_learns_from_windows_that_were_there(
    split: dict[str, Any], tmp_path: Path
) -> None:
    run = a_run(tmp_path, {"split": split, "leaks": {"permutations": 1}})
    net = {
        "use": "network",
        "net": {"use": "gru", "hidden": 4, "layers": 1},
        "steps": 3,
        "epochs": 2,
        "valid_share": 0.1,
    }
    run["models"] = [{"name": "net", "features": "rolling", **net}]
    results = trained(run)
    assert [task.status for task in results.tasks] == ["end"] * 3, [task.error for task in results.tasks]
    assert results.columns[0].slices > 90


@pytest.mark.parametrize("weigh", ["equal", "ic"])
def test_a_blend_of_networks_stops_by_slices_that_have_labels(weigh: str, tmp_path: Path) -> None:
    """The middle block is a gap that is longer than what is held out of what lies behind it."""
    run = a_run(tmp_path, {"split": {"use": "purged", "folds": 3, "embargo": 10}}, feed=WALK)
    net = {"use": "network", "net": {"use": "mlp", "hidden": [4]}, "steps": 3, "epochs": 1, "valid_share": 0.2}
    blend = {"use": "blend", "models": [net, net | {"steps": 2}], "weigh": weigh, "folds": 2}
    run["models"] = [{"name": "both", "features": "rolling", **blend}]
    results = trained(run)
    assert [task.error for task in results.tasks] == [""] * 3
    assert results.columns[0].slices > 110


def test_the_plan_says_what_each_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(json.dumps(folds(tmp_path, {"use": "cpcv", "groups": 4, "tested": 2})))
    assert main(["train", str(tmp_path / "run.yaml"), "--plan"]) == 0
    said = capsys.readouterr().out
    assert "6 trainings planned" in said
    assert "all but what touches it   2018-01-02 to 2018-01-26, 2018-02-21 to 2018-03-17          1" in said


def test_what_cannot_be_split_so_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"purged_k_fold: fold 0.* has no slice left to learn from.*embargo"):
        planned_only(load_run(folds(tmp_path, {"use": "purged", "folds": 2, "embargo": 90})))
    with pytest.raises(RunFileErrors, match="at most 2: fewer than groups"):
        load_run(folds(tmp_path, {"use": "cpcv", "groups": 3, "tested": 3}))
    with pytest.raises(RunFileErrors, match="folds"):
        load_run(folds(tmp_path, {"use": "purged", "folds": 1}))
    online = {"online": {"registry": str(tmp_path / "registry")}}
    with pytest.raises(ConfigError, match="purged learns from what came after a test too.*use walk_forward"):
        updated(folds(tmp_path, {"use": "purged"}, **online))


@pytest.mark.parametrize("split", [{"use": "purged", "folds": 2}, {"use": "cpcv", "groups": 3, "tested": 2}])
def test_scores_in_hindsight_are_called_so_wherever_they_are_replayed(
    split: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = trained(folds(tmp_path, split | {"embargo": 0}))
    column = results.columns[0].column
    replay = folds(tmp_path, {"use": "walk_forward"})
    del replay["training"]
    table = results.folder / "scores.parquet"
    replay["models"] = [{"name": "again", "use": "scores", "table": str(table), "column": column}]
    (warning,) = hindsight(load_run(replay))
    assert warning.path == "models.again.table"
    assert f"scores.parquet holds scores in hindsight ({results.split}): their models learned until 2018-0" in str(
        warning
    )
    (tmp_path / "run.yaml").write_text(json.dumps(replay))
    assert main(["check", str(tmp_path / "run.yaml")]) == 0
    assert "holds scores in hindsight" in capsys.readouterr().out
    assert any(str(warning) in said for said in samewire.run(replay, out=tmp_path / "out").warnings)
    assert "holds scores in hindsight" in (tmp_path / "out" / "report.html").read_text()
    assert main(["lookahead", str(tmp_path / "run.yaml"), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "not proven" in said
    assert "note: models.again.table: scores.parquet holds scores in hindsight" in said


def test_scores_of_a_walk_through_time_are_not_warned_of_and_those_of_a_leak_are(tmp_path: Path) -> None:
    def warned(**training: Any) -> list[str]:
        run = folds(tmp_path, {"use": "walk_forward", "every": 20, "window": 40}, **training)
        if training:
            run |= behind(honest=False)
        results = trained(run)
        table = str(results.folder / "scores.parquet")
        del run["training"]
        return [str(each) for each in hindsight(load_run(run | {"models": [scores | {"table": table}]}))]

    scores = {"name": "again", "use": "scores", "column": "linear"}
    assert warned() == []
    (leaked,) = warned(seeds=1)
    assert "the training that left scores.parquet was found to leak (1 leak found in" in leaked
    (unlooked,) = warned(leaks="off")
    assert "was not looked at for leaks; train it without leaks: off" in unlooked


def test_a_table_without_an_origin_says_nothing(tmp_path: Path) -> None:
    for name, content in (("mine.csv", b"ts,symbol,score"), ("torn.parquet", b"PAR1"), ("absent.parquet", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert origin_of(tmp_path / name) is None
    pq.write_table(pa.table({"score": [1.0]}), tmp_path / "plain.parquet")
    assert origin_of(tmp_path / "plain.parquet") is None
