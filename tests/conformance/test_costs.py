"""What every cost model keeps: one list of cost models, one battery."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.costs.bps import Bps
from engine.events import FEE_KINDS
from engine.protocols import CostModel

Make = Callable[[], CostModel]
CASES: dict[str, Make] = {
    "free": Bps,
    "bps": lambda: Bps(commission_bps=5, slippage_bps=10),
    "bps_minimum_and_tax": lambda: Bps(commission_bps=5, slippage_bps=10, min_commission=1, tax_bps_sell=10),
}
pytestmark = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
trades = st.lists(st.tuples(st.integers(-10_000, 10_000), st.floats(0.01, 1e4)), min_size=0, max_size=30)


def columns(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([q for q, _ in rows], float), np.array([p for _, p in rows], float)


@given(rows=trades)
def test_shapes_and_signs(make: Make, rows: list[tuple[int, float]]) -> None:
    qty, reference = columns(rows)
    costs = make()
    price = costs.price(qty, reference)
    fees = costs.fees(qty, price)
    assert price.shape == qty.shape
    assert fees.shape == (len(qty), len(FEE_KINDS))
    assert (fees >= 0).all()
    assert (qty * (price - reference) >= 0).all()  # never better than the market
    assert (price > 0).all()


@given(rows=trades)
def test_inputs_are_not_changed(make: Make, rows: list[tuple[int, float]]) -> None:
    qty, reference = columns(rows)
    qty.flags.writeable = reference.flags.writeable = False
    make().fees(qty, make().price(qty, reference))


@given(rows=trades)
def test_a_trade_costs_the_same_in_whatever_company(make: Make, rows: list[tuple[int, float]]) -> None:
    qty, reference = columns(rows)
    costs = make()
    price = costs.price(qty, reference)
    fees = costs.fees(qty, price)
    for i in range(len(rows)):
        alone = costs.price(qty[i : i + 1], reference[i : i + 1])
        assert alone[0] == price[i]
        np.testing.assert_array_equal(costs.fees(qty[i : i + 1], alone)[0], fees[i])


def test_nothing_traded_costs_nothing(make: Make) -> None:
    assert not make().fees(np.zeros(3), np.full(3, 10.0)).any()


def test_a_missing_price_stays_missing_and_fees_are_not_invented(make: Make) -> None:
    costs = make()
    assert np.isnan(costs.price(np.array([1.0]), np.array([np.nan])))[0]


def test_the_rate_is_a_share(make: Make) -> None:
    assert 0 <= make().rate() < 1
