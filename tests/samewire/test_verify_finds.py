"""Verification finds any flipped bit of a journal, and names timers, events and statements that are otherwise."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.files.journal_file import FILE
from engine.errors import DataError, StateError
from engine.events import Approved, Reports, Signal, Timer
from samewire import run
from samewire.findings import of_files
from samewire.recorded import open_recorded
from samewire.snapshots import latest
from samewire.verifying import verify
from tests.golden.sessions import CONFIGS, SESSIONS
from tests.samewire.forging import Told, forged, told, verified

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


LATENT = [
    *("feed.symbols=8", "feed.years=1", "session.start=2018-02-01", "session.end=2018-03-30", "risk.max_weight=0.5"),
    "models=[{name: mom, use: momentum, window: 5, latency: 2d}, {name: slow, use: momentum, window: 9, lag: 2}]",
    "strategy={use: topk_dropout, topk: 3, n_drop: 1, signal: mom}",
]


@pytest.fixture(scope="module")
def latent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session whose model answers by timers."""
    out = tmp_path_factory.mktemp("latent") / "out"
    run(CONFIGS / "ema_cross.yaml", overrides=LATENT, out=out)
    return out


def timer_of(runs: Told) -> int:
    """The tenth run that a timer began."""
    return [k for k, each in enumerate(runs) if isinstance(each[0][1], Timer)][9]


def gone(runs: Told) -> None:
    del runs[timer_of(runs)]


def behind_the_next(runs: Told) -> None:
    k = timer_of(runs)
    runs.insert(k + 1, runs.pop(k))


def a_nanosecond_later(runs: Told) -> None:
    k = timer_of(runs)
    event: Any = runs[k][0][1]
    runs[k][0] = ("input", msgspec.structs.replace(event, ts=event.ts + 1, due=event.ts + 1))


@pytest.mark.parametrize("change", [gone, behind_the_next, a_nanosecond_later], ids=lambda change: change.__name__)
def test_a_timer_that_is_not_where_it_was_asked_for_is_told_by_its_name(
    latent: Path, tmp_path: Path, change: Any
) -> None:
    assert verified(forged(latent, tmp_path / "same", lambda runs: None)).identical
    runs = told(latent)
    k = timer_of(runs)
    due = runs[k][0][1].ts
    verdict = verified(forged(latent, tmp_path / "forged", change))
    found = verdict.difference
    assert found is not None
    assert (found.component, found.event, found.seq) == ("timers", "Timer", sum(map(len, runs[:k])))
    assert found.found == f"Timer signal:mom of {due}"
    assert verdict.cause == "clock"


def twice(runs: Told) -> None:
    k = timer_of(runs)
    runs.insert(k + 1, [runs[k][0]])


def of_nobody(runs: Told) -> None:
    ts = runs[-1][0][1].ts
    runs.append([("input", Timer(ts=ts, name="nobody", due=ts))])


@pytest.mark.parametrize("change", [twice, of_nobody], ids=lambda change: change.__name__)
def test_a_timer_that_nobody_asked_for_is_told(latent: Path, tmp_path: Path, change: Any) -> None:
    assert not verified(forged(latent, tmp_path / "forged", change)).identical


def test_an_event_that_is_found_and_was_not_recorded_is_told(session: Path, tmp_path: Path) -> None:
    runs = told(session)
    k = max(k for k, each in enumerate(runs) if isinstance(each[-1][1], Approved | Reports))
    last = runs[k][-1][1]
    verdict = verified(forged(session, tmp_path / "forged", lambda runs: runs[k].pop() and None))
    found = verdict.difference
    assert found is not None
    assert (found.seq, found.event) == (sum(map(len, runs[: k + 1])) - 1, type(last).__name__)
    assert (found.recorded, found.found) == ("nothing", type(last).__name__)


def patched(folder: Path, change: Any) -> Path:
    """With other statements in its manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    return folder


def another_score(runs: Told) -> None:
    run = next(run for run in runs[::-1] if any(isinstance(event, Signal) for _, event in run))
    for place, (origin, event) in enumerate(run):
        if isinstance(event, Signal):
            run[place] = (origin, msgspec.structs.replace(event, value=event.value * 2.0))


@pytest.mark.parametrize(
    ("section", "name", "cause", "what"),
    [
        ("libraries", "numpy", "library", "numpy"),
        ("machine", "", "library", "machine: "),
        ("python", "", "library", "python"),
        ("code", "", "code", "samewire"),
    ],
)
def test_what_has_changed_since_is_the_cause_of_a_decision_that_differs(
    session: Path, tmp_path: Path, section: str, name: str, cause: str, what: str
) -> None:
    def change(manifest: Any) -> None:
        within = name or (next(iter(manifest[section])) if isinstance(manifest[section], dict) else "")
        if within:
            manifest[section][within] = "another"
        else:
            manifest[section] = "another"

    same = verified(patched(copied(session, tmp_path / "same"), change))
    assert same.identical
    assert [(f.cause, f.recorded) for f in same.findings] == [(cause, "another")]
    assert same.findings[0].what.startswith(what)
    verdict = verified(patched(forged(session, tmp_path / "forged", another_score), change))
    assert verdict.difference is not None
    assert (verdict.difference.event, verdict.difference.field) == ("Signal", "value")
    assert verdict.cause == cause


def test_a_table_that_a_component_read_is_compared_by_its_hash(tmp_path: Path) -> None:
    run(CONFIGS / "scores.yaml", overrides=["session.end=2021-02-05"], out=tmp_path / "out")
    assert not list(of_files(open_recorded(tmp_path / "out")))

    def change(manifest: Any) -> None:
        manifest["tables"] = dict.fromkeys(manifest["tables"], "another")

    patched(tmp_path / "out", change)
    (found,) = of_files(open_recorded(tmp_path / "out"))
    assert (found.cause, found.recorded) == ("data revision", "another")
    assert "scores.csv" in found.what
    assert [f.what for f in verified(tmp_path / "out").findings] == [found.what]


SNAPSHOTS = "session.snapshot_every=13"
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
    assert whole.findings == ()
    snapshot = latest(tmp_path / "out" / "journal")
    rest = asyncio.run(verify(open_recorded(tmp_path / "out"), snapshot=snapshot))
    assert (rest.identical, rest.digest, rest.since) == (True, recorded.digest, snapshot.events), rest
    assert 0 < rest.since < rest.events == whole.events


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        *((f"config.{name}", None, "is a NoneType, not a mapping") for name in ("session", "feed", "broker")),
        ("components.feed", None, "is a NoneType, not a mapping"),
        ("config.sinks", 1, "is a int, not a list"),
        ("feed.hashes", None, "is a NoneType, not a mapping"),
        ("universe.currency", None, "is a NoneType, not a number or a list of them"),
        ("models.momentum", None, "is a NoneType, not a hash"),
        ("seed", float("nan"), "its manifest holds NaN"),
    ],
)
def test_what_is_of_another_kind_within_a_manifest_is_named(
    session: Path, tmp_path: Path, path: str, value: Any, said: str
) -> None:
    def change(manifest: Any) -> None:
        *outer, last = path.split(".")
        for key in outer:
            manifest = manifest[key]
        manifest[last] = value

    name = "" if path == "seed" else f"'{path}' of its manifest "
    with pytest.raises(DataError, match=f"{name}{said}"):
        open_recorded(patched(copied(session, tmp_path / "copy"), change))


def test_a_model_that_the_run_file_does_not_have_is_named(session: Path, tmp_path: Path) -> None:
    folder = patched(copied(session, tmp_path / "copy"), lambda manifest: manifest["models"].update(other="aa"))
    verdict = verified(folder)
    assert verdict.difference is not None
    assert (verdict.difference.event, verdict.cause) == ("manifest: models.other", "record")
