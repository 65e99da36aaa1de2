"""What comes before and after the steps of the structured kernel, compiled at the first call and kept by numba."""

import numpy as np
from numba import njit

from components.optimizers.kernel_loops import largest
from components.optimizers.kernel_newton import answered, newton


@njit(nogil=True, cache=True, error_model="numpy")
def bounding(costs, d, u, prices, w):  # type: ignore[no-untyped-def]
    """(N,) multipliers of the bounds at weights w: what is left of u - d w beyond all costs, 0 between the bounds."""
    slopes, places, box = costs.slopes, costs.places, np.zeros(len(w))
    for i in range(len(w)):
        left, right = 0, 0
        for j in range(len(places)):
            left = j + 1 if w[i] > places[j, i] else left
            right = j + 1 if w[i] >= places[j, i] else right
        low, high, over = slopes[left, i], slopes[right, i], u[i] - d[i] * w[i]
        for c in range(len(prices)):
            low += prices[c] * costs.sides[c, left, i]
            high += prices[c] * costs.sides[c, right, i]
        if len(costs.k) > 0:
            moved = w[i] - costs.w0[i]
            over -= 1.5 * costs.k[i] * np.sqrt(abs(moved)) * np.sign(moved)
        over -= min(max(over, low), high)
        if (w[i] >= costs.upper[i] and over > 0) or (w[i] <= costs.lower[i] and over < 0):
            box[i] = over
    return box


@njit(nogil=True, cache=True, error_model="numpy")
def limited(rows, square, caps, n, mean):  # type: ignore[no-untyped-def]
    """Of rows (3, m) and then of caps: low, high, price, least, most, norm, whole, (r,) each, as `Stage` has them.

    `square` (m,) are squared lengths of rows, `caps` limits and prices (c,), `mean` that of 1 / d over n names.
    """
    m, r = rows.shape[1], rows.shape[1] + len(caps[0])
    low, high, price, least, most = np.empty(r), np.empty(r), np.empty(r), np.zeros(r), np.zeros(r)
    norm, whole = np.empty(r), np.empty(r)
    for k in range(r):
        if k < m:
            low[k], high[k], price[k], norm[k] = rows[0, k], rows[1, k], rows[2, k], np.sqrt(square[k])
        else:
            low[k], high[k], price[k], norm[k] = -np.inf, caps[0][k - m], caps[1][k - m], np.sqrt(n)
        if low[k] != -np.inf:
            least[k] = -price[k]
        if high[k] != np.inf:
            most[k] = price[k]
        if norm[k] == 0:
            norm[k] = 1.0
        whole[k] = norm[k] * norm[k] * mean
    return low, high, price, least, most, norm, whole


@njit(nogil=True, cache=True, error_model="numpy")
def started(costs, limits, dual, y, z, track):  # type: ignore[no-untyped-def]
    """`newton` from a state and multipliers, these put between 0 and their prices."""
    z = np.minimum(np.maximum(z, limits.least), limits.most)
    u, w = answered(costs, dual, y, z)
    track.largest[0] = largest(z, dual.norm, True)
    return newton(costs, limits, dual, (y, z, u, w), track)
