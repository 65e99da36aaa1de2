"""What holds for each risk model, whatever it estimates."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import StateError
from engine.events import ActionKind, Status
from tests.components.risk_models.made import MODELS, NAN, act, closes, dense, fed, names, reference, returns
from tests.make import bars, day

pytestmark = pytest.mark.parametrize("name", MODELS)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 9), slices=st.integers(3, 30), holes=st.floats(0, 0.9))
def test_it_is_never_indefinite_whatever_is_missing(name: str, seed: int, n: int, slices: int, holes: float) -> None:
    rng = np.random.default_rng(seed)
    r = returns(slices, n, seed)
    r[:, rng.random(n) < 0.2] = 0.0  # some never move
    if n > 1 and seed % 2:
        r[:, 0] = r[:, -1]  # two move alike
    close = closes(r)
    close[rng.random(close.shape) < holes] = NAN
    made = MODELS[name](names(n), window=12, min_slices=2)
    for k, row in enumerate(close):
        made.on_bars(bars(day(k), row))
        risk = made.risk()
        if risk is not None:
            assert all(np.isfinite(part).all() for part in (risk.factors, risk.covariance, risk.specific))
            assert (risk.specific >= 0).all()
            inner = np.linalg.eigvalsh(risk.covariance)
            assert inner.min(initial=0.0) >= -1e-12 * inner.max(initial=0.0)
            whole = np.linalg.eigvalsh(dense(risk))
            assert whole[0] >= -1e-12 * max(whole[-1], 0.0)


@pytest.mark.parametrize("c", [0.25, 3.0])
def test_returns_times_c_are_variances_times_c_squared(name: str, c: float) -> None:
    r = returns(40, 6)
    one = dense(fed(MODELS[name](names(6), window=30, min_slices=10), closes(r)).risk())
    two = dense(fed(MODELS[name](names(6), window=30, min_slices=10), closes(c * r)).risk())
    np.testing.assert_allclose(two, c**2 * one, rtol=1e-6, atol=1e-9 * one.max() * c**2)


def test_of_one_symbol_it_is_about_its_variance(name: str) -> None:
    r = returns(40, 1)
    risk = fed(MODELS[name](names(1), window=40, min_slices=10), closes(r)).risk()
    if name == "given_factors":  # one return cannot tell what two factors did
        assert risk is None
        return
    (variance,) = dense(risk)[0]
    assert 0.4 * r.var() < variance < 2.5 * r.var()


def test_what_never_moves_has_no_variance_of_its_own_and_breaks_nothing(name: str) -> None:
    still = fed(MODELS[name](names(4), window=20, min_slices=5), closes(np.zeros((25, 4)))).risk()
    np.testing.assert_allclose(dense(still), 0.0, atol=1e-20)
    r = returns(30, 5)
    r[:, 2] = 0.0
    whole = dense(fed(MODELS[name](names(5), window=20, min_slices=5), closes(r)).risk())
    if name != "given_factors":  # by its exposures it moves with the market all the same
        assert whole[2, 2] < 0.7 * np.delete(np.diag(whole), 2).min()


def test_without_a_known_return_there_is_no_answer(name: str) -> None:
    made = fed(MODELS[name](names(3), window=10, min_slices=3), np.full((15, 3), NAN))
    assert made.risk() is None
    every_other = closes(returns(20, 3))
    every_other[::2] = NAN
    assert fed(made, every_other).risk() is None


def test_the_first_answer_comes_with_the_least_returns(name: str) -> None:
    made = MODELS[name](names(3), window=10, min_slices=4)
    close = closes(returns(12, 3))
    told = []
    for k, row in enumerate(close):
        made.on_bars(bars(day(k), row))
        told.append(made.risk() is not None)
    # the regression of given factors needs exposures a slice before, which were there from the start
    assert told == [False] * 4 + [True] * 9


def test_more_symbols_than_slices_is_no_trouble(name: str) -> None:
    whole = dense(fed(MODELS[name](names(30), window=10, min_slices=5), closes(returns(10, 30))).risk())
    assert whole.shape == (30, 30)
    assert np.linalg.eigvalsh(whole)[0] >= -1e-12 * np.linalg.eigvalsh(whole)[-1]
    assert (np.diag(whole) > 0).all()


def test_a_late_listing_moves_with_the_others_and_is_riskier_than_most(name: str) -> None:
    close = closes(returns(40, 8))
    close[:37, 7] = NAN
    whole = dense(fed(MODELS[name](names(8), window=30, min_slices=10), close).risk())
    if name != "poet_hard":  # which has no factor, and may have no correlation
        assert (whole[7, :7] > 0).any()
    assert whole[7, 7] > np.median(np.diag(whole)[:7]) * 0.5
    alone = dense(fed(MODELS[name](names(8), window=30, min_slices=10), np.where(np.arange(8) == 7, NAN, close)).risk())
    if name != "given_factors":  # whose regression takes a late symbol with exposures in
        np.testing.assert_array_equal(whole, alone)


def test_a_split_in_the_middle_changes_nothing(name: str) -> None:
    close = closes(returns(30, 4))
    after = close.copy()
    after[17:, 1] /= 4.0
    after[17:, 2] /= 0.5  # one share for two
    one = fed(MODELS[name](names(4), window=20, min_slices=5), close)
    two = MODELS[name](names(4), window=20, min_slices=5)
    for k, row in enumerate(after):
        if k == 17:
            two.on_actions(act(ActionKind.SPLIT, 1, ratio=4.0))
            two.on_actions(act(ActionKind.SPLIT, 2, ratio=0.5))
        two.on_bars(bars(day(k), row))
    np.testing.assert_allclose(dense(two.risk()), dense(one.risk()), rtol=1e-8, atol=1e-14)


def test_the_successor_of_a_symbol_has_its_history(name: str) -> None:
    close = closes(returns(30, 4))
    wide = np.hstack([close, np.full((31, 1), NAN)])
    wide[20:, 4], wide[20:, 1] = wide[20:, 1], NAN
    change = {20: act(ActionKind.SYMBOL_CHANGE, 1, ratio=1.0, successor=4)}
    made = MODELS[name](names(5), window=20, min_slices=5)
    if name == "given_factors":
        value = np.array(made._given.exposures)
        value[4] = NAN  # the feed does not know the successor yet
        made.on_reference(reference("exposures", value))
        straight = MODELS[name](names(4), window=20, min_slices=5)
        straight.on_reference(reference("exposures", value[:4]))
    else:
        straight = MODELS[name](names(4), window=20, min_slices=5)
    whole = dense(fed(made, wide, change).risk())
    kept = np.ix_([0, 4, 2, 3], [0, 4, 2, 3])
    np.testing.assert_allclose(whole[kept], dense(fed(straight, close).risk()), rtol=1e-6, atol=1e-10)


def test_a_delisted_symbol_is_forgotten_at_once(name: str) -> None:
    close = closes(returns(30, 4))
    close[25:, 1] = NAN
    made = fed(MODELS[name](names(4), window=30, min_slices=5), close, {25: act(ActionKind.DELISTING, 1, amount=10.0)})
    close[:, 1] = NAN
    gone, fresh = dense(made.risk()), dense(fed(MODELS[name](names(4), window=30, min_slices=5), close).risk())
    if name == "given_factors":  # its returns were part of regressions, and its exposures stay
        assert gone[1, 1] > 0
    else:
        np.testing.assert_allclose(gone, fresh, rtol=1e-9)


def test_resumed_at_any_slice_it_says_the_same_to_the_last_bit(name: str) -> None:
    """With more symbols than fit a register, and a window that has moved on."""
    close = closes(returns(75, 67))
    close[np.random.default_rng(3).random(close.shape) < 0.01] = NAN
    how = {"window": 21, "min_slices": 8}
    straight = MODELS[name](names(67), **how)
    for k, row in enumerate(close):
        if k > 60:
            fresh = MODELS[name](names(67), **how)
            fresh.load(straight.save())
            fresh.on_bars(bars(day(k), row))
        straight.on_bars(bars(day(k), row))
        if k > 60:
            one, two = straight.risk(), fresh.risk()
            for part in ("factors", "covariance", "specific"):
                np.testing.assert_array_equal(getattr(one, part), getattr(two, part))


def test_a_halted_symbol_has_no_return_into_or_out_of_the_halt(name: str) -> None:
    close = closes(returns(30, 4))
    close[20:22, 1] = NAN
    halted, missing = (MODELS[name](names(4), window=20, min_slices=5) for _ in range(2))
    for k, row in enumerate(close):
        status = np.where(np.isnan(row), Status.HALTED, Status.FRESH)
        halted.on_bars(bars(day(k), row, status=status))
        missing.on_bars(bars(day(k), row))
    np.testing.assert_array_equal(dense(halted.risk()), dense(missing.risk()))
    assert halted._history.window.counts.tolist() == [20, 17, 20, 20]


def test_an_answer_stays_the_same_object_until_something_changes(name: str) -> None:
    close = closes(returns(30, 4))
    made = fed(MODELS[name](names(4), window=20, min_slices=5), close)
    first = made.risk()
    assert made.risk() is first
    made.save()
    assert made.risk() is first
    made.on_actions(act(ActionKind.DELISTING, 2, amount=1.0))
    second = made.risk()
    assert second is not first
    made.on_bars(bars(day(31), close[-1]))
    assert made.risk() is not second


def test_a_state_of_another_window_is_refused(name: str) -> None:
    with pytest.raises(StateError, match="the saved state is of a window of 9 slices, not 8; load it with"):
        MODELS[name](names(2), window=8, min_slices=3).load(MODELS[name](names(2), window=9, min_slices=3).save())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 1}, "window must be at least 2 slices, got 1"),
        ({"window": 9, "min_slices": 1}, r"min_slices must be between 2 and window \(9\), got 1"),
        ({"window": 9, "min_slices": 10}, r"min_slices must be between 2 and window \(9\), got 10"),
        ({"late_quantile": 1.5}, "late_quantile must be between 0 and 1, got 1.5"),
    ],
)
def test_bounds_are_checked(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS[name](names(2), **options)
