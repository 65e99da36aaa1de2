"""What docs/costs.md shows is run as it stands."""

import re
from pathlib import Path

import pytest

from samewire import load_run, run
from samewire.registry import BUILT_IN, resolve
from samewire.schema import Component
from samewire.signatures import schema_of

PAGE = (Path(__file__).parent.parent.parent / "docs" / "costs.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RUN = """\
schema: 1
session: {name: costs, start: 2022-01-03, end: 2022-04-29, cash: 1_000_000, benchmark: none}
feed: {use: sample, symbols: 8}
models: [{use: momentum, window: 5}]
strategy: {use: sign}
optimizer: direct
broker:
  use: simulated
  fill: next_open
"""


def file_with(costs: str, folder: Path) -> Path:
    path = folder / "run.yaml"
    path.write_text(RUN + "".join(f"  {line}\n" for line in costs.splitlines()))
    return path


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> float:
    gross: float = run(file_with("costs: bps", tmp_path_factory.mktemp("free"))).summary["final_equity"]
    return gross


@pytest.mark.parametrize("costs", BLOCKS, ids=lambda text: re.sub(r"\W+", "_", text)[:40])
def test_costs_that_are_shown_cost_something(costs: str, tmp_path: Path, free: float) -> None:
    assert costs.startswith("costs:")
    result = run(file_with(costs, tmp_path))
    assert result.summary["fills"] > 20
    assert result.summary["cost"] > 0
    assert result.summary["final_equity"] != free


def test_every_cost_model_is_in_the_table_with_its_options_and_is_shown(tmp_path: Path) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, re.MULTILINE))
    assert set(rows) == set(BUILT_IN["costs"])
    for name, row in rows.items():
        for option in schema_of(resolve("costs", name), "costs").keys:
            assert f"`{option}`" in row, f"{name}: {option} is not in the table"
    shown = set()
    for text in BLOCKS:
        costs = load_run(file_with(text, tmp_path)).broker.options["costs"]
        assert isinstance(costs, Component)
        shown |= {costs.use} | {part.use for part in costs.options.get("parts", ())}
    assert shown == set(BUILT_IN["costs"])
