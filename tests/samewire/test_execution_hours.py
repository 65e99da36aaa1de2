"""A session of extended hours with an execution policy: orders are worked in trading hours."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.files.journal_file import read_journal
from engine.errors import ConfigError
from engine.events import MINUTE_NS, Children, Fills, Orders
from samewire import load_run, open_session, run
from samewire.cli import main
from tests.adapters.operators.listed import at
from tests.samewire.scripted import config
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


def document(path: Path, fill: str = "next_open") -> dict[str, Any]:
    file = {"use": "parquet", "path": str(path), "stamped": "open", "interval": "5m"}
    return {
        "schema": 1,
        "session": {"name": "extended", "cash": 100_000},
        "feed": file | {"calendar": "XNYS", "outside": "keep"},
        "models": [{"name": "trend", "use": "momentum", "window": 1}],
        "strategy": {"use": "topk_dropout", "topk": 1, "n_drop": 1, "schedule": {"use": "every", "slices": 7}},
        "optimizer": "direct",
        "execution": {"use": "twap", "horizon": 6},
        "broker": {"use": "simulated", "fill": fill, "costs": {"commission_bps": 0}},
        "sinks": [],
    }


def test_orders_decided_out_of_hours_are_worked_in_the_next_session(extended: Path, tmp_path: Path) -> None:
    run(document(extended), out=tmp_path / "run")
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


@pytest.mark.parametrize("fill", ["open_auction", "close_auction"])
def test_a_policy_and_a_broker_that_trades_in_one_bar_a_session_are_refused(
    fill: str, extended: Path, tmp_path: Path
) -> None:
    said = f"(?s){fill} beside execution twap and bars of 5m.*only one bar of a session trades in an auction: next_open"
    with pytest.raises(ConfigError, match=said):
        load_run(document(extended, fill))
    found = document(extended, fill)
    del found["feed"]["interval"]  # only the file tells
    with pytest.raises(ConfigError, match=said):
        run(found, out=tmp_path / "run")


def test_a_policy_and_a_broker_that_takes_what_is_sent_at_a_close_to_the_next_open_are_refused(
    extended: Path, tmp_path: Path
) -> None:
    found = document(extended, "same_close")
    found["broker"]["when_closed"] = "next_open"
    said = "(?s)when_closed.*next_open beside execution twap and bars of 5m.*would trade twice in a bar"
    with pytest.raises(ConfigError, match=said):
        load_run(found)
    del found["feed"]["interval"]  # only the file tells
    with pytest.raises(ConfigError, match=said):
        run(found, out=tmp_path / "run")


@pytest.mark.parametrize("pace", [{"use": "immediate"}, {"use": "twap", "horizon": 3}, {"use": "vwap", "horizon": 3}])
def test_at_its_own_close_a_session_is_worked_in_bars_of_trading_hours_and_measured_by_them(
    pace: dict[str, Any], extended: Path, tmp_path: Path
) -> None:
    """Bars out of hours are kept; some orders are decided in them, and some at a close."""
    found = document(extended, "same_close") | {"execution": pace}
    found["strategy"]["schedule"]["slices"] = 4  # the first close is one of them
    result = run(found, out=tmp_path / "run")
    events = [entry.event for entry in read_journal(tmp_path / "run" / "journal")]
    ends = {at(f"{d} {'13:00' if d == DATES[1] else '16:00'}") for d in DATES}
    inside = {at(f"{d} 09:30") + k * 5 * MINUTE_NS for d in DATES for k in range(1, 43 if d == DATES[1] else 79)}
    fills = [ts for e in events if isinstance(e, Fills) for ts in [e.ts] * len(e.qty)]
    assert set(fills) <= inside
    closed = [ts for ts, _, _ in legs(events, Orders) if ts in ends]
    assert closed
    assert set(closed) <= set(fills)
    rows, parents = (result.table(name).to_pandas() for name in ("execution_slices", "execution"))
    sent = [ts for ts, _, _ in legs(events, Children)]
    assert {row.ts.value: row.children for row in rows.itertuples() if row.children} == Counter(sent)
    assert sent == fills  # each child where it was sent
    whole = parents[parents.end == "finished"]
    at_once = whole[[ts.value in ends for ts in whole.ts]]
    assert at_once.price.tolist() == at_once.twap.tolist()
    assert whole.pa_twap_bps.abs().max() < (1.0 if pace["use"] != "vwap" else 60.0)
    assert main(["verify", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("fill", ["open_auction", "close_auction"])
def test_with_bars_of_a_day_children_meet_their_auctions(fill: str, tmp_path: Path) -> None:
    broker = {"use": "simulated", "fill": fill, "costs": {"commission_bps": 0}}
    result = run(config(broker=broker, execution={"use": "twap", "horizon": 2}), out=tmp_path / "run")
    assert result.summary["execution"]["fill_ratio"]["shares"] == 1.0


async def test_the_gate_hears_how_parents_ended() -> None:
    session = open_session(config(execution={"use": "twap", "horizon": 2}))
    await session.run()
    known = session.session.wiring.parts.gate.component._parents.save()
    assert len(known["ended"]) > 0
