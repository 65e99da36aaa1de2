"""The compiled numbers of Alpha158: one function of a bounded window, the same one for history and for live.

Names lie side by side and are taken in blocks of `_B`, so that every inner loop runs over names: it is vectorised, and
no sum changes its order. One walk from the newest bar backwards serves all windows, since each contains the shorter
ones. Sums are of differences to the newest known value, so that large prices cost no digits.

All of it stands in this file: the compiler's cache sees changes of a function's own file only.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.events import Matrix, Vector

_B = 64  # names in a block: 60 rows of them fit the first cache
_EPS, _FLAT = 1e-12, 2e-5  # of quotients; standard deviations that count as none where the reference says so
_HEAD, _OPS = 13, 29
_COMPILE = {"cache": True, "nogil": True, "error_model": "numpy"}

# Rows of sums, each of _B numbers, by group.
_CLOSE, _EXTREMES, _MOVES, _VOLUME, _VMOVES = 0, 8, 15, 21, 25
_VALUE, _PAIR, _LOGV, _QPAIR, _RATIO, _LOGR, _SUMS = 31, 35, 43, 47, 55, 59, 63


class Plan(NamedTuple):
    """What a kernel is told beside the window: all of it fixed when the feature set is made, but for the scratch."""

    windows: NDArray[np.int64]  # (D,) ascending
    pairs: NDArray[np.int64]  # (K, 2) of `nested_sort(windows)`
    ends: NDArray[np.int64]  # (D,)
    pick: NDArray[np.int64]  # (F,) which of the 13 + 29 D features, in the order of the output
    sums: Vector
    oldest: Vector  # (_B,) age of the oldest known bar of the window, -1 = none
    order: Matrix  # (max(windows), _B)
    made: Matrix  # (13 + 29 D, _B)


def plan_of(
    windows: tuple[int, ...], pick: NDArray[np.int64], pairs: NDArray[np.int64], ends: NDArray[np.int64]
) -> Plan:
    """The plan of these windows with scratch of its own. Memory: less than a megabyte for those of the reference."""
    return Plan(
        windows=np.array(windows, np.int64),
        pairs=pairs,
        ends=ends,
        pick=pick,
        sums=np.empty(_SUMS * _B),
        oldest=np.empty(_B),
        order=np.empty((max(windows), _B)),
        made=np.empty((_HEAD + _OPS * len(windows), _B)),
    )


@njit(**_COMPILE)
def derive(block, first, end, symbols):  # type: ignore[no-untyped-def]
    """Rows 6 to 9 of block (10, R, N) for rows [first, end): c / c_1, log(v + 1), log(v / v_1 + 1), |c / c_1 - 1| v."""
    for r in range(first, end):
        for i in symbols:
            v = block[4, r, i]
            ratio = block[3, r, i] / block[3, r - 1, i]
            grown = math.log(v / block[4, r - 1, i] + 1.0)
            block[6, r, i] = ratio
            block[7, r, i] = math.log(v + 1.0)
            block[8, r, i] = grown if math.isfinite(grown) else math.nan
            block[9, r, i] = abs(ratio - 1.0) * v


@njit(**_COMPILE)
def alpha158(block, row, plan, out):  # type: ignore[no-untyped-def]
    """Features (N, F) of the newest `row` of block (10, R, N); reads rows row - max(windows) to row, and no other."""
    n = block.shape[2]
    for low in range(0, n, _B):
        high = min(low + _B, n)
        _head(block, row, low, high, plan.made)
        _windows(block, row, low, high, plan)
        close = block[3, row, low:high]
        for j in range(plan.pick.shape[0]):
            x = plan.made[plan.pick[j]]
            for i in range(high - low):
                known = math.isfinite(x[i]) and close[i] == close[i]
                out[low + i, j] = x[i] if known else math.nan


@njit(**_COMPILE)
def _head(block, row, low, high, made):  # type: ignore[no-untyped-def]
    """The nine features of the newest bar's shape and the four prices over its close."""
    for i in range(high - low):
        o, h, l, c = block[0, row, low + i], block[1, row, low + i], block[2, row, low + i], block[3, row, low + i]  # noqa: E741
        span, top, bottom = h - l + _EPS, max(o, c), min(o, c)
        made[0, i] = (c - o) / o
        made[1, i] = (h - l) / o
        made[2, i] = (c - o) / span
        made[3, i] = (h - top) / o
        made[4, i] = (h - top) / span
        made[5, i] = (bottom - l) / o
        made[6, i] = (bottom - l) / span
        made[7, i] = (2.0 * c - h - l) / o
        made[8, i] = (2.0 * c - h - l) / span
        made[9, i] = o / c
        made[10, i] = h / c
        made[11, i] = l / c
        made[12, i] = block[5, row, low + i] / c


@njit(**_COMPILE)
def _windows(block, row, low, high, plan):  # type: ignore[no-untyped-def]
    """The rolling features of a block of names, window by window from the shortest."""
    s, oldest, nw = plan.sums, plan.oldest, plan.windows.shape[0]
    oldest[:] = -1.0
    for a in range(plan.windows[-1] + 1):
        c = block[3, row - a, low:high]
        for i in range(high - low):
            oldest[i] = a if c[i] == c[i] else oldest[i]
    s[:] = 0.0
    for i in range(_B):
        s[_EXTREMES * _B + i] = -math.inf
        s[(_EXTREMES + 2) * _B + i] = -1.0
        s[(_EXTREMES + 3) * _B + i] = math.inf
        s[(_EXTREMES + 5) * _B + i] = -1.0
    start, k0 = 0, 0
    for k in range(nw):
        d = plan.windows[k]
        for a in range(start, d):
            _add(block, row, a, low, high, plan)
        for k1 in range(k0, plan.ends[k]):
            x, y = plan.order[plan.pairs[k1, 0]], plan.order[plan.pairs[k1, 1]]
            for i in range(_B):
                small, large = (x[i], y[i]) if x[i] < y[i] else (y[i], x[i])
                x[i], y[i] = small, large
        start, k0 = d, plan.ends[k]
        close, ago = block[3, row, low:high], block[3, row - d, low:high]
        _emit_close(s, close, ago, plan.made[_HEAD + k :: nw])
        _emit_extremes(s, close, oldest, plan.made[_HEAD + k :: nw], d)
        _emit_order(s, close, plan.order, plan.made[_HEAD + k :: nw])
        _emit_volume(s, block[4, row, low:high], plan.made[_HEAD + k :: nw], high - low)
        _emit_corr(s, plan.made[_HEAD + k :: nw], high - low)


@njit(**_COMPILE)
def _add(block, row, a, low, high, plan):  # type: ignore[no-untyped-def]
    """Takes the bar of age `a` into all sums."""
    r, s, oldest, order = row - a, plan.sums, plan.oldest, plan.order
    newest, close, before = block[3, row, low:high], block[3, r, low:high], block[3, r - 1, low:high]
    volume = block[4, r, low:high]
    _add_close(s[_CLOSE * _B : _EXTREMES * _B], close, newest, a, order[a])
    _add_extremes(s[_EXTREMES * _B : _MOVES * _B], block[1, r, low:high], block[2, r, low:high], oldest, a)
    _add_moves(s[_MOVES * _B : _VOLUME * _B], close, before)
    _add_values(s[_VOLUME * _B : _VMOVES * _B], volume)
    _add_moves(s[_VMOVES * _B : _VALUE * _B], volume, block[4, r - 1, low:high])
    _add_values(s[_VALUE * _B : _PAIR * _B], block[9, r, low:high])
    _add_pairs(s[_PAIR * _B : _LOGV * _B], close, block[7, r, low:high])
    _add_values(s[_LOGV * _B : _QPAIR * _B], block[7, r, low:high])
    _add_pairs(s[_QPAIR * _B : _RATIO * _B], block[6, r, low:high], block[8, r, low:high])
    _add_values(s[_RATIO * _B : _LOGR * _B], block[6, r, low:high])
    _add_values(s[_LOGR * _B : _SUMS * _B], block[8, r, low:high])


@njit(**_COMPILE)
def _add_close(t, x, newest, age, order):  # type: ignore[no-untyped-def]
    """Count, sums of y and y^2, of ages a, a^2 and a y; how many lie below the newest and how many equal it."""
    a = float(age)
    for i in range(x.shape[0]):
        y = x[i] - newest[i]
        known = y == y
        z, one = (y, 1.0) if known else (0.0, 0.0)
        t[i] += one
        t[_B + i] += z
        t[2 * _B + i] += z * z
        t[3 * _B + i] += a * one
        t[4 * _B + i] += a * a * one
        t[5 * _B + i] += a * z
        t[6 * _B + i] += 1.0 if y < 0.0 else 0.0
        t[7 * _B + i] += 1.0 if y == 0.0 else 0.0
        order[i] = x[i] if x[i] == x[i] else math.inf


@njit(**_COMPILE)
def _add_extremes(t, high, low, oldest, age):  # type: ignore[no-untyped-def]
    """Highest high and lowest low with the age of the oldest of each, and the age of the oldest gap of either."""
    a = float(age)
    for i in range(high.shape[0]):
        h, l = high[i], low[i]  # noqa: E741
        t[_B + i] = a if h >= t[i] else t[_B + i]
        t[i] = h if h >= t[i] else t[i]
        t[2 * _B + i] = a if h != h and a <= oldest[i] else t[2 * _B + i]
        t[4 * _B + i] = a if l <= t[3 * _B + i] else t[4 * _B + i]
        t[3 * _B + i] = l if l <= t[3 * _B + i] else t[3 * _B + i]
        t[5 * _B + i] = a if l != l and a <= oldest[i] else t[5 * _B + i]


@njit(**_COMPILE)
def _add_moves(t, x, before):  # type: ignore[no-untyped-def]
    """Count of known changes, sums of rises, falls and both, counts of rises and of falls."""
    for i in range(x.shape[0]):
        y = x[i] - before[i]
        z, one = (y, 1.0) if y == y else (0.0, 0.0)
        rise, fall = (z, 0.0) if z > 0.0 else (0.0, -z)
        t[i] += one
        t[_B + i] += rise
        t[2 * _B + i] += fall
        t[3 * _B + i] += abs(z)
        t[4 * _B + i] += 1.0 if z > 0.0 else 0.0
        t[5 * _B + i] += 1.0 if z < 0.0 else 0.0


@njit(**_COMPILE)
def _add_values(t, x):  # type: ignore[no-untyped-def]
    """Count, the newest known value, and sums of differences to it and of their squares."""
    for i in range(x.shape[0]):
        count, v = t[i], x[i]
        newest = v if count == 0.0 else t[_B + i]
        y = v - newest
        z, one = (y, 1.0) if v == v else (0.0, 0.0)
        t[i] = count + one
        t[_B + i] = newest
        t[2 * _B + i] += z
        t[3 * _B + i] += z * z


@njit(**_COMPILE)
def _add_pairs(t, x, y):  # type: ignore[no-untyped-def]
    """Over rows where both are known: count, newest of each, sums, squares and products of differences to them."""
    for i in range(x.shape[0]):
        count, both = t[i], x[i] + y[i]
        new_x = x[i] if count == 0.0 else t[_B + i]
        new_y = y[i] if count == 0.0 else t[2 * _B + i]
        known = both == both
        u, v, one = (x[i] - new_x, y[i] - new_y, 1.0) if known else (0.0, 0.0, 0.0)
        t[i] = count + one
        t[_B + i] = new_x
        t[2 * _B + i] = new_y
        t[3 * _B + i] += u
        t[4 * _B + i] += u * u
        t[5 * _B + i] += v
        t[6 * _B + i] += v * v
        t[7 * _B + i] += u * v


@njit(**_COMPILE)
def _deviation(n, total, squares):  # type: ignore[no-untyped-def]
    """Standard deviation with n - 1; NaN for fewer than two."""
    v = (squares - total * total / n) / (n - 1.0)
    return math.sqrt(0.0 if v < 0.0 else v)


@njit(**_COMPILE)
def _emit_close(s, close, ago, out):  # type: ignore[no-untyped-def]
    """ROC, MA, STD, BETA, RSQR, RESI and RANK."""
    t = s[_CLOSE * _B :]
    for i in range(close.shape[0]):
        c, n, y, yy = close[i], t[i], t[_B + i], t[2 * _B + i]
        a, aa, ay = t[3 * _B + i], t[4 * _B + i], t[5 * _B + i]
        spread = _deviation(n, y, yy)
        across, along = n * ay - a * y, n * aa - a * a
        slope = -across / along
        square = across * across / (along * (n * yy - y * y))
        out[0, i] = ago[i] / c
        out[1, i] = (c + y / n) / c
        out[2, i] = spread / c
        out[3, i] = slope / c
        out[4, i] = math.nan if spread <= _FLAT else square
        out[5, i] = -(y + slope * a) / n / c
        out[10, i] = (t[6 * _B + i] + (t[7 * _B + i] + 1.0) / 2.0) / n


@njit(**_COMPILE)
def _emit_extremes(s, close, oldest, out, d):  # type: ignore[no-untyped-def]
    """MAX, MIN, RSV, IMAX, IMIN, IMXD, and what counts bars: CNT and SUM of rises and falls."""
    t, m = s[_EXTREMES * _B :], s[_MOVES * _B :]
    for i in range(close.shape[0]):
        c, top, bottom = close[i], t[i], t[3 * _B + i]
        bars = min(float(d), oldest[i] + 1.0)
        high_at = bars - (t[2 * _B + i] if t[2 * _B + i] >= 0.0 else t[_B + i])
        low_at = bars - (t[5 * _B + i] if t[5 * _B + i] >= 0.0 else t[4 * _B + i])
        out[6, i], out[7, i] = top / c, bottom / c
        out[11, i] = (c - bottom) / (top - bottom + _EPS)
        out[12, i], out[13, i], out[14, i] = high_at / d, low_at / d, (high_at - low_at) / d
        rises, falls = m[4 * _B + i] / bars, m[5 * _B + i] / bars
        out[17, i], out[18, i], out[19, i] = rises, falls, rises - falls
        moved = m[3 * _B + i] + _EPS if m[i] > 0.0 else math.nan
        up, down = m[_B + i], m[2 * _B + i]
        out[20, i], out[21, i], out[22, i] = up / moved, down / moved, (up - down) / moved


@njit(**_COMPILE)
def _emit_order(s, close, order, out):  # type: ignore[no-untyped-def]
    """QTLU and QTLD: linear between the two closest of the sorted values."""
    for i in range(close.shape[0]):
        n = s[_CLOSE * _B + i]
        if n < 1.0:
            out[8, i] = out[9, i] = math.nan
            continue
        for j, q in ((8, 0.8), (9, 0.2)):
            place = q * (n - 1.0)
            below = int(place)
            above = min(below + 1, int(n) - 1)
            x = order[below, i]
            out[j, i] = (x + (place - below) * (order[above, i] - x)) / close[i]


@njit(**_COMPILE)
def _emit_volume(s, volume, out, width):  # type: ignore[no-untyped-def]
    """VMA, VSTD, WVMA, VSUMP, VSUMN, VSUMD."""
    v, m, w = s[_VOLUME * _B :], s[_VMOVES * _B :], s[_VALUE * _B :]
    for i in range(width):
        now = volume[i] + _EPS
        out[23, i] = (v[_B + i] + v[2 * _B + i] / v[i]) / now
        out[24, i] = _deviation(v[i], v[2 * _B + i], v[3 * _B + i]) / now
        mean = w[_B + i] + w[2 * _B + i] / w[i]
        out[25, i] = _deviation(w[i], w[2 * _B + i], w[3 * _B + i]) / (mean + _EPS)
        moved = m[3 * _B + i] + _EPS if m[i] > 0.0 else math.nan
        up, down = m[_B + i], m[2 * _B + i]
        out[26, i], out[27, i], out[28, i] = up / moved, down / moved, (up - down) / moved


@njit(**_COMPILE)
def _emit_corr(s, out, width):  # type: ignore[no-untyped-def]
    """CORR and CORD; NaN where either side all but stands still."""
    c, p, lv = s[_CLOSE * _B :], s[_PAIR * _B :], s[_LOGV * _B :]
    r, q, lr = s[_RATIO * _B :], s[_QPAIR * _B :], s[_LOGR * _B :]
    for i in range(width):
        still = _deviation(c[i], c[_B + i], c[2 * _B + i]) <= _FLAT
        still |= _deviation(lv[i], lv[2 * _B + i], lv[3 * _B + i]) <= _FLAT
        out[15, i] = math.nan if still else _correlation(p, i)
        still = _deviation(r[i], r[2 * _B + i], r[3 * _B + i]) <= _FLAT
        still |= _deviation(lr[i], lr[2 * _B + i], lr[3 * _B + i]) <= _FLAT
        out[16, i] = math.nan if still else _correlation(q, i)


@njit(**_COMPILE)
def _correlation(p, i):  # type: ignore[no-untyped-def]
    n, x, xx, y, yy = p[i], p[3 * _B + i], p[4 * _B + i], p[5 * _B + i], p[6 * _B + i]
    if n < 2.0:
        return math.nan
    return (p[7 * _B + i] - x * y / n) / math.sqrt((xx - x * x / n) * (yy - y * y / n))
