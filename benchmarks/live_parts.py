"""What benchmarks/live.py runs: a strategy that trades in every slice, a bare relay, and the market of both."""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.kafka.codec import Record
from adapters.kafka.transport import Producer, Reader, transact
from engine.cuts import Bar
from engine.events import DAY_NS, MINUTE_NS, Book, Signal, Target, TargetKind
from engine.universe import Universe

DAY = dt.date(2024, 3, 6)
MIDNIGHT = (DAY - dt.date(1970, 1, 1)).days * DAY_NS
SESSION = "latency"


class Flip:
    """Holds ten names, a little more of each and then a little less: some orders in every slice."""

    interval_ns = 0
    lookback = 0

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._n, self._name = len(universe), name
        self._held = min(10, self._n)
        self._turn = False

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        self._turn = not self._turn
        value = np.zeros(self._n)
        value[: self._held] = (0.5 if self._turn else 0.4) / self._held
        nothing = np.full(self._n, np.nan)
        return Target(
            ts=signals[0].ts, source=self._name, kind=TargetKind.WEIGHT, value=value, alpha=signals[0].value,
            limit=nothing, stop=nothing,
        )  # fmt: skip

    def save(self) -> bytes:
        return bytes([self._turn])

    def load(self, state: bytes, /) -> None:
        self._turn = bool(state[0])


def names(count: int) -> list[str]:
    return [f"S{k:03d}" for k in range(count)]


def write_history(path: Path, symbols: int, minutes: int = 30) -> None:
    """The minutes before the session, as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    closes = 100.0 + np.arange(symbols) % 50 + np.sin(np.arange(minutes))[:, None]
    ends = MIDNIGHT - MINUTE_NS * np.arange(minutes - 1, -1, -1)
    columns: dict[str, Any] = {
        "ts": pa.array(np.repeat(ends, symbols), pa.timestamp("ns", tz="UTC")),
        "symbol": names(symbols) * minutes,
    }
    columns |= {name: closes.ravel() for name in ("open", "high", "low", "close")} | {
        "volume": np.full(closes.size, 1e7)
    }
    pq.write_table(pa.table(columns), path)


def slice_of(place: int, symbols: int) -> list[Bar]:
    """The bars of one minute of the session, counted from 1."""
    price = 100.0 + float(np.sin(place))
    return [
        Bar(
            symbol=k, ts=MIDNIGHT + place * MINUTE_NS, interval_ns=MINUTE_NS,
            open=price + k % 50, high=price + k % 50, low=price + k % 50, close=price + k % 50, volume=1e7,
        )
        for k in range(symbols)
    ]  # fmt: skip


def run_words(history: Path, env: str, address: str) -> dict[str, Any]:
    """A session without an end: it is stopped."""
    return {
        "schema": 1,
        "session": {"name": SESSION, "start": DAY.isoformat(), "cash": 100_000_000, "benchmark": "none"},
        "feed": {"use": "parquet", "path": str(history), "stamped": "close", "interval": "1m"},
        "models": [{"name": "momentum", "use": "momentum", "window": 10}],
        "strategy": {"use": "live_parts:Flip"},
        "optimizer": {"use": "direct"},
        "risk": {"max_gross": 1.5},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 1}},
        "live": {"env": env, "servers": address, "dev": True, "snapshot_every": 100, "health_s": 3600},
    }


async def relay(address: str, env: str, symbols: int, sizes: Mapping[str, Sequence[int]]) -> None:
    """Decodes nothing: after as many records as a slice has bars it writes records of these sizes at once."""
    options = {"bootstrap_servers": address}
    outbox, reader = Producer(options, f"relay.{env}"), Reader(options)
    await outbox.start()
    await reader.start()
    topic = f"{env}.bars.1m.v1"
    places = [(topic, partition) for partition in await reader.partitions(topic)]
    await reader.assign({place: end for place, (_, end) in (await reader.bounds(places)).items()})
    records = [
        Record(topic=f"{env}.{name}.v1", key=b"k", value=b"x" * size, headers=(), timestamp_ms=0)
        for name, each in sizes.items()
        for size in each
    ]
    print("ready", flush=True)
    seen = 0
    while True:
        seen += sum(map(len, (await reader.poll()).values()))
        if seen >= symbols:
            seen -= symbols
            await transact(outbox, records)


if __name__ == "__main__":
    import json
    import sys

    asyncio.run(relay(sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])))
