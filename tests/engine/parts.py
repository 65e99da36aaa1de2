"""The smallest components that fit the Protocols, for tests of the wiring."""

from typing import Any

import numpy as np

from engine.barrier import Named
from engine.events import (
    Approved,
    Bars,
    Book,
    Control,
    Features,
    Fills,
    Orders,
    OrderState,
    Out,
    Refusals,
    Reports,
    Signal,
    Target,
    TargetKind,
)
from engine.ids import OrderIds
from engine.protocols import Artefact
from engine.state import pack, unpack
from engine.universe import universe_of
from engine.wiring import ModelPart, Parts
from tests.make import legs


class FillAtOpen:
    """Fills what it holds at the next open, whole."""

    def __init__(self) -> None:
        self._held: list[Approved] = []

    def on_orders(self, orders: Approved, /) -> Reports:
        self._held.append(orders)
        return self._report(orders.ts, orders, OrderState.ACCEPTED)

    def _report(self, ts: int, orders: Approved, state: OrderState) -> Reports:
        left = orders.qty if state is OrderState.ACCEPTED else np.zeros(len(orders.qty))
        return Reports(
            ts=ts, ids=orders.ids, symbol=orders.symbol, state=np.full(len(left), state, np.int32), left=left
        )

    def on_bars(self, bars: Bars, /) -> tuple[Reports | Refusals | Fills, ...]:
        if not self._held:
            none, ids = np.empty(0), np.empty(0, np.uint64)
            fees = np.empty((0, 3))
            at, symbol = np.empty(0, np.int64), np.empty(0, np.int32)
            return (
                Fills(
                    ts=bars.ts,
                    exec_ids=ids,
                    order_ids=ids,
                    symbol=symbol,
                    qty=none,
                    price=none,
                    reference=none,
                    fees=fees,
                    at=at,
                ),
            )
        orders = self._held.pop()
        price = bars.open[orders.symbol]
        fills = Fills(
            ts=bars.ts,
            exec_ids=orders.ids,
            order_ids=orders.ids,
            symbol=orders.symbol,
            qty=orders.qty,
            price=price,
            reference=price,
            fees=np.zeros((len(price), 3)),
            at=np.full(len(price), bars.opened, np.int64),
        )
        return (self._report(bars.ts, orders, OrderState.FINISHED), fills)


class Closes:
    """A feature set of one feature: the close."""

    names, schema, lookback = ("close",), "closes", 1

    def on_bars(self, bars: Bars, /) -> Features:
        return Features(ts=bars.ts, schema=self.schema, value=bars.close[:, None])


class Level:
    """Answers with the close times its weight, which an artefact sets."""

    lookback = 1

    def __init__(self, name: str, *, weight: float = 1.0) -> None:
        self._name, self._weight, self._hash = name, weight, ""

    def _answer(self, ts: int, close: Any) -> Signal:
        return Signal(
            ts=ts, asof=ts, source=self._name, value=close * self._weight, horizon_ns=1, model_hash=self._hash
        )

    def swap(self, artefact: Artefact, /) -> None:
        self._weight, self._hash = float(artefact.files["weight"]), artefact.hash

    def save(self) -> bytes:
        return pack("level", 1, weight=self._weight, hash=self._hash)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, "level", 1)
        self._weight, self._hash = fields["weight"], fields["hash"]


class BarLevel(Level):
    def on_bars(self, bars: Bars, /) -> Signal:
        return self._answer(bars.ts, bars.close)


class FeatureLevel(Level):
    def on_features(self, features: Features, /) -> Signal:
        return self._answer(features.ts, features.value[:, 0])


class SlowFeatureLevel(FeatureLevel):
    slow_handlers = ("on_features",)


class Proportional:
    """Weights in proportion to the sum of the signals; answers None on every slice not in `only` if that is given."""

    interval_ns = 0

    def __init__(self, name: str, *, only: tuple[int, ...] = ()) -> None:
        self._name, self._only = name, only
        self.calls: list[tuple[tuple[Signal, ...], Book]] = []

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        self.calls.append((signals, book))
        if self._only and book.ts not in self._only:
            return None
        total = np.nansum([s.value for s in signals], axis=0)
        none = np.full(len(total), np.nan)
        weight = total / np.abs(total).sum() if total.any() else total
        return Target(
            ts=book.ts, source=self._name, kind=TargetKind.WEIGHT, value=weight, alpha=total, limit=none, stop=none
        )


class SlowProportional(Proportional):
    slow_handlers = ("on_signals",)


class Whole:
    """Whole shares toward the mean of the targets."""

    def __init__(self) -> None:
        self._ids = OrderIds("test", "optimizer")
        self.calls: list[tuple[Target, ...]] = []

    def on_bars(self, bars: Bars, /) -> None:
        return None

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Out:
        self.calls.append(targets)
        weight = np.mean([t.value for t in targets], axis=0)
        qty = np.trunc(weight * book.equity / book.mark) - book.qty - book.working
        symbols = np.flatnonzero(np.nan_to_num(qty))
        if not len(symbols):
            return None
        ids = self._ids(ts=book.ts, count=len(symbols))
        orders: Orders = legs(ts=book.ts, symbol=symbols.tolist(), qty=qty[symbols], ids=ids)
        return orders


class SlowWhole(Whole):
    slow_handlers = ("on_targets",)


class Open:
    """A gate that lets everything through, unless halted."""

    def __init__(self) -> None:
        self.controls: list[Control] = []

    def on_book(self, book: Book, /) -> None:
        return None

    def on_orders(self, orders: Any, /) -> tuple[Approved | Refusals, ...]:
        columns = {name: getattr(orders, name) for name in Approved.__struct_fields__}
        return (Approved(**columns),)

    def on_control(self, control: Control, /) -> None:
        self.controls.append(control)


def parts(n: int = 2, **given: Any) -> Parts:
    """A wiring of the above; anything may be given instead."""
    defaults: dict[str, Any] = {
        "universe": universe_of(tuple(f"S{i}" for i in range(n))),
        "interval_ns": 86_400 * 10**9,
        "cash": 1e6,
        "broker": Named("broker", FillAtOpen()),
        "features": (Named("closes", Closes()),),
        "models": (
            ModelPart(name="a", model=FeatureLevel("a"), schema="closes"),
            ModelPart(name="b", model=BarLevel("b")),
        ),
        "strategies": (Named("strategy", Proportional("strategy")),),
        "optimizer": Named("optimizer", Whole()),
        "gate": Named("gate", Open()),
    }
    return Parts(**(defaults | given))
