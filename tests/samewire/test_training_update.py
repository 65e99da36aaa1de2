"""Models kept up to date: what is trained, what judges it, when it takes over, and what no accident may change."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import samewire
from adapters.registry.folder import FolderRegistry
from adapters.tracking.store import RunStore
from components.features.rolling import Rolling
from components.models.artefact import artefact_of, read_artefact
from components.training.panel import walk
from engine.clock import SystemClock
from engine.errors import ConfigError, DataError, StateError
from samewire.artefacts import registry_at
from samewire.cli import main
from samewire.schema import load_run
from samewire.training import How
from samewire.training_update import Decision, Updates, update
from tests.adapters.registry.made import killed_at
from tests.adapters.scaleout.test_pool import wait_for
from tests.samewire.own import Walk
from tests.samewire.test_training import ROOT, a_run, command, model, trained
from tests.samewire.test_training_leaks import behind

EARLY, LATER = "2018-04-11", "2018-05-01"  # twenty slices lie between
FEED = {"use": "tests.samewire.own:Walk", "symbols": 5, "slices": 140}


def kept_up(folder: Path, until: str = EARLY, *, training: dict[str, Any] | None = None, **rule: Any) -> dict[str, Any]:
    """A run file with a registry; any candidate takes over unless the rule says otherwise."""
    online = {"registry": str(folder / "registry"), "judge": 20, "least": 10, "margin": -1} | rule
    return a_run(folder, {"until": until, "online": online} | (training or {}), feed=FEED)


def updates_of(run: dict[str, Any], **more: Any) -> Updates:
    return update(load_run(run), How(clock=SystemClock()), **more)


def updated(run: dict[str, Any], **more: Any) -> Decision:
    (decision,) = updates_of(run, **more).decisions
    return decision


def opposed(run: dict[str, Any]) -> dict[str, Any]:
    """The same with weights of the other sign: what was ranked first comes last."""
    return run | {"session": run["session"] | {"seed": 4}}


def the_registry(folder: Path) -> FolderRegistry:
    return registry_at(folder / "registry")


def serving(folder: Path) -> str:
    return the_registry(folder).resolve("linear", "production").hash


def stages(folder: Path) -> list[tuple[str, str]]:
    return [(entry.stage, entry.artefact) for entry in the_registry(folder).history("linear")]


def records(folder: Path) -> list[tuple[str, str, dict[str, Any]]]:
    with closing(RunStore(folder / "store")) as store:
        return [(row.facts["column"], row.status, row.outcome) for row in store.runs()]


# ---- the rule --------------------------------------------------------------------------------------------------------


def test_the_first_one_takes_over_by_its_own_figure_and_the_history_says_why(tmp_path: Path) -> None:
    found = updated(kept_up(tmp_path), actor="nightly")
    assert (found.outcome, found.serving, found.slices) == ("promoted", "", 20)
    assert found.judged == ("2018-03-21", "2018-04-09")  # the last two have no outcome yet
    entry = the_registry(tmp_path).history("linear")[-1]
    assert (entry.artefact, entry.stage, entry.actor) == (found.candidate, "production", "nightly")
    assert f"nothing is at production yet; rank IC {found.figure:.4f} over 20 slices (2018-03-21" in entry.reason
    assert entry.reason.endswith("above margin -1")


def test_a_first_one_that_is_not_good_enough_is_a_candidate_and_serves_nowhere(tmp_path: Path) -> None:
    found = updated(kept_up(tmp_path, margin=1))
    assert (found.outcome, found.serving) == ("kept", "")
    assert stages(tmp_path) == [("candidate", found.candidate)]
    with pytest.raises(StateError, match="at stage production"):
        serving(tmp_path)


def test_it_learns_from_what_was_known_before_the_slices_that_judge_it(tmp_path: Path) -> None:
    found = updated(kept_up(tmp_path))
    with closing(RunStore(tmp_path / "store")) as store:
        facts = store.run(found.run).facts
    assert (facts["train"], facts["test"]) == (["2018-01-02", "2018-03-20"], ["2018-03-21", "2018-04-09"])
    assert facts["leaks"]["sentence"].startswith(
        "no leak found in 1 fold, 1 other future; not looked at: permuted labels and"
    )


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"margin": -1}, "promoted"),
        ({"margin": 1}, "kept"),
        ({"margin": 0}, "kept"),  # it is the opposite of one that is good
        ({"margin": -1, "least_t": -1000}, "promoted"),
        ({"margin": -1, "least_t": 1000}, "kept"),
        ({"margin": -1, "metric": "ic"}, "promoted"),
        ({"margin": -1, "metric": "long_short"}, "promoted"),
    ],
)
def test_the_next_one_takes_over_where_it_is_better_by_the_rule(
    rule: dict[str, Any], outcome: str, tmp_path: Path
) -> None:
    first = updated(kept_up(tmp_path))
    found = updated(opposed(kept_up(tmp_path, LATER, **rule)))
    assert found.difference is not None
    assert found.t is not None
    assert found.error is not None
    assert found.t == pytest.approx(found.difference / found.error)
    assert (found.outcome, found.serving) == (outcome, first.candidate)
    assert found.candidate != first.candidate
    assert serving(tmp_path) == (found.candidate if outcome == "promoted" else first.candidate)
    assert ("candidate", found.candidate) in stages(tmp_path)


def test_one_that_is_better_takes_over_by_the_rule_that_is_there_when_none_is_written(tmp_path: Path) -> None:
    first = updated(opposed(kept_up(tmp_path)))
    found = updated(kept_up(tmp_path, LATER, margin=0))
    assert (found.outcome, found.serving) == ("promoted", first.candidate)
    assert found.difference is not None
    assert found.difference > 0


def test_the_difference_is_that_of_the_rank_ics_of_the_same_slices(tmp_path: Path) -> None:
    """Counted again from what the two say, with pandas."""
    first = updated(kept_up(tmp_path))
    found = updated(opposed(kept_up(tmp_path, LATER)))
    with closing(RunStore(tmp_path / "store")) as store:
        kept = next(file for file in store.run(found.run).files if file.name == "predictions.parquet")
        place = tmp_path / "predictions.parquet"
        place.write_bytes(store.read(kept))
    mine = pq.read_table(place).to_pandas().pivot_table(index="ts", columns="symbol", values="score", observed=True)
    live = a_run(tmp_path, feed=FEED, models=model(artefact=str(tmp_path / "store" / "artefacts" / first.candidate)))
    del live["training"]
    said = samewire.run(live).table("signals").to_pandas()
    theirs = said.pivot_table(index="ts", columns="symbol", values="value", observed=True).loc[mine.index]
    feed = Walk(symbols=5, slices=140)
    data = walk(feed.events(), Rolling(universe=feed.universe, windows=(3,)), 1, 2**62)
    label = pd.DataFrame(data.label, index=pd.to_datetime(data.ts, utc=True), columns=mine.columns).loc[mine.index]
    gap = [
        mine.loc[t].corr(label.loc[t], method="spearman") - theirs.loc[t].corr(label.loc[t], method="spearman")
        for t in mine.index
    ]
    assert len(gap) == found.slices == 20
    assert found.difference == pytest.approx(np.mean(gap), abs=1e-12)
    assert found.difference != 0
    assert found.figure is not None
    assert found.figure_serving is not None
    assert found.figure - found.figure_serving == pytest.approx(found.difference)


def test_what_serves_is_judged_by_no_slice_that_it_learned_from(tmp_path: Path) -> None:
    """Here it has learned from all but the last ten of the twenty."""
    split = {"split": {"use": "fixed", "until": "2018-04-21", "test_until": "2018-04-25"}}
    (task,) = trained(a_run(tmp_path, split, feed=FEED)).tasks
    registry = the_registry(tmp_path)
    registry.register("linear", read_artefact(tmp_path / "store" / "artefacts" / task.artefact))
    registry.promote("linear", task.artefact, "production", actor="ann", reason="by hand")
    few = updated(kept_up(tmp_path, LATER, least=11))
    assert (few.outcome, few.serving) == ("kept", task.artefact)
    assert few.reason.startswith(f"no comparison: {task.artefact[:12]} serves and has not learned from 8 slices of 20")
    enough = updated(kept_up(tmp_path, LATER, least=8))
    assert (enough.outcome, enough.slices, enough.judged) == ("promoted", 8, ("2018-04-22", "2018-04-29"))


def test_one_that_cannot_be_judged_stays_and_the_reason_is_told(tmp_path: Path) -> None:
    strange = artefact_of({"weights.json": b"[1.0, 2.0]"})
    registry = the_registry(tmp_path)
    registry.register("linear", strange)
    registry.promote("linear", strange.hash, "production", actor="ann", reason="by hand")
    found = updated(kept_up(tmp_path))
    assert (found.outcome, found.serving) == ("kept", strange.hash)
    assert found.reason.endswith(
        "serves and cannot be judged beside it: neither it nor the store says until when it learned"
    )
    assert serving(tmp_path) == strange.hash


def test_what_serves_while_a_leak_is_found_is_said_to_serve_still(tmp_path: Path) -> None:
    """It was promoted when nothing had been found; now the same name leaks, at its features and when it is asked."""
    honest = updated(kept_up(tmp_path, until=EARLY))
    assert honest.outcome == "promoted"
    leaking = kept_up(tmp_path, until=LATER) | behind(honest=False)
    asked = [model()[0] | {"use": "tests.samewire.learners:Backfills", "nth": 40}]
    backfills = kept_up(tmp_path, until=LATER) | {"models": asked}
    for run, outcome in ((leaking, "kept"), (backfills, "failed")):
        found = updates_of(run)
        (decision,) = found.decisions
        assert (decision.outcome, found.ok) == (outcome, False)
        assert f"{honest.candidate[:12]} still serves at production, promoted by samewire train" in decision.reason
        assert decision.now == honest.candidate


def test_a_leak_promotes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = kept_up(tmp_path) | behind(honest=False)
    run["training"]["until"] = "2018-04-01"
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    for _ in range(2):
        assert main(["train", str(tmp_path / "run.yaml"), "--update", "--quiet"]) == 1
        said = capsys.readouterr().out
        assert "  LEAK   1 leak found in 1 fold, 1 other future: look ahead: block" in said
        assert "a leak was found, so nothing is promoted" in said
    assert [stage for stage, _ in stages(tmp_path)] == ["candidate"]


# ---- what is newer, and what served as what --------------------------------------------------------------------------


def test_a_candidate_of_an_older_history_is_not_promoted_whatever_its_figures(tmp_path: Path) -> None:
    """The feed went stale: it ends six slices before the history that what serves came out of."""
    first = updated(opposed(kept_up(tmp_path, LATER)))
    found = updated(kept_up(tmp_path, "2018-04-25"))
    assert (found.outcome, found.serving) == ("kept", first.candidate)
    assert f"{first.candidate[:12]} serves and came out of history up to 2018-04-29, this one" in found.reason
    assert "history up to 2018-04-23, which is no newer; look at the feed" in found.reason
    assert serving(tmp_path) == first.candidate


def test_nor_is_one_of_the_very_same_history(tmp_path: Path) -> None:
    first = updated(kept_up(tmp_path))
    found = updated(opposed(kept_up(tmp_path)))
    assert found.candidate != first.candidate
    assert (found.outcome, serving(tmp_path)) == ("kept", first.candidate)
    assert "which is no newer" in found.reason


def ours(use: str, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "linear", "use": use, "features": "rolling", **options}]


TREES = {"num_boost_round": 5, "min_data_in_leaf": 5, "valid_share": 0}
KINDS = {
    "lightgbm": ours("lightgbm", **TREES),
    "linear": ours("linear", processors=["cs_rank", {"use": "clip", "low": -0.4, "high": 0.4}]),
    "double_ensemble": ours("double_ensemble", num_models=2, num_boost_round=5, min_data_in_leaf=5, valid_share=0),
    "network": ours("network", net={"use": "gru", "hidden": 4, "layers": 1}, steps=3, epochs=1, valid_share=0),
    "blend": ours("blend", models=[{"use": "lightgbm", **TREES}, {"use": "linear", "processors": ["cs_rank"]}]),
    "own": model(),
}


@pytest.mark.parametrize("before", KINDS)
def test_what_serves_answers_as_the_class_that_it_was_trained_with(before: str, tmp_path: Path) -> None:
    """Today's class or options are others: it is compared all the same, and no change of kind locks anybody out."""
    after = KINDS["lightgbm" if before == "own" else "own"]
    first = updated(kept_up(tmp_path) | {"models": KINDS[before]})
    assert first.outcome == "promoted"
    found = updated(kept_up(tmp_path, LATER) | {"models": after})
    assert (found.outcome, found.serving, found.slices) == ("promoted", first.candidate, 20), found.reason
    theirs = samewire.run(
        {
            **{k: v for k, v in a_run(tmp_path, feed=FEED).items() if k != "training"},
            "models": [KINDS[before][0] | {"artefact": str(tmp_path / "store" / "artefacts" / first.candidate)}],
        }
    )
    said = theirs.table("signals").to_pandas().pivot_table(index="ts", columns="symbol", values="value", observed=True)
    feed = Walk(symbols=5, slices=140)
    data = walk(feed.events(), Rolling(universe=feed.universe, windows=(3,)), 1, 2**62)
    label = pd.DataFrame(data.label, index=pd.to_datetime(data.ts, utc=True), columns=said.columns)
    judged = label.loc[found.judged[0] : found.judged[1]].index if found.judged else []
    figures = [said.loc[t].corr(label.loc[t], method="spearman") for t in judged]
    assert found.figure_serving == pytest.approx(np.mean(figures), abs=1e-12)


def test_a_network_of_other_options_is_judged_with_its_own(tmp_path: Path) -> None:
    first = updated(kept_up(tmp_path) | {"models": KINDS["network"]})
    wider = ours("network", net={"use": "mlp", "hidden": [4]}, steps=2, epochs=1, valid_share=0)
    found = updated(kept_up(tmp_path, LATER) | {"models": wider})
    assert (found.outcome, found.serving, found.slices) == ("promoted", first.candidate, 20)


def test_a_network_of_the_users_own_is_judged_as_the_run_that_left_it_says(tmp_path: Path) -> None:
    own = ours("network", net={"use": "tests.samewire.learners:Narrow", "hidden": 3}, steps=2, epochs=1, valid_share=0)
    first = updated(kept_up(tmp_path) | {"models": own})
    found = updated(kept_up(tmp_path, LATER) | {"models": KINDS["linear"]})
    assert (found.outcome, found.serving, found.slices) == ("promoted", first.candidate, 20), found.reason


def test_one_that_nobody_can_open_is_told_with_what_stands_against_it(tmp_path: Path) -> None:
    first = updated(kept_up(tmp_path) | {"models": KINDS["linear"]})
    broken = read_artefact(tmp_path / "store" / "artefacts" / first.candidate).files
    strange = artefact_of(broken | {"weights.safetensors": b"no weights"})
    the_registry(tmp_path).register("linear", strange)
    the_registry(tmp_path).promote("linear", strange.hash, "production", actor="ann", reason="by hand")
    found = updated(kept_up(tmp_path, LATER) | {"models": KINDS["linear"]})
    assert (found.outcome, found.serving) == ("kept", strange.hash)
    assert "serves and cannot be judged beside it: linear" in found.reason


# ---- what is reported ------------------------------------------------------------------------------------------------


def test_an_actor_without_a_name_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for actor in ("", "  "):
        words = command(tmp_path, kept_up(tmp_path), "--update", "--actor", actor)[3:]
        assert main(words) == 2
        assert "the actor of a promotion has 1 to 2000 characters" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def told(folder: Path, run: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    (folder / "run.yaml").write_text(json.dumps(run))
    assert main(["train", str(folder / "run.yaml"), "--update", "--quiet"]) == 0
    return capsys.readouterr().out


def test_a_decision_of_before_is_told_with_what_serves_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = kept_up(tmp_path)
    first = updated(run)
    assert "promoted to production, decided before" in told(tmp_path, run, capsys)
    the_registry(tmp_path).promote("linear", first.candidate, "retired", actor="ann", reason="it was a mistake")
    assert f"{first.candidate[:12]}  promoted to production before; nothing is there now" in told(tmp_path, run, capsys)
    later = kept_up(tmp_path, LATER)
    second = updated(later)
    assert second.reason.startswith("nothing is at production any more; rank IC")
    again = updated(run)
    assert (again.before, again.outcome, again.now) == (True, "promoted", second.candidate)
    assert f"promoted to production before; {second.candidate[:12]} is there now" in told(tmp_path, run, capsys)


def test_a_decision_to_keep_is_told_with_what_serves_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = updated(kept_up(tmp_path))
    run = kept_up(tmp_path, LATER, margin=1)
    assert f"{first.candidate[:12]} stays at production\n" in told(tmp_path, run, capsys)
    assert f"{first.candidate[:12]} stays at production, decided before" in told(tmp_path, run, capsys)
    the_registry(tmp_path).promote("linear", first.candidate, "retired", actor="ann", reason="old")
    assert "not promoted to production before; nothing is there now" in told(tmp_path, run, capsys)


def test_one_that_somebody_retired_comes_back_by_no_rule(tmp_path: Path) -> None:
    first = updated(kept_up(tmp_path))
    the_registry(tmp_path).promote("linear", first.candidate, "retired", actor="ann", reason="it lost money")
    found = updated(kept_up(tmp_path, margin=-2))
    assert (found.outcome, found.serving, found.candidate) == ("kept", "", first.candidate)
    assert found.reason == "ann moved it to retired (it lost money); whoever knows better promotes it by hand"


def test_one_that_serves_already_by_hand_is_not_said_to_be_promoted(tmp_path: Path) -> None:
    found = updated(kept_up(tmp_path, margin=1))
    the_registry(tmp_path).promote("linear", found.candidate, "production", actor="ann", reason="I like it")
    again = updated(kept_up(tmp_path, margin=2))
    assert (again.outcome, again.serving, again.before) == ("kept", found.candidate, False)
    assert again.reason == "it serves already: promoted by ann (I like it)"
    assert len(stages(tmp_path)) == 2


# ---- again, and after accidents --------------------------------------------------------------------------------------


def test_the_same_history_again_does_nothing(tmp_path: Path) -> None:
    for until, margin in ((EARLY, -1), (LATER, 1)):
        found = updated(kept_up(tmp_path, until, margin=margin))
        before, kept = stages(tmp_path), records(tmp_path)
        again = updated(kept_up(tmp_path, until, margin=margin))
        assert again == Decision(**{**{k: getattr(found, k) for k in Decision.__struct_fields__}, "before": True})
        assert (stages(tmp_path), records(tmp_path)) == (before, kept)


def test_what_somebody_promotes_by_hand_stays_until_there_is_more_history(tmp_path: Path) -> None:
    first = updated(kept_up(tmp_path))
    updated(kept_up(tmp_path, LATER))
    the_registry(tmp_path).promote("linear", first.candidate, "production", actor="ann", reason="back")
    assert updated(kept_up(tmp_path, LATER)).before
    assert serving(tmp_path) == first.candidate
    newest = updated(kept_up(tmp_path, "2018-05-11"))
    assert (newest.outcome, newest.serving) == ("promoted", first.candidate)


def test_another_registry_decides_for_itself(tmp_path: Path) -> None:
    updated(kept_up(tmp_path))
    found = updated(kept_up(tmp_path, registry=str(tmp_path / "other")))
    assert (found.outcome, found.before) == ("promoted", False)
    assert registry_at(tmp_path / "other").resolve("linear", "production").hash == found.candidate


def test_every_decision_is_recorded(tmp_path: Path) -> None:
    found = updated(kept_up(tmp_path))
    (_, training), (_, decision) = ((row[0], row[2]) for row in records(tmp_path))
    assert [row[:2] for row in records(tmp_path)] == [("linear", "end"), ("linear update", "end")]
    assert training["artefact"] == decision["candidate"] == found.candidate
    assert (decision["outcome"], decision["reason"]) == ("promoted", found.reason)


def test_a_kill_at_any_access_to_the_registry_leaves_the_old_or_the_new_and_the_next_call_goes_on(
    tmp_path: Path,
) -> None:
    first = updated(kept_up(tmp_path))
    seen, k = set(), 1
    while True:
        place = tmp_path / str(k)
        for name in ("registry", "store"):
            shutil.copytree(tmp_path / name, place / name)
        run = kept_up(place, LATER)
        came_through = not killed_at(k, lambda: updated(run), place / "registry")  # noqa: B023 - called at once
        held = serving(place)
        again = updated(run)
        assert held in (first.candidate, again.candidate)
        assert (again.outcome, serving(place)) == ("promoted", again.candidate)
        assert [stage for stage, _ in stages(place)] == ["candidate", "production"] * 2
        assert the_registry(place).audit().faults == ()
        assert {row[1] for row in records(place)} == {"end"}
        seen.add(held)
        if came_through:
            break
        k += 7
    assert len(seen) == 2


def test_a_killed_training_leaves_what_serves(tmp_path: Path) -> None:
    first = updated(kept_up(tmp_path))
    run = kept_up(tmp_path, LATER)
    run["models"] = model(pause_s=0.5, trace=str(tmp_path / "trace"))
    child = subprocess.Popen([*command(tmp_path, run, "--quiet"), "--update"], cwd=ROOT, start_new_session=True)
    wait_for(tmp_path / "trace")
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert stages(tmp_path) == [("candidate", first.candidate), ("production", first.candidate)]
    assert updated(run).outcome == "promoted"


def test_one_that_fails_leaves_what_serves_and_the_exit_code_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = updated(kept_up(tmp_path))
    run = kept_up(tmp_path, LATER)
    run["models"] = [*model(refuse_before=1000), model()[0] | {"name": "other"}]
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    assert main(["train", str(tmp_path / "run.yaml"), "--update", "--quiet", "--format", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [(each["model"], each["outcome"]) for each in said["decisions"]] == [
        ("linear", "failed"),
        ("other", "promoted"),
    ]
    assert "slices are too few for me" in said["decisions"][0]["reason"]
    assert serving(tmp_path) == first.candidate


# ---- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [-1, 1])
def test_a_session_takes_up_what_serves_when_it_starts_and_an_earlier_one_keeps_its_own(
    margin: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def called(*words: str) -> str:
        assert main([*words]) == 0
        return capsys.readouterr().out

    def session(out: str) -> str:
        """The hash that travels on its signals."""
        called("replay", "serve.yaml", "--out", out, "--quiet")
        return str(json.loads(Path(out, "manifest.json").read_text())["models"]["linear"])

    serve = a_run(tmp_path, feed=FEED, models=model(artefact="registry:linear@production", registry="registry"))
    del serve["training"]
    Path("serve.yaml").write_text(json.dumps(serve))
    Path("run.yaml").write_text(json.dumps(kept_up(tmp_path)))
    assert "promoted to production" in called("train", "run.yaml", "--update", "--quiet")
    first = serving(tmp_path)
    assert first in session("one")
    Path("run.yaml").write_text(json.dumps(kept_up(tmp_path, LATER, margin=margin)))
    said = called("train", "run.yaml", "--update", "--quiet")
    now = serving(tmp_path)
    assert (now == first) == (margin == 1)
    assert ("promoted to production" if margin < 0 else f"{first[:12]} stays at production") in said
    assert now in session("two")
    for out in ("one", "two"):
        assert "identical" in called("verify", out)


# ---- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("training", "kind", "said"),
    [
        ({"split": {"use": "fixed", "until": "2018-02-28"}}, ConfigError, "fixed names the days to learn from"),
        ({"horizons": [1, 2]}, ConfigError, "training.horizons: 2 trainings of each model"),
        ({"seeds": 3}, ConfigError, "training.seeds: 3 trainings of each model"),
        ({"grid": {"models.linear.rate": [0.1, 0.2]}}, ConfigError, "training.grid: 2 trainings of each model"),
        ({"split": {"window": 79}}, DataError, "too little history to learn from 79 slices and judge by 20 slices: 98"),
        ({"online": "~"}, ConfigError, "--update needs training.online"),
    ],
)
def test_what_cannot_be_kept_up_to_date_is_told_and_nothing_is_written(
    training: dict[str, Any], kind: type[Exception], said: str, tmp_path: Path
) -> None:
    run = kept_up(tmp_path, training=training)
    if training.get("online"):
        del run["training"]["online"]
    with pytest.raises(kind, match=said):
        updated(run)
    assert not (tmp_path / "registry").exists()


def test_the_plan_of_an_update_is_shown_and_scores_have_no_place_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(tmp_path, kept_up(tmp_path), "--update")[3:]
    assert main([*words, "--plan"]) == 0
    assert "2018-01-02 to 2018-03-20  2018-03-21 to 2018-04-09" in capsys.readouterr().out
    assert not (tmp_path / "registry").exists()
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "--out is a folder of scores" in capsys.readouterr().err
