"""The compiled loops behind `gru_layers`: what is done to every number of a step between two matrix products.

All arrays are float32 and C-contiguous; rows have 3 H, 4 H or H numbers. Each loop writes into one array, or the
compiler cannot tell that its inputs stay as they are and does one number at a time.
"""

import numpy as np
from numba import njit

_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
# tanh x = x p(x^2) / q(x^2) up to where float32 cannot tell it from 1; error 3e-7. The coefficients are those of Eigen.
_FAR = np.float32(7.90531110763549805)
_P = tuple(
    np.float32(c)
    for c in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_Q = tuple(
    np.float32(c) for c in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)


@njit(inline="always", error_model="numpy", fastmath={"contract"})
def _tanh(x):  # type: ignore[no-untyped-def]
    x = _FAR if x > _FAR else x
    x = -_FAR if x < -_FAR else x
    y = x * x
    p = x * (_P[0] + y * (_P[1] + y * (_P[2] + y * (_P[3] + y * (_P[4] + y * (_P[5] + y * _P[6]))))))
    return p / (_Q[0] + y * (_Q[1] + y * (_Q[2] + y * _Q[3])))


@njit(inline="always", error_model="numpy", fastmath={"contract"})
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return _HALF + _HALF * _tanh(_HALF * x)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def answered(given, recurrent, bias, state, t):  # type: ignore[no-untyped-def]
    """state[t + 1] from state[t].

    `given` (T, B, 3 H) is W x and `recurrent` (B, 3 H) is U h, of r, z and n; `bias` (4 H,) is that of r, z and n, and
    last what stands with U_n h.
    """
    hidden = state.shape[2]
    br, bz = bias[:hidden], bias[hidden : 2 * hidden]
    bn, bm = bias[2 * hidden : 3 * hidden], bias[3 * hidden :]
    for b in range(given.shape[1]):
        g, u, before, after = given[t, b], recurrent[b], state[t, b], state[t + 1, b]
        for j in range(hidden):
            r = _sigmoid(g[j] + u[j] + br[j])
            z = _sigmoid(g[hidden + j] + u[hidden + j] + bz[j])
            n = _tanh(g[2 * hidden + j] + bn[j] + r * (u[2 * hidden + j] + bm[j]))
            after[j] = n + z * (before[j] - n)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def stepped(given, recurrent, bias, kept, t):  # type: ignore[no-untyped-def]
    """As `answered`, keeping what the way back needs: rows of `kept` (T + 1, B, 5 H) are h, r, z, n, U_n h + c_n."""
    hidden = kept.shape[2] // 5
    br, bz = bias[:hidden], bias[hidden : 2 * hidden]
    bn, bm = bias[2 * hidden : 3 * hidden], bias[3 * hidden :]
    for b in range(given.shape[1]):
        g, u, before, after = given[t, b], recurrent[b], kept[t, b, :hidden], kept[t + 1, b, :hidden]
        r, z = kept[t + 1, b, hidden : 2 * hidden], kept[t + 1, b, 2 * hidden : 3 * hidden]
        n, m = kept[t + 1, b, 3 * hidden : 4 * hidden], kept[t + 1, b, 4 * hidden :]
        for j in range(hidden):
            m[j] = u[2 * hidden + j] + bm[j]
        for j in range(hidden):
            r[j] = _sigmoid(g[j] + u[j] + br[j])
        for j in range(hidden):
            z[j] = _sigmoid(g[hidden + j] + u[hidden + j] + bz[j])
        for j in range(hidden):
            n[j] = _tanh(g[2 * hidden + j] + bn[j] + r[j] * m[j])
        for j in range(hidden):
            after[j] = n[j] + z[j] * (before[j] - n[j])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def stepped_back(kept, later, wanted, slope, t):  # type: ignore[no-untyped-def]
    """Slopes of step t. `later` (B, H) came from step t + 1, `wanted` (T, B, H) is the slope of the answers.

    Rows of `slope` (T, B, 5 H) become those of n, r, z before their squashing, of U_n h, and what goes past the gates.
    """
    hidden = later.shape[1]
    for b in range(later.shape[0]):
        before, after, a, w = kept[t, b], kept[t + 1, b], later[b], wanted[t, b]
        r, z = after[hidden : 2 * hidden], after[2 * hidden : 3 * hidden]
        n, m = after[3 * hidden : 4 * hidden], after[4 * hidden :]
        sn, sr, sz = slope[t, b, :hidden], slope[t, b, hidden : 2 * hidden], slope[t, b, 2 * hidden : 3 * hidden]
        sm, past = slope[t, b, 3 * hidden : 4 * hidden], slope[t, b, 4 * hidden :]
        for j in range(hidden):
            past[j] = a[j] + w[j]
        for j in range(hidden):
            sn[j] = past[j] * (_ONE - z[j]) * (_ONE - n[j] * n[j])
        for j in range(hidden):
            sr[j] = sn[j] * m[j] * r[j] * (_ONE - r[j])
        for j in range(hidden):
            sz[j] = past[j] * (before[j] - n[j]) * z[j] * (_ONE - z[j])
        for j in range(hidden):
            sm[j] = sn[j] * r[j]
        for j in range(hidden):
            past[j] *= z[j]
