"""Whole lots keep every limit that the weights keep, or it is told which one no lots nearby keep."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.optimizers.problem import Limits
from components.optimizers.rounding import rounded_shares
from components.optimizers.rounding_limits import Grid
from tests.components.optimizers.test_rounding import risk_of

HOW = ["toward", "nearest", "tracking"]
NEAR = 1e-6  # of equity


def limits(n: int, **given: Any) -> Limits:
    plain = {"lower": np.full(n, -np.inf), "upper": np.full(n, np.inf), "A": np.zeros((0, n))}
    rows = {"low": np.zeros(0), "high": np.zeros(0), "names": ()}
    found = plain | rows | given
    return Limits(**found, row_by=np.arange(len(found["names"]), dtype=np.int32))


def drawn(seed: int, n: int) -> tuple[np.ndarray, Grid, Limits]:
    """Weights that sit on many of their limits, as an optimum does, and lots of up to a third of a weight."""
    rng = np.random.default_rng(seed)
    price, lot = rng.lognormal(3, 1, n), rng.choice([1.0, 10.0], n)
    weight = price / 10 ** rng.uniform(3.5, 6)
    position = np.floor(rng.uniform(0, 1.5 / n, n) / weight / lot) * lot * (rng.random(n) < 0.7)
    w, w0 = rng.dirichlet(np.ones(n)) * rng.uniform(0.5, 1), position * weight
    w = np.where(rng.random(n) < 0.3, w0, w)
    A = np.vstack([np.ones(n), np.arange(n) % 2, rng.normal(size=n)])
    value, gap = A @ w, rng.choice([0.0, 0.02], 3)
    side = rng.random(n)
    found = limits(
        n,
        lower=np.where(side < 0.2, w, 0.0),
        upper=np.where(side > 0.7, w, np.inf),
        A=A,
        low=value - 0.5,
        high=value + gap,
        names=("budget", "sectors", "exposures"),
        turnover=float(np.abs(w - w0).sum()) + rng.choice([0.0, 0.1]),
        gross=float(w.sum()) if rng.random() < 0.5 else np.inf,
    )
    return w / weight, Grid(position, lot, weight), found


def broken(y: np.ndarray, x: np.ndarray, grid: Grid, limits: Limits, near: float = NEAR) -> set[str]:
    w, w0 = y * grid.weight, grid.position * grid.weight
    wanted = x * grid.weight
    said = {"bounds"} if ((w > np.maximum(limits.upper, wanted) + near) | (w < limits.lower - near)).any() else set()
    value, step = limits.A @ w, (np.abs(limits.A) * grid.lot * grid.weight).max(axis=1)
    binds = 1 + np.count_nonzero((value >= limits.high - step) | (value <= limits.low + step)) + 2
    step = np.where(np.ptp(limits.A, axis=1) == 0, step * binds, step)
    narrow = (limits.high - limits.low < step) | (np.ptp(limits.A, axis=1) == 0)
    low = limits.low - np.where(narrow, step, 0.0)
    said |= {limits.names[j] for j in np.flatnonzero((value > limits.high + near) | (value < low - near))}
    said |= {"turnover"} if np.abs(w - w0).sum() > limits.turnover + near else set()
    return said | ({"gross"} if np.abs(w).sum() > limits.gross + near else set())


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from(HOW))
def test_limits_hold_after_rounding_or_are_told(seed: int, n: int, how: Any) -> None:
    x, grid, limit = drawn(seed, n)
    found = rounded_shares(x, grid, risk_of(np.random.default_rng(seed), n), how, limit)
    y = found.shares
    assert broken(y, x, grid, limit) <= {missed.name for missed in found.missed}
    assert (x * y >= 0).all()
    assert ((y - grid.position) * (x - grid.position) >= 0).all()  # no trade is turned round
    if how != "toward" and not any(missed.name == "money" for missed in found.missed):
        assert ((y - x) * grid.weight).sum() <= NEAR
    for missed in found.missed:
        assert missed.by > 0
        assert len(missed.rows) == len(missed.errors) > 0


def test_hardly_ever_is_a_limit_told_that_lots_nearby_could_keep() -> None:
    """Of 300 problems of 30 names that sit on limits of five kinds at once."""
    told = 0
    for seed in range(300):
        x, grid, limit = drawn(seed, 30)
        told += bool(rounded_shares(x, grid, risk_of(np.random.default_rng(seed), 30), "tracking", limit).missed)
    assert told <= 30


@pytest.mark.parametrize("seed", range(20))
def test_few_names_are_within_the_limits_wherever_a_combination_is(seed: int) -> None:
    x, grid, limit = drawn(seed, 6)
    risk = risk_of(np.random.default_rng(seed), 6)
    found = rounded_shares(x, grid, risk, "tracking", limit)
    S, best = risk.factors @ risk.factors.T + np.diag(risk.specific), np.inf
    start = grid.position
    low = start + np.floor((x - start) / grid.lot + 1e-9) * grid.lot
    for ups in itertools.product((0, 1), repeat=6):
        y = np.where(np.isclose(x, np.rint(x)), x, np.maximum(low + np.array(ups) * grid.lot, 0.0))
        e = (y - x) * grid.weight
        strict = (limit.A @ (y * grid.weight) >= limit.low - 1e-9).all()
        if e.sum() <= 1e-13 and strict and not broken(y, x, grid, limit, 1e-12):
            best = min(best, float(np.sqrt(e @ S @ e)))
    if np.isfinite(best):
        assert found.missed == ()
        assert found.error <= best + 1e-12


def test_a_lot_larger_than_the_limit_is_not_bought_and_told() -> None:
    grid = Grid(np.zeros(2), np.array([100.0, 1.0]), np.array([0.001, 0.001]))
    found = rounded_shares(
        np.array([40.0, 30.5]), grid, None, "tracking", limits(2, lower=np.array([0.02, 0.0]), upper=np.full(2, 0.05))
    )
    np.testing.assert_array_equal(found.shares, [0.0, 30.0])
    (missed,) = found.missed
    assert (missed.name, missed.rows.tolist()) == ("bounds", [0])
    assert missed.errors == pytest.approx([-0.04])


def test_positions_and_trades_are_none_or_not_too_small() -> None:
    grid = Grid(np.array([0.0, 50.0, 0.0]), np.ones(3), np.full(3, 0.001))
    least = limits(3, least_weight=np.array([0.0105, 0.0, 0.0]), least_trade=np.array([0.0, 0.0055, 0.0]))
    found = rounded_shares(np.array([10.6, 55.6, 7.9]), grid, None, "nearest", least)
    np.testing.assert_array_equal(found.shares, [11.0, 56.0, 7.0])
    found = rounded_shares(np.array([10.4, 55.4, 7.9]), grid, None, "toward", least)
    assert found.shares[0] in (0.0, 11.0)
    assert found.shares[1] in (50.0, 56.0)


def test_a_sum_that_must_be_exact_is_missed_by_less_than_a_lot_and_never_exceeded() -> None:
    rng = np.random.default_rng(0)
    n = 25
    w, price = rng.dirichlet(np.ones(n)), rng.uniform(20, 300, n)
    grid = Grid(np.zeros(n), np.ones(n), price / 1e5)
    full = limits(n, A=np.ones((1, n)), low=np.ones(1), high=np.ones(1), names=("budget",))
    found = rounded_shares(w / grid.weight, grid, risk_of(rng, n), "tracking", full)
    assert found.missed == ()
    assert 1.0 - grid.weight.max() <= found.shares @ grid.weight <= 1.0
