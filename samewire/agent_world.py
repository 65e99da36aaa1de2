"""The days, orders and market of a run file, as what its agent learns in and is judged in."""

from typing import Any

import msgspec
import numpy as np

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv
from components.rl.episodes import Orders, Split, generated, split
from components.rl.floor import decisions
from components.rl.identity import inputs_of
from components.rl.tape import Tape, tape_of
from components.rl.trainer_budget import Bill, bill_of
from engine.errors import ConfigError
from engine.events import DAY_NS
from engine.protocols import Feed
from samewire.agent_spec import AgentTraining
from samewire.agent_starts import check_starts
from samewire.build import Given, construct
from samewire.prepare import feed_of
from samewire.run_file import RunFile, built


class World(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What every environment of a run file shares."""

    feed: Feed
    days: Days
    orders: Split
    market: Beside
    tape: Tape
    inputs: str  # hash of the bars and orders


def world_of(run: RunFile) -> World:
    """Walks the feed once. ConfigError and DataError for days, orders and markets that no agent can learn in."""
    agent = agent_of(run)
    feed = feed_of(run)
    plan = run.training.plan if run.training is not None else None
    since, until = (None, None) if plan is None else (plan.since, plan.until or run.session.end)
    days = days_of(feed, since, until)
    _check_dates(days, feed)
    spec, dates = agent.orders, agent.split
    check_starts(spec.start, days)
    orders = generated(
        days,
        share=spec.share,
        horizon=agent.plan.horizon,
        start=tuple(spec.start),
        of=spec.of,
        window=spec.window,
    )
    parts = split(orders, days, validation_from=dates.validation_from, test_from=dates.test_from)
    tape = tape_of(days, features=agent.seen().features)
    inputs = inputs_of(days, orders)
    return World(feed=feed, days=days, orders=parts, market=market_of(run, feed), tape=tape, inputs=inputs)


def agent_of(run: RunFile) -> AgentTraining:
    if run.training is None or run.training.agent is None:
        raise ConfigError(
            f"{run.feed.where.origin.name}: it has no key `training.agent`; add one, such as "
            "training: {agent: {split: {validation_from: 2019-02-01, test_from: 2019-02-15}}}"
        )
    return run.training.agent


def market_of(run: RunFile, feed: Feed) -> Beside:
    """The market of the run file's broker: its timing, its participation and the very same cost models."""
    if run.broker.use != "simulated":
        raise ConfigError(
            f"{run.broker.where}: an agent learns in a market that is simulated, and the broker is {run.broker.use}; "
            "take broker: simulated"
        )
    given = Given(session=run.session.name, seed=run.session.seed, universe=feed.universe)
    costs = built(run.broker.options.get("costs"), lambda nested: construct(nested, given))
    return Beside(
        universe=feed.universe,
        costs=Bps() if costs is None else costs,
        fill=run.broker.options["fill"],
        participation=run.broker.options.get("participation"),
    )


def environment(world: World, agent: AgentTraining, orders: Orders, rng: np.random.Generator | None = None) -> OrderEnv:
    """Orders of a part: again and again in an order drawn from `rng`, or without it each once."""
    observation: Any = agent.seen()  # one of several kinds
    return OrderEnv(
        days=world.days,
        orders=orders,
        market=world.market,
        observation=observation,
        action=agent.acted(),
        reward=agent.rewarded(),
        width=agent.plan.rows,
        bars_per_step=agent.plan.bars_per_step,
        rng=rng,
        tape=world.tape,
    )


def billed(world: World, agent: AgentTraining) -> Bill:
    """What its budget pays for. ConfigError where that trains nothing."""
    steps = int(decisions(world.days, world.orders.train, agent.plan.bars_per_step).max())
    return bill_of(agent.course(0), steps, agent.seen().shapes(world.days.bars, steps), agent.acted().count)


def _check_dates(days: Days, feed: Feed) -> None:
    """A running session without trading days takes dates of UTC, so what it runs must have learned from these."""
    if getattr(feed, "sessions", None) is not None:
        return
    utc = days.opened // DAY_NS * DAY_NS
    inside = np.arange(days.bars) < days.length[:, None]
    if (np.where(inside, utc, days.label[:, None]) != days.label[:, None]).any():
        raise ConfigError(
            "training.agent: the feed has days of a local date and names no calendar, and a session could not tell "
            "them apart; set feed.calendar, e.g. calendar: XNYS"
        )
