"""A session that is saved and loaded somewhere says the same as one that runs through: broker and ledger together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.square_root import SquareRoot
from engine.events import ActionKind, Event, Fills, OrderState, Reports
from engine.universe import universe_of
from tests.components.brokers.made import action, approved, broker, fills
from tests.components.brokers.routed import Routed
from tests.components.brokers.scripted import ACCOUNTS, TIMINGS, account, script
from tests.conformance.streams import same
from tests.make import bars, day


class Session:
    """Broker and ledger, restarted at will, and all that they said, with the book after each event."""

    def __init__(self, make: Callable[[], Routed]) -> None:
        self._make, self._at = make, make()
        self.said: list[Event] = []

    def feed(self, event: Event) -> None:
        book = self._at.feed(event)
        self.said += [*self._at.out, book]

    def restart(self) -> None:
        old, self._at = self._at, self._make()
        self._at.broker.load(old.broker.save())
        self._at.ledger.load(old.ledger.save())


@pytest.mark.parametrize("options", ACCOUNTS, ids=str)
@pytest.mark.parametrize("timing", TIMINGS, ids=str)
def test_a_restart_anywhere_changes_nothing_that_is_said(timing: dict[str, Any], options: dict[str, Any]) -> None:
    traded, ended = 0, set[int]()
    for seed in range(8):
        rng = np.random.default_rng([seed, TIMINGS.index(timing), ACCOUNTS.index(options)])
        intraday = seed % 3 == 0
        make, events = account(rng, timing | options, intraday=intraday), script(rng, intraday=intraday)
        cuts = set(rng.choice(len(events), 3).tolist()) if seed % 2 else set(range(len(events)))
        through, cut = Session(make), Session(make)
        for k, event in enumerate(events):
            through.feed(event)
            cut.feed(event)
            if k in cuts:
                cut.restart()
        assert same(cut.said, through.said), f"seed {seed}: cuts after {sorted(cuts)}"
        traded += sum(len(event.qty) for event in through.said if isinstance(event, Fills))
        ended.update(s for event in through.said if isinstance(event, Reports) for s in event.state.tolist())
    assert traded > 20
    assert {OrderState.FINISHED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REPLACED} <= ended


def test_a_bar_that_was_learnt_before_a_corporate_action_is_not_learnt_again_after_a_restart() -> None:
    """Under same_close a bar is learnt late, and an action makes it known: a second time would move the estimate."""
    one_name = universe_of(("A",))

    def make() -> Simulated:
        return broker(qty=(0.0,), universe=one_name, fill="same_close", costs=SquareRoot(universe=one_name, window=4))

    def price(*, restart: bool) -> list[float]:
        one = make()
        for k, close in enumerate([100.0, 101.0, 99.0, 102.0, 104.0]):
            one.on_bars(bars(day(k), [close], volume=[1e4]))
        one.on_actions(action(ActionKind.CASH_DIVIDEND, 0, amount=1.0))
        if restart:
            state, one = one.save(), make()
            one.load(state)
        one.on_bars(bars(day(5), [103.0], volume=[1e4]))
        found: list[float] = fills(one.on_orders(approved([0], [100.0], ts=day(5)))).price.tolist()
        return found

    assert price(restart=True) == price(restart=False) != [103.0]
