"""summary.json: complete, defined, and fit for JSON."""

import json
import re
from pathlib import Path

import pytest

from components.metrics.fold import SessionFold
from engine.events import DAY_NS
from engine.universe import universe_of
from samewire.definitions import DEFINITIONS, written
from samewire.summary import Run, summarise
from tests.make import bars, book, day
from tests.samewire.sessions import ISSUE, Market, events_of

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


def test_the_figures_agree_with_each_other(fold: SessionFold) -> None:
    s = summarise(fold, run=RUN)
    assert s["final_equity"] == pytest.approx(s["initial_equity"] * (1 + s["total_return"]))
    assert s["cost"] == pytest.approx(sum(s["costs"].values()))
    assert s["gross_return"] - s["total_return"] == pytest.approx(s["cost_drag"])
    assert s["excess_return"] == pytest.approx(s["total_return"] - s["benchmark_return"])
    assert s["rank_ic"] == s["models"]["gbdt"]["rank_ic"]
    assert s["turnover"] == pytest.approx(fold.rows["turnover"].sum() / s["years"])


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
