"""Impact with the square root of size: volatility times the root of the share of a usual slice's volume."""

import numpy as np

from components.costs.rules import BPS, against, checked, checked_bps
from engine.events import FEE_KINDS, ActionKind, Actions, Bars, Matrix, Vector
from engine.protocols import Conditions
from engine.state import mutable, pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "square_root", 1


class SquareRoot:
    """Displaces the price by the volatility of a slice times the root of the trade's share of a slice's volume.

        price_i = reference_i (1 + sign(qty_i) eta sigma_i sqrt(|qty_i| / V_i))

    sigma_i is the standard deviation (n - 1) of the log returns of the closes and V_i the mean volume, both over the
    last `window` slices before the one that fills. Slices of any length give the same: sigma grows with the root of
    the length, V with the length. Where less than half the window is known, or V is 0, it is `fallback_bps`. eta is
    of order 1. A sale brings a hundredth of the market's price at least. A missing bar is in neither estimate, a split
    rescales what is remembered; after a change of symbol the new one begins without estimates.

    Memory: `window` rows of N returns and volumes.

    Source: Toth et al. (2011), Anomalous price impact and the critical nature of liquidity in financial markets,
    Phys. Rev. X 1, 021006; Almgren, Thum, Hauptmann and Li (2005), Direct estimation of equity market impact, Risk 18,
    who find an exponent of 0.6 and, for the temporary part, eta of 0.142.

    >>> from engine.universe import universe_of
    >>> costs = SquareRoot(universe=universe_of(("A",)), window=2, fallback_bps=10)
    >>> at = Conditions(ts=day(3), symbol=np.zeros(1, np.int32))
    >>> costs.price(np.array([1e4]), np.array([100.0]), at)
    array([100.1])
    >>> for k, close in enumerate((100.0, 101.0, 100.0)):
    ...     costs.on_bars(bars(day(k), [close], volume=[1e6]))
    >>> costs.price(np.array([1e4]), np.array([100.0]), at).round(4)  # 0.0141 sqrt(0.01)
    array([100.1407])
    """

    def __init__(self, *, universe: Universe, eta: float = 1.0, window: int = 20, fallback_bps: float = 0.0) -> None:
        checked({"eta": eta})
        checked_bps({"fallback_bps": fallback_bps})
        if not 2 <= window <= 10_000:
            raise ValueError(f"window must be between 2 and 10000 slices, got {window}")
        n = len(universe)
        self._symbols, self._eta, self._fallback = universe.symbols, eta, fallback_bps * BPS
        self._window = window
        self._close: Vector = np.full(n, np.nan)  # of the last slice
        self._returns, self._volumes = np.full((window, n), np.nan), np.full((window, n), np.nan)
        self._row = 0  # the next to be overwritten
        self._share: Vector | None = None  # displacement of one share, NaN = fallback; worked out when it is asked for

    def on_bars(self, bars: Bars, /) -> None:
        self._returns[self._row] = np.log(bars.close / self._close)
        self._volumes[self._row] = bars.volume
        self._close, self._row, self._share = bars.close, (self._row + 1) % self._window, None

    def on_actions(self, actions: Actions, /) -> None:
        for kind, s, ratio in zip(actions.kind.tolist(), actions.symbol.tolist(), actions.ratio.tolist(), strict=True):
            if kind == ActionKind.SPLIT and ratio > 0:
                self._close = self._close.copy()
                self._close[s] /= ratio
                self._volumes[:, s] *= ratio
                self._share = None

    def _estimate(self) -> Vector:
        """(N,) eta sigma / sqrt(V); NaN where too little is known."""
        r, v = self._returns, self._volumes
        known, traded = np.isfinite(r), np.isfinite(v)
        count, least = known.sum(axis=0), max(self._window // 2, 2)
        enough = (count >= least) & (traded.sum(axis=0) >= least)
        mean = np.where(known, r, 0.0).sum(axis=0) / np.maximum(count, 1)
        spread = np.where(known, r - mean, 0.0)
        sigma = np.sqrt((spread * spread).sum(axis=0) / np.maximum(count - 1, 1))
        volume = np.where(traded, v, 0.0).sum(axis=0) / np.maximum(traded.sum(axis=0), 1)
        enough &= volume > 0
        share: Vector = np.divide(self._eta * sigma, np.sqrt(volume), out=np.full(len(sigma), np.nan), where=enough)
        return share

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) fill price of signed quantities. NaN where the reference is."""
        if self._share is None:
            self._share = self._estimate()
        share = self._share[at.symbol] * np.sqrt(np.abs(qty))
        return against(qty, reference, reference * np.where(np.isnan(share), self._fallback, share))

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) zeros: the cost is in the price."""
        del price, at
        return np.zeros((len(qty), len(FEE_KINDS)))

    def rate(self) -> float:
        """One-way cost as a share of value: a hundredth of the volume at a volatility of 2 % a slice."""
        return min(self._eta * 0.002, 0.99)

    def save(self) -> bytes:
        fields = {"close": self._close, "returns": self._returns, "volumes": self._volumes, "row": self._row}
        return pack(_KIND, _VERSION, symbols=self._symbols, window=self._window, **fields)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no estimate yet."""
        fields = unpack(state, _KIND, _VERSION)
        if fields["window"] != self._window:
            raise ValueError(f"window was {fields['window']} when the state was saved and is {self._window} now")
        before, now = fields["symbols"], self._symbols
        self._close = placed(fields["close"], before, now, np.nan)
        self._returns = mutable(placed(fields["returns"], before, now, np.nan))
        self._volumes = mutable(placed(fields["volumes"], before, now, np.nan))
        self._row, self._share = fields["row"], None
