"""Paced history: it waits where it should, never for long, and decides what it decides without waiting."""

import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.events import DAY_NS, HOUR_NS, SECOND_NS, Event, Timer
from samewire.pacing import WAIT_MAX_S, Paced
from tests.samewire.forked import called

ROOT = Path(__file__).parent.parent.parent


class Clock:
    """Time that passes only while somebody sleeps or works."""

    def __init__(self) -> None:
        self.ns, self.slept = 0, []

    def monotonic_ns(self) -> int:
        return self.ns

    now_ns = cpu_ns = monotonic_ns

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ns += round(seconds * SECOND_NS)


async def listed(stamps: list[int]) -> AsyncIterator[Event]:
    for ts in stamps:
        yield Timer(ts=ts, name="t", due=ts)


async def walked(stamps: list[int], pace: float, clock: Clock, work_s: float = 0.0) -> list[int]:
    """The instants of the clock at which each event came."""
    came = []
    async for _ in Paced(listed(stamps), pace=pace, clock=clock, sleep=clock.sleep):
        came.append(clock.ns)
        clock.ns += round(work_s * SECOND_NS)
    return came


async def test_history_passes_at_the_pace() -> None:
    clock = Clock()
    came = await walked([k * HOUR_NS for k in range(5)], pace=7200, clock=clock)
    assert came == [round(k * 0.5 * SECOND_NS) for k in range(5)]


async def test_work_between_events_counts_as_waiting() -> None:
    clock = Clock()
    came = await walked([k * HOUR_NS for k in range(5)], pace=3600, clock=clock, work_s=0.75)
    assert clock.slept == [0.25] * 4
    assert came[-1] == 4 * SECOND_NS


async def test_a_weekend_is_not_sat_out_and_what_follows_keeps_the_pace() -> None:
    clock = Clock()
    await walked([0, DAY_NS, 4 * DAY_NS, 5 * DAY_NS], pace=86_400, clock=clock)
    assert clock.slept == [1.0, WAIT_MAX_S, 1.0]


async def test_events_of_one_instant_come_together() -> None:
    clock = Clock()
    await walked([0, 0, 0, DAY_NS, DAY_NS], pace=86_400, clock=clock)
    assert clock.slept == [1.0]


async def test_a_slow_session_does_not_run_after_the_time_that_it_lost() -> None:
    clock = Clock()
    stamps = [k * HOUR_NS for k in range(4)]
    await walked(stamps, pace=3600, clock=clock, work_s=60)
    assert clock.slept == []
    clock = Clock()
    came = []
    async for _ in Paced(listed([k * HOUR_NS for k in range(8)]), pace=3600, clock=clock, sleep=clock.sleep):
        came.append(clock.ns)
        clock.ns += 60 * SECOND_NS if len(came) == 2 else 0
    assert clock.slept == [1.0] * 6  # after the one long pause it waits as before


@pytest.mark.parametrize("pace", [0, -1, float("nan"), float("inf")])
def test_a_pace_that_is_none_is_refused(pace: float) -> None:
    with pytest.raises(ValueError, match="pace must be above 0"):
        Paced(listed([]), pace=pace, clock=Clock())


def replayed(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    replay = ["replay", str(ROOT / "configs" / "ema_cross.yaml"), "--quiet", "--format", "json"]
    ends = ["--set", "session.start=2018-01-02", "--set", "session.end=2018-01-12"]
    return called([*replay, *ends, *arguments], folder, os.environ)


def test_on_the_command_line_it_takes_its_time_and_decides_the_same(tmp_path: Path) -> None:
    fast, paced = (json.loads(replayed(tmp_path, *more).stdout) for more in ((), ("--pace", "2e6")))
    assert fast["summary"]["digest"] == paced["summary"]["digest"]
    assert paced["summary"]["wall_s"] > 10 * 86_400 / 2e6  # ten days
    wrong = replayed(tmp_path, "--pace", "-1")
    assert wrong.returncode == 2
    assert "pace must be above 0" in wrong.stdout
