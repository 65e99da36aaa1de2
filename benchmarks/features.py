"""Alpha158 of 500 names: live, over five years of history, and both bit by bit. Goals: 2 ms a slice, 4 us a row.

The slice is the median. A row is one name of one slice, 158 features. `live` feeds slices to the feature set as the
bus would; `batch` walks history into a panel with labels, as training does. `skew` counts the bits in which a month of
slices differs between the two, and between a process that has seen all of history and one that saw the lookback alone,
with gaps, late names, splits and dividends. `compile` is the first call with an empty cache.

`--peers` times pandas over the same panel, five windows an operator, and, where `QLIB_PYTHON` names the interpreter of
an environment with pyqlib, all of Qlib's Alpha158 over 40 of the names in one process (peers/qlib_alpha158.py).
"""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import Outcome, arguments, best_and_median, conclude, cpu_seconds, in_turn, peak_mb, versions

from components.features.alpha158 import Alpha158
from components.training.panel import walk
from engine.events import DAY_NS, ActionKind, Actions, Bars
from engine.universe import universe_of

NAMES, DAYS, MONTH = 500, 1258, 21
LIVE_MS, ROW_US = 2.0, 4.0
WINDOWS = (5, 10, 20, 30, 60)
EVER = 1 << 62
UNIVERSE = universe_of(tuple(f"S{i:03d}" for i in range(NAMES)))


def history(days: int, gaps: float = 0.01) -> list[Bars]:
    """A random walk; a share of `gaps` bars is missing and every tenth name lists late."""
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0.0003, 0.015, (days, NAMES)), axis=0))
    opening = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.004, (days, NAMES)))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.005, (days, NAMES)))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.005, (days, NAMES)))
    volume = np.round(rng.lognormal(12, 0.5, (days, NAMES)))
    gone = rng.random((days, NAMES)) < gaps
    gone[: days // 3, ::10] = True
    vwap = (high + low + close) / 3
    columns = {"open": opening, "high": high, "low": low, "close": close, "volume": volume, "vwap": vwap}
    for column in columns.values():
        column[gone] = np.nan
    member = np.ones(NAMES, bool)
    return [
        Bars(
            ts=(k + 1) * DAY_NS,
            interval_ns=DAY_NS,
            opened=k * DAY_NS + 1,
            status=gone[k].astype(np.int32),
            member=member,
            **{name: column[k] for name, column in columns.items()},
        )
        for k in range(days)
    ]


def with_actions(slices: list[Bars]) -> list[Bars | Actions]:
    """A split or a dividend of some names after every third slice."""
    events: list[Bars | Actions] = []
    for k, bars in enumerate(slices):
        events.append(bars)
        if k % 3 == 0:
            rows = np.array([k % NAMES, (7 * k) % NAMES], np.int32)
            kind = np.array([ActionKind.SPLIT, ActionKind.CASH_DIVIDEND], np.int32)
            ratio, amount = np.array([2.0, 1.0]), np.array([0.0, 0.3])
            pay_at, successor = np.array([bars.ts, bars.ts]), np.array([-1, -1], np.int32)
            each = {"kind": kind, "symbol": rows, "ratio": ratio, "amount": amount}
            events.append(Actions(ts=bars.ts + 1, pay_at=pay_at, successor=successor, **each))
    return events


def streamed(events: list[Bars | Actions]) -> dict[int, np.ndarray]:
    features = Alpha158(universe=UNIVERSE)
    value = {}
    for event in events:
        if isinstance(event, Bars):
            value[event.ts] = features.on_bars(event).value.astype(np.float32)
        else:
            features.on_actions(event)
    return value


def differing_bits(slices: list[Bars]) -> dict[str, int]:
    """Of the last month: stream against batch, and against a process that began 61 slices before it."""
    events = with_actions(slices[-(MONTH + 200) :])
    bars = [event for event in events if isinstance(event, Bars)]
    month = bars[-MONTH].ts
    whole = streamed(events)
    late = streamed([event for event in events if event.ts >= bars[-MONTH - 60].ts])
    panel = walk(iter(events), Alpha158(universe=UNIVERSE), 1, EVER, month)
    pairs = [(whole[int(ts)], row) for ts, row in zip(panel.ts, panel.features, strict=True)]
    cold = [(whole[ts], late[ts]) for ts in whole if ts >= month]
    return {"stream_batch": sum(map(_bits, pairs)), "cold_start": sum(map(_bits, cold)), "slices": len(pairs)}


def _bits(pair: tuple[np.ndarray, np.ndarray]) -> int:
    one, other = (np.ascontiguousarray(x).view(np.uint32) for x in pair)
    return int(np.bitwise_count(one ^ other).sum())


def compile_seconds() -> float:
    """CPU seconds of the first slice in a process with an empty cache, imports left out."""
    script = """
        import time
        from features import NAMES, UNIVERSE, history
        from components.features.alpha158 import Alpha158
        import numba
        features, bars = Alpha158(universe=UNIVERSE), history(1)[0]
        begin = time.process_time()
        features.on_bars(bars)
        print(time.process_time() - begin)
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = os.pathsep.join([os.path.dirname(__file__), *sys.path])
        env = os.environ | {"NUMBA_CACHE_DIR": folder, "PYTHONPATH": paths}
        command = [sys.executable, "-c", textwrap.dedent(script)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


def peers(slices: list[Bars]) -> dict[str, Any]:
    """CPU us a row of some operators over five windows by pandas, of all 158 features by us, in turn."""
    import pandas as pd

    close = pd.DataFrame([bars.close for bars in slices])
    volume = np.log(pd.DataFrame([bars.volume for bars in slices]) + 1)

    def over(function: Callable[[Any], Any]) -> Callable[[], None]:
        return lambda: [function(close.rolling(d, min_periods=1)) for d in WINDOWS] and None

    works: dict[str, Callable[[], Any]] = {
        "ours_all_158": lambda: walk(iter(slices), Alpha158(universe=UNIVERSE), 1, EVER),
        "pandas_mean": over(lambda rolling: rolling.mean()),
        "pandas_std": over(lambda rolling: rolling.std()),
        "pandas_max": over(lambda rolling: rolling.max()),
        "pandas_quantile": over(lambda rolling: rolling.quantile(0.8)),
        "pandas_rank": over(lambda rolling: rolling.rank(pct=True)),
        "pandas_corr": over(lambda rolling: rolling.corr(volume)),
    }
    rows = len(slices) * NAMES
    found: dict[str, Any] = {name: round(s[0] / rows * 1e6, 3) for name, s in in_turn(works, 2).items()}
    return {"us_per_row": found, "qlib": _qlib(slices), "versions": versions("pandas")}


def _qlib(slices: list[Bars]) -> dict[str, Any]:
    """CPU us a row of Qlib's Alpha158, in its own environment, over 40 of the names."""
    python = os.environ.get("QLIB_PYTHON")
    if not python:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bars.npz")
        columns = ("open", "high", "low", "close", "volume", "vwap")
        np.savez(path, **{name: np.array([getattr(bars, name)[:40] for bars in slices]) for name in columns})
        command = [python, str(Path(__file__).parent / "peers" / "qlib_alpha158.py"), path]
        alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(command, env=alone, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    args = arguments(__doc__ or "")
    slices = history(300 if args.quick else DAYS)
    compiling = compile_seconds()
    print(f"compile with an empty cache: {compiling:.1f} CPU s", file=sys.stderr)
    live = Alpha158(universe=UNIVERSE)
    for bars in slices[:61]:
        live.on_bars(bars)
    seconds = sorted(cpu_seconds(lambda b=bars: live.on_bars(b)) for bars in slices[61:])
    p50, p99 = (seconds[int(q * len(seconds))] * 1e3 for q in (0.5, 0.99))

    def batch() -> None:
        walk(iter(slices), Alpha158(universe=UNIVERSE), 1, EVER)

    best, median = (s / (len(slices) * NAMES) * 1e6 for s in best_and_median(batch, 2 if args.quick else 5))
    skew = differing_bits(slices)
    outcome = Outcome(
        work=f"Alpha158 of {NAMES} names: a live slice; {len(slices)} days into a panel; a month bit by bit",
        value=p50,
        unit="CPU ms a live slice, median",
        goal=LIVE_MS,
        met=p50 <= LIVE_MS and best <= ROW_US and skew["stream_batch"] == skew["cold_start"] == 0,
        peers=peers(slices[:300] if args.quick else slices) if args.peers else {},
        detail={
            "live_ms": {"best": round(seconds[0] * 1e3, 3), "p99": round(p99, 3)},
            "batch_us_per_row": {"best": round(best, 3), "median": round(median, 3), "goal": ROW_US},
            "differing_bits": skew,
            "compile_s": round(compiling, 2),
            "peak_mb": round(peak_mb()),
            "numba": versions("numba")["numba"],
        },
    )
    conclude(args, "features", outcome)


if __name__ == "__main__":
    main()
