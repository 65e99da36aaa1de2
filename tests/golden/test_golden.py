"""A refactor reproduces these sessions event by event; a change in behaviour writes them anew and says why."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.sessions import CONFIGS, HERE, SESSIONS, sparse, told

_NEAR = 1e-9


def kept(name: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads((HERE / f"{name}.json").read_text())
    return found


def first_difference(found: list[list[Any]], golden: list[list[Any]]) -> str | None:
    """Event, field and row of the first difference by more than 1e-9, relative or absolute."""
    for k, (now, was) in enumerate(zip(found, golden, strict=False)):
        place = f"event {k}, {was[0]} of {was[1]} at {was[2]['ts']}"
        if now[:2] != was[:2]:
            return f"{place}: now a {now[0]} of {now[1]}"
        difference = _first(now[2], was[2], "")
        if difference:
            return f"{place}: {difference}"
    return None if len(found) == len(golden) else f"{len(found)} events, not {len(golden)}"


def _first(now: Any, was: Any, place: str) -> str | None:
    now, was = _rows(now), _rows(was)
    if isinstance(was, dict) and isinstance(now, dict):
        fields = sorted({*now, *was}, key=str)
        found = (_first(now.get(f), was.get(f), f"{place}[{f}]" if place else f) for f in fields)
        return next((each for each in found if each), None)
    if isinstance(was, float) and isinstance(now, float):
        same = math.isclose(now, was, rel_tol=_NEAR, abs_tol=_NEAR) or (math.isnan(now) and math.isnan(was))
    else:
        same = type(now) is type(was) and now == was
    return None if same else f"{place} is {now!r}, not {was!r}"


def _rows(value: Any) -> Any:
    """Any array by row, however it was written: at 1e-9 the value that most rows have may be another one."""
    if isinstance(value, list):
        return dict(enumerate(value)) | {"rows": len(value)}
    if isinstance(value, dict) and "shape" in value:
        count = math.prod(value["shape"])
        flat = value.get("flat") or [value["rows"].get(str(i), value["most"]) for i in range(count)]
        return dict(enumerate(flat)) | {"rows": value["shape"][0] if len(value["shape"]) == 1 else str(value["shape"])}
    return value


@pytest.mark.parametrize("name", SESSIONS)
def test_the_session_is_as_it_was(name: str, tmp_path: Path) -> None:
    assert first_difference(told(name, tmp_path / "run"), kept(name)) is None


def test_the_sessions_hold_every_kind_of_decision_and_of_its_consequences() -> None:
    events = [event for name in SESSIONS for event in kept(name)]
    kinds = {event[0] for event in events}
    decided = {"Signal", "Target", "Orders", "Approved", "Refusals", "Reports", "Fills", "Book"}
    assert kinds >= decided | {"Actions", "Charges", "Note", "Reference", "Control", "Bars", "Features"}
    assert {event[2]["mode"] for event in events if event[0] == "Book"} >= {0, 1}
    for name in SESSIONS:
        filled = [event for event in kept(name) if event[0] == "Fills" and event[2]["symbol"] != []]
        assert filled, name
        assert (HERE / f"{name}.json").stat().st_size < 160_000


def test_every_run_file_has_a_session_here_unless_it_needs_data_from_elsewhere() -> None:
    # And but for the one that is there to be trained: its session is that of execution.yaml.
    there = {path.name for path in CONFIGS.glob("*.yaml")}
    assert there - {config for config, _ in SESSIONS.values()} == {
        "sp500.yaml",
        "sp500_lightgbm.yaml",
        "sp500_alstm.yaml",
        "us_pit_lightgbm.yaml",
        "cost_aware.yaml",
        "agent.yaml",
    }


def signal(*value: float) -> list[Any]:
    return ["Signal", "mom", {"ts": 5, "source": "mom", "value": sparse(np.array(value))}]


def test_a_difference_is_found_and_named() -> None:
    nan = float("nan")
    was = [signal(1.0, nan, 0.0, 0.0, 0.0, 0.0, 2.0)]
    assert first_difference([signal(1.0 + 1e-10, nan, 0.0, 0.0, 1e-12, 0.0, 2.0)], was) is None
    for row, other in ((0, 1.0 + 1e-8), (1, 0.0), (2, nan), (5, 1e-8), (6, 0.0)):
        value = [1.0, nan, 0.0, 0.0, 0.0, 0.0, 2.0]
        before, value[row] = value[row], other
        said = f"event 0, Signal of mom at 5: value[{row}] is {other!r}, not {before!r}"
        assert first_difference([signal(*value)], was) == said
    assert first_difference([signal(1.0, nan)], [signal(1.0, nan, 0.0)]) is not None
    assert first_difference([], was) == "0 events, not 1"
    assert first_difference([["Target", *was[0][1:]]], was) == "event 0, Signal of mom at 5: now a Target of mom"
    assert first_difference([["Signal", "mom", was[0][2] | {"more": 1}]], was) is not None
