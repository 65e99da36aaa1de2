"""The search of `rounding` for better whole lots, compiled at the first call and kept by numba."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True, error_model="numpy")
def around(shares, position, lot, weight, whole):  # type: ignore[no-untyped-def]
    """Names (n,) between two lots, both in shares (2, n), the errors they make of equity (2, n), the nearer one (n,).

    Lots are counted from the position where it is kept or changed, and from 0 where it is opened or turned over; no
    sign is changed. A name within `whole` of a lot, or without a price, needs no rounding.
    """
    rows, count = np.empty(len(shares), np.int64), 0
    ends, errors, pick = np.empty((2, len(shares))), np.empty((2, len(shares))), np.empty(len(shares), np.int64)
    for i in range(len(shares)):
        x, start = shares[i], position[i] if shares[i] * position[i] > 0 else 0.0
        lots = (x - start) / lot[i]
        if not np.isfinite(lots) or not abs(lots - np.rint(lots)) > whole or not weight[i] > 0:
            continue
        low = start + np.floor(lots + whole) * lot[i]
        for side in range(2):
            end = low + side * lot[i]
            end = 0.0 if end * x < 0 else end
            ends[side, count], errors[side, count] = end, (end - x) * weight[i]
        pick[count] = 0 if abs(errors[0, count]) <= abs(errors[1, count]) else 1
        rows[count] = i
        count += 1
    return rows[:count], ends[:, :count].copy(), errors[:, :count].copy(), pick[:count].copy()


@njit(nogil=True, cache=True, error_model="numpy")
def flipped(e, start, specific, own, spread, most):  # type: ignore[no-untyped-def]
    """(n,) which of two ends (2, n) each name is at, after at most `most` single changes that lessen the error.

    The error is e' (R R' + diag(specific)) e, `own` its diagonal. `start` is the pick, the errors it makes and R R'
    times those; `spread` is R (n, K), and R R' (n, n) or an empty matrix.
    """
    (pick, now, slope), (R, G) = start, spread
    spent = now.sum()
    for _ in range(most):
        best, least = -1, 0.0
        for i in range(len(now)):
            change = e[1 - pick[i], i] - now[i]
            gain = change * (2.0 * (specific[i] * now[i] + slope[i]) + own[i] * change)
            if gain < least and not spent + change > 1e-15:
                best, least = i, gain
        if best < 0:
            break
        change = e[1 - pick[best], best] - now[best]
        if len(G) > 0:
            slope += change * G[best]
        else:
            slope += change * np.dot(R, R[best])
        pick[best] = 1 - pick[best]
        spent, now[best] = spent + change, e[pick[best], best]
    return pick


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
