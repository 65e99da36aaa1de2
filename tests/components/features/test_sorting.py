"""Sorting networks: every prefix is sorted, whatever the values."""

from itertools import pairwise

import numpy as np
import pytest

from components.features.sorting import nested_sort


@pytest.mark.parametrize("sizes", [(1,), (4,), (2, 3), (3, 6), (5, 10, 20, 30, 60), (7, 50, 51, 130)])
def test_each_part_sorts_its_rows_and_touches_no_other(sizes: tuple[int, ...]) -> None:
    pairs, ends = nested_sort(sizes)
    rows = np.random.default_rng(0).integers(0, 20, (sizes[-1], 400)).astype(float)
    rows[np.random.default_rng(1).random(rows.shape) < 0.1] = np.inf
    rows[:, :200] = rows[:, :200] > 9  # a network that sorts all zeros and ones sorts everything
    given, begin = rows.copy(), 0
    for size, end in zip(sizes, ends, strict=True):
        for i, j in pairs[begin:end]:
            rows[i], rows[j] = np.minimum(rows[i], rows[j]), np.maximum(rows[i], rows[j])
        np.testing.assert_array_equal(rows[:size], np.sort(given[:size], axis=0))
        np.testing.assert_array_equal(rows[size:], given[size:])
        begin = end


def test_comparisons_go_upwards_and_are_few() -> None:
    pairs, ends = nested_sort((5, 10, 20, 30, 60))
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(pairs) == ends[-1] < 60 * 10
    assert all(a < b for a, b in pairwise(ends.tolist()))
