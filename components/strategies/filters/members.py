"""Names that are in the index at the time."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, exit_of
from components.strategies.standing import Standing
from engine.events import Mask
from engine.protocols import Table
from engine.universe import Universe


class Members:
    """Passes members of the universe at this slice, as the feed or a table knows them at that time.

    A row of `table` holds from its instant until the next one of its symbol: anything but 0 says a member, 0 none, and
    before its first row a symbol is none. `column` names the marks where the table has several columns. Leaving the
    index sells nothing unless `exit: sell` says so.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> two = universe_of(("A", "B"))
    >>> slice_ = bars(ts=1, close=[1.0, 1.0], member=[True, False])
    >>> Members(universe=two).passes(view_of(two, slice_, book(1, [1.0, 1.0])))
    array([ True, False])
    """

    kind = "members"

    def __init__(
        self,
        *,
        universe: Universe,
        table: Table | None = None,
        column: str | None = None,
        exit: Literal["hold", "sell"] = "hold",
    ) -> None:
        self.exit = exit_of(exit)
        self._table = None if table is None else Standing(table, column, n=len(universe), unsaid=0.0)

    def passes(self, view: View, /) -> Mask:
        return view.bars.member if self._table is None else np.asarray(self._table.at(view.ts) != 0)
