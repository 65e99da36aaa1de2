"""A trained agent in a replay and in the environment: what it saw, what it did and what that traded."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from components.brokers.beside import Beside
from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.execution.desk import Desk
from components.execution.rl import Rl
from components.gates.limits import Limits
from components.metrics.execution import ExecutionFold
from components.rl.acting import Categorical, TwapRelative
from components.rl.agent_artefact import opened_agent
from components.rl.days import days_of
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact, FullHistory
from components.rl.policy import Policy
from components.rl.rewards import PAPenalty
from components.rl.tape import tape_of
from components.rl.trainer_options import Mlp, Recurrent
from engine.barrier import Named
from engine.events import Fills
from engine.ids import OrderIds
from engine.protocols import Artefact
from engine.session import Replay, Session
from engine.wiring import ModelPart, Parts, Wiring
from tests.components.rl.agents import card_of, drawn
from tests.components.rl.made import Minutes
from tests.components.rl.test_same_fills import Asks, Sends, Silent

FEED = GeneratedDays(days=24, symbols=3, seed=5)


def holed(lot: float = 1.0) -> Minutes:
    """Missing bars, halts, slices in which nobody traded, and a half day."""
    trouble: dict[str, Any] = {"holes": 0.2, "idle": (2,), "halted": ((3, 1),), "unseen": {1: (2,), 3: (3, 4, 9)}}
    return Minutes(symbols=3, lengths=(12, 9, 12, 12), calendar=(12, 9, 12, 12), seed=2, lot=lot, **trouble)


HOLED = holed()
KINDS: dict[str, tuple[Any, Any, Any, int, float | None]] = {
    "compact": (Compact(), Categorical(4), Mlp((16,)), 1, None),
    "steps of three bars": (Compact(longer=3), Categorical(4), Mlp((16,)), 3, None),
    "full history": (FullHistory(), Categorical(4), Recurrent(hidden=8, out=8), 2, None),
    "a multiple of an even pace": (Compact(), TwapRelative(), Mlp((16,)), 2, None),
    "partly filled": (Compact(), Categorical(5), Mlp((16,)), 1, 0.02),
}


def game_of(kind: str, feed: Any = FEED, share: float = 0.05, **changed: Any) -> tuple[OrderEnv, Artefact]:
    """An environment of all days, one order a day and symbol, and an agent for it whose weights were drawn."""
    observation, action, network, bars_per_step, participation = KINDS[kind]
    days = days_of(feed)
    start = 0 if feed is FEED else (0, 7) if feed is HOLED else (30, days.bars - 5)  # the second is cut at the close
    orders = generated(days, share=share, horizon=7, start=start)
    orders = orders.rows((orders.side > 0) == ((orders.day + orders.symbol) % 2 > 0))
    market = Beside(
        universe=feed.universe,
        costs=Bps(commission_bps=1.0, slippage_bps=2.0),
        fill="next_open",
        participation=participation,
    )
    tape = tape_of(days, features=observation.features)
    game = OrderEnv(
        days=days,
        orders=orders,
        market=market,
        observation=observation,
        action=action,
        reward=PAPenalty(),
        width=16,
        bars_per_step=bars_per_step,
        tape=tape,
    )
    card = card_of(
        *(observation, action, network),
        interval_ns=days.interval_ns,
        bars=days.bars,
        bars_per_step=bars_per_step,
    )
    assert (card.schema, card.shapes, card.steps) == (game.schema, game.observation_shapes, game.steps)
    return game, drawn(msgspec.structs.replace(card, **changed))


class Watched:
    """A pace, and all that its agent saw and did."""

    def __init__(self, pace: Rl, seen: list[Any]) -> None:
        policy = pace._policy
        self.horizon, self.span_days, self.completes, self.lookback = pace.horizon, False, True, pace.lookback
        self.on_bars, self.on_actions, self.due, self.save, self.load = (
            *(pace.on_bars, pace.on_actions),
            *(pace.due, pace.save, pace.load),
        )

        class Spy:
            def act(self, observation: dict[str, Any]) -> Any:
                actions = policy.act(observation)
                for k in range(len(actions)):
                    rows = {name: each[k].tobytes() for name, each in sorted(observation.items())}
                    seen.append((rows, actions[k].item()))
                return actions

        pace._policy = Spy()  # type: ignore[assignment]


def replayed(
    game: OrderEnv, artefact: Artefact, participation: float | None, feed: Any = FEED
) -> tuple[list[Any], list[Any]]:
    """What the agent saw and did in a replay of all of the game's orders, and the fills."""
    seen: list[Any] = []
    pace = Rl(universe=feed.universe, artefact=artefact, horizon=7, sessions=feed.sessions)
    pace.check_session(feed.interval_ns, feed.sessions)
    fills, _ = worked(game, Watched(pace, seen), participation, feed)
    return sorted(seen, key=repr), fills


def worked(
    game: OrderEnv, pace: Any, participation: float | None, feed: Any = FEED
) -> tuple[list[Any], dict[str, Any]]:
    """The fills of a replay in which the desk works the game's orders at this pace, and how each parent fared."""
    of, days, universe = game.orders, game.days, feed.universe
    at: dict[int, list[int]] = {}
    for e in range(len(of)):
        at.setdefault(int(days.ts[of.day[e], of.start[e]]), []).append(e)
    broker = Simulated(
        universe=universe,
        name="broker",
        short=True,
        costs=Bps(commission_bps=1.0, slippage_bps=2.0),
        fill="next_open",
        participation=participation,
    )
    desk = Desk(
        universe=universe,
        ids=OrderIds("e", "execution"),
        name="execution",
        pace=pace,
        sessions=feed.sessions,
    )
    fold = ExecutionFold(universe=universe, interval_ns=feed.interval_ns, point="open", window=desk.window)
    wiring = Wiring(
        Parts(
            universe=universe,
            interval_ns=feed.interval_ns,
            cash=1e13,
            broker=Named("broker", broker),
            models=(ModelPart(name="none", model=Silent(universe)),),
            strategies=(Named("asks", Asks(len(universe))),),
            optimizer=Named("optimizer", Sends(of, at)),
            execution=Named("execution", desk),
            gate=Named("gate", Limits(universe=universe, ids=OrderIds("e", "gate"), name="gate")),
        )
    )
    fills: list[Any] = []

    class Keeps:
        def append(self, origins: Sequence[str], events: Sequence[Any], /) -> None:
            for event in events:
                if isinstance(event, Fills):
                    rows = zip(event.symbol, event.qty, event.price, event.fees, strict=True)
                    fills.extend((event.ts, int(s), float(q), float(p), tuple(f.tolist())) for s, q, p, f in rows)

    asyncio.run(Session(wiring, recorders=(Keeps(), fold)).run(Replay(feed.events)))
    return sorted(fills), fold.table()


def played(game: OrderEnv, policy: Policy) -> tuple[list[Any], list[Any]]:
    """The same of the environment."""
    observation, seen, fills = game.reset(), [], []
    while game.active.any():
        actions = policy.act(observation)
        active, episode, own = game.active, game.episode, game.own
        for k in np.flatnonzero(active):
            seen.append(({name: each[k].tobytes() for name, each in sorted(observation.items())}, actions[k].item()))
        now, end = own.now.copy(), own.end.copy()
        observation = game.step(actions).observation
        for bar, traded in enumerate(game.traded):
            for k in np.flatnonzero(active & (traded.qty != 0)):
                tick = min(now[k] + 1 + bar, end[k])
                ts = int(game.days.ts[game.orders.day[episode[k]], tick])
                symbol = int(game.orders.symbol[episode[k]])
                fills.append((ts, symbol, float(traded.qty[k]), float(traded.price[k]), tuple(traded.fees[k].tolist())))
    return sorted(seen, key=repr), sorted(fills)


def pace_of(artefact: Artefact) -> Rl:
    return Rl(universe=FEED.universe, artefact=artefact, horizon=7, sessions=FEED.sessions)


def drawn_of(artefact: Artefact, **changed: Any) -> Artefact:
    """The same weights with another card, of a network that sees no whole days."""
    card, _ = opened_agent(artefact, "test")
    return drawn(msgspec.structs.replace(card, **changed))
