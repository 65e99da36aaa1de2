"""Accounts of every timing and kind, and sessions that use every kind of order, by seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from components.costs.bps import Bps
from components.costs.per_share import PerShare
from components.costs.square_root import SquareRoot
from components.costs.tiered import Tier, Tiered
from components.costs.together import Together
from components.financing.borrow_fee import BorrowFee
from components.financing.cash_interest import CashInterest
from components.financing.margin_interest import MarginInterest
from engine.events import (
    DAY_NS,
    HOUR_NS,
    SESSION_CLOSED,
    ActionKind,
    Approved,
    Bars,
    Event,
    LegAction,
    OrderKind,
    Status,
    TimeInForce,
    Timer,
)
from tests.components.brokers.made import action, sessions
from tests.components.brokers.routed import Routed, mixed, rates, shortable
from tests.make import bars, day, legs

N, SLICES, PER_DAY = 4, 14, 3
STOCKS = replace(mixed(), tick=np.full(N, 0.01))
SESSIONS = sessions(60)
TIMINGS: tuple[dict[str, Any], ...] = (
    {"fill": "next_open"},
    {"fill": "next_close"},
    {"fill": "next_vwap"},
    {"fill": "open_auction"},
    {"fill": "close_auction"},
    {"fill": "same_close"},
    {"fill": "same_close", "when_closed": "next_open"},
)
ACCOUNTS: tuple[dict[str, Any], ...] = (
    {},
    {"settlement_days": 2},
    {"leverage": 2.0, "maintenance": 0.3},
    {"short": True, "leverage": 1.5, "maintenance": 0.5},
    {"short": True},
)


def costs(kind: int) -> Any:
    """Without memory, with a minimum an order, and of components that learn from bars and fills."""
    if kind == 0:
        return Bps()
    if kind == 1:
        return Bps(commission_bps=5, slippage_bps=5, min_commission=1, universe=STOCKS)
    parts = (
        SquareRoot(universe=STOCKS, window=4, eta=0.5, fallback_bps=3),
        PerShare(rate=0.01, minimum=1, maximum=0.01, universe=STOCKS),
        Tiered(tiers=(Tier(0, 0.01), Tier(200, 0.005)), universe=STOCKS),
    )
    return Together(parts=parts, universe=STOCKS)


def financing() -> tuple[Any, ...]:
    return (
        BorrowFee(universe=STOCKS, annual_bps=500),
        MarginInterest(universe=STOCKS, annual_bps=900),
        CashInterest(universe=STOCKS, annual_bps=200),
    )


def account(rng: np.random.Generator, options: dict[str, Any], *, intraday: bool) -> Callable[[], Routed]:
    """A way to make the same account again and again."""
    chosen = dict(options)
    if intraday or rng.random() < 0.3:
        chosen["sessions"] = SESSIONS
    for option, value in (("participation", 0.2), ("price_limit", 0.06), ("touch", True)):
        if rng.random() < 0.4:
            chosen[option] = value
    kind, charged = int(rng.integers(0, 3)), rng.random() < 0.5

    def make() -> Routed:
        own = chosen | ({"financing": financing()} if charged else {})
        return Routed(STOCKS, cash=20_000.0, costs=costs(kind), **own)

    return make


def script(rng: np.random.Generator, *, intraday: bool) -> list[Event]:
    """Bars, orders of every kind with cancels and replaces of earlier ones, references and corporate actions."""
    events: list[Event] = []
    close, sent, date = np.array([50.0, 20.0, 80.0, 9.0]), 0, 0
    for k in range(SLICES):
        date = 1 + k // PER_DAY if intraday else date + int(rng.choice([1, 1, 1, 3]))
        length = 2 * HOUR_NS if intraday else DAY_NS
        opened = int(SESSIONS.opens[date]) + (k % PER_DAY * length if intraday else 0)
        ts = opened + length if intraday else day(date)
        if intraday and k % PER_DAY == PER_DAY - 1:
            ts = int(SESSIONS.closes[date])
        if rng.random() < 0.2:
            events.append(rates(opened - 2, [1.0, *np.round(rng.uniform(0.5, 2, 2), 3).tolist()]))
        if rng.random() < 0.1:
            events.append(shortable(opened - 2, rng.choice([0.0, 40.0, 200.0, np.nan], N).tolist()))
        bar = one_bar(rng, close, ts=ts, opened=opened, length=length)
        close = np.where(np.isnan(bar.close), close, bar.close)
        events.append(bar)
        count = int(rng.integers(0, 5))
        if count:
            events.append(some_legs(rng, close, ts, count, sent))
            sent += count
        if intraday and ts == SESSIONS.closes[date]:
            events.append(Timer(ts=ts, name=SESSION_CLOSED, due=ts))
        if rng.random() < 0.15:
            kind = rng.choice([ActionKind.SPLIT, ActionKind.SPLIT, ActionKind.CASH_DIVIDEND])
            s, ratio = int(rng.integers(0, N)), float(rng.choice([0.5, 1.5, 2.0, 3.0]))
            events.append(
                replace(action(kind, s, ratio=ratio, amount=1.25), ts=ts + 1, pay_at=np.array([ts + 2 * DAY_NS]))
            )
            if kind == ActionKind.SPLIT:
                close[s] = np.round(close[s] / ratio, 2)
    return events


def one_bar(rng: np.random.Generator, close: Any, *, ts: int, opened: int, length: int) -> Bars:
    start = np.round(close * np.exp(rng.normal(0, 0.03, N)), 2)
    end = np.round(start * np.exp(rng.normal(0, 0.05, N)), 2)
    high = np.round(np.maximum(start, end) * (1 + rng.uniform(0, 0.03, N)), 2)
    low = np.round(np.minimum(start, end) * (1 - rng.uniform(0, 0.03, N)), 2)
    volume = np.round(rng.uniform(0, 800, N)) * (rng.random(N) > 0.05)
    gone = rng.random(N) < 0.08
    columns = {"open": start, "high": high, "low": low, "volume": volume, "vwap": (high + low + end) / 3}
    return bars(
        ts,
        np.where(gone, np.nan, end),
        **{name: np.where(gone, np.nan, column) for name, column in columns.items()},
        interval_ns=length,
        opened=opened,
        status=np.where(gone, int(Status.MISSING), 0),
    )


def some_legs(rng: np.random.Generator, close: Any, ts: int, count: int, sent: int) -> Approved:
    """New orders, and changes of orders that were sent lately."""
    symbol = rng.integers(0, N, count)
    changes = (rng.random(count) < 0.25) & (sent > 0)
    qty = rng.integers(-60, 90, count) * STOCKS.lot[symbol]
    prices = {name: np.round(close[symbol] * rng.uniform(0.94, 1.06, count), 2) for name in ("limit", "stop")}
    kind = np.where(changes, 0, rng.integers(0, len(OrderKind), count)).astype(np.int32)
    unneeded = ~np.isin(kind, (OrderKind.LIMIT, OrderKind.STOP_LIMIT, OrderKind.STOP)) & (rng.random(count) < 0.6)
    action_of = np.where(changes, rng.choice([LegAction.CANCEL, LegAction.REPLACE], count), LegAction.NEW)
    made: Approved = legs(
        Approved,
        ts,
        symbol=symbol.tolist(),
        qty=np.where(changes & (rng.random(count) < 0.5), np.nan, qty),
        ids=np.arange(sent + 1, sent + 1 + count, dtype=np.uint64),
        ref=np.where(changes, rng.integers(max(0, sent - 8), max(sent, 1), count) + 1, 0).astype(np.uint64),
        action=action_of.astype(np.int32),
        kind=kind,
        trail=np.where(changes, np.nan, np.round(close[symbol] * 0.03, 2)),
        tif=rng.integers(0, len(TimeInForce), count).astype(np.int32),
        expires=ts + rng.integers(1, 6, count) * (DAY_NS // 2),
        **{name: np.where(unneeded, np.nan, column) for name, column in prices.items()},
    )
    return made
