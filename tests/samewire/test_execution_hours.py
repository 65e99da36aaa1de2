"""A session of extended hours with an execution policy: orders are worked in trading hours."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.journal_file import read_journal
from engine.events import MINUTE_NS, Children, Fills, Orders
from samewire import run
from samewire.cli import main
from tests.adapters.operators.listed import at
from tests.samewire.test_execution import legs

DATES = ("2018-07-02", "2018-07-03", "2018-07-05")  # the second is half a day


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five-minute bars from 08:30 to 17:00."""
    rng = np.random.default_rng(1)
    k = np.tile(np.arange(-12, 90), len(DATES) * 2)
    begun = np.repeat([at(f"{date} 09:30") for date in DATES], 2 * 102)
    close = 10 + rng.uniform(0, 0.1, len(k)).round(3)
    prices = {"open": close, "high": close, "low": close, "close": close, "volume": np.full(len(k), 50_000.0)}
    symbol = np.tile(np.repeat(["AAA", "BBB"], 102), len(DATES))
    ts = pa.array(begun + k * 5 * MINUTE_NS).cast(pa.timestamp("ns", "UTC"))
    path = tmp_path_factory.mktemp("extended") / "minutes.parquet"
    pq.write_table(pa.table({"ts": ts, "symbol": symbol} | prices), path)
    return path


def test_orders_decided_out_of_hours_are_worked_in_the_next_session(extended: Path, tmp_path: Path) -> None:
    file = {"use": "parquet", "path": str(extended), "stamped": "open", "interval": "5m"}
    document = {
        "schema": 1,
        "session": {"name": "extended", "cash": 100_000},
        "feed": file | {"calendar": "XNYS", "outside": "keep"},
        "models": [{"name": "trend", "use": "momentum", "window": 1}],
        "strategy": {"use": "topk_dropout", "topk": 1, "n_drop": 1, "schedule": {"use": "every", "slices": 7}},
        "optimizer": "direct",
        "execution": {"use": "twap", "horizon": 6},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 0}},
        "sinks": [],
    }
    run(document, out=tmp_path / "run")
    events = [entry.event for entry in read_journal(tmp_path / "run" / "journal")]

    def inside(ts: int) -> bool:
        """Whether an order sent then meets a bar of trading hours."""
        return any(at(f"{d} 09:30") <= ts < at(f"{d} {'13:00' if d == DATES[1] else '16:00'}") for d in DATES)

    decided = [ts for ts, _, _ in legs(events, Orders)]
    sent = [ts for ts, _, _ in legs(events, Children)]
    assert sum(not inside(ts) for ts in decided) > 5
    assert [ts for ts in sent if not inside(ts)] == []
    assert [e.ts for e in events if isinstance(e, Fills) and e.qty.size and not inside(e.ts - 5 * MINUTE_NS)] == []
    opened = [ts for ts in sent if ts in {at(f"{date} 09:30") for date in DATES}]
    assert len(opened) >= 2  # at the open itself
    assert main(["verify", str(tmp_path / "run")]) == 0
