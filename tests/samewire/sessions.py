"""Session directories for tests: real folds of made-up events."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np

from adapters.files.session_dir import SessionDir, write_columns, write_equity
from components.metrics.fold import SessionFold
from engine.events import DAY_NS, Bars, Event, Fills, Signal
from engine.ledger import Ledger
from engine.protocols import Bookkeeping, Issue
from engine.universe import Universe, universe_of
from samewire.summary import Run, summarise
from samewire.trade_tables import derive
from tests.make import START_NS, bars

EMPTY_FEES = np.empty((0, 3))
ISSUE = Issue(kind="ohlc_inconsistent", count=3, rule="the bar counts as missing", examples=("AAA 2018-03-01: high",))


def weekdays(slices: int) -> list[int]:
    """Closes of weekdays from 2018-01-02 on."""
    found, k = [], 0
    while len(found) < slices:
        if (START_NS // DAY_NS + k + 3) % 7 < 5:
            found.append(START_NS + k * DAY_NS)
        k += 1
    return found


def fills(ts: int, symbol: Any, qty: Any, price: Any, *, slippage: float = 0.0005, fee: float = 0.0005) -> Fills:
    """Fills whose price is worse than the market's by `slippage`, with a commission of `fee` of their value."""
    s, q, reference = np.asarray(symbol, np.int32), np.asarray(qty, float), np.asarray(price, float)
    paid = reference * (1 + slippage * np.sign(q))
    fees = np.zeros((len(s), 3))
    fees[:, 0] = np.abs(q) * paid * fee
    ids = np.arange(1, len(s) + 1, dtype=np.uint64)
    at = np.full(len(s), ts)
    return Fills(ts=ts, exec_ids=ids, order_ids=ids, symbol=s, qty=q, price=paid, reference=reference, fees=fees, at=at)


class Market:
    """n symbols over weekdays, a signal that knows a little of the next return, and a book that follows it."""

    def __init__(self, slices: int, n: int, seed: int, models: tuple[str, ...]) -> None:
        rng = np.random.default_rng(seed)
        self.universe: Universe = universe_of(tuple(f"S{i:03d}" for i in range(n)))
        self.ts, self.models, self.rng, self.n = weekdays(slices), models, rng, n
        common = rng.normal(0.0003, 0.008, (slices + 2, 1))
        self.ret = common + rng.normal(0, 0.015, (slices + 2, n))
        self.open = 50 * np.exp(np.cumsum(self.ret, axis=0))

    def slice(self, k: int) -> tuple[Bars, list[Signal]]:
        close = self.open[k] * np.exp(0.7 * self.ret[k + 1])
        close[self.rng.random(self.n) < 0.001] = np.nan
        opened = np.where(np.isnan(close), np.nan, self.open[k])
        slice_ = bars(self.ts[k], close, open=opened, volume=np.full(self.n, 2e6))
        signals = [
            Signal(
                ts=self.ts[k],
                asof=self.ts[k],
                source=name,
                value=(0.06 / (1 + i)) * self.ret[k + 2] / 0.015 + self.rng.normal(size=self.n),
                horizon_ns=DAY_NS,
            )
            for i, name in enumerate(self.models)
        ]
        return slice_, signals


def events_of(market: Market, cash: float) -> list[Event]:
    """Bars, fills, book and signals of every slice: the ten best are held, a few change each day."""
    out: list[Event] = []
    ledger = Ledger(universe=market.universe, cash=cash)
    qty, want = np.zeros(market.n), np.zeros(market.n)
    for k in range(len(market.ts)):
        now, signals = market.slice(k)
        change = np.where(np.isnan(now.open), 0.0, np.round(want - qty))
        symbol = np.flatnonzero(change)
        done = fills(now.ts, symbol, change[symbol], now.open[symbol])
        ledger.on_bars(now)
        snapshot = ledger.on_fills(done)
        qty = snapshot.qty
        out += [now, done, snapshot, *signals]
        if k % 5 == 0:
            best = np.argsort(signals[0].value)[-10:]
            want = np.zeros(market.n)
            want[best] = 0.095 * snapshot.equity / np.nan_to_num(snapshot.mark[best], nan=1e9)
    return out


async def _written(sink: SessionDir, events: list[Event]) -> None:
    for event in events:
        await sink.write(event)
    await sink.aclose()


def session_directory(
    folder: Path,
    *,
    slices: int = 300,
    n: int = 40,
    seed: int = 1,
    name: str = "momentum-demo",
    models: tuple[str, ...] = ("gbdt", "reversal"),
) -> Path:
    """A session directory with summary, manifest, equity and coefficients, folded from made-up events."""
    market = Market(slices, n, seed, models)
    fold = SessionFold(universe=market.universe, cash=1e7, interval_ns=DAY_NS)
    events = events_of(market, 1e7)
    fold.append((), events)
    fold.finish()
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_written(SessionDir(directory=folder, universe=market.universe), events))
    traded = derive(folder, fold, market.universe, Bookkeeping())
    run = Run(digest="9f2c" * 16, wall_s=1.25, cpu_s=1.1)
    summary = summarise(fold, run=run, traded=traded, issues=[ISSUE], warnings=["The signal was made for a test."])
    write_equity(folder / "equity.parquet", fold.columns())
    write_columns(folder / "ic.parquet", fold.coefficients())
    (folder / "summary.json").write_text(json.dumps(summary, allow_nan=False))
    manifest = {
        "run_id": "a41b22f0c3d94e55",
        "name": name,
        "created": "2024-05-01T12:00:00+00:00",
        "config_hash": "51ab" * 16,
        "seed": 7,
        "interval_ns": DAY_NS,
        "fill": "next_open",
        "universe": {"symbols": list(market.universe.symbols), "currencies": ["USD"]},
        "feed": {"use": "parquet", "hashes": {"bars.parquet": "77aa" * 16}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
