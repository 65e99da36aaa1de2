"""The contract of docs/determinism.md: what is decided is a function of the recorded inputs, and of nothing else."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.events import Bars, Event, Timer
from engine.session import Replay, Session
from engine.state import encode_hook
from samewire import open_session, run
from samewire.pacing import Paced
from samewire.prepare import Prepared
from tests.samewire.test_execute import small, trained

ROOT = Path(__file__).parent.parent.parent
CONFIGS = ROOT / "configs"
WEEKS = [
    "feed={use: aggregate, of: {use: sample, symbols: 20, years: 3}, to: [1w]}",
    "models=[{name: weekly, use: momentum, window: 8, interval: 1w, ttl: 10d}, {name: daily, use: momentum}]",
    "strategy=[{name: slow, use: topk_dropout, signal: weekly, topk: 5, n_drop: 2, interval: 1w},"
    " {name: fast, use: topk_dropout, signal: daily, topk: 3, n_drop: 1}]",
]
LATE = [
    "models=[{name: a, use: momentum, window: 9, lag: 2}, {name: b, use: momentum, window: 5, latency: 30h}]",
    "strategy.signal=a",
]
SLEEVES = [
    "models=[{name: a, use: momentum, window: 9}, {name: b, use: momentum, window: 5}]",
    "strategy={use: sleeves, shares: [3, 1, 1], rebalance_every: 20, strategies: ["
    "{use: topk_dropout, topk: 5, n_drop: 1, signal: a}, {use: score_weights, signal: b, vol_scaled: true},"
    " {use: blend_signals, strategy: {use: qlib_topk_dropout, topk: 4, n_drop: 2, method_sell: random}}]}",
]
# One session of each kind: a run file, or a mapping, and what is changed of it.
CASES: dict[str, tuple[Any, list[str]]] = {
    "trained, mean_variance": (trained(), []),
    "all of the demo, shorter": ("demo.yaml", ["session.end=2021-03-12", "models[0].num_boost_round=10"]),
    "topk": (small(), []),
    "late answers": (small(), LATE),
    "several intervals": (small(), WEEKS),
    "sleeves": (small(), SLEEVES),
    "market": ("market.yaml", ["session.end=2019-09-30", "feed.symbols=30"]),
    "scores": ("scores.yaml", ["session.end=2021-04-30"]),
}
PROGRAM = """
import json, sys
from tests.samewire.test_determinism import of
print(json.dumps({name: of(name) for name in sys.argv[1:]}))
"""
ENVIRONMENTS = [("0", "1"), ("1", "2"), ("4711", "2")]  # hash seed, threads
OTHERS = [("0", "2"), ("1", "1"), ("4711", "1")]  # the rest of the table, so that each varies alone; for one session
TRAINED = "trained, mean_variance"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "ARROW_NUM_THREADS")


def opened(name: str, *more: str) -> Prepared:
    said, overrides = CASES[name]
    return open_session(CONFIGS / said if isinstance(said, str) else said, overrides=[*overrides, *more])


def of(name: str) -> list[Any]:
    """Digest, final equity in full and how many fills of a session, and the hashes of what it trained."""
    said, overrides = CASES[name]
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "run"
        summary = run(CONFIGS / said if isinstance(said, str) else said, overrides=overrides, out=place).summary
        models = json.loads((place / "manifest.json").read_text())["models"]
    return [summary["digest"], float(summary["final_equity"]).hex(), summary["fills"], models]


def elsewhere(seed: str, threads: str, names: Sequence[str]) -> dict[str, Any]:
    """These sessions in a process of their own."""
    environment = os.environ | {"PYTHONHASHSEED": seed} | dict.fromkeys(THREADS, threads)
    command = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    """The same sessions in a process for each environment."""
    return [elsewhere(seed, threads, tuple(CASES)) for seed, threads in ENVIRONMENTS]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_processes_hash_seeds_and_threads_change_no_bit(told: list[dict[str, Any]], name: str) -> None:
    first, *others = [found[name] for found in told]
    assert first[2] > 20, "a session without trades shows nothing"
    assert [other for other in others if other != first] == []


@pytest.mark.slow
def test_a_trained_model_is_the_same_file_in_every_process(told: list[dict[str, Any]]) -> None:
    hashes = [found["trained, mean_variance"][3]["gbdt"] for found in told]
    assert len(set(hashes)) == 1
    assert len(hashes[0]) == 64


@pytest.mark.slow
def test_hash_seed_and_threads_change_no_bit_each_by_itself(told: list[dict[str, Any]]) -> None:
    """Varied together, one could undo what the other does. The trained session only: it is the one with threads."""
    table = dict(zip(ENVIRONMENTS, (found[TRAINED] for found in told), strict=True))
    table |= {(seed, threads): elsewhere(seed, threads, [TRAINED])[TRAINED] for seed, threads in OTHERS}
    assert len(table) == 6
    assert {place: said for place, said in table.items() if said != table["0", "1"]} == {}


# ---- restarts and pace -----------------------------------------------------------------------------------------------

_encode = msgspec.msgpack.Encoder(enc_hook=encode_hook).encode


class Recorder:
    """Hashes every event of a session, keeps its inputs, and saves all state after some of them."""

    def __init__(self, wiring: Any, cuts: Sequence[int] = ()) -> None:
        self.wiring, self._cuts = wiring, frozenset(cuts)
        self.inputs: list[Event] = []
        self.log: list[tuple[str, str, str]] = []  # origin, type, hash
        self.saved: dict[int, tuple[int, bytes]] = {}  # by slice: how many inputs and state
        self.logged: dict[int, int] = {}
        self._slices = 0

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        self.inputs.append(events[0])
        for origin, event in zip(origins, events, strict=True):
            self.log.append((origin, type(event).__name__, hashlib.sha256(_encode(event)).hexdigest()))
        if isinstance(events[0], Bars):
            self._slices += 1
            if self._slices in self._cuts:
                self.saved[self._slices] = (len(self.inputs), self.wiring.save())
                self.logged[self._slices] = len(self.log)


async def whole(name: str, cuts: Sequence[int] = ()) -> Recorder:
    """A session from its beginning to its end."""
    prepared = opened(name)
    recorder = Recorder(prepared.session.wiring, cuts)
    await prepared.warm_up()
    await Session(prepared.session.wiring, recorders=[recorder]).run(*prepared.sources)
    return recorder


SLICES = {"scores": 82, "all of the demo, shorter": 90, "market": 188}  # the others have 210 and more


def cuts_of(name: str) -> list[int]:
    """After how many slices each session is cut: after the first, and where chance (the same each time) puts it."""
    count = SLICES.get(name, 210)
    few = name in (TRAINED, "all of the demo, shorter")
    drawn = np.random.default_rng([5, *name.encode()]).choice(np.arange(2, count), 2 if few else 5, replace=False)
    return sorted({*drawn.tolist(), *(() if few else (1, count - 1))})


def test_the_cuts_of_a_session_are_its_own_and_within_it() -> None:
    cuts = {name: cuts_of(name) for name in CASES}
    assert len({tuple(each) for each in cuts.values()}) == len(CASES)
    assert all(1 <= cut < SLICES.get(name, 210) for name, each in cuts.items() for cut in each)


@pytest.mark.parametrize("name", CASES)
async def test_a_restart_in_the_middle_changes_no_event(name: str) -> None:
    cuts = cuts_of(name)
    first = await whole(name, cuts)
    assert sorted(first.saved) == cuts
    for cut in cuts:
        position, state = first.saved[cut]
        wiring = opened(name).session.wiring
        wiring.load(state)
        second = Recorder(wiring)
        # The timers of the wiring come out of its own state again.
        rest = [event for event in first.inputs[position:] if not isinstance(event, Timer)]
        await Session(wiring, recorders=[second]).run(Replay(lambda rest=rest: iter(rest)))  # type: ignore[misc]
        expected = first.log[first.logged[cut] :]
        differ = [(k, a, b) for k, (a, b) in enumerate(zip(expected, second.log, strict=False)) if a != b]
        assert differ[:1] == []
        assert len(second.log) == len(expected)
        assert wiring.save() == first.wiring.save()


async def test_a_restart_that_forgot_its_state_would_be_found() -> None:
    first = await whole("topk", (37,))
    second = Recorder(opened("topk").session.wiring)
    rest = first.inputs[first.saved[37][0] :]
    await Session(second.wiring, recorders=[second]).run(Replay(lambda: iter(rest)))
    assert second.log != first.log[first.logged[37] :]


class Still:
    """A clock that stands; whoever waits by it is told at once."""

    def __init__(self) -> None:
        self.waits = 0

    def now_ns(self) -> int:
        return 0

    cpu_ns = monotonic_ns = now_ns

    async def sleep(self, seconds: float) -> None:
        self.waits += 1


@pytest.mark.parametrize("name", ["topk", "late answers", "several intervals"])
async def test_the_pace_of_a_replay_changes_no_event(name: str) -> None:
    from engine.session import merge

    clock, fast = Still(), await whole(name)
    prepared = opened(name)
    recorder = Recorder(prepared.session.wiring)
    await prepared.warm_up()
    slowed = Paced(merge(prepared.sources), pace=86_400, clock=clock, sleep=clock.sleep)
    await Session(prepared.session.wiring, recorders=[recorder]).run(slowed)
    assert clock.waits > 100
    assert recorder.log == fast.log


async def test_a_source_that_yields_to_others_between_events_changes_no_event() -> None:
    """Live, other tasks run between two inputs; in replay none do."""
    import asyncio

    fast = await whole("topk")
    prepared = opened("topk")
    recorder = Recorder(prepared.session.wiring)
    await prepared.warm_up()

    async def slowly() -> AsyncIterator[Event]:
        for event in fast.inputs:
            for _ in range(3):
                await asyncio.sleep(0)
            yield event

    async def busy() -> None:
        for _ in range(2000):
            await asyncio.sleep(0)

    others = [asyncio.create_task(busy()) for _ in range(3)]
    await Session(prepared.session.wiring, recorders=[recorder]).run(slowly())
    await asyncio.gather(*others)
    assert recorder.log == fast.log
