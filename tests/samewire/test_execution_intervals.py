"""Sessions of several intervals with an execution policy: what a slower strategy decides is worked from there on."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.journal_file import read_journal
from engine.events import MINUTE_NS, Children, Orders, OrderState, Reports
from samewire import run
from samewire.cli import main
from tests.adapters.operators.listed import at
from tests.samewire.test_execution import legs


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of minutes on two days, in which nobody trades in the minute that ends with each five."""
    rng = np.random.default_rng(1)
    rows: list[dict[str, Any]] = []
    for date in ("2018-07-02", "2018-07-05"):
        for k in [k for k in range(60) if k % 5 != 4]:
            for symbol in ("AAA", "BBB"):
                o, c = rng.uniform(10, 10.1, 2).round(3).tolist()
                prices = {"open": o, "high": max(o, c), "low": min(o, c), "close": c, "volume": 50_000.0}
                rows.append({"ts": at(f"{date} 09:30") + k * MINUTE_NS, "symbol": symbol} | prices)
    path = tmp_path_factory.mktemp("holed") / "minutes.parquet"
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.set_column(0, "ts", table["ts"].cast(pa.timestamp("ns", "UTC"))), path)
    return path


@pytest.mark.parametrize("execution", [{"use": "immediate"}, {"use": "twap", "horizon": 4}])
def test_every_order_of_a_slower_strategy_is_sent_though_no_minute_ends_with_it(
    execution: dict[str, Any], holed: Path, tmp_path: Path
) -> None:
    feed = {"use": "parquet", "path": str(holed), "stamped": "open", "close": "10:30 America/New_York"}
    document = {
        "schema": 1,
        "session": {"name": "holed", "cash": 100_000},
        "feed": {"use": "aggregate", "of": feed, "to": ["5min"]},
        "models": [{"name": "five", "use": "tests.samewire.paced:LastClose", "interval": "5min"}],
        "strategy": {"use": "topk_dropout", "topk": 1, "n_drop": 1, "interval": "5min"},
        "optimizer": "direct",
        "execution": execution,
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 0}},
        "sinks": [],
    }
    run(document, out=tmp_path / "run")
    events = [entry.event for entry in read_journal(tmp_path / "run" / "journal")]
    ordered = {(ts, symbol) for ts, symbol, _ in legs(events, Orders)}
    sent = {(ts, symbol) for ts, symbol, _ in legs(events, Children)}
    assert len(ordered) > 10
    assert ordered <= sent  # the first step of each goes out where it was decided
    ends = [state for event in events if isinstance(event, Reports) for state in event.state.tolist()]
    assert OrderState.EXPIRED not in ends
    assert main(["verify", str(tmp_path / "run")]) == 0
