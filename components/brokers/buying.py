"""How far the money goes: what trades cost, and which of them are cut when there is too little."""

from typing import Any

import msgspec
import numpy as np

from components.brokers.fill_rules import Rows, repeats
from engine.events import Mask, Matrix, Vector
from engine.protocols import Conditions, CostModel

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
    at: Conditions  # of the bar that fills
    limit: Vector | None = None  # no trade pays more, or is paid less, than this; NaN = none
    later: bool = False  # what sales bring cannot be spent yet
    simple: bool = False  # unit, multiplier and rate are one for every symbol


def money(trades: Trades, costs: CostModel) -> tuple[Vector, Vector, Matrix]:
    """Fill price, money that leaves in the base currency (L,) and fees (L, K) of these trades.

    outflow_i = qty_i price_i unit_i + rate_i sum_k fee_ik

    A price that slippage would take beyond the limit of its order is that limit.
    """
    qty, limit = trades.qty, trades.limit
    price = costs.price(qty, trades.reference, trades.at)
    if limit is not None:
        price = np.where(qty > 0, np.fmin(price, limit), np.fmax(price, limit))
    if trades.simple:
        fees = costs.fees(qty, price, trades.at)
        return price, qty * price + np.add.reduce(fees, 1), fees
    fees = costs.fees(qty * trades.multiplier, price, trades.at)
    return price, qty * price * trades.unit + np.add.reduce(fees, 1) * trades.rate, fees


def _held_before(trades: Trades, held: Vector) -> Vector:
    """(L,) the position that each trade meets after those before it."""
    now: dict[int, float] = {}
    before = []
    for s, qty in zip(trades.symbol.tolist(), trades.qty.tolist(), strict=True):
        before.append(now.get(s, held.item(s)))
        now[s] = before[-1] + qty
    return np.array(before)


class Cut(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the buying power allows of each trade, what the whole trade needed, and what there was. (L,)"""

    qty: Vector
    need: Vector
    power: Vector
    bare: Mask  # sales that the floor has cut


def needs(trades: Trades, held: Vector, price: Vector, fees: Matrix) -> Vector:
    """The buying power (L,) that each trade takes; negative where it gives. Trades of one symbol see each other.

    need_i = (|held_i + qty_i| - |held_i|) price_i unit_i + rate_i sum_k fee_ik
    """
    before = _held_before(trades, held) if repeats(trades.symbol) else held[trades.symbol]
    grown = np.abs(before + trades.qty) - np.abs(before)
    taken: Vector = grown * price * trades.unit + np.add.reduce(fees, 1) * trades.rate
    return taken


def affordable(
    trades: Trades, whole: Mask, held: Vector, costs: CostModel, power: float, floor: Vector | None = None
) -> Cut:
    """The quantity of each trade that the buying power allows, signed, toward zero in whole lots.

    Trades come in the given order; each takes what it needs of what is left, and one that needs more is cut to the
    largest number of whole lots that fits, or to nothing where it must trade `whole`. What only reduces a position is
    never cut. `held` (N,) is the position before, by symbol; several trades of a symbol see each other. A sale
    trades no more than what is held above the `floor` (N,) when its turn comes, None = there is none.

    >>> from components.costs.bps import Bps
    >>> one = np.ones(2)
    >>> buys = Trades(symbol=np.array([0, 1]), qty=np.array([60.0, 60.0]), reference=10 * one, unit=one,
    ...     multiplier=one, rate=one, lot=one, at=Conditions(ts=day(1), symbol=np.array([0, 1])))
    >>> affordable(buys, np.zeros(2, bool), np.zeros(2), Bps(), 1000.0).qty
    array([60., 40.])
    """
    held, count = held.copy(), len(trades.qty)
    cut = Cut(qty=np.zeros(count), need=np.zeros(count), power=np.zeros(count), bare=np.zeros(count, bool))
    for i in range(count):
        one = _row(trades, i)
        s, qty = int(one.symbol[0]), float(one.qty[0])
        if floor is not None and qty < 0:
            most = min(float(floor[s] - held[s]), 0.0)
            qty, cut.bare[i] = max(qty, most), qty < most
            one = msgspec.structs.replace(one, qty=np.array([qty]))
            if not qty:
                continue
        cut.need[i], cut.power[i] = _need(qty, one, float(held[s]), costs), power
        part = _largest(one, float(held[s]), costs, power)
        if part != float(trades.qty[i]) and whole[i]:
            part = 0.0
        if part:
            cut.qty[i] = part
            need = _need(part, one, float(held[s]), costs)
            power -= max(need, 0.0) if trades.later else need
            held[s] += part
    return cut


def _row(columns: Any, i: int) -> Any:
    """Row i of a struct of columns, as columns of length one."""
    rows = {}
    for name in columns.__struct_fields__:
        value = getattr(columns, name)
        if isinstance(value, Conditions):
            rows[name] = _row(value, i)
        else:
            rows[name] = value[i : i + 1] if isinstance(value, np.ndarray) else value
    return type(columns)(**rows)


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
