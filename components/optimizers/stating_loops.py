"""The loops of `stating`, compiled at the first call and kept by numba."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def narrowest(boxes, places):  # type: ignore[no-untyped-def]
    """The tightest of lower and upper bounds (B, 2, N), and the place of the box that set each, -1 = none, (N,)."""
    n = boxes.shape[2]
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    lower_by, upper_by = np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    for b in range(len(boxes)):
        for i in range(n):
            if boxes[b, 0, i] > lower[i]:
                lower[i], lower_by[i] = boxes[b, 0, i], places[b]
            if boxes[b, 1, i] < upper[i]:
                upper[i], upper_by[i] = boxes[b, 1, i], places[b]
    return lower, upper, lower_by, upper_by
