"""Weights that are given: as a mapping, as a table with dates, or by what the feed says."""

from bisect import bisect_right
from typing import Literal

import numpy as np

from components.models.scores import column_of
from components.strategies.allocation import Allocation, Leavers, Rebalance
from engine.errors import DataError
from engine.events import Bars, Book, Reference, Signal, Target, Vector
from engine.protocols import Table
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION, _MOST = "fixed_weights", 1, 10.0


class FixedWeights:
    """The weights of `weights` (symbol to share of equity), of the newest rows of `table`, or of a `reference`.

    All rows of a table with the same ts are one whole allocation, used from the slice of that ts on; of two rows for a
    symbol the later one counts. A `reference` is a matrix (N, 1) of that name from the feed, NaN = 0. What an
    allocation leaves out has weight 0; what it leaves of 1 stays in cash; negative weights are shorts. Before the first
    allocation there is no target.

    `missing` says what becomes of the weight of a name that cannot be traded at t, because it is halted, missing or no
    member: `cash` leaves it uninvested, `renormalise` gives it to the other names of its side in their proportions.
    Either way a holding that cannot be traded keeps its shares, and with `renormalise` the others share what it leaves
    of the side's sum. `leavers` says what becomes of holdings that are no members any more: `hold` or `close`. With
    `rebalance: changes` a name is traded when its weight changes, and drifts between: buy and hold.

    Signals are not looked at. With equity of zero or less all is closed.

    >>> from engine.universe import universe_of
    >>> mix = FixedWeights(universe=universe_of(("A", "B")), name="mix", weights={"A": 0.6, "B": 0.4})
    >>> mix.on_bars(bars(ts=1, close=[10.0, 20.0]))
    >>> mix.on_signals((), book(1, [10.0, 20.0], cash=1000.0)).value
    array([60., 20.])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        weights: dict[str, float] | None = None,
        table: Table | None = None,
        column: str | None = None,
        reference: str | None = None,
        missing: Literal["cash", "renormalise"] = "cash",
        leavers: Leavers = "hold",
        rebalance: Rebalance = "always",
        interval_ns: int = 0,
    ) -> None:
        if (weights is not None) + (table is not None) + (reference is not None) != 1:
            raise ValueError("weights, table or reference must say the weights, one of the three")
        if missing not in ("cash", "renormalise"):
            raise ValueError(f"missing must be one of cash, renormalise, got {missing!r}")
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        self.interval_ns = interval_ns
        self._universe, self._name, self._reference = universe, name, reference
        self._fill = missing == "renormalise"
        self._allocation = Allocation(universe=universe, name=name, leavers=leavers, rebalance=rebalance)
        self._wanted: Vector | None = None if weights is None else _of_mapping(weights, universe)
        self._ts, self._rows = ([], []) if table is None else _of_table(table, column, len(universe))

    def on_bars(self, bars: Bars, /) -> None:
        self._allocation.on_bars(bars)

    def on_reference(self, reference: Reference, /) -> None:
        if reference.name != self._reference:
            return
        n = len(self._universe)
        if reference.value.shape != (n, 1) or np.isinf(reference.value).any():
            said = f"reference {reference.name!r} of {reference.ts} has shape {reference.value.shape} or an infinity"
            raise DataError(f"{self._name}: {said}; weights are finite, shape ({n}, 1), NaN = 0")
        self._wanted = np.nan_to_num(reference.value[:, 0])

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        if self._ts:
            newest = bisect_right(self._ts, book.ts)
            self._wanted = self._rows[newest - 1] if newest else None
        if self._wanted is None:
            return None
        member = self._allocation.member
        wanted = np.where(member, self._wanted, np.nan)
        if self._fill and not member.all():
            for sign in (1.0, -1.0):
                side = member & (sign * self._wanted > 0.0)
                total = self._wanted[side].sum()
                if total:
                    wanted[side] *= self._wanted[sign * self._wanted > 0.0].sum() / total
        return self._allocation.target(book, wanted, None, fill=self._fill)

    def save(self) -> bytes:
        given = self._wanted if self._reference is not None else None  # the others are options
        return pack(_KIND, _VERSION, **self._allocation.fields(), wanted=given)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar and no weight yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._allocation.restore(fields)
        if self._reference is not None and fields["wanted"] is not None:
            self._wanted = placed(fields["wanted"], fields["symbols"], self._universe.symbols, 0.0)


def _of_mapping(weights: dict[str, float], universe: Universe) -> Vector:
    if not weights:
        raise ValueError("weights must name at least one symbol, got none")
    place = {symbol: i for i, symbol in enumerate(universe.symbols)}
    out = np.zeros(len(universe))
    for symbol, weight in weights.items():
        if symbol not in place:
            raise ValueError(f"weights names {symbol!r}, which is not in the universe; leave it out, or add it there")
        if not abs(weight) <= _MOST:
            raise ValueError(f"weights: {symbol} must be between -{_MOST:g} and {_MOST:g} of equity, got {weight}")
        out[place[symbol]] = weight
    return out


def _of_table(table: Table, column: str | None, n: int) -> tuple[list[int], list[Vector]]:
    """Instants and the whole allocation of each."""
    value = column_of(table, column)
    if not len(value):
        raise ValueError(f"{table.path}: it has no row; give weights from one instant at least")
    if not (np.abs(value) <= _MOST).all():
        row = int(np.flatnonzero(~(np.abs(value) <= _MOST))[0])
        said = f"row {row} has the weight {value[row]}"
        raise DataError(f"{table.path}: {said}; it must be between -{_MOST:g} and {_MOST:g} of equity")
    rows: dict[int, Vector] = {}
    for k in np.argsort(table.ts, kind="stable").tolist():
        rows.setdefault(int(table.ts[k]), np.zeros(n))[int(table.symbol[k])] = value[k]
    return list(rows), list(rows.values())
