"""The compiled loops of the structured kernel, over names and over rows: compiled at the first call and kept by numba.

What names answer is said in arrays by `kernel_names`; here it is said name by name. Of rows there is a local model:
they have the values v - S (z - z0) at multipliers z. Wanted are z within their prices such that a row with z above 0
stands at its high limit, one with z below 0 at its low limit, one with z = 0 between them, and a soft row whose z is at
its price anywhere beyond its limit. Rows are first moved all together (primal-dual active set), which is quick and may
go in circles, then one by one.

Source: Hintermueller, Ito, Kunisch (2002), The primal-dual active set strategy as a semismooth Newton method, SIAM J.
Optimization 13(3); Nocedal, Wright (2006), Numerical Optimization, section 16.5, for the second way.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from engine.events import Matrix, Vector

_ENOUGH, _TURNED = 0.5, 0.02  # of the slope at the start: what a longer step is tried above, what a search ends at
_TRIES, _FARTHER = 40, 4.0
_ROUNDS, _CLIMBS = 15, 5


class Costs(NamedTuple):
    """What names cost on their own: `kernel_names.Names` as arrays. J places, c caps."""

    slopes: Matrix  # (J + 1, N)
    places: Matrix  # (J, N)
    sides: Matrix  # (c, J + 1, N)
    inverse: Vector  # (N,) 1 / d
    k: Vector  # (N,), empty = no impact
    side: Matrix  # (J + 1, N)
    w0: Vector
    lower: Vector
    upper: Vector
    at: Matrix  # (c, N) where caps act


class Limits(NamedTuple):
    """Of rows and caps together, (r,) each; multipliers are between `least` and `most`.

    Those are -price and price, inf = hard, and 0 on a side that has no limit.
    """

    low: Vector
    high: Vector
    price: Vector
    least: Vector
    most: Vector


class Move(NamedTuple):
    """A direction: u changes by t `pull`, multipliers z by t `dz`; what prices cost has slope first + t second."""

    u: Vector  # (N,)
    pull: Vector  # (N,)
    z: Vector  # (r,)
    to: Vector  # (r,) at t = 1
    rows: int  # how many of them are rows; the rest are caps
    first: float
    second: float


@njit(nogil=True, cache=True, error_model="numpy")
def pushed(pull, d, k, w0, side):  # type: ignore[no-untyped-def]
    """What a piece on this side of w0 wants against impact k; -inf or inf where that lies on the other side."""
    half, beyond = 1.5 * k, (pull - d * w0) * side
    if beyond <= 0:
        return -side * np.inf
    root = 2.0 * beyond / (half + np.sqrt(half * half + 4.0 * d * beyond))
    return w0 + side * root * root


@njit(nogil=True, cache=True, error_model="numpy")
def respond(costs, u, prices, w):  # type: ignore[no-untyped-def]
    """Writes w(u) (N,)."""
    slopes, places, sides, inverse, k, side = (
        costs.slopes,
        costs.places,
        costs.sides,
        costs.inverse,
        costs.k,
        costs.side,
    )
    w0, lower, upper = costs.w0, costs.lower, costs.upper
    J, caps, impact = len(places), len(prices), len(k) > 0
    for i in range(len(u)):
        last = -np.inf
        for j in range(J + 1):
            slope = slopes[j, i]
            for c in range(caps):
                slope += prices[c] * sides[c, j, i]
            want = (u[i] - slope) * inverse[i]
            if impact:
                want = pushed(u[i] - slope, 1.0 / inverse[i], k[i], w0[i], side[j, i])
            if j == J or want <= places[j, i]:
                w[i] = min(max(max(want, last), lower[i]), upper[i])
                break
            last = places[j, i]


@njit(nogil=True, cache=True, error_model="numpy")
def movable(costs, w):  # type: ignore[no-untyped-def]
    """Positions of the names whose weight moves with its price, and dw/du of each."""
    places, inverse, k, w0, lower, upper = costs.places, costs.inverse, costs.k, costs.w0, costs.lower, costs.upper
    free, give, count = np.empty(len(w), np.int64), np.empty(len(w)), 0
    for i in range(len(w)):
        stays = not lower[i] < w[i] < upper[i]
        for j in range(len(places)):
            stays = stays or w[i] == places[j, i]
        if stays:
            continue
        free[count], give[count] = i, inverse[i]
        if len(k):
            give[count] = 1.0 / (1.0 / inverse[i] + 0.75 * k[i] / np.sqrt(abs(w[i] - w0[i])))
        count += 1
    return free[:count], give[:count]


@njit(nogil=True, cache=True, error_model="numpy")
def slope_at(costs, limits, move, t, w):  # type: ignore[no-untyped-def]
    """The derivative of the dual at t, and the weights there into w (N,). It falls as t grows."""
    m, pull, start, to, at = move.rows, move.pull, move.z, move.to, costs.at
    respond(costs, move.u + t * pull, (start + t * (to - start))[m:], w)
    total = -move.first - t * move.second - np.dot(w, pull)
    for r in range(len(start)):
        z, dz = start[r], to[r] - start[r]
        if dz == 0:
            continue
        upward = (dz if z == 0 else z) > 0
        crosses = 1.0 if to[r] == 0 else (-z / dz if z * dz < 0 else np.inf)
        total -= dz * (limits.high[r] if upward != (t > crosses) else limits.low[r])
        if r >= m:
            for i in range(len(w)):
                total += dz * abs(w[i] - at[r - m, i])
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def farthest(limits, move):  # type: ignore[no-untyped-def]
    """The t at which the first moving multiplier comes to 0 or to its price."""
    t = np.inf
    for r in range(len(move.z)):
        z, dz = move.z[r], move.to[r] - move.z[r]
        if dz == 0:
            continue
        bound = limits.most[r] if dz > 0 else limits.least[r]
        if z * dz < 0 and limits.low[r] < limits.high[r]:
            bound = 0.0
        t = min(t, (bound - z) / dz)
    return t


@njit(nogil=True, cache=True, error_model="numpy")
def searched(costs, limits, move):  # type: ignore[no-untyped-def]
    """How far to go: (t, weights there, whether the dual still rises as steeply as at the start). t = 0: nowhere."""
    w = np.empty(len(move.u))
    start = slope_at(costs, limits, move, 0.0, w)
    t, found = 1.0, slope_at(costs, limits, move, 1.0, w)
    if not start > 0:
        return (1.0 if abs(found) <= abs(start) else 0.0), w, False
    left, before = 0.0, start
    if found > _ENOUGH * start:
        most = max(farthest(limits, move), 1.0)
        tries = 0
        while found > _ENOUGH * start and t < most and tries < _TRIES:
            left, before = t, found
            t, tries = min(t * _FARTHER, most), tries + 1
            found = slope_at(costs, limits, move, t, w)
    right, after, near = t, found, _TURNED * start
    if found < -near:
        for _ in range(_TRIES):  # false position, halved where one end stays (Illinois)
            t = left + (right - left) * before / (before - after)
            if not left < t < right:
                t = 0.5 * (left + right)
            found = slope_at(costs, limits, move, t, w)
            if abs(found) <= near:
                break
            if found > 0:
                left, before, after = t, found, 0.5 * after
            else:
                right, after, before = t, found, 0.5 * before
    return t, w, t > 1.0 and found > _ENOUGH * start


@njit(nogil=True, cache=True, error_model="numpy")
def excess(limits, v, z):  # type: ignore[no-untyped-def]
    """(r,) gradient of the dual: how far each row is from where its multiplier wants it, 0 at rest."""
    out = np.zeros(len(v))
    for r in range(len(v)):
        over, under = v[r] - limits.high[r], v[r] - limits.low[r]
        if z[r] > 0:
            gap = over
        elif z[r] < 0:
            gap = under
        else:
            gap = max(over, 0.0) + min(under, 0.0)
        stuck = (z[r] >= limits.most[r] and gap > 0) or (z[r] <= limits.least[r] and gap < 0)
        out[r] = 0.0 if stuck else gap
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def largest(values, norm, multiplied):  # type: ignore[no-untyped-def]
    """Largest |value| times or by the norm, 0 of none; NaN where any is."""
    most = 0.0
    for r in range(len(values)):
        size = abs(values[r]) * norm[r] if multiplied else abs(values[r]) / norm[r]
        if not size <= most:
            most = size
    return most


@njit(nogil=True, cache=True, error_model="numpy")
def eliminated(S, active, right):  # type: ignore[no-untyped-def]
    """Solves S[active, active] x = right in place, by Cholesky: S positive definite."""
    n = len(active)
    L = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = S[active[i], active[j]]
            for h in range(j):
                total -= L[i, h] * L[j, h]
            L[i, j] = np.sqrt(max(total, 1e-300)) if i == j else total / L[j, j]
    for i in range(n):
        for h in range(i):
            right[i] -= L[i, h] * right[h]
        right[i] /= L[i, i]
    for i in range(n - 1, -1, -1):
        for h in range(i + 1, n):
            right[i] -= L[h, i] * right[h]
        right[i] /= L[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def settled(S, v, z0, limits, slack):  # type: ignore[no-untyped-def]
    """(r,) multipliers that solve the local model; S (r, r) positive definite. `slack` = violation that is none."""
    side, pinned = opened(v, z0, limits)
    for _ in range(_ROUNDS):
        z, now = placed(S, v, z0, limits, side, pinned)
        if not switched(z, now, limits, slack, side, pinned):
            return z
    return climbed(S, v, z0, limits, slack)


@njit(nogil=True, cache=True, error_model="numpy")
def opened(v, z0, limits):  # type: ignore[no-untyped-def]
    """On which side each row is (-1, 0, 1), and whether it is held at its price, as far as the start knows."""
    side, pinned = np.zeros(len(v), np.int64), np.zeros(len(v), np.bool_)
    for r in range(len(v)):
        if z0[r] != 0:
            side[r] = 1 if z0[r] > 0 else -1
        else:
            side[r] = int(v[r] > limits.high[r]) - int(v[r] < limits.low[r])
        beyond = v[r] - limits.high[r] if side[r] > 0 else limits.low[r] - v[r]
        pinned[r] = abs(z0[r]) >= limits.price[r] and beyond > 0
    return side, pinned


@njit(nogil=True, cache=True, error_model="numpy")
def placed(S, v, z0, limits, side, pinned):  # type: ignore[no-untyped-def]
    """Multipliers where the active rows stand at their limits, and the values of all rows there."""
    n = len(v)
    z, now, active, count = np.zeros(n), v.copy(), np.empty(n, np.int64), 0
    for r in range(n):
        if pinned[r]:
            z[r] = side[r] * limits.price[r]
        elif side[r] != 0 or limits.low[r] == limits.high[r]:
            z[r] = z0[r]
            active[count] = r
            count += 1
    active = active[:count]
    shifted(S, z0, z, now)
    right = np.empty(count)
    for a in range(count):
        r = active[a]
        right[a] = now[r] - (limits.high[r] if side[r] >= 0 else limits.low[r])
    eliminated(S, active, right)
    for a in range(count):
        z[active[a]] += right[a]
    now[:] = v
    shifted(S, z0, z, now)
    return z, now


@njit(nogil=True, cache=True, error_model="numpy")
def shifted(S, z0, z, now):  # type: ignore[no-untyped-def]
    """now -= S (z - z0)."""
    for r in range(len(z)):
        dz = z[r] - z0[r]
        if dz != 0:
            for q in range(len(z)):
                now[q] -= S[r, q] * dz


@njit(nogil=True, cache=True, error_model="numpy")
def switched(z, now, limits, slack, side, pinned):  # type: ignore[no-untyped-def]
    """Moves rows to the side where they belong; whether any was elsewhere."""
    moved = False
    for r in range(len(z)):
        equal = limits.low[r] == limits.high[r]
        above, below = now[r] - limits.high[r] > slack, limits.low[r] - now[r] > slack
        if pinned[r]:
            back = limits.high[r] - now[r] > slack if side[r] > 0 else now[r] - limits.low[r] > slack
            pinned[r], moved = not back, moved or back
        elif side[r] != 0 and not equal and z[r] * side[r] < 0:
            side[r], moved = 0, True
        elif abs(z[r]) > limits.price[r]:
            side[r], pinned[r], moved = (1 if z[r] > 0 else -1), True, True
        elif side[r] == 0 and not equal and (above or below):
            side[r], moved = (1 if above else -1), True
    return moved


@njit(nogil=True, cache=True, error_model="numpy")
def climbed(S, v, z0, limits, slack):  # type: ignore[no-untyped-def]
    """The same by one row after another (primal active set): slower, but each step only gains, and it ends."""
    n = len(v)
    z, now, side, pinned = z0.copy(), v.copy(), np.zeros(n, np.int64), np.zeros(n, np.bool_)
    for r in range(n):
        side[r] = int(z[r] > 0) - int(z[r] < 0) if z[r] != 0 else int(limits.low[r] == limits.high[r])
        pinned[r] = z[r] != 0 and abs(z[r]) >= limits.price[r]
    for _ in range(_CLIMBS * n):
        active = np.flatnonzero((side != 0) & ~pinned)
        step = np.empty(len(active))
        for a in range(len(active)):
            r = active[a]
            step[a] = now[r] - (limits.high[r] if side[r] > 0 else limits.low[r])
        eliminated(S, active, step)
        t, stop = 1.0, -1
        for a in range(len(active)):
            r = active[a]
            bound = limits.most[r] if step[a] > 0 else limits.least[r]
            if limits.low[r] < limits.high[r] and side[r] * step[a] < 0:
                bound = 0.0
            if abs(bound - z[r]) < t * abs(step[a]):
                t, stop = (bound - z[r]) / step[a], a
        for a in range(len(active)):
            r = active[a]
            now -= S[r] * (t * step[a])
            z[r] += t * step[a]
        if stop >= 0:
            r = active[stop]
            pinned[r] = limits.low[r] == limits.high[r] or side[r] * step[stop] > 0
            z[r] = (limits.most[r] if step[stop] > 0 else limits.least[r]) if pinned[r] else 0.0
            side[r] = side[r] if pinned[r] and z[r] * side[r] > 0 else (-side[r] if pinned[r] else 0)
        elif not joined(S, now, limits, slack, side, pinned):
            break
    return z


@njit(nogil=True, cache=True, error_model="numpy")
def joined(S, now, limits, slack, side, pinned):  # type: ignore[no-untyped-def]
    """Lets the row move that gains most by it; whether there is one."""
    most, best, way = 0.0, -1, 0
    for r in range(len(now)):
        above, below = now[r] - limits.high[r], limits.low[r] - now[r]
        if pinned[r]:
            gap, to = (-above if side[r] > 0 else -below), side[r]
        elif side[r] == 0:
            gap, to = max(above, below), (1 if above > below else -1)
        else:
            continue
        if gap > slack and gap * gap / S[r, r] > most:
            most, best, way = gap * gap / S[r, r], r, to
    if best >= 0:
        side[best], pinned[best] = way, False
    return best >= 0


@njit(nogil=True, cache=True, error_model="numpy")
def sound(vectors, bounds, rows, large):  # type: ignore[no-untyped-def]
    """Whether a problem's arrays are as they should be: squares of at most `large` in sum, bounds that do not cross.

    `vectors` are q, rest, w0, about, ridge, impact, and at, up, down of each kink; the last two kinds at least 0, a
    kink convex. `bounds` (2, N), `rows` (3, m) with their prices.
    """
    total, wrong = 0.0, False
    for k in range(len(vectors)):
        for i in range(vectors.shape[1]):
            total += vectors[k, i] * vectors[k, i]
            wrong |= k in (4, 5) and not vectors[k, i] >= 0
            wrong |= k > 6 and k % 3 == 2 and not vectors[k - 1, i] + vectors[k, i] >= 0
    for i in range(bounds.shape[1]):
        wrong |= not bounds[0, i] <= bounds[1, i] or bounds[0, i] == np.inf or bounds[1, i] == -np.inf
    for r in range(rows.shape[1]):
        wrong |= not rows[0, r] <= rows[1, r] or rows[0, r] == np.inf or rows[1, r] == -np.inf or not rows[2, r] >= 0
    return total <= large and not wrong
