"""The 158 features of price and volume that Qlib made common."""

import hashlib
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.features.sorting import nested_sort
from components.features.window import COLUMNS, Block, Vwap, Window, is_typical
from engine.events import Actions, Bars, Features, Matrix
from engine.universe import Universe

CODE_VERSION = 1  # part of the schema: another number whenever a value would differ
_WINDOW_MAX = 520  # two years of days: a bound on memory and on the time of sorting
_HEAD = (
    *("KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2"),
    *("OPEN0", "HIGH0", "LOW0", "VWAP0"),
)
_OPERATORS = (
    *("ROC", "MA", "STD", "BETA", "RSQR", "RESI", "MAX", "MIN", "QTLU", "QTLD", "RANK", "RSV", "IMAX", "IMIN", "IMXD"),
    *("CORR", "CORD", "CNTP", "CNTN", "CNTD", "SUMP", "SUMN", "SUMD", "VMA", "VSTD", "WVMA", "VSUMP", "VSUMN", "VSUMD"),
)


def feature_names(windows: tuple[int, ...]) -> tuple[str, ...]:
    """All names in order: those of the newest bar, then each operator over all windows.

    >>> feature_names((5, 10))[12:17], len(feature_names((5, 10, 20, 30, 60)))
    (('VWAP0', 'ROC5', 'ROC10', 'MA5', 'MA10'), 158)
    """
    return (*_HEAD, *(f"{op}{d}" for op in _OPERATORS for d in windows))


class Alpha158:
    """Shape of the newest bar, and 29 operators on price and volume over each of `windows`.

    The formulas, names and rules for gaps are Qlib's; `docs/features.md` lists them. Past prices are adjusted with the
    splits and dividends known at the slice. `pick` keeps some of the features, in its own order. `vwap` says what
    stands for a volume-weighted price that the feed lacks: nothing (NaN), or `typical`, (high + low + close) / 3.

    The values of a slice are a pure function of the last max(windows) + 1 bars, to the last bit, in history and live.
    `kernel: numpy` needs no compiler, takes longer and has a schema of its own, since its last bits differ.
    Memory: 20 (max(windows) + 1) N float64.

    >>> from engine.universe import universe_of
    >>> features = Alpha158(universe=universe_of(("A", "B")), windows=(2,), pick=("ROC2", "MA2"), kernel="numpy")
    >>> for t, prices in enumerate([[10.0, 20.0], [11.0, 20.0], [12.5, 20.0]], 1):
    ...     out = features.on_bars(bars(ts=t, close=prices))
    >>> out.value
    array([[0.8 , 0.94],
           [1.  , 1.  ]])

    Source: Yang et al. (2020), Qlib: an AI-oriented quantitative investment platform, arXiv 2009.11189.
    """

    def __init__(
        self,
        *,
        universe: Universe,
        windows: tuple[int, ...] = (5, 10, 20, 30, 60),
        pick: tuple[str, ...] = (),
        vwap: Vwap = "feed",
        kernel: Literal["numba", "numpy"] = "numba",
    ) -> None:
        if not windows or windows[0] < 2 or windows[-1] > _WINDOW_MAX or sorted(set(windows)) != list(windows):
            raise ValueError(f"windows must ascend from 2 to {_WINDOW_MAX} bars, got {list(windows)}")
        if kernel not in ("numba", "numpy"):
            raise ValueError(f"kernel must be numba or numpy, got {kernel!r}")
        typical = is_typical(vwap)
        numbers = _Numbers(tuple(windows), picked(feature_names(tuple(windows)), pick), kernel == "numba")
        self.names, self.lookback = numbers.names, numbers.lookback
        made_of = ["alpha158", CODE_VERSION, kernel, vwap, list(windows), list(self.names)]
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


def picked(names: tuple[str, ...], pick: tuple[str, ...]) -> NDArray[np.int64]:
    """Positions (F,) of the picked names, of all without a pick. Raises ValueError for one that is unknown or twice.

    >>> picked(("A", "B", "C"), ("C", "A"))
    array([2, 0])
    """
    if len(set(pick)) < len(pick):
        raise ValueError(f"pick must name each feature once, got {next(n for n in pick if pick.count(n) > 1)!r} twice")
    for name in pick:
        if name not in names:
            raise ValueError(f"pick must name features of these windows, such as {names[-1]}, got {name!r}")
    return np.array([names.index(name) for name in pick or names], np.int64)


class _Numbers:
    """The kernel of these windows, compiled when the first slice comes."""

    def __init__(self, windows: tuple[int, ...], pick: NDArray[np.int64], compiled: bool) -> None:
        names = feature_names(windows)
        self.names = tuple(names[k] for k in pick)
        self.lookback, self.depth = windows[-1] + 1, len(COLUMNS) + 4 if compiled else len(COLUMNS)
        self._windows, self._pick, self._compiled = windows, pick, compiled
        self._loaded: tuple[Any, Any, Any] | None = None

    def _kernel(self) -> tuple[Any, Any, Any]:
        if self._loaded is None:
            try:
                from components.features import alpha_kernel
            except ImportError as error:
                raise ImportError(f"alpha158: numba is missing ({error}); install it, or say kernel: numpy") from error
            except RuntimeError as error:  # numba's word on a folder that it cannot write
                said = "alpha158: there is no folder to keep compiled code in"
                raise RuntimeError(f"{said} ({error}); set NUMBA_CACHE_DIR to one that can be written") from error
            plan = alpha_kernel.plan_of(self._windows, self._pick, *nested_sort(self._windows))
            self._loaded = alpha_kernel.derive, alpha_kernel.alpha158, plan
        return self._loaded

    def derive(self, block: Block, first: int, end: int, symbols: NDArray[np.int64], /) -> None:
        if self._compiled:
            self._kernel()[0](block, first, end, symbols)

    def into(self, block: Block, row: int, out: Matrix, /) -> None:
        if self._compiled:
            _, compute, plan = self._kernel()
            compute(block, row, plan, out)
            return
        from components.features.alpha_numpy import alpha158_numpy

        out[:] = alpha158_numpy(block, row, self._windows)[:, self._pick]
