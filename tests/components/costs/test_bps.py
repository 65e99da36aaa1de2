"""Costs in basis points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.costs.bps import Bps
from engine.protocols import CostModel

some_qty = st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=20)


def test_slippage_goes_against_the_trader():
    price = Bps(slippage_bps=10).price(np.array([5.0, -5.0, 0.0]), np.array([100.0, 100.0, 100.0]))
    np.testing.assert_allclose(price, [100.1, 99.9, 100.0])


def test_commission_has_a_minimum_a_fill_and_none_without_a_trade():
    fees = Bps(commission_bps=10, min_commission=5).fees(np.array([100.0, 1.0, 0.0]), np.array([100.0, 100.0, 100.0]))
    np.testing.assert_allclose(fees, [[10, 0, 0], [5, 0, 0], [0, 0, 0]])


def test_rule_41_only_sales_pay_the_tax():
    fees = Bps(tax_bps_sell=50).fees(np.array([100.0, -100.0]), np.array([10.0, 10.0]))
    np.testing.assert_allclose(fees, [[0, 0, 0], [0, 0, 5]])


def test_a_missing_price_stays_missing():
    assert np.isnan(Bps(slippage_bps=3).price(np.array([1.0]), np.array([np.nan])))[0]


def test_no_costs_at_all_by_default():
    free = Bps()
    reference = np.array([3.0, 4.0])
    np.testing.assert_array_equal(free.price(np.array([1.0, -1.0]), reference), reference)
    assert not free.fees(np.array([1.0, -1.0]), reference).any()
    assert free.rate() == 0


@pytest.mark.parametrize("option", ["commission_bps", "slippage_bps", "min_commission", "tax_bps_sell"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_is_no_cost_is_refused(option, value):
    with pytest.raises(ValueError, match=f"{option} must be finite and at least 0"):
        Bps(**{option: value})


def test_slippage_of_the_whole_price_is_refused():
    with pytest.raises(ValueError, match="below 10000"):
        Bps(slippage_bps=10_000)


def test_it_fits_the_protocol():
    model: CostModel = Bps()
    assert model.rate() == 0


@given(qty=some_qty, bps=st.floats(0, 100), tax=st.floats(0, 100), slip=st.floats(0, 100))
def test_a_round_trip_costs_twice_the_rate(qty, bps, tax, slip):
    """Property, and the closed form of `rate`: buying and selling the same shares loses 2 rate, to second order."""
    costs = Bps(commission_bps=bps, slippage_bps=slip, tax_bps_sell=tax)
    q, p = np.abs(np.array(qty)), np.full(len(qty), 50.0)
    bought, sold = costs.price(q, p), costs.price(-q, p)
    lost = q @ (bought - sold) + costs.fees(q, bought).sum() + costs.fees(-q, sold).sum()
    worth = q @ p
    assert lost == pytest.approx(2 * costs.rate() * worth, rel=0.02, abs=1e-9)


@given(qty=some_qty)
def test_fees_are_never_negative_and_grow_with_size(qty):
    costs = Bps(commission_bps=5, min_commission=1, tax_bps_sell=10)
    q, p = np.array(qty), np.full(len(qty), 20.0)
    fees = costs.fees(q, p)
    assert fees.shape == (len(q), 3)
    assert (fees >= 0).all()
    assert (costs.fees(2 * q, p).sum(axis=1) >= fees.sum(axis=1)).all()
