"""Models that are trained again beside a live session: at the slices and with the artefacts that a replay has."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from components.models.artefact import artefact_of
from engine.clock import SystemClock
from engine.events import Control, ControlAction
from engine.slice_ends import Clock
from samewire.live.teaching import Plan, Teaching
from samewire.prepare import wired
from samewire.retraining import turns
from samewire.retraining_worker import NotReady, Trained
from samewire.run_file import RetrainSpec
from tests.samewire.livened import Ground

AGAIN = ("models[0].train=null", "models[0].retrain={every: 12 slices, latency: 2, least: 20}")


@pytest.mark.parametrize("every", ["1 slices", "7 slices", "3d", "2w"])
@pytest.mark.parametrize("latency", [0, 3])
def test_a_plan_has_the_turns_that_a_replay_has_of_all_slices(every: str, latency: int) -> None:
    day = 86_400 * 10**9
    slices = [day * k for k in range(1, 60)]
    spec = RetrainSpec(every=every, latency=latency)
    plan = Plan(spec, Clock(day), day, slices[:5])
    found, ahead = [], set()
    for ts in slices[5:]:
        ahead.add(plan.upcoming())
        if (turn := plan.takes_over(ts)) is not None:
            found.append(turn)
            plan.took(ts)
        plan.seen(ts)
        kept = plan.save()
        plan = Plan(spec, Clock(day), day, [0])  # taken up
        plan.load(kept)
    assert {turn.known for turn in found} <= ahead  # what was begun ahead of time is what is needed
    assert tuple(found) == turns(slices, slices[5], spec)


def teaching(train: Callable[[str, int], Awaitable[Trained | NotReady]], wait_s: float = 5.0) -> Teaching:
    plan = Plan(RetrainSpec(every="2 slices"), Clock(10), 10, [10, 20])
    return Teaching({"lin": plan}, train, wait_s=wait_s, clock=SystemClock(), tell=lambda *said, **more: None)


async def test_what_is_not_ready_in_time_or_fails_is_told_and_the_session_goes_on() -> None:
    began: list[int] = []

    async def train(name: str, known: int) -> Trained | NotReady:
        began.append(known)
        if known == 20:
            await asyncio.sleep(60)
        if known == 40:
            raise RuntimeError("broke")
        return Trained(artefact_of({"weights": str(known).encode()}), known)

    taught = teaching(train, wait_s=0.05)
    taught.begin()
    came = []
    for ts in (30, 40, 50, 60, 70):
        came += await taught.due(ts)
        taught.closed(ts, 10)
    await taught.close()
    assert [(control.ts, control.action) for control, _ in came] == [
        (30, ControlAction.MODEL_NOT_READY),
        (50, ControlAction.MODEL_NOT_READY),
        (70, ControlAction.SWAP_MODEL),
    ]
    reasons = [control.reason for control, _ in came]
    assert "was not done 0.05 s after its slice (live.retrain_wait_s)" in reasons[0]
    assert "broke" in reasons[1]
    assert came[2][1] is not None
    assert came[2][1].hash == came[2][0].artefact
    assert began == [20, 40, 60]


async def test_a_live_session_has_the_models_of_a_replay_also_after_it_died(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    await ground.topics()
    await ground.feed("2018-03-01", "2018-03-23")
    async with ground.daemon(*AGAIN):
        await ground.until(17)
    await ground.feed("2018-03-26", "2018-04-13")
    async with ground.daemon(*AGAIN) as daemon:
        assert (await daemon.ready).recovered
        await ground.until(31)
        daemon.stop()
    records = await ground.records()
    found = [record.event for record in records if record.kind == "Control"]
    replayed = wired(ground.run(*AGAIN, "session.end=2018-04-13"), None, None).learnt.controls
    assert [_words(control) for control in found] == [_words(control) for control in replayed]
    assert len({control.artefact for control in found}) == 3
    inputs = [record for record in records if record.kind in ("Control", "Bars")]
    behind = [inputs[k + 1] for k, record in enumerate(inputs) if record.kind == "Control"]
    assert [(each.kind, each.plain["ts"]) for each in behind] == [("Bars", control.ts) for control in found]
    hashes = [record.event.model_hash for record in records if record.kind == "Signal"]
    assert list(dict.fromkeys(hashes)) == [control.artefact for control in found]


def _words(control: Control) -> tuple[object, ...]:
    return control.ts, control.action, control.component, control.artefact, control.actor, control.reason
