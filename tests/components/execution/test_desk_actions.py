"""What a desk makes of splits and delistings of what it works."""

import numpy as np

from components.execution.twap import Twap
from engine.events import ActionKind, Actions
from tests.components.execution.floor import ONE, Floor, minute, minutes, orders


def happened(floor: Floor, kind: ActionKind, **columns: float) -> None:
    """A corporate action of symbol 0 between the first slice and the second, told to all."""
    none = np.array([np.nan])
    actions = Actions(
        ts=minute(1),
        kind=np.array([kind], np.int32),
        symbol=np.array([0], np.int32),
        ratio=np.array([columns["ratio"]]) if "ratio" in columns else none,
        amount=np.array([columns["amount"]]) if "amount" in columns else none,
        pay_at=np.array([0]),
        successor=np.array([-1], np.int32),
    )
    for part in (floor.broker, floor.ledger, floor.desk):
        floor.take(part.on_actions(actions))


def test_a_split_changes_what_is_left_in_whole_lots() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [101.0]))
    happened(floor, ActionKind.SPLIT, ratio=1.5)
    for k in range(2, 8):
        floor.slice(minutes(k, [10.0]))
    assert floor.filled() == {1: 37.0 + 114.0}  # 25 in the market and 76 not yet sent, each in whole shares
    assert floor.ends([1]) == {1: ["FINISHED"]}


def test_a_delisting_ends_the_parent() -> None:
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    happened(floor, ActionKind.DELISTING, amount=9.0)
    floor.slice(minutes(2, [np.nan]))
    floor.slice(minutes(3, [np.nan]))
    assert floor.ends([1]) == {1: ["CANCELLED"]}
    assert not floor.desk.working
