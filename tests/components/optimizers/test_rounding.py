"""Whole lots: within a lot, no sign changed, no more spent, and as close in risk as brute force finds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.optimizers.rounding import Grid, rounded_shares
from engine.protocols import Risk


def risk_of(rng: np.random.Generator, n: int, k: int = 2) -> Risk:
    return Risk(factors=rng.normal(0, 0.01, (n, k)), covariance=np.eye(k), specific=rng.uniform(1e-5, 4e-4, n))


def case(seed: int, n: int) -> tuple[np.ndarray, Grid, Risk]:
    rng = np.random.default_rng(seed)
    lot = rng.choice([1.0, 10.0, 100.0], n)
    position = np.round(rng.normal(0, 3, n)) * lot * (rng.random(n) < 0.6)
    shares = position + rng.normal(0, 2.5, n) * lot
    shares[rng.random(n) < 0.15] = np.nan
    shares[rng.random(n) < 0.15] = 0.0
    return shares, Grid(position, lot, rng.uniform(1e-4, 1e-2, n) / lot), risk_of(rng, n)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 24), st.sampled_from(["toward", "nearest", "tracking"]))
def test_within_a_lot_no_sign_changed_and_what_is_left_alone_stays(seed: int, n: int, how: str) -> None:
    shares, grid, risk = case(seed, n)
    found = rounded_shares(shares, grid, risk, how)  # type: ignore[arg-type]
    known = ~np.isnan(shares)
    assert (np.isnan(found.shares) == ~known).all()
    x, y = shares[known], found.shares[known]
    assert (np.abs(y - x) < grid.lot[known] * (1 + 1e-9)).all()
    assert (x * y >= 0).all()
    assert (y[x == 0] == 0).all()
    start = grid.position[known] * (x * grid.position[known] > 0)
    trades = (y - start) / grid.lot[known]
    assert (np.isclose(trades, np.rint(trades)) | (y == 0)).all()
    if how != "toward":
        assert ((y - x) * grid.weight[known]).sum() <= 1e-12
    assert found.error >= found.bound * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(25))
def test_few_names_are_rounded_as_well_as_any_combination(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 7
    shares, lot, weight = rng.uniform(0.2, 9.0, n), np.ones(n), rng.uniform(1e-3, 2e-2, n)
    risk = risk_of(rng, n)
    found = rounded_shares(shares, Grid(np.zeros(n), lot, weight), risk, "tracking")
    S = risk.factors @ risk.factors.T + np.diag(risk.specific)
    best = np.inf
    for ups in itertools.product((0, 1), repeat=n):
        e = (np.floor(shares) + np.array(ups) - shares) * weight
        if e.sum() <= 0:
            best = min(best, float(np.sqrt(e @ S @ e)))
    assert found.error == pytest.approx(best, rel=1e-12)


def test_many_names_come_near_the_bound_and_beat_cutting_each_trade() -> None:
    rng = np.random.default_rng(3)
    n = 300
    shares, weight = rng.uniform(0.5, 30.0, n), rng.uniform(1e-4, 2e-3, n)
    grid, risk = Grid(np.zeros(n), np.ones(n), weight), risk_of(rng, n, 8)
    by = {how: rounded_shares(shares, grid, risk, how).error for how in ("toward", "nearest", "tracking")}  # type: ignore[arg-type]
    bound = rounded_shares(shares, grid, risk, "tracking").bound
    assert by["tracking"] < by["nearest"] < by["toward"]
    assert by["tracking"] < 1.25 * bound


def test_the_order_of_symbols_does_not_matter() -> None:
    shares, grid, risk = case(11, 20)
    order = np.random.default_rng(0).permutation(20)
    one = rounded_shares(shares, grid, risk, "tracking").shares
    moved = Risk(factors=risk.factors[order], covariance=risk.covariance, specific=risk.specific[order])
    other = Grid(grid.position[order], grid.lot[order], grid.weight[order])
    np.testing.assert_array_equal(rounded_shares(shares[order], other, moved, "tracking").shares, one[order])


def test_whole_shares_and_exits_of_odd_lots_are_left_as_they_are() -> None:
    grid = Grid(np.array([7.5, 30.0, -12.0]), np.full(3, 10.0), np.full(3, 1e-3))
    found = rounded_shares(np.array([0.0, 50.0, -12.0]), grid, None, "tracking")
    np.testing.assert_array_equal(found.shares, [0.0, 50.0, -12.0])
    assert found.error == 0.0
