"""A refactor reproduces these sessions field by field; a change in behaviour writes them anew and says why."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.golden.sessions import CONFIGS, HERE, SESSIONS, told


def first_difference(found: Any, kept: Any, place: str = "") -> str | None:
    """Where two trees differ by more than 1e-9 relative."""
    if isinstance(kept, dict):
        keys = sorted({*found, *kept})
        differences = (first_difference(found.get(k), kept.get(k), f"{place}.{k}") for k in keys)
        return next((d for d in differences if d), None)
    if isinstance(kept, list):
        if len(found) != len(kept):
            return f"{place} has {len(found)} rows, not {len(kept)}"
        rows = enumerate(zip(found, kept, strict=True))
        return next((d for i, (a, b) in rows if (d := first_difference(a, b, f"{place}[{i}]"))), None)
    if isinstance(kept, float) and isinstance(found, float):
        return None if math.isclose(found, kept, rel_tol=1e-9, abs_tol=1e-9) else f"{place}: {found!r}, not {kept!r}"
    return None if found == kept else f"{place}: {found!r}, not {kept!r}"


@pytest.mark.parametrize("name", SESSIONS)
def test_the_session_is_as_it_was(name: str, tmp_path: Path) -> None:
    kept = json.loads((HERE / f"{name}.json").read_text())
    assert kept["events"]["Fills"] > 20
    assert len(kept["fills"]) > 10
    assert first_difference(told(name, tmp_path / "run"), kept) is None


def test_every_run_file_has_a_session_here_unless_it_needs_data_from_elsewhere() -> None:
    there = {path.name for path in CONFIGS.glob("*.yaml")}
    assert there - {config for config, _ in SESSIONS.values()} == {"sp500.yaml"}


def test_a_difference_is_found_and_named() -> None:
    assert first_difference({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-6]}) == ".a[1]: 2.0, not 2.000001"
    assert first_difference({"a": [1.0]}, {"a": [1.0, 2.0]}) == ".a has 1 rows, not 2"
