"""Attribution: effects add up, textbook figures, planted factors found, coefficients between -1 and 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.metrics.attribution import Regression, brinson, carino, transfer_coefficients
from engine.events import Vector


def transfer_coefficient(active: Vector, opinion: Vector, volatility: Vector) -> float:
    return float(transfer_coefficients(active[None], opinion, volatility)[0])


def test_the_effects_of_a_textbook_table() -> None:
    """Bacon (2008), Practical portfolio performance measurement and attribution, table 5.1: three countries."""
    w, b = np.array([0.4, 0.3, 0.3]), np.array([0.4, 0.2, 0.4])
    r, base = np.array([0.20, -0.05, 0.06]), np.array([0.10, -0.04, 0.08])
    names = np.array([0, 1, 2, 0, 1, 2], np.int32)
    weight = np.concatenate([w, np.zeros(3)])  # one name of each country is held, the other makes the benchmark
    benchmark = np.concatenate([np.zeros(3), b])
    found = brinson(weight, benchmark, np.concatenate([r, base]), names, 3)
    np.testing.assert_allclose(found.allocation[:3], [0.0, -0.0104, -0.0016], atol=1e-12)
    np.testing.assert_allclose(found.selection[:3], [0.04, -0.002, -0.008], atol=1e-12)
    np.testing.assert_allclose(found.interaction[:3], [0.0, -0.001, 0.002], atol=1e-12)
    assert sum(effect.sum() for effect in found) == pytest.approx(0.083 - 0.064)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_all_effects_are_the_difference_whatever_the_weights(seed: int, short: bool) -> None:
    rng = np.random.default_rng(seed)
    n, count = 12, 4
    weight = rng.normal(0, 0.2, n) if short else rng.dirichlet(np.ones(n)) * rng.uniform(0.2, 1.3)
    weight[rng.random(n) < 0.4] = 0.0
    benchmark = rng.dirichlet(np.ones(n)) * (rng.random() < 0.9)
    growth = rng.normal(0, 0.05, n)
    found = brinson(weight, benchmark, growth, rng.integers(0, count, n).astype(np.int32), count)
    total = sum(float(effect.sum()) for effect in found)
    assert total == pytest.approx(weight @ growth - benchmark @ growth, abs=1e-14)
    assert all(np.isfinite(effect).all() for effect in found)


def test_sectors_whose_weights_cancel_have_selection_and_no_explosion() -> None:
    weight = np.array([0.5, -0.5 + 1e-15, 0.0])
    found = brinson(weight, np.array([0.0, 0.0, 1.0]), np.array([0.1, -0.1, 0.02]), np.array([0, 0, 1], np.int32), 2)
    assert found.selection[0] == pytest.approx(0.1)
    assert found.interaction[0] == 0.0


def test_linked_effects_add_up_to_the_whole_difference() -> None:
    rng = np.random.default_rng(1)
    r, b = rng.normal(0.001, 0.02, 250), rng.normal(0.0, 0.02, 250)
    b[7] = r[7]
    R, B = np.prod(1 + r) - 1, np.prod(1 + b) - 1
    factor = carino(r, b) / carino(R, B)
    assert (factor * (r - b)).sum() == pytest.approx(R - B, rel=1e-12)


def test_planted_factor_returns_are_found_and_the_sum_is_the_active_return() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(0, 1, (60, 3))
    f, market = np.array([0.01, -0.02, 0.005]), 0.003
    growth = X @ f + market
    active = rng.normal(0, 0.02, 60)
    effects, specific = Regression(X).effects(active, growth)
    np.testing.assert_allclose(effects, [*(active @ X) * f, active.sum() * market], atol=1e-14)
    assert specific == pytest.approx(0.0, abs=1e-14)
    X[5] = np.nan
    growth[5] = 0.5
    effects, specific = Regression(X).effects(active, growth)
    assert effects.sum() + specific == pytest.approx(active @ growth, abs=1e-14)
    assert specific == pytest.approx(active[5] * 0.5, abs=1e-12)


def test_every_opinion_in_proportion_transfers_whole_and_a_floor_costs() -> None:
    rng = np.random.default_rng(3)
    z, sigma = rng.normal(0, 1, 200), rng.uniform(0.01, 0.04, 200)
    free = z / sigma * 1e-3
    assert transfer_coefficient(free, z, sigma) == pytest.approx(1.0)
    assert transfer_coefficient(-free, z, sigma) == pytest.approx(-1.0)
    assert 0.3 < transfer_coefficient(np.maximum(free, -0.005), z, sigma) < 0.99
    assert np.isnan(transfer_coefficient(np.zeros(200), z, sigma))
    assert np.isnan(transfer_coefficient(free[:2], z[:2], sigma[:2]))
