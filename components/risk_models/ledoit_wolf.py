"""The Ledoit-Wolf covariance of slice returns over a sliding window."""

import numpy as np

from engine.errors import StateError
from engine.events import ActionKind, Actions, Bars, Mask, Matrix, Vector
from engine.protocols import Risk
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "ledoit_wolf", 2
_ALIKE = 1e-14


class LedoitWolf:
    """Sample covariance S of the last T slice returns, shrunk toward its mean variance m on the diagonal.

        Sigma = (1 - a) S + a m I = F F' + a m I,   F = sqrt((1 - a) / T) X',   a = min(b, d) / d
        d = |S - m I|^2 / N,   b = (sum_t |x_t|^4 / T^2 - |S|^2 / T) / N

    X (T, N) holds the demeaned returns, so the factored form is exact and never needs an N x N matrix.
    A return is close to close of two slices that follow each other, with dividends added and splits undone; it is
    missing where either bar is. A missing return counts as the mean of its symbol, and the symbol's others are
    stretched by sqrt(T / returns known), which keeps its variance. A symbol with fewer than `min_slices` returns has no
    factor row and, as specific variance, the `late_quantile` of the variances of the others. `risk` is None until one
    symbol has `min_slices`. `lookback` is window + 1 slices. Memory: `window` rows of N float64.

    Source: Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices, J. Multivariate
    Analysis 88(2), lemma 3.2 to 3.4 and section 3.3.

    >>> from engine.universe import universe_of
    >>> model = LedoitWolf(universe=universe_of(("A",)), window=4, min_slices=2)
    >>> for k, close in enumerate([100.0, 110.0, 99.0]):
    ...     model.on_bars(bars(ts=k, close=[close]))
    >>> risk = model.risk()
    >>> float((risk.factors @ risk.covariance @ risk.factors.T)[0, 0] + risk.specific[0])  # of +10 % and -10 %
    0.01...
    """

    def __init__(
        self, *, universe: Universe, window: int = 120, min_slices: int = 40, late_quantile: float = 0.9
    ) -> None:
        if window < 2:
            raise ValueError(f"window must be at least 2 slices, got {window}")
        if not 2 <= min_slices <= window:
            raise ValueError(f"min_slices must be between 2 and window ({window}), got {min_slices}")
        if not 0 <= late_quantile <= 1:
            raise ValueError(f"late_quantile must be between 0 and 1, got {late_quantile}")
        self._symbols, n = universe.symbols, len(universe)
        self.lookback: int = window + 1  # a return needs two closes
        self._window, self._min_slices, self._late_quantile = window, min_slices, late_quantile
        self._returns = np.full((window, n), np.nan)  # a ring
        self._next, self._count = 0, 0  # the row written next, rows written (at most window)
        self._close = np.full(n, np.nan)  # of the slice before, in today's shares
        self._income = np.zeros(n)  # dividends a share since then

    def on_bars(self, bars: Bars, /) -> None:
        np.divide(bars.close + self._income, self._close, out=self._returns[self._next])
        self._returns[self._next] -= 1.0
        self._next = (self._next + 1) % self._window
        self._count = min(self._count + 1, self._window)
        self._close = np.where(bars.status == 0, bars.close, np.nan)
        self._income = np.zeros_like(self._income)

    def on_actions(self, actions: Actions, /) -> None:
        for kind, s, ratio, amount, heir in zip(
            actions.kind.tolist(),
            actions.symbol.tolist(),
            actions.ratio.tolist(),
            actions.amount.tolist(),
            actions.successor.tolist(),
            strict=True,
        ):
            if kind == ActionKind.SPLIT:
                self._close[s] /= ratio
                self._income[s] /= ratio
            elif kind == ActionKind.CASH_DIVIDEND:
                self._income[s] += amount
            elif kind == ActionKind.DELISTING:
                self._forget(s)
            elif kind == ActionKind.SYMBOL_CHANGE:
                self._returns[:, heir] = self._returns[:, s]
                self._close[heir], self._income[heir] = self._close[s] / ratio, self._income[s] / ratio
                self._forget(s)

    def _forget(self, s: int) -> None:
        self._returns[:, s], self._close[s], self._income[s] = np.nan, np.nan, 0.0

    def risk(self) -> Risk | None:
        """The estimate as of the last slice; None while no symbol has enough returns."""
        rows = self._ordered()
        known = np.isfinite(rows)
        counts = known.sum(axis=0)
        ready = counts >= self._min_slices
        used = known[:, ready].any(axis=1)  # the first slice has no return at all
        length = int(used.sum())
        if not length:
            return None
        x = _demeaned(rows[used], known[used], counts, ready)
        kept = x[:, ready]
        shrinkage, mean = ledoit_wolf_shrinkage(kept)
        specific = np.full(len(ready), shrinkage * mean)
        if not ready.all():
            own = (1 - shrinkage) * (kept**2).mean(axis=0) + shrinkage * mean
            specific[~ready] = np.quantile(own, self._late_quantile)
        factors: Matrix = np.ascontiguousarray(x.T) * np.sqrt((1 - shrinkage) / length)
        return Risk(factors=factors, covariance=np.eye(length), specific=specific)

    def _ordered(self) -> Matrix:
        """Returns from old to new."""
        if self._count < self._window:
            return self._returns[: self._count]
        return np.concatenate([self._returns[self._next :], self._returns[: self._next]])

    def save(self) -> bytes:
        return pack(
            _KIND,
            _VERSION,
            symbols=self._symbols,
            returns=self._returns,
            next=self._next,
            count=self._count,
            close=self._close,
            income=self._income,
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start without history."""
        fields = unpack(state, _KIND, _VERSION)
        if len(fields["returns"]) != self._window:
            raise StateError(
                f"ledoit_wolf: the saved state is of a window of {len(fields['returns'])} slices, not {self._window}; "
                "load it with the window it was saved with"
            )
        before, now = fields["symbols"], self._symbols
        self._returns = placed(fields["returns"], before, now, np.nan)
        self._close, self._income = (
            placed(fields["close"], before, now, np.nan),
            placed(fields["income"], before, now, 0),
        )
        self._next, self._count = fields["next"], fields["count"]


def _demeaned(rows: Matrix, known: Mask, counts: Vector, ready: Mask) -> Matrix:
    """(T, N) returns less their symbol's mean; 0 where missing and for symbols that are not ready."""
    use = known & ready
    filled = np.where(use, rows, 0.0)
    n = np.maximum(counts, 1)
    x: Matrix = np.where(use, filled - filled.sum(axis=0) / n, 0.0) * np.sqrt(len(rows) / n)
    return x


def ledoit_wolf_shrinkage(x: Matrix) -> tuple[float, float]:
    """The share of shrinkage, between 0 and 1, and the mean variance, of demeaned (T, N) returns.

    In O(T N min(T, N)). Identical to scikit-learn's on complete returns.
    """
    length, n = x.shape
    gram = x @ x.T if length < n else x.T @ x
    squares = np.einsum("ij,ij->i", x, x)
    norm = float((gram**2).sum()) / length**2  # |S|^2
    mean = float(squares.sum()) / length / n
    spread = float((squares**2).sum()) / length
    d = (norm - n * mean**2) / n
    b = (spread - norm) / (n * length)
    if d * n <= _ALIKE * norm or b <= 0:  # S is its own target, up to rounding
        return 0.0, mean
    return min(b, d) / d, mean
