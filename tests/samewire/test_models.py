"""Trained models by name and stage: the commands, and run files that name them so."""

import copy
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.models.artefact import artefact_of, read_artefact, write_artefact
from engine.errors import ConfigError, StateError
from samewire import run
from samewire.artefacts import registry_at
from samewire.cli import main
from samewire.diagnostics import RunFileErrors
from samewire.prepare import prepare
from samewire.schema import load_run

RUN: dict[str, Any] = {
    "schema": 1,
    "session": {"name": "quick", "cash": 1_000_000, "start": "2019-01-02", "end": "2019-01-18"},
    "feed": {"use": "sample", "symbols": 8},
    "strategy": {"use": "topk_dropout", "topk": 3, "n_drop": 1},
    "optimizer": "direct",
    "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
}
MODEL = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "num_boost_round": 4, "min_data_in_leaf": 20}
Said = Callable[..., tuple[int, str]]


def trains(leaves: int) -> dict[str, Any]:
    return RUN | {"models": [MODEL | {"num_leaves": leaves, "train": {"until": "2018-12-31", "horizon": 2}}]}


def serves(artefact: str, **more: Any) -> dict[str, Any]:
    return copy.deepcopy(RUN) | {"models": [MODEL | {"artefact": artefact, **more}]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained models, a and b, and a registry that has a at production."""
    folder = tmp_path_factory.mktemp("models")
    for name, leaves in (("a", 3), ("b", 7)):
        run(trains(leaves), out=folder / "runs" / name)
        shutil.copytree(folder / "runs" / name / "models" / "gbdt", folder / name)
    return folder


@pytest.fixture
def say(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """`samewire models` in a folder of its own with both models and a registry."""
    for name in ("a", "b"):
        shutil.copytree(made / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def called(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["models", *arguments])
        out, err = capsys.readouterr()
        return code, out + err

    for name in ("a", "b"):
        assert called("register", "gbdt", name, "--actor", "ann")[0] == 0
    assert called("promote", "gbdt", hash_of("a")[:8], "production", "--actor", "ann", "--reason", "first")[0] == 0
    return called


def hash_of(name: str) -> str:
    return read_artefact(Path(name)).hash


def promote_b(say: Said) -> None:
    assert say("promote", "gbdt", hash_of("b"), "production", "--actor", "bob", "--reason", "better IC")[0] == 0


# ---- commands --------------------------------------------------------------------------------------------------------


def test_list_agrees_with_what_a_run_file_gets(say: Said) -> None:
    """b took the place of a and was retired: a does not come back by itself."""

    def listed() -> dict[str, str]:
        return {each["stage"]: each["artefact"] for each in json.loads(say("list", "--format", "json")[1])["models"]}

    def got(stage: str) -> str:
        try:
            return found.resolve("gbdt", stage).hash
        except StateError:
            return ""

    found = registry_at(Path("registry"))
    stages = ("candidate", "production", "retired")
    seen = []
    for name, stage in (("b", "production"), ("b", "retired"), ("a", "candidate"), ("b", "production")):
        promoted = say("promote", "gbdt", hash_of(name), stage, "--actor", "bob", "--reason", "so")
        assert promoted[0] == 0
        assert listed() == {stage: got(stage) for stage in stages if got(stage)}
        seen.append({at: {hash_of("a"): "a", hash_of("b"): "b"}[hash_] for at, hash_ in listed().items()})
    assert seen == [
        {"production": "b"},
        {"retired": "b"},
        {"candidate": "a", "retired": "b"},
        {"candidate": "a", "production": "b"},
    ]


def test_list_says_what_is_where(say: Said) -> None:
    code, text = say("list")
    assert code == 0
    head, *rows = (line.split() for line in text.splitlines())
    assert head == ["NAME", "STAGE", "ARTEFACT", "SINCE", "BY"]
    assert [row[:3] for row in rows] == [
        ["gbdt", "candidate", hash_of("b")[:12]],
        ["gbdt", "production", hash_of("a")[:12]],
    ]
    told = json.loads(say("list", "--format", "json")[1])
    assert [(e["stage"], e["artefact"]) for e in told["models"]] == [
        ("candidate", hash_of("b")),
        ("production", hash_of("a")),
    ]


def test_history_keeps_who_and_why(say: Said) -> None:
    promote_b(say)
    code, text = say("history", "gbdt")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["candidate", "candidate", "production", "production"]
    assert text.splitlines()[-1].endswith("bob  better IC")
    told = json.loads(say("history", "gbdt", "--format", "json")[1])
    assert (told["history"][-1]["actor"], told["history"][-1]["reason"]) == ("bob", "better IC")
    code, text = say("history", "other")
    assert (code, "nothing is registered as other; registered are: gbdt" in text) == (3, True)


def test_show_tells_what_a_model_is(say: Said) -> None:
    code, text = say("show", hash_of("a")[:8])
    assert code == 0
    for said in (f"artefact {hash_of('a')}", "model.txt", "# A lightgbm model", "production", "l2_train"):
        assert said in text
    told = json.loads(say("show", hash_of("a"), "--format", "json")[1])
    assert told["model.json"]["kind"] == "lightgbm"
    assert told["schema.json"]["horizon_ns"] == 2 * 86_400_000_000_000
    assert sorted(told["files"]) == ["card.md", "check.safetensors", "model.json", "model.txt", "schema.json"]
    assert say("show", "0123456789")[0] == 3


def test_verify_finds_a_flipped_byte_and_names_the_file(say: Said) -> None:
    code, text = say("verify")
    assert code == 0
    assert "intact, 4 lines, 2 artefacts, head " in text
    head = text.split()[-1]
    assert say("verify", "--head", head)[0] == 0
    assert say("verify", "--head", "0" * 64)[0] == 1
    assert say("verify", "--head", "me")[0] == 2
    path = Path("registry/artefacts", hash_of("a"), "model.txt")
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    code, text = say("verify")
    assert code == 1
    assert "model.txt is not the file that was written" in text
    told = json.loads(say("verify", "--format", "json")[1])
    assert (told["ok"], told["artefacts"], len(told["wrong"])) == (False, 1, 1)
    assert say("show", hash_of("a"))[0] == 3


def test_register_again_says_where_it_is(say: Said) -> None:
    code, text = say("register", "gbdt", "a", "--actor", "ann")
    assert (code, text) == (0, f"gbdt: artefact {hash_of('a')} is registered, at stage production\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("promote", "gbdt", "{b}", "production", "--reason", "x"), 2, "--actor"),
        (
            ("promote", "gbdt", "{b}", "production", "--actor", "x", "--reason", " "),
            2,
            "the reason of a promotion has 1 to",
        ),
        (("promote", "gbdt", "{b}", "Prod", "--actor", "x", "--reason", "x"), 2, "cannot be a stage"),
        (("promote", "nn", "{b}", "production", "--actor", "x", "--reason", "x"), 3, "is not registered as nn"),
        (("promote", "gbdt", "123", "production", "--actor", "x", "--reason", "x"), 3, "names no artefact"),
        (("register", "gbdt", "nowhere", "--actor", "x"), 3, "no artefact can be read"),
        (("register", "a/b", "a", "--actor", "x"), 2, "cannot be a name"),
        (("list", "--registry", "elsewhere"), 3, "no registry; name its folder by --registry"),
    ],
)
def test_what_is_wrong_is_told_and_changes_nothing(arguments: tuple[str, ...], code: int, said: str, say: Said) -> None:
    before = Path("registry/history.jsonl").read_bytes()
    found, text = say(*(each.format(b=hash_of("b")) for each in arguments))
    assert (found, said in text) == (code, True), text
    assert Path("registry/history.jsonl").read_bytes() == before
    assert not Path("elsewhere").exists()


# ---- run files -------------------------------------------------------------------------------------------------------


def test_a_stage_is_resolved_when_the_session_is_prepared_and_its_hash_is_recorded(say: Said) -> None:
    direct = run(serves("a"), out=Path("runs/direct"))
    named = run(serves("registry:gbdt@production"), out=Path("runs/named"))
    manifest = json.loads(Path("runs/named/manifest.json").read_text())
    assert manifest["models"] == {"gbdt": hash_of("a")}
    assert read_artefact(Path("runs/named/models/gbdt")).hash == hash_of("a")
    assert named.summary["total_return"] == direct.summary["total_return"]
    control = next(line for line in Path("runs/named/audit.jsonl").read_text().splitlines() if '"swap_model"' in line)
    assert json.loads(control)["facts"]["reason"] == "registry:gbdt@production"
    promote_b(say)
    run(serves("registry:gbdt@production"), out=Path("runs/after"))
    assert json.loads(Path("runs/after/manifest.json").read_text())["models"] == {"gbdt": hash_of("b")}
    run(serves(f"registry:gbdt@{hash_of('a')}"), out=Path("runs/pinned"))
    assert json.loads(Path("runs/pinned/manifest.json").read_text())["models"] == {"gbdt": hash_of("a")}


def test_verify_and_rerun_use_the_model_that_the_session_had(say: Said, capsys: pytest.CaptureFixture[str]) -> None:
    run(serves("registry:gbdt@production"), out=Path("runs/named"))
    promote_b(say)
    shutil.rmtree(Path("registry/artefacts") / hash_of("a"))
    assert main(["verify", "runs/named"]) == 0
    assert main(["rerun", "runs/named", "--out", "runs/again", "--quiet"]) == 0
    assert capsys.readouterr().out.count("identical") == 2
    assert json.loads(Path("runs/again/manifest.json").read_text())["models"] == {"gbdt": hash_of("a")}
    shutil.rmtree("runs/named/models/gbdt")
    write_artefact(read_artefact(Path("b")), Path("runs/named/models/gbdt"))
    assert main(["rerun", "runs/named", "--quiet"]) == 1
    assert "model file: gbdt was" in capsys.readouterr().out


def test_the_recorded_run_file_names_the_stage_and_finds_the_registry(say: Said) -> None:
    shutil.copytree("registry", "elsewhere/reg")
    Path("run.yaml").write_text(yaml.safe_dump(serves("registry:gbdt@production", registry="elsewhere/reg")))
    run("run.yaml", out=Path("runs/named"))
    text = Path("runs/named/run.yaml").read_text()
    assert "registry:gbdt@production" in text
    assert str(Path.cwd()) not in text
    assert load_run("runs/named/run.yaml").models == load_run("run.yaml").models


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        ({"artefact": "registry:gbdt"}, "E108", "registry:NAME@STAGE, such as registry:gbdt@production"),
        ({"artefact": "registry:gbdt@a@b"}, "E108", "registry:NAME@STAGE, such as"),
        ({"artefact": "registry:gbdt@retired"}, "E108", "no artefact of gbdt is at stage retired; promote one"),
        ({"artefact": "registry:nn@production"}, "E108", "nothing is registered as nn; registered are: gbdt"),
        ({"artefact": "registry:../x@production"}, "E108", "cannot be a name"),
        ({"artefact": f"registry:gbdt@{'0' * 64}"}, "E108", "artefact 000000000000 is not registered as gbdt"),
        ({"artefact": "registry:gbdt@production", "registry": "nowhere"}, "E108", "set `registry` to its folder"),
        ({"artefact": "a", "registry": "registry"}, "E113", "a registry that no artefact names"),
        (
            {"artefact": "registry:gbdt@production", "train": {"until": "2018-12-31", "horizon": 2}},
            "E113",
            "one of the two",
        ),
    ],
)
def test_a_run_file_that_names_no_model_is_a_problem_with_its_place(
    model: dict[str, Any], code: str, said: str, say: Said
) -> None:
    with pytest.raises(RunFileErrors, match="models") as caught:
        load_run(RUN | {"models": [MODEL | model]})
    assert code in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("models", "features", "error", "said"),
    [
        ({"horizon_ns": 5}, {}, ConfigError, "gbdt: horizon_ns is 5, and the labels of artefact"),
        ({"features": "other"}, {"windows": [5, 9]}, ConfigError, "trained on features of schema .* and is given"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_anything_runs(
    models: dict[str, Any], features: dict[str, Any], error: type[Exception], said: str, say: Said
) -> None:
    spec = serves("registry:gbdt@production", **models)
    spec |= {"features": [{"name": "other", "use": "rolling", **features}]} if features else {}
    with pytest.raises(error, match=said):
        run(spec, out=Path("runs/not"))
    assert list(Path("runs").iterdir()) == []


def test_a_planted_file_is_refused_though_everything_is_hashed_rightly(say: Said) -> None:
    """Whoever can write the manifest too can make the hashes right; a file of another name is still no model's."""
    planted = artefact_of(read_artefact(Path("a")).files | {"weights.pkl": b"\x80\x04\x95."})
    write_artefact(planted, Path("planted"))
    with pytest.raises(StateError, match=r"gbdt: artefact [0-9a-f]{12} holds weights.pkl, which no trained model has"):
        run(serves("planted"), out=Path("runs/not"))
    foreign = read_artefact(Path("a")).files
    card = json.loads(foreign["model.json"]) | {"kind": "os:system"}
    write_artefact(artefact_of(foreign | {"model.json": json.dumps(card).encode()}), Path("foreign"))
    with pytest.raises(StateError, match="gbdt: the artefact is of os:system v3, this model reads lightgbm v3"):
        run(serves("foreign"), out=Path("runs/not"))


def test_a_model_of_another_kind_is_a_problem_of_the_run_file(say: Said) -> None:
    """As after an update that promoted what the run file of the updates calls linear now."""
    card = json.loads(read_artefact(Path("a")).files["model.json"]) | {"kind": "linear"}
    write_artefact(artefact_of(read_artefact(Path("a")).files | {"model.json": json.dumps(card).encode()}), Path("l"))
    assert say("register", "gbdt", "l", "--actor", "ann")[0] == 0
    assert say("promote", "gbdt", hash_of("l"), "production", "--actor", "ann", "--reason", "better")[0] == 0
    for artefact, shown in (("registry:gbdt@production", "registry:gbdt@production"), ("l", "l")):
        with pytest.raises(RunFileErrors) as caught:
            load_run(serves(artefact))
        (problem,) = caught.value.problems
        assert (problem.code, problem.path) == ("E113", "models[0].use")
        assert (problem.got, problem.expected) == (
            f"lightgbm, and {shown} is a trained linear",
            "use: linear, or the artefact of a lightgbm",
        )


def test_an_option_that_it_was_trained_otherwise_with_is_a_problem_of_the_run_file(say: Said) -> None:
    """Written beside an artefact it would change no answer, and be recorded as if it had."""
    odd = {"num_leaves": 15, "objective": "binary", "label": "raw", "valid_share": 0.5, "learning_rate": 0.05}
    with pytest.raises(RunFileErrors) as caught:
        load_run(serves("registry:gbdt@production", **odd))
    found = {problem.path: (problem.code, problem.got, problem.expected) for problem in caught.value.problems}
    assert set(found) == {f"models[0].{key}" for key in ("num_leaves", "objective", "label")}
    assert found["models[0].num_leaves"] == (
        "E113",
        "15, and registry:gbdt@production was trained with 3",
        "num_leaves: 3, or no num_leaves beside artefact",
    )
    load_run(serves("b", num_leaves=7))
    taught = {"training": {"split": {"use": "walk_forward"}}}
    load_run(serves("b", num_leaves=15) | taught)  # of the next training


def test_a_session_records_no_default_as_what_its_artefact_was_trained_with(say: Said) -> None:
    run(serves("b"), out=Path("runs/b"))
    (recorded,) = yaml.safe_load(Path("runs/b/run.yaml").read_text())["models"]
    assert "num_leaves" not in recorded, "31 is the default, and it was trained with 7"
    assert recorded["num_boost_round"] == 4
    assert main(["rerun", "runs/b", "--quiet"]) == 0


def test_a_recorded_session_asks_for_nothing_but_what_it_kept(say: Said, capsys: pytest.CaptureFixture[str]) -> None:
    """What it was taken from was retired, then removed. Of a model named by its folder `rerun` compares the two."""
    run(serves("registry:gbdt@production"), out=Path("runs/named"))
    run(serves("b"), out=Path("runs/folder"))
    assert say("promote", "gbdt", hash_of("a"), "retired", "--actor", "ann", "--reason", "old")[0] == 0
    for commands in (("verify", "rerun"), ("verify", "rerun")):
        for command in commands:
            assert main([command, "runs/named", "--quiet"]) == 0, capsys.readouterr().err
        shutil.rmtree("registry", ignore_errors=True)
    shutil.rmtree("b")
    assert main(["verify", "runs/folder", "--quiet"]) == 0
    assert main(["rerun", "runs/folder", "--quiet"]) == 3
    with pytest.raises(RunFileErrors, match="set `registry` to its folder"):
        load_run("runs/named/run.yaml")


def test_another_universe_is_served_by_a_model_that_knows_features_not_symbols(say: Said) -> None:
    spec = serves("registry:gbdt@production")
    spec["feed"] = {"use": "sample", "symbols": 11}
    assert run(spec).summary["slices"] > 5


def test_a_session_that_is_read_back_warns_of_days_that_its_model_has_seen_as_it_did(made: Path) -> None:
    early = serves(str(made / "a"))
    early["session"]["start"] = "2018-12-03"
    began = prepare(load_run(early))
    again = prepare(load_run(early), recorded=began.artefacts)
    assert any(said.startswith("gbdt was trained on data up to") for said in began.warnings)
    assert again.warnings == began.warnings
