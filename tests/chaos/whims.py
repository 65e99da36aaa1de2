"""Components without reason: what they want follows from seed and slice alone, so that a restart wants the same."""

from typing import Any

import numpy as np

from engine.events import Bars, Book, LegAction, OrderKind, Orders, Out, Signal, Target, TargetKind, TimeInForce
from engine.ids import OrderIds
from engine.state import pack, unpack
from engine.universe import Universe


def dice(seed: int, ts: int) -> np.random.Generator:
    return np.random.default_rng([seed, ts % (1 << 32), abs(ts) >> 32])


class Whims:
    """A strategy: any kind of target for some names, now and then with limit and stop prices, now and then nothing."""

    def __init__(self, *, seed: int, universe: Universe, name: str, interval_ns: int = 0, short: bool) -> None:
        self._seed, self._n, self._name, self.interval_ns = seed, len(universe), name, interval_ns
        self._short = short

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        rng, n = dice(self._seed, book.ts), self._n
        if rng.random() < 0.3:
            return None
        kind = list(TargetKind)[int(rng.integers(3))]
        side = rng.uniform(-0.5 if self._short else 0.0, 1.0, n) / n
        unit = {TargetKind.WEIGHT: 1.0, TargetKind.VALUE: max(book.equity, 1.0)}.get(kind)
        with np.errstate(invalid="ignore"):
            value = side * (unit if unit is not None else np.trunc(max(book.equity, 1.0) / book.mark))
        value = np.where(rng.random(n) < 0.2, np.nan, value)
        near = book.mark * rng.uniform(0.98, 1.02, n)
        limit = np.where(rng.random(n) < 0.2, near, np.nan)
        stop = np.where(rng.random(n) < 0.1, near, np.nan)
        alpha = np.where(rng.random(n) < 0.1, np.nan, rng.normal(0, 0.01, n))
        return Target(ts=book.ts, source=self._name, kind=kind, value=value, alpha=alpha, limit=limit, stop=stop)


class Whimsical:
    """An optimizer: orders of every kind and life, cancels and replaces of what is open and of what is not."""

    def __init__(self, *, seed: int, universe: Universe, ids: OrderIds, name: str) -> None:
        self._seed, self._universe, self._ids, self._name = seed, universe, ids, name

    def on_bars(self, bars: Bars, /) -> None:
        return None

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Out:
        rng = dice(self._seed, book.ts)
        count = int(rng.integers(0, 6))
        known = np.flatnonzero(book.mark > 0)
        if not count or not known.size:
            return None
        symbol = rng.choice(known, count).astype(np.int32)
        action = rng.choice(list(LegAction), count, p=[0.7, 0.2, 0.1]).astype(np.int32)
        opened = book.open_orders.ids
        ref = rng.choice(opened, count) if opened.size else np.full(count, 7, np.uint64)
        mark, tick = book.mark[symbol], self._universe.tick[symbol]
        columns: dict[str, Any] = {}
        for name, low, high in (("limit", 0.97, 1.03), ("stop", 0.97, 1.03), ("trail", 0.01, 0.05)):
            price = mark * rng.uniform(low, high, count)
            if rng.random() < 0.8:  # mostly on the tick, where there is one
                price = np.where(tick > 0, np.maximum(np.rint(price / np.where(tick > 0, tick, 1.0)), 1) * tick, price)
            columns[name] = np.where(rng.random(count) < 0.1, np.nan, price)
        lots = self._universe.lot[symbol]
        worth = max(book.equity, 1.0) * rng.uniform(0.01, 0.3, count) / (mark * self._universe.multiplier[symbol])
        qty = np.maximum(np.trunc(worth / lots), 1.0) * lots * rng.choice([1.0, 1.0, -1.0], count)
        qty = np.where(action == LegAction.REPLACE, np.where(rng.random(count) < 0.5, np.nan, qty), qty)
        return Orders(
            ts=book.ts,
            action=action,
            ids=self._ids.following(ts=book.ts, count=count),
            ref=np.where(action == LegAction.NEW, 0, ref).astype(np.uint64),
            symbol=symbol,
            qty=np.where(action == LegAction.CANCEL, 0.0, qty),
            kind=rng.choice(list(OrderKind), count).astype(np.int32),
            tif=rng.choice(list(TimeInForce), count).astype(np.int32),
            expires=np.full(count, book.ts + int(rng.integers(1, 6)) * 10**13, np.int64),
            **columns,
        )

    def save(self) -> bytes:
        return pack("whimsical", 1, sent=self._ids.sent)

    def load(self, state: bytes, /) -> None:
        ts, count = unpack(state, "whimsical", 1)["sent"]
        self._ids.sent = (ts, count)


class Failing:
    """Another component that raises in one handler from some instant on."""

    def __init__(self, inner: Any, method: str, since: int) -> None:
        self._inner, self._method, self._since = inner, method, since

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        def handler(event: Any, *rest: Any) -> Any:
            at = rest[0].ts if rest else event.ts
            if at >= self._since:
                raise RuntimeError("planted")
            return found(event, *rest)

        return handler


class Slowly:
    """Another component with a handler that runs in a worker thread."""

    def __init__(self, inner: Any, method: str) -> None:
        self._inner, self.slow_handlers = inner, (method,)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
