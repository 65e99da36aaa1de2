"""Events for tests: short to write, right in shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.events import (
    DAY_NS,
    Bars,
    Book,
    Legs,
    OpenOrders,
    Orders,
    Signal,
    Status,
    Target,
    TargetKind,
    Vector,
)

START_NS = 1_514_926_800_000_000_000  # 2018-01-02 16:00 in New York


def day(k: int) -> int:
    """The ts of the k-th slice of a daily session (calendar days: weekends do not matter here)."""
    return START_NS + k * DAY_NS


def vector(values: Sequence[float] | Vector) -> Vector:
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def bars(ts: int = START_NS, close: Sequence[float] | Vector = (1.0,), **columns: Any) -> Bars:
    """One slice; columns not given follow the close. A NaN close makes a symbol MISSING unless `status` says else."""
    c = vector(close)
    given = {name: vector(columns.pop(name)) for name in ("open", "high", "low", "volume", "vwap") if name in columns}
    o = given.get("open", c)
    status = columns.pop("status", np.where(np.isnan(c), Status.MISSING, Status.FRESH))
    return Bars(
        ts=ts,
        interval_ns=columns.pop("interval_ns", DAY_NS),
        opened=columns.pop("opened", ts - 6 * 3600 * 10**9 - 1800 * 10**9),
        open=o,
        high=given.get("high", np.fmax(o, c)),
        low=given.get("low", np.fmin(o, c)),
        close=c,
        volume=given.get("volume", np.where(np.isnan(c), np.nan, 1e6)),
        vwap=given.get("vwap", np.full_like(c, np.nan)),
        status=np.asarray(status, np.int32),
        member=np.asarray(columns.pop("member", np.ones(len(c), bool))),
        **columns,
    )


def market(n: int = 5, slices: int = 40, *, seed: int = 0, holes: float = 0.03, late: int = 1) -> list[Bars]:
    """A random walk of n symbols; a share of `holes` bars is missing, the last `late` symbols list halfway."""
    rng = np.random.default_rng(seed)
    ret = rng.normal(0.0003, 0.015, (slices, n))
    close = 50 * np.exp(np.cumsum(ret, axis=0)) * rng.uniform(0.5, 4, n)
    opening = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.004, (slices, n)))
    high = np.maximum(opening, close) * (1 + rng.uniform(0, 0.005, (slices, n)))
    low = np.minimum(opening, close) * (1 - rng.uniform(0, 0.005, (slices, n)))
    volume = np.round(rng.lognormal(12, 0.5, (slices, n)))
    gone = rng.random((slices, n)) < holes
    if late:
        gone[: slices // 2, -late:] = True
    for column in (opening, high, low, close, volume):
        column[gone] = np.nan
    return [bars(day(k), close[k], open=opening[k], high=high[k], low=low[k], volume=volume[k]) for k in range(slices)]


def signal(ts: int, value: Sequence[float] | Vector, *, source: str = "model", asof: int | None = None) -> Signal:
    return Signal(ts=ts, asof=ts if asof is None else asof, source=source, value=vector(value), horizon_ns=DAY_NS)


def target(
    ts: int,
    value: Sequence[float] | Vector,
    *,
    kind: TargetKind = TargetKind.WEIGHT,
    alpha: Sequence[float] | Vector | None = None,
    source: str = "strategy",
    limit: Vector | None = None,
) -> Target:
    v = vector(value)
    none = np.full(len(v), np.nan)
    a = none if alpha is None else vector(alpha)
    return Target(ts=ts, source=source, kind=kind, value=v, alpha=a, limit=none if limit is None else limit, stop=none)


def no_orders() -> OpenOrders:
    empty = np.empty(0)
    none = np.empty(0, np.uint64)
    return OpenOrders(
        ids=none,
        parent=none,
        symbol=np.empty(0, np.int32),
        left=empty,
        kind=np.empty(0, np.int32),
        limit=empty,
        stop=empty,
    )


def book(ts: int, mark: Sequence[float] | Vector, *, cash: float = 1e6, qty: Any = None, **columns: Any) -> Book:
    """A book of one currency, flat unless `qty` is given; equity follows."""
    m = vector(mark)
    n = len(m)
    q = np.zeros(n) if qty is None else vector(qty)
    flat = q == 0
    defaults: dict[str, Any] = {
        "rate": vector([1.0]),
        "working": np.zeros(n),
        "open_orders": no_orders(),
        "entry": np.where(flat, np.nan, m),
        "best": np.where(flat, np.nan, m),
        "opened": np.where(flat, 0, ts),
        "realised": np.zeros(n),
        "fees": np.zeros(n),
        "income": np.zeros(n),
        "unsettled": vector([0.0]),
        "interest": vector([0.0]),
        "equity": cash + float(np.nansum(q * m)),
    }
    return Book(ts=ts, cash=vector([cash]), qty=q, mark=m, **(defaults | columns))


def legs(
    event: type[Legs] = Orders, ts: int = START_NS, *, symbol: Sequence[int], qty: Sequence[float], **columns: Any
) -> Any:
    """Market day orders with ids 1, 2, ... unless columns say otherwise."""
    n = len(symbol)
    none = np.full(n, np.nan)
    defaults: dict[str, Any] = {
        "action": np.zeros(n, np.int32),
        "ids": np.arange(1, n + 1, dtype=np.uint64),
        "ref": np.zeros(n, np.uint64),
        "kind": np.zeros(n, np.int32),
        "limit": none,
        "stop": none,
        "trail": none,
        "tif": np.zeros(n, np.int32),
        "expires": np.zeros(n, np.int64),
    }
    return event(ts=ts, symbol=np.array(symbol, np.int32), qty=vector(qty), **(defaults | columns))
