"""Whatever single value of a decision is changed in a record: verifying the session finds it and names it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.events import OpenOrders
from samewire import run
from samewire.recorded import open_recorded
from tests.samewire.forging import Told, forged, verified

CONFIGS = Path(__file__).parents[2] / "configs"
OVERRIDES = [
    "feed.symbols=8",
    "feed.years=2",
    "session.start=2018-03-01",
    "session.end=2018-04-30",
    "models[0].fast=3",
    "models[0].slow=6",
]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("changed") / "run"
    run(CONFIGS / "ema_cross.yaml", overrides=[*OVERRIDES, "session.cash=1e5"], out=folder)
    return folder


def put(seq: int, origin: str, event: Any) -> Callable[[Told], None]:
    """The change that sets this event in the place of record `seq`."""

    def change(runs: Told) -> None:
        at = 0
        for each in runs:
            if seq < at + len(each):
                each[seq - at] = (origin, event)
                return
            at += len(each)

    return change


def other(rng: np.random.Generator, value: Any) -> Any:
    """The same value with one bit or character changed; None where there is nothing to change."""
    if isinstance(value, np.ndarray) and value.size:
        copy = value.copy()
        raw = copy.reshape(-1).view(np.uint8)
        if value.dtype == np.bool_:
            raw[rng.integers(len(raw))] ^= 1
        else:
            raw[rng.integers(len(raw))] ^= np.uint8(1 << rng.integers(8))
        return copy
    if isinstance(value, OpenOrders):
        name = str(rng.choice(OpenOrders.__struct_fields__))
        changed = other(rng, getattr(value, name))
        return None if changed is None else msgspec.structs.replace(value, **{name: changed})
    if isinstance(value, float):
        return float(np.nextafter(value, np.inf))
    if type(value) is int:
        return value + 1
    return value + "x" if type(value) is str else None


def test_any_single_value_of_any_decision_that_was_changed_is_found_and_named(session: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    derived = [entry for entry in open_recorded(session).entries() if not entry.input]
    kinds = sorted({type(entry.event).__name__ for entry in derived})
    assert kinds == ["Approved", "Book", "Fills", "Note", "Orders", "Reports", "Signal", "Target"]
    tried = 0
    while tried < 35:
        kind = kinds[tried % len(kinds)]
        entry = rng.choice(np.array([e for e in derived if type(e.event).__name__ == kind], object))
        field = str(rng.choice(entry.event.__struct_fields__))
        value = other(rng, getattr(entry.event, field))
        if value is None or field == "source":  # who said it is no decision; it is told as another origin
            continue
        event = msgspec.structs.replace(entry.event, **{field: value})
        folder = forged(session, tmp_path / str(tried), put(entry.seq, entry.origin, event))
        verdict = verified(folder)
        found = verdict.difference
        assert found is not None, f"{kind}.{field} of record {entry.seq}"
        assert (found.seq, found.event, found.component) == (entry.seq, kind, entry.origin), (kind, field)
        assert found.field.partition(".")[0] == field
        shutil.rmtree(folder)
        tried += 1


def test_the_same_record_written_anew_is_identical(session: Path, tmp_path: Path) -> None:
    assert verified(forged(session, tmp_path / "same", lambda runs: None)).identical
