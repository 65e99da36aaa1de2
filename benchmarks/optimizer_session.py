"""A whole replay of enhanced indexing on 500 names, one rebalance a day: files in, session folder out, all CPU counted.

Bars, scores, sectors, benchmark and exposures are generated files; reading them, the risk model, the strategy, the
optimizer, the gate, the simulated broker, the ledger, the journal and the report all count. Goal: 10 s of CPU for 2,500
days. The IC decides how much is traded: 0.01 a day over 500 names is an information ratio of 3.5 a year already.
`--quick` replays 100 days and extrapolates: it takes what the start costs off once.
"""

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import Outcome, arguments, conclude, cpu_seconds

import samewire

NAMES, FACTORS, SECTORS = 500, 20, 11
DAYS, BEFORE, GOAL_S = 2500, 61, 10.0  # slices that are traded, those before the risk model has an answer
FIRST = dt.date(2010, 1, 4)

RUN = """
schema: 1
session: {{name: indexing, start: {start}, end: {end}, cash: 100_000_000, seed: 7}}
feed: {{use: parquet, path: bars.parquet, close: "16:00 America/New_York", sectors: sectors.csv,
  reference: {{exposures: exposures.csv, benchmark: benchmark.csv}}}}
models: [{{name: mine, use: scores, table: scores.parquet}}]
strategy: {{use: score_weights, method: rank}}
optimizer:
  use: portfolio
  risk_model: {{use: given_factors, window: 60, min_slices: 60}}
  benchmark: reference
  min_order_value: 10_000
  method:
    use: composed
    objective:
      - {{use: expected_return, ic: 0.01}}
      - {{use: variance, aversion: 10, about: benchmark}}
      - {{use: linear_cost, buy_bps: 5, sell_bps: 15, holding_slices: 10}}
    constraints:
      - {{use: benchmark_band, deviation: 0.01}}
      - {{use: budget, min: 0.98, max: 0.98}}
      - {{use: sectors, deviation: 0.02}}
      - {{use: exposures, min: -0.1, max: 0.1}}
risk: {{max_weight: 0.1, max_gross: 1.05}}
broker: {{use: simulated, fill: next_open, costs: {{commission_bps: 5, slippage_bps: 5}}}}
sinks: [{{use: session_dir}}]
"""


def weekdays(count: int) -> list[dt.date]:
    days = (FIRST + dt.timedelta(days=k) for k in range(2 * count + 10))
    return [day for day in days if day.weekday() < 5][:count]


def written(folder: Path, days: list[dt.date]) -> None:
    """The files of a random market with a factor structure, and of scores that change slowly."""
    rng, count = np.random.default_rng(5), len(days)
    symbols = [f"S{i:03d}" for i in range(NAMES)]
    exposures = rng.normal(size=(NAMES, FACTORS)) / np.sqrt(FACTORS)
    exposures[:, 0] = 1.0 + 0.3 * rng.normal(size=NAMES)
    factor = rng.normal(size=(count, FACTORS)) * np.append(0.01, rng.uniform(0.002, 0.006, FACTORS - 1))
    own = rng.normal(size=(count, NAMES)) * rng.uniform(0.01, 0.02, NAMES)
    close = 50.0 * np.exp(np.cumsum(factor @ exposures.T + own, axis=0))
    opening = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.002, close.shape))
    score = np.zeros(close.shape)
    for t in range(1, count):
        score[t] = 0.98 * score[t - 1] + 0.2 * rng.normal(size=NAMES)
    keys = {
        "date": np.repeat(np.array(days, "datetime64[D]"), NAMES),
        "symbol": pa.array(np.tile(symbols, count)).dictionary_encode(),
    }
    ends = {"high": np.maximum(opening, close), "low": np.minimum(opening, close)}
    prices = {"open": opening, **ends, "close": close, "volume": np.full(close.shape, 1e6)}
    flat = {name: values.ravel() for name, values in prices.items()}
    pq.write_table(pa.table(keys | flat), folder / "bars.parquet", row_group_size=250 * NAMES)
    pq.write_table(pa.table(keys | {"score": score.ravel()}), folder / "scores.parquet")
    _sheet(folder / "exposures.csv", symbols, [f"f{k}" for k in range(FACTORS)], exposures)
    _sheet(folder / "benchmark.csv", symbols, ["weight"], rng.dirichlet(np.full(NAMES, 4.0))[:, None])
    rows = [f"{symbol},g{i % SECTORS}" for i, symbol in enumerate(symbols)]
    (folder / "sectors.csv").write_text("\n".join(["symbol,sector", *rows, ""]))


def _sheet(path: Path, symbols: list[str], columns: list[str], values: Any) -> None:
    date = FIRST - dt.timedelta(days=3)
    rows = [",".join([f"{date},{s}", *map(repr, row)]) for s, row in zip(symbols, values.tolist(), strict=True)]
    path.write_text("\n".join([",".join(["date,symbol", *columns]), *rows, ""]))


def replayed(folder: Path, days: list[dt.date], out: str) -> tuple[float, Any]:
    """CPU seconds of a session over these days, and its summary."""
    file = folder / f"{out}.yaml"
    file.write_text(RUN.format(start=days[0], end=days[-1]))
    found: list[Any] = []
    seconds = cpu_seconds(lambda: found.append(samewire.run(file, out=folder / out)))
    return seconds, found[0].summary


def session(quick: bool) -> dict[str, Any]:
    """CPU seconds of the whole session, what of them its start takes, and what became of its rebalances."""
    count = BEFORE + (100 if quick else DAYS)
    with tempfile.TemporaryDirectory() as scratch:
        folder, days = Path(scratch), weekdays(count)
        written(folder, days)
        start, _ = replayed(folder, days[: BEFORE + 5], "start")
        seconds, summary = replayed(folder, days, "whole")
    if quick:
        again = min(start, seconds)
        seconds = again + (seconds - again) * DAYS / 95
    notes = summary["notes"]
    answered = notes.get("optimizer.weights", 0)
    return {
        "s": round(seconds, 3),
        "extrapolated": quick,
        "start_s": round(start, 3),
        "rebalances": answered,
        "fallback_share": max(notes.get("optimizer.fallback", 0) - BEFORE + 1, 0) / max(answered, 1),
        "orders_a_slice": round(summary["orders"] / max(answered, 1), 1),
        "turnover_a_year": round(summary["turnover"], 1),
    }


def main() -> None:
    args = arguments(__doc__ or "")
    found = session(args.quick)
    work = f"{DAYS} daily rebalances of {NAMES} names by enhanced indexing, files to session folder"
    met = found["s"] <= GOAL_S
    outcome = Outcome(work=work, value=found["s"], unit="s", goal=GOAL_S, met=met, detail=found)
    conclude(args, "optimizer_session", outcome)


if __name__ == "__main__":
    main()
