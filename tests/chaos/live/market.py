"""The market of the kill tests: generated minute bars of 50 symbols, their history in a file, the rest to be published.

Fixed seeds, so that every process and every run has the same. One bar in two hundred is missing, one comes twice.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.cuts import Bar
from engine.events import DAY_NS, MINUTE_NS

DAY = dt.date(2024, 3, 6)  # of the session; the day before is history
MIDNIGHT = (DAY - dt.date(1970, 1, 1)).days * DAY_NS
SYMBOLS = 50
TAUGHT = 120  # minutes of history
STRATEGY, MODEL, SESSION = "strategy", "trees", "chaos"


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """How much of it there is. The session is the last `slices` minutes of its day, so that the day ends it."""

    slices: int
    symbols: int = SYMBOLS
    seed: int = 11
    missing: float = 0.005
    twice: float = 0.005

    @property
    def names(self) -> list[str]:
        return [f"S{k:02d}" for k in range(self.symbols)]


def _closes(market: Market, minutes: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.002, (minutes, market.symbols))
    steps[1:] += 0.3 * steps[:-1]  # something to learn
    return np.asarray(np.exp(np.cumsum(steps, axis=0)) * np.linspace(20.0, 200.0, market.symbols))


def write_history(market: Market, path: Path) -> Path:
    """The minutes before the session, as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    closes = _closes(market, TAUGHT, market.seed)
    ends = MIDNIGHT - MINUTE_NS * np.arange(TAUGHT - 1, -1, -1)
    table = pa.table(
        {
            "ts": pa.array(np.repeat(ends, market.symbols), pa.timestamp("ns", tz="UTC")),
            "symbol": market.names * TAUGHT,
            "open": closes.ravel(),
            "high": closes.ravel() * 1.001,
            "low": closes.ravel() * 0.999,
            "close": closes.ravel(),
            "volume": np.full(closes.size, 1e5),
        }
    )
    pq.write_table(table, path)
    return path


def bars(market: Market) -> list[Bar]:
    """Those of the session, in the order in which they are published."""
    closes = _closes(market, market.slices, market.seed + 1)
    rng = np.random.default_rng(market.seed + 2)
    found: list[Bar] = []
    for k, row in enumerate(closes.tolist()):
        ts = MIDNIGHT + DAY_NS - MINUTE_NS * (market.slices - 1 - k)
        luck = rng.random(market.symbols)
        for symbol in rng.permutation(market.symbols).tolist():
            price, chance = row[symbol], luck[symbol]
            if chance < market.missing and 0 < k < market.slices - 1:
                continue
            bar = Bar(
                symbol=symbol,
                ts=ts,
                interval_ns=MINUTE_NS,
                open=price,
                high=price * 1.001,
                low=price * 0.999,
                close=price,
                volume=1e5,
            )
            found += [bar] * (2 if chance > 1 - market.twice else 1)
    return found


def run_words(history: Path, env: str, **live: Any) -> dict[str, Any]:
    """A run file: trees that learn at the start, top-k, an optimizer, limits, and the paper broker."""
    return {
        "schema": 1,
        "session": {"name": SESSION, "start": str(DAY), "end": str(DAY), "cash": 10_000_000, "seed": 5},
        "feed": {"use": "parquet", "path": str(history), "stamped": "close", "interval": "1m"},
        "features": [{"use": "rolling", "windows": [5, 10]}],
        "models": [
            {
                "name": MODEL,
                "use": "lightgbm",
                "features": "rolling",
                "num_boost_round": 10,
                "min_data_in_leaf": 50,
                "train": {"until": str(DAY - dt.timedelta(days=1))},
            }
        ],
        "strategy": {"use": "topk_dropout", "topk": 10, "n_drop": 2, "signal": MODEL},
        "optimizer": {"use": "mean_variance", "risk_model": {"use": "ledoit_wolf", "window": 60}, "max_weight": 0.2},
        "risk": {"use": "limits", "max_weight": 0.25, "max_gross": 1.1},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5, "slippage_bps": 5}},
        "live": {"env": env, "dev": True, "deadline_s": 3600, "snapshot_every": 20, "health_s": 86400} | live,
    }
