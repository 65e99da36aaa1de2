"""Group L: LEAN's regression algorithms, on the data and on data bent by a seed, by the engine and by a plain loop."""

import datetime as dt
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.oracles import markets
from tests.oracles.driver import play
from tests.oracles.expected import FILLS_OF, LEAN, printed
from tests.oracles.outcome import Outcome, assert_same, drawdown, expected_fills
from tests.oracles.plain_lean import Account, Decide, Timing, lean
from tests.oracles.tape import Market, perturbed

pytestmark = pytest.mark.data
OWN = "tests.oracles.lean"
CASH = 100_000.0


class Case(NamedTuple):
    market: Callable[[Path], Market]
    run: dict[str, Any]  # what the run file says beside the preset
    plain: Callable[[Market], Decide]  # the decisions again, for the plain loop
    intraday: bool = False
    leverage: float = 2.0
    ordered: tuple[float, ...] = ()  # shares of orders that have no weight: for the open of the second day


def holds(weight: float) -> Callable[[Market], Decide]:
    def decide(account: Account, t: int) -> list[tuple[int, float]]:
        return [] if any(account.qty) else [(0, weight)]

    return lambda _: decide


def follows_macd(market: Market) -> Decide:
    closes = market.close[:, 0].tolist()
    fast, slow = mean_seeded(closes, 12), mean_seeded(closes, 26)
    lines = [f - s if f is not None and s is not None else None for f, s in zip(fast, slow, strict=True)]
    begun = [line for line in lines if line is not None]
    signal = [None] * (len(lines) - len(begun)) + mean_seeded(begun, 9)

    def decide(account: Account, t: int) -> Iterable[tuple[int, float]]:
        if lines[t] is None or signal[t] is None:
            return []
        z = (lines[t] - signal[t]) / fast[t]
        if account.qty[0] > 0:
            return [(0, 0.0)] if z < -0.0025 else []
        return [(0, 1.0)] if z > 0.0025 else []

    return decide


def mean_seeded(values: list[float], n: int) -> list[Any]:
    """Exponential means that begin with the plain mean of the first n values."""
    out: list[Any] = [None] * (n - 1)
    for value in values[n - 1 :]:
        before = sum(values[:n]) / n if len(out) == n - 1 else out[-1]
        out.append(before if len(out) == n - 1 else before + (value - before) * 2 / (n + 1))
    return out


def two_stages(market: Market) -> Decide:
    years = [dt.datetime.fromtimestamp(ts / 1e9, dt.UTC).year for ts in market.ts.tolist()]
    later = years.index(2009)
    return lambda account, t: {0: [(0, 0.7)], later: [(1, 0.3)]}.get(t, [])


def rotates(market: Market) -> Decide:
    def decide(account: Account, t: int) -> list[tuple[int, float]]:
        weights = [(0, 0.2), (1, 0.8)] if any(account.qty) else [(0, 0.8), (1, 0.2)]
        change = {s: w * account.equity() - account.qty[s] * account.price[s] for s, w in weights}
        gives = sorted((s for s, _ in weights if change[s] <= 0), key=lambda s: change[s])
        takes = sorted((s for s, _ in weights if change[s] > 0), key=lambda s: -change[s])
        return [(s, dict(weights)[s]) for s in gives + takes]

    return decide


CASES = {
    "basic_template_hourly": Case(
        lambda folder: markets.lean_intraday(folder, ("SPY",), "2013-10-07", "2013-10-11"),
        {"strategy": {"use": f"{OWN}:Hold"}},
        holds(1.0),
        intraday=True,
    ),
    "basic_template_daily": Case(
        lambda folder: markets.lean_daily(folder, ("SPY",), "2013-10-08", "2013-10-17"),
        {"strategy": {"use": f"{OWN}:Hold"}},
        holds(1.0),
    ),
    "macd_trend": Case(
        lambda folder: markets.lean_daily(folder, ("SPY",), "2004-01-01", "2015-01-01"),
        {"models": [{"use": f"{OWN}:Macd", "name": "macd"}], "strategy": {"use": f"{OWN}:Trend"}},
        follows_macd,
    ),
    "dividend_regression": Case(
        lambda folder: markets.lean_daily(folder, ("SPY",), "1998-01-01", "2006-01-01", raw=True),
        {"strategy": {"use": f"{OWN}:Hold", "weight": 0.5}},
        holds(0.5),
    ),
    "split_holdings_daily": Case(
        lambda folder: markets.lean_daily(folder, ("AAPL",), "2014-06-05", "2014-06-11", raw=True),
        {"strategy": {"use": f"{OWN}:Hold", "weight": -1.0}},
        holds(-1.0),
    ),
    "margin_remaining": Case(
        lambda folder: markets.lean_daily(folder, ("SPY", "AAPL"), "2007-01-01", "2010-01-01"),
        {
            "strategy": {
                "use": f"{OWN}:Staged",
                "weights": {"SPY": 0.7, "AAPL": 0.3},
                "since": {"SPY": "2007-01-01", "AAPL": "2009-01-01"},
                "leverage": 1,
            },
            "broker": {"leverage": 1},
        },
        two_stages,
        leverage=1.0,
    ),
    "set_holdings_multiple_targets": Case(
        lambda folder: markets.lean_intraday(folder, ("SPY", "IBM"), "2013-10-07", "2013-10-11", minute=True),
        {
            "strategy": {"use": f"{OWN}:Rotate", "first": [0.8, 0.2], "later": [0.2, 0.8], "leverage": 1},
            "broker": {"leverage": 1},
        },
        rotates,
        intraday=True,
        leverage=1.0,
    ),
    "market_on_open": Case(
        lambda folder: markets.lean_intraday(folder, ("SPY",), "2021-03-01", "2021-03-03"),
        {"strategy": {"use": f"{OWN}:Overnight", "shares": 2}, "optimizer": {"use": f"{OWN}:ByShare"}},
        holds(0.0),
        intraday=True,
        ordered=(1.0, 1.0),
    ),
}


def by_loop(case: Case, market: Market) -> Outcome:
    fill: Timing = "same_close" if case.intraday else "next_open"
    second = int(np.flatnonzero(np.diff(market.days()))[0]) + 1
    waiting = [(second, 0, shares) for shares in case.ordered]
    return lean(market, case.plain(market), fill=fill, leverage=case.leverage, waiting=waiting)


def by_engine(case: Case, market: Market, folder: Path) -> Outcome:
    return play(market, {"compat": "lean"} | case.run, folder, cash=CASH)


def published(outcome: Outcome, row: dict[str, Any]) -> dict[str, Any]:
    """The figures of the table as the outcome gives them. Drawdown is of the equity at every slice."""
    return {
        "case": row["case"],
        "filled": len(outcome.fills),
        "end_equity": printed(outcome.equity[-1], row["end_equity"]),
        "fees": printed(sum(fill.fee for fill in outcome.fills), row["fees"]),
        "drawdown": printed(-100 * drawdown([CASH, *outcome.equity]), row["drawdown"]),
    }


@pytest.mark.parametrize("row", LEAN.values(), ids=LEAN.keys())
def test_the_engine_hits_what_lean_published(row: dict[str, Any], oracles: Path, tmp_path: Path) -> None:
    case = CASES[row["case"]]
    market = case.market(oracles)
    made = by_engine(case, market, tmp_path)
    assert published(made, row) == row
    assert_same(made, by_loop(case, market))


@pytest.mark.parametrize("row", LEAN.values(), ids=LEAN.keys())
def test_the_plain_loop_hits_what_lean_published(row: dict[str, Any], oracles: Path) -> None:
    case = CASES[row["case"]]
    assert published(by_loop(case, case.market(oracles)), row) == row


@pytest.mark.parametrize("name", [name for name in FILLS_OF if name in CASES])
def test_every_published_fill_is_hit(name: str, oracles: Path, tmp_path: Path) -> None:
    case = CASES[name]
    market = case.market(oracles)
    theirs = expected_fills(oracles, FILLS_OF[name], market)
    mine = by_engine(case, market, tmp_path).fills
    assert [fill[:3] for fill in sorted(mine)] == [fill[:3] for fill in sorted(theirs)]
    for column in ("price", "fee"):
        pairs = [[getattr(fill, column) for fill in sorted(side)] for side in (mine, theirs)]
        np.testing.assert_allclose(pairs[0], pairs[1], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_on_bent_data_the_engine_does_what_the_plain_loop_does(
    name: str, seed: int, oracles: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    market = perturbed(case.market(oracles), seed)
    made = by_engine(case, market, tmp_path)
    assert made.fills
    assert_same(made, by_loop(case, market))
