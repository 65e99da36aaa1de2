"""A trained agent in a session sees what the environment showed it, does the same and trades the same, to the bit."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from adapters.files.parquet import ParquetFeed
from components.brokers.beside import Beside
from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.execution.desk import Desk
from components.execution.pace import Market as Slice
from components.execution.pace import Parents
from components.execution.rl import Rl
from components.execution.twap import Twap
from components.gates.limits import Limits
from components.metrics.execution import ExecutionFold
from components.models.artefact import artefact_of, read_artefact, write_artefact
from components.rl.acting import Categorical, TwapRelative
from components.rl.agent_artefact import CARD, CHECK, TEXT, WEIGHTS, agent_artefact, opened_agent
from components.rl.days import days_of
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact, CurrentStep, FullHistory
from components.rl.policy import Policy
from components.rl.rewards import PAPenalty
from components.rl.tape import tape_of
from components.rl.trainer_evaluate import over_all
from components.rl.trainer_options import Mlp, Recurrent
from engine.barrier import Named
from engine.errors import ConfigError, StateError
from engine.events import Bars, Fills
from engine.ids import OrderIds
from engine.protocols import Artefact
from engine.session import Replay, Session
from engine.wiring import ModelPart, Parts, Wiring
from tests.components.rl.agents import card_of, drawn, weights_of
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_sees_does_and_trades_what_the_environment_did(kind: str) -> None:
    game, artefact = game_of(kind)
    seen, fills = played(game, opened_agent(artefact, "test")[1])
    again, traded = replayed(game, artefact, KINDS[kind][4])
    assert len({action for _, action in seen}) > 1
    assert seen == again
    assert fills == traded
    assert len(fills) > len(game.orders)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_with_missing_bars_and_slices_and_orders_that_the_close_cuts(kind: str) -> None:
    game, artefact = game_of(kind, HOLED)
    seen, fills = played(game, opened_agent(artefact, "test")[1])
    again, traded = replayed(game, artefact, KINDS[kind][4], HOLED)
    assert (seen, fills) == (again, traded)
    assert len(fills) >= 10


def real_minutes(data_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> ParquetFeed:
    monkeypatch.setenv("SAMEWIRE_CACHE", str(cache))
    path = data_dir / "intraday" / "us_equity_1min_2019_02.parquet"
    return ParquetFeed(path=path, stamped="close", interval="1m", calendar="XNYS")


@pytest.mark.data
@pytest.mark.parametrize("kind", ["partly filled", "steps of three bars", "a multiple of an even pace"])
def test_the_same_on_real_minutes_of_which_some_are_missing(
    kind: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = real_minutes(data_dir, tmp_path, monkeypatch)
    game, artefact = game_of(kind, feed, share=0.002)
    assert (game.days.status != 0).any()
    seen, fills = played(game, opened_agent(artefact, "test")[1])
    again, traded = replayed(game, artefact, KINDS[kind][4], feed)
    assert (seen, fills) == (again, traded)
    assert len({action for _, action in seen}) > 1
    assert len(fills) > len(game.orders)


def even(game: OrderEnv) -> list[Any]:
    """Fills of one throughout."""

    class Ones:
        def act(self, observation: dict[str, Any]) -> Any:
            del observation
            return np.ones(game.width)

    policy: Any = Ones()
    return played(game, policy)[1]


@pytest.mark.data
@pytest.mark.parametrize("participation", [None, 0.1])
def test_one_throughout_is_the_pace_twap_on_real_minutes(
    participation: float | None, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = real_minutes(data_dir, tmp_path, monkeypatch)
    one_throughout_is_twap(feed, participation, (30, 380), 20)


@pytest.mark.parametrize("lot", [1.0, 100.0])
@pytest.mark.parametrize("participation", [None, 0.05])
def test_one_throughout_is_the_pace_twap(participation: float | None, lot: float) -> None:
    one_throughout_is_twap(holed(lot), participation, (0, 5), 5)


def one_throughout_is_twap(feed: Any, participation: float | None, start: tuple[int, ...], horizon: int) -> None:
    days = days_of(feed)
    orders = generated(days, share=0.002 if days.bars > 99 else 0.1, horizon=horizon, start=start)
    orders = orders.rows((orders.side > 0) == ((orders.day + orders.symbol) % 2 > 0))
    broker: dict[str, Any] = {"costs": Bps(commission_bps=1.0, slippage_bps=2.0), "participation": participation}
    game = OrderEnv(
        days=days,
        orders=orders,
        market=Beside(universe=feed.universe, **broker),
        observation=CurrentStep(),
        action=TwapRelative(),
        reward=PAPenalty(),
        width=len(orders),
    )
    fills = even(game)
    assert len(fills) > len(orders)
    traded, table = worked(game, Twap(horizon=horizon), participation, feed)
    assert traded == fills
    figures_are_those_of_the_session(game, table)


def figures_are_those_of_the_session(game: OrderEnv, table: dict[str, Any]) -> None:
    """One definition: fees beside the price, and the same bars in the base."""
    found, of = over_all(game, lambda seen: np.ones(game.width)), game.orders
    rows = {key: k for k, key in enumerate(zip(table["ts"].tolist(), table["symbol"], strict=True))}
    symbols = game.days.universe.symbols
    at = [rows[int(game.days.ts[d, t]), symbols[s]] for d, t, s in zip(of.day, of.start, of.symbol, strict=True)]
    for ours, theirs in (
        (found.pa, "pa_twap_bps"),
        (found.pa_vwap, "pa_vwap_bps"),
        (found.slippage, "arrival_bps"),
        (found.ffr, "fill_ratio"),
    ):
        np.testing.assert_allclose(ours, np.nan_to_num(table[theirs][at]), rtol=1e-9, atol=1e-7)
    assert (found.net < found.pa)[found.ffr > 0].all()


@pytest.mark.parametrize("kind", ["compact", "full history"])
def test_a_row_is_answered_alike_in_whatever_company(kind: str) -> None:
    game, artefact = game_of(kind)
    policy, rows = opened_agent(artefact, "test")[1], game.reset()
    many = {name: np.concatenate([each] * 9) for name, each in rows.items()}  # more than one block
    whole = policy.scores(many)
    for k in (0, 5, 63, 64, 100, 143):
        alone = policy.scores({name: each[k : k + 1] for name, each in many.items()})
        assert alone.tobytes() == whole[k : k + 1].tobytes()


def test_another_process_gives_the_same_artefact_and_the_same_actions(tmp_path: Path) -> None:
    game, artefact = game_of("compact")
    write_artefact(artefact, tmp_path / "agent")
    code = (
        "import sys, pathlib\n"
        "from components.models.artefact import read_artefact\n"
        "from components.rl.agent_artefact import opened_agent\n"
        "from tests.components.rl.test_agent import game_of, played\n"
        "game, made = game_of('compact')\n"
        "found = read_artefact(pathlib.Path(sys.argv[1]))\n"
        "seen, fills = played(game, opened_agent(found, 'test')[1])\n"
        "import hashlib; print(made.hash, hashlib.sha256(repr((seen, fills)).encode()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "agent")], capture_output=True, text=True, check=True
    )
    import hashlib

    here = hashlib.sha256(repr(played(game, opened_agent(artefact, "test")[1])).encode()).hexdigest()
    assert done.stdout.split() == [artefact.hash, here]


# ---- a session's life ------------------------------------------------------------------------------------------------


def pace_of(artefact: Artefact) -> Rl:
    return Rl(universe=FEED.universe, artefact=artefact, horizon=7, sessions=FEED.sessions)


def parents_of(bars: Bars, step: int, left: float, total: float = 700.0, ids: int = 9) -> Parents:
    one = np.ones(1)
    return Parents(
        ids=np.array([ids], np.uint64),
        symbol=np.zeros(1, np.int32),
        total=one * total,
        left=one * left,
        step=np.array([step]),
        steps=np.array([7]),
        lot=one,
        arrival=one * bars.close[0],
    )


def slices(days: int) -> list[Bars]:
    return [event for event in FEED.events() if isinstance(event, Bars)][: days * 10]


def at_end_of(bars: Bars) -> Slice:
    return Slice(ts=bars.ts, interval_ns=bars.interval_ns, status=bars.status, mark=bars.close, volume=bars.volume)


def test_it_goes_on_from_its_state_at_every_slice() -> None:
    _, artefact = game_of("steps of three bars")
    one, sent = pace_of(artefact), []
    for k, bars in enumerate(slices(3)):
        one.on_bars(bars)
        other = pace_of(artefact)
        other.load(one.save())
        step = k % 10
        if step < 7:
            parents = parents_of(bars, step, 700.0 - 50 * step, ids=1 + k // 10)
            sent.append(one.due(parents, at_end_of(bars)).tolist())
            assert other.due(parents, at_end_of(bars)).tolist() == sent[-1]
        one, other = other, one
    assert len({value for each in sent for value in each}) > 3


def test_what_a_day_left_goes_on_the_next_and_who_asks_again_is_answered_alike() -> None:
    _, artefact = game_of("compact")
    pace, seen = pace_of(artefact), slices(2)
    for bars in seen[:10]:
        pace.on_bars(bars)
    parents = parents_of(seen[9], 0, 700.0)
    assert pace.due(parents, at_end_of(seen[9])).tolist() == [0.0]  # its day has no bar left
    pace.on_bars(seen[10])
    later = msgspec.structs.replace(parents, step=np.array([1]))
    first = pace.due(later, at_end_of(seen[10]))
    assert pace.due(later, at_end_of(seen[10])).tolist() == first.tolist()
    fresh = pace_of(artefact)
    for bars in seen[:11]:
        fresh.on_bars(bars)
    as_new = msgspec.structs.replace(parents, steps=np.array([6]))
    assert first.tolist() == fresh.due(as_new, at_end_of(seen[10])).tolist()


def test_a_replaced_parent_is_worked_in_its_new_size() -> None:
    _, artefact = game_of("compact")
    pace, seen = pace_of(artefact), slices(1)
    pace.on_bars(seen[0])
    pace.due(parents_of(seen[0], 0, 700.0), at_end_of(seen[0]))
    pace.on_bars(seen[1])
    pace.due(parents_of(seen[1], 1, 1400.0, total=1400.0), at_end_of(seen[1]))
    assert pace._memory.quantity.tolist() == [1400.0]
    assert pace._memory.history[0, :2].tolist() == [1400.0, 1400.0]


def test_a_parent_whose_horizon_begins_anew_is_worked_as_a_new_one() -> None:
    _, artefact = game_of("compact")
    pace, fresh, seen = pace_of(artefact), pace_of(artefact), slices(1)
    for k in range(2):
        pace.on_bars(seen[k]), fresh.on_bars(seen[k])
        pace.due(parents_of(seen[k], k, 700.0), at_end_of(seen[k]))
    pace.on_bars(seen[2]), fresh.on_bars(seen[2])
    larger = parents_of(seen[2], 0, 2800.0, total=2800.0)
    assert pace.due(larger, at_end_of(seen[2])).tolist() == fresh.due(larger, at_end_of(seen[2])).tolist()
    assert pace._memory.start.tolist() == [2]


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_another_horizon_interval_or_kind_of_days_is_refused() -> None:
    _, artefact = game_of("compact")
    with pytest.raises(ConfigError, match=r"horizon is 8, and agent .* works orders over 7 slices; set horizon: 7"):
        Rl(universe=FEED.universe, artefact=artefact, horizon=8)
    pace = pace_of(artefact)
    with pytest.raises(ConfigError, match="learned from bars of 39 minutes, and these are of 1"):
        pace.check_session(60_000_000_000, FEED.sessions)
    with pytest.raises(ConfigError, match="days that are sessions of a calendar, and the feed has dates of UTC"):
        pace.check_session(FEED.interval_ns, None)


def test_another_schema_version_or_kind_is_refused_by_name() -> None:
    with pytest.raises(StateError, match=r"schema abcabcabcabc, and this version makes those of [0-9a-f]{12}; train"):
        opened_agent(game_of("compact", schema="abcabcabcabc" * 2)[1], "execution rl")
    with pytest.raises(StateError, match=r"is of execution agent v9, this code reads execution agent v1"):
        opened_agent(game_of("compact", version=9)[1], "execution rl")
    with pytest.raises(StateError, match="holds model.txt; name a trained agent"):
        opened_agent(artefact_of({"model.txt": b"tree"}), "execution rl")


@pytest.mark.parametrize("name", [CARD, WEIGHTS, CHECK])
def test_a_damaged_artefact_is_refused(name: str, tmp_path: Path) -> None:
    _, artefact = game_of("compact")
    write_artefact(artefact, tmp_path / "agent")
    path = tmp_path / "agent" / name
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    with pytest.raises(StateError, match=f"{name} is not the file that was written"):
        read_artefact(tmp_path / "agent")
    with pytest.raises(StateError):  # also where somebody hashed it anew
        opened_agent(artefact_of(artefact.files | {name: path.read_bytes()}), "execution rl")


def test_weights_that_are_no_numbers_or_were_exchanged_are_refused() -> None:
    game, artefact = game_of("compact")
    card, _ = opened_agent(artefact, "test")
    weights = weights_of(card)
    other = agent_artefact(card, {name: each * 1.5 for name, each in weights.items()}, game.reset())
    with pytest.raises(StateError, match="answers otherwise than when it was trained"):
        opened_agent(artefact_of(artefact.files | {WEIGHTS: other.files[WEIGHTS]}), "execution rl")
    weights["head.bias"] = np.full_like(weights["head.bias"], np.nan)
    with pytest.raises(StateError, match="some are no finite numbers"):
        agent_artefact(card, weights, game.reset())


def test_observations_that_are_no_numbers_are_refused() -> None:
    game, artefact = game_of("compact")
    rows = game.reset()
    rows["now"][2, 4] = np.nan
    with pytest.raises(ConfigError, match="observation now of row 2 holds numbers that are none"):
        opened_agent(artefact, "test")[1].act(rows)


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _, artefact = game_of("compact")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'samewire\[rl\]'"):
        Rl(universe=FEED.universe, artefact=artefact, horizon=7, sessions=FEED.sessions)


def test_its_card_says_what_it_is() -> None:
    text = game_of("steps of three bars")[1].files[TEXT].decode()
    assert "works orders over 7 bars of 39 minutes, a decision every 3 of them" in text
    assert "fill: next_open" in text


# ---- days that it does not know --------------------------------------------------------------------------------------


def test_a_day_longer_than_any_of_its_training_goes_on_at_an_even_pace() -> None:
    _, artefact = game_of("compact")
    short, seen = drawn_of(artefact, bars=6), slices(2)
    pace, sent = pace_of(short), []
    for bars in seen[:10]:
        pace.on_bars(bars)
        sent.append(pace.due(parents_of(bars, 0, 700.0), at_end_of(bars)).tolist())
    assert sent[6:] == [[100.0]] * 3 + [[0.0]]  # a seventh of what is left, slice after slice; nothing at the close
    pace.on_bars(seen[10])
    other = pace_of(short)
    other.load(pace.save())
    parents = parents_of(seen[10], 1, 300.0, ids=9)
    first = pace.due(parents, at_end_of(seen[10]))
    assert other.due(parents, at_end_of(seen[10])).tolist() == first.tolist()
    assert pace._memory.start.tolist() == [0]  # the next day it decides again


@pytest.mark.parametrize("first", [8, 9, 10])
def test_it_answers_in_the_first_slice_of_a_day_however_much_of_the_day_before_was_seen(first: int) -> None:
    _, artefact = game_of("compact")
    pace, seen = pace_of(artefact), slices(2)
    for bars in seen[first:11]:
        pace.on_bars(bars)
    asked: list[Any] = []

    class All:
        def act(self, observation: Any) -> Any:
            asked.append(observation)
            return np.array([4])

    pace._policy = All()  # type: ignore[assignment]
    assert pace.due(parents_of(seen[10], 0, 700.0), at_end_of(seen[10])).tolist() == [700.0]
    assert len(asked) == 1


def drawn_of(artefact: Artefact, **changed: Any) -> Artefact:
    """The same weights with another card, of a network that sees no whole days."""
    card, _ = opened_agent(artefact, "test")
    return drawn(msgspec.structs.replace(card, **changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bars": 10**9}, "agent.json: bars must be 1 to 100,000, got 1000000000"),
        ({"steps": -3}, "steps must be 1 to"),
        ({"window": 0}, "window must be 1 to"),
        ({"observation": Compact(10**15)}, "observation.longer must be 1 to"),
        ({"interval_ns": 0}, "interval_ns must be 1 to"),
        ({"network": Mlp((10**12,))}, "network.hidden must be 1 to"),
        ({"network": Mlp(())}, "network.hidden must be 1 to 64 widths"),
        ({"network": Mlp((60_000, 60_000))}, r"head.weight is \(5, 16\) torch.float32, and its network has"),
        ({"shapes": {}}, "shapes must be those of 10 bars"),
    ],
)
def test_a_card_of_sizes_that_cannot_be_is_refused_before_anything_is_made(changed: dict[str, Any], said: str) -> None:
    _, artefact = game_of("compact")
    card = msgspec.structs.replace(opened_agent(artefact, "test")[0], **changed)
    files = artefact.files | {CARD: msgspec.json.encode(card, order="sorted")}
    with pytest.raises(StateError, match=said):
        opened_agent(artefact_of(files), "execution rl")
