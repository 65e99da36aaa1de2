"""Names that are on no list of restricted ones."""

from typing import Literal

import numpy as np

from components.gates.options import listed
from components.strategies.guards import View, exit_of
from components.strategies.standing import Standing
from engine.events import Mask
from engine.protocols import Table
from engine.universe import Universe


class Restricted:
    """Passes names that neither `symbols` names nor `table` marks at this instant.

    A row of the table holds from its instant until the next one of its symbol: anything but 0 restricts it, 0 frees it.
    `column` names the marks where the table has several columns. It is what a strategy does; that no order for such a
    name gets through, whoever sends it, is the gate's `restricted`.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> two = universe_of(("A", "B"))
    >>> Restricted(symbols=("B",), universe=two).passes(view_of(two, bars(ts=1, close=[1.0, 1.0]), book(1, [1.0, 1.0])))
    array([ True, False])
    """

    kind = "restricted"

    def __init__(
        self,
        *,
        universe: Universe,
        symbols: tuple[str, ...] = (),
        table: Table | None = None,
        column: str | None = None,
        exit: Literal["hold", "sell"] = "hold",
    ) -> None:
        if not symbols and table is None:
            raise ValueError("symbols or table must be given, got none of them")
        self.exit, n = exit_of(exit), len(universe)
        always = listed(universe, "symbols", symbols)
        self._always: Mask = np.zeros(n, bool) if always is None else always != 0
        self._table = None if table is None else Standing(table, column, n=n, unsaid=0.0)

    def passes(self, view: View, /) -> Mask:
        return ~self._always if self._table is None else ~self._always & (self._table.at(view.ts) == 0)
