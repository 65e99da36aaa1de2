"""Verification finds any flipped bit of a journal, and any decision that is otherwise, however well it is hidden."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.files.journal_file import FILE, JournalFile, read_blocks
from engine.errors import DataError, StateError
from engine.events import Event
from engine.journal import Journal
from engine.journal_reading import Run, read_runs
from samewire import run
from samewire.recorded import open_recorded
from samewire.snapshots import latest
from samewire.verifying import Verdict, verify
from tests.golden.sessions import CONFIGS, SESSIONS

SPEC: dict[str, Any] = {
    "schema": 1,
    "session": {"name": "small", "start": "2018-02-01", "end": "2018-03-15", "cash": 100_000, "record": "values"},
    "feed": {"use": "sample", "symbols": 8, "years": 1},
    "models": [{"name": "mom", "use": "momentum", "window": 5}],
    "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1},
    "optimizer": "direct",
    "risk": {"max_weight": 0.6},
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finds") / "out"
    assert run(SPEC, out=out).summary["fills"] > 10
    return out


def verified(folder: Path) -> Verdict:
    return asyncio.run(verify(open_recorded(folder)))


def copied(session: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(session, folder)
    return folder


SOME = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SOME
@given(data=st.data())
def test_a_flipped_bit_is_never_identical(session: Path, tmp_path: Path, data: st.DataObject) -> None:
    folder = copied(session, tmp_path / "flipped")
    path = folder / "journal" / FILE
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    try:
        verdict = verified(folder)
    except (StateError, DataError):
        return
    assert not verdict.identical


def events_of(each: Run) -> list[Event]:
    found = [record.event for record in each.records]
    assert all(event is not None for event in found)
    return found  # type: ignore[return-value]


def changed(event: Any, draw: Any) -> Any:
    """The event with one value of one column, or one plain number, otherwise; None where it has none to change."""
    columns = [
        n for n in event.__struct_fields__ if isinstance(getattr(event, n), np.ndarray) and getattr(event, n).size
    ]
    if not columns:
        return None
    name = draw(st.sampled_from(columns))
    array = getattr(event, name).copy()
    place = draw(st.integers(0, array.size - 1))
    flat = array.reshape(-1).view(np.uint8).reshape(array.size, -1)
    flat[place, draw(st.integers(0, flat.shape[1] - 1))] ^= 1
    return msgspec.structs.replace(event, **{name: array}), name


@SOME
@given(data=st.data())
def test_one_changed_decision_is_found_though_the_digests_were_made_anew(
    session: Path, tmp_path: Path, data: st.DataObject
) -> None:
    runs = list(read_runs(read_blocks(session / "journal")))
    k = data.draw(st.integers(0, len(runs) - 1))
    place = data.draw(st.integers(1, max(1, len(runs[k].records) - 1)))
    events = [events_of(each) for each in runs]
    if place >= len(events[k]):
        return
    forged = changed(events[k][place], data.draw)
    if forged is None:
        return
    events[k][place], field = forged
    folder = copied(session, tmp_path / "forged")
    (folder / "journal" / FILE).unlink()
    file = JournalFile(folder / "journal")
    journal = Journal(file.write)
    for each, told in zip(runs, events, strict=True):
        journal.append([record.origin for record in each.records], told)
    journal.end()
    file.close()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"digest": journal.digest}))
    verdict = verified(folder)
    assert verdict.difference is not None
    record = runs[k].records[place]
    found = verdict.difference
    assert (found.seq, found.component, found.event) == (record.seq, record.origin, record.kind)
    assert found.field.partition(".")[0] == field


SNAPSHOTS = "session.snapshot_every=15"
OVERRIDES = {name: (CONFIGS / config, [*more, SNAPSHOTS]) for name, (config, more) in SESSIONS.items()}
OVERRIDES["late answers"] = (
    CONFIGS / "ema_cross.yaml",
    ["feed.symbols=10", "session.start=2020-02-03", "session.end=2020-05-29", "risk.max_weight=0.5"]
    + ["models=[{name: mom, use: momentum, window: 5, latency: 2d}, {name: slow, use: momentum, window: 9, lag: 2}]"]
    + ["strategy={use: topk_dropout, topk: 3, n_drop: 1, signal: mom}", SNAPSHOTS],
)


@pytest.mark.parametrize("name", OVERRIDES)
def test_every_run_file_of_ours_is_identical_from_its_start_and_from_its_middle(name: str, tmp_path: Path) -> None:
    config, overrides = OVERRIDES[name]
    run(config, overrides=overrides, out=tmp_path / "out")
    recorded = open_recorded(tmp_path / "out")
    whole = verified(tmp_path / "out")
    assert (whole.identical, whole.ended, whole.digest) == (True, True, recorded.digest), whole
    snapshot = latest(tmp_path / "out" / "journal")
    rest = asyncio.run(verify(open_recorded(tmp_path / "out"), snapshot=snapshot))
    assert (rest.identical, rest.digest, rest.since) == (True, recorded.digest, snapshot.events), rest
    assert 0 < rest.since < rest.events == whole.events
