"""The fold of open orders beside a plain one: a list of dicts, one order at a time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Approved, OrderKind, OrderState, Reports
from engine.open_orders import OpenLegs
from tests.make import legs

N = 3
ENDED = (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.FINISHED)


class Plain:
    def __init__(self) -> None:
        self.open: list[dict[str, Any]] = []

    def working(self) -> list[float]:
        sums = [0.0] * N
        for order in self.open:
            sums[order["symbol"]] += order["left"] if order["live"] else 0.0
        return sums

    def accept(self, ids: list[int], symbol: list[int], qty: list[float], kind: list[int]) -> None:
        known = {order["id"] for order in self.open}
        for i, s, q, k in zip(ids, symbol, qty, kind, strict=True):
            if i not in known:
                self.open.append({"id": i, "symbol": s, "left": q, "live": k != OrderKind.STOP})

    def report(self, rows: list[tuple[int, int, float]]) -> None:
        for i, state, left in rows:
            for order in self.open:
                if order["id"] == i:
                    order["left"] = 0.0 if state in ENDED else left
                    order["live"] = order["live"] or state == OrderState.TRIGGERED
        self.open = [order for order in self.open if order["left"]]

    def fill(self, ids: list[int], qty: list[float]) -> None:
        for i, q in zip(ids, qty, strict=True):
            for order in self.open:
                order["left"] -= q if order["id"] == i else 0.0
        self.open = [order for order in self.open if order["left"]]

    def drop(self, gone: Any) -> None:
        self.open = [order for order in self.open if not gone(order)]


class Both:
    """Sends the same to both folds."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.plain, self.legs = Plain(), OpenLegs(N)
        self.next, self.latest = 1, list[int]()

    def accept(self) -> None:
        rng, count = self.rng, int(self.rng.integers(1, 4))
        again = [order["id"] for order in self.plain.open if rng.random() < 0.1]
        ids = [*range(self.next, self.next + count), *again]
        self.next, self.latest = self.next + count, ids[:count]
        symbol, qty = rng.integers(0, N, len(ids)).tolist(), (rng.integers(1, 90, len(ids)) * 0.1).tolist()
        kind = rng.choice([OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP], len(ids)).tolist()
        columns = {"ids": np.array(ids, np.uint64), "kind": np.array(kind, np.int32)}
        self.plain.accept(ids, symbol, qty, kind)
        self.legs.accept(legs(Approved, symbol=symbol, qty=qty, **columns))

    def report(self) -> None:
        """Of the latest batch, with some that rest before them or without: accepted, ended, or anything."""
        rng, left = self.rng, {order["id"]: order["left"] for order in self.plain.open}
        rest = [i for i in left if i not in self.latest and rng.random() < 0.3]
        young = self.latest if rng.random() < 0.8 else [i for i in self.latest if rng.random() < 0.5]
        how = rng.integers(0, 3)
        rows = [(i, *self.state(left.get(i, 0.0), int(rng.integers(0, 3)))) for i in rest]
        rows += [(i, *self.state(left.get(i, 0.0), int(how if how < 2 else rng.integers(0, 3)))) for i in young]
        rows += [(9_999, int(OrderState.FINISHED), 0.0)] * int(rng.random() < 0.1)
        ids, state, shares = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
        self.plain.report(rows)
        symbol = np.zeros(len(rows), np.int32)
        columns = {"ids": np.array(ids, np.uint64), "symbol": symbol, "state": np.array(state, np.int32)}
        self.legs.report(Reports(ts=0, left=np.array(shares, float), **columns))

    def state(self, left: float, how: int) -> tuple[int, float]:
        if how == 0:
            return int(OrderState.ACCEPTED), left
        if how == 1:
            return int(self.rng.choice(ENDED)), 0.0
        return int(OrderState.TRIGGERED), left

    def fill(self) -> None:
        """Whole and in part, some twice, some of orders that are not open."""
        known = [(order["id"], order["left"]) for order in self.plain.open if self.rng.random() < 0.3]
        rows = [*known[:1], *((i, 0.5 * q) for i, q in known[1:]), *((i, 0.25 * q) for i, q in known[2:]), (8_888, 1.0)]
        ids, qty = [i for i, _ in rows], [q for _, q in rows]
        self.plain.fill(ids, qty)
        self.legs.fill(np.array(ids, np.uint64), np.array(qty))

    def remove(self) -> None:
        ids = [order["id"] for order in self.plain.open if self.rng.random() < 0.2] + [7_777]
        self.plain.drop(lambda order: order["id"] in ids)
        self.legs.remove(np.array(ids, np.uint64))

    def drop_symbol(self) -> None:
        symbol = int(self.rng.integers(0, N))
        self.plain.drop(lambda order: order["symbol"] == symbol)
        self.legs.drop_symbol(symbol)

    def restart(self) -> None:
        saved, self.legs = self.legs.save(), OpenLegs(N)
        self.legs.load(saved, list(range(N)))

    def check(self) -> None:
        """Not a bit differs."""
        found = self.legs.legs
        assert found.ids.tolist() == [order["id"] for order in self.plain.open]
        assert found.symbol.tolist() == [order["symbol"] for order in self.plain.open]
        assert found.left.tolist() == [order["left"] for order in self.plain.open]


STEPS = (
    "accept",
    "accept",
    "accept",
    "report",
    "report",
    "report",
    "fill",
    "remove",
    "drop_symbol",
    "restart",
    "check",
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 100_000), st.lists(st.sampled_from(STEPS), max_size=30))
def test_open_orders_are_what_a_plain_fold_makes_of_the_same_events(seed: int, steps: list[str]) -> None:
    both = Both(seed)
    for step in steps:
        getattr(both, step)()
        assert both.legs.working.tolist() == both.plain.working()
    both.check()


@pytest.mark.parametrize("asked", [False, True])
def test_a_batch_that_comes_and_goes_leaves_the_columns_of_those_that_rest_as_they_were(asked: bool) -> None:
    both = Both(3)
    both.accept()
    before, working = both.legs.legs, both.legs.working.tolist()
    both.accept()
    both.latest = [i for i in both.latest if i not in before.ids.tolist()]
    seen = both.legs.legs.ids.tolist() if asked else []
    ended = np.full(len(both.latest), OrderState.FINISHED, np.int32)
    ids, none = np.array(both.latest, np.uint64), np.zeros(len(ended))
    both.legs.report(Reports(ts=0, ids=ids, symbol=np.zeros(len(ids), np.int32), state=ended, left=none))
    assert both.legs.legs.ids.tolist() == before.ids.tolist()
    assert both.legs.working.tolist() == working
    assert (both.legs.legs is before) is not asked
    assert not asked or seen == [*before.ids.tolist(), *both.latest]
