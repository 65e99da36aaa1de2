"""Given factors: regressions slice by slice, what a feed may give, and what it may not."""

from typing import Any

import numpy as np
import pytest

from components.risk_models.given_factors import GivenFactors, regressed
from engine.errors import DataError
from engine.events import ActionKind
from tests.components.risk_models.made import NAN, act, closes, dense, exposures, fed, names, reference
from tests.make import bars, day


def made(n: int, value: Any = None, **options: Any) -> GivenFactors:
    model = GivenFactors(universe=names(n), **({"window": 50, "min_slices": 10} | options))
    if value is not None:
        model.on_reference(reference("exposures", value, ts=day(0)))
    return model


def test_a_planted_factor_model_is_recovered() -> None:
    n, k, slices = 300, 4, 1500
    rng = np.random.default_rng(0)
    B = exposures(n, k)
    root = rng.normal(size=(k, k)) * 0.004
    specific = rng.uniform(0.005, 0.02, n)
    f = rng.normal(size=(slices, k)) @ root.T
    r = f @ B.T + specific * rng.normal(size=(slices, n))
    risk = fed(made(n, B, window=slices), closes(r)).risk()
    assert risk is not None
    np.testing.assert_array_equal(risk.factors, B)
    true = root @ root.T
    assert np.linalg.norm(risk.covariance - true) < 0.1 * np.linalg.norm(true)
    np.testing.assert_allclose(risk.specific, specific**2, rtol=0.25)


def test_without_noise_factor_returns_are_exact() -> None:
    B, f = exposures(30, 3), np.random.default_rng(1).normal(0, 0.01, (40, 3))
    risk = fed(made(30, B, window=40), closes(f @ B.T)).risk()
    assert risk is not None
    np.testing.assert_allclose(risk.covariance, np.cov(f.T, ddof=0), rtol=1e-9)
    np.testing.assert_allclose(risk.specific, 0.0, atol=1e-25)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_slice_is_the_regression_that_numpy_does(weighted: bool) -> None:
    rng = np.random.default_rng(2)
    r, B = rng.normal(size=25), exposures(25, 4)
    w = rng.uniform(0.5, 3, 25) if weighted else np.ones(25)
    r[3], B[7, 1], w[9] = NAN, NAN, 0.0
    keep = np.setdiff1d(np.arange(25), [3, 7, *([9] if weighted else [])])
    f, left = regressed(r, B, w if weighted else None)
    root = np.sqrt(w[keep] if weighted else np.ones(len(keep)))
    expected = np.linalg.lstsq(B[keep] * root[:, None], r[keep] * root, rcond=None)[0]
    np.testing.assert_allclose(f, expected, rtol=1e-10)
    np.testing.assert_allclose(left[keep], r[keep] - B[keep] @ expected, atol=1e-12)
    assert np.isnan(np.delete(left, keep)).all()


def test_a_market_beside_all_industries_gets_the_shortest_factor_returns() -> None:
    rng = np.random.default_rng(3)
    industry = np.eye(3)[np.arange(30) % 3]
    B = np.hstack([np.ones((30, 1)), industry])
    r = rng.normal(size=30)
    f, left = regressed(r, B, None)
    np.testing.assert_allclose(f, np.linalg.pinv(B) @ r, atol=0.2)
    np.testing.assert_allclose(left, r - B @ np.linalg.pinv(B) @ r, atol=1e-10)
    assert np.abs(f).max() < 10


def test_a_return_is_explained_by_the_exposures_of_the_slice_before() -> None:
    one, two = np.ones((6, 1)), np.arange(1.0, 7.0)[:, None]
    f = np.full((20, 1), 0.01) * np.where(np.arange(20) % 2, 1, -1)[:, None]
    r = np.vstack([f[:12] @ one.T, f[12:] @ two.T])
    model, close = made(6, one), closes(r)
    for k, row in enumerate(close):
        if k == 12:  # known as slice 12 ends, so the return into slice 13 is the first that it explains
            model.on_reference(reference("exposures", two, ts=day(k)))
        model.on_bars(bars(day(k), row))
    risk = model.risk()
    assert risk is not None
    np.testing.assert_array_equal(risk.factors, two)
    np.testing.assert_allclose(risk.specific, 0.0, atol=1e-25)
    assert risk.covariance[0, 0] == pytest.approx(1e-4)


def test_factors_are_the_same_array_until_exposures_change() -> None:
    B, r = exposures(8, 2), np.random.default_rng(4).normal(0, 0.01, (30, 8))
    model, close = made(8, B), closes(r)
    fed(model, close[:20])
    first = model.risk()
    model.on_bars(bars(day(20), close[20]))
    second = model.risk()
    assert first is not None
    assert second is not None
    assert second.factors is first.factors
    assert not np.array_equal(second.specific, first.specific)
    model.on_reference(reference("exposures", B * 2, ts=day(21)))
    third = model.risk()
    assert third is not None
    np.testing.assert_array_equal(third.factors, 2 * B)


def test_given_covariance_and_variances_take_the_place_of_estimates_at_once() -> None:
    B = exposures(5, 2)
    omega, variance = np.array([[4e-4, 1e-4], [1e-4, 9e-4]]), np.array([1e-4, 2e-4, NAN, 4e-4, 5e-4])
    model = made(5, B, late_quantile=1.0)
    assert model.risk() is None
    model.on_reference(reference("factor_covariance", omega))
    assert model.risk() is None
    model.on_reference(reference("specific_variance", variance[:, None]))
    risk = model.risk()
    np.testing.assert_allclose(dense(risk), B @ omega @ B.T + np.diag([1e-4, 2e-4, 5e-4, 4e-4, 5e-4]))


def test_a_symbol_without_exposures_has_those_of_the_market() -> None:
    B, r = exposures(9, 2), np.random.default_rng(5).normal(0, 0.01, (30, 9))
    B[4] = NAN
    risk = fed(made(9, B), closes(r)).risk()
    assert risk is not None
    others = np.delete(B, 4, axis=0)
    np.testing.assert_allclose(risk.factors[4], others.mean(axis=0))
    assert risk.specific[4] > np.median(risk.specific)


def test_a_late_listing_with_exposures_keeps_them() -> None:
    B, close = exposures(9, 2), closes(np.random.default_rng(6).normal(0, 0.01, (30, 9)))
    close[:27, 8] = NAN
    risk = fed(made(9, B, late_quantile=0.75), close).risk()
    assert risk is not None
    np.testing.assert_array_equal(risk.factors, B)
    assert risk.specific[8] == pytest.approx(np.quantile(risk.specific[:8], 0.75))


def test_other_columns_begin_the_history_of_factors_anew() -> None:
    B, close = exposures(8, 2), closes(np.random.default_rng(7).normal(0, 0.01, (40, 8)))
    model = fed(made(8, B), close[:20])
    assert model.risk() is not None
    model.on_reference(reference("exposures", exposures(8, 3), ts=day(20)))
    assert model.risk() is None
    for k in range(20, 40):
        model.on_bars(bars(day(k), close[k]))
        assert (model.risk() is None) == (k < 30)


def test_an_heir_takes_the_exposures_that_the_feed_has_not_given_it() -> None:
    B, close = exposures(4, 2), closes(np.random.default_rng(8).normal(0, 0.01, (30, 4)))
    B[3] = NAN
    close[:20, 3], close[20:, 1] = NAN, NAN
    model = fed(made(4, B), close, {20: act(ActionKind.SYMBOL_CHANGE, 1, ratio=1.0, successor=3)})
    risk = model.risk()
    assert risk is not None
    np.testing.assert_array_equal(risk.factors[3], B[1])
    fresh = made(4)
    fresh.load(model.save())
    assert fresh.save() == model.save()


def test_half_lives_act_on_factors_and_residuals_apart() -> None:
    rng = np.random.default_rng(9)
    B, f, u = exposures(30, 2), rng.normal(0, 0.01, (60, 2)), rng.normal(0, 0.01, (60, 30))
    f[50:] *= 5
    close = closes(f @ B.T + u)
    how: dict[str, Any] = {"window": 60}
    plain = fed(made(30, B, **how), close).risk()
    quick = fed(made(30, B, **how, factor_half_life=4), close).risk()
    own = fed(made(30, B, **how, specific_half_life=4), close).risk()
    assert plain is not None
    assert quick is not None
    assert own is not None
    assert np.trace(quick.covariance) > 2 * np.trace(plain.covariance)
    np.testing.assert_array_equal(own.covariance, plain.covariance)
    np.testing.assert_array_equal(quick.specific, plain.specific)
    assert not np.array_equal(own.specific, plain.specific)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("exposures", np.ones((3, 2)), r"exposures at 0 has shape \(3, 2\); it must be a row for each of 4 symbols"),
        ("regression_weights", np.ones((4, 2)), "regression_weights at 0 has 2 columns; it must be one"),
        ("regression_weights", [[1], [-2], [1], [1]], "regression_weights at 0 is -2 in row 1; it must be at least 0"),
        ("specific_variance", [[1], [1], [1], [-1e-3]], "specific_variance at 0 is -0.001 in row 3"),
        ("factor_covariance", np.ones((2, 3)), r"factor_covariance at 0 has shape \(2, 3\); it must be square"),
        ("factor_covariance", [[1, 0.5], [0.4, 1]], "factor_covariance at 0 is not symmetric; it must be symmetric"),
        ("factor_covariance", [[1, 2], [2, 1]], "factor_covariance at 0 has the eigenvalue -1; it must be positive"),
        ("factor_covariance", [[1, NAN], [NAN, 1]], "factor_covariance at 0 has a number that is not finite"),
    ],
)
def test_what_cannot_be_is_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(4).on_reference(reference(name, value))


def test_a_covariance_of_other_factors_than_the_exposures_is_named() -> None:
    model = made(4, exposures(4, 2))
    model.on_reference(reference("factor_covariance", np.eye(3)))
    with pytest.raises(DataError, match="exposures have 2 columns and factor_covariance is 3 x 3; give both of the"):
        model.on_bars(bars(day(0), np.ones(4)))


def test_a_covariance_in_another_order_than_the_exposures_is_named() -> None:
    model = made(4)
    model.on_reference(reference("exposures", exposures(4, 2), ("market", "value")))
    model.on_reference(reference("factor_covariance", np.eye(2), ("value", "market")))
    with pytest.raises(DataError, match="columns market, value and factor_covariance value, market; give both of the"):
        model.on_bars(bars(day(0), np.ones(4)))


def test_everything_given_is_saved() -> None:
    model = made(3)
    columns = ("market", "value")
    model.on_reference(reference("exposures", exposures(3, 2), columns))
    model.on_reference(reference("factor_covariance", np.diag([1e-4, 2e-4]), columns))
    model.on_reference(reference("specific_variance", np.full((3, 1), 1e-4)))
    model.on_reference(reference("regression_weights", np.ones((3, 1))))
    fresh = made(3)
    fresh.load(model.save())
    assert fresh.save() == model.save()
    np.testing.assert_array_equal(dense(fresh.risk()), dense(model.risk()))


def test_references_of_other_names_are_passed_over() -> None:
    model = made(4)
    before = model.save()
    model.on_reference(reference("sectors", np.ones((7, 1))))
    assert model.save() == before


def test_state_saved_amid_references_and_actions_goes_on_to_the_last_bit() -> None:
    rng = np.random.default_rng(10)
    close = closes(rng.normal(0, 0.01, (40, 5)))
    close[rng.random(close.shape) < 0.05] = NAN
    close[:22, 4], close[22:, 2] = NAN, NAN
    first, second = exposures(5, 2), exposures(5, 3)
    first[4] = NAN

    def step(model: GivenFactors, k: int) -> Any:
        if k == 3:
            model.on_reference(reference("exposures", first, ("m", "a")))
        if k == 14:
            model.on_reference(reference("regression_weights", np.arange(1.0, 6.0)[:, None]))
        if k == 22:
            model.on_actions(act(ActionKind.SYMBOL_CHANGE, 2, ratio=1.0, successor=4))
        if k == 26:
            model.on_reference(reference("exposures", second, ("m", "a", "b")))
        model.on_bars(bars(day(k), close[k]))
        return model.risk()

    how: dict[str, Any] = {"window": 12, "min_slices": 6, "factor_half_life": 5, "lags": 1}
    straight, broken, answers = made(5, **how), made(5, **how), 0
    for k in range(41):
        fresh = made(5, **how)
        fresh.load(broken.save())
        broken = fresh
        one, two = step(straight, k), step(broken, k)
        assert (one is None) == (two is None)
        if one is not None:
            answers += 1
            for name in ("factors", "covariance", "specific"):
                np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert straight.save() == broken.save()
    assert answers > 20
