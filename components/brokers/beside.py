"""Market orders that trade beside each other, each in a bar of its own and as if it were alone: a market for episodes.

The prices, the limits of volume, the slippage and the fees are those of the simulated broker, by the same functions.
"""

import copy
from typing import Any

import msgspec
import numpy as np

from components.brokers import buying
from components.brokers import fill_rules as rules
from components.brokers.hours import Depth
from components.brokers.quotes import quotes_at
from engine.errors import ConfigError
from engine.events import DAY_NS, FEE_KINDS, Codes, Matrix, Stamps, Vector
from engine.nested import costs_of
from engine.protocols import Conditions, CostModel
from engine.universe import Universe

TIMINGS = ("next_open", "next_close", "next_vwap")


class Met(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The bar that each order meets, as columns (L,)."""

    ts: Stamps
    price: Vector  # at which the timing trades
    volume: Vector
    status: Codes
    bid: Vector | None = None
    ask: Vector | None = None


class Traded(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What each order traded in its bar, as columns (L,)."""

    qty: Vector  # signed shares
    price: Vector  # slippage included; NaN where it did not trade
    reference: Vector  # the market's price; NaN where nobody could trade
    fees: Matrix  # (L, K) in the symbol's currency, columns FEE_KINDS


class Beside:
    """A market that L market orders meet at once, each for one bar: what a bar leaves of an order is not kept.

    `fill`, `participation` and `costs` are those of a simulated broker. Money and borrowed shares are not looked at,
    and orders of one symbol do not share the volume of a bar.

    ConfigError for a timing whose orders do not trade in the bar after the decision, and for a cost model whose answers
    depend on what it was told before: episodes of many days have no common past.

    >>> from components.costs.bps import Bps
    >>> from engine.universe import universe_of
    >>> market = Beside(universe=universe_of(("A",)), costs=Bps(slippage_bps=10), fill="next_open", participation=0.1)
    >>> ts, price, status = np.array([1, 2]), np.array([50.0, np.nan]), np.array([0, 1])
    >>> met = Met(ts=ts, price=price, volume=np.array([1000.0, np.nan]), status=status)
    >>> market.trade(met, np.array([0, 0]), np.array([120.0, -5.0]))
    Traded(qty=array([100.,   0.]), price=array([50.05,   nan]), reference=array([50., nan]), fees=array([[0., 0., 0.],
           [0., 0., 0.]]))
    """

    def __init__(
        self, *, universe: Universe, costs: CostModel, fill: str = "next_open", participation: float | None = None
    ) -> None:
        if fill not in TIMINGS:
            raise ConfigError(
                f"fill {fill!r} is no timing of episodes, whose orders trade in the bar after their decision; "
                f"use one of: {', '.join(TIMINGS)}"
            )
        Depth(participation=participation)  # checks it
        costs = costs_of(costs)
        for part in getattr(costs, "parts", (costs,)):
            told = [name for name in ("on_bars", "on_fills") if hasattr(part, name)]
            if told:
                raise ConfigError(
                    f"costs: {type(part).__name__} answers by what `{told[0]}` told it before, and episodes of many "
                    "days have no common past; take one that looks at the trade alone, e.g. volume_share"
                )
        self.universe, self._costs, self.participation = universe, costs, participation
        self.column = rules.PRICE_AT[fill]
        self.quotes = quotes_at("open" if fill == "next_open" else "close", universe)
        self._span = _span_of(getattr(costs, "parts", (costs,)))
        self.limited = participation is not None  # whether a bar may leave a part of an order
        self._simple = bool((universe.multiplier == 1.0).all())

    def unlimited(self) -> "Beside":
        """The same market without a limit of volume."""
        other = copy.copy(self)
        other.participation, other.limited = None, False
        return other

    def trade(self, met: Met, symbol: rules.Rows, qty: Vector) -> Traded:
        """What these signed quantities (L,) trade; one of 0 trades nothing."""
        count = len(qty)
        each = np.arange(count)
        point = rules.Point(price=met.price, volume=met.volume, at=0, by=0)
        reference = rules.offered(point, met.status, each)
        got = np.where(reference > 0, qty, 0.0)
        if self.participation is not None:
            wanted = rules.Wanted(
                symbol=each, qty=got, whole=np.zeros(count, bool), lot=self.universe.lot[symbol], place=each
            )
            got, _ = rules.rationed(wanted, rules.room_of(met.volume, self.participation), None)
        rows = np.flatnonzero(got)
        if len(rows) == count and not self._span:
            price, fees = self._priced(met, symbol, got, reference, slice(None))
        else:
            price, fees = np.full(count, np.nan), np.zeros((count, len(FEE_KINDS)))
            for part in self._at_once(met, rows):  # a cost model is not asked about nothing
                price[part], fees[part] = self._priced(met, symbol, got, reference, part)
        return Traded(qty=got, price=price, reference=reference, fees=fees)

    def _at_once(self, met: Met, rows: rules.Rows) -> list[rules.Rows]:
        """These rows, in parts whose trades are of one time as far as the cost model looks at it."""
        if not rows.size:
            return []
        if not self._span:
            return [rows]
        found, of = np.unique(met.ts[rows] // self._span, return_inverse=True)
        return [rows[of == k] for k in range(len(found))]

    def _priced(self, met: Met, symbol: rules.Rows, qty: Vector, reference: Vector, rows: Any) -> tuple[Vector, Matrix]:
        """Prices and fees of these rows, which trade."""
        s, size = symbol[rows], qty[rows]
        bid, ask = (None if quote is None else quote[rows] for quote in (met.bid, met.ask))
        at = Conditions(ts=met.ts[rows].item(0), symbol=s, volume=met.volume[rows], bid=bid, ask=ask)
        multiplier = self.universe.multiplier[s]
        one = multiplier if self._simple else np.ones(len(size))
        trades = buying.Trades(
            symbol=s,
            qty=size,
            reference=reference[rows],
            unit=multiplier,
            multiplier=multiplier,
            rate=one,
            lot=one,
            at=at,
            simple=self._simple,
        )
        price, _, fees = buying.money(trades, self._costs)
        return price, fees


def _span_of(parts: tuple[Any, ...]) -> int:
    """Within which ns these cost models cannot tell two instants apart; 0 = they never look at the time."""
    if not all(type(part).__module__.startswith("components.costs.") for part in parts):
        return 1  # of the user's own, who may look at every instant
    return DAY_NS if any(getattr(part, "by_day", False) for part in parts) else 0
