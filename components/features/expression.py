"""A feature written as a formula in the run file: parsed, checked against a closed list, never run as code."""

import ast
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from components.features import rolling_sums as over
from components.features.column import Rows
from engine.events import Matrix, Vector

_LENGTH_MAX, _DEPTH_MAX, _ROWS_MAX = 2000, 40, 2520
_SERIES = Rows._fields
_BINARY: Mapping[type, Any] = MappingProxyType(
    {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power}
)
_COMPARE: Mapping[type, Any] = MappingProxyType(
    {
        ast.Lt: np.less,
        ast.LtE: np.less_equal,
        ast.Gt: np.greater,
        ast.GtE: np.greater_equal,
        ast.Eq: np.equal,
        ast.NotEq: np.not_equal,
    }
)
_PLAIN: Mapping[str, tuple[Any, int]] = MappingProxyType(
    {
        **{name: (getattr(np, name), 1) for name in ("log", "exp", "sqrt", "abs", "sign", "tanh")},
        **{name: (getattr(np, name), 2) for name in ("minimum", "maximum")},
        "where": (lambda x, a, b: np.where(np.isnan(x), np.nan, np.where(x != 0, a, b)), 3),
    }
)
_OVER: Mapping[str, tuple[Callable[..., Matrix], int]] = MappingProxyType(
    {
        "sum": (over.total, 1),
        "mean": (over.mean, 1),
        "std": (over.std, 1),
        "count": (over.count, 1),
        "min": (over.smallest, 1),
        "max": (over.largest, 1),
        "rank": (over.rank, 1),
        "slope": (over.slope, 1),
        "corr": (over.corr, 2),
    }
)
_CALLS = ("lag", "delta", "median", "quantile", *_PLAIN, *_OVER)

Closure = Callable[[Rows, int], Any]  # the newest m rows (m, N) of a formula, or a number


class Expression:
    """The newest value of a formula of bars.

    Names: `open`, `high`, `low`, `close`, `volume`, `vwap`. Operators: + - * / **, comparisons (1 or 0, and 0 where a
    side is not known), `and`, `or`, `not`. Functions of a row: `log`, `exp`, `sqrt`, `abs`, `sign`, `tanh`,
    `minimum(x, y)`, `maximum(x, y)`, `where(condition, x, y)`. Of the past: `lag(x, d)`, `delta(x, d)`, and over the
    newest d rows `sum`, `mean`, `std`, `min`, `max`, `median`, `count`, `rank`, `slope` (each `(x, d)`),
    `quantile(x, d, q)` and `corr(x, y, d)`. They nest, as rolling columns would: `mean(x, 5)` has a value in every row.
    d and q are numbers.

    How many rows a formula looks at follows from it. Gaps are left out of what runs over rows.

    >>> formula = Expression(column="momentum", expr="close / lag(close, 2) - 1")
    >>> formula.lookback
    3
    >>> Expression(column="x", expr="__import__('os')")
    Traceback (most recent call last):
    ValueError: expr has no function '__import__'; use one of lag, delta, median, quantile, log, exp, sqrt, ...
    """

    def __init__(self, *, column: str, expr: str) -> None:
        if not column.isidentifier():
            raise ValueError(f"column must be a name of letters, digits and _, got {column!r}")
        if len(expr) > _LENGTH_MAX:
            raise ValueError(f"expr must have at most {_LENGTH_MAX} characters, got {len(expr)}")
        try:
            tree = ast.parse(expr.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(
                f"expr must be a formula such as close / lag(close, 5) - 1, got {expr!r}: {error}"
            ) from None
        reader = _Formula(expr.strip())
        closure = reader.read(tree, 0, 1)
        if not reader.reads_bars:
            raise ValueError(f"expr must read one of {', '.join(_SERIES)}, got {expr!r}")
        self.names, self.lookback = (column,), reader.rows
        self.expr = ast.unparse(tree)
        self._newest = closure

    def on_rows(self, rows: Rows, /) -> Vector:
        with np.errstate(all="ignore"):
            newest: Vector = np.asarray(self._newest(rows, 1)[0], np.float64)
        return newest


class _Formula:
    """Turns the tree of a formula into closures, and counts the rows it looks at. Knows what it lists, and no more."""

    def __init__(self, text: str) -> None:
        self._text, self.rows, self.reads_bars = text, 1, False

    def read(self, node: ast.expr, depth: int, rows: int) -> Closure:
        """`rows` is how many rows of this part are asked for at most."""
        if depth > _DEPTH_MAX:
            raise ValueError(f"expr must nest at most {_DEPTH_MAX} deep; split it into several columns")
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and abs(number) < 1e300:
                return _number(float(number))
            case ast.Name(id=name) if name in _SERIES:
                self.reads_bars = True
                self._count(rows)
                return _series(_SERIES.index(name))
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return _applied(np.negative, (self.read(inner, depth + 1, rows),))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return _applied(lambda x: np.equal(x, 0).astype(float), (self.read(inner, depth + 1, rows),))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                sides = (self.read(left, depth + 1, rows), self.read(right, depth + 1, rows))
                return _applied(_BINARY[type(op)], sides)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return _applied(_truth(_COMPARE[type(op)]), tuple(self.read(x, depth + 1, rows) for x in (left, right)))
            case ast.BoolOp(op=op, values=values):
                joined = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return _applied(_all(_truth(joined)), tuple(self.read(x, depth + 1, rows) for x in values))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, args, depth + 1, rows)
            case _:
                said = ast.get_source_segment(self._text, node)
                allowed = f"{', '.join(_SERIES)}, numbers, operators and functions"
                raise ValueError(f"expr must be made of {allowed}, got {said!r}")

    def _call(self, name: str, args: list[ast.expr], depth: int, rows: int) -> Closure:
        if name not in _CALLS:
            raise ValueError(f"expr has no function {name!r}; use one of {', '.join(_CALLS)}")
        if name in _PLAIN:
            function, taken = _PLAIN[name]
            _check_count(name, args, taken)
            return _applied(function, tuple(self.read(x, depth, rows) for x in args))
        if name in ("lag", "delta"):
            _check_count(name, args, 2)
            d = _whole(name, args[1], 0 if name == "lag" else 1)
            return (_lag if name == "lag" else _delta)(self.read(args[0], depth, self._sum(rows, d)), d)
        if name in ("median", "quantile"):
            _check_count(name, args, 2 if name == "median" else 3)
            q = 0.5 if name == "median" else _share(args[2])
            d = _whole(name, args[1], 1)
            return _rolling(
                lambda x, days: over.quantile(x, days, q), (self.read(args[0], depth, self._sum(rows, d - 1)),), d
            )
        rolling, taken = _OVER[name]
        _check_count(name, args, taken + 1)
        d = _whole(name, args[taken], 1)
        return _rolling(rolling, tuple(self.read(x, depth, self._sum(rows, d - 1)) for x in args[:taken]), d)

    def _sum(self, rows: int, more: int) -> int:
        if rows + more > _ROWS_MAX:
            raise ValueError(f"expr must look at no more than {_ROWS_MAX} rows, got {rows + more}")
        return rows + more

    def _count(self, rows: int) -> None:
        self.rows = max(self.rows, rows)


# ---- closures: each gives the newest m rows of its part --------------------------------------------------------------


def _number(value: float) -> Closure:
    return lambda rows, m: np.full((m, rows.close.shape[1]), value)


def _series(k: int) -> Closure:
    return lambda rows, m: rows[k][len(rows[k]) - m :]


def _applied(function: Any, inner: tuple[Closure, ...]) -> Closure:
    return lambda rows, m: function(*(each(rows, m) for each in inner))


def _lag(inner: Closure, d: int) -> Closure:
    return lambda rows, m: inner(rows, m + d)[:m]


def _delta(inner: Closure, d: int) -> Closure:
    def closure(rows: Rows, m: int) -> Any:
        value = inner(rows, m + d)
        return value[d:] - value[:m]

    return closure


def _rolling(function: Callable[..., Matrix], inner: tuple[Closure, ...], d: int) -> Closure:
    return lambda rows, m: function(*(each(rows, m + d - 1) for each in inner), d)


def _truth(function: Any) -> Any:
    return lambda x, y: function(np.nan_to_num(x), np.nan_to_num(y)).astype(float) * ~(np.isnan(x) | np.isnan(y))


def _all(function: Any) -> Any:
    def joined(*values: Matrix) -> Matrix:
        out = values[0]
        for value in values[1:]:
            out = function(out, value)
        return out

    return joined


# ---- arguments that are numbers --------------------------------------------------------------------------------------


def _check_count(name: str, args: list[ast.expr], taken: int) -> None:
    if len(args) != taken:
        raise ValueError(f"expr: {name} takes {taken} arguments, got {len(args)}")


def _whole(name: str, node: ast.expr, least: int) -> int:
    match node:
        case ast.Constant(value=int() as d) if not isinstance(d, bool) and least <= d <= _ROWS_MAX:
            return d
    said = ast.unparse(node)
    raise ValueError(f"expr: {name} takes a whole number of rows from {least} to {_ROWS_MAX}, got {said!r}")


def _share(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as q) if not isinstance(q, bool) and 0 <= q <= 1:
            return float(q)
    raise ValueError(f"expr: quantile takes a number from 0 to 1, got {ast.unparse(node)!r}")
