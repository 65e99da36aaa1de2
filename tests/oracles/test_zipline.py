"""Group Z: zipline's example strategies, every day, by the engine and by a plain loop."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from tests.oracles import markets
from tests.oracles.driver import play
from tests.oracles.expected import ZIPLINE, printed
from tests.oracles.outcome import Outcome, assert_same, drawdown
from tests.oracles.plain_zipline import Decide, zipline
from tests.oracles.tape import Market, perturbed

pytestmark = pytest.mark.data
OWN = "tests.oracles.zipline"
CASH = 10_000_000.0


class Case(NamedTuple):
    market: Callable[[Path], Market]
    run: dict[str, Any]
    plain: Callable[[Market], Decide]


def above_the_mean(market: Market) -> Decide:
    """From the 300th day on 100 shares while the mean of 100 closes is above that of 300, as adjusted on that day."""
    closes: list[float] = []
    actions = list(market.actions)

    def decide(t: int, held: float) -> float:
        while actions and actions[0].ts < market.ts[t]:
            action = actions.pop(0)
            ratio = 1 / action.ratio if action.ratio > 0 else 1 - action.amount / closes[-1]
            closes[:] = [close * ratio for close in closes]
        closes.append(float(market.close[t, 0]))
        if len(closes) < 300:
            return 0.0
        short, long = sum(closes[-100:]) / 100, sum(closes[-300:]) / 300
        return 100 - held if short > long else -held if short < long else 0.0

    return decide


CASES = {
    "buyapple": Case(
        lambda folder: markets.zipline_daily(folder, ("AAPL",), "2014-01-02", "2014-10-31"),
        {"strategy": {"use": f"{OWN}:BuyEverySlice", "more": 10}},
        lambda market: lambda t, held: 10.0,
    ),
    "dual_moving_average": Case(
        lambda folder: markets.zipline_daily(folder, ("AAPL",), "2011-01-03", "2012-12-31"),
        {
            "models": [{"use": f"{OWN}:Means", "name": "means", "short": 100, "long": 300}],
            "strategy": {"use": f"{OWN}:LongAbove", "amount": 100},
        },
        above_the_mean,
    ),
}


def by_engine(case: Case, market: Market, folder: Path) -> Outcome:
    return play(market, {"compat": "zipline"} | case.run, folder, cash=CASH)


def by_loop(case: Case, market: Market, folder: Path) -> Outcome:
    return zipline(market, case.plain(market), cash=CASH)


RUNS = {"engine": by_engine, "loop": by_loop}


def figures(outcome: Outcome, row: dict[str, Any]) -> dict[str, Any]:
    """The figures of the table, by zipline's definitions."""
    equity = np.array([CASH, *outcome.equity])
    r = equity[1:] / equity[:-1] - 1
    year = np.sqrt(252)
    value = {
        "final": equity[-1],
        "max_drawdown": drawdown(equity),
        "sharpe": r.mean() / r.std(ddof=1) * year,
        "sortino": r.mean() * 252 / (np.sqrt(np.mean(np.minimum(r, 0) ** 2)) * year),
        "volatility": r.std(ddof=1) * year,
    }
    counts = {"fills": len(outcome.fills), "days": len(outcome.equity)}
    return counts | {name: printed(number, row[name]) for name, number in value.items()}


@pytest.mark.parametrize("by", RUNS)
@pytest.mark.parametrize("name", ZIPLINE)
def test_every_day_and_every_fill_of_zipline_is_hit(name: str, by: str, oracles: Path, tmp_path: Path) -> None:
    case = CASES[name]
    market = case.market(oracles)
    made = RUNS[by](case, market, tmp_path)
    days = pd.read_parquet(oracles / "zipline" / "expected_daily.parquet")
    days = days[days["case"] == name]
    np.testing.assert_allclose(made.equity, days["portfolio_value"], rtol=1e-6)
    assert abs(made.cash / days["ending_cash"].iloc[-1] - 1) < 1e-6
    theirs = pd.read_csv(oracles / "zipline" / "expected_transactions.csv")
    theirs = theirs[theirs["case"] == name]
    assert [fill.qty for fill in made.fills] == theirs["amount"].tolist()
    np.testing.assert_allclose([fill.price for fill in made.fills], theirs["price"], rtol=1e-6)
    dates = pd.to_datetime(market.ts[[fill.t for fill in made.fills]]).strftime("%Y-%m-%d")
    assert dates.tolist() == theirs["date"].tolist()
    assert figures(made, ZIPLINE[name]) == ZIPLINE[name]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_on_bent_data_the_engine_does_what_the_plain_loop_does(
    name: str, seed: int, oracles: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    market = perturbed(case.market(oracles), seed)
    made = by_engine(case, market, tmp_path)
    assert made.fills
    assert_same(made, by_loop(case, market, tmp_path))


@pytest.mark.parametrize("seed", range(3))
def test_thin_volume_fills_in_parts_over_several_days(seed: int, oracles: Path, tmp_path: Path) -> None:
    """The same orders where a hundred-thousandth is traded: caps, impact and minimum fees bind."""
    market = perturbed(CASES["buyapple"].market(oracles), seed)
    thin = replace(market, volume=np.round(market.volume * 1e-5))
    made = by_engine(CASES["buyapple"], thin, tmp_path)
    assert len({fill.qty for fill in made.fills}) > 5
    assert_same(made, by_loop(CASES["buyapple"], thin, tmp_path))
