"""Qlib's own figures: the printed digits of its runs on set G, and its definitions as plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.metrics.qlib import (
    long_short,
    precision,
    qlib_periods,
    qlib_report,
    risk_by_product,
    risk_by_sum,
)
from components.metrics.signal import coefficient, pearson, spearman
from engine.events import DAY_NS, MINUTE_NS
from tests.components.metrics import set_g

# Accounts and rates of cost as Qlib printed them, 2024-01-03 to 2024-01-22.
ACCOUNT = (
    *(999530.3913, 994191.1112, 988411.4486, 968321.8441, 968688.9565, 980541.5894, 987327.3753, 978893.9924),
    *(983221.1479, 997755.1431, 993824.8662, 986354.0640, 979556.7611, 982795.5595),
)
COST = (
    *(0.0004696087, 0.0006522360, 0.0007058750, 0.0007006108, 0.0006342244, 0.0000088909, 0.0004780394, 0.0007670168),
    *(0.0012040849, 0.0000455153, 0.0006760893, 0.0011968525, 0.0011734071, 0.0001006219),
)
RETURN = (
    *(0.0, -0.004689553, -0.005107557, -0.019624533, 0.001013347, 0.012244638, 0.007398486, -0.007774611),
    *(0.005624539, 0.014827536, -0.003263030, -0.006320370, -0.005717935, 0.003407014),
)
BENCH = (
    *(-0.000625014, -0.002499998, 0.002499938, -0.019999981, 0.016875029, 0.003749967, 0.001875043, -0.013125062),
    *(0.004999995, 0.003124952, 0.001250029, -0.000625014, -0.002499998, 0.002500057),
)


def test_the_report_has_the_returns_costs_and_benchmark_that_qlib_printed() -> None:
    equity, cost, bench = set_g.account()
    found = qlib_report(equity, cost, bench, set_g.CASH)
    np.testing.assert_allclose(equity, ACCOUNT, rtol=0, atol=5.1e-5)
    np.testing.assert_allclose(found.cost, COST, rtol=0, atol=5.1e-11)
    np.testing.assert_allclose(found.gross, RETURN, rtol=0, atol=5.1e-10)
    np.testing.assert_allclose(found.bench, BENCH, rtol=0, atol=5.1e-10)


def digits(value: float, printed: float, count: int = 8) -> bool:
    """Whether a number reads as it was printed with so many significant digits."""
    return float(f"{value:.{count}g}") == pytest.approx(printed, rel=1e-12)


def test_risk_by_sum_has_every_printed_digit() -> None:
    equity, cost, bench = set_g.account()
    found = qlib_report(equity, cost, bench, set_g.CASH)
    free = risk_by_sum(found.excess(with_cost=False), 238.0)
    assert digits(free.mean, -0.00039156942)
    assert digits(free.std, 0.0070452618)
    assert digits(free.annualized_return, -0.093193522)
    assert digits(free.information_ratio, -0.85743284)
    assert digits(free.max_drawdown, -0.025283284)
    paid = risk_by_sum(found.excess(with_cost=True), 238.0)
    assert digits(paid.mean, -0.0010210746)
    assert digits(paid.std, 0.0072530938)
    assert digits(paid.annualized_return, -0.24301576)
    assert digits(paid.information_ratio, -2.1718142)
    assert digits(paid.max_drawdown, -0.02797623)


def test_risk_by_product_has_every_printed_digit() -> None:
    equity, cost, bench = set_g.account()
    paid = risk_by_product(qlib_report(equity, cost, bench, set_g.CASH).excess(with_cost=True), 238.0)
    assert digits(paid.mean, -0.0010455524)
    assert digits(paid.std, 0.0072668292)
    assert digits(paid.annualized_return, -0.22039792)
    assert digits(paid.information_ratio, -2.2196746)
    assert digits(paid.max_drawdown, -0.027760057)


def test_signal_figures_have_every_printed_digit() -> None:
    close = set_g.closes()
    label = (close[2:] / close[1:-1] - np.float32(1)).astype(np.float64)  # Qlib works in float32
    score = set_g.scores()[:-2]
    ic, rank_ic = coefficient(pearson(score, label)), coefficient(spearman(score, label))
    assert round(ic.mean, 8) == 0.06372353
    assert round(ic.ratio, 8) == 0.17604074
    assert round(rank_ic.mean, 8) == 0.09773220
    assert round(rank_ic.ratio, 8) == 0.28990621
    spread, market = long_short(score, label)
    assert float(np.mean(spread)) == pytest.approx(0.00187499, abs=1e-8)
    assert round(float(np.mean(market)), 8) == -0.00058036


def test_a_loss_on_the_first_day_is_part_of_no_drawdown_of_qlib() -> None:
    r = np.array([-0.10, 0.02, 0.01])
    assert risk_by_sum(r, 238.0).max_drawdown == 0.0
    assert risk_by_product(r, 238.0).max_drawdown == 0.0


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=60).map(np.array))
def test_both_modes_equal_their_plain_loops(r: np.ndarray) -> None:
    total, growth, top, high, fall, drop = 0.0, 1.0, -math.inf, 0.0, 0.0, 0.0
    for x in r.tolist():
        total, growth = total + x, growth * (1 + x)
        top, high = max(top, total), max(high, growth)
        fall, drop = min(fall, total - top), min(drop, growth / high - 1)
    by_sum, by_product = risk_by_sum(r, 50.0), risk_by_product(r, 50.0)
    assert by_sum.annualized_return == pytest.approx(total / len(r) * 50, abs=1e-12)
    assert by_sum.max_drawdown == pytest.approx(fall, abs=1e-12)
    assert by_product.mean == pytest.approx(growth ** (1 / len(r)) - 1, abs=1e-12)
    assert by_product.annualized_return == pytest.approx(growth ** (50 / len(r)) - 1, rel=1e-9, abs=1e-12)
    assert by_product.max_drawdown == pytest.approx(drop, abs=1e-12)


@pytest.mark.parametrize(
    ("interval_ns", "expected"),
    [
        (DAY_NS, 238.0),
        (MINUTE_NS, 57120.0),
        (5 * MINUTE_NS, 11424.0),
        (2 * DAY_NS, 119.0),
        (7 * DAY_NS, 50.0),
        (14 * DAY_NS, 25.0),
        (30 * DAY_NS, 12.0),
    ],
)
def test_qlib_counts_its_own_slices_a_year(interval_ns: int, expected: float) -> None:
    assert qlib_periods(interval_ns) == expected


def test_nothing_is_said_of_an_empty_series() -> None:
    for found in (risk_by_sum(np.empty(0), 238.0), risk_by_product(np.empty(0), 238.0)):
        assert math.isnan(found.mean)
        assert math.isnan(found.max_drawdown)


def test_an_unknown_benchmark_counts_as_no_return() -> None:
    found = qlib_report(np.array([110.0, 99.0]), np.array([1.0, 0.0]), np.full(2, np.nan), 100.0)
    np.testing.assert_allclose(found.excess(with_cost=True), [0.1, -0.1])
    np.testing.assert_allclose(found.excess(with_cost=False), [0.11, -0.1])


def test_long_short_and_precision_equal_the_plain_version() -> None:
    rng = np.random.default_rng(4)
    score, label = rng.normal(size=(30, 23)), rng.normal(size=(30, 23))
    score[rng.random(score.shape) < 0.1] = np.nan
    spread, market = long_short(score, label)
    up, down = precision(score, label)
    for t in range(30):
        rows = sorted((s, y) for s, y in zip(score[t], label[t], strict=True) if s == s)
        k = int(len(rows) * 0.2)
        low, high = [y for _, y in rows[:k]], [y for _, y in rows[-k:]]
        assert spread[t] == pytest.approx((sum(high) - sum(low)) / k / 2)
        assert market[t] == pytest.approx(sum(y for _, y in rows) / len(rows))
        assert up[t] == pytest.approx(sum(y > 0 for y in high) / k)
        assert down[t] == pytest.approx(sum(y < 0 for y in low) / k)


def test_too_few_names_have_neither() -> None:
    score, label = np.array([[1.0, 2.0, 3.0]]), np.ones((1, 3))
    assert np.isnan(long_short(score, label)[0]).all()
    assert np.isnan(precision(score, label)[0]).all()
