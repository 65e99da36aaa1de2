"""One way to run every case: a market as a tape, through the public API, under a preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from samewire import Result, run
from tests.oracles.outcome import Fill, Outcome
from tests.oracles.tape import Market, write

Options = Mapping[str, Any]


def run_file(path: Path, case: Options, *, cash: float, lot: float = 1.0) -> dict[str, Any]:
    """A run file over the tape at `path`: what the case says, and the sections that every run file needs."""
    said = {key: value for key, value in case.items() if key != "session"}
    return {
        "schema": 1,
        "session": {"name": "oracle", "cash": cash, "benchmark": "none"} | dict(case.get("session", {})),
        "feed": {"use": "tests.oracles.tape:Tape", "path": str(path), "lot": lot},
        "models": [{"use": "tests.oracles.parts:Quiet", "name": "quiet"}],
    } | said


def play(market: Market, case: Options, folder: Path, *, cash: float, lot: float = 1.0) -> Outcome:
    """Runs the case on this market and reads what came of it."""
    return outcome(market, result_of(market, case, folder, cash=cash, lot=lot))


def result_of(market: Market, case: Options, folder: Path, *, cash: float, lot: float = 1.0) -> Result:
    path = write(market, folder / "tape.npz")
    return run(run_file(path, case, cash=cash, lot=lot))


def outcome(market: Market, result: Result) -> Outcome:
    slices = {ts: t for t, ts in enumerate(market.ts.tolist())}
    fills = result.fills
    ts = np.array(fills["ts"].to_numpy(zero_copy_only=False), "datetime64[ns]").astype(np.int64)
    columns = (fills[name].to_pylist() for name in ("symbol", "quantity", "price", "fee"))
    rows = zip(ts.tolist(), *columns, strict=True)
    made = [Fill(slices[at], market.symbols.index(symbol), *rest) for at, symbol, *rest in rows]
    equity, cash = result.equity["equity"].to_pylist(), result.equity["cash"].to_pylist()
    return Outcome(made, equity, cash[-1], len(result.orders), len(result.table("refusals")))
