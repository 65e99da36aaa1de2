"""What came of each signal: its coefficients against the return that somebody who acted on it could have had."""

from collections import deque
from typing import Any

import msgspec
import numpy as np

from components.metrics.columns import Columns
from components.metrics.signal import both
from engine.events import Matrix, Signal, Stamps, Vector

IC_COLUMNS = ("ic", "rank_ic", "names")
_BLOCK = 16  # slices whose coefficients are worked out together: few enough for a processor's cache


class _Running(msgspec.Struct, frozen=True, eq=False):
    """A signal whose horizon is running."""

    ts: int
    value: Vector
    entry: Vector  # (N,) adjusted open at which it could first be acted on
    exit_at: int  # index of the slice whose open ends its horizon


class SignalScore:
    """Coefficients of one model's signals.

        label_i = adjusted open of slice k + h / adjusted open of slice k - 1

    k is the slice after the first one at or after the signal's publication: that is where it is decided on, and the
    next open is where the decision trades. h = round(horizon / interval), at least 1. Names
    without a finite signal, or without a bar at either open, are left out; a name delisted in between ends at its
    stated price. Signals whose horizon had not ended with the session have no label and are left out.
    Memory: h + 16 slices of N, and four numbers a slice.
    """

    def __init__(self, n: int, *, horizon: int) -> None:
        self.horizon = horizon
        self.rows = Columns(IC_COLUMNS)
        self._waiting: deque[Signal] = deque(maxlen=_BLOCK)
        self._running: deque[_Running] = deque(maxlen=horizon + 1)
        self._ts: Stamps = np.empty(_BLOCK, np.int64)
        self._value: Matrix = np.empty((_BLOCK, n))
        self._label: Matrix = np.empty((_BLOCK, n))
        self._filled = 0

    def take(self, signal: Signal) -> None:
        self._waiting.append(signal)

    def step(self, index: int, since: int, opens: Vector) -> None:
        """A slice has opened: horizons that end here are scored, signals published up to `since` begin theirs."""
        running, waiting = self._running, self._waiting
        while running and running[0].exit_at <= index:
            self._score(running.popleft(), opens)
        latest = None
        while waiting and waiting[0].ts <= since:
            latest = waiting.popleft()  # of several that one open can act on, the last word counts
        if latest is not None:
            running.append(_Running(latest.ts, latest.value, opens, index + self.horizon))

    def _score(self, signal: _Running, opens: Vector) -> None:
        i = self._filled
        self._ts[i], self._value[i] = signal.ts, signal.value
        np.divide(opens, signal.entry, out=self._label[i])
        self._filled += 1
        if self._filled == _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Works out the coefficients of all scored signals."""
        value, label = self._value[: self._filled], self._label[: self._filled]
        if self._filled:
            # Ratios of one slice are ranked and correlated as they are: taking 1 off changes neither.
            self.rows.extend(self._ts[: self._filled], np.column_stack(both(value, label)))
        self._filled = 0

    def state(self) -> dict[str, Any]:
        return {
            "horizon": self.horizon,
            "row_ts": self.rows.ts,
            "rows": self.rows.matrix(),
            "waiting": [(s.ts, s.asof, s.source, s.value, s.horizon_ns) for s in self._waiting],
            "running": [(r.ts, r.value, r.entry, r.exit_at) for r in self._running],
            "ts": self._ts[: self._filled],
            "value": self._value[: self._filled],
            "label": self._label[: self._filled],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Names that were appended to the universe since have no opinion and no open in what was pending."""
        n, i = self._value.shape[1], len(state["ts"])
        self.rows.extend(state["row_ts"], state["rows"])
        for ts, asof, source, value, horizon_ns in state["waiting"]:
            wide = _padded(value, n)
            self._waiting.append(Signal(ts=ts, asof=asof, source=source, value=wide, horizon_ns=horizon_ns))
        for ts, value, entry, exit_at in state["running"]:
            self._running.append(_Running(ts, _padded(value, n), _padded(entry, n), exit_at))
        self._ts[:i], self._filled = state["ts"], i
        self._value[:i], self._label[:i] = np.nan, np.nan
        known = state["value"].shape[1]
        self._value[:i, :known], self._label[:i, :known] = state["value"], state["label"]


def _padded(array: Vector, n: int) -> Vector:
    return np.concatenate([array, np.full(n - len(array), np.nan)])
