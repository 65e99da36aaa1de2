"""Ledoit-Wolf: against scikit-learn, and the rules for holes and corporate actions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from components.risk_models.ledoit_wolf import LedoitWolf
from components.risk_models.shrinkage import ledoit_wolf_shrinkage
from engine.errors import StateError
from engine.events import ActionKind, Actions
from tests.components.risk_models.made import NAN, act, dense, fed, names
from tests.make import bars, day, market


def model(n: int, *, window: int = 20, min_slices: int = 5, **options: float) -> LedoitWolf:
    return LedoitWolf(universe=names(n), window=window, min_slices=min_slices, **options)


def returns(closes: np.ndarray) -> np.ndarray:
    return closes[1:] / closes[:-1] - 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(3, 30))
def test_it_equals_scikit_learn_on_complete_returns(seed: int, n: int, slices: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(slices, n)) * rng.uniform(0.1, 3, n) + rng.normal(size=(slices, 1))
    centred = x - x.mean(axis=0)
    expected, shrinkage = ledoit_wolf(x)
    share, mean = ledoit_wolf_shrinkage(centred)
    assert share == pytest.approx(shrinkage, abs=1e-10)
    whole = (1 - share) * centred.T @ centred / slices + share * mean * np.eye(n)
    np.testing.assert_allclose(whole, expected, atol=1e-12)


def test_the_window_slides_and_the_factors_are_exact() -> None:
    closes = np.array([row.close for row in market(7, 50, holes=0.0, late=0)])
    made = model(7)
    for k in range(50):
        made.on_bars(bars(day(k), closes[k]))
        if k < 5:
            assert made.risk() is None
        else:
            expected, _ = ledoit_wolf(returns(closes[max(k - 20, 0) : k + 1]))
            np.testing.assert_allclose(dense(made.risk()), expected, rtol=1e-9, atol=1e-15)


def test_more_names_than_slices_still_gives_a_positive_definite_matrix() -> None:
    closes = np.array([row.close for row in market(60, 21, holes=0.0, late=0)])
    assert np.linalg.eigvalsh(dense(fed(model(60), closes).risk())).min() > 1e-6


def test_a_late_listing_moves_with_the_market_and_has_a_high_specific_variance() -> None:
    """The quantile of what the market does not explain of the others."""
    closes = np.array([row.close for row in market(6, 30, holes=0.0, late=0)])
    closes *= np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.02, (30, 1)), axis=0))  # a common market
    closes[:27, 5] = NAN
    risk = fed(model(6, late_quantile=0.9), closes).risk()
    assert risk is not None
    others, _ = ledoit_wolf(returns(closes[-21:, :5]))
    np.testing.assert_allclose(dense(risk)[:5, :5], others, rtol=1e-9)
    np.testing.assert_allclose(risk.factors[5], risk.factors[:5].mean(axis=0), rtol=1e-12)
    own, m = risk.factors[:5], risk.factors[:5].mean(axis=0)
    left = [others[i, i] - (own[i] @ m) ** 2 / (m @ m) for i in range(5)]
    assert risk.specific[5] == pytest.approx(np.quantile(left, 0.9))


def test_rule_06_a_missing_bar_takes_two_returns_and_keeps_the_variance() -> None:
    """Rule 6: no silent forward-fill."""
    closes = np.array([row.close for row in market(1, 21, holes=0.0, late=0)])
    closes[10] = NAN
    known = returns(closes)
    known = known[np.isfinite(known)]
    assert len(known) == 18
    assert dense(fed(model(1, window=20), closes).risk())[0, 0] == pytest.approx(known.var())


def walk(actions: dict[int, Actions], closes: np.ndarray) -> np.ndarray:
    """The returns that the model keeps."""
    made = model(closes.shape[1], window=len(closes), min_slices=2)
    for k, close in enumerate(closes):
        if k in actions:
            made.on_actions(actions[k])
        made.on_bars(bars(day(k), close))
    return made._history.window.rows()[1:]


def test_rule_25_a_split_is_no_return() -> None:
    """Rule 25: splits apply to the history at the same instant."""
    kept = walk({1: act(ActionKind.SPLIT, 0, ratio=4.0)}, np.array([[100.0], [26.0], [27.0]]))
    np.testing.assert_allclose(kept[:, 0], [26 / 25 - 1, 27 / 26 - 1])


def test_rule_26_a_dividend_is_part_of_the_return() -> None:
    """Rule 26: features and estimates use total returns, fills stay raw."""
    kept = walk({1: act(ActionKind.CASH_DIVIDEND, 0, amount=3.0)}, np.array([[100.0], [98.0], [99.0]]))
    np.testing.assert_allclose(kept[:, 0], [0.01, 99 / 98 - 1])


def test_rule_23_a_delisted_name_is_forgotten() -> None:
    closes = np.array([[10.0, 10.0], [11.0, 10.5], [NAN, 10.2], [NAN, 10.3]])
    kept = walk({2: act(ActionKind.DELISTING, 0, amount=11.0)}, closes)
    assert np.isnan(kept[:, 0]).all()
    assert np.isfinite(kept[:, 1]).all()


def test_rule_24_a_new_name_inherits_the_history_of_the_old_one() -> None:
    """Rule 24: identity."""
    closes = np.array([[10.0, NAN], [11.0, NAN], [NAN, 6.0], [NAN, 6.6]])
    kept = walk({2: act(ActionKind.SYMBOL_CHANGE, 0, ratio=2.0, successor=1)}, closes)
    assert np.isnan(kept[:, 0]).all()
    np.testing.assert_allclose(kept[:, 1], [0.1, 6 / 5.5 - 1, 0.1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 1}, "window must be at least 2 slices, got 1"),
        ({"min_slices": 1}, "min_slices must be between 2 and window"),
        ({"min_slices": 21}, "min_slices must be between 2 and window"),
        ({"late_quantile": 1.5}, "late_quantile must be between 0 and 1, got 1.5"),
    ],
)
def test_bounds_are_checked(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(2, **options)  # type: ignore[arg-type]


def test_a_state_of_another_window_is_refused() -> None:
    with pytest.raises(StateError, match="of a window of 9 slices, not 8"):
        model(2, window=8).load(model(2, window=9).save())
