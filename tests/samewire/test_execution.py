"""Whole sessions with an execution policy: replayed, verified, explained, beside an optimizer that decides again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.files.journal_file import read_journal
from engine.errors import ConfigError
from engine.events import DAY_NS, Approved, Book, Children, Fills, LegAction, Orders, OrderState, Reports, Timer
from engine.ids import id_text
from samewire import load_run, run
from samewire.cli import main
from samewire.explain.lines import order_text
from samewire.explain.orders import explain_order
from samewire.recorded import open_recorded
from samewire.registry import BUILT_IN
from tests.samewire.scripted import config, feed, wish

ROOT = Path(__file__).parent.parent.parent
TWAP = {"use": "twap", "horizon": 4, "span_days": True}
FREE = {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 0}}


def ran(folder: Path, **changes: Any) -> list[Any]:
    """The events of a session with parents that are worked over four slices."""
    run(config(**{"execution": TWAP} | changes), out=folder / "run")
    return [entry.event for entry in read_journal(folder / "run" / "journal")]


def legs(events: list[Any], kind: type[Any], action: LegAction = LegAction.NEW) -> list[tuple[int, int, float]]:
    """(ts, symbol, quantity) of the legs of one kind and action."""
    return [
        (event.ts, *row)
        for event in events
        if isinstance(event, kind)
        for row in zip(
            event.symbol[event.action == action].tolist(), event.qty[event.action == action].tolist(), strict=True
        )
    ]


def held(folder: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    fills = pq.read_table(folder / "run" / "fills.parquet").to_pandas()
    totals: dict[str, float] = fills.groupby(fills["symbol"].astype(str))["quantity"].sum().to_dict()
    return totals


def test_a_target_given_in_every_slice_is_worked_once(tmp_path: Path) -> None:
    """The shares wanted stay the same: no order but the first is sent, and its parent runs over its horizon."""
    events = ran(tmp_path, strategy=wish(0.4, 0.2, 0, 0, 0), feed=feed(slices=10), broker=FREE)
    orders = legs(events, Orders)
    assert [symbol for _, symbol, _ in orders] == [0, 1]
    assert not legs(events, Orders, LegAction.REPLACE)
    assert not legs(events, Orders, LegAction.CANCEL)
    children = legs(events, Children)
    for _, symbol, qty in orders:
        mine = [child for _, s, child in children if s == symbol]
        assert len(mine) == 4
        assert sum(mine) == qty


KEEPERS = {  # they keep what they hold, and say so in a target in every slice
    "topk_dropout": {"use": "topk_dropout", "topk": 2, "n_drop": 1},
    "qlib_topk_dropout": {"use": "qlib_topk_dropout", "topk": 2, "n_drop": 1},
    "sign": {"use": "sign", "gross": 0.9},
    "soft_topk": {"use": "soft_topk", "topk": 2},
    "sleeves": {"use": "sleeves", "strategies": [{"use": "topk_dropout", "topk": 2, "n_drop": 1}, {"use": "sign"}]},
    "guarded": {
        "use": "guarded",
        "strategy": {"use": "sign", "gross": 0.9},
        "rules": [{"use": "max_holding", "slices": 30}],
    },
}


@pytest.mark.parametrize("name", list(KEEPERS))
def test_a_strategy_that_keeps_what_it_holds_lets_its_parents_run(name: str, tmp_path: Path) -> None:
    """With a target in every slice: exposure and turnover are those of the session without a policy."""
    market = feed(slices=80, drift=0.002)
    views = [{"name": "view", "use": "tests.samewire.scripted:Turns", "values": [3, 2, 1, -1, -2], "every": 16}]
    doc = {"strategy": KEEPERS[name], "feed": market, "models": views, "broker": FREE, "optimizer": {"use": "direct"}}
    plain = run(config(**doc), out=tmp_path / "plain").summary
    worked = run(config(**doc, execution=TWAP | {"horizon": 5}), out=tmp_path / "worked").summary
    assert plain["gross_exposure"] > 0.4
    assert worked["gross_exposure"] == pytest.approx(plain["gross_exposure"], rel=0.1)
    assert worked["turnover"] == pytest.approx(plain["turnover"], rel=0.2)


def test_a_target_that_moves_a_little_amends_the_parent_and_keeps_its_clock(tmp_path: Path) -> None:
    events = ran(tmp_path, strategy=wish(0.4, 0, 0, 0, 0), feed=feed(slices=10, drift=0.004))
    first = legs(events, Orders)[0]
    assert legs(events, Orders, LegAction.REPLACE)
    children = [child for child in legs(events, Children) if child[0] < first[0] + 4 * 86_400 * 10**9]
    assert len(children) == 4  # over by the fourth slice, whatever the amendments
    ends = [event for event in events if isinstance(event, Reports) and (event.state == OrderState.FINISHED).any()]
    assert ends


def test_under_a_band_orders_that_are_worked_end_at_their_target(tmp_path: Path) -> None:
    """The weights drift in each slice: the band must not cut every parent short by what is left below it."""
    gross = {}
    for name, extra in (("whole", {}), ("worked", {"execution": {"use": "twap", "horizon": 5, "span_days": True}})):
        found = run(
            {
                "schema": 1,
                "session": {"name": name, "start": "2018-01-02", "end": "2018-12-31", "cash": 10_000_000},
                "feed": {"use": "sample"},
                "models": [{"name": f"m{window}", "use": "momentum", "window": window} for window in (60, 200)],
                "strategy": {
                    "use": "sleeves",
                    "shares": [1, 1],
                    "strategies": [{"use": "score_weights", "signal": name} for name in ("m60", "m200")],
                },
                "optimizer": {"use": "direct", "band": 0.005},
                "broker": FREE,
                **extra,
            },
            out=tmp_path / name,
        )
        gross[name] = found.to_pandas("equity")["gross"].mean()
    assert gross["worked"] == pytest.approx(gross["whole"], rel=0.03)


def test_a_target_that_goes_away_cancels_the_parent_and_sells_what_it_bought(tmp_path: Path) -> None:
    events = ran(tmp_path, strategy=wish(0.4, 0, 0, 0, 0, drop_at=3), feed=feed(slices=12))
    (bought, sold) = legs(events, Orders)
    assert bought[2] > 0
    assert sold[2] == -sum(child for _, _, child in legs(events, Children) if child > 0)
    assert len(legs(events, Orders, LegAction.CANCEL)) == 1
    assert held(tmp_path) == {"S0": 0.0}


# `rl` needs an agent that was trained: tests/samewire/test_agent_training.py verifies one of its sessions.
@pytest.mark.parametrize("use", [use for use in BUILT_IN["execution"] if use != "rl"])
def test_a_session_of_every_policy_is_verified_and_its_children_pass_the_gate(use: str, tmp_path: Path) -> None:
    options = {"use": use, "horizon": 3, "span_days": True}
    broker = {"use": "simulated", "fill": "next_open", "participation": 0.001, "costs": {"commission_bps": 5}}
    risk = {"max_weight": 0.9, "max_gross": 1.5}
    market = feed(slices=12, drift=0.01, missing=("S0@4",), halted=("S1@5",))
    events = ran(tmp_path, execution=options, strategy=wish(0.4, 0.3, 0, 0, 0), feed=market, broker=broker, risk=risk)
    assert main(["verify", str(tmp_path / "run"), "--allow", "tests"]) == 0
    parents = {int(order) for event in events if isinstance(event, Orders) for order in event.ids}
    children = [event for event in events if isinstance(event, Children)]
    assert children
    assert {int(each) for event in children for each in event.parent} <= parents
    approved = {int(order) for event in events if isinstance(event, Approved) for order in event.ids}
    assert {int(order) for event in children for order in event.ids} <= approved
    assert any(isinstance(event, Timer) and event.name == "slice_decided" for event in events)


def test_a_pace_of_ones_own_is_worked_by_the_same_desk(tmp_path: Path) -> None:
    own = {"use": "tests.samewire.scripted:FrontLoaded", "horizon": 4}
    events = ran(tmp_path, strategy=wish(0.4, 0, 0, 0, 0), feed=feed(slices=8), broker=FREE, execution=own)
    assert [qty for _, _, qty in legs(events, Children)] == [2000.0, 1000.0, 500.0, 500.0]
    assert main(["verify", str(tmp_path / "run"), "--allow", "tests"]) == 0


def test_a_pace_without_a_horizon_is_told_what_it_lacks() -> None:
    with pytest.raises(ConfigError, match="Unready has `due` and no `horizon`; give it one, as samewire.Pace says"):
        run(config(execution={"use": "tests.samewire.scripted:Unready"}))


@pytest.mark.parametrize("horizon", [0, 10**18])
def test_a_pace_of_ones_own_with_a_horizon_that_is_none_is_refused_before_the_session(horizon: int) -> None:
    own = {"use": "tests.samewire.scripted:FrontLoaded", "horizon": horizon}
    with pytest.raises(ConfigError, match="FrontLoaded.*horizon must be at"):
        run(config(execution=own))


def test_fills_at_the_same_close_are_worked_too(tmp_path: Path) -> None:
    broker = {"use": "simulated", "fill": "same_close", "costs": {"commission_bps": 0}}
    events = ran(tmp_path, strategy=wish(0.4, 0, 0, 0, 0), feed=feed(slices=8), broker=broker)
    ((_, _, qty),) = legs(events, Orders)
    assert held(tmp_path) == {"S0": qty}
    assert len(legs(events, Children)) == 4
    assert main(["verify", str(tmp_path / "run"), "--allow", "tests"]) == 0


def test_halt_drops_the_parents_and_no_child_follows(tmp_path: Path) -> None:
    events = ran(tmp_path, strategy=wish(0.4, 0, 0, 0, 0, since=1), feed=feed(slices=9, control="halt", control_at=3))
    last = max(ts for ts, _, _ in legs(events, Approved))
    states = [state for event in events if isinstance(event, Reports) for state in event.state.tolist()]
    assert OrderState.CANCELLED in states
    assert last < [event.ts for event in events if event.__class__.__name__ == "Control"][0]


def test_why_tells_of_a_parent_and_its_children(tmp_path: Path) -> None:
    events = ran(tmp_path, strategy=wish(0.4, 0, 0, 0, 0), feed=feed(slices=8), broker=FREE)
    order = next(int(event.ids[0]) for event in events if isinstance(event, Orders))
    doc = explain_order(open_recorded(tmp_path / "run"), id_text(order))
    parent, *children = doc["orders"]
    assert (parent["state"], len(children)) == ("parent", 4)
    assert sum(child["filled"] for child in children) == parent["legs"][0]["qty"]
    assert "sent to the execution policy" in order_text(doc)


def test_the_summary_and_the_tables_say_how_orders_fared(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    ran(tmp_path, strategy=wish(0.4, 0.2, 0, 0, 0), feed=feed(slices=9))
    table = pq.read_table(tmp_path / "run" / "execution.parquet").to_pandas()
    assert table["end"].tolist() == ["finished", "finished"]
    assert (table["filled"] == table["asked"]).all()
    np.testing.assert_allclose(table["pa_twap_bps"], 0.0, atol=1e-9)  # prices stand still
    assert "Price advantage to TWAP" in (tmp_path / "run" / "report.html").read_text()


def test_a_session_without_a_policy_says_nothing_of_execution(tmp_path: Path) -> None:
    result = run(config(), out=tmp_path / "run")
    assert "execution" not in result.summary
    assert not (tmp_path / "run" / "execution.parquet").exists()
    assert "Price advantage" not in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("execution", "said"),
    [
        ({"use": "twap"}, "horizon"),
        ({"use": "twap", "horizon": 0}, "horizon must be at least 1 slice"),
        ({"use": "twap", "horizon": 10**20}, "horizon"),
        ({"use": "twap", "horizon": 10**18}, "horizon must be at most 1000000000 slices"),
        ({"use": "twap", "horizon": 3, "rate": 1}, "rate"),
        ({"use": "pov", "horizon": 3, "rate": 1.5}, "rate must be above 0 and at most 1"),
        ({"use": "vwap", "horizon": 3, "days": 0}, "days must be at least 1"),
        ({"use": "almgren_chriss", "horizon": 3, "eta": 0}, "eta must be finite and above 0"),
        ({"use": "sbb_ema", "horizon": 3, "fast": 20}, "fast must be at least 1 slice and below slow"),
        ({"use": "twop", "horizon": 3}, 'did you mean "twap"'),
    ],
)
def test_wrong_options_are_told_before_anything_runs(execution: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_run(config(execution=execution))


def test_the_run_file_of_configs_works_its_orders(tmp_path: Path) -> None:
    result = run(ROOT / "configs" / "execution.yaml", overrides=["session.end=2018-06-29"], out=tmp_path / "run")
    found = result.summary["execution"]
    assert found["orders"] > 20
    assert found["fill_ratio"]["shares"] > 0.9
    assert result.summary["refusals"] < 0.05 * result.summary["orders"]


def test_real_minutes_are_worked_within_their_sessions(data_dir: Path, tmp_path: Path) -> None:
    """24 names over a week of minutes: decided every half hour, worked over 40 minutes by the volume of days before."""
    import pyarrow.parquet as pq

    path = data_dir / "intraday" / "us_equity_1min_2019_02.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    minutes = {
        "use": "parquet",
        "path": str(path),
        "stamped": "close",
        "calendar": "XNYS",
        "symbols": ["AAPL", "MSFT", "SPY", "UGA"],
    }
    document = {
        "schema": 1,
        "session": {"name": "minutes", "cash": 1_000_000, "start": "2019-02-13", "end": "2019-02-14"},
        "feed": minutes | {"interval": "1m"},
        "models": [{"name": "trend", "use": "momentum", "window": 30}],
        "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1, "schedule": {"use": "every", "slices": 45}},
        "optimizer": "direct",
        "execution": {"use": "vwap", "horizon": 40},
        "broker": {"use": "simulated", "fill": "next_open", "participation": 0.1, "costs": {"commission_bps": 1}},
    }
    run(document, out=tmp_path / "run")
    table = pq.read_table(tmp_path / "run" / "execution.parquet").to_pandas()
    ended = table[table["end"] != "open"]
    assert len(ended) > 10
    assert (ended["filled"].abs() <= ended["asked"].abs()).all()
    liquid = ended[ended["symbol"].astype(str) != "UGA"]  # which trades in few minutes of a day
    assert len(liquid) > 10
    assert (liquid["end"] == "finished").all()
    opens = pq.read_table(tmp_path / "run" / "fills.parquet").to_pandas()["ts"].dt.tz_convert("America/New_York")
    assert opens.dt.strftime("%H:%M").between("09:31", "16:00").all()


def test_no_child_trades_at_the_next_open_where_the_last_minutes_of_days_are_missing(
    data_dir: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    path = data_dir / "intraday" / "us_equity_1min_2019_02.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    day = pq.read_table(path, filters=[("symbol", "=", "AAPL")]).to_pandas()
    clock = day["ts"].dt.tz_convert("America/New_York").dt.strftime("%H:%M")
    day[clock < "15:58"].to_parquet(tmp_path / "cut.parquet")
    market = {"use": "parquet", "path": str(tmp_path / "cut.parquet"), "stamped": "close", "calendar": "XNYS"}
    document = {
        "schema": 1,
        "session": {"name": "minutes", "cash": 1_000_000, "start": "2019-02-11", "end": "2019-02-12"},
        "feed": market | {"symbols": ["AAPL"], "interval": "1m"},
        "models": [{"name": "trend", "use": "momentum", "window": 5}],
        "strategy": {"use": "sign", "schedule": {"use": "every", "slices": 11}},
        "optimizer": "direct",
        "execution": {"use": "twap", "horizon": 30},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 1}},
    }
    run(document, out=tmp_path / "run")
    sent, nights, late = {}, 0, []
    for event in (entry.event for entry in read_journal(tmp_path / "run" / "journal")):
        if isinstance(event, Children):
            sent |= dict.fromkeys(event.ids[event.action == LegAction.NEW].tolist(), event.ts // DAY_NS)
            nights += int((event.action == LegAction.CANCEL).any())
        elif isinstance(event, Fills):
            late += [order for order in event.order_ids.tolist() if sent[order] != event.ts // DAY_NS]
    assert nights > 0  # children were in the market at a close
    assert late == []
    assert main(["verify", str(tmp_path / "run")]) == 0


def test_worked_orders_in_fractional_lots_leave_nothing_behind_what_is_sold_whole(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "feed": feed(lot=1e-3, slices=60, drift=0.01),
        "models": [{"name": "view", "use": "tests.samewire.scripted:Turns", "values": [3, 2, 1, -1, -2], "every": 12}],
        "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1},
        "optimizer": "direct",
        "broker": FREE,
        "execution": TWAP | {"horizon": 5},
    }
    trades = run(config(**changes), out=tmp_path / "run").trades.to_pydict()
    held = np.concatenate(
        [e.event.qty for e in read_journal(tmp_path / "run" / "journal") if isinstance(e.event, Book)]
    )
    assert len(trades["side"]) > 3
    assert set(trades["side"]) == {"long"}
    assert min(trades["quantity"]) > 1.0
    assert set(np.unique(np.rint(held / 1e-3) * 1e-3)) == set(np.unique(held))
    assert held.min() == 0.0
