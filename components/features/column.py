"""What a feature of a user's own is: numbers of a bounded window of bars."""

import hashlib
import inspect
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.features.window import COLUMNS, Block
from engine.events import Matrix, Vector


class Rows(NamedTuple):
    """The last `lookback` rows of bars, (lookback, N) each, the newest last; read-only, NaN where there is no bar.

    Prices and volumes of the past are adjusted with the splits and dividends known at the newest row.
    """

    open: Matrix
    high: Matrix
    low: Matrix
    close: Matrix
    volume: Matrix
    vwap: Matrix


class Column(Protocol):
    """One or more features as a function of a window, and of nothing else: no clock, no memory of earlier calls."""

    names: tuple[str, ...]  # (K,)
    lookback: int  # rows that it is shown

    def on_rows(self, rows: Rows, /) -> Vector | Matrix:
        """(N, K), or (N,) where K is 1, for the newest row."""
        ...


def rows_of(block: Block, row: int, lookback: int, *, sealed: bool = False) -> Rows:
    """The window that ends with `row`, as read-only views; `sealed` ones no flag makes writeable."""
    part: Any = block[: len(COLUMNS), row + 1 - lookback : row + 1]
    if sealed:
        return Rows(*np.asarray(memoryview(part).toreadonly()))
    part.flags.writeable = False
    return Rows(*part)


def made_of(column: Column) -> list[Any]:
    """What decides the numbers of a column, as JSON: its class, the text of its module, names, lookback, attributes.

    Of what the module imports nothing is known here. Columns of ours are told by the version of `Custom` instead of
    their text, so that a comment in them refuses no artefact.
    """
    kind = type(column)
    file = None if kind.__module__.startswith("components.") else inspect.getsourcefile(kind)
    code = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    attributes = {name: _plain(value) for name, value in sorted(getattr(column, "__dict__", {}).items())}
    return [f"{kind.__module__}:{kind.__qualname__}", code, list(column.names), column.lookback, attributes]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array: NDArray[Any] = np.ascontiguousarray(value)
        return [array.dtype.str, list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError):
        return f"{type(value).__module__}:{type(value).__qualname__}"
