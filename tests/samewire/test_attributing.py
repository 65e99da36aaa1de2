"""`samewire attribution` of a recorded session: what it says adds up to what the session earned."""

import json
from pathlib import Path
from typing import Any

import pytest

from samewire import run
from samewire.cli import main

RUN = {
    "schema": 1,
    "session": {"name": "told", "cash": 1_000_000, "end": "2018-12-31"},
    "feed": {"use": "sample", "symbols": 12, "years": 3},
    "models": [{"name": "trend", "use": "momentum", "window": 10}],
    "strategy": {"use": "topk_dropout", "topk": 4, "n_drop": 1},
    "optimizer": "direct",
    "risk": {"use": "limits", "max_weight": 0.6, "max_gross": 1.0},
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    (folder / "run.yaml").write_text(json.dumps(RUN))
    run(folder / "run.yaml", out=folder / "out")
    return folder / "out"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["attribution", *words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_effects_add_up_to_the_session_s_own_figures(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((session / "summary.json").read_text())
    found = said(capsys, str(session))
    assert found["total"] == pytest.approx(summary["total_return"], rel=1e-9)
    assert found["benchmark"] == pytest.approx(summary["benchmark_return"], rel=1e-9)
    effects = sum(line[key] for line in found["sectors"] for key in ("allocation", "selection", "interaction"))
    assert effects + found["trading"] == pytest.approx(found["active"], abs=1e-12)
    assert found["trading"] < 0  # trades cost
    assert found["sectors"][-1]["sector"] == "cash"
    assert sum(line["weight"] for line in found["sectors"]) == pytest.approx(1.0)
    assert sum(line["benchmark_weight"] for line in found["sectors"]) == pytest.approx(1.0)
    assert 0 < found["transfer_held"] < found["transfer_targets"] + 0.2 < 1.2


@pytest.mark.parametrize(("name", "weight"), [("none", 0.0), ("equal_weight", 1.0)])
def test_another_benchmark_can_be_asked_for(
    session: Path, capsys: pytest.CaptureFixture[str], name: str, weight: float
) -> None:
    found = said(capsys, str(session), "--benchmark", name)
    assert found["against"] == name.replace("_", " ")
    assert 1.0 - found["sectors"][-1]["benchmark_weight"] == pytest.approx(weight)


def test_the_text_names_sectors_trading_and_the_transfer(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribution", str(session)]) == 0
    out = capsys.readouterr().out
    for word in ("difference", "allocation", "Technology", "cash", "trading and costs", "transfer coefficient"):
        assert word in out


def test_what_is_no_benchmark_is_refused_by_name(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribution", str(session), "--benchmark", "SPX"]) == 2
    assert "no benchmark 'SPX'; expected equal_weight, reference, none, or a symbol" in capsys.readouterr().err


def test_a_folder_without_a_session_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribution", str(tmp_path)]) == 3
    assert "no session directory" in capsys.readouterr().err
