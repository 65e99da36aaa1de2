"""How far agents are, which of them failed and what was passed over is told, of a teacher too and by its name."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from adapters.tracking.store import RunStore
from engine.clock import SystemClock
from samewire.agent_training import AgentResults, as_text, train_agents
from samewire.schema import load_run
from samewire.training import How
from tests.samewire.test_agent_training import a_run

TEACHER = {"use": "trained", "steps": 2_100, "hidden": [8]}


class Listening:
    """A watcher that keeps what it is told while agents learn."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def begun(self, total: int, done: int) -> None: ...
    def told(self, said: str) -> None: ...
    def warned(self, text: str) -> None: ...

    def going(self, said: str) -> None:
        self.heard.append(said)


def listened(words: dict[str, Any]) -> tuple[AgentResults, list[str]]:
    watcher: Any = Listening()
    return train_agents(load_run(words), How(clock=SystemClock(), watcher=watcher)), watcher.heard


def test_a_teacher_is_told_of_before_its_student(tmp_path: Path) -> None:
    _, heard = listened(a_run(tmp_path, {"teacher": TEACHER}))
    teacher, student = [said for said in heard if "teacher" in said][-1], heard[-1]
    assert re.fullmatch(r"agent  teacher: 2,048 of 2,048 order-steps, val/reward -?\d+\.\d\d", teacher)
    assert re.fullmatch(r"agent  2,048 of 2,048 order-steps, val/net -?\d+\.\d\d bp", student)
    _, alone = listened(a_run(tmp_path / "alone"))
    assert not any("teacher" in said for said in alone)


def test_a_teacher_that_diverges_is_named(tmp_path: Path) -> None:
    agent = {"teacher": TEACHER, "algorithm": {"use": "ppo", "lr": 1e9, "batch": 64}}
    results, _ = listened(a_run(tmp_path, agent))
    assert re.search(r"agent: failed, .*teacher: training: .* in iteration \d", as_text(results))


@pytest.mark.parametrize("whose", ["teacher", "student"])
def test_a_damaged_checkpoint_that_was_passed_over_is_told_at_the_end(
    whose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, log = a_run(tmp_path, {"teacher": TEACHER}), RunStore.log
    named = "teacher: " if whose == "teacher" else ""

    def interrupted(self: RunStore, run: Any, metrics: Any) -> None:
        log(self, run, metrics)
        if any((each.name, each.step) == (named.replace(": ", "/") + "steps", 2) for each in metrics):
            raise KeyboardInterrupt

    monkeypatch.setattr(RunStore, "log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        listened(words)
    monkeypatch.setattr(RunStore, "log", log)
    newest = max(
        path
        for path in (tmp_path / "store" / "work").rglob("iteration-*.safetensors")
        if (path.parent.name == "teacher") == (whose == "teacher")
    )
    os.truncate(newest, newest.stat().st_size // 2)
    text = as_text(listened(words)[0])
    (line,) = [line for line in text.splitlines() if "passed over" in line]
    assert line.startswith(f"  warning  agent: {named}a checkpoint is passed over: ")
    assert newest.name in line
    assert "remove" not in line
    assert line.endswith("; training goes on from iteration 1")
