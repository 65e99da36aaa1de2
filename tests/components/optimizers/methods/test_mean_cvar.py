"""Least expected shortfall: beside brute force, and what it makes of gaps and corporate actions."""

from typing import Any

import numpy as np
import pytest

from components.optimizers.methods.mean_cvar import MeanCvar
from components.optimizers.methods.returns import Returns
from components.optimizers.stating import expected_shortfall
from engine.errors import StateError
from engine.events import ActionKind, Actions, Vector
from engine.universe import universe_of
from tests.components.optimizers.methods.made import situation, solved
from tests.make import bars

NAMES = ["A", "B", "C"]
UNIVERSE = universe_of(tuple(NAMES))


def fed(kept: Any, X: Any) -> Any:
    close = 100 * np.concatenate([np.ones((1, X.shape[1])), np.cumprod(1 + np.nan_to_num(X), axis=0)])
    for k, row in enumerate(close):
        kept.on_bars(bars(ts=k, close=np.where(np.isnan(X[max(k - 1, 0)]), np.nan, row)))
    return kept


def method(**options: Any) -> MeanCvar:
    return MeanCvar(universe=UNIVERSE, **({"window": 40, "min_slices": 5, "level": 0.8} | options))


def at(**given: Any) -> Any:
    return situation(None, 3, names=NAMES, **given)


def test_no_portfolio_of_a_fine_grid_has_less() -> None:
    X = np.random.default_rng(1).normal(0.001, 0.02, (40, 3)) * np.array([1.0, 0.7, 1.5])
    w = solved(fed(method(), X), at())
    least = expected_shortfall(-(X @ w), 0.8)
    grid = [np.array([i, j, 100 - i - j]) / 100 for i in range(101) for j in range(101 - i)]
    others = [expected_shortfall(-(X @ v), 0.8) for v in grid]
    assert least <= min(others) + 1e-12
    assert least == pytest.approx(min(others), rel=2e-3)


def test_what_cannot_be_traded_is_hedged() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(0, 0.02, 40)
    X = np.stack([a, -a + rng.normal(0, 0.002, 40), a + rng.normal(0, 0.002, 40)], axis=1)
    w = solved(fed(method(), X), at(free=np.array([False, True, True]), w0=np.array([0.5, 0, 0])))
    assert w[1] == pytest.approx(0.5, abs=0.05)


def test_a_name_of_short_history_is_not_bought_and_may_be_kept() -> None:
    X = np.random.default_rng(3).normal(0, 0.02, (30, 3))
    X[:27, 2] = np.nan
    X[:, 0] *= 3
    for w0, most in ((0.0, 0.0), (0.3, 0.3)):
        w = solved(fed(method(), X), at(w0=np.array([0, 0, w0])))
        assert w[2] <= most
        assert w.sum() == pytest.approx(1.0, abs=1e-9)


def test_until_there_are_returns_it_says_so() -> None:
    decision = fed(method(), np.zeros((3, 3))).weights(at())
    assert (decision.weights, decision.reason) == (None, "no symbol has enough returns yet")


def test_constant_prices_are_no_failure() -> None:
    w = solved(fed(method(), np.zeros((20, 3))), at())
    assert w.sum() == pytest.approx(1.0, abs=1e-9)


def test_a_missing_return_is_the_mean_of_the_others_in_its_slice() -> None:
    kept = Returns(UNIVERSE, 10, 2)
    for k, close in enumerate([[100, 100, 100], [110, 90, 100], [110, np.nan, 110], [121, 99, 110]]):
        kept.on_bars(bars(ts=k, close=np.array(close, float)))
    assert kept.ready().tolist() == [True, False, True]
    np.testing.assert_allclose(kept.scenarios(), [[0.1, 0.05, 0.0], [0.0, 0.05, 0.1], [0.1, 0.05, 0.0]], atol=1e-12)


def actions(*rows: tuple[ActionKind, int, float, float, int]) -> Actions:
    kind, symbol, ratio, amount, heir = zip(*rows, strict=True)
    n = len(rows)
    return Actions(
        ts=2,
        kind=np.array(kind, np.int32),
        symbol=np.array(symbol, np.int32),
        ratio=np.array(ratio, float),
        amount=np.array(amount, float),
        pay_at=np.zeros(n, np.int64),
        successor=np.array(heir, np.int32),
    )


def test_splits_and_dividends_are_undone_and_heirs_take_over() -> None:
    kept = Returns(universe_of(("A", "B", "C", "D")), 5, 2)
    kept.on_bars(bars(ts=0, close=[100.0, 50.0, 20.0, np.nan]))
    kept.on_bars(bars(ts=1, close=[110.0, 50.0, 22.0, np.nan]))
    split, dividend = (ActionKind.SPLIT, 0, 2.0, 0.0, -1), (ActionKind.CASH_DIVIDEND, 1, 0.0, 5.0, -1)
    kept.on_actions(actions(split, dividend, (ActionKind.SYMBOL_CHANGE, 2, 1.0, 0.0, 3)))
    kept.on_bars(bars(ts=2, close=[55.0, 45.0, np.nan, 22.0]))
    kept.on_actions(actions((ActionKind.DELISTING, 1, 0.0, 45.0, -1)))
    rows = kept.scenarios()
    np.testing.assert_allclose(rows[:, [0, 3]], [[0.1, 0.1], [0.0, 0.0]], atol=1e-12)
    assert kept.ready().tolist() == [True, False, False, True]


def test_state_is_placed_by_symbol_and_refuses_another_window() -> None:
    X = np.random.default_rng(5).normal(0, 0.02, (20, 3))
    before = fed(method(), X)
    grown = MeanCvar(universe=universe_of(("A", "B", "C", "D")), window=40, min_slices=5, level=0.8)
    grown.load(before.save())
    w = solved(grown, situation(None, 4, names=["A", "B", "C", "D"], wanted=np.array([0.3, 0.3, 0.3, 0.0])))
    np.testing.assert_allclose(w[:3], solved(before, at()), atol=1e-12)
    with pytest.raises(StateError, match="of a window of 40 slices, not 30"):
        method(window=30).load(before.save())


def test_more_reward_never_lowers_what_is_expected() -> None:
    X = np.random.default_rng(6).normal(0, 0.02, (40, 3))
    alpha: Vector = np.array([0.001, 0.003, -0.002])
    earned = []
    for reward in (0.0, 0.3, 1.0, 3.0, 30.0):
        kept = fed(method(expected="alpha", reward=reward), X)
        earned.append(alpha @ solved(kept, at(alpha=alpha)))
    assert (np.diff(earned) >= -1e-9).all()
    assert earned[-1] == pytest.approx(0.003)
