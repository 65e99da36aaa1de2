"""Run files for tests: one that is good, a plain one, and the problems of others."""

from pathlib import Path
from typing import Any

import pytest

from samewire.schema import RunFileErrors, load_run

ROOT = Path(__file__).parent.parent.parent
GOOD = """\
schema: 1
session: {name: quick, cash: 1_000_000, start: 2018-01-02, end: 2018-12-31}
feed:
  use: tests.samewire.own:Tickers
  path: prices/daily
  symbols: [ON, NO, TRUE, NULL, 000001, 1e3, "null", ~tilde, 2018-01-02, "16:00"]
  close: 16:00
models:
  - {use: momentum, window: 5}
strategy: {use: topk_dropout, topk: 2, n_drop: 1}
optimizer: {use: mean_variance, risk_model: ledoit_wolf, risk_aversion: 1e1}
broker: {use: simulated, fill: next_open, costs: {commission_bps: 5}}
"""


def plain_run(**changes: Any) -> dict[str, Any]:
    run: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "quick", "cash": 1e6},
        "feed": "tests.samewire.own:Walk",
        "models": [{"use": "momentum", "window": 5}],
        "strategy": {"use": "tests.samewire.own:Equal"},
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
    }
    return run | changes


def problems(run: dict[str, Any], *overrides: str) -> list[tuple[str, str]]:
    with pytest.raises(RunFileErrors) as caught:
        load_run(run, overrides)
    return [(problem.code, problem.path) for problem in caught.value.problems]
