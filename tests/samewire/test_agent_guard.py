"""An agent that is no better than an even pace: told so, recorded so, and at an even pace in sessions."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.tracking.store import RunStore
from components.models.artefact import read_artefact
from samewire.agent_cautions import agent_cautions
from samewire.agent_guard import no_better
from samewire.agent_training import as_text
from samewire.api import run as replay
from samewire.run_file import RunFile
from samewire.schema import load_run
from tests.samewire.test_agent_training import a_run, problems, trained


def nothing_to_find(folder: Path, agent: dict[str, Any] | None = None) -> dict[str, Any]:
    words = a_run(folder, agent)
    words["feed"] = words["feed"] | {"pattern": "none"}
    words["broker"] = words["broker"] | {"costs": {"use": "quadratic_impact", "impact": 0.05}}
    return words


def session_of(words: dict[str, Any], execution: dict[str, Any]) -> RunFile:
    return load_run({key: each for key, each in words.items() if key != "training"} | {"execution": execution})


def fills_of(run: RunFile) -> Any:
    summary = replay(run).summary
    return [summary[key] for key in ("fills", "fees", "final_equity") if key in summary]


def test_where_nothing_is_to_be_found_it_is_said_recorded_and_worked_at_an_even_pace(tmp_path: Path) -> None:
    words = nothing_to_find(tmp_path)
    results = trained(words)
    (made,) = results.agents
    outcome = RunStore(tmp_path / "store").run(made.run).outcome
    assert outcome["works"] == "even_pace"
    assert outcome["val/gain_low"] < outcome["val/gain"] < outcome["val/gain_high"]
    assert outcome["val/gain"] == pytest.approx(outcome["val/net"] - outcome["val/twap_net"])
    assert outcome["test/gain"] == pytest.approx(outcome["test/net"] - outcome["test/twap_net"])
    assert outcome["test/gain"] != 0.0  # its own choices are told, though none of them is used
    artefact = read_artefact(Path(made.place))
    card = msgspec.json.decode(artefact.files["agent.json"])
    assert (card["works"], card["figures"]["val/gain"]) == ("even_pace", outcome["val/gain"])
    (warned,) = [line for line in as_text(results).splitlines() if "no better than an even pace" in line]
    assert f"{outcome['val/gain_low']:.2f} to {outcome['val/gain_high']:.2f} with 95% certainty" in warned
    assert "in sessions it works at an even pace; train it for more order-steps" in warned
    run = session_of(words, {"use": "rl", "artefact": made.place, "horizon": 8})
    even = fills_of(session_of(words, {"use": "twap", "horizon": 8}))
    assert fills_of(run) == pytest.approx(even, rel=1e-6)  # a parent that goes on overnight is rounded anew
    assert len(even) > 1
    (caution,) = [said for said in replay(run).summary["warnings"] if "even pace" in said]
    assert "so it works at an even pace; take execution: {use: twap}" in caution


def test_who_wants_its_own_choices_all_the_same_has_them(tmp_path: Path) -> None:
    words = nothing_to_find(tmp_path, {"unless_better": "agent"})
    results = trained(words)
    (made,) = results.agents
    assert made.outcome["works"] == "agent"
    assert made.outcome["val/gain_low"] < 0
    assert "in sessions it works by its own choices all the same" in as_text(results)
    artefact = read_artefact(Path(made.place))
    run = session_of(words, {"use": "rl", "artefact": made.place, "horizon": 8})
    assert not any("even pace" in said for said in agent_cautions("execution", artefact, run, trial_feed(run), 0))
    other = trained(nothing_to_find(tmp_path)).agents[0]
    assert not other.reused  # an option like others
    assert other.outcome["test/net"] == made.outcome["test/net"]  # which changes nothing of what is learned


def trial_feed(run: RunFile) -> Any:
    from samewire.prepare import feed_of

    return feed_of(run)


def test_an_agent_that_is_better_is_not_touched_and_one_day_tells_nothing() -> None:
    better = {"val/gain": 3.0, "val/gain_low": 2.5, "val/gain_high": 3.5, "works": "agent"}
    assert no_better(better) == []
    (worse,) = no_better({"val/gain": -0.4, "val/gain_low": -0.7, "val/gain_high": -0.1, "works": "even_pace"})
    assert "0.40 bp less in net (-0.70 to -0.10 with 95% certainty)" in worse
    (single,) = no_better({"val/gain": 3.0, "works": "even_pace", "monitor": "val/reward"})
    assert "3.00 more in reward (of a single day, which tells nothing)" in single


def test_what_cannot_be_is_told_where_it_stands(tmp_path: Path) -> None:
    found = problems(a_run(tmp_path, {"unless_better": "twap", "baseline": "vwap"}))
    assert [(code, path) for code, path, _ in found] == [
        ("E108", "training.agent.unless_better"),
        ("E108", "training.agent.baseline"),
    ]
