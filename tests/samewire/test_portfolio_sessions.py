"""The optimizer `portfolio` in whole sessions: decided again the same, from the middle too, explained, and checked."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.files.journal_file import read_journal
from engine.errors import ComponentError
from engine.events import Note, Orders
from engine.ids import id_text
from samewire import run
from samewire.cli import main
from samewire.explain.lines import order_text
from samewire.explain.missing import explain_missing
from samewire.explain.orders import explain_order
from samewire.recorded import open_recorded
from samewire.registry import BUILT_IN

LIMITS: list[Any] = ["long_only", {"use": "budget", "full": True}]
METHODS: dict[str, dict[str, Any]] = {
    **{name: {} for name in BUILT_IN["methods"]},
    "max_sharpe": {"alpha": "grinold"},
    "mean_cvar": {"window": 20, "min_slices": 10},
    "black_litterman": {"alpha": "grinold"},
    "multi_period": {"horizon": 2, "constraints": [{"use": "turnover", "max": 0.3}, {"use": "box", "max": 0.4}]},
    "composed": {
        "objective": [{"use": "expected_return"}, {"use": "variance"}, {"use": "linear_cost", "buy_bps": 20}],
        "constraints": [*LIMITS, {"use": "box", "max": 0.4}, {"use": "turnover", "max": 0.2}],
    },
}


def config(method: dict[str, Any], **optimizer: Any) -> dict[str, Any]:
    model = {"use": "ledoit_wolf", "window": 20, "min_slices": 10}
    given = {"use": "portfolio", "benchmark": "equal", "risk_model": model, "method": method}
    return {
        "schema": 1,
        "session": {
            "name": "weighed",
            "cash": 1_000_000,
            "start": "2018-02-01",
            "end": "2018-03-08",
            "snapshot_every": 9,
        },
        "feed": {"use": "sample", "symbols": 8, "years": 1},
        "models": [{"name": "trend", "use": "momentum", "window": 5}],
        "strategy": {"use": "topk_dropout", "topk": 4, "n_drop": 1},
        "optimizer": given | optimizer,
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
    }


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def ran(name: str) -> Path:
        folder = tmp_path_factory.mktemp("weighed") / name
        run(config({"use": name} | METHODS[name]), out=folder)
        return folder

    return ran


@pytest.mark.parametrize("name", METHODS)
def test_it_is_decided_the_same_again_from_the_start_and_from_the_middle(session: Any, name: str) -> None:
    folder = session(name)
    assert any(isinstance(entry.event, Orders) for entry in read_journal(folder / "journal"))
    assert main(["verify", str(folder), "--quiet"]) == 0
    assert main(["verify", str(folder), "--from", "2018-02-27", "--quiet"]) == 0


@pytest.mark.parametrize("name", METHODS)
def test_every_order_is_explained_by_the_weight_behind_it(session: Any, name: str) -> None:
    folder = session(name)
    of = open_recorded(folder)
    orders = [entry.event for entry in read_journal(folder / "journal") if isinstance(entry.event, Orders)]
    docs = [explain_order(of, id_text(int(event.ids[0]))) for event in orders[::5]]
    for doc in docs:
        made, held = doc["optimizer"], doc["position"]
        change = made["wanted"] - held["qty"] - held["working"]
        assert abs(change - made["ordered"]) < 1.0 + 1e-9 or "cut" in [note["kind"] for note in made["notes"]]
        assert (made["weight"] is not None) == (made["asked"] != 0)
        assert "optimizer" in order_text(doc) or made["asked"] == 0


def held_back(folder: Path) -> list[tuple[str, str]]:
    """What is said of wanted names that a slice gives a weight and no order."""
    of, found = open_recorded(folder), []
    for entry in read_journal(folder / "journal"):
        note = entry.event
        if isinstance(note, Note) and note.kind == "weights" and note.source == "optimizer":
            day = str(np.datetime64(note.ts, "ns"))[:10]
            for symbol in note.symbol.tolist():
                doc = explain_missing(of, of.universe.symbols[symbol], day)
                found += [(reason["stage"], reason["text"]) for reason in doc["reasons"][:1]]
    return found


@pytest.mark.parametrize("name", ["composed", "max_sharpe", "equal_weight"])
def test_why_not_names_what_held_a_trade_back(session: Any, name: str) -> None:
    said = held_back(session(name))
    assert said
    assert not [text for _, text in said if "left no note" in text]
    if name == "composed":
        costs = [text for stage, text in said if stage == "optimizer" and "not worth its cost" in text]
        assert costs
    if name == "max_sharpe":
        assert [text for _, text in said if text.startswith("the optimizer solved a weight of 0: 0 shares")]


def test_a_trade_cut_to_the_participation_says_so(tmp_path: Path) -> None:
    run(config({"use": "equal_weight"}, max_participation=2e-7), out=tmp_path / "run")
    assert "max_participation" in " ".join(text for _, text in held_back(tmp_path / "run"))


def test_contradicting_constraints_are_told_by_why_not_and_counted_in_the_report(tmp_path: Path) -> None:
    method = {"use": "composed", "objective": ["variance"], "constraints": [*LIMITS, {"use": "box", "max": 0.1}]}
    run(config(method | {"fallback": ["hold"]}), out=tmp_path / "run")
    doc = explain_missing(open_recorded(tmp_path / "run"), "FI01", "2018-02-20")
    assert doc["reasons"][0]["text"].startswith("the optimizer fell back: no weights satisfy box, budget[sum] together")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert "fallback" in json.dumps(summary)


BAD = """schema: 1
session: {name: bad, cash: 1_000_000}
feed: {use: sample, symbols: 8, years: 1}
models: [{name: trend, use: momentum, window: 5}]
strategy: {use: topk_dropout, topk: 4, n_drop: 1}
optimizer:
  use: portfolio
  risk_model: ledoit_wolf
  method:
    use: composed
    objective:
      - {use: variance, aversion: 10, around: benchmark}
    constraints:
      - long_only
      - {use: box, min: 0.3, max: 0.05}
      - {use: turnovr, max: 0.10}
      - {use: budget, full: maybe}
broker: {use: simulated, fill: next_open, costs: bps}
"""


def test_check_points_at_wrong_options_within_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text(BAD)
    assert main(["check", str(tmp_path / "run.yaml")]) == 2
    said = capsys.readouterr()
    text = said.out + said.err
    for place in (
        "run.yaml:12:39  optimizer.method.objective[0].around",
        "run.yaml:15:25  optimizer.method.constraints[1].min",
        "run.yaml:16:15  optimizer.method.constraints[2].use",
        "run.yaml:17:29  optimizer.method.constraints[3].full",
    ):
        assert place in text
    assert 'did you mean "turnover"?' in text


def test_set_reaches_into_lists_and_what_contradicts_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (
        BAD.replace(", around: benchmark", "").replace("min: 0.3, max: 0.05", "max: 0.5").replace("turnovr", "turnover")
    )
    (tmp_path / "run.yaml").write_text(good.replace("maybe", "true"))
    check = ["check", str(tmp_path / "run.yaml"), "--set"]
    assert main([*check, "optimizer.method.constraints[1].max=0.1"]) == 0
    assert main([*check, "optimizer.method.constraints[1].max=-0.1"]) == 2
    said = capsys.readouterr()
    assert "constraints must not contradict each other: long_only" in said.out + said.err


def test_check_refuses_what_no_plan_of_several_slices_can_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = {
        "use": "multi_period",
        "constraints": [{"use": "turnover", "max": 0.2}, {"use": "cardinality", "most": 3}],
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config(method)))
    assert main(["check", str(tmp_path / "run.yaml")]) == 2
    said = capsys.readouterr()
    assert "constraints: cardinality counts names, which a plan of several slices cannot state" in said.out + said.err


def test_the_schema_of_run_files_knows_every_method_term_and_constraint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = capsys.readouterr().out
    for group in ("methods", "terms", "constraints"):
        for name in BUILT_IN[group]:
            assert f'"{name}"' in schema


def test_a_constraint_of_a_user_s_own_is_blamed_by_its_name(tmp_path: Path) -> None:
    mine = {"use": "tests.components.optimizers.test_own_parts:Divides"}
    method = {"use": "composed", "objective": ["variance"], "constraints": [*LIMITS, mine]}
    with pytest.raises(ComponentError, match="constraint Divides: failed on allows of .* ZeroDivisionError"):
        run(config(method), out=tmp_path / "run")
