"""What docs/strategies.md shows is run as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from samewire import run
from samewire.registry import BUILT_IN, resolve
from samewire.run_file import nested_in
from samewire.schema import load_run
from samewire.signatures import schema_of

OTHER_PAGES = {"sign", "qlib_topk_dropout", "guarded"}
PAGE = (Path(__file__).parent.parent.parent / "docs" / "strategies.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RUN = """\
schema: 1
session: {name: strategies, start: 2021-01-04, end: 2021-09-30, cash: 1_000_000, benchmark: none}
feed: {use: sample, symbols: 20}
optimizer: direct
broker: {use: simulated, fill: next_open, short: true, leverage: 2, costs: {commission_bps: 5}}
"""
MODELS = "models: [{use: momentum, window: 20}]\n"


def file_with(block: str, folder: Path) -> Path:
    path = folder / "run.yaml"
    path.write_text(RUN + ("" if "models:" in block else MODELS) + block)
    return path


@pytest.mark.parametrize("block", BLOCKS, ids=lambda text: re.sub(r"\W+", "_", text)[:60])
def test_a_strategy_that_is_shown_invests_and_is_not_refused(block: str, tmp_path: Path) -> None:
    result = run(file_with(block, tmp_path))
    assert result.to_pandas("equity")["gross"].iloc[60:].mean() > 0.5
    assert result.summary["refusals"] < 0.02 * result.summary["orders"]


def test_every_strategy_is_in_the_table_with_its_options() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE, re.MULTILINE))
    for name in set(BUILT_IN["strategies"]) - {"guarded"}:
        for option in schema_of(resolve("strategies", name), "strategies").keys:
            assert f"`{option}`" in rows[name], f"{name}: {option} is not in the table"


def test_every_strategy_is_shown_but_those_of_other_pages(tmp_path: Path) -> None:
    def uses(component: Any) -> set[str]:
        inner = [part for value in component.options.values() for part in nested_in(value)]
        return {component.use}.union(*map(uses, inner))

    shown = set[str]()
    for block in BLOCKS:
        assert "strategy" in yaml.safe_load(block)
        for strategy in load_run(file_with(block, tmp_path)).strategies:
            shown |= uses(strategy)
    assert set(BUILT_IN["strategies"]) - shown <= OTHER_PAGES
