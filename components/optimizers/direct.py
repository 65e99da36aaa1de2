"""The optimizer that does as it is told: targets into orders, without an objective."""

import numpy as np

from components.optimizers.sizing import Sizing, alpha_of, orders_for, refuse_prices, wanted_shares
from engine.events import Bars, Book, Codes, Note, Orders, Status, Target, TargetKind, Vector
from engine.ids import OrderIds
from engine.protocols import CostModel
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "direct", 2
_QUANTITY = TargetKind.QUANTITY


class Direct:
    """Affordable whole-lot market orders that move the book toward the sum of the targets.

    What is wanted is compared with filled and working shares, so a target given twice is traded once. NaN in a target
    leaves the symbol as it is. Sales are sent before purchases; purchases are cut to cash plus the proceeds of the
    sales, net of costs and of `reserve_bps` on both sides for the gap between mark and fill, in order of alpha
    (`sizing.afford` states the rule). Symbols without a FRESH bar at t get no order. A target's limit or stop price
    is refused: this optimizer sends market orders.

    >>> from engine.universe import universe_of
    >>> from engine.ids import OrderIds
    >>> from components.costs.bps import Bps
    >>> direct = Direct(universe=universe_of(("A",)), ids=OrderIds("s", "o"), costs=Bps(), name="direct")
    >>> direct.on_bars(bars(ts=1, close=[30.0]))
    >>> (orders,) = direct.on_targets((target(1, [0.5]),), book(1, [30.0], cash=1000.0))
    >>> orders.qty
    array([16.])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        ids: OrderIds,
        costs: CostModel,
        name: str,
        reserve_bps: float = 100.0,
        min_order_value: float = 0.0,
        band: float = 0.0,
    ) -> None:
        self._sizing = Sizing(universe, ids, costs, name, reserve_bps, min_order_value, band)
        self._name, self._universe = name, universe
        self._status: Codes = np.full(len(universe), Status.MISSING, np.int32)
        self._met: tuple[Vector, Vector, Vector] | None = None  # target, filled and working shares that agree
        self._priceless: Vector | None = None  # an array seen to hold no price: strategies hand out the same each time

    def on_bars(self, bars: Bars, /) -> None:
        self._status = bars.status

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> tuple[Note | Orders, ...]:
        if self._still_met(targets, book):
            return ()
        for target in targets:
            if target.limit is not self._priceless or target.stop is not self._priceless:
                refuse_prices(target, self._name)
                self._priceless = target.limit if target.limit is target.stop else None
        wanted = wanted_shares(targets, book, self._universe)
        answer = orders_for(self._sizing, wanted, alpha_of(targets), book, self._status)
        if not answer and len(targets) == 1 and targets[0].kind is _QUANTITY:
            met = 0 not in (wanted == book.qty + book.working).tobytes()
            self._met = (wanted, book.qty, book.working) if met else None
        return answer

    def _still_met(self, targets: tuple[Target, ...], book: Book) -> bool:
        """Whether this is the target in shares that was met before, with the same position: nothing to work out."""
        if self._met is None or len(targets) != 1 or book.open_orders.ids.size:
            return False
        wanted, qty, working = self._met
        return targets[0].value is wanted and book.qty is qty and book.working is working

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, status=self._status)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._status = placed(fields["status"], fields["symbols"], self._universe.symbols, Status.MISSING)
