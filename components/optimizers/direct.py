"""The optimizer that does as it is told: targets into orders, without an objective."""

from components.optimizers.latest import Latest, restored, rows_by_name, unseen
from components.optimizers.paying import OrderName, Rows, Sizing, TifName
from components.optimizers.priced import Prices, orders_toward, prices_of
from components.optimizers.sizing import NO_ROWS, alpha_of, told_once, wanted_shares
from engine.events import Bars, Book, Note, Orders, Target, TargetKind, Vector
from engine.ids import OrderIds
from engine.protocols import CostModel
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "direct", 5
_QUANTITY = TargetKind.QUANTITY


class Direct:
    """Affordable whole-lot orders that move the book toward the sum of the targets.

    What is wanted is compared with filled and working shares, so a target given twice is traded once. NaN in a target
    leaves the symbol as it is. Sales are sent before purchases; purchases are cut to cash plus the proceeds of the
    sales, net of costs and of `reserve_bps` on both sides for the gap between mark and fill, in order of alpha
    (`sizing.afford` states the rule; `afford: false` leaves the cutting to the broker, `proceeds: false` spends
    none of what the sales of the slice bring; `leverage`, in a run file the broker's unless said, cuts them to
    the buying power of a margin account instead). Symbols without a FRESH bar at
    t get no order. Orders are of the kind `order` and live as `time_in_force` says; a target's limit or stop price
    makes them limit, stop or stop-limit orders on their ticks, and what rests of earlier ones is kept, replaced or
    cancelled to what is wanted now (`priced.orders_toward`).

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
        order: OrderName = "market",
        time_in_force: TifName = "day",
        afford: bool = True,
        proceeds: bool = True,
        leverage: float | None = None,
    ) -> None:
        self._sizing = Sizing(
            *(universe, ids, costs, name, reserve_bps, min_order_value, band),
            *(order, time_in_force, afford, proceeds, leverage),
        )
        self._universe = universe
        self._latest = unseen(len(universe))
        self._below: Rows = NO_ROWS  # symbols whose target was below a lot
        self._met: tuple[Vector, Vector, Vector] | None = None  # target, filled and working shares that agree
        self._priceless: Vector | None = None  # an array seen to hold no price: strategies hand out the same each time

    def on_bars(self, bars: Bars, /) -> None:
        self._latest = Latest(bars.status, bars.volume)

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> tuple[Note | Orders, ...]:
        if self._still_met(targets, book):
            return ()
        prices = self._prices(targets)
        wanted = wanted_shares(targets, book, self._universe)
        answer = orders_toward(self._sizing, wanted, alpha_of(targets), book, self._latest, prices)
        if answer or self._below.size:
            answer, self._below = told_once(answer, self._below)
        if not answer and len(targets) == 1 and targets[0].kind is _QUANTITY:
            met = 0 not in (wanted == book.qty + book.working).tobytes()
            self._met = (wanted, book.qty, book.working) if met else None
        return answer

    def _prices(self, targets: tuple[Target, ...]) -> Prices | None:
        known = self._priceless
        for target in targets:
            if target.limit is not known or target.stop is not known:
                break
        else:
            return None
        prices, first = prices_of(targets), targets[0]
        self._priceless = first.limit if prices is None and first.limit is first.stop else None
        return prices

    def _still_met(self, targets: tuple[Target, ...], book: Book) -> bool:
        """Whether this is the target in shares that was met before, with the same position: nothing to work out."""
        if self._met is None or len(targets) != 1 or book.open_orders.ids.size:
            return False
        wanted, qty, working = self._met
        return targets[0].value is wanted and book.qty is qty and book.working is working

    def save(self) -> bytes:
        symbols, latest = self._universe.symbols, self._latest
        fields = {"status": latest.status, "volume": latest.volume, "below": self._below.tolist()}
        return pack(_KIND, _VERSION, symbols=symbols, sent=self._sizing.ids.sent, **fields)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._latest = restored(fields, self._universe.symbols)
        self._below = rows_by_name(fields, self._universe.symbols)
        self._sizing.ids.sent = (fields["sent"][0], fields["sent"][1])
