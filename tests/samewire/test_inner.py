"""Classes of a user's own within components of ours, in sessions."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.events import Note
from samewire import run
from samewire.snapshots import latest
from tests.samewire.test_guards import events

INNER = "tests.samewire.inner"
COUNTS, SAYS, TURNS = ({"use": f"{INNER}:{name}"} for name in ("Counts", "Says", "Turns"))
TOP = {"use": "topk_dropout", "topk": 2, "n_drop": 1}
BLEND = {"use": "blend_signals", "strategy": TOP | {"filters": ["tradable", TURNS]}}


def a_run(strategy: Any, costs: Any = None, **more: Any) -> dict[str, Any]:
    session = {"name": "inner", "cash": 1_000_000, "start": "2018-01-02", "end": "2018-03-01", "snapshot_every": 10}
    return {
        "schema": 1,
        "session": session,
        "feed": {"use": "sample", "symbols": 8},
        "models": [{"use": "momentum", "window": 5}],
        "strategy": strategy,
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": costs or {"commission_bps": 5}},
    } | more


@pytest.mark.parametrize(
    ("strategy", "costs", "name"),
    [
        (COUNTS | {"schedule": "weekly"}, None, "strategy.strategy"),
        ({"use": "sleeves", "strategies": ["equal_weight", COUNTS]}, None, "strategy.strategies[1]"),
        (TOP | {"filters": TURNS}, None, "strategy.filters[0]"),
        (BLEND, None, "strategy.strategy.filters[1]"),
        (TOP, {"use": f"{INNER}:Dearer"}, "broker.costs"),
        (TOP, [{"use": "bps"}, {"use": f"{INNER}:Dearer"}], "broker.costs.parts[1]"),
    ],
)
def test_what_stands_within_and_cannot_be_saved_is_named(strategy: Any, costs: Any, name: str, tmp_path: Path) -> None:
    """A session that would go on from nothing there is taken up nowhere but at its start."""
    run(a_run(strategy, costs), out=tmp_path / "out")
    with pytest.raises(ConfigError) as refused:
        latest(tmp_path / "out" / "journal")
    assert str(refused.value).startswith(f"{name}: it has no save and load")


def test_one_that_can_be_saved_is_in_the_way_of_nothing(tmp_path: Path) -> None:
    run(a_run(SAYS | {"schedule": "weekly", "filters": "tradable"}), out=tmp_path / "out")
    assert latest(tmp_path / "out" / "journal").without == []


def test_a_volatility_target_that_knows_no_risk_says_so_once(tmp_path: Path) -> None:
    rule = {"use": "volatility_target", "target": 0.05, "risk_model": f"{INNER}:Blind"}
    run(a_run(TOP | {"rules": rule}), out=tmp_path / "out")
    (note,) = [note for note in events(tmp_path / "out", Note) if note.kind == "rule:volatility_target"]
    assert "variance of what is wanted is nan, so the last factor stands: all that is wanted is multiplied" in note.text
    assert note.value.tolist() == [1.0]
