"""The damped Newton method of the structured kernel, compiled whole, for a covariance in few factors.

It goes the way of `kernel.Kernel` step by step and without its calls: of 50 names nearly all of the time is that of
calls. What differs is how a step is solved. The sums over free names that a step consists of are kept from step to
step and changed by the names that became free or stuck, which are few; and by half of a Cholesky solve,

    B = R' D R + I / g = U'U,   V = U^-T R' D A',   S = A D A' - V'V,   D = dw/du of the free names.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from components.optimizers.kernel_loops import Move, excess, largest, movable, respond, searched, settled
from engine.events import Matrix, Vector

STEPS = 150
EXACT, CLOSE = 1e-12, 1e-9  # of a weight: what is aimed at, and what passes when rounding ends progress
STALE = 4  # steps without progress
OPTIMAL, LOOK, SPENT = 0, 1, 2
_FEW = 0.7  # of the factors: with fewer free names than that the system is one of names
_ANEW = 0.25  # of the free names: when more than that changed, sums are made anew


class Dual(NamedTuple):
    """A stage as arrays: C-contiguous and writable, for others the loops would be compiled once more."""

    R: Matrix  # (N, K)
    g: float
    about: Vector
    A: Matrix  # (m, N)
    base: Vector
    norm: Vector  # (r,)
    whole: Vector  # (r,)


class Sums(NamedTuple):
    """Over names, weighted by `give` (N,), dw/du of the free ones and 0 of others; [0] of `made`: 1 = are made."""

    RR: Matrix  # (K, K), its upper half
    RA: Matrix  # (K, m)
    AA: Matrix  # (m, m)
    give: Vector
    made: Vector


class Held(NamedTuple):
    """What weights come to, written in place; `made` as in `Sums`."""

    w: Vector
    rows: Vector  # (m,) A w
    pulled: Vector  # (K,) R'(w - about)
    made: Vector


class Track(NamedTuple):
    """What of the progress so far bears on the next step, one figure each, written in place."""

    steps: Vector
    best: Vector
    stale: Vector
    fresh: Vector
    largest: Vector
    damp: Vector


@njit(nogil=True, cache=True, error_model="numpy")
def answered(costs, dual, y, z):  # type: ignore[no-untyped-def]
    """The point of these multipliers, from nothing else: u and w (N,)."""
    m = len(dual.A)
    u = dual.base - np.dot(dual.R, y)
    for r in range(m):
        if z[r] != 0:
            u -= z[r] * dual.A[r]
    w = np.empty(len(u))
    respond(costs, u, z[m:], w)
    return u, w


@njit(nogil=True, cache=True, error_model="numpy")
def valued(costs, dual, y, w, held):  # type: ignore[no-untyped-def]
    """Values of rows and caps (r,), and what the state lacks (K,); `held` is brought to w by the names that changed."""
    m, at = len(dual.A), costs.at
    changed = np.flatnonzero(w != held.w)
    if held.made[0] == 0 or len(changed) > _ANEW * len(w):
        for r in range(m):
            held.rows[r] = np.dot(dual.A[r], w)
        held.pulled[:] = np.dot(dual.R.T, w - dual.about)
        held.made[0] = 1.0
    else:
        for name in changed:
            change = w[name] - held.w[name]
            held.pulled[:] += change * dual.R[name]
            for r in range(m):
                held.rows[r] += change * dual.A[r, name]
    held.w[:] = w
    used = np.zeros(m + len(at))
    used[:m] = held.rows
    for c in range(len(at)):
        for i in range(len(w)):
            used[m + c] += abs(w[i] - at[c, i])
    return used, dual.g * held.pulled - y


@njit(nogil=True, cache=True, error_model="numpy")
def mistaken(costs, limits, dual, used, e, z):  # type: ignore[no-untyped-def]
    """The largest of all errors, as a distance in weights."""
    error = largest(excess(limits, used, z), dual.norm, False)
    if error <= CLOSE:
        back = np.dot(dual.R, e)
        for i in range(len(back)):
            gap = abs(back[i]) * costs.inverse[i]
            if not gap <= error:
                error = gap
    return error


@njit(nogil=True, cache=True, error_model="numpy")
def factored(B):  # type: ignore[no-untyped-def]
    """Cholesky in place: the upper half of B = U'U becomes U. B is positive definite."""
    n = len(B)
    for h in range(n):
        root = np.sqrt(max(B[h, h], 1e-300))
        B[h, h] = root
        for j in range(h + 1, n):
            B[h, j] /= root
        for i in range(h + 1, n):
            part = B[h, i]
            if part != 0:
                for j in range(i, n):
                    B[i, j] -= part * B[h, j]


@njit(nogil=True, cache=True, error_model="numpy")
def forward(U, V):  # type: ignore[no-untyped-def]
    """V = U^-T V in place, V (n, q)."""
    n, q = V.shape
    for i in range(n):
        for h in range(i):
            part = U[h, i]
            if part != 0:
                for j in range(q):
                    V[i, j] -= part * V[h, j]
        for j in range(q):
            V[i, j] /= U[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def backward(U, x):  # type: ignore[no-untyped-def]
    """x = U^-1 x in place."""
    for i in range(len(x) - 1, -1, -1):
        total = x[i]
        for h in range(i + 1, len(x)):
            total -= U[i, h] * x[h]
        x[i] = total / U[i, i]


@njit(nogil=True, cache=True, error_model="numpy")
def gathered(dual, free):  # type: ignore[no-untyped-def]
    """Of the free names R (F, K) and A (m, F)."""
    R, A = np.empty((len(free), dual.R.shape[1])), np.empty((len(dual.A), len(free)))
    for f in range(len(free)):
        R[f] = dual.R[free[f]]
    for r in range(len(A)):
        for f in range(len(free)):
            A[r, f] = dual.A[r, free[f]]
    return R, A


@njit(nogil=True, cache=True, error_model="numpy")
def summed(dual, sums, free, give):  # type: ignore[no-untyped-def]
    """Brings the sums to these free names."""
    now = np.zeros(len(sums.give))
    for f in range(len(free)):
        now[free[f]] = give[f]
    changed = np.flatnonzero(now != sums.give)
    if sums.made[0] == 0 or len(changed) > _ANEW * len(free):
        R, A = gathered(dual, free)
        scaled = np.empty_like(R)
        for f in range(len(free)):
            scaled[f] = R[f] * give[f]
        sums.RR[:] = np.dot(scaled.T, R)
        if len(A) > 0:
            sums.RA[:] = np.dot(scaled.T, A.T)
            sums.AA[:] = np.dot(A * give, A.T)
        sums.made[0] = 1.0
    else:
        amended(dual, sums, changed, now)
    sums.give[:] = now


@njit(nogil=True, cache=True, error_model="numpy")
def amended(dual, sums, changed, now):  # type: ignore[no-untyped-def]
    """Adds what changed of a few names."""
    K, m = sums.RA.shape
    a, rows = np.empty(m), np.empty(m, np.int64)
    for i in changed:
        more, R, count = now[i] - sums.give[i], dual.R[i], 0
        for r in range(m):
            value = dual.A[r, i]
            a[r] = value
            if value != 0:
                rows[count] = r
                count += 1
        for k in range(K):
            part = more * R[k]
            for h in range(k, K):
                sums.RR[k, h] += part * R[h]
            for r in range(m):
                sums.RA[k, r] += part * a[r]
        for p in range(count):
            part = more * a[rows[p]]
            for r in range(m):
                sums.AA[rows[p], r] += part * a[r]


@njit(nogil=True, cache=True, error_model="numpy")
def capped(costs, w, free):  # type: ignore[no-untyped-def]
    """(c, F) gradients of the caps in the free names."""
    at = costs.at
    columns = np.empty((len(at), len(free)))
    for c in range(len(at)):
        for f in range(len(free)):
            columns[c, f] = np.sign(w[free[f]] - at[c, free[f]])
    return columns


@njit(nogil=True, cache=True, error_model="numpy")
def curved(dual, sums, free, give, columns):  # type: ignore[no-untyped-def]
    """(K, r) R' D A' and (r, r) A D A', rows and caps."""
    (K, m), c = sums.RA.shape, len(columns)
    V, S = np.zeros((K, m + c)), np.zeros((m + c, m + c))
    V[:, :m], S[:m, :m] = sums.RA, sums.AA
    for q in range(c):
        for f in range(len(free)):
            i, part = free[f], give[f] * columns[q, f]
            for k in range(K):
                V[k, m + q] += part * dual.R[i, k]
            for p in range(q + 1):
                S[m + p, m + q] += part * columns[p, f]
        for r in range(m):
            for f in range(len(free)):
                S[r, m + q] += dual.A[r, free[f]] * give[f] * columns[q, f]
        for r in range(m + q):
            S[m + q, r] = S[r, m + q]
    return V, S


@njit(nogil=True, cache=True, error_model="numpy")
def aimed(limits, dual, model, z, damp):  # type: ignore[no-untyped-def]
    """Multipliers (r,) that settle the rows' own model (S, V, v), and V times their change."""
    S, V, v = model
    for r in range(len(S)):
        S[r, r] += dual.whole[r] * max(damp, 1e-14)
    to = settled(S, v, z, limits, 1e-3 * EXACT)
    return to, np.dot(V, to - z)


@njit(nogil=True, cache=True, error_model="numpy")
def over_factors(stage, sums, moves, at, damp):  # type: ignore[no-untyped-def]
    """A Newton step of the state by a system over factors, and the multipliers it leads to."""
    (costs, limits, dual), (free, give), (used, e, z, w) = stage, moves, at
    summed(dual, sums, free, give)
    V, S = curved(dual, sums, free, give, capped(costs, w, free))
    U = sums.RR.copy()
    for k in range(len(U)):
        U[k, k] += 1.0 / dual.g
    factored(U)
    own = e.reshape((-1, 1)) / dual.g
    forward(U, own)
    y = own[:, 0].copy()
    to = z
    if len(z) > 0:
        forward(U, V)
        S -= np.dot(V.T, V)
        to, back = aimed(limits, dual, (S, V, used - np.dot(y, V)), z, damp)
        y -= back
    backward(U, y)
    return y, to


@njit(nogil=True, cache=True, error_model="numpy")
def over_names(stage, moves, at, damp):  # type: ignore[no-untyped-def]
    """The same by a system over the free names: (D^-1 + g R R') dw = -pull - A' change."""
    (costs, limits, dual), (free, give), (used, e, z, w) = stage, moves, at
    R, A = gathered(dual, free)
    n, m, columns = len(free), len(dual.A), capped(costs, w, free)
    U = np.zeros((n, n))
    if n > 0:
        U = dual.g * np.dot(R, R.T)
    for f in range(n):
        U[f, f] += 1.0 / max(give[f], 1e-300)
    factored(U)
    V = np.empty((n, len(z)))
    for f in range(n):
        V[f, :m], V[f, m:] = A[:, f], columns[:, f]
    own = np.zeros((n, 1))
    for f in range(n):
        own[f, 0] = np.dot(R[f], e)
    forward(U, own)
    dw = own[:, 0].copy()
    to = z
    if len(z) > 0:
        S, v = np.zeros((len(z), len(z))), used
        if n > 0:
            forward(U, V)
            S, v = np.dot(V.T, V), used - np.dot(dw, V)
        to, back = aimed(limits, dual, (S, V, v), z, damp)
        dw += back
    backward(U, dw)
    y = e.copy()
    for f in range(n):
        y -= dual.g * dw[f] * R[f]
    return y, to


@njit(nogil=True, cache=True, error_model="numpy")
def moved(costs, limits, dual, at, step):  # type: ignore[no-untyped-def]
    """Where a step leads, as far as the slope of the dual says: t, whether it still rises there, state, z, u, w."""
    (y, z, u, w), (dy, to) = at, step
    m, change, cost = len(dual.A), to - z, np.dot(dual.R, dy)
    pull = -cost
    for r in range(m):
        if change[r] != 0:
            pull -= change[r] * dual.A[r]
    first = np.dot(dy, y) / dual.g + np.dot(cost, dual.about)
    t, there, rising = searched(costs, limits, Move(u, pull, z, to, m, first, np.dot(dy, dy) / dual.g))
    if not t > 0:
        return 0.0, False, y, z, u, w
    after = to
    if t != 1.0:
        after = np.minimum(np.maximum(z + t * change, limits.least), limits.most)
    return t, rising, y + t * dy, after, u + t * pull, there


@njit(nogil=True, cache=True, error_model="numpy")
def noticed(dual, track, t, rising, z):  # type: ignore[no-untyped-def]
    """Writes what a step of length t says for the next; whether multipliers grow as if nothing were feasible."""
    track.steps[0] += 1
    track.fresh[0] = 0.0
    damp = track.damp[0]
    track.damp[0] = min(3.0 * damp, 1.0) if t < 0.2 else (0.003 * damp if t >= 1.0 else damp)
    size = largest(z, dual.norm, True)
    if rising or size > 8.0 * track.largest[0]:
        track.largest[0] = max(size, track.largest[0])
        return True
    return False


@njit(nogil=True, cache=True, error_model="numpy")
def wanting(track, error):  # type: ignore[no-untyped-def]
    """Whether a point with this error needs another step; else writes how it compares with those before."""
    if error <= EXACT or (track.stale[0] >= STALE and track.best[0] <= CLOSE):
        return False
    track.stale[0] = 0.0 if error < 0.5 * track.best[0] else track.stale[0] + 1.0
    if error < track.best[0]:
        track.best[0] = error
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def newton(costs, limits, dual, at, track):  # type: ignore[no-untyped-def]
    """Steps from a point (y, z, u, w) on: OPTIMAL, SPENT, or LOOK where a proof that nothing is feasible may be found.

    Also the point, and the multipliers one step before it. Called again it goes on from there.
    """
    y, z, u, w = at
    before, (n, K), m = z, dual.R.shape, len(dual.A)
    sums = Sums(np.zeros((K, K)), np.zeros((K, m)), np.zeros((m, m)), np.zeros(n), np.zeros(1))
    held = Held(np.zeros(n), np.zeros(m), np.zeros(K), np.zeros(1))
    while track.steps[0] < STEPS:
        used, e = valued(costs, dual, y, w, held)
        error = mistaken(costs, limits, dual, used, e, z)
        if not wanting(track, error):
            if track.fresh[0] > 0:
                return OPTIMAL, (y, z, u, w), before
            u, w = answered(costs, dual, y, z)
            track.fresh[0], held.made[0] = 1.0, 0.0
            track.steps[0] += 1
            continue
        damp = track.damp[0] * min(100.0 * error, 1.0)
        moves = movable(costs, w)
        if len(moves[0]) < _FEW * K:
            step = over_names((costs, limits, dual), moves, (used, e, z, w), damp)
        else:
            step = over_factors((costs, limits, dual), sums, moves, (used, e, z, w), damp)
        before = z
        t, rising, y, z, u, w = moved(costs, limits, dual, (y, z, u, w), step)
        look = noticed(dual, track, t, rising, z)
        if t == 0.0:
            u, w = answered(costs, dual, y, z)
            track.fresh[0], track.stale[0] = 1.0, max(track.stale[0], float(STALE))
        if look:
            return LOOK, (y, z, u, w), before
    return SPENT, (y, z, u, w), before
