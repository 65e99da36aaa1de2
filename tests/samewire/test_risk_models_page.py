"""What docs/risk-models.md shows is run as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from samewire import load_run, run
from samewire.registry import BUILT_IN, resolve
from samewire.schema import Component
from samewire.signatures import schema_of

PAGE = (Path(__file__).parent.parent.parent / "docs" / "risk-models.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
EVERYWHERE = {"window", "min_slices", "late_quantile"}
RUN = """\
schema: 1
session: {name: risk, start: 2022-01-03, end: 2022-03-31, cash: 1_000_000, benchmark: none}
feed: {use: sample, symbols: 8}
models: [{use: momentum, window: 5}]
strategy: {use: sign}
broker: {use: simulated, fill: next_open, costs: bps}
"""


def shown(text: str) -> Any:
    run_file: dict[str, Any] = yaml.safe_load(RUN + text)
    return load_run(run_file).optimizer.options["risk_model"]


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: re.sub(r"\W+", "_", text)[30:70])
def test_a_risk_model_that_is_shown_is_decided_by(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(RUN + text)
    result = run(path)
    assert result.summary["fills"] > 10


def test_every_risk_model_is_in_the_table_with_its_options_and_is_shown() -> None:
    table = PAGE[: PAGE.index("## Which one")]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", table, re.MULTILINE))
    assert set(rows) == set(BUILT_IN["risk_models"])
    for name, row in rows.items():
        options = set(schema_of(resolve("risk_models", name), "risk_models").keys)
        assert options >= EVERYWHERE
        said = set(re.findall(r"`(\w+)`", row.split("|")[-1])) - {"constant_variance", "constant_correlation"}
        assert said - {"single_factor"} == options - EVERYWHERE, name
        assert f"\n## {name}\n" in PAGE
    parts = [shown(text) for text in BLOCKS]
    assert all(isinstance(part, Component) for part in parts)
    assert {part.use for part in parts} | {"given_factors"} == set(BUILT_IN["risk_models"])
