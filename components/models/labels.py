"""Labels made comparable across the names of one slice."""

import numpy as np

from engine.events import Matrix


def ranked(label: Matrix) -> Matrix:
    """(T, N) rank of each label within its slice, spread evenly over [-0.5, 0.5]; NaN stays, and a lone name has 0.

    Equal labels share their average rank.

    >>> ranked(np.array([[0.3, np.nan, -0.1, 0.1], [0.0, 0.0, 1.0, np.nan]]))
    array([[ 0.5 ,   nan, -0.5 ,  0.  ],
           [-0.25, -0.25,  0.5 ,   nan]])
    """
    out = np.full(label.shape, np.nan)
    for t, row in enumerate(label):
        known = np.flatnonzero(np.isfinite(row))
        if not known.size:
            continue
        _, group, count = np.unique(row[known], return_inverse=True, return_counts=True)
        last = np.cumsum(count)  # ranks from 1; a group of equals covers last - count + 1 .. last
        rank = (2 * last - count + 1)[group] / 2.0
        out[t, known] = (rank - 1.0) / max(len(known) - 1, 1) - (0.5 if len(known) > 1 else 0.0)
    return out


def standardised(label: Matrix) -> Matrix:
    """(T, N) label less the mean of its slice, over its standard deviation there; NaN stays, no spread gives 0.

    >>> standardised(np.array([[1.0, 3.0, np.nan], [2.0, 2.0, 2.0]]))
    array([[-1.,  1., nan],
           [ 0.,  0.,  0.]])
    """
    out = np.full(label.shape, np.nan)
    for t, row in enumerate(label):
        known = np.isfinite(row)
        if known.any():
            off = row[known] - row[known].mean()
            spread = off.std()
            out[t, known] = off / spread if spread > 0 else 0.0
    return out


def raw(label: Matrix) -> Matrix:
    """(T, N) the labels as they are; what is not finite is NaN."""
    return np.where(np.isfinite(label), label, np.nan)


def above(label: Matrix) -> Matrix:
    """(T, N) 1 where a label is above the mean of its slice, 0 where not; NaN stays.

    >>> above(np.array([[0.3, np.nan, -0.1, 0.0]]))
    array([[ 1., nan,  0.,  0.]])
    """
    known = np.isfinite(label)
    count = known.sum(axis=1, keepdims=True)
    mean = np.where(known, label, 0.0).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    return np.where(known, np.where(label > mean, 1.0, 0.0), np.nan)


def graded(label: Matrix, grades: int) -> Matrix:
    """(T, N) from 0, the worst of its slice, to grades - 1, the best, as evenly as ranks allow; NaN stays.

    >>> graded(np.array([[0.3, np.nan, -0.1, 0.1, 0.2]]), 2)
    array([[ 1., nan,  0.,  0.,  1.]])
    """
    share = ranked(label) + 0.5
    return np.minimum(np.floor(share * grades), grades - 1.0)
