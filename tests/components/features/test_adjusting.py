"""Factors that make past prices comparable."""

import numpy as np

from components.features.adjusting import price_factor, share_factor
from engine.events import Actions


def actions(*rows: tuple[int, int, float, float]) -> Actions:
    """Rows of kind, symbol, ratio, amount."""
    kind, symbol, ratio, amount = zip(*rows, strict=True)
    none = np.zeros(len(rows), np.int64)
    return Actions(
        ts=1,
        kind=np.array(kind, np.int32),
        symbol=np.array(symbol, np.int32),
        ratio=np.array(ratio, float),
        amount=np.array(amount, float),
        pay_at=none,
        successor=none.astype(np.int32),
    )


def test_a_dividend_after_a_split_of_the_same_day_is_measured_by_the_split_price():
    both = actions((0, 0, 2.0, 0.0), (1, 0, 1.0, 5.0))
    np.testing.assert_allclose(price_factor(both, np.array([100.0])), [0.5 * (1 - 5 / 50)])


def test_a_dividend_above_the_price_or_without_one_adjusts_nothing():
    both = actions((1, 0, 1.0, 20.0), (1, 1, 1.0, 1.0))
    np.testing.assert_array_equal(price_factor(both, np.array([10.0, np.nan])), [1.0, 1.0])


def test_delistings_and_new_symbols_adjust_nothing():
    both = actions((2, 0, 1.0, 3.0), (3, 1, 4.0, 0.0))
    np.testing.assert_array_equal(price_factor(both, np.array([10.0, 10.0])), [1.0, 1.0])
    np.testing.assert_array_equal(share_factor(both, 2), [1.0, 1.0])


def test_two_splits_multiply():
    both = actions((0, 0, 2.0, 0.0), (0, 0, 3.0, 0.0))
    np.testing.assert_allclose(price_factor(both, np.array([60.0])), [1 / 6])
    np.testing.assert_allclose(share_factor(both, 1), [6.0])
