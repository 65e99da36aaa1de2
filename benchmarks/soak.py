"""A live session on Kafka for an hour at 1,000 bars a second: 50 symbols, a model, an optimizer, the paper broker.

Goal: memory of the last quarter within 5 % of that of the second, no queue that grows, no task that stays. `--minutes`
for another length; market time runs 1,200 times as fast. Bars come from a process of their own, and so does the broker.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from measure import Outcome, conclude, parser

sys.path.insert(0, str(Path(__file__).parents[1]))

from adapters.kafka.transport import Producer, Reader
from engine.clock import SystemClock
from samewire.build import Given, construct
from samewire.live.daemon import Daemon
from samewire.schema import load_run
from tests.chaos.live.ground import make_topics, publish, records_of
from tests.chaos.live.market import DAY, Market, bars, run_words, write_history
from tools.kafka.broker import Broker

RATE, ENV, EVERY_S, GOAL = 1_000.0, "soak", 2.0, 5.0
_CHUNK = 1_440  # slices that are made and published together: a day
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1024**2


class Sample(msgspec.Struct, frozen=True):
    rss_mb: float
    tasks: int
    lag: int
    slices: int


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MB


async def feed(address: str, days: int) -> None:
    """Days of minutes, one behind the other, at the rate."""
    market = Market(slices=_CHUNK)
    for day in range(days):
        moved = [msgspec.structs.replace(bar, ts=bar.ts + day * 86_400 * 10**9) for bar in bars(market)]
        await publish(address, records_of(market, moved, ENV), RATE)


async def live(path: Path, minutes: float) -> tuple[list[Sample], dict[str, Any]]:
    run = load_run(path)
    assert run.live is not None
    settings, samples = construct(run.live, Given(session=run.session.name, seed=run.session.seed)), list[Sample]()
    options = settings.client_options()

    def tell(what: str, **more: Any) -> None:
        if what == "session.health":
            samples.append(Sample(resident_mb(), len(asyncio.all_tasks()), more["lag"], more["slices"]))

    outbox, reader = Producer(options, settings.transaction_name(run.session.name)), Reader(options)
    daemon = Daemon(run, settings, outbox=outbox, reader=reader, clock=SystemClock(), tell=tell)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, daemon.stop)
    daemon.ready.add_done_callback(lambda _: loop.call_later(60 * minutes, daemon.stop))
    await daemon.run()
    return samples[1:-1], daemon.summary()  # between the first word and the last


def soak(folder: Path, minutes: float) -> tuple[list[Sample], dict[str, Any]]:
    import datetime as dt

    broker = Broker(folder / "broker")
    try:
        address = broker.start(owner=os.getpid())
        history = write_history(Market(slices=1), folder / "history.parquet")
        words = run_words(history, ENV, servers=address, health_s=EVERY_S, snapshot_every=500)
        days = 2 + int(minutes * 60 * RATE / 50 / _CHUNK)
        words["session"]["end"] = str(DAY + dt.timedelta(days=days))
        path = folder / "run.json"
        path.write_bytes(msgspec.json.encode(words))
        asyncio.run(make_topics(address, ENV))
        feeder = subprocess.Popen([sys.executable, __file__, "--feed", address, str(days)])
        try:
            return asyncio.run(live(path, minutes))
        finally:
            feeder.kill()
            feeder.wait()
    finally:
        broker.destroy()


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=0.0, help="0 = 60, half a minute with --quick")
    options.add_argument("--feed", nargs=2, metavar=("ADDRESS", "DAYS"), help="be the process that publishes")
    args = options.parse_args()
    if args.feed:
        asyncio.run(feed(args.feed[0], int(args.feed[1])))
        return
    minutes = args.minutes or (0.5 if args.quick else 60.0)
    with tempfile.TemporaryDirectory() as folder:
        samples, said = soak(Path(folder), minutes)
    quarter = max(1, len(samples) // 4)
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    growth = 100 * (median(s.rss_mb for s in last) / median(s.rss_mb for s in second) - 1)
    tasks = [median(s.tasks for s in part) for part in (second, last)]
    lags = [median(s.lag for s in part) for part in (second, last)]
    rate = 50 * (samples[-1].slices - samples[0].slices) / (EVERY_S * (len(samples) - 1))
    outcome = Outcome(
        work=f"{minutes:g} minutes of a live session, {rate:,.0f} bars a second",
        value=growth,
        unit="% more memory in the last quarter than in the second",
        goal=GOAL,
        met=growth <= GOAL and tasks[1] <= tasks[0] + 2 and lags[1] <= lags[0] + 500,
        detail={
            "rss_mb": [round(s.rss_mb, 1) for s in samples[:: max(1, len(samples) // 12)]],
            "tasks": tasks,
            "lag": lags,
            **{name: said[name] for name in ("slices", "transactions", "dead_letters")},
        },
    )
    conclude(args, "soak", outcome)


if __name__ == "__main__":
    main()
