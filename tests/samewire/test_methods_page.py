"""What docs/portfolio-methods.md shows is what a run file may say, and all of it."""

import re
from pathlib import Path
from typing import Any

import pytest

from components.optimizers.problem import Method
from engine.events import Bars, Book, Out, Target
from engine.universe import Universe
from samewire import load_run
from samewire.registry import BUILT_IN, resolve
from samewire.signatures import schema_of
from samewire.trial import trial

PAGE = (Path(__file__).parent.parent.parent / "docs" / "portfolio-methods.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ELSEWHERE = {"composed"}  # has a page of its own
RUN = """\
schema: 1
session: {name: methods, cash: 1_000_000}
feed: {use: sample, symbols: 8}
models: [{use: momentum, window: 5}]
strategy: {use: sign}
optimizer:
  use: tests.samewire.test_methods_page:Weighing
"""


class Weighing:
    """An optimizer around a method."""

    def __init__(self, *, universe: Universe, method: Method) -> None:
        self.universe, self.method = universe, method

    def on_bars(self, bars: Bars, /) -> None: ...

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Out:
        del targets, book
        return None


def loaded(method: str, folder: Path) -> Any:
    path = folder / "run.yaml"
    broker = "broker: {use: simulated, fill: next_open, costs: bps}\n"
    path.write_text(RUN + "".join(f"  {line}\n" for line in method.splitlines()) + broker)
    return load_run(path)


def rows() -> dict[str, str]:
    """What each method's row of the table says."""
    return {
        name: row
        for names, row in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|(.*)\|$", PAGE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
        if "`" in row
    }


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: re.sub(r"\W+", "_", text)[:40])
def test_methods_that_are_shown_are_ones(text: str, tmp_path: Path) -> None:
    run = loaded(text, tmp_path)
    method = run.optimizer.options["method"]
    assert method.use in BUILT_IN["methods"]
    assert trial(method, schema_of(resolve("methods", method.use), "methods")) == ""


def test_every_method_is_in_the_table_with_its_options_and_is_shown() -> None:
    table = rows()
    assert set(table) == set(BUILT_IN["methods"]) - ELSEWHERE
    for name, row in table.items():
        for option in schema_of(resolve("methods", name), "methods").keys:
            assert f"`{option}`" in row, f"{name}: {option} is not in the table"
    shown = {name for text in BLOCKS for name in re.findall(r"use: (\w+)", text)}
    assert shown == set(table)


def test_what_is_written_is_what_is_constructed(tmp_path: Path) -> None:
    (text,) = [block for block in BLOCKS if "black_litterman" in block]
    run = loaded(text, tmp_path)
    assert run.optimizer.options["method"].options["views"][0].weights == {"CO01": 1, "FI01": -1}
