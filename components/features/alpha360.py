"""The raw bars of a window as features, as Qlib gives them to networks."""

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.features.alpha158 import picked
from components.features.window import CLOSE, COLUMNS, HIGH, LOW, OPEN, VOLUME, VWAP, Block, Vwap, Window, is_typical
from engine.events import Actions, Bars, Features, Matrix
from engine.universe import Universe

CODE_VERSION = 1  # part of the schema: another number whenever a value would differ
_LAGS_MAX, _EPS = 520, 1e-12
_ORDER = (CLOSE, OPEN, HIGH, LOW, VWAP, VOLUME)  # of the blocks


def feature_names(lags: int) -> tuple[str, ...]:
    """Names in order: for each column of bars the oldest lag first, 0 = the newest bar.

    >>> feature_names(3)[:4]
    ('CLOSE2', 'CLOSE1', 'CLOSE0', 'OPEN2')
    """
    return tuple(f"{COLUMNS[column].upper()}{lag}" for column in _ORDER for lag in range(lags - 1, -1, -1))


class Alpha360:
    """Close, open, high, low, vwap and volume of the last `lags` bars, over the newest close and the newest volume.

        PRICEi = price_{t-i} / close_t                    VOLUMEi = volume_{t-i} / (volume_t + 1e-12)

    Past bars are adjusted with the splits and dividends known at the slice. With the 60 lags of the reference there are
    360 features. `pick` keeps some of them, in its own order; `vwap` says what stands for one that the feed lacks:
    nothing (NaN), or `typical`, (high + low + close) / 3. A missing bar is NaN at its lag; a name without a newest bar
    is NaN throughout. Memory: 12 lags N float64.

    >>> from engine.universe import universe_of
    >>> features = Alpha360(universe=universe_of(("A",)), lags=2, pick=("CLOSE1", "CLOSE0"))
    >>> for t, price in enumerate([10.0, 12.5], 1):
    ...     out = features.on_bars(bars(ts=t, close=[price]))
    >>> out.value
    array([[0.8, 1. ]])

    Source: Yang et al. (2020), Qlib: an AI-oriented quantitative investment platform, arXiv 2009.11189.
    """

    def __init__(self, *, universe: Universe, lags: int = 60, pick: tuple[str, ...] = (), vwap: Vwap = "feed") -> None:
        if not 1 <= lags <= _LAGS_MAX:
            raise ValueError(f"lags must be from 1 to {_LAGS_MAX} bars, got {lags}")
        typical = is_typical(vwap)
        numbers = _Numbers(lags, picked(feature_names(lags), pick))
        self.names, self.lookback = numbers.names, numbers.lookback
        made_of = ["alpha360", CODE_VERSION, vwap, lags, list(self.names)]
        self.schema = hashlib.sha256(msgspec.json.encode(made_of)).hexdigest()[:32]
        self.window = Window(numbers, universe, self.schema, typical)

    def on_bars(self, bars: Bars, /) -> Features:
        self.window.push(bars)
        return Features(ts=bars.ts, schema=self.schema, value=self.window.value())

    def on_actions(self, actions: Actions, /) -> None:
        self.window.adjust(actions)

    def save(self) -> bytes:
        return self.window.save()

    def load(self, state: bytes, /) -> None:
        self.window.load(state)


class _Numbers:
    """One division for each feature: exact wherever it is done, so that nothing needs compiling."""

    def __init__(self, lags: int, pick: NDArray[np.int64]) -> None:
        names = feature_names(lags)
        self.names = tuple(names[k] for k in pick)
        self.lookback, self.depth = lags, len(COLUMNS)
        self._column = np.array(_ORDER, np.int64)[pick // lags]
        self._lag = lags - 1 - pick % lags

    def derive(self, block: Block, first: int, end: int, symbols: NDArray[np.int64], /) -> None:
        pass

    def into(self, block: Block, row: int, out: Matrix, /) -> None:
        below = np.where(self._column[:, None] == VOLUME, block[VOLUME, row] + _EPS, block[CLOSE, row])
        value = block[self._column, row - self._lag]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            value /= below
        value[:, np.isnan(block[CLOSE, row])] = np.nan
        value[np.isinf(value)] = np.nan
        out[:] = value.T
