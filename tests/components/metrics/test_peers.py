"""Our figures against empyrical-reloaded, quantstats and ffn: equal to 1e-10, or under the convention that is named.

Where a library defines something else the test says what, and asserts that our numbers give its number under its
convention. Not shared: quantstats' value at risk, which supposes normal returns, and its win rate of slices.
"""

import functools
import importlib
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.metrics import ratios
from components.metrics.returns import Performance, drawdowns, performance
from components.metrics.trades import profit_factor, win_rate

P = 252.0
CLOSE = {"rel": 1e-10, "abs": 1e-12}
SYNTHETIC = ("calm", "wild", "losing", "short", "flat days")
REAL = ("SPX", "IXIC", "VIX")


@functools.cache
def peer(name: str) -> Any:
    """The library, or a skip; what it warns of while it is imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed; `make setup` installs it")


def made(name: str) -> tuple[Any, Any]:
    """Seeded returns and a benchmark."""
    rng = np.random.default_rng(len(name))
    mean, std, n = {"calm": (4e-4, 0.008, 1500), "wild": (1e-3, 0.05, 700), "losing": (-8e-4, 0.01, 900)}.get(
        name, (2e-4, 0.01, 40 if name == "short" else 600)
    )
    bench = rng.normal(mean, std, n)
    r = 0.7 * bench + rng.normal(0, 0.7 * std, n)
    if name == "flat days":
        r[rng.random(n) < 0.3] = 0.0
    return r, bench


@pytest.fixture(params=[*SYNTHETIC, *REAL])
def series(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """(returns, benchmark) as pandas series over business days."""
    if request.param in SYNTHETIC:
        r, bench = made(request.param)
    else:
        r, bench = real(request.getfixturevalue("data_dir"), request.param)
    days = pd.bdate_range("2015-01-01", periods=len(r))
    return pd.Series(r, days), pd.Series(bench, days)


def real(folder: Path, name: str) -> tuple[Any, Any]:
    """Daily returns of an index of the data folder, and of the one after it."""
    table = pd.read_parquet(folder / "benchmarks_daily.parquet")
    wide = table.pivot_table(index="date", columns="symbol", values="close").dropna()
    r = wide.pct_change().dropna()
    return r[name].to_numpy(), r[REAL[REAL.index(name) - 2]].to_numpy()


def ours(r: Any) -> Performance:
    return performance(100.0 * np.cumprod(1 + np.asarray(r)), 100.0, P)


def equal(mine: float, theirs: Any) -> None:
    assert math.isfinite(mine)
    assert mine == pytest.approx(float(theirs), **CLOSE)


def test_empyrical_has_the_same_return_and_risk(series: tuple[Any, Any]) -> None:
    e, (r, _), found = peer("empyrical"), series, ours(series[0])
    equal(found.total_return, e.cum_returns_final(r))
    equal(found.cagr, e.annual_return(r))
    equal(found.volatility, e.annual_volatility(r))
    equal(found.sharpe, e.sharpe_ratio(r))
    equal(found.sortino, e.sortino_ratio(r))
    equal(found.drawdown.depth, e.max_drawdown(r))
    equal(found.calmar, e.calmar_ratio(r))
    x = r.to_numpy()
    equal(ratios.downside_risk(x, P), e.downside_risk(r))
    equal(ratios.omega(x), e.omega_ratio(r))
    equal(ratios.tail_ratio(x), e.tail_ratio(r))
    equal(ratios.value_at_risk(x), e.value_at_risk(r))
    equal(ratios.expected_shortfall(x), e.conditional_value_at_risk(r))
    equal(ratios.stability(x), e.stability_of_timeseries(r))


def test_empyrical_has_the_same_figures_against_a_benchmark(series: tuple[Any, Any]) -> None:
    e, (r, b) = peer("empyrical"), series
    x, y = r.to_numpy(), b.to_numpy()
    equal(ratios.beta(x, y), e.beta(r, b))
    # Its alpha compounds that of one slice over the year; ours is the sum over the year.
    equal((1 + ratios.alpha(x, y, P) / P) ** P - 1, e.alpha(r, b))
    # Its information ratio, called excess_sharpe, is that of one slice.
    equal(ratios.information_ratio(x, y, P) / math.sqrt(P), e.excess_sharpe(r, b))
    equal(ratios.tracking_error(x, y, P), e.annual_volatility(r - b))


def test_quantstats_has_the_same_return_and_risk(series: tuple[Any, Any]) -> None:
    peer("quantstats")
    q, (r, _), found = importlib.import_module("quantstats.stats"), series, ours(series[0])
    n = len(r)
    equal(found.total_return, q.comp(r))
    equal(found.cagr, q.cagr(r, periods=252))
    equal(found.volatility, q.volatility(r, periods=252))
    equal(found.sharpe, q.sharpe(r, periods=252))
    equal(found.sortino, q.sortino(r, periods=252))
    equal(found.drawdown.depth, q.max_drawdown(r))
    equal(found.calmar, q.calmar(r, periods=252))
    x = r.to_numpy()
    equal(ratios.omega(x), q.omega(r))
    equal(ratios.tail_ratio(x), q.tail_ratio(r))
    equal(ratios.expected_shortfall(x), q.conditional_value_at_risk(r, method="historical"))
    # Its skewness and kurtosis are corrected for the size of the sample; ours are the plain moments.
    equal(found.skew * math.sqrt(n * (n - 1)) / (n - 2), q.skew(r))
    equal((n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * found.kurtosis + 6), q.kurtosis(r))
    equal(profit_factor(x), q.profit_factor(r))
    # It leaves slices without a return out of the denominator.
    equal(win_rate(x[x != 0]), q.win_rate(r))


def test_quantstats_has_the_same_figures_against_a_benchmark(series: tuple[Any, Any]) -> None:
    peer("quantstats")
    q, (r, b) = importlib.import_module("quantstats.stats"), series
    x, y = r.to_numpy(), b.to_numpy()
    found = q.greeks(r, b, periods=252)
    equal(ratios.beta(x, y), found["beta"])
    equal(ratios.alpha(x, y, P), found["alpha"])
    # Its information ratio is that of one slice.
    equal(ratios.information_ratio(x, y, P) / math.sqrt(P), q.information_ratio(r, b))


def test_ffn_has_the_same_return_and_risk_from_prices(series: tuple[Any, Any]) -> None:
    f, (r, b) = peer("ffn"), series
    x = r.to_numpy()
    days = r.index.insert(0, r.index[0] - pd.Timedelta(days=1))
    prices = pd.Series(np.concatenate([[100.0], 100.0 * np.cumprod(1 + x)]), days)  # it wants the initial value too
    # It counts years on the calendar, of 365.25 days; ours are slices over slices a year.
    years = f.core.year_frac(prices.index[0], prices.index[-1])
    found = performance(prices.to_numpy()[1:], 100.0, len(x) / years)
    equal(found.total_return, f.core.calc_total_return(prices))
    equal(found.cagr, f.core.calc_cagr(prices))
    equal(found.drawdown.depth, f.core.calc_max_drawdown(prices))
    equal(found.calmar, f.core.calc_calmar_ratio(prices))
    falls = f.core.to_drawdown_series(prices).to_numpy()[1:]
    np.testing.assert_allclose(drawdowns(prices.to_numpy()[1:], 100.0), falls, rtol=0, atol=1e-12)
    equal(ours(r).sharpe, f.core.calc_sharpe(r, nperiods=252))
    equal(ours(r).sortino, f.core.calc_sortino_ratio(r, nperiods=252))
    # Its information ratio is that of one slice.
    one = ratios.information_ratio(x, b.to_numpy(), P) / math.sqrt(P)
    equal(one, f.core.calc_information_ratio(r, b))


def test_a_loss_on_the_first_day_is_a_drawdown_for_all_of_us() -> None:
    r = pd.Series([-0.1, 0.02, 0.01], pd.bdate_range("2020-01-01", periods=3))
    peer("quantstats")
    q = importlib.import_module("quantstats.stats")
    assert ours(r).drawdown.depth == pytest.approx(-0.1)
    assert float(peer("empyrical").max_drawdown(r)) == pytest.approx(-0.1)
    assert float(q.max_drawdown(r)) == pytest.approx(-0.1)


@pytest.mark.parametrize("r", [np.empty(0), np.array([0.01]), np.zeros(5)])
def test_what_is_undefined_is_nan_and_no_error(r: np.ndarray) -> None:
    b = np.zeros(len(r))
    assert math.isnan(ratios.omega(r))
    assert math.isnan(ratios.beta(r, b))
    assert math.isnan(ratios.alpha(r, b, P))
    assert math.isnan(ratios.information_ratio(r, b, P))
    for figure in (ratios.tail_ratio, ratios.value_at_risk, ratios.expected_shortfall, ratios.stability):
        assert not math.isinf(figure(r))
