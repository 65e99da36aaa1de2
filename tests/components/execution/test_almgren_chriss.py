"""The volatility that Almgren-Chriss goes by: that of one slice after the other, and of nothing else."""

from typing import Any

import numpy as np
import pytest

from components.execution.almgren_chriss import AlmgrenChriss
from components.execution.pace import Market, Parents
from engine.events import DAY_NS, MINUTE_NS, ActionKind, Actions, Vector
from engine.universe import universe_of
from tests.components.execution.floor import minutes
from tests.make import START_NS, bars, day

TWO = universe_of(("A", "B"))
WALK = 50 * np.exp(np.cumsum(np.random.default_rng(4).normal(0, 5e-4, (60, 2)), axis=0))


def pace(window: int = 10) -> AlmgrenChriss:
    return AlmgrenChriss(universe=TWO, horizon=8, window=window)


def of_returns(closes: Any) -> Vector:
    """The sigma of these closes, one behind the other."""
    sigma: Vector = np.diff(np.log(np.asarray(closes)), axis=0)[-10:].std(axis=0, ddof=1)
    return sigma


@pytest.mark.parametrize("gap", [30, 18 * 60])
def test_what_a_break_or_a_night_did_to_prices_is_no_volatility_of_a_slice(gap: int) -> None:
    """The first five of these returns are of before the gap, over which prices moved by 2 %."""
    one, other = pace(), pace()
    for k in range(1, 21):
        late = k > 15
        one.on_bars(minutes(k + gap * late, WALK[k] * (1.02 if late else 1.0)))
        if k > 5:
            other.on_bars(minutes(k, WALK[k]))
    moved = np.diff(np.log(WALK[1:21]), axis=0)
    kept = np.delete(moved, 14, axis=0)[-10:]  # without that over the gap
    np.testing.assert_allclose(one.sigma(), kept.std(axis=0, ddof=1), rtol=1e-9)


def test_one_missing_bar_leaves_the_others_their_volatility_and_costs_two_returns() -> None:
    one = pace()
    closes = WALK.copy()
    closes[12, 0] = np.nan
    for k in range(1, 21):
        one.on_bars(minutes(k, closes[k]))
    sigma, moved = one.sigma(), np.diff(np.log(closes[1:21]), axis=0)
    known = moved[np.isfinite(moved[:, 0]), 0]
    assert sigma[1] == pytest.approx(moved[-10:, 1].std(ddof=1))
    assert sigma[0] == pytest.approx(known[-10:].std(ddof=1))


def test_bars_of_a_day_are_one_behind_the_other_whatever_lies_between_them() -> None:
    one = pace()
    for k in range(20):
        one.on_bars(bars(day(k + 3 * (k // 5)), WALK[k]))
    np.testing.assert_allclose(one.sigma(), of_returns(WALK[:20]))


@pytest.mark.parametrize("kind", [ActionKind.CASH_DIVIDEND, ActionKind.SPLIT])
def test_neither_a_cash_dividend_nor_a_split_is_a_return(kind: ActionKind) -> None:
    one = pace()
    for k in range(20):
        close = WALK[k].copy()
        if k >= 15:
            close[0] = close[0] / 2 if kind == ActionKind.SPLIT else close[0] * (1 - 3.0 / WALK[14, 0])
        if k == 15:
            at = np.zeros(1, np.int64)
            columns: dict[str, Any] = {"ratio": np.array([2.0]), "amount": np.array([3.0]), "pay_at": at}
            columns |= {"kind": np.array([kind], np.int32), "symbol": np.array([0], np.int32)}
            one.on_actions(Actions(ts=day(14) + 1, successor=np.array([-1], np.int32), **columns))
        one.on_bars(bars(day(k), close))
    np.testing.assert_allclose(one.sigma(), of_returns(WALK[:20]), rtol=1e-9)


def test_there_is_no_volatility_until_a_window_of_returns_is_known_and_it_survives_a_restart() -> None:
    one = pace()
    for k in range(1, 11):
        one.on_bars(minutes(k, WALK[k]))
    assert np.isnan(one.sigma()).all()
    again = pace()
    again.load(one.save())
    for k in range(11, 30):
        for each in (one, again):
            each.on_bars(minutes(k, WALK[k]))
        assert one.sigma().tolist() == again.sigma().tolist()
    np.testing.assert_allclose(one.sigma(), of_returns(WALK[1:30]))


# ---- what the page says of its options -------------------------------------------------------------------------------


def done(sigma: float, steps: int, interval_ns: int = MINUTE_NS, **options: Any) -> Vector:
    """Share of an order that is done behind each step, where returns have this volatility."""
    one = AlmgrenChriss(universe=TWO, horizon=steps, window=10, **options)
    signs = np.where(np.arange(11) % 2, 1.0, -1.0)
    moves = signs[1:] * sigma * np.sqrt(0.9)  # unbiased
    closes = 50 * np.exp(np.concatenate([[0.0], np.cumsum(moves)]))
    for k, close in enumerate(closes, start=1):
        one.on_bars(bars(START_NS + k * interval_ns, [close, close], interval_ns=interval_ns))
    assert one.sigma()[0] == pytest.approx(sigma)
    left, sent, unit = 1e9, [], np.ones(1)
    for k in range(steps):
        columns: dict[str, Any] = {"total": unit * 1e9, "left": unit * left, "lot": unit, "arrival": unit * 50}
        columns |= {"ids": np.ones(1, np.uint64), "symbol": np.zeros(1, np.int32)}
        parents = Parents(step=np.array([k]), steps=np.array([steps]), **columns)
        seen = {"status": np.zeros(2, np.int32), "mark": closes[-2:], "volume": closes[-2:]}
        left -= float(one.due(parents, Market(ts=1, interval_ns=interval_ns, **seen))[0])
        sent.append(1 - left / 1e9)
    return np.array(sent)


@pytest.mark.parametrize(("sigma", "steps", "interval_ns"), [(5e-4, 390, MINUTE_NS), (0.02, 20, DAY_NS)])
def test_with_its_defaults_it_is_an_even_pace_on_bars_of_a_minute_and_of_a_day(
    sigma: float, steps: int, interval_ns: int
) -> None:
    even = np.arange(1, steps + 1) / steps
    assert np.abs(done(sigma, steps, interval_ns) - even).max() < 0.01


@pytest.mark.parametrize(("speed", "half"), [(2.0, 1 / 3), (3.0, 1 / 4), (6.0, 1 / 8)])
def test_risk_aversion_is_chosen_by_how_fast_it_is_to_be(speed: float, half: float) -> None:
    """lambda = eta (kappa / sigma)^2 has half of the order done after this share of the horizon."""
    steps, sigma = 120, 5e-4
    shares = done(sigma, steps, risk_aversion=2.5e-6 * (speed / steps / sigma) ** 2)
    assert np.searchsorted(shares, 0.5) / steps == pytest.approx(half, abs=0.03)


def test_the_example_of_the_page() -> None:
    shares = done(5e-4, 20, risk_aversion=0.225)
    kappa_t = 3.0
    np.testing.assert_allclose(shares, 1 - np.sinh(kappa_t * (1 - np.arange(1, 21) / 20)) / np.sinh(kappa_t), atol=2e-3)
