"""summary.json: complete, defined, and fit for JSON."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.metrics.fold import SessionFold
from engine.calendar import Sessions
from engine.events import DAY_NS, HOUR_NS, Note, Orders, Refusals
from engine.universe import universe_of
from samewire.definitions import DEFINITIONS, written
from samewire.summary import Run, summarise
from tests.make import bars, book, day, legs
from tests.samewire.sessions import ISSUE, Market, events_of, session_directory

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
RUN = Run(digest="d", wall_s=1.0, cpu_s=0.5)
CONTRACT = (
    *("digest", "slices", "bars", "wall_s", "cpu_s", "final_equity", "total_return", "cagr", "volatility", "sharpe"),
    *("sharpe_se", "sortino", "max_drawdown", "calmar", "turnover", "cost", "orders", "fills", "refusals"),
    *("ic", "rank_ic", "models", "warnings", "issues"),
)


@pytest.fixture(scope="module")
def fold() -> SessionFold:
    market = Market(260, 30, 3, ("gbdt", "reversal"))
    fold = SessionFold(universe=market.universe, cash=1e7, interval_ns=DAY_NS)
    fold.append((), events_of(market, 1e7))
    return fold


def test_every_key_is_defined_and_every_definition_is_used(fold: SessionFold) -> None:
    summary = summarise(fold, run=RUN)
    assert set(summary) == set(DEFINITIONS)
    assert set(CONTRACT) <= set(summary)


def test_every_definition_stands_in_the_documentation_word_for_word() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", DOCS.read_text(), flags=re.M))
    assert {name: text for name, text in rows.items() if name in DEFINITIONS} == {
        name: definition.text for name, definition in DEFINITIONS.items()
    }


def test_every_column_of_the_equity_file_is_documented(fold: SessionFold) -> None:
    text = DOCS.read_text()
    assert [name for name in fold.columns() if f"`{name}`" not in text] == []
    assert [name for name in fold.coefficients() if f"`{name}`" not in text] == []
    assert [name for name in fold.earned() if f"`{name}`" not in text] == []


def test_every_column_of_the_tables_is_documented(tmp_path: Path) -> None:
    folder, text = session_directory(tmp_path / "run", slices=30, n=12), DOCS.read_text()
    for path in folder.glob("*.parquet"):
        names = pq.read_schema(path).names
        assert [name for name in names if not re.search(rf"\b{name}\b", text)] == [], path.name


def test_the_figures_agree_with_each_other(fold: SessionFold) -> None:
    s = summarise(fold, run=RUN)
    assert s["final_equity"] == pytest.approx(s["initial_equity"] * (1 + s["total_return"]))
    assert s["cost"] == pytest.approx(sum(s["costs"].values()))
    assert s["gross_return"] - s["total_return"] == pytest.approx(s["cost_drag"])
    assert s["excess_return"] == pytest.approx(s["total_return"] - s["benchmark_return"])
    assert s["rank_ic"] == s["models"]["gbdt"]["rank_ic"]
    assert s["turnover"] == pytest.approx(fold.rows["turnover"].sum() / s["years"])


def test_a_session_that_is_its_benchmark_has_a_beta_of_one_and_no_alpha() -> None:
    fold = SessionFold(universe=universe_of(("AAA",)), cash=100.0, benchmark="AAA")
    for k, close in enumerate((10.0, 11.0, 9.0, 12.0)):
        fold.append((), [bars(day(k), [close]), book(day(k), [close], cash=0.0, qty=[10.0])])
    s = summarise(fold, run=RUN)
    assert (s["beta"], s["tracking_error"], s["information_ratio"]) == (pytest.approx(1.0), 0.0, None)
    assert s["alpha"] == pytest.approx(0.0, abs=1e-12)


def test_the_figures_of_qlib_are_those_of_its_definitions(fold: SessionFold) -> None:
    s, rows = summarise(fold, run=RUN)["qlib"], fold.rows
    before = np.r_[fold.cash, rows["equity"][:-1]]
    bench = rows["benchmark"] / np.r_[fold.cash, rows["benchmark"][:-1]] - 1
    x = rows["equity"] / before - 1 - bench  # return net of cost, less the benchmark's
    assert s["excess_return_with_cost"]["annualized_return"] == pytest.approx(x.mean() * 238)
    assert s["excess_return_with_cost"]["information_ratio"] == pytest.approx(x.mean() / x.std(ddof=1) * 238**0.5)
    free = x + rows["cost"] / before
    assert s["excess_return_without_cost"]["mean"] == pytest.approx(free.mean())


def test_a_ruined_account_has_a_summary() -> None:
    fold = SessionFold(universe=universe_of(("AAA",)), cash=100.0)
    for k, cash in enumerate((50.0, 0.0, -20.0, 30.0)):
        fold.append((), [bars(day(k), [10.0]), book(day(k), [10.0], cash=cash)])
    s = summarise(fold, run=RUN)
    json.dumps(s, allow_nan=False)
    assert s["total_return"] == pytest.approx(-0.7)
    assert s["qlib"]["excess_return_with_cost"]["mean"] == pytest.approx(-0.75)


def test_without_a_table_of_fills_the_figures_of_trades_are_null(fold: SessionFold) -> None:
    s = summarise(fold, run=RUN)
    assert (s["trades"], s["win_rate"], s["exposure"]) == (None, None, None)


def test_the_figures_of_trades_are_those_of_their_table(tmp_path: Path) -> None:
    folder = session_directory(tmp_path / "run", slices=120, n=12)
    s = json.loads((folder / "summary.json").read_text())
    table = pq.read_table(folder / "trades.parquet").to_pandas()
    closed = table[table["closed"].notna()]
    r = closed["return"]
    assert s["trades"] == len(closed) > 30
    assert s["win_rate"] == pytest.approx((r > 0).mean())
    assert s["profit_factor"] == pytest.approx(r[r > 0].sum() / -r[r < 0].sum())
    assert (s["best_trade"], s["worst_trade"]) == (r.max(), r.min())
    assert s["expectancy"] == pytest.approx(r.mean())
    assert s["average_trade"] == pytest.approx((1 + r).prod() ** (1 / len(r)) - 1)
    assert s["trade_slices"] == pytest.approx(closed["slices"].mean())


def test_a_planted_signal_is_found_with_its_strength(fold: SessionFold) -> None:
    models = summarise(fold, run=RUN)["models"]
    assert models["gbdt"]["ic"] == pytest.approx(0.06, abs=0.03)
    assert models["gbdt"]["rank_ic_t"] > 2


def test_undefined_figures_are_null_and_never_nan() -> None:
    fold = SessionFold(universe=universe_of(("AAA",)), cash=100.0, benchmark="none")
    fold.append((), [bars(day(0), [1.0]), book(day(0), [1.0], cash=100.0)])
    summary = summarise(fold, run=RUN)
    json.dumps(summary, allow_nan=False)
    assert summary["sharpe"] is None
    assert summary["benchmark_return"] is None
    assert summary["ic"] is None
    assert summary["total_return"] == 0.0


def test_an_empty_session_has_a_summary() -> None:
    summary = summarise(SessionFold(universe=universe_of(("AAA",)), cash=100.0), run=RUN)
    json.dumps(summary, allow_nan=False)
    assert (summary["slices"], summary["start"], summary["turnover"]) == (0, None, None)


def test_warnings_come_in_the_order_caller_figures_feed(fold: SessionFold) -> None:
    said = summarise(fold, run=RUN, warnings=["Mine."], issues=[ISSUE])["warnings"]
    assert said[0] == "Mine."
    assert said[-1] == "3 rows of the feed: ohlc inconsistent; the bar counts as missing."
    assert any("positions were open at the end" in text for text in said)
    assert any("missing (" in text for text in said)


def test_a_session_that_traded_nothing_says_so() -> None:
    fold = SessionFold(universe=universe_of(("AAA",)), cash=100.0)
    fold.append((), [bars(day(0), [1.0]), book(day(0), [1.0], cash=100.0)])
    assert summarise(fold, run=RUN)["warnings"] == ["Nothing was traded: 0 orders, no fill."]


def test_a_session_that_traded_nothing_says_why() -> None:
    fold = SessionFold(universe=universe_of(("AAA",)), cash=100.0)
    rows = {"symbol": np.zeros(1, np.int32), "value": np.array([0.7])}
    few = Note(ts=day(0), source="optimizer", kind="lot", text="", **rows)
    sent = legs(Orders, day(0), symbol=[0], qty=[3.0])
    refused = Refusals(
        ts=day(0),
        by="gate",
        ids=sent.ids,
        rule=("max_weight",),
        value=np.ones(1),
        threshold=np.ones(1),
        symbol=sent.symbol,
        qty=sent.qty,
    )
    fold.append((), [bars(day(0), [1.0]), book(day(0), [1.0], cash=100.0), few, few, sent, refused])
    assert summarise(fold, run=RUN)["warnings"] == [
        "Nothing was traded: 1 order, no fill. Refused: max_weight 1. Notes: optimizer.lot 2; "
        "`samewire tap notes` shows of which symbols."
    ]


def test_a_year_of_slices_is_counted_by_the_trading_days_of_the_feed() -> None:
    """Five overnight days of 23 hours, Sunday evening to Friday, lie on six UTC dates."""
    sunday = 17_538 * DAY_NS  # 2018-01-07
    label = sunday + np.arange(1, 6) * DAY_NS
    none = np.zeros(5, np.int64)
    opens, closes = label - 2 * HOUR_NS, label + 21 * HOUR_NS
    cme = Sessions(name="CMES", label=label, opens=opens, closes=closes, break_from=none, break_to=none)
    fold = SessionFold(universe=universe_of(("AAA",)), cash=100.0, interval_ns=HOUR_NS, benchmark="none")
    for begin in opens.tolist():
        for hour in range(1, 24):
            ts = begin + hour * HOUR_NS
            fold.append((), [bars(ts, [1.0], interval_ns=HOUR_NS), book(ts, [1.0], cash=100.0)])
    by_session, by_date = summarise(fold, run=RUN, sessions=cme), summarise(fold, run=RUN)
    assert (by_session["periods_per_year"], by_session["years"]) == (252 * 23, pytest.approx(5 / 252))
    assert by_date["periods_per_year"] == pytest.approx(252 * 115 / 6)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("total_return", -0.012345, "-1.23 %"),
        ("volatility", 0.5, "50.00 %"),
        ("cost", 1234567.8, "1,234,568"),
        ("rank_ic", 0.05432, "0.0543"),
        ("sharpe", 1.234, "1.23"),
        ("drawdown_recovered", True, "yes"),
        ("benchmark", "SPY", "SPY"),
        ("calmar", None, "–"),
    ],
)
def test_figures_are_written_for_readers(name: str, value: object, text: str) -> None:
    assert written(name, value) == text
