"""When an order trades, at which price and how much of it: pure functions of arrays.

Nothing here remembers anything, so that a simulated broker and a vectorised environment can share the rules.
"""

from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import Bars, Codes, Ids, Mask, Matrix, Stamps, Vector
from engine.protocols import CostModel

Rows: TypeAlias = NDArray[np.intp]

_EXEC_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so that the fills of one order never share an id
_NEAR = 4  # guesses beside the first one before the search halves what is left


class Trades(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What would trade at one instant, in the order in which it is given money. All of shape (L,)."""

    symbol: Rows
    qty: Vector  # signed shares
    reference: Vector  # the market's price
    unit: Vector  # base currency for one point and share: multiplier times exchange rate
    multiplier: Vector
    rate: Vector  # base currency for one unit of the symbol's currency
    lot: Vector


def every(mask: Mask) -> bool:
    """mask.all(), for the few legs of a slice at a tenth of its cost.

    >>> every(np.array([True, True])), every(np.array([True, False]))
    (True, False)
    """
    return 0 not in mask.tobytes()


def next_open(bars: Bars, symbol: Codes, accepted: Stamps, until: Stamps) -> tuple[Mask, Vector]:
    """Which orders trade at the open of this bar, and that price.

        trades_i = (bar of i is FRESH) and (volume_i != 0) and (accepted_i <= opened <= until_i)

    A bar that began before the order was accepted never fills it, however late it closes; a missing or halted bar has
    no price, and at the prices of a bar without volume nobody traded. An unknown volume (NaN) is no reason to rest.

    >>> day_two = bars(ts=day(1), close=[10.0, np.nan], open=[9.0, np.nan])
    >>> next_open(day_two, np.array([0, 1]), np.array([day(0), day(0)]), np.array([day(9), day(9)]))
    (array([ True, False]), array([ 9., nan]))
    """
    at = symbol.astype(np.intp)  # indexing by it is six times as fast
    reference = bars.open[at]
    trades: Mask = (reference > 0.0) & (accepted <= bars.opened) & (until >= bars.opened)
    if np.count_nonzero(bars.status):
        trades &= bars.status[at] == 0
    volume = bars.volume[at]
    if np.count_nonzero(volume) < len(volume):
        trades &= volume != 0.0
    return trades, reference


def reducing_first(qty: Vector, held: Vector) -> Rows | None:
    """The order of execution: what brings a position nearer to zero first, then as accepted. None: as it is.

    >>> reducing_first(np.array([5.0, -3.0, 2.0]), np.array([0.0, 3.0, 0.0]))
    array([1, 0, 2])
    >>> reducing_first(np.array([-3.0, 5.0]), np.array([3.0, 0.0])) is None
    True
    """
    if len(qty) == 1:
        return None
    later = qty * held >= 0.0
    if every(later[:-1] <= later[1:]):
        return None
    return np.argsort(later, kind="stable")


def repeats(symbol: Codes) -> bool:
    """Whether a symbol stands twice."""
    return len(set(symbol.tolist())) < len(symbol)


def money(trades: Trades, costs: CostModel) -> tuple[Vector, Vector, Matrix]:
    """Fill price, money that leaves in the base currency (L,) and fees (L, K) of these trades.

    outflow_i = qty_i price_i unit_i + rate_i sum_k fee_ik
    """
    qty = trades.qty
    price = costs.price(qty, trades.reference)
    fees = costs.fees(qty * trades.multiplier, price)
    return price, qty * price * trades.unit + np.add.reduce(fees, 1) * trades.rate, fees


class Cut(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the buying power allows of each trade, what the whole trade needed, and what there was. (L,)"""

    qty: Vector
    need: Vector
    power: Vector


def needs(trades: Trades, held: Vector, price: Vector, fees: Matrix) -> Vector:
    """The buying power (L,) that each trade takes; negative where it gives. One trade a symbol.

    need_i = (|held_i + qty_i| - |held_i|) price_i unit_i + rate_i sum_k fee_ik
    """
    before = held[trades.symbol]
    grown = np.abs(before + trades.qty) - np.abs(before)
    taken: Vector = grown * price * trades.unit + np.add.reduce(fees, 1) * trades.rate
    return taken


def affordable(trades: Trades, whole: Mask, held: Vector, costs: CostModel, power: float) -> Cut:
    """The quantity of each trade that the buying power allows, signed, toward zero in whole lots.

    Trades come in the given order; each takes what it needs of what is left, and one that needs more is cut to the
    largest number of whole lots that fits, or to nothing where it must trade `whole`. What only reduces a position is
    never cut. `held` (N,) is the position before, by symbol; several trades of a symbol see each other.

    >>> from components.costs.bps import Bps
    >>> one = np.ones(2)
    >>> buys = Trades(symbol=np.array([0, 1]), qty=np.array([60.0, 60.0]), reference=10 * one, unit=one,
    ...     multiplier=one, rate=one, lot=one)
    >>> affordable(buys, np.zeros(2, bool), np.zeros(2), Bps(), 1000.0).qty
    array([60., 40.])
    """
    held, count = held.copy(), len(trades.qty)
    cut = Cut(qty=np.zeros(count), need=np.zeros(count), power=np.zeros(count))
    for i in range(count):
        one = Trades(**{name: getattr(trades, name)[i : i + 1] for name in Trades.__struct_fields__})
        s, qty = int(one.symbol[0]), float(one.qty[0])
        cut.need[i], cut.power[i] = _need(qty, one, float(held[s]), costs), power
        part = _largest(one, float(held[s]), costs, power)
        if part != qty and whole[i]:
            part = 0.0
        if part:
            cut.qty[i] = part
            power -= _need(part, one, float(held[s]), costs)
            held[s] += part
    return cut


def _need(qty: float, one: Trades, held: float, costs: CostModel) -> float:
    price, _, fees = money(msgspec.structs.replace(one, qty=np.array([qty])), costs)
    grown = abs(held + qty) - abs(held)
    return float(grown * price[0] * one.unit[0] + fees.sum() * one.rate[0])


def _largest(one: Trades, held: float, costs: CostModel, power: float) -> float:
    """The largest part of one trade, in whole lots, that needs at most this power; at least what closes a position."""
    qty, lot = float(one.qty[0]), float(one.lot[0])
    closes = min(abs(qty), abs(held)) if qty * held < 0 else 0.0
    need = _need(qty, one, held, costs)
    if need <= power or closes == abs(qty):
        return qty
    side = 1.0 if qty > 0 else -1.0
    enough, too_much = 0, int(np.ceil((abs(qty) - closes) / lot - 1e-9))
    guess = int(too_much * power / need) if power > 0 else 0  # need is above power, so above zero then
    tries = 0
    while too_much - enough > 1:
        guess = min(max(guess, enough + 1), too_much - 1)
        if _need(side * (closes + guess * lot), one, held, costs) <= power:
            enough, near = guess, guess + 1
        else:
            too_much, near = guess, guess - 1
        tries += 1
        guess = near if tries < _NEAR else (enough + too_much) // 2
    return side * (closes + enough * lot)


def split_quantity(qty: Vector, ratio: float, lot: Vector) -> Vector:
    """Quantity of open orders after a split, in whole lots; the residue is dropped toward zero.

    >>> split_quantity(np.array([5.0, -5.0]), 1.5, np.array([1.0, 1.0]))
    array([ 7., -7.])
    """
    adjusted: Vector = np.trunc(np.round(qty * ratio / lot, 9)) * lot
    return adjusted


def whole_lots(qty: Vector, lot: Vector) -> Mask:
    """Whether a finite quantity is a whole number of lots, zero excluded.

    >>> whole_lots(np.array([200.0, 150.0, 0.0, 0.3]), np.array([100.0, 100.0, 1.0, 0.1]))
    array([ True, False, False,  True])
    """
    lots = qty / lot
    near = np.rint(lots)
    whole: Mask = (np.abs(lots - near) <= 1e-9 * np.abs(lots)) & (near != 0)
    return whole


def exec_ids(order_ids: Ids, count: Codes) -> Ids:
    """Id of the `count`-th fill of each order, counted from zero: the same order fills under the same ids again."""
    if not np.count_nonzero(count):  # first fills: the usual case
        return order_ids + _EXEC_STEP
    return order_ids + _EXEC_STEP * (count + 1).astype(np.uint64)
