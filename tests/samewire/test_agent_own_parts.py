"""Parts of the user's own in the market of an agent: where they change, it learns anew."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samewire.agent_training import planned_agents
from samewire.schema import load_run
from tests.samewire.test_agent_training import a_run

COSTS = """
import helper_of_costs
from pathlib import Path
from components.costs.bps import Bps
class Mine(Bps):
    def __init__(self, *, table: Path | None = None) -> None:
        super().__init__(commission_bps=helper_of_costs.RATE)
"""
FEED = """
from components.rl.generated import GeneratedDays
class Days(GeneratedDays):
    def __init__(self, *, days: int = 130) -> None:
        super().__init__(days=days, symbols=2)
"""
FILES = {"own_costs.py": COSTS, "helper_of_costs.py": "RATE = 2.0\n", "own_feed.py": FEED, "rates.csv": "1\n"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("own_costs", "helper_of_costs", "own_feed"):
        sys.modules.pop(name, None)


def run_of(folder: Path, *, nested: bool = False, feed: str = "own_feed:Days") -> str:
    """The id of the one training."""
    costs: Any = {"use": "own_costs:Mine", "table": str(folder / "rates.csv")}
    broker = {"use": "simulated", "fill": "next_open", "costs": [costs, {"use": "bps"}] if nested else costs}
    words = a_run(folder) | {"broker": broker, "feed": {"use": feed}}
    _, (asked,), _ = planned_agents(load_run(words), None)
    return asked.run


@pytest.mark.parametrize("changed", FILES)
@pytest.mark.parametrize("nested", [False, True])
def test_a_change_of_ones_own_costs_their_files_or_feed_is_another_training(
    folder: Path, changed: str, nested: bool
) -> None:
    before = run_of(folder, nested=nested)
    assert run_of(folder, nested=nested) == before
    (folder / changed).write_text(FILES[changed] + "\n# 3\n")
    assert run_of(folder, nested=nested) != before
