"""One turn in a process of its own: the artefact of the replay, or why there is none; and the loop goes on."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from components.models.artefact import read_artefact
from engine.errors import ConfigError
from engine.events import Bars, Control
from samewire import run
from samewire.prepare import feed_of
from samewire.recorded import open_recorded
from samewire.retraining import turns
from samewire.retraining_worker import NotReady, Trained, carry_out, turn
from samewire.run_file import RetrainSpec, RunFile
from samewire.schema import load_run
from tests.adapters.scaleout.test_pool import gone, wait_for
from tests.samewire.test_retraining import said


def walk(retrain: dict[str, Any] | None = None, **options: Any) -> RunFile:
    """A least-squares model of the user's own that learns anew on a random walk of 100 slices."""
    learns = {"name": "linear", "use": "tests.samewire.learners:Linear", "features": "rolling"}
    return load_run(
        {
            "schema": 1,
            "session": {"name": "walks", "cash": 1_000_000, "seed": 3},
            "feed": {"use": "tests.samewire.own:Walk", "symbols": 5, "slices": 100},
            "features": [{"name": "rolling", "use": "rolling", "windows": [3]}],
            "models": [learns | {"retrain": {"every": "20", "least": 10} | (retrain or {})} | options],
            "strategy": {"use": "tests.samewire.own:Equal"},
            "optimizer": "direct",
            "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
        }
    )


def slices(of: RunFile) -> list[int]:
    return [event.ts for event in feed_of(of).events() if isinstance(event, Bars)]


def test_a_turn_leaves_what_the_replay_has_from_it_and_the_loop_goes_on(tmp_path: Path) -> None:
    """LightGBM on a sliding window with latency: every artefact of a replay has its twin."""
    plain = load_run(said())
    begin = str(np.datetime64(slices(plain)[0], "ns").astype("datetime64[D]") + 200)
    whole = load_run(said(begin, latency=1))
    run(whole, out=tmp_path / "out")
    controls = [e.event for e in open_recorded(tmp_path / "out").entries() if isinstance(e.event, Control)]
    spec = whole.models[0].retrain
    assert spec is not None
    planned = turns(slices(whole), controls[0].ts, spec)
    ticks = 0

    async def both() -> list[Trained | NotReady]:
        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        try:
            return [await turn(whole, "gbdt", planned[k].known) for k in (0, 1)]
        finally:
            ticking.cancel()

    found = asyncio.run(both())
    for one, control, name, due in zip(found, controls, ("gbdt", "gbdt@2"), planned, strict=False):
        assert isinstance(one, Trained), one
        assert one.artefact.hash == control.artefact
        assert one.artefact.files == read_artefact(tmp_path / "out" / "models" / name).files
        assert (one.until, control.ts) == (due.known + 1, due.ts)
    assert ticks > 40, "it took seconds, and nobody else waited"


async def test_a_process_that_dies_is_not_ready() -> None:
    dies = walk(die_after=1)
    assert await turn(dies, "linear", slices(dies)[50]) == NotReady(
        "its worker was killed by SIGKILL; the system may have run out of memory: try fewer workers, or less history"
    )


async def test_a_turn_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    slow = walk(pause_s=60.0, trace=str(tmp_path / "trace"), pid=str(tmp_path / "pid"))
    training = asyncio.create_task(turn(slow, "linear", slices(slow)[50]))
    await asyncio.to_thread(wait_for, tmp_path / "pid")
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert gone(int((tmp_path / "pid").read_text()))


def reason(of: RunFile, known: int) -> str:
    """What the process would say, said by this one."""
    from samewire.plain import run_in_words
    from samewire.schema import VERSION

    asked = {"run": run_in_words(of, VERSION, str), "model": "linear", "known": known}
    return str(msgspec.msgpack.decode(carry_out(msgspec.json.encode(asked)))["reason"])


def test_what_cannot_be_learned_is_said() -> None:
    ok = walk()
    at = slices(ok)
    assert reason(ok, at[50]) == ""
    assert reason(ok, at[5]) == "4 slices with labels, least is 10"
    assert reason(ok, at[1]) == "0 slices with labels, least is 10", "as the replay has it, which sees later ones"
    assert reason(walk(refuse_before=60), at[50]) == "ValueError: 49 slices are too few for me"
    assert "history ends at" in reason(ok, at[-1] + 86_400 * 10**9), "an older model is no new one"
    assert f"history ends at {at[50]} ns, and this turn learns from what was known at {at[50] + 1} ns" in reason(
        ok, at[50] + 1
    )
    assert "history ends before any slice" in reason(ok, at[0] - 1)


async def test_a_model_that_is_not_trained_again_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ConfigError, match="'other' is not trained again; those that are: linear"):
        await turn(walk(), "other", 0)
    assert RetrainSpec(every="20").latency == 0
