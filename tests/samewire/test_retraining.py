"""A model that learns again while the session goes on: what it may know, when it takes over, what is recorded of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.files.journal_file import read_journal
from components.models.artefact import read_artefact
from components.models.gbdt import Gbdt
from components.training import panel
from components.training.slices import sliced
from engine.errors import DataError, SamewireError
from engine.events import Bars, Control, ControlAction, Signal
from engine.protocols import Dataset
from samewire import cli, retraining, run
from samewire.build import Given, parts_of
from samewire.lookahead import look_ahead
from samewire.prepare import feed_of
from samewire.reach import days
from samewire.recorded import open_recorded
from samewire.run_file import RetrainSpec
from samewire.schema import RunFileErrors, dump_run, load_run
from samewire.taught import History, Walked, learned
from samewire.verifying import verify

SPEC = {"every": "40 sessions", "window": "1y", "least": 100}


def said(start: str | None = None, **retrain: Any) -> dict[str, Any]:
    model = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "num_boost_round": 5, "min_data_in_leaf": 20}
    session = {"name": "again", "cash": 1_000_000, "start": start, "end": "2019-03-29"}
    return {
        "schema": 1,
        "session": session,
        "feed": {"use": "sample", "symbols": 8, "years": 2},
        "features": [{"use": "rolling", "windows": [5]}],
        "models": [model | {"retrain": SPEC | retrain}],
        "strategy": {"use": "topk_dropout", "topk": 3, "n_drop": 1},
        "optimizer": "direct",
        "risk": {"use": "limits", "max_weight": 0.6},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
        "sinks": ["session_dir"],
    }


@pytest.fixture(scope="module")
def first_bar() -> str:
    """The day with which the generated market begins."""
    found = load_run(said())
    span = feed_of(found).span
    assert span is not None
    return str(np.datetime64(span[0], "ns").astype("datetime64[D]"))


def inputs(folder: Path) -> list[Any]:
    return [entry.event for entry in open_recorded(folder).entries() if entry.input]


def swaps(run_file: dict[str, Any]) -> list[Control]:
    """What puts the models of a session to use, without the session."""
    whole = load_run(run_file)
    feed = feed_of(whole)
    end = days(feed, whole.session.start, whole.session.end)[1]
    given = Given(session="again", seed=0, universe=feed.universe, sessions=getattr(feed, "sessions", None))
    return list(learned(whole, feed, parts_of(whole, feed, given), given, end).controls)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, first_bar: str) -> Path:
    folder = tmp_path_factory.mktemp("retrained") / "out"
    start = str(np.datetime64(first_bar) + 200)
    run(said(start, latency=1), out=folder)
    return folder


def test_it_takes_over_before_the_bars_of_every_fortieth_slice(done: Path) -> None:
    events = inputs(done)
    at = [k for k, event in enumerate(events) if isinstance(event, Control)]
    slices = [event.ts for event in events if isinstance(event, Bars)]
    assert [events[k].ts for k in at] == slices[::40]
    for k in at:
        following = next(event for event in events[k:] if isinstance(event, Bars))
        assert following.ts == events[k].ts, "the control enters first"
    assert len(at) > 3
    assert all(events[k].action is ControlAction.SWAP_MODEL for k in at)


def test_each_artefact_is_kept_named_in_the_manifest_and_on_the_signals(done: Path) -> None:
    manifest = json.loads((done / "manifest.json").read_text())
    hashes = [event.artefact for event in inputs(done) if isinstance(event, Control)]
    names = ["gbdt", *(f"gbdt@{k}" for k in range(2, len(hashes) + 1))]
    assert manifest["models"] == dict(zip(names, hashes, strict=True))
    assert [read_artefact(done / "models" / name).hash for name in names] == hashes
    assert len(set(hashes)) == len(hashes)
    on = [entry.event.model_hash for entry in open_recorded(done).entries() if isinstance(entry.event, Signal)]
    assert list(dict.fromkeys(on)) == hashes


def test_verify_reads_the_artefacts_and_never_trains(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Gbdt, dataset: Dataset, /) -> Any:
        raise AssertionError("verify trained")

    monkeypatch.setattr(Gbdt, "fit", never)
    assert asyncio.run(verify(open_recorded(done))).identical


def test_an_artefact_that_was_changed_is_named_by_its_turn(done: Path, tmp_path: Path, capsys: Any) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(done, other)
    (other / "models" / "gbdt@2" / "model.txt").write_bytes(b"tree\n")
    assert cli.main(["verify", str(other)]) == 1
    assert "gbdt@2" in capsys.readouterr().out


def test_a_turn_knows_what_training_until_the_slice_before_knows(first_bar: str, tmp_path: Path) -> None:
    """The same model comes of a run file that trains once until that day."""
    start = str(np.datetime64(first_bar) + 200)
    again = said(start)
    again["models"][0]["retrain"] = {"every": "40 sessions"}
    run(again, out=tmp_path / "again")
    turns = [event.ts for event in inputs(tmp_path / "again") if isinstance(event, Control)]
    slices = [event.ts for event in inputs(tmp_path / "again") if isinstance(event, Bars)]
    for k in (1, 2):
        before = slices[slices.index(turns[k]) - 1]
        once = said(start)
        del once["models"][0]["retrain"]
        once["models"][0]["train"] = {"until": str(np.datetime64(before, "ns").astype("datetime64[D]"))}
        run(once, out=tmp_path / f"once{k}")
        mine, theirs = tmp_path / "again" / "models" / f"gbdt@{k + 1}", tmp_path / f"once{k}" / "models" / "gbdt"
        assert (mine / "model.txt").read_bytes() == (theirs / "model.txt").read_bytes()


@pytest.mark.parametrize("latency", [0, 1, 7])
def test_a_training_that_takes_slices_knows_less(latency: int) -> None:
    slices = list(range(100, 200, 10))
    found = retraining.turns(slices, 130, RetrainSpec(every="3", latency=latency))
    assert [turn.ts for turn in found] == [130, 160, 190]
    known = [120 - 10 * latency + 30 * k for k in range(3)]
    assert [turn.known for turn in found if turn.known > 0] == [each for each in known if each >= 100]


def test_a_turn_without_enough_history_is_not_ready_and_what_was_there_stays(tmp_path: Path) -> None:
    run(said(None), out=tmp_path / "out")
    controls = [event for event in inputs(tmp_path / "out") if isinstance(event, Control)]
    ready = [event.action is ControlAction.SWAP_MODEL for event in controls]
    assert ready == sorted(ready)
    assert 0 < sum(ready) < len(ready)
    assert controls[0].reason == "0 slices with labels, least is 100"
    swapped = next(event.ts for event in controls if event.action is ControlAction.SWAP_MODEL)
    events = [entry.event for entry in read_journal(tmp_path / "out" / "journal", drawn=lambda record: None)]
    for event in events:
        if isinstance(event, Signal):
            assert (event.model_hash == "") == (event.ts < swapped)
            assert np.isnan(event.value).all() == (event.ts < swapped)
    assert asyncio.run(verify(open_recorded(tmp_path / "out"))).identical


def test_a_turn_that_learns_nothing_is_not_ready_and_the_model_that_was_there_stays(
    done: Path, first_bar: str, tmp_path: Path
) -> None:
    good = read_artefact(done / "models" / "gbdt@2").hash
    given = said(str(np.datetime64(first_bar) + 200))
    given["models"][0] |= {"min_data_in_leaf": 700, "artefact": str(done / "models" / "gbdt@2")}
    run(given, out=tmp_path / "out")
    controls = [event for event in inputs(tmp_path / "out") if isinstance(event, Control)]
    assert controls[0].artefact == good
    early = [event for event in controls[1:] if event.action is ControlAction.MODEL_NOT_READY]
    assert early
    assert all("tells no name from another" in event.reason for event in early)
    until = min((event.ts for event in controls[1:] if event.artefact), default=1 << 63)
    events = [entry.event for entry in open_recorded(tmp_path / "out").entries()]
    assert {event.model_hash for event in events if isinstance(event, Signal) and event.ts < until} == {good}


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("Singular matrix"), ValueError("no"), KeyError("x")])
def test_whatever_a_turn_raises_the_session_goes_on_with_the_model_that_was_there(
    error: Exception, first_bar: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, right = [0], Gbdt.fit

    def moody(self: Gbdt, dataset: Dataset, /, **more: Any) -> Any:
        fits[0] += 1
        if fits[0] == 2:
            raise error
        return right(self, dataset, **more)

    monkeypatch.setattr(Gbdt, "fit", moody)
    run(said(str(np.datetime64(first_bar) + 200)), out=tmp_path / "out")
    first, second, *others = (event for event in inputs(tmp_path / "out") if isinstance(event, Control))
    assert (second.action, second.reason) == (ControlAction.MODEL_NOT_READY, f"{type(error).__name__}: {error}")
    assert others[0].action is ControlAction.SWAP_MODEL
    events = [entry.event for entry in open_recorded(tmp_path / "out").entries()]
    between = {e.model_hash for e in events if isinstance(e, Signal) and second.ts <= e.ts < others[0].ts}
    assert between == {first.artefact}


def test_a_reason_that_holds_a_secret_is_recorded_without_it(
    first_bar: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tells(self: Gbdt, dataset: Dataset, /, **more: Any) -> Any:
        raise ValueError("no licence for hunter2hunter2")

    monkeypatch.setattr(Gbdt, "fit", tells)
    monkeypatch.setattr(retraining, "hider", lambda: lambda text: text.replace("hunter2hunter2", "***"))
    with pytest.raises(DataError, match=r"no licence for \*\*\*"):
        swaps(said(str(np.datetime64(first_bar) + 200)))


def test_a_model_that_could_never_be_trained_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gbdt could not be trained at any of its turns \(.* least is 5000\); begin"):
        run(said(least=5000), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_that_was_trained_before_answers_until_its_first_turn(done: Path, first_bar: str, tmp_path: Path) -> None:
    given = said(str(np.datetime64(first_bar) + 200), least=200)
    given["models"][0]["artefact"] = str(done / "models" / "gbdt@2")
    run(given, out=tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["models"]["gbdt"] == read_artefact(done / "models" / "gbdt@2").hash
    assert "gbdt@2" in manifest["models"]
    assert asyncio.run(verify(open_recorded(tmp_path / "out"))).identical


def test_one_that_was_trained_before_stays_where_no_turn_is_ready(done: Path, first_bar: str, tmp_path: Path) -> None:
    given = said(str(np.datetime64(first_bar) + 200), least=5000)
    given["models"][0]["artefact"] = str(done / "models" / "gbdt@2")
    run(given, out=tmp_path / "out")
    controls = [event for event in inputs(tmp_path / "out") if isinstance(event, Control)]
    assert controls[0].action is ControlAction.SWAP_MODEL
    assert {event.action for event in controls[1:]} == {ControlAction.MODEL_NOT_READY}
    assert len(controls) > 3


def test_nothing_of_it_knows_what_is_to_come(first_bar: str) -> None:
    found = load_run(said(str(np.datetime64(first_bar) + 200)))
    assert asyncio.run(look_ahead(found, cuts=2, slices=90)).findings == ()


def test_a_window_that_reaches_into_the_future_is_found_by_the_turn(
    first_bar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = retraining.known

    def peeking(whole: Dataset, until: int, spec: RetrainSpec) -> Dataset | None:
        return right(whole, until + 3 * 86_400 * 10**9, spec)

    monkeypatch.setattr(retraining, "known", peeking)
    found = load_run(said(str(np.datetime64(first_bar) + 200)))
    verdict = asyncio.run(look_ahead(found, cuts=1, slices=90))
    found_in = {finding.component for finding in verdict.findings}
    assert "gbdt" in found_in
    assert len(found_in) == 3, "the first turn, the last, and one between"


def test_models_that_read_the_same_features_walk_history_once_and_learn_what_each_learns_alone(
    first_bar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = str(np.datetime64(first_bar) + 300)
    walks, real = [], panel.walk

    def counted(events: Any, feature_set: Any, horizon: int, *rest: Any) -> Dataset:
        walks.append(horizon)
        return real(events, feature_set, horizon, *rest)

    def hashes(models: list[dict[str, Any]]) -> dict[str, list[str]]:
        controls = [event for event in swaps(said(start) | {"models": models})]
        return {
            each["name"]: [event.artefact for event in controls if event.component == each["name"]] for each in models
        }

    (gbdt,) = said(start)["models"]
    plane = {"name": "plane", "use": "linear", "features": "rolling", "retrain": SPEC}
    later = plane | {"name": "later", "retrain": SPEC | {"horizon": 3}}
    once = {"name": "once", "use": "linear", "features": "rolling", "train": {"until": str(np.datetime64(start) - 1)}}
    alone = {model["name"]: hashes([model])[model["name"]] for model in (gbdt, plane, later, once)}
    monkeypatch.setattr(panel, "walk", counted)
    assert hashes([gbdt, plane, later, once, once | {"name": "again"}]) == alone | {"again": alone["once"]}
    assert walks == [1, 3, 1]  # one for both that retrain on labels of a slice, and one for both that learn once


ARRAYS = ("ts", "features", "label", "label_from", "label_to", "weight")


@pytest.mark.parametrize("name", ARRAYS)
def test_no_model_can_change_what_another_learns_from(name: str) -> None:
    """Models that learn from one walk share its arrays: what one writes into, none of the others may find."""
    found = load_run(said())
    history = History(found, feed_of(found), Given(session="", seed=0, universe=feed_of(found).universe), None)
    stamps = np.arange(4) * 10
    labels = {"label": np.zeros((4, 2)), "label_from": stamps + 1, "label_to": stamps + 12, "weight": np.ones((4, 2))}
    whole = Dataset(
        names=("x",), schema="s", ts=stamps, features=np.zeros((4, 2, 1), np.float32), horizon_ns=10, **labels
    )
    arrays = [field for field in Dataset.__struct_fields__ if isinstance(getattr(whole, field), np.ndarray)]
    assert sorted(arrays) == sorted(ARRAYS)
    shared = history.once(("rolling",), lambda: Walked(whole)).dataset
    for part in (shared, sliced(shared, slice(1, 3))):
        with pytest.raises(ValueError, match="read-only"):
            getattr(part, name)[:] += 1


def test_it_is_written_back_as_it_was_read(tmp_path: Path) -> None:
    found = load_run(said())
    (tmp_path / "run.yaml").write_text(dump_run(found, tmp_path))
    assert load_run(tmp_path / "run.yaml") == found
    assert found.models[0].retrain == RetrainSpec(every="40 sessions", window="1y", least=100)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"train": {"until": "2017-06-30"}}, "train and retrain"),
        ({"retrain": {"every": "soon"}}, "retrain.every"),
        ({"retrain": {"every": "40", "purge": "none"}}, "retrain.purge"),
        ({"retrain": {"window": "1y"}}, "retrain.every"),
        ({"retrain": {"every": 0}}, "retrain.every"),
        ({"retrain": {"every": "00 sessions"}}, "retrain.every"),
        ({"retrain": {"every": 40, "window": "0d"}}, "retrain.window"),
        ({"retrain": {"every": "40", "horizon": 0}}, "retrain.horizon"),
        ({"use": "momentum", "features": None, "num_boost_round": None, "min_data_in_leaf": None}, "nothing to train"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(change: dict[str, Any], told: str) -> None:
    bad = said()
    bad["models"][0] = {key: value for key, value in (bad["models"][0] | change).items() if value is not None}
    with pytest.raises(RunFileErrors) as caught:
        load_run(bad)
    assert told in str(caught.value)
    assert isinstance(caught.value, SamewireError)
