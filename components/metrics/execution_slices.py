"""Children of parent orders, and what became of those of each slice."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from components.execution.blotter import KEPT
from components.execution.rows import found_in
from components.metrics.execution_means import OWN_BASES, compared, divided, keys_of, plain, summed
from engine.events import Bars, Children, Codes, Fills, Ids, LegAction, Matrix, OrderState, Reports, Vector

_CHILD = np.dtype(
    [
        ("ids", np.uint64),
        ("parent", np.uint64),
        ("slice", np.int64),  # its row
        ("symbol", np.int32),
        ("left", np.float64),
        ("asked", np.float64),
        ("filled", np.float64),
        ("paid", np.float64),
        ("mark", np.float64),  # when it was sent
        ("arrival", np.float64),  # mark at the decision of its parent
        ("unit", np.float64),
        ("price", np.float64),  # of the bar it trades in, at the point at which the broker trades, and its vwap
        ("vwap", np.float64),
        ("waits", np.bool_),  # for that bar
        ("over", np.bool_),
        ("age", np.int64),  # slices since it was over
    ]
)  # one row of memory a child: columns of their own would cost several times as much to add to and to pick from
Table: TypeAlias = NDArray[np.void]
_PRICES = ("mark", "arrival", "price", "vwap")
_SLICE = ("parents", "decided", "asked")
_SUMS = ("children", "sent", "filled", "value")
_NEW, _REPLACED = int(LegAction.NEW), int(OrderState.REPLACED)
_ENDS = [int(s) for s in (OrderState.FINISHED, OrderState.CANCELLED, OrderState.EXPIRED)]
_BLOCK = 1024  # rows


class Worked:
    """The slices in which parents were worked, a row each, and the children that are not over.

    A child belongs to the slice in which it was sent, and is measured by the one bar it lives for:

        price advantage = -side (price of its fills / base - 1) 10^4

    base = the price of that bar at the point at which the broker trades, or its vwap where the feed has that column.
    Shares and prices of a child are those of the day it ended. Memory: some sixty numbers a slice, and the children of
    the latest few.
    """

    def __init__(self, point: str) -> None:
        self._point = point
        self._children: Table = np.empty(0, _CHILD)
        self._count = 0
        self._ts = np.empty(0, np.int64)
        self._said = np.empty((0, len(_SLICE)))
        self._sums: Matrix = np.empty((0, len(_SUMS) + 2 * len(keys_of(OWN_BASES))))
        self._ended: list[Table] = []  # children that are not in the sums yet

    def __len__(self) -> int:
        """Children that are followed."""
        return len(self._children)

    @property
    def latest(self) -> int:
        """The instant of the latest row, -1 = none."""
        return int(self._ts[self._count - 1]) if self._count else -1

    def begin(self, ts: int, parents: int, decided: int, asked: float) -> None:
        """A slice in which so many parents were at work, with so many shares to be filled."""
        if self._count == len(self._ts):
            more = max(_BLOCK, self._count)
            self._ts = np.concatenate([self._ts, np.zeros(more, np.int64)])
            self._said = np.concatenate([self._said, np.zeros((more, self._said.shape[1]))])
            self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
        self._ts[self._count], self._said[self._count] = ts, (parents, decided, asked)
        self._count += 1

    def send(self, children: Children, rows: Any, columns: dict[str, Any], bars: Bars | None) -> None:
        """These rows went out in the latest slice; they trade in this bar, or in the one to come."""
        fresh, symbol = np.zeros(len(rows), _CHILD), children.symbol[rows]
        fresh["ids"], fresh["parent"], fresh["symbol"] = children.ids[rows], children.parent[rows], symbol
        fresh["slice"] = self._count - 1
        fresh["left"] = fresh["asked"] = children.qty[rows]
        for name, column in columns.items():
            fresh[name] = column
        fresh["price"], fresh["vwap"] = (np.nan, np.nan) if bars is None else self._prices(bars, symbol)
        fresh["waits"] = bars is None
        self._children = np.concatenate([self._children, fresh])

    def _prices(self, bars: Bars, symbol: Codes) -> tuple[Vector, Vector]:
        """What the bar says of these symbols, NaN where nobody traded."""
        price, vwap = getattr(bars, self._point)[symbol], bars.vwap[symbol]
        seen = (bars.status[symbol] == 0) & (bars.volume[symbol] != 0)
        return np.where(seen & (price > 0), price, np.nan), np.where(seen & (vwap > 0), vwap, np.nan)

    def on_bars(self, bars: Bars) -> None:
        """The bar that children waited for; those that are over, and booked or of slices ago, are put away."""
        c = self._children
        if not len(c):
            return
        rows = np.flatnonzero(c["waits"])
        if rows.size:
            c["price"][rows], c["vwap"][rows] = self._prices(bars, c["symbol"][rows])
            c["waits"] = False
        c["age"] += c["over"]
        self._put_away((c["left"] == 0) | (c["age"] > KEPT))

    def forget(self, parents: Ids) -> None:
        """The children of these are no longer followed."""
        self._put_away(np.isin(self._children["parent"], parents))

    def _put_away(self, gone: Any) -> None:
        if gone.any():
            self._ended.append(self._children[gone])
            self._children = self._children[~gone]
            if sum(map(len, self._ended)) >= _BLOCK or len(self._ended) >= _BLOCK:
                _add(self._sums, self._ended)  # many at once: it costs by the call
                self._ended = []

    def fill(self, fills: Fills) -> tuple[Ids, Vector, Vector]:
        """Books the fills of children: the parent, the shares and the price of each."""
        c = self._children
        at, found = found_in(c["ids"], fills.order_ids)
        at, qty, price = at[found], fills.qty[found], fills.price[found]
        for name, change in (("left", -qty), ("filled", qty), ("paid", qty * price)):
            np.add.at(c[name], at, change)
        return c["parent"][at], qty, price

    def follow(self, reports: Reports) -> None:
        """Children that are over; their fills may come behind."""
        c = self._children
        at, found = found_in(c["ids"], reports.ids)
        if not found.any():
            return
        at, state = at[found], reports.state[found]
        c["over"][at[np.isin(state, _ENDS)]] = True
        amended = state == _REPLACED
        c["left"][at[amended]] = reports.left[found][amended]

    def split(self, symbol: int, ratio: float) -> None:
        c = self._children
        own = c["symbol"] == symbol
        scale = np.where(own & ~c["over"], ratio, 1.0)
        c["left"][own] *= ratio
        for name in ("asked", "filled"):
            c[name] *= scale
        for name in _PRICES:
            c[name] /= scale

    # ---- what they say -----------------------------------------------------------------------------------------------

    def _whole(self) -> Matrix:
        """(S, ...) sums, with what has not been put away."""
        sums = self._sums[: self._count].copy()
        _add(sums, [*self._ended, self._children])
        return sums

    def columns(self) -> dict[str, Any]:
        """One row a slice in which parents were worked. For execution_slices.parquet."""
        sums, said = self._whole(), self._said[: self._count].T
        found: dict[str, Any] = {"ts": self._ts[: self._count].copy()}
        found |= {"parents": said[0].astype(np.int64), "decided": said[1].astype(np.int64), "asked": said[2].copy()}
        found |= dict(zip(_SUMS, sums[:, : len(_SUMS)].T.copy(), strict=True))
        found["children"] = found["children"].astype(np.int64)
        for figure, by_weight in divided(_shaped(sums), OWN_BASES).items():
            found |= {f"{figure}_by_{weight}": values for weight, values in by_weight.items()}
        return found

    def figures(self) -> dict[str, Any]:
        """What all children say together, ready for JSON: None = undefined."""
        total = self._whole().sum(axis=0, keepdims=True)
        said = dict(zip(_SUMS, total[0, : len(_SUMS)].tolist(), strict=True)) | {"children": int(total[0, 0])}
        return {"slices": self._count} | said | plain(divided(_shaped(total), OWN_BASES))


def _shaped(sums: Matrix) -> Matrix:
    """(S, ...) -> (K, 2, S), also of no slice."""
    return sums[:, len(_SUMS) :].T.reshape((sums.shape[1] - len(_SUMS)) // 2, 2, len(sums))


def _add(sums: Matrix, children: list[Table]) -> None:
    """What these children add to the sums of their slices."""
    rows = np.concatenate(children)
    if not len(rows):
        return
    rows = rows[rows["slice"].argsort(kind="stable")]
    table: dict[str, Any] = {name: np.ascontiguousarray(rows[name]) for name in _CHILD.names or ()}
    table |= compared(table, OWN_BASES) | {"asked_value": np.abs(table["asked"]) * table["mark"] * table["unit"]}
    asked, filled = np.abs(table["asked"]), np.abs(table["filled"])
    whole = np.stack([np.ones(len(rows)), asked, filled, table["value"]])
    parts = np.concatenate([whole, summed(table, OWN_BASES).reshape(-1, len(rows))])
    row = table["slice"]
    first = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
    sums[row[first]] += np.add.reduceat(parts, first, axis=1).T
