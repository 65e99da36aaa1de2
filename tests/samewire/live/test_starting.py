"""`samewire live` and `samewire status` as processes of their own: what a start builds, and how a session is."""

import asyncio
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from adapters.kafka.codec import Codec, Origin
from adapters.kafka.messages import StatusMessage
from adapters.kafka.transport import Producer, transact
from engine.clock import SystemClock
from engine.universe import universe_of
from samewire.cli import main

COUNTED = """\
import os
from pathlib import Path
from adapters.files.sample import SampleFeed

class Counted:
    def __init__(self, *, log: Path) -> None:
        self._inner = SampleFeed(symbols=8, years=1)
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\\n")

    def events(self, start=None, end=None):
        return self._inner.events(start, end)

    def issues(self):
        return self._inner.issues()

    def hashes(self):
        return self._inner.hashes()

    def __getattr__(self, name):
        return getattr(self._inner, name)
"""
RUN = """\
schema: 1
session: {{name: quick, cash: 1_000_000, start: 2018-03-01, end: 2018-03-09, seed: 7}}
feed: {{use: "counted_feed:Counted", log: {log}}}
models: [{{name: m, use: momentum, window: 5}}]
strategy: {{use: topk_dropout, topk: 2, n_drop: 1}}
optimizer: direct
broker: {{use: simulated, fill: next_open, costs: {{commission_bps: 5}}}}
live: {{env: {env}, servers: "{kafka}", dev: true, health_s: 1}}
"""


def status(capsys: pytest.CaptureFixture[str], path: str, *more: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["status", path, "--format", "json", *more])
    return code, json.loads(capsys.readouterr().out)


def said_of(kafka: str, env: str, state: str, age_s: float) -> None:
    """A report of a process that began then and said nothing since."""
    codec = Codec(env, universe_of(("A",)), Origin(daemon="quick"))
    began = SystemClock().now_ns() - round(age_s * 1e9)
    said = StatusMessage(session="quick", run_id="r", state=state, mode="ACTIVE", started_at=began, slices=1)

    async def write() -> None:
        outbox = Producer({"bootstrap_servers": kafka}, f"said.{env}")
        await outbox.start()
        await transact(outbox, [codec.status(said)])
        await outbox.close()

    asyncio.run(write())


@pytest.mark.slow
def test_a_session_builds_its_feed_once_and_tells_that_it_ended_in_order(
    kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log, path = tmp_path / "built", str(tmp_path / "run.yaml")
    (tmp_path / "counted_feed.py").write_text(textwrap.dedent(COUNTED))
    Path(path).write_text(RUN.format(log=log, env=topic_prefix, kafka=kafka))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    assert main(["topics", path, "--create"]) == 0
    code, told = status(capsys, path)
    assert (code, told["state"], told["running"], told["ok"]) == (1, "unknown", False, False)
    assert main(["feed", path]) == 0
    log.unlink()

    done = subprocess.run([sys.executable, "-m", "samewire", "live", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(log.read_text().splitlines()) == 1, "the feed was built again"

    code, told = status(capsys, path)
    assert (code, told["state"], told["running"], told["ok"]) == (0, "ended", False, True)
    assert told["silent"].startswith("ended in order at 20")
    assert told["silent"].endswith(": it came to its end")
    code, told = status(capsys, path, "--running")
    assert (code, told["ok"]) == (1, False)
    assert main(["status", path]) == 0
    assert capsys.readouterr().out.startswith("ended in order at 20")

    said_of(kafka, topic_prefix, "live", 2.0)
    assert status(capsys, path, "--running")[0] == 0
    said_of(kafka, topic_prefix, "live", 100.0)  # it should say so every second
    code, told = status(capsys, path)
    assert (code, told["state"]) == (1, "silent")
    assert told["silent"].startswith("it last said how it is 1")  # a hundred seconds ago, more on a slow machine
