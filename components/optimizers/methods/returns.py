"""Slice returns over a sliding window, for a method that looks at history itself."""

import numpy as np

from engine.errors import StateError
from engine.events import ActionKind, Actions, Bars, Mask, Matrix, Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe


class Returns:
    """The last `window` returns of N symbols, NaN = missing.

    A return is close to close of two slices that follow each other, with dividends added and splits undone; it is
    missing where either bar is. A delisted symbol is forgotten, the successor of a renamed one takes over its returns.
    Memory: `window` rows of N float64.
    """

    def __init__(self, universe: Universe, window: int, min_slices: int) -> None:
        if window < 2:
            raise ValueError(f"window must be at least 2 slices, got {window}")
        if not 2 <= min_slices <= window:
            raise ValueError(f"min_slices must be between 2 and window ({window}), got {min_slices}")
        self._symbols, n = universe.symbols, len(universe)
        self._window, self._min_slices = window, min_slices
        self._rows = np.full((0, n), np.nan)  # from old to new
        self._close = np.full(n, np.nan)  # of the slice before, in today's shares
        self._income = np.zeros(n)  # dividends a share since then

    @property
    def lookback(self) -> int:
        return self._window + 1  # a return needs two closes

    def on_bars(self, bars: Bars) -> None:
        row = (bars.close + self._income) / self._close - 1.0
        self._rows = np.concatenate([self._rows[-(self._window - 1) :], row[None]])
        self._close = np.where(bars.status == 0, bars.close, np.nan)
        self._income = np.zeros_like(self._income)

    def on_actions(self, actions: Actions) -> None:
        columns = (actions.kind, actions.symbol, actions.ratio, actions.amount, actions.successor)
        for kind, s, ratio, amount, heir in zip(*(column.tolist() for column in columns), strict=True):
            if kind == ActionKind.SPLIT:
                self._close[s] /= ratio
                self._income[s] /= ratio
            elif kind == ActionKind.CASH_DIVIDEND:
                self._income[s] += amount
            elif kind == ActionKind.DELISTING:
                self._forget(s)
            elif kind == ActionKind.SYMBOL_CHANGE:
                self._rows[:, heir] = self._rows[:, s]
                self._close[heir], self._income[heir] = self._close[s] / ratio, self._income[s] / ratio
                self._forget(s)

    def _forget(self, s: int) -> None:
        self._rows[:, s], self._close[s], self._income[s] = np.nan, np.nan, 0.0

    def ready(self) -> Mask:
        """(N,) symbols with at least `min_slices` returns."""
        result: Mask = np.isfinite(self._rows).sum(axis=0) >= self._min_slices
        return result

    def scenarios(self) -> Matrix:
        """(T, N) without gaps: a missing return is the mean of the ready symbols in its slice.

        Slices in which no ready symbol has a return are left out.
        """
        ready = self.ready()
        known = np.isfinite(self._rows)
        counted = known & ready
        used = counted.any(axis=1)
        rows, known, counted = self._rows[used], known[used], counted[used]
        market: Vector = np.where(counted, rows, 0.0).sum(axis=1) / counted.sum(axis=1)
        return np.where(known & ready, rows, market[:, None])

    def save(self, kind: str, version: int) -> bytes:
        kept = {"rows": self._rows, "close": self._close, "income": self._income}
        return pack(kind, version, symbols=self._symbols, window=self._window, **kept)

    def load(self, state: bytes, kind: str, version: int) -> None:
        """Restores by symbol: names appended to the universe since start without history."""
        fields = unpack(state, kind, version)
        if fields["window"] != self._window:
            raise StateError(
                f"{kind}: the saved state is of a window of {fields['window']} slices, not {self._window}; "
                "load it with the window it was saved with"
            )
        before, now = fields["symbols"], self._symbols
        self._rows = placed(fields["rows"], before, now, np.nan)
        self._close = placed(fields["close"], before, now, np.nan)
        self._income = placed(fields["income"], before, now, 0.0)
