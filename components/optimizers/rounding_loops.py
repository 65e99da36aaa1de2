"""The search of `rounding` for better whole lots, compiled at the first call and kept by numba."""

import numpy as np
from numba import njit

POINTS = 9  # places that a name may be put at
_LESS = 1e-13  # of a weight: what rounding of numbers leaves beyond a limit


@njit(nogil=True, cache=True, error_model="numpy")
def _allowed(p, x, position, bounds, slack):  # type: ignore[no-untyped-def]
    """Whether a name may be at p where it is wanted at x."""
    lower, upper, least, trade = bounds
    moved = p - position
    if p * x < 0 or moved * (x - position) < 0 or p < lower - slack or p > upper + slack:
        return False
    return not (slack < abs(p) < least - slack or slack < abs(moved) < trade - slack)


@njit(nogil=True, cache=True, error_model="numpy")
def _placed(x, name, bounds, whole, at):  # type: ignore[no-untyped-def]
    """How many places a name may be put at, written to `at` from the least to the most."""
    position, lot, start = name
    slack, side = whole * lot, 1.0 if x > 0 else -1.0
    beside = start + side * max(np.ceil((bounds[2] - side * start) / lot - whole), 0.0) * lot
    low, found = np.floor((x - start) / lot + whole), 0
    for j in range(POINTS):
        p = start + (low + j - 2) * lot if j < 6 else (0.0 if j == 6 else (start if j == 7 else beside))
        if not _allowed(p, x, position, bounds, slack):
            continue
        k = found
        while k > 0 and at[k - 1] > p + slack:
            k -= 1
        if k > 0 and at[k - 1] > p - slack:
            continue  # it is there
        for moved in range(found, k, -1):
            at[moved] = at[moved - 1]
        at[k] = p
        found += 1
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def around(shares, grid, bounds, whole):  # type: ignore[no-untyped-def]
    """Names (n,), the places each may be put at, in shares and as errors of equity (n, POINTS), how many they are (n,),
    the two around what is wanted (2, n), and whether none is allowed (n,).

    Lots are counted from the position where it is kept or changed, and from 0 where it is opened or turned over; no
    sign is changed and no trade turned round. `grid` is position, lot and weight of a share; `bounds` are the least and
    most weights, the least weight of a position and of a trade that is one, and the most shares of a trade, NaN = any.
    The places are those within three lots, the position and 0. Where none is allowed it is the position, or 0. A name
    within `whole` of a lot, or without a price, needs no rounding.
    """
    (position, lot, weight), (lower, upper, least, trade, most) = grid, bounds
    n, count = len(shares), 0
    rows, many, inner = np.empty(n, np.int64), np.empty(n, np.int64), np.empty((2, n), np.int64)
    at, errors, none = np.zeros((n, POINTS)), np.zeros((n, POINTS)), np.zeros(n, np.bool_)
    for i in range(n):
        x, start = shares[i], position[i] if shares[i] * position[i] > 0 else 0.0
        lots = (x - start) / lot[i]
        if not np.isfinite(lots) or not abs(lots - np.rint(lots)) > whole or not weight[i] > 0:
            continue
        w, free = weight[i], np.inf if np.isnan(most[i]) else most[i]
        low, high = max(lower[i] / w, position[i] - free), min(upper[i] / w, position[i] + free)
        own = (low, high, least[i] / w, trade[i] / w)
        found = _placed(x, (position[i], lot[i], start), own, whole, at[count])
        if found == 0:
            none[count], at[count, 0], found = True, start, 1
        below = 0
        while below < found and at[count, below] < x:
            below += 1
        inner[0, count], inner[1, count] = max(below - 1, 0), min(below, found - 1)
        for j in range(found):
            errors[count, j] = (at[count, j] - x) * w
        rows[count], many[count] = i, found
        count += 1
    inner = inner[:, :count].copy()
    return rows[:count], at[:count], errors[:count], many[:count], inner, none[:count]


@njit(nogil=True, cache=True, error_model="numpy")
def _loosened(M, low, high, lots):  # type: ignore[no-untyped-def]
    """Lowers what a row narrower than a lot may be, and the sum of all. `lots` (n,) are what each is of equity."""
    binding, steps, even = 1, np.zeros(len(low)), np.ones(len(low), np.bool_)
    for r in range(len(low)):
        for k in range(len(lots)):
            steps[r] = max(steps[r], abs(M[r, k]) * lots[k])
            even[r] = even[r] and M[r, k] == M[r, 0]
        binding += not even[r] and (low[r] > -_LESS or high[r] < _LESS)
    for r in range(len(low)):
        if even[r]:
            low[r] = min(low[r], -steps[r] * binding)
        elif high[r] - low[r] < steps[r]:
            low[r] = min(low[r], high[r] - steps[r])


@njit(nogil=True, cache=True, error_model="numpy")
def _added(A, w, value):  # type: ignore[no-untyped-def]
    """Writes A w, four rows at a time: each sum waits for its last summand, several do not for each other's."""
    m = len(A)
    for j in range(0, m - 3, 4):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for i in range(len(w)):
            a, b, c, d = a + A[j, i] * w[i], b + A[j + 1, i] * w[i], c + A[j + 2, i] * w[i], d + A[j + 3, i] * w[i]
        value[j], value[j + 1], value[j + 2], value[j + 3] = a, b, c, d
    for j in range(m - m % 4, m):
        value[j] = 0.0
        for i in range(len(w)):
            value[j] += A[j, i] * w[i]


@njit(nogil=True, cache=True, error_model="numpy")
def framed(limits, caps, shares, grid, rows, room):  # type: ignore[no-untyped-def]
    """Rows (r, n) of the n names that are rounded, and what they may be at the errors: low <= M e <= high.

    The weights themselves are at 0 and taken to be allowed. The first row is money, what is spent with a share `room`
    of each trade, infinite = any may be; then those of `limits` (A, low, high); then the sums of unsigned trades and
    positions, whose limits are `caps`: with no sign changed and no trade turned round they are rows too.
    """
    (A, bottom, top), (position, lot, weight) = limits, grid
    n, m, N = len(rows), len(A), len(shares)
    M, low, high = np.ones((m + 3, n)), np.full(m + 3, -np.inf), np.full(m + 3, np.inf)
    value, w = np.zeros(m + 3), np.zeros(N)
    for i in range(N):
        w0 = position[i] * weight[i] if position[i] != 0 and weight[i] > 0 else 0.0
        w[i] = shares[i] * weight[i] if shares[i] == shares[i] and weight[i] > 0 else w0
        value[m + 1] += abs(w[i] - w0)
        value[m + 2] += abs(w[i])
    _added(A, w, value[1:])
    for j in range(m):
        low[1 + j], high[1 + j] = min(bottom[j] - value[1 + j], 0.0), max(top[j] - value[1 + j], 0.0)
    high[0] = 0.0 if room < np.inf else np.inf
    for c in range(2):
        high[m + 1 + c] = max(caps[c] - value[m + 1 + c], 0.0)
    for k in range(n):
        i = rows[k]
        for j in range(m):
            M[1 + j, k] = A[j, i]
        M[m + 1, k] = 1.0 if shares[i] > position[i] else -1.0
        M[0, k] += room * M[m + 1, k] if room < np.inf else 0.0
        M[m + 2, k] = 1.0 if shares[i] > 0 else -1.0
    _loosened(M, low, high, (lot * weight)[rows])
    return M, low, high


@njit(nogil=True, cache=True, error_model="numpy")
def _beyond(value, low, high):  # type: ignore[no-untyped-def]
    """How far values are outside of their limits, added up."""
    total = 0.0
    for r in range(len(value)):
        total += max(value[r] - high[r], low[r] - value[r], 0.0)
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _worse(limits, value, i, change):  # type: ignore[no-untyped-def]
    """By how much more the limits, rows of names M (n, r), are broken after name i has changed by so much of equity."""
    M, low, high = limits
    more = 0.0
    for r in range(len(value)):
        step = M[i, r] * change
        if step != 0.0:
            now, then = value[r], value[r] + step
            more += max(then - high[r], low[r] - then, 0.0) - max(now - high[r], low[r] - now, 0.0)
    return more


@njit(nogil=True, cache=True, error_model="numpy")
def _mending(places, pick, limits, state, parts):  # type: ignore[no-untyped-def]
    """The name and place that break the limits less, for the least error; -1 where none does."""
    errors, many, _ = places
    (now, slope, value), (M, low, high), (specific, own) = state, limits, parts
    push = np.zeros(len(now))  # which way a name would have to move
    for r in range(len(value)):
        if value[r] > high[r] + _LESS:
            push -= M[:, r]
        elif value[r] < low[r] - _LESS:
            push += M[:, r]
    best, to, least = -1, 0, np.inf
    for i in range(len(now)):
        for j in (pick[i] - 1, pick[i] + 1):
            if j < 0 or j >= many[i] or not push[i] * (errors[i, j] - now[i]) > 0.0:
                continue
            change = errors[i, j] - now[i]
            more = _worse(limits, value, i, change)
            gain = change * (2.0 * (specific[i] * now[i] + slope[i]) + own[i] * change)
            if more < -_LESS and gain / -more < least:
                best, to, least = i, j, gain / -more
    return best, to


@njit(nogil=True, cache=True, error_model="numpy")
def _nearer(places, pick, limits, state, parts):  # type: ignore[no-untyped-def]
    """The name and place that lessen the error most and break nothing; -1 where none does."""
    errors, many, inner = places
    (now, slope, value), (specific, own) = state, parts
    best, to, least = -1, 0, 0.0
    for i in range(len(now)):
        for j in (pick[i] - 1, pick[i] + 1):
            if j < 0 or j >= many[i]:
                continue
            change = errors[i, j] - now[i]
            gain = change * (2.0 * (specific[i] * now[i] + slope[i]) + own[i] * change)
            near = inner[0, i] <= j <= inner[1, i] or abs(errors[i, j]) < abs(now[i])
            if gain < least and near and not _worse(limits, value, i, change) > 1e-15:
                best, to, least = i, j, gain
    return best, to


@njit(nogil=True, cache=True, error_model="numpy")
def searched(places, pick, limits, spread, most):  # type: ignore[no-untyped-def]
    """(n,) where each name is put, within the limits and as close in risk as single changes make it; what is beyond.

    At first the change that breaks less for the least error, while limits are broken and one helps; then the change
    that lessens the error most and breaks nothing, `most` times at most, to the two places around what is wanted. The
    error is e' (R R' + diag(specific)) e; `places` are errors, counts and the two around, `limits` rows (r, n) and what
    they may be at e, `spread` R R' (n, n) or an empty matrix, R (n, K), specific and the diagonal of the whole.
    """
    errors, (M, low, high), (G, R, specific, own) = places[0], limits, spread
    limits = np.ascontiguousarray(M.T), low, high
    pick, n, parts = pick.copy(), len(pick), (specific, own)
    now = np.empty(n)
    for i in range(n):
        now[i] = errors[i, pick[i]]
    value = M @ now
    slope = G @ now if len(G) > 0 else R @ (R.T @ now)
    mending, left = True, most
    for _ in range(most + 8 * n):
        mending = mending and _beyond(value, low, high) > _LESS
        best, to = -1, 0
        if mending:
            best, to = _mending(places, pick, limits, (now, slope, value), parts)
            mending = best >= 0
        if not mending and left > 0:
            best, to = _nearer(places, pick, limits, (now, slope, value), parts)
            left -= 1
        if best < 0:
            break
        change = errors[best, to] - now[best]
        slope += change * G[best] if len(G) > 0 else change * (R @ R[best])
        value += M[:, best] * change
        now[best], pick[best] = errors[best, to], to
    return pick, _beyond(value, low, high)


@njit(nogil=True, cache=True, error_model="numpy")
def paid(e, pick, specific):  # type: ignore[no-untyped-def]
    """(n,) the pick with as many names taken down a lot as the money asks for, those first that it harms least.

    `e` (2, n) are errors at both ends, of which together no more may be spent than is wanted: a sum of at most 0.
    """
    pick, n, over = pick.copy(), len(pick), 0.0
    harm = np.full(n, np.inf)
    for i in range(n):
        now, least = e[pick[i], i], min(e[0, i], e[1, i])
        over += now
        if now > least:
            harm[i] = specific[i] * (least**2 - now**2) / (now - least)
    if over <= 0:
        return pick
    for i in np.argsort(harm, kind="mergesort"):
        if over <= 0 or harm[i] == np.inf:
            break
        other = 1 - pick[i]
        over -= e[pick[i], i] - e[other, i]
        pick[i] = other
    return pick
