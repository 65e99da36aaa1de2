"""What docs/guards.md shows is run as it stands, and its tables have every guard with its options."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.events import Note
from samewire import load_run, run
from samewire.recorded import open_recorded
from samewire.registry import BUILT_IN, resolve
from samewire.signatures import schema_of

PAGE = (Path(__file__).parent.parent.parent / "docs" / "guards.md").read_text()
RUN: dict[str, Any] = {
    "schema": 1,
    "session": {"name": "page", "start": "2018-03-01", "cash": 1_000_000},
    "feed": {"use": "sample", "symbols": 8, "years": 1},
    "models": [{"use": "momentum", "window": 20}],
    "optimizer": "direct",
    "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
}


def kinds_in(folder: Path) -> set[str]:
    return {entry.event.kind for entry in open_recorded(folder).entries() if isinstance(entry.event, Note)}


@pytest.mark.parametrize("group", ["filters", "rules", "schedules"])
def test_every_guard_is_in_its_table_with_its_options(group: str) -> None:
    section = PAGE.split(f"\n## {group.capitalize()}\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", section, re.MULTILINE))
    assert list(rows) == list(BUILT_IN[group])
    for name, row in rows.items():
        keys = [key for key in schema_of(resolve(group, name), group).keys if key != "exit"]
        assert [key for key in keys if f"`{key}`" not in row] == [], name


def test_the_rules_that_are_shown_alone_close_and_scale(tmp_path: Path) -> None:
    (block,) = [text for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if text[0] == "r"]
    run(RUN | {"strategy": {"use": "sign"} | yaml.safe_load(block)}, out=tmp_path / "run")
    kinds = kinds_in(tmp_path / "run")
    assert {"rule:trailing_stop", "rule:volatility_target"} <= kinds


def test_guards_of_ones_own_that_are_shown_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "shown_guards.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        own = {
            "filters": ["shown_guards:NoPennies"],
            "rules": ["shown_guards:Fridays"],
            "schedule": "shown_guards:Tens",
        }
        made = load_run(RUN | {"strategy": {"use": "sign"} | own})
        assert made.strategies[0].use == "guarded"
        run(RUN | {"strategy": {"use": "sign"} | own}, out=tmp_path / "run")
        assert "rule:fridays" in kinds_in(tmp_path / "run")
    finally:
        sys.modules.pop("shown_guards", None)
        importlib.invalidate_caches()
