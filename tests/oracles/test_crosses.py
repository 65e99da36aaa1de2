"""Groups BT, BP and PA: cases of backtrader, backtesting.py and pyalgotrade, by the engine and by plain loops."""

import datetime as dt
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.oracles import markets
from tests.oracles.driver import play
from tests.oracles.expected import BP1, BT1, FILLS_OF, PA2, PA4, printed
from tests.oracles.outcome import Outcome, assert_same, drawdown, expected_fills
from tests.oracles.plain_simple import Decide, always_in, at_close, next_open
from tests.oracles.tape import Market, perturbed

pytestmark = pytest.mark.data
OWN = "tests.oracles.crosses"


class Case(NamedTuple):
    market: Callable[[Path], Market]
    cash: float
    run: Callable[[Market], dict[str, Any]]
    loop: Callable[[Market], Outcome]


def crosses_mean(market: Market) -> Decide:
    """One unit while above the mean of 15 closes, from the first crossing on; a crossing skips zeros."""
    closes, last = market.close[:, 0].tolist(), [0.0]

    def decide(t: int, cash: float, held: float) -> float:
        if t < 14:
            return 0.0
        gap = closes[t] - sum(closes[t - 14 : t + 1]) / 15
        before, last[0] = last[0], gap or last[0]
        if before < 0 < gap:
            return 1.0 - held
        return -held if gap < 0 < before else 0.0

    return decide


def below_band(market: Market) -> Decide:
    closes = market.close[:, 0].tolist()

    def decide(t: int, cash: float, held: float) -> float:
        if t < 39:
            return 0.0
        window = closes[t - 39 : t + 1]
        mean = sum(window) / 40
        width = 2 * math.sqrt(sum((close - mean) ** 2 for close in window) / 40)
        if not held and closes[t] < mean - width:
            return float(int(cash / closes[t]))
        return -held if closes[t] > mean + width else 0.0

    return decide


def side_of_means(market: Market) -> Callable[[int], int]:
    closes = market.close[:, 0].tolist()

    def gap(t: int) -> float:
        return sum(closes[t - 9 : t + 1]) / 10 - sum(closes[t - 29 : t + 1]) / 30

    def side(t: int) -> int:
        if t < 30:
            return 0
        return 1 if gap(t - 1) < 0 < gap(t) else -1 if gap(t) < 0 < gap(t - 1) else 0

    return side


def day_of(market: Market, t: int) -> str:
    return dt.datetime.fromtimestamp(market.ts[t] / 1e9, dt.UTC).date().isoformat()


AMOUNTS = {"IBM": 1996.0, "AES": 22565.0, "AIG": 5445.0, "ORCL": 8582.0}
CASES = {
    "long_on_cross": Case(
        lambda folder: markets.backtrader_daily(folder, "2006_day_001.csv"),
        10_000.0,
        lambda _: {
            "models": [{"use": f"{OWN}:AboveMean", "name": "above", "window": 15}],
            "strategy": {"use": f"{OWN}:LongOnCross"},
        },
        lambda market: next_open(market, crosses_mean(market), cash=10_000.0),
    ),
    "always_in": Case(
        markets.backtesting_daily,
        10_000.0,
        lambda market: {
            "models": [{"use": "tests.oracles.zipline:Means", "name": "means", "short": 10, "long": 30}],
            "strategy": {"use": f"{OWN}:Reverse", "last": day_of(market, -2)},
        },
        lambda market: always_in(market, side_of_means(market), cash=10_000.0),
    ),
    "bought_at_the_close": Case(
        lambda folder: markets.pyalgotrade_daily(folder, tuple(AMOUNTS), "2011-01-01", "2011-12-31"),
        1_000_000.0,
        lambda _: {
            "strategy": {"use": f"{OWN}:Fixed", "amounts": list(AMOUNTS.values())},
            "optimizer": {"time_in_force": "fok"},
            "broker": {"fill": "same_close", "short": False},
        },
        lambda market: at_close(market, list(AMOUNTS.values()), cash=1_000_000.0),
    ),
    "bollinger": Case(
        lambda folder: markets.pyalgotrade_daily(folder, ("YHOO",), "2011-01-01", "2012-12-31", raw=True),
        1_000_000.0,
        lambda _: {
            "models": [{"use": f"{OWN}:Bands", "name": "bands", "window": 40}],
            "strategy": {"use": f"{OWN}:AllInBelow"},
            # An order that the cash does not cover is rejected whole.
            "optimizer": {"time_in_force": "fok"},
            "broker": {"short": False},
        },
        lambda market: next_open(market, below_band(market), cash=1_000_000.0, reject=True),
    ),
}


def by_engine(case: Case, market: Market, folder: Path) -> Outcome:
    return play(market, {"compat": "backtrader"} | case.run(market), folder, cash=case.cash)


def by_loop(case: Case, market: Market, folder: Path) -> Outcome:
    return case.loop(market)


RUNS = pytest.mark.parametrize("by", [by_engine, by_loop], ids=["engine", "loop"])


@RUNS
def test_backtrader_long_on_cross(by: Any, oracles: Path, tmp_path: Path) -> None:
    case = CASES["long_on_cross"]
    made = by(case, case.market(oracles), tmp_path)
    sides = [fill.qty > 0 for fill in made.fills]
    final, cash = printed(made.equity[-1], BT1["final"]), printed(made.cash, BT1["cash"])
    assert {"final": final, "cash": cash, "buys": sum(sides), "sells": sides.count(False)} == BT1


@RUNS
def test_backtesting_py_always_in_the_market(by: Any, oracles: Path, tmp_path: Path) -> None:
    case = CASES["always_in"]
    market = case.market(oracles)
    made = by(case, market, tmp_path)
    turns = list(zip(made.fills, made.fills[1:], strict=False))
    r = np.array([(out.price / at.price - 1) * math.copysign(100, at.qty) for at, out in turns])
    assert len(r) == BP1["trades"]
    assert printed(max(made.equity), BP1["peak"]) == BP1["peak"]
    value = {
        "final": made.equity[-1],
        "max_drawdown": 100 * drawdown([case.cash, *made.equity]),
        "win_rate": 100 * np.mean(r > 0),
        "best": r.max(),
        "worst": r.min(),
        "profit_factor": r[r > 0].sum() / -r[r < 0].sum(),
        "exposure": 100 * (made.fills[-1].t - made.fills[0].t + 1) / len(market),
    }
    assert value == pytest.approx({name: BP1[name] for name in value}, rel=1e-13)


@RUNS
def test_pyalgotrade_bought_at_the_close(by: Any, oracles: Path, tmp_path: Path) -> None:
    case = CASES["bought_at_the_close"]
    made = by(case, case.market(oracles), tmp_path)
    equity = np.array([case.cash, *made.equity])
    r = equity[1:] / equity[:-1] - 1
    value = {
        "final": equity[-1],
        "return": 100 * (equity[-1] / case.cash - 1),
        "daily_std": r.std(ddof=1),
        "sharpe": r.mean() / r.std(ddof=1) * math.sqrt(252),
    }
    assert {name: printed(number, PA2[name]) for name, number in value.items()} == PA2


@RUNS
def test_pyalgotrade_bollinger_with_rejected_orders(by: Any, oracles: Path, tmp_path: Path) -> None:
    case = CASES["bollinger"]
    made = by(case, case.market(oracles), tmp_path)
    counts = {"fills": len(made.fills), "refused": made.refused}
    assert counts | {"final": printed(made.equity[-1], PA4["final"])} == PA4


@RUNS
@pytest.mark.parametrize("name", [name for name in FILLS_OF if name in CASES])
def test_every_published_fill_is_hit(name: str, by: Any, oracles: Path, tmp_path: Path) -> None:
    case = CASES[name]
    market = case.market(oracles)
    theirs = expected_fills(oracles, FILLS_OF[name], market)
    assert [fill[:] for fill in by(case, market, tmp_path).fills] == [fill[:] for fill in theirs]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", CASES)
def test_on_bent_data_the_engine_does_what_the_plain_loop_does(
    name: str, seed: int, oracles: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    market = perturbed(case.market(oracles), seed)
    made = by_engine(case, market, tmp_path)
    assert made.fills
    assert_same(made, case.loop(market))
