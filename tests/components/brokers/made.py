"""Brokers and short ways of asking them."""

from typing import Any

import numpy as np

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.calendar import Sessions
from engine.events import (
    DAY_NS,
    HOUR_NS,
    Actions,
    Approved,
    Fills,
    OrderKind,
    OrderState,
    Refusals,
    Reports,
    TimeInForce,
)
from engine.universe import Universe, universe_of
from tests.make import book, day, legs

SYMBOLS = ("AAA", "BBB", "CCC")


def universe(n: int = 3, **options: Any) -> Universe:
    return universe_of(tuple(f"S{i}" for i in range(n)), **options)


def broker(*, cash: float = 1e6, qty: Any = (0.0, 0.0, 0.0), costs: Bps | None = None, **options: Any) -> Simulated:
    """A broker that has seen the book of day 0, all marks at 100."""
    of = options.pop("universe", None) or universe(len(qty))
    made = Simulated(universe=of, costs=costs or Bps(), name="broker", **({"fill": "next_open"} | options))
    made.on_book(book(day(0), [100.0] * len(qty), cash=cash, qty=qty))
    return made


def approved(symbol: list[int], qty: list[float], *, ts: int = day(0), **columns: Any) -> Approved:
    made: Approved = legs(Approved, ts, symbol=symbol, qty=qty, **columns)
    return made


def cancel(ref: int, *, ts: int = day(0), own: int = 999) -> Approved:
    columns = {"action": np.array([1], np.int32), "ref": np.array([ref], np.uint64), "ids": np.array([own], np.uint64)}
    return approved([0], [0.0], ts=ts, **columns)


def replace(ref: int, qty: float, *, ts: int = day(0), own: int = 999) -> Approved:
    columns = {"action": np.array([2], np.int32), "ref": np.array([ref], np.uint64), "ids": np.array([own], np.uint64)}
    return approved([0], [qty], ts=ts, **columns)


def action(kind: int, symbol: int, *, ratio: float = 1.0, amount: float = 0.0, successor: int = -1) -> Actions:
    return Actions(
        ts=day(0) + 1,
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        ratio=np.array([ratio]),
        amount=np.array([amount]),
        pay_at=np.array([day(1)]),
        successor=np.array([successor], np.int32),
    )


def states(out: Any) -> dict[int, OrderState]:
    """Order id -> the state reported last."""
    events = out if isinstance(out, tuple) else (out,)
    return {
        int(i): OrderState(int(s))
        for event in events
        if isinstance(event, Reports)
        for i, s in zip(event.ids, event.state, strict=True)
    }


def refused(out: Any) -> dict[int, str]:
    """Leg id -> rule."""
    events = out if isinstance(out, tuple) else (out,)
    return {
        int(i): rule
        for event in events
        if isinstance(event, Refusals)
        for i, rule in zip(event.ids, event.rule, strict=True)
    }


def fills(out: Any) -> Fills:
    """The one Fills of an answer, which stands last."""
    found = [event for event in out if isinstance(event, Fills)]
    assert len(found) == 1
    assert out[-1] is found[0]
    return found[0]


def traded(out: Any) -> dict[int, float]:
    """Order id -> quantity filled."""
    one = fills(out)
    return dict(zip(one.order_ids.tolist(), one.qty.tolist(), strict=True))


def order(qty: float, kind: OrderKind = OrderKind.MARKET, **columns: Any) -> Approved:
    """One new leg, good till cancelled unless said, id 1 and symbol 0 unless said; prices as numbers."""
    dtypes = {"id": np.uint64, "tif": np.int32, "expires": np.int64}
    ts, symbol = columns.pop("ts", day(0)), columns.pop("symbol", 0)
    given = {"tif": TimeInForce.GOOD_TILL_CANCELLED} | columns
    arrays = {name: np.array([value], dtypes.get(name, np.float64)) for name, value in given.items()}
    if "id" in arrays:
        arrays["ids"] = arrays.pop("id")
    return approved([symbol], [qty], ts=ts, kind=np.array([kind], np.int32), **arrays)


def change(ref: int, qty: float = np.nan, *, ts: int = day(0), own: int = 999, **prices: float) -> Approved:
    """A replace of quantity and prices; what is not given stays."""
    columns = {"action": np.array([2], np.int32), "ref": np.array([ref], np.uint64), "ids": np.array([own], np.uint64)}
    return approved([0], [qty], ts=ts, **columns, **{name: np.array([price]) for name, price in prices.items()})


def sessions(days: int = 20) -> Sessions:
    """Trading days that close at day(0), day(1), ... and open 6.5 hours before."""
    closes = np.array([day(k) for k in range(days)])
    none = np.zeros(days, np.int64)
    return Sessions(
        name="test",
        label=closes // DAY_NS * DAY_NS,
        opens=closes - 13 * HOUR_NS // 2,
        closes=closes,
        break_from=none,
        break_to=none,
    )


def priced(out: Any) -> dict[int, tuple[float, float]]:
    """Order id -> quantity and reference price filled."""
    one = fills(out)
    return dict(zip(one.order_ids.tolist(), zip(one.qty.tolist(), one.reference.tolist(), strict=True), strict=True))
