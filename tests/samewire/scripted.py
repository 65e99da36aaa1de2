"""A market, opinions and wishes that are written down: to bring about one thing at a time in a real session."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from components.execution.pace import Market, Parents
from engine.events import (
    DAY_NS,
    Approved,
    Bars,
    Book,
    Children,
    Codes,
    Control,
    ControlAction,
    Event,
    Features,
    Fills,
    Ids,
    Orders,
    Refusals,
    Signal,
    Status,
    Target,
    TargetKind,
    Vector,
)
from engine.ids import OrderIds
from engine.protocols import CostModel, Issue
from engine.universe import Universe, universe_of
from tests.make import bars, day


def _places(marks: tuple[str, ...]) -> set[tuple[int, int]]:
    """(symbol, slice) of marks such as S1@3."""
    return {(int(mark[1 : mark.index("@")]), int(mark[mark.index("@") + 1 :])) for mark in marks}


class Script:
    """Symbols S0, S1, ... at 10, 20, ... with 2 % between low and close.

    What is marked has no bar, or is no member; from `crash_at` on prices are 40 % lower.
    """

    def __init__(
        self,
        *,
        symbols: int = 5,
        slices: int = 8,
        lot: float = 1.0,
        missing: tuple[str, ...] = (),
        halted: tuple[str, ...] = (),
        outside: tuple[str, ...] = (),
        control: str = "",
        control_at: int = 0,
        drift: float = 0.0,
        crash_at: int = 1_000,
    ) -> None:
        self.universe = universe_of(tuple(f"S{i}" for i in range(symbols)), lot=lot)
        self.interval_ns, self.sectors = DAY_NS, ()
        self._n, self._slices, self._drift = symbols, slices, drift
        self._crash_at = crash_at
        self._missing, self._halted, self._outside = _places(missing), _places(halted), _places(outside)
        self._control, self._control_at = control, control_at
        self.span = (day(0), day(slices - 1))

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        for k in range(self._slices):
            if (start is None or day(k) >= start) and (end is None or day(k) < end):
                if self._control and k == self._control_at:
                    action = ControlAction(self._control)
                    yield Control(ts=day(k), action=action, actor="ann", reason="a drill")
                yield self.slice(k)

    def slice(self, k: int) -> Bars:
        close, n = 10.0 * np.arange(1, self._n + 1), self._n
        close = close * (1 + self._drift * np.sin(k * np.arange(1, n + 1)))
        close = close * (0.6 if k >= self._crash_at else 1.0)
        status = np.zeros(n, np.int32)
        member = np.ones(n, bool)
        for marks, said in ((self._missing, Status.MISSING), (self._halted, Status.HALTED)):
            for s, at in marks:
                if at == k:
                    close[s], status[s] = np.nan, said
        for s, at in self._outside:
            member[s] &= at != k
        return bars(day(k), close, low=close * 0.98, high=close * 1.02, status=status, member=member)

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


class Opinions:
    """A model that has the same opinions in every slice, after `silent` slices without any; NaN of the `unknown`."""

    lookback = 0

    def __init__(
        self,
        *,
        universe: Universe,
        name: str,
        values: tuple[float, ...],
        silent: int = 0,
        unknown: tuple[int, ...] = (),
    ) -> None:
        self._name, self._silent, self._seen = name, silent, 0
        self._values = np.array(values, float)
        self._values[list(unknown)] = np.nan

    def on_bars(self, bars: Bars, /) -> Signal:
        self._seen += 1
        value = self._values if self._seen > self._silent else np.full_like(self._values, np.nan)
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS)


class Turns:
    """A model whose opinions move on by one name every `every` slices, and stand in between."""

    lookback = 0

    def __init__(self, *, universe: Universe, name: str, values: tuple[float, ...], every: int) -> None:
        self._name, self._values, self._every, self._seen = name, np.array(values), every, 0

    def on_bars(self, slice_: Bars, /) -> Signal:
        value = np.roll(self._values, self._seen // self._every)
        self._seen += 1
        return Signal(ts=slice_.ts, asof=slice_.ts, source=self._name, value=value, horizon_ns=0)


class FromFeatures:
    """A model that answers with the first feature."""

    lookback = 0

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._name = name

    def on_features(self, features: Features, /) -> Signal:
        ts, value = features.ts, np.array(features.value[:, 0], float)
        return Signal(ts=ts, asof=ts, source=self._name, value=value, horizon_ns=DAY_NS, model_hash="ab" * 16)


class Wish:
    """A strategy that wants the same weights in every slice, at limit prices where they are given (0 = none).

    From its `drop_at`-th answer on it wants nothing.
    """

    interval_ns = 0

    def __init__(
        self,
        *,
        universe: Universe,
        name: str,
        weights: tuple[float, ...],
        limits: tuple[float, ...] = (),
        since: int = 0,
        infinite: tuple[int, ...] = (),
        left_alone: tuple[int, ...] = (),
        drop_at: int = -1,
    ) -> None:
        self._name, self._since, self._seen, self._drop_at = name, since, 0, drop_at
        self._weights = np.array(weights, float)
        self._weights[list(infinite)], self._weights[list(left_alone)] = np.inf, np.nan
        prices = np.array(limits or (0.0,) * len(weights), float)
        self._limit = np.where(prices > 0, prices, np.nan)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        self._seen += 1
        if self._seen <= self._since:
            return None
        if self._seen == self._drop_at:
            self._weights = np.zeros_like(self._weights)
        return Target(
            ts=book.ts,
            source=self._name,
            kind=TargetKind.WEIGHT,
            value=self._weights,
            alpha=signals[0].value,
            limit=self._limit,
            stop=np.full(len(self._weights), np.nan),
        )


class Halves:
    """An execution policy that sends a half of each new order at once and the other half at the next book."""

    def __init__(self, *, universe: Universe, ids: OrderIds, name: str) -> None:
        self._ids, self._later = ids, tuple[Children, ...]()

    def on_orders(self, orders: Orders, /) -> Children:
        half = np.floor(orders.qty / 2)
        count = len(half)
        self._later += (self._children(orders, orders.qty - half, self._ids(ts=orders.ts, count=count, attempt=1)),)
        return self._children(orders, half, self._ids(ts=orders.ts, count=count))

    def _children(self, orders: Orders, qty: Vector, ids: Ids) -> Children:
        columns = {name: getattr(orders, name) for name in orders.__struct_fields__}
        return Children(**(columns | {"qty": qty, "ids": ids}), parent=orders.ids)

    def on_bars(self, bars: Bars, /) -> None: ...

    def on_fills(self, fills: Fills, /) -> None: ...

    def on_book(self, book: Book, /) -> tuple[Children, ...]:
        later, self._later = self._later, ()
        return tuple(msgspec.structs.replace(children, ts=book.ts) for children in later)


class FrontLoaded:
    """A pace of one's own: a share of what is left in every slice."""

    completes = True

    def __init__(self, *, horizon: int, share: float = 0.5, span_days: bool = True) -> None:
        self.horizon, self.span_days, self._share = horizon, span_days, share

    def due(self, parents: Parents, market: Market, /) -> Vector:
        return parents.left * self._share


class Unready:
    """A pace without a horizon."""

    def due(self, parents: Parents, market: Market, /) -> Vector:
        return parents.left


class FillsAPart:
    """A broker that fills 100 shares of each order and refuses the rest, at the next slice."""

    def __init__(self, *, costs: CostModel) -> None:
        self._waiting: list[tuple[int, int, float]] = []  # id, symbol, signed shares

    def on_orders(self, orders: Approved, /) -> None:
        self._waiting += zip(orders.ids.tolist(), orders.symbol.tolist(), orders.qty.tolist(), strict=True)

    def on_bars(self, bars: Bars, /) -> tuple[Refusals | Fills, ...]:
        waiting, self._waiting = self._waiting, []
        ids = np.array([each[0] for each in waiting], np.uint64)
        symbol = np.array([each[1] for each in waiting], np.int32)
        qty = np.array([each[2] for each in waiting])
        now, left = np.clip(qty, -100.0, 100.0), qty - np.clip(qty, -100.0, 100.0)
        fills = bought(bars.ts, ids=ids, symbol=symbol, qty=now, price=bars.open[symbol])
        if not np.count_nonzero(left):
            return (fills,)
        rule = ("borrow",) * len(ids)
        told = {"value": np.abs(left), "threshold": np.zeros(len(ids))}
        return (Refusals(ts=bars.ts, by="broker", ids=ids, symbol=symbol, qty=left, rule=rule, **told), fills)


def bought(ts: int, *, ids: Ids, symbol: Codes, qty: Vector, price: Vector) -> Fills:
    """Fills at the market's price, without fees."""
    n = len(ids)
    made = {"exec_ids": ids + np.uint64(1), "order_ids": ids, "symbol": symbol, "qty": qty, "at": np.full(n, ts)}
    return Fills(ts=ts, **made, price=price, reference=price, fees=np.zeros((n, 3)))


class FromOutside:
    """The scripted market, and in its fourth slice the fill of an order that nobody here sent."""

    def __init__(self) -> None:
        self._script = Script()
        self.universe, self.interval_ns, self.sectors = self._script.universe, DAY_NS, ()
        self.span = self._script.span

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        for event in self._script.events(start, end):
            yield event
            if event.ts == day(3):
                price, symbol = np.array([10.0]), np.array([0], np.int32)
                yield bought(event.ts, ids=np.array([0xABC << 48], np.uint64), symbol=symbol, qty=price, price=price)

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


def config(**changes: Any) -> dict[str, Any]:
    """A run of five symbols whose scores fall from S0 to S4; `changes` replace whole sections."""
    return {
        "schema": 1,
        "session": {"name": "scripted", "cash": 100_000},
        "feed": {"use": "tests.samewire.scripted:Script"},
        "models": [{"name": "view", "use": "tests.samewire.scripted:Opinions", "values": [5, 4, 3, 2, 1]}],
        "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1},
        "optimizer": {"use": "direct"},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
    } | changes


def feed(**options: Any) -> dict[str, Any]:
    return {"use": "tests.samewire.scripted:Script", **options}


def wish(*weights: float, **options: Any) -> dict[str, Any]:
    return {"use": "tests.samewire.scripted:Wish", "weights": list(weights), **options}


def view(*values: float, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "view", "use": "tests.samewire.scripted:Opinions", "values": list(values), **options}]
