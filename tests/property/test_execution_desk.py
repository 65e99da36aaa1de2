"""The desk over days nobody would draw by hand: holes, halts, no volume, orders, cancels, replaces."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Children, LegAction, Orders, Status
from engine.universe import universe_of
from tests.components.execution.floor import Floor, minute, minutes
from tests.conformance.test_execution import CASES
from tests.make import legs

N, LOT = 3, 5.0
UNIVERSE = universe_of(("A", "B", "C"), lot=LOT)
days = st.fixed_dictionaries(
    {
        "name": st.sampled_from(sorted(CASES)),
        "seed": st.integers(0, 10**6),
        "holes": st.sampled_from([0.0, 0.2, 0.7]),
        "thin": st.sampled_from([0.0, 0.5]),  # share of bars without volume
        "participation": st.sampled_from([None, 0.3, 0.01]),
        "busy": st.sampled_from([0.1, 0.6]),
    }
)


def bar(rng: np.random.Generator, k: int, close: Any, drawn: dict[str, Any]) -> Any:
    """A minute with holes and halts, and bars without volume."""
    gone = rng.random(N) < drawn["holes"]
    status = np.where(gone, rng.choice([Status.MISSING, Status.HALTED], N), Status.FRESH)
    volume = np.where(rng.random(N) < drawn["thin"], 0.0, np.round(rng.lognormal(4, 1, N)))
    columns = {"status": status, "volume": np.where(gone, np.nan, volume)}
    return minutes(k, np.where(gone, np.nan, close), **columns)


def decided(rng: np.random.Generator, k: int, floor: Floor, first: int) -> Orders:
    """A few new orders, and cancels and replaces of parents that work or never were."""
    working = floor.desk.open_parents()
    count = int(rng.integers(1, 5))
    action = rng.choice([LegAction.NEW, LegAction.NEW, LegAction.CANCEL, LegAction.REPLACE], count).astype(np.int32)
    symbol = rng.integers(0, N, count)
    qty = np.round(rng.normal(0, 40, count)) * LOT
    qty[qty == 0] = LOT
    ref = np.zeros(count, np.uint64)
    for i in np.flatnonzero(action != LegAction.NEW).tolist():
        if working.ids.size and rng.random() < 0.9:
            row = int(rng.integers(working.ids.size))
            ref[i], symbol[i] = working.ids[row], working.symbol[row]
        else:
            ref[i] = 999_999
    ids = np.arange(first, first + count, dtype=np.uint64)
    made: Orders = legs(Orders, minute(k), symbol=symbol.tolist(), qty=qty, ids=ids, action=action, ref=ref)
    return made


@settings(max_examples=60, deadline=None)
@given(drawn=days)
def test_no_parent_is_overrun_or_turned_and_each_ends_once(drawn: dict[str, Any]) -> None:
    rng = np.random.default_rng(drawn["seed"])
    floor = Floor(CASES[drawn["name"]](UNIVERSE), UNIVERSE, participation=drawn["participation"])
    close, first = np.full(N, 50.0), 1
    most: dict[int, float] = {}  # the most that a parent was ever asked for, signed
    for k in range(1, 40):
        close = close * np.exp(rng.normal(0, 0.01, N))
        given_: tuple[Orders, ...] = ()
        if k < 25 and rng.random() < drawn["busy"]:
            given_ = (decided(rng, k, floor, first),)
            first += len(given_[0].ids)
        floor.slice(bar(rng, k, close, drawn), *given_)
        filled = floor.filled()  # with those of this bar, which come before the orders
        for one in given_:
            for action, own, ref, qty in zip(
                *(getattr(one, f).tolist() for f in ("action", "ids", "ref", "qty")), strict=True
            ):
                if action == LegAction.NEW:
                    most[own] = qty
                elif action == LegAction.REPLACE and ref in most and qty * most[ref] > 0:
                    most[ref] = max(most[ref], filled.get(ref, 0.0) + qty, key=abs)
        in_market = floor.ledger.book(0).open_orders
        seen = floor.desk.open_parents()
        assert len(set(seen.ids.tolist())) == seen.ids.size
        assert in_market.ids.size <= len(most)
    filled = floor.filled()
    for parent, asked in most.items():
        done = filled.get(parent, 0.0)
        assert done * asked >= 0
        assert abs(done) <= abs(asked)
    for event in floor.of(Children):
        new = event.action == LegAction.NEW
        sides = np.sign([most[parent] for parent in event.parent[new].tolist()])
        assert (np.sign(event.qty[new]) == sides).all()
        assert (np.abs(event.qty[new]) % LOT == 0).all()
    ends = floor.ends(list(most))
    assert {parent: len(states) for parent, states in ends.items()} == dict.fromkeys(most, 1)
    assert not floor.desk.working
