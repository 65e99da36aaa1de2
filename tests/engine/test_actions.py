"""Corporate actions that cannot be: one clear error from whoever meets them first, and nothing is applied by half."""

import asyncio
from typing import Any

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.barrier import Named
from engine.errors import ComponentError, DataError
from engine.events import ActionKind, Actions
from engine.ledger import Ledger
from engine.session import Replay, Session
from engine.universe import Universe, universe_of
from engine.wiring import Wiring
from tests.engine.parts import parts
from tests.make import bars, day

UNIVERSE = universe_of(("AAA", "BBB", "CCC"))
SPLIT, DIVIDEND, DELISTING, CHANGE = (kind.value for kind in ActionKind)


def actions(*rows: dict[str, Any]) -> Actions:
    """A good split of AAA, but for what the rows say."""
    plain = {"kind": SPLIT, "symbol": 0, "ratio": 2.0, "amount": 0.0, "pay_at": day(2), "successor": -1}
    columns = {name: np.array([(plain | row)[name] for row in rows]) for name in plain}
    return Actions(ts=day(0) + 1, **columns)


BAD = [
    ({"kind": 9}, "action 1 of .* has kind 9; the kinds are 0 split, 1 cash_dividend, 2 delisting, 3 symbol_change"),
    ({"kind": -1}, "has kind -1; the kinds are"),
    ({"symbol": 3}, "action 1 of .* is of symbol 3; positions in the universe go from 0 to 2"),
    ({"symbol": -1}, "is of symbol -1; positions"),
    ({"kind": DELISTING, "symbol": 77}, "is of symbol 77"),
    ({"kind": DIVIDEND, "symbol": 77}, "is of symbol 77"),
    ({"kind": CHANGE, "successor": 3}, "symbol change of AAA has successor 3; positions"),
    ({"kind": CHANGE, "successor": -1}, "symbol change of AAA has successor -1"),
    ({"kind": CHANGE, "symbol": 1, "successor": 1}, "symbol change of BBB has itself as successor"),
    ({"kind": CHANGE, "successor": 1, "ratio": 0.0}, "symbol change of AAA has ratio 0.0; it must be positive"),
    ({"ratio": -1.0}, "split of AAA has ratio -1.0; it must be positive and finite"),
    ({"ratio": np.inf}, "split of AAA has ratio inf"),
    ({"ratio": np.nan}, "split of AAA has ratio nan"),
    ({"kind": DIVIDEND, "amount": np.nan}, "cash dividend of AAA has amount nan; it must be finite"),
    ({"kind": DIVIDEND, "amount": -np.inf}, "cash dividend of AAA has amount -inf"),
]


@pytest.mark.parametrize(("row", "said"), BAD)
def test_broker_and_ledger_refuse_what_cannot_be_and_apply_nothing_of_it(row, said):
    broker = Simulated(universe=UNIVERSE, costs=Bps(), name="broker", fill="next_open")
    ledger = Ledger(universe=UNIVERSE, cash=1000.0)
    ledger.on_bars(bars(day(0), [10.0, 20.0, 30.0]))
    for name, one in (("broker", broker), ("ledger", ledger)):
        before = one.save()
        with pytest.raises(DataError, match=f"{name}: .*{said}.*; correct it in the feed"):
            one.on_actions(actions({"symbol": 2}, row))
        assert one.save() == before


def test_columns_of_unequal_length_are_named():
    short = Actions(
        **{name: getattr(actions({}, {}), name) for name in Actions.__struct_fields__} | {"ratio": np.ones(1)}
    )
    with pytest.raises(DataError, match="ledger: Actions of .* have 1 values of ratio for 2 actions"):
        Ledger(universe=UNIVERSE, cash=1000.0).on_actions(short)


@pytest.mark.parametrize(
    "row",
    [
        {"kind": DELISTING, "ratio": np.nan, "amount": np.nan},  # nothing is held: no price is needed
        {"kind": DIVIDEND, "amount": 0.5, "ratio": np.nan},
        {"kind": CHANGE, "successor": 2, "ratio": 0.5, "amount": np.nan},
        {"amount": np.nan},
    ],
)
def test_what_a_kind_does_not_use_may_be_anything(row):
    Ledger(universe=UNIVERSE, cash=1000.0).on_actions(actions(row))
    Simulated(universe=UNIVERSE, costs=Bps(), name="broker", fill="next_open").on_actions(actions(row))


@pytest.mark.parametrize("own", [True, False])
def test_a_feed_that_makes_them_up_stops_the_session_as_bad_data(own):
    """With our broker, and with one that looks at nothing: the ledger does then."""
    given = {"broker": Named("broker", Simulated(universe=UNIVERSE, costs=Bps(), name="broker", fill="next_open"))}
    wiring = Wiring(parts(3, **(given if own else {})))
    events = [bars(day(0), [10.0, 20.0, 30.0]), actions({"kind": 9}), bars(day(1), [10.0, 20.0, 30.0])]
    with pytest.raises(
        ComponentError, match=f"{'broker' if own else 'ledger'}: .* has kind 9; the kinds are"
    ) as caught:
        asyncio.run(Session(wiring).run(Replay(lambda: iter(events))))
    assert caught.value.exit_code == DataError.exit_code


@pytest.mark.parametrize(
    ("old", "new", "good"), [(0, 1, True), (0, 2, False), (0, 3, False), (3, 0, False), (2, 0, False)]
)
def test_a_position_does_not_move_into_other_money(old, new, good):
    """At a cost in dollars it would be worth yen: profit out of nothing."""
    of = Universe(
        symbols=("A", "B", "YEN", "FUTURE"),
        currencies=("USD", "JPY"),
        currency=np.array([0, 0, 1, 0], np.int32),
        multiplier=np.array([1.0, 1.0, 1.0, 10.0]),
        lot=np.ones(4),
        tick=np.zeros(4),
    )
    change = actions({"kind": CHANGE, "symbol": old, "successor": new, "ratio": 1.0})
    if good:
        Ledger(universe=of, cash=1.0).on_actions(change)
    else:
        with pytest.raises(
            DataError, match=f"successor {new} of another currency or multiplier.*; give it as a delisting"
        ):
            Ledger(universe=of, cash=1.0).on_actions(change)
