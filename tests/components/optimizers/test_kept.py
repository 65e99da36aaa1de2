"""What optimizers compute once and keep: it must be what computing it anew gives."""

import numpy as np
import pytest

from components.optimizers.narrowing import Narrowing
from components.optimizers.situating import Surroundings
from components.optimizers.stating import Stack, exposures, marginal, product, volatilities
from engine.protocols import Risk
from engine.state import pack, unpack
from engine.universe import universe_of
from tests.components.optimizers.drawn import problem
from tests.make import bars, book, day, market, target


def drawn_risk(n: int, k: int, rank: int) -> Risk:
    rng = np.random.default_rng(n + k)
    half = rng.normal(size=(k, rank))
    factors = rng.normal(size=(n, k)) * 0.01
    return Risk(factors=factors, covariance=half @ half.T, specific=rng.uniform(1, 2, n) * 1e-4)


def common(risk: Risk) -> np.ndarray:
    dense: np.ndarray = risk.factors @ risk.covariance @ risk.factors.T
    return dense


@pytest.mark.parametrize(("n", "k", "rank"), [(12, 3, 3), (12, 5, 2), (12, 24, 24), (12, 24, 6)])
def test_what_a_risk_decides_is_that_of_its_covariance(n: int, k: int, rank: int) -> None:
    """Few factors and many, a covariance of them that is regular or singular; and twice, as kept."""
    risk, rng = drawn_risk(n, k, rank), np.random.default_rng(1)
    S = common(risk)
    for _ in range(2):
        np.testing.assert_allclose(exposures(risk) @ exposures(risk).T, S, atol=1e-12)
        np.testing.assert_allclose(volatilities(risk), np.sqrt(np.diag(S) + risk.specific), rtol=1e-10)
        C = product(risk)
        assert (C is None) == (k <= 0.8 * n)
        if C is not None:
            np.testing.assert_allclose(C, S, atol=1e-12)
        for x in (rng.normal(size=n), np.eye(n)[3], np.zeros(n)):
            np.testing.assert_allclose(marginal(risk, x), S @ x + risk.specific * x, atol=1e-12)
            assert not marginal(risk, x).flags.writeable


def test_another_vector_at_the_same_place_is_multiplied_anew() -> None:
    risk, x = drawn_risk(8, 3, 3), np.ones(8)
    first = marginal(risk, x).copy()
    x *= 2.0
    np.testing.assert_allclose(marginal(risk, x), 2.0 * first)


@pytest.mark.parametrize("k", [3, 24])
def test_the_risk_of_fewer_names_is_theirs(k: int) -> None:
    risk = drawn_risk(12, k, k)
    fixed = np.arange(12) % 3 == 0
    lower, upper = np.where(fixed, 0.05, 0.0), np.where(fixed, 0.05, 1.0)
    narrow = Narrowing()(problem(np.zeros(12), risk=risk, aversion=5.0, lower=lower, upper=upper))
    assert narrow is not None
    assert narrow.problem.risk is not None
    S = common(risk)[np.ix_(~fixed, ~fixed)]
    x = np.random.default_rng(2).normal(size=int((~fixed).sum()))
    np.testing.assert_allclose(marginal(narrow.problem.risk, x), S @ x + risk.specific[~fixed] * x, atol=1e-12)


def test_rows_are_put_together_anew_when_one_of_them_is_another() -> None:
    stack, one, other = Stack(), np.ones((1, 4)), np.eye(4)
    first = stack([one, other])
    assert stack([one, other]) is first
    np.testing.assert_array_equal(stack([one, 2.0 * other]), np.vstack([one, 2.0 * other]))
    np.testing.assert_array_equal(stack([one]), one)


def test_mean_money_traded_is_of_the_slices_that_are_known() -> None:
    slices, universe = market(5, 30, holes=0.3), universe_of(tuple("ABCDE"))
    around = Surroundings(universe, benchmark="none", slices=8)
    for k, one in enumerate(slices):
        around.on_bars(one)
        if k == 20:
            saved = unpack(pack("x", 1, symbols=universe.symbols, **around.save()), "x", 1)
            around = Surroundings(universe, benchmark="none", slices=8)
            around.load(saved)
        if k < 20:
            continue
        money = np.array([bar.close * bar.volume for bar in slices[k - 7 : k + 1]])
        known = np.isfinite(money)
        counts = known.sum(axis=0)
        expected = np.where(counts > 0, np.where(known, money, 0.0).sum(axis=0) / np.maximum(counts, 1), np.nan)
        now = book(day(k), np.full(5, 10.0))
        np.testing.assert_allclose(around.situation((target(day(k), np.ones(5) / 5),), now, None, 0.0).traded, expected)


def test_money_traded_begins_anew_where_a_name_has_no_bar() -> None:
    around = Surroundings(universe_of(("A", "B")), benchmark="none", slices=2)
    for k, close in enumerate(([1.0, 2.0], [1.0, np.nan], [1.0, np.nan])):
        around.on_bars(bars(day(k), close=close))
    now = book(day(3), [1.0, 2.0])
    traded = around.situation((target(day(3), [0.5, 0.5]),), now, None, 0.0).traded
    np.testing.assert_allclose(traded, [1e6, np.nan])
