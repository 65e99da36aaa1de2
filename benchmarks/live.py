"""The daemon against a bare relay: bar to committed order, catch-up, intake of the slicer, and ready after a kill.

Goals: p50 and p99 of bar to committed order at most 1.2 times a transactional relay for 1 symbol, and relay + compute +
1 ms for 500; 100 slices of 500 a second of backlog; 100,000 bars a second into the slicer; ready within 1 s of SIGKILL,
interpreter and imports apart. The relay decodes nothing and writes records of the same sizes to topics of the same
kinds in transactions; daemon and relay are processes that live side by side and are asked in turn, round by round.

Needs a broker: SAMEWIRE_KAFKA, or `python tools/kafka/broker.py start`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml
from live_parts import SESSION, run_words, slice_of, write_history
from measure import Outcome, arguments, conclude

from adapters.kafka.address import found
from adapters.kafka.codec import Codec, Origin
from adapters.kafka.transport import Place, Reader
from engine.universe import Universe

FACTOR, MORE_MS, CATCH_UP, INTAKE, READY_S = 1.2, 1.0, 100.0, 100_000.0, 1.0
HERE = Path(__file__).parent
PUBLIC = ("signals.momentum", "targets.strategy", "orders.paper", "fills.paper", "journal." + SESSION)


class Bench:
    """One universe: its topics, the clients of this process, the daemon and the relay."""

    def __init__(self, folder: Path, address: str, symbols: int) -> None:
        self.folder, self.address, self.symbols = folder, address, symbols
        self.env = f"b{os.getpid():x}n{symbols}"
        self.place = 0
        history = folder / f"history{symbols}.parquet"
        write_history(history, symbols)
        self.file = folder / f"run{symbols}.yaml"
        self.file.write_text(yaml.safe_dump(run_words(history, self.env, address)))

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "samewire", *words]

    @property
    def environment(self) -> dict[str, str]:
        paths = os.pathsep.join([str(HERE), str(HERE.parent)])
        return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

    @contextmanager
    def process(self, words: list[str], sign: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
        """Runs until a line of its output holds `sign`; killed behind the block. Yields what the line said, too."""
        running = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment, cwd=self.folder
        )
        try:
            assert running.stdout is not None
            said = ""
            for line in running.stdout:
                said += line
                if sign in line:
                    break
            else:
                raise SystemExit(f"{' '.join(words[:4])} ended: {said[-2000:]}")
            yield running, json.loads(line) if line.startswith("{") else {}
        finally:
            running.kill()
            running.communicate()


class Ends:
    """Both ends of what is measured: publishes slices, and sees orders once they are committed."""

    def __init__(self, bench: Bench, env: str, universe: Universe) -> None:
        self._bench, self.env = bench, env
        self._codec = Codec(env, universe, Origin(daemon="feed"))
        self._producer: Any = None
        self._reader = Reader({"bootstrap_servers": bench.address})
        self._orders: Place = (f"{env}.orders.paper.v1", 0)
        self.place = 0

    async def start(self) -> None:
        from aiokafka import AIOKafkaProducer

        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bench.address, linger_ms=0, max_batch_size=262_144, enable_idempotence=True
        )
        await self._producer.start()
        await self._reader.start()
        await self._reader.assign({self._orders: (await self._reader.bounds([self._orders]))[self._orders][1]})

    async def publish(self, place: int) -> None:
        """The bars of one slice, each key in the partition it always has."""
        sent = []
        for bar in slice_of(place, self._bench.symbols):
            record = self._codec.bar(bar)
            sent.append(await self._producer.send(record.topic, key=record.key, value=record.value))
        await self._producer.flush()

    async def answered(self) -> float:
        """Milliseconds from the first bar of the next slice to its first committed order."""
        self.place += 1
        begun = time.perf_counter()
        publishing = asyncio.create_task(self.publish(self.place))
        while not (await self._reader.poll(5_000)).get(self._orders):
            if time.perf_counter() - begun > 30:
                raise SystemExit(f"{self.env}: no order of slice {self.place} within 30 s")
        took = (time.perf_counter() - begun) * 1e3
        await publishing
        return took

    async def close(self) -> None:
        await self._producer.stop()
        await self._reader.close()


async def committed(address: str, env: str) -> dict[str, list[int]]:
    """Sizes of the records of the daemon's last slices by topic: as many as there are of each in one slice."""
    reader = Reader({"bootstrap_servers": address})
    await reader.start()
    found: dict[str, list[int]] = {}
    for name in PUBLIC:
        place = (f"{env}.{name}.v1", 0)
        first, end = (await reader.bounds([place]))[place]
        rows = [record async for record in reader.read(place, first, end)]
        last = rows[-1].timestamp_ms if rows else 0
        found[name] = [len(row.value or b"") for row in rows if row.timestamp_ms == last] or [2]
    await reader.close()
    return found


async def latency(bench: Bench, universe: Universe, rounds: int, slices: int) -> dict[str, Any]:
    """p50 and p99 of daemon and relay, one round after the other."""
    other = f"{bench.env}r"
    ours = Ends(bench, bench.env, universe)
    for env in (bench.env, other):
        words = run_words(bench.folder / f"history{bench.symbols}.parquet", env, bench.address)
        (bench.folder / f"{env}.yaml").write_text(yaml.safe_dump(words))
        await asyncio.to_thread(
            subprocess.run, bench.command("topics", f"{env}.yaml", "--create"), check=True, capture_output=True,
            env=bench.environment, cwd=bench.folder,
        )  # fmt: skip
    live = bench.command("live", f"{bench.env}.yaml", "--log-format", "json")
    with bench.process(live, "session.ready") as (daemon, _):
        await ours.start()
        for _ in range(30):
            await ours.answered()
        sizes = await committed(bench.address, bench.env)
        program = [sys.executable, str(HERE / "live_parts.py"), bench.address, other, str(bench.symbols)]
        with bench.process([*program, json.dumps(sizes)], "ready"):
            theirs = Ends(bench, other, universe)
            await theirs.start()
            for _ in range(20):
                await theirs.answered()
            found: dict[str, list[list[float]]] = {"daemon": [], "relay": []}
            for _ in range(rounds):
                for name, end in (("relay", theirs), ("daemon", ours)):
                    took = []
                    for _ in range(slices):
                        took.append(await end.answered())
                        await asyncio.sleep(0.02)
                    found[name].append(took)
            await theirs.close()
        bench.place = ours.place
        await ours.close()
        daemon.send_signal(signal.SIGKILL)
    said: dict[str, Any] = {"sizes": {name: [len(each), sum(each)] for name, each in sizes.items()}}
    for name, each in found.items():
        said[name] = {f"p{q}_ms": round(median(float(np.percentile(r, q)) for r in each), 3) for q in (50, 99)}
    return said


async def backlog(bench: Bench, universe: Universe, count: int) -> dict[str, Any]:
    """Ready after the SIGKILL before, then slices a second of what was published meanwhile."""
    ends = Ends(bench, bench.env, universe)
    await ends.start()
    for place in range(bench.place + 1, bench.place + count + 1):
        await ends.publish(place)
    journal = (f"{bench.env}.journal.{SESSION}.v1", 0)
    reader = Reader({"bootstrap_servers": bench.address})
    await reader.start()
    await reader.assign({journal: (await reader.bounds([journal]))[journal][1]})
    live = bench.command("live", f"{bench.env}.yaml", "--log-format", "json")
    with bench.process(live, "session.ready") as (_, ready):
        seen, begun, last = 0, 0.0, 0.0
        while seen < count:
            arrived = len((await reader.poll(2_000)).get(journal, ()))
            if arrived:
                last = time.perf_counter()
                begun = begun or last
                seen += arrived
            elif last and time.perf_counter() - last > 20:
                raise SystemExit(f"the daemon decided {seen} of {count} slices and no more")
    await ends.close()
    await reader.close()
    bench.place += count
    return {
        "slices_a_second": round((seen - 1) / max(1e-9, last - begun), 1),
        "ready_s": ready.get("took_s"),
        "inputs_again": ready.get("inputs"),
    }


def compute_ms(bench: Bench, count: int) -> float:
    """Median wall time of deciding one slice, without Kafka: the same run over the same bars in this process."""
    from engine.cuts import CutRules
    from samewire.live.core import Core
    from samewire.prepare import wired
    from samewire.schema import load_run

    run = load_run(bench.file)
    core = Core(run, wired(run, None, None), CutRules(deadline_ns=10**9))
    took = []

    async def decide() -> None:
        for place in range(1, count + 1):
            rows = slice_of(place, bench.symbols)
            begun = time.perf_counter()
            for bar in rows:
                core.course.arrive(bar, bar.ts)
            while (given := core.course.next(rows[0].ts)) is not None:
                await core.enter(given)
            core.take_blocks()
            took.append((time.perf_counter() - begun) * 1e3)
        await core.aclose()

    asyncio.run(decide())
    return median(took[10:])


async def intake(bench: Bench, universe: Universe) -> dict[str, Any]:
    """Bars a second from Kafka through decoding, sorting and merging into the slicer, nobody deciding on the slices."""
    from adapters.kafka.source import BarRules, Sorter, Source
    from engine.clock import SystemClock
    from engine.cuts import CutRules
    from engine.events import MINUTE_NS
    from engine.slice_ends import Clock
    from engine.slicer import Slicer

    topic, clock = f"{bench.env}.bars.1m.v1", SystemClock()
    rules = BarRules(since=0, intervals={topic: MINUTE_NS}, skew_ns=0, ahead_ns=1 << 61)
    codec = Codec(bench.env, universe, Origin(daemon="feed"))
    reader = Reader({"bootstrap_servers": bench.address})
    await reader.start()
    places = [(topic, partition) for partition in await reader.partitions(topic)]
    bounds = await reader.bounds(places)
    source = Source(reader, Sorter(codec.bar_of, rules), f"{bench.env}.control.{SESSION}.v1", clock)
    start = slice_of(1, 1)[0].ts - MINUTE_NS
    cutting = CutRules(deadline_ns=10**9, skew_ns=1 << 61)
    slicer = Slicer(universe=universe, ends={MINUTE_NS: Clock(MINUTE_NS)}, start=start, rules=cutting)
    total, taken = sum(end - first for first, end in bounds.values()), 0
    offsets: dict[str, dict[int, int]] = {topic: {part: first for (_, part), (first, _) in bounds.items()}}
    begun, cpu = time.perf_counter(), time.process_time()
    await source.start(offsets, 0, {})
    while taken < total:
        while (bar := source.take(slicer.next + MINUTE_NS)) is not None:
            more = source.take_all(bar.ts)  # as the daemon does
            taken += 1 + len(more)
            slicer.offer(bar, bar.ts, *more)
        if taken < total:
            await source.wait(5.0)
            source.check()
    took = time.perf_counter() - begun, time.process_time() - cpu
    await source.close()
    await reader.close()
    return {"bars": taken, "bars_a_second": round(taken / took[0]), "bars_a_cpu_second": round(taken / took[1])}


def main() -> None:
    args = arguments(__doc__ or "")
    known = found()
    if known is None:
        raise SystemExit("no broker: python tools/kafka/broker.py start")
    rounds, slices, count = (3, 20, 120) if args.quick else (9, 100, 600)
    detail: dict[str, Any] = {"rounds": rounds, "slices_a_round": slices}
    with tempfile.TemporaryDirectory() as name:
        from samewire.prepare import feed_of
        from samewire.schema import load_run

        for symbols in (1, 500):
            bench = Bench(Path(name), known.address, symbols)
            universe = feed_of(load_run(bench.file)).universe
            detail[str(symbols)] = asyncio.run(latency(bench, universe, rounds, slices))
        detail["500"]["compute_ms"] = round(compute_ms(bench, 60), 3)
        detail["backlog"] = asyncio.run(backlog(bench, universe, count))
        detail["intake"] = asyncio.run(intake(bench, universe))
    one, many = detail["1"], detail["500"]
    ratios = {q: one["daemon"][f"{q}_ms"] / one["relay"][f"{q}_ms"] for q in ("p50", "p99")}
    over = {q: many["daemon"][f"{q}_ms"] - many["relay"][f"{q}_ms"] - many["compute_ms"] for q in ("p50", "p99")}
    detail |= {
        "ratio_1": {q: round(r, 3) for q, r in ratios.items()},
        "over_500_ms": {q: round(o, 3) for q, o in over.items()},
    }
    met = {
        "latency_1": max(ratios.values()) <= FACTOR,
        "latency_500": max(over.values()) <= MORE_MS,
        "catch_up": detail["backlog"]["slices_a_second"] >= CATCH_UP,
        "intake": detail["intake"]["bars_a_second"] >= INTAKE,
        "ready": detail["backlog"]["ready_s"] <= READY_S,
    }
    detail["goals"] = {
        "latency_1": FACTOR,
        "latency_500_ms": MORE_MS,
        "catch_up": CATCH_UP,
        "intake": INTAKE,
        "ready_s": READY_S,
    }
    detail["met"] = met
    outcome = Outcome(
        work="bar to committed order, 1 symbol: p50 of the daemon over that of a bare transactional relay",
        value=ratios["p50"], unit="times", goal=FACTOR, met=all(met.values()), detail=detail,
    )  # fmt: skip
    conclude(args, "live", outcome)


if __name__ == "__main__":
    main()
