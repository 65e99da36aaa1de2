"""Sorting networks for nested windows: which rows to compare, in which order, whatever the values are.

A network sorts every column of a matrix by the same comparisons, so that a compiled loop over columns has no branches.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def nested_sort(sizes: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Comparisons (K, 2) that sort the first sizes[0] rows, then the first sizes[1], ..., and where each part ends.

    A comparison (i, j), i < j, puts the smaller value at row i. `sizes` ascend. Batcher's odd-even merge: about
    n log(n)^2 / 4 comparisons for n rows.

    Source: Batcher (1968), Sorting networks and their applications, AFIPS 32.

    >>> pairs, ends = nested_sort((2, 3))
    >>> pairs.tolist(), ends.tolist()
    ([[0, 1], [0, 2], [1, 2]], [1, 3])
    """
    pairs: list[tuple[int, int]] = []
    ends: list[int] = []
    sorted_rows = 0
    for size in sizes:
        pairs += [(sorted_rows + i, sorted_rows + j) for i, j in _sort(size - sorted_rows)]
        pairs += _merge(sorted_rows, size - sorted_rows)
        ends.append(len(pairs))
        sorted_rows = size
    return np.array(pairs, np.int64).reshape(-1, 2), np.array(ends, np.int64)


def _sort(n: int) -> Iterator[tuple[int, int]]:
    """Sorts n rows: halves first, then their merge."""
    if n < 2:
        return
    half = n // 2
    yield from _sort(half)
    yield from ((half + i, half + j) for i, j in _sort(n - half))
    yield from _merge(half, n - half)


def _merge(first: int, second: int) -> Iterator[tuple[int, int]]:
    """Merges sorted rows [0, first) and [first, first + second).

    Both are thought of as halves of a power of two, the first filled up in front with values below all others, the
    second behind with values above all others. Neither ever moves, so their comparisons are left out.
    """
    if not first or not second:
        return
    half = 1
    while half < max(first, second):
        half *= 2
    start = half - first
    for i, j in _merge_whole(0, 2 * half, 1):
        if i >= start and j < half + second:
            yield i - start, j - start


def _merge_whole(low: int, n: int, step: int) -> Iterator[tuple[int, int]]:
    """Odd-even merge of the rows low, low + step, ... of n rows, a power of two."""
    double = 2 * step
    if double >= n:
        yield low, low + step
        return
    yield from _merge_whole(low, n, double)
    yield from _merge_whole(low + step, n, double)
    for i in range(low + step, low + n - step, double):
        yield i, i + step
