"""Return and risk against plain loops and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kurtosis, skew

from components.metrics.returns import (
    by_month,
    drawdowns,
    max_drawdown,
    performance,
    periods_per_year,
    returns,
    trading_days,
)
from engine.calendar import Sessions
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS

CURVES = st.lists(st.floats(1.0, 1e6), min_size=1, max_size=30).map(np.array)


def walk(slices: int, seed: int = 0) -> np.ndarray:
    return 100 * np.cumprod(1 + np.random.default_rng(seed).normal(0.0005, 0.01, slices))


def test_constant_growth_has_its_closed_form() -> None:
    found = performance(100 * 1.001 ** np.arange(1, 505), 100.0, 252.0)
    assert found.years == 2.0
    assert found.total_return == pytest.approx(1.001**504 - 1)
    assert found.cagr == pytest.approx(1.001**252 - 1)
    assert found.volatility == pytest.approx(0, abs=1e-12)
    assert math.isnan(found.sharpe)
    assert found.drawdown.depth == 0.0
    assert math.isnan(found.calmar)


def test_every_number_equals_its_plain_version() -> None:
    equity, p = walk(700), 252.0
    r = [equity[0] / 100 - 1] + [equity[t] / equity[t - 1] - 1 for t in range(1, 700)]
    mean = sum(r) / 700
    std = math.sqrt(sum((x - mean) ** 2 for x in r) / 699)
    low = math.sqrt(sum(min(x, 0) ** 2 for x in r) / 700)
    found = performance(equity, 100.0, p)
    assert found.volatility == pytest.approx(std * math.sqrt(p))
    assert found.sharpe == pytest.approx(mean / std * math.sqrt(p))
    assert found.sharpe_se == pytest.approx(math.sqrt(p * (1 + 0.5 * (mean / std) ** 2) / 700))
    assert found.sortino == pytest.approx(mean / low * math.sqrt(p))
    assert found.skew == pytest.approx(skew(r))
    assert found.kurtosis == pytest.approx(kurtosis(r))
    assert found.calmar == pytest.approx(found.cagr / -found.drawdown.depth)


def test_the_standard_error_of_a_sharpe_ratio_is_what_samples_scatter() -> None:
    rng = np.random.default_rng(5)
    samples = [performance(np.cumprod(1 + rng.normal(0.001, 0.01, 500)), 1.0, 252.0) for _ in range(600)]
    scatter = np.std([s.sharpe for s in samples])
    assert np.mean([s.sharpe_se for s in samples]) == pytest.approx(scatter, rel=0.1)


def test_a_loss_in_the_first_slice_is_a_drawdown() -> None:
    found = max_drawdown(np.array([90.0, 91.8, 92.7]), 100.0)
    assert found.depth == pytest.approx(-0.1)
    assert (found.slices, found.recovered) == (3, False)


def test_a_drawdown_ends_with_its_recovery() -> None:
    found = max_drawdown(np.array([100.0, 110.0, 99.0, 105.0, 110.0, 109.0]), 100.0)
    assert found.depth == pytest.approx(-0.1)
    assert (found.slices, found.recovered) == (3, True)


@given(CURVES, st.floats(1.0, 1e6))
def test_drawdowns_equal_the_plain_loop(equity: np.ndarray, initial: float) -> None:
    high, plain = initial, []
    for value in equity:
        high = max(high, value)
        plain.append(value / high - 1)
    np.testing.assert_allclose(drawdowns(equity, initial), plain, atol=1e-15)
    assert max_drawdown(equity, initial).depth == pytest.approx(min(0.0, *plain), abs=1e-15)


@given(CURVES)
def test_returns_compound_to_the_total(equity: np.ndarray) -> None:
    assert math.prod(1 + returns(equity, 50.0)) == pytest.approx(equity[-1] / 50.0)


@given(CURVES, st.floats(0.01, 100))
def test_the_size_of_the_account_changes_no_ratio(equity: np.ndarray, scale: float) -> None:
    one, other = performance(equity, 100.0, 252.0), performance(equity * scale, 100.0 * scale, 252.0)
    assert other.total_return == pytest.approx(one.total_return, abs=1e-9)
    assert other.drawdown.depth == pytest.approx(one.drawdown.depth, abs=1e-9)
    assert other.volatility == pytest.approx(one.volatility, rel=1e-6, abs=1e-6, nan_ok=True)


def test_nothing_is_said_about_what_follows_ruin() -> None:
    equity = np.array([50.0, -10.0, 20.0])
    assert returns(equity, 100.0).tolist() == [-0.5, -1.2]
    found = performance(equity[:2], 100.0, 252.0)
    assert found.total_return == pytest.approx(-1.1)
    assert math.isnan(found.cagr)
    assert found.drawdown.depth == pytest.approx(-1.1)


def test_a_session_without_slices_has_no_figures() -> None:
    found = performance(np.empty(0), 100.0, 252.0)
    assert (found.total_return, found.years) == (0.0, 0.0)
    assert math.isnan(found.cagr)
    assert math.isnan(found.sharpe)


def test_one_slice_has_a_return_but_no_risk() -> None:
    found = performance(np.array([101.0]), 100.0, 252.0)
    assert found.total_return == pytest.approx(0.01)
    assert math.isnan(found.volatility)
    assert math.isnan(found.sharpe_se)


def test_what_no_float_can_hold_is_undefined_instead_of_an_error() -> None:
    assert math.isnan(performance(np.array([1e6]), 1.0, 98_280.0).cagr)


@pytest.mark.parametrize(
    ("days", "interval_ns", "a_day", "expected"),
    [
        ([d for d in range(400) if d % 7 < 5], DAY_NS, 1, 252.0),
        (list(range(400)), DAY_NS, 1, 365.0),
        (list(range(0, 400, 7)), 7 * DAY_NS, 1, 52.0),
        (list(range(0, 400, 30)), 30 * DAY_NS, 1, 12.0),
        ([d for d in range(60) if d % 7 < 5], MINUTE_NS, 390, 252.0 * 390),
        (list(range(60)), HOUR_NS, 24, 365.0 * 24),
        ([0, 1, 2, 3, 4], DAY_NS, 1, 252.0),
        ([], DAY_NS, 1, 252.0),
    ],
)
def test_slices_a_year_follow_from_the_interval_and_the_days(
    days: list[int], interval_ns: int, a_day: int, expected: float
) -> None:
    ts = np.array([d * DAY_NS + i * interval_ns for d in days for i in range(a_day)], np.int64)
    assert periods_per_year(ts, interval_ns) == expected


def test_months_compound_to_the_whole() -> None:
    ts = np.arange(500) * DAY_NS
    months, change = by_month(ts, walk(500), 100.0)
    assert months.tolist() == list(range(17))
    assert math.prod(1 + change) == pytest.approx(walk(500)[-1] / 100)


def test_a_month_without_slices_has_no_row() -> None:
    ts = np.array([0, 70 * DAY_NS])
    months, change = by_month(ts, np.array([110.0, 99.0]), 100.0)
    assert months.tolist() == [0, 2]
    np.testing.assert_allclose(change, [0.1, -0.1])


def test_a_trading_day_is_named_by_its_label_and_a_slice_beyond_the_calendar_by_its_date() -> None:
    label, none = np.array([100, 101]) * DAY_NS, np.zeros(2, np.int64)
    opens, closes = label - 2 * HOUR_NS, label + 21 * HOUR_NS
    cme = Sessions(name="X", label=label, opens=opens, closes=closes, break_from=none, break_to=none)
    ts = np.array([opens[0] + 1, closes[0], closes[0] + 1, opens[1] + 1, closes[1], closes[1] + 1])
    assert trading_days(ts, cme).tolist() == [100, 100, 101, 101, 101, 101]
    assert trading_days(ts).tolist() == [99, 100, 100, 100, 101, 101]
    assert trading_days(np.empty(0, np.int64), cme).tolist() == []
