"""Bars out of trading hours change nothing: not for the environment, not for a session, not for an agent in it."""

from typing import Any

import numpy as np
import pytest

from components.execution.twap import Twap
from components.rl.agent_artefact import opened_agent
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv, twap_action
from tests.components.rl.made import Minutes
from tests.components.rl.replaying import HOLED, KINDS, game_of, played, replayed, worked


def holed(outside: int) -> Minutes:
    trouble: dict[str, Any] = {"holes": 0.2, "idle": (2,), "halted": ((3, 1),), "unseen": {1: (2,), 3: (3, 4, 9)}}
    return Minutes(symbols=3, lengths=(12, 9, 12, 12), calendar=(12, 9, 12, 12), seed=2, outside=outside, **trouble)


KEPT = holed(3)


def test_days_are_those_of_trading_hours() -> None:
    plain, kept = days_of(holed(0)), days_of(KEPT)
    for name in set(Days.__struct_fields__) - {"universe", "extra"}:
        np.testing.assert_array_equal(getattr(plain, name), getattr(kept, name))


@pytest.mark.parametrize("kind", ["compact", "steps of three bars", "full history", "partly filled"])
def test_an_agent_sees_does_and_trades_the_same_beside_bars_out_of_hours(kind: str) -> None:
    game, artefact = game_of(kind, HOLED)
    seen, fills = played(game, opened_agent(artefact, "test")[1])
    again, traded = replayed(game, artefact, KINDS[kind][4], KEPT)
    assert (seen, fills) == (again, traded)
    assert len(fills) >= 10


def test_an_even_pace_trades_what_the_environment_does_beside_bars_out_of_hours() -> None:
    game, _ = game_of("a multiple of an even pace", HOLED)
    parts = {"days": days_of(KEPT), "orders": game.orders, "market": game.market, "action": game.action}
    game = OrderEnv(observation=game._observation, reward=game.reward, width=16, **parts)

    class Even:
        def act(self, seen: Any) -> Any:
            return twap_action(game.action, game.own)

    _, fills = played(game, Even())  # type: ignore[arg-type]
    traded, _ = worked(game, Twap(horizon=7), None, KEPT)
    assert fills == traded
    assert len(fills) >= 10
