"""A random market and random portfolios, which this engine and its peers trade: every fill of each is compared."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from samewire import Bars, Book, Signal, Target, TargetKind, run
from tests.oracles.tape import Market, write

DAY_NS = 86_400 * 10**9
START_NS = 1_420_146_000 * 10**9  # 2015-01-01 21:00 UTC
SYMBOLS, BARS = 200, 1_000
COMMISSION = 0.001


class Trade(NamedTuple):
    t: int  # the slice in which it was filled
    symbol: int
    qty: float
    price: float
    fee: float


def market(seed: int, bars: int = BARS) -> Market:
    """A random walk with gaps between close and open."""
    rng = np.random.default_rng(seed)
    shape = (bars, SYMBOLS)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), 0)) * rng.uniform(0.5, 4, SYMBOLS)
    opening = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.01, shape))
    ts = START_NS + DAY_NS * np.arange(bars, dtype=np.int64)
    return Market(
        symbols=tuple(f"S{i:03d}" for i in range(SYMBOLS)),
        interval_ns=DAY_NS,
        ts=ts,
        opened=ts - 6 * 3600 * 10**9,
        open=opening,
        high=np.maximum(opening, close) * 1.005,
        low=np.minimum(opening, close) * 0.995,
        close=close,
        volume=np.full(shape, 1e9),
    )


def plan(seed: int, bars: int = BARS) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(T, N) shares wanted after each slice: whole, long and short, more than half of them new each time."""
    rng = np.random.default_rng([seed, 1])
    trades = rng.integers(-300, 301, (bars, SYMBOLS)) * (rng.random((bars, SYMBOLS)) < 0.57)
    return np.cumsum(trades, 0).astype(float)


class Silent:
    """A model without an opinion: the plan decides."""

    lookback = 0

    def __init__(self, *, name: str) -> None:
        self._name = name

    def on_bars(self, bars: Bars, /) -> Signal:
        nothing = np.full(len(bars.close), np.nan)
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=nothing, horizon_ns=DAY_NS)


class Planned:
    """Wants what row t of a file says at slice t."""

    interval_ns = 0

    def __init__(self, *, name: str, path: Path) -> None:
        self._name, self._plan = name, np.load(path)
        self._t = -1

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        self._t += 1
        none = np.full(len(book.qty), np.nan)
        wanted = self._plan[self._t]
        return Target(
            ts=book.ts, source=self._name, kind=TargetKind.QUANTITY, value=wanted, alpha=none, limit=none, stop=none
        )


def ours(made: Market, wanted: np.ndarray[Any, Any], folder: Path) -> list[Trade]:
    """Every fill of this engine, in order of slice and symbol."""
    np.save(folder / "plan.npy", wanted)
    result = run(
        {
            "schema": 1,
            "compat": "backtrader",
            "session": {"name": "peers", "cash": 1e13},
            "feed": {"use": "tests.oracles.tape:Tape", "path": write(made, folder / "tape.npz")},
            "models": [{"use": "tests.peers.plan:Silent"}],
            "strategy": {"use": "tests.peers.plan:Planned", "path": folder / "plan.npy"},
            "broker": {"use": "simulated", "costs": {"use": "bps", "commission_bps": COMMISSION * 1e4}},
        }
    )
    fills = result.fills
    slices = {ts: t for t, ts in enumerate(made.ts.tolist())}
    place = {symbol: i for i, symbol in enumerate(made.symbols)}
    columns = (fills["ts"].cast("int64"), fills["symbol"], fills["quantity"], fills["price"], fills["fee"])
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return sorted(Trade(slices[ts], place[symbol], qty, price, fee) for ts, symbol, qty, price, fee in rows)


def differing(one: list[Trade], other: list[Trade]) -> list[tuple[Trade, Trade]]:
    """Pairs that are not one trade: slice, symbol and quantity equal, price and fee to the last bits of a float."""
    return [
        (a, b)
        for a, b in zip(one, other, strict=True)
        if a[:3] != b[:3] or abs(a.price - b.price) > 1e-12 * b.price or abs(a.fee - b.fee) > 1e-12 * max(b.fee, 1)
    ]
