"""One live session over a faulty feed, read back while it runs and once it ended; what was changed of it is named."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from components.models.momentum import Momentum
from engine.events import Signal
from samewire.cli import main
from tests.samewire.live.faulty import RUN
from tests.samewire.live.sessions import Ground

FAULTS = ("--delay=0.05", "--correct=0.06", "--drop=0.03", "--duplicate=0.05", "--seed=4")
Said = Callable[[], dict[str, Any]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The last JSON that a command wrote."""

    def last() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    return last


async def called(*arguments: str) -> int:
    return await asyncio.to_thread(main, list(arguments))


async def test_a_session_is_read_back_while_it_runs_and_when_it_ended(
    kafka: str, topic_prefix: str, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text(RUN.replace("2019-04-30", "2019-03-29"))
    ground = Ground(tmp_path / "run.yaml", kafka, topic_prefix, "live.snapshot_every=10")
    await ground.feed(*FAULTS)
    await ground.live(until=15)
    assert await ground.command("fetch", "--out", str(tmp_path / "so-far"), "--format", "json") == 0
    so_far = said()
    assert not so_far["ended"]
    assert await called("verify", str(tmp_path / "so-far"), "--format", "json") == 0
    assert said()["digest"] == so_far["digest"]

    await ground.live()
    live = tmp_path / "live"
    assert await ground.command("fetch", "--out", str(live), "--format", "json") == 0
    whole = said()
    assert whole["ended"]
    assert whole["events"] > so_far["events"]
    command = [sys.executable, "-m", "samewire", "verify", str(live)]
    fresh = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert (fresh.returncode, whole["digest"] in fresh.stdout) == (0, True)
    assert await called("verify", str(live), "--from", "last") == 0
    order = pq.read_table(live / "orders.parquet")["order_id"][0].as_py()
    shown = (["tap", "fills"], ["why", order], ["report"], ["decisions"], ["attribution"], ["audit", "verify"])
    for shows in shown:
        where = ["--dir", str(live)] if shows[0] in ("tap", "why") else [str(live)]
        assert await called(*shows, *where) == 0, shows

    assert await ground.command("replay", "--as-seen", "--format", "json") == 0
    seen = said()
    assert (seen["digest"], seen["identical"], seen["slices"]) == (whole["digest"], True, 40)
    final = str(tmp_path / "final")
    assert await ground.command("replay", "--as-final", "--out", final, "--format", "json") == 0
    changes = said()
    assert min(changes["bars"][name] for name in ("late", "corrected", "missing", "slices")) > 0
    assert changes["first"]["component"] in ("plane", "mom", "broker")
    assert changes["equity"]["as_seen"] != changes["equity"]["as_final"]
    assert await called("verify", final) == 0
    await patches_are_named(live, tmp_path, said)

    was = Momentum.on_bars
    monkeypatch.setattr(Momentum, "on_bars", lambda model, bars: other(was(model, bars)))
    assert await ground.command("replay", "--as-seen", "--format", "json") == 1
    assert "mom: Signal value" in said()["difference"]
    assert await ground.command("fetch", "--out", str(tmp_path / "again")) == 1
    assert not (tmp_path / "again").exists()
    assert await called("verify", str(tmp_path / "again.failed"), "--format", "json") == 1
    assert said()["difference"]["component"] == "mom"


def other(signal: Signal) -> Signal:
    return msgspec.structs.replace(signal, value=signal.value + 1e-12)


async def patches_are_named(live: Path, folder: Path, said: Said) -> None:
    """One configuration value, one artefact, one byte of the journal."""
    patched = shutil.copytree(live, folder / "configured")
    text = (patched / "run.yaml").read_text()
    (patched / "run.yaml").write_text(text.replace("n_drop: 1", "n_drop: 2"))
    assert await called("verify", str(patched), "--format", "json") == 1
    found = said()
    assert (found["cause"], found["difference"]["component"]) == ("configuration", "top")

    patched = shutil.copytree(live, folder / "modelled")
    file = next(path for path in sorted((patched / "models" / "plane").iterdir()) if path.suffix != ".json")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert await called("verify", str(patched), "--format", "json") == 1
    assert said()["cause"] == "model file"

    patched = shutil.copytree(live, folder / "barred")
    journal = patched / "journal" / "events.swj"
    content = bytearray(journal.read_bytes())
    content[len(content) // 2] ^= 1
    journal.write_bytes(content)
    assert await called("verify", str(patched), "--format", "json") == 3
    assert "events.swj: the block at byte" in said()["message"]
