"""The compiled loops behind `gru_layers`: what is done to every number of a step between two matrix products.

Arrays are C-contiguous, and either float32 or the bits of bfloat16 as uint16, which are widened where they are read and
rounded where they are written. Each loop writes one stretch of memory, or the compiler cannot tell that what it reads
stays as it is and does one number at a time.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

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


def _wide(array: Any, room: Any) -> Any:
    """The numbers as float32: the array itself, or `room` with those of bfloat16."""


@overload(_wide, inline="always")
def _wide_of(array, room):  # type: ignore[no-untyped-def]
    if isinstance(array.dtype, types.Float):
        return lambda array, room: array

    def widened(array, room):  # type: ignore[no-untyped-def]
        for j in range(room.shape[0]):
            room[j] = np.uint32(np.uint32(array[j]) << np.uint32(16)).view(np.float32)
        return room

    return widened


def _place(array: Any, room: Any) -> Any:
    """Where to write float32 that belong into the array: there, or into `room` until `_round`."""


@overload(_place, inline="always")
def _place_of(array, room):  # type: ignore[no-untyped-def]
    if isinstance(array.dtype, types.Float):
        return lambda array, room: array
    return lambda array, room: room


def _round(array: Any, out: Any) -> None:
    """float32 as numbers of either kind; bfloat16 is the nearest, of two as near the even one."""


@overload(_round, inline="always")
def _round_to(array, out):  # type: ignore[no-untyped-def]
    if isinstance(out.dtype, types.Float):

        def rounded(array, out):  # type: ignore[no-untyped-def]
            for j in range(array.shape[0]):
                out[j] = array[j]
    else:

        def rounded(array, out):  # type: ignore[no-untyped-def]
            for j in range(array.shape[0]):
                bits = np.float32(array[j]).view(np.uint32)
                up = np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
                out[j] = np.uint16(up >> np.uint32(16))

    return rounded


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def squashed(x, out):  # type: ignore[no-untyped-def]
    """tanh of float32 numbers, as the steps below have it."""
    for j in range(x.shape[0]):
        out[j] = _tanh(x[j])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def answered(given, recurrent, bias, state, t):  # type: ignore[no-untyped-def]
    """state[t + 1] from state[t], both (B, H).

    `given` (C, B, 3 H) is W x of the C steps among which t is, and `recurrent` (B, 3 H) is U h, of r, z and n; `bias`
    (4 H,) is that of r, z and n, and last what stands with U_n h.
    """
    hidden = state.shape[2]
    g_room, u_room = np.empty(3 * hidden, np.float32), np.empty(3 * hidden, np.float32)
    h_room, room = np.empty(hidden, np.float32), np.empty(hidden, np.float32)
    inside = bias[3 * hidden :]
    few = given.shape[0]
    for b in range(given.shape[1]):
        g = _wide(given[t % few, b], g_room)
        u = _wide(recurrent[b], u_room)
        h = _wide(state[t, b], h_room)
        out = _place(state[t + 1, b], room)
        for j in range(hidden):
            r = _sigmoid(g[j] + u[j] + bias[j])
            z = _sigmoid(g[hidden + j] + u[hidden + j] + bias[hidden + j])
            n = _tanh(g[2 * hidden + j] + bias[2 * hidden + j] + r * (u[2 * hidden + j] + inside[j]))
            out[j] = n + z * (h[j] - n)
        _round(out, state[t + 1, b])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def stepped(given, recurrent, bias, state, kept, t):  # type: ignore[no-untyped-def]
    """As `answered`, keeping what the way back needs: rows of `kept` (T, B, 4 H) are r, z, n, U_n h + its bias."""
    hidden = state.shape[2]
    g_room, u_room = np.empty(3 * hidden, np.float32), np.empty(3 * hidden, np.float32)
    h_room, out = np.empty(hidden, np.float32), np.empty(hidden, np.float32)
    r, z, n, m = (
        np.empty(hidden, np.float32),
        np.empty(hidden, np.float32),
        np.empty(hidden, np.float32),
        np.empty(hidden, np.float32),
    )
    few = given.shape[0]
    for b in range(given.shape[1]):
        g = _wide(given[t % few, b], g_room)
        u = _wide(recurrent[b], u_room)
        h = _wide(state[t, b], h_room)
        for j in range(hidden):
            m[j] = u[2 * hidden + j] + bias[3 * hidden + j]
        for j in range(hidden):
            r[j] = _sigmoid(g[j] + u[j] + bias[j])
        for j in range(hidden):
            z[j] = _sigmoid(g[hidden + j] + u[hidden + j] + bias[hidden + j])
        for j in range(hidden):
            n[j] = _tanh(g[2 * hidden + j] + bias[2 * hidden + j] + r[j] * m[j])
        for j in range(hidden):
            out[j] = n[j] + z[j] * (h[j] - n[j])
        _round(out, state[t + 1, b])
        _round(r, kept[t, b, :hidden])
        _round(z, kept[t, b, hidden : 2 * hidden])
        _round(n, kept[t, b, 2 * hidden : 3 * hidden])
        _round(m, kept[t, b, 3 * hidden :])


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def stepped_back(state, kept, later, past, slope, t):  # type: ignore[no-untyped-def]
    """Slopes of step t: rows of `slope` (T, B, 4 H) become those of n, r, z before their squashing, and of U_n h.

    The slope of state t + 1 is `past` (B, H) float32, what was asked of it and what goes past the gates of step t + 1,
    and `later` (B, H), what comes through them. `past` becomes what goes past the gates of step t.
    """
    hidden = state.shape[2]
    k_room, a_room = np.empty(4 * hidden, np.float32), np.empty(hidden, np.float32)
    h_room, s_room = np.empty(hidden, np.float32), np.empty(4 * hidden, np.float32)
    for b in range(later.shape[0]):
        d = past[b]
        k = _wide(kept[t, b], k_room)
        a = _wide(later[b], a_room)
        h = _wide(state[t, b], h_room)
        s = _place(slope[t, b], s_room)
        r, z, n, m = k[:hidden], k[hidden : 2 * hidden], k[2 * hidden : 3 * hidden], k[3 * hidden :]
        sn, sr, sz, sm = s[:hidden], s[hidden : 2 * hidden], s[2 * hidden : 3 * hidden], s[3 * hidden :]
        for j in range(hidden):
            d[j] += a[j]
        for j in range(hidden):
            sn[j] = d[j] * (_ONE - z[j]) * (_ONE - n[j] * n[j])
        for j in range(hidden):
            sr[j] = sn[j] * m[j] * r[j] * (_ONE - r[j])
        for j in range(hidden):
            sz[j] = d[j] * (h[j] - n[j]) * z[j] * (_ONE - z[j])
        for j in range(hidden):
            sm[j] = sn[j] * r[j]
        for j in range(hidden):
            d[j] *= z[j]
        _round(s, slope[t, b])
