"""What `certificate` and `shadow` say of the usual problem, name by name: compiled at the first call, kept by numba.

The usual problem has rows, bounds, kinks and impact; its answer has the multipliers of all. Beside it stands the same
in arrays, for problems that have more.
"""

import numpy as np
from numba import njit

from components.optimizers.kernel_loops import pushed


@njit(nogil=True, cache=True, error_model="numpy")
def wished(i, u, d, between):  # type: ignore[no-untyped-def]
    """The weight of name i at price u without bounds: `kernel_names.Names.respond` of one name."""
    places, slopes, k, side, w0 = between
    last, want = -np.inf, 0.0
    for j in range(len(places) + 1):
        want = (u - slopes[j, i]) * (1.0 / d)
        if len(k) > 0:
            want = pushed(u - slopes[j, i], d, k[i], w0[i], side[j, i])
        if j == len(places) or want <= places[j, i]:
            return max(want, last)
        last = places[j, i]
    return want


@njit(nogil=True, cache=True, error_model="numpy")
def judged(vectors, bounds, between, answer, aversion):  # type: ignore[no-untyped-def]
    """The longest step that a weight or the multiplier of its bound still wants to make; NaN where one is no number.

    `answer` are w, box, d, S (w - about), and what the rows pull with their multipliers, (5, N).
    """
    most, odd = 0.0, False
    for i in range(answer.shape[1]):
        w, box, d, lower, upper = answer[0, i], answer[1, i], answer[2, i], bounds[0, i], bounds[1, i]
        price = vectors[0, i] + vectors[4, i] * (w - vectors[1, i]) + aversion * answer[3, i] + answer[4, i]
        moved = wished(i, d * w - price - box, d, between) - w
        left = abs(moved) - 4e-16 * (abs(price) + abs(box)) / d  # a return of 1e20 at a bound leaves no digits
        odd |= left != left
        most = max(most, left, lower - w, w - upper)
        most = max(most, min(max(box, 0.0) / d, max(upper - w, 0.0)), min(max(-box, 0.0) / d, max(w - lower, 0.0)))
    return np.nan if odd else most


@njit(nogil=True, cache=True, error_model="numpy")
def slack(limits, value, square, z, mean):  # type: ignore[no-untyped-def]
    """The same of the multipliers of rows (m,), `mean` of 1 / d: as distances in weights."""
    most, odd = 0.0, False
    for r in range(len(z)):
        scale, length = max(square[r] * mean, 1e-300), np.sqrt(max(square[r], 1.0))
        dearest, above, below = limits[2, r] * scale, max(z[r], 0.0) * scale, max(-z[r], 0.0) * scale
        up = above - min(max(above - (limits[1, r] - value[r]), 0.0), dearest)
        down = below - min(max(below - (value[r] - limits[0, r]), 0.0), dearest)
        left = max(abs(up), abs(down)) / length
        odd |= left != left
        most = max(most, left)
    return np.nan if odd else most


@njit(nogil=True, cache=True, error_model="numpy")
def left_alone(vectors, answer, marks, aversion, least):  # type: ignore[no-untyped-def]
    """Names that stay because a trade gains less than it costs, what each gains (n,), and the most that it costs.

    `answer` as for `judged`; `marks` are which names are free (N,) and which kinks are costs of trading (J,); `least`
    are the trade and the price below which there is none.
    """
    (free, hard), (still, small), n = marks, least, answer.shape[1]
    rows, gains, count, most = np.empty(n, np.int32), np.empty(n), 0, 0.0
    for i in range(n):
        w, w0 = answer[0, i], vectors[2, i]
        if not (free[i] and abs(w - w0) <= still and abs(answer[1, i]) <= small):
            continue
        up, down = 0.0, 0.0
        for j in range(len(hard)):
            if hard[j] and vectors[6 + 3 * j, i] == w0:
                up, down = up + vectors[7 + 3 * j, i], down + vectors[8 + 3 * j, i]
        gain = -(vectors[0, i] + vectors[4, i] * (w - vectors[1, i]) + answer[4, i]) - aversion * answer[3, i]
        if max(up, down) > 0 and -down - small <= gain <= up + small:
            rows[count], gains[count], most = i, gain, max(most, up, down)
            count += 1
    return rows[:count].copy(), gains[:count].copy(), most


@njit(nogil=True, cache=True, error_model="numpy")
def stopped(box, free, least):  # type: ignore[no-untyped-def]
    """Free names at their upper bound and those at their lower, whose multipliers are above `least`."""
    above, below = np.empty(len(box), np.int32), np.empty(len(box), np.int32)
    up, down = 0, 0
    for i in range(len(box)):
        if free[i] and box[i] > least:
            above[up] = i
            up += 1
        elif free[i] and box[i] < -least:
            below[down] = i
            down += 1
    return above[:up].copy(), below[:down].copy()
