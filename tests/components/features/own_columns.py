"""Features as a user would write them: plain numpy, and compiled."""

import numba
import numpy as np


class Tilt:
    """How far the close lies above the mean of its window, per range of the newest bar."""

    def __init__(self, *, days: int = 4) -> None:
        self.names, self.lookback = (f"tilt_{days}",), days

    def on_rows(self, rows):
        known = np.isfinite(rows.close)
        total = np.zeros(rows.close.shape[1])
        for row in np.where(known, rows.close, 0.0):
            total += row
        with np.errstate(invalid="ignore", divide="ignore"):
            return (rows.close[-1] - total / known.sum(axis=0)) / (rows.high[-1] - rows.low[-1])


@numba.njit(error_model="numpy")
def _runs(close):
    out = np.zeros((close.shape[1], 2))
    for i in range(close.shape[1]):
        for t in range(1, close.shape[0]):
            up = close[t, i] > close[t - 1, i]
            out[i, 0] = out[i, 0] + 1 if up else 0
            out[i, 1] += up
    return out


class Runs:
    """Rises in a row up to now, and rises at all, over the newest five changes."""

    names = ("run", "rises")
    lookback = 6

    def on_rows(self, rows):
        return _runs(rows.close)
