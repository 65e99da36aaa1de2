"""Which order an environment takes next, how it goes on where it was, and which state, action or order is refused."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.costs.bps import Bps
from components.rl.acting import Categorical, TwapRelative
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.observing import Compact, CurrentStep, FullHistory
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.tape import tape_of
from engine.errors import DataError, StateError
from engine.events import DAY_NS
from tests.components.rl.made import env, market, minutes, orders, whole

DAYS = minutes()
OF = generated(DAYS, share=0.02, horizon=5, of="day")


def test_each_once_without_a_generator_and_rows_without_an_episode_do_nothing() -> None:
    of = generated(DAYS, share=0.01, horizon=3, of="day", start=(0, 5))
    game = env(DAYS, of, width=5)
    episodes, last = [], None
    for step in whole(game):
        assert (step.reward[~step.acted] == 0).all()
        assert not step.done[~step.acted].any()
        episodes += step.finished.episode.tolist()
        last = step
    assert sorted(episodes) == list(range(len(of)))
    assert last is not None
    assert (last.observation["now"] == 0).all()
    with pytest.raises(DataError, match="no row has an episode"):
        game.step(np.zeros(5, int))
    assert game.reset()["now"].any()


def test_with_a_generator_every_round_has_each_order_once_in_an_order_of_its_own() -> None:
    of = generated(DAYS, share=0.01, horizon=1, of="day")
    game = env(DAYS, of, width=4, rng=np.random.default_rng(3))
    game.reset()
    seen = np.concatenate([game.step(np.zeros(4, int)).finished.episode for _ in range(len(of) // 2)])
    one, other = seen[: len(of)].tolist(), seen[len(of) :].tolist()
    assert sorted(one) == sorted(other) == list(range(len(of)))
    assert one != other


def run_on(game: OrderEnv, rng: np.random.Generator, steps: int) -> list[bytes]:
    said = []
    for _ in range(steps):
        out = game.step(rng.integers(0, game.action_count, game.width))
        parts = [*out.observation.values(), out.reward, out.done, out.acted]
        parts += [getattr(out.finished, name) for name in out.finished.__struct_fields__]
        said.append(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    return said


@pytest.mark.parametrize("observation", [Compact(), FullHistory(), CurrentStep()])
def test_saved_and_loaded_it_goes_on_bit_for_bit(observation: object) -> None:
    of = generated(DAYS, share=0.02, horizon=5, of="day", start=(0, 3))
    made = {"width": 7, "observation": observation, "bars_per_step": 2}
    game, rng = env(DAYS, of, rng=np.random.default_rng(1), **made), np.random.default_rng(2)
    game.reset()
    run_on(game, rng, 9)
    state, kept = game.save(), rng.bit_generator.state
    seen = game.observation()
    expected = run_on(game, rng, 20)
    other = env(DAYS, of, rng=np.random.default_rng(99), **made)
    other.load(state)
    rng.bit_generator.state = kept
    assert {name: part.tobytes() for name, part in other.observation().items()} == {
        name: part.tobytes() for name, part in seen.items()
    }
    assert run_on(other, rng, 20) == expected


def test_the_state_of_another_game_is_refused() -> None:
    of = generated(DAYS, share=0.02, horizon=5, of="day")
    state = env(DAYS, of, width=3).save()
    with pytest.raises(StateError, match="width was 3 when the state was saved and is 4 now"):
        env(DAYS, of, width=4).load(state)
    with pytest.raises(StateError, match="schema was"):
        env(DAYS, of, width=3, action=Categorical(5)).load(state)
    with pytest.raises(StateError, match="damaged"):
        env(DAYS, of, width=3).load(state[:-1])


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("orders", {"of": msgspec.structs.replace(OF, side=-OF.side)}),
        ("orders", {"of": msgspec.structs.replace(OF, quantity=OF.quantity * 2)}),
        ("days", {"days": minutes(seed=9)}),
        ("days", {"days": minutes(calendar=(13,) * 4)}),
        ("tape", {"tape": tape_of(DAYS, window=1)}),
        ("market", {"market": market(DAYS, costs=Bps(commission_bps=1, slippage_bps=3))}),
        ("market", {"market": market(DAYS, costs=Bps(commission_bps=2, slippage_bps=2))}),
        ("market", {"market": market(DAYS, fill="next_close")}),
        ("market", {"market": market(DAYS, participation=0.05)}),
        ("market", {"market": market(DAYS, participation=0.5)}),
        ("market", {"market": market(DAYS, participation=0.6), "made": {"market": market(DAYS, participation=0.5)}}),
        ("reward", {"reward": PAPenalty(penalty=5.0, scale=0.01)}),
        ("reward", {"reward": PAPenalty(penalty=4.0, scale=0.01, against="arrival")}),
        ("reward", {"reward": PAPenalty(penalty=4.0, scale=0.01, rest="ignored")}),
        ("reward", {"reward": EndRatio()}),
        ("generator", {"rng": None}),
    ],
)
def test_the_part_that_is_another_is_named(name: str, changed: dict[str, Any]) -> None:
    changed = dict(changed)
    made: dict[str, Any] = {"width": 3, "rng": np.random.default_rng(1), "market": market(DAYS)}
    made |= changed.pop("made", {})
    state = env(DAYS, OF, **made).save()
    env(minutes(), msgspec.structs.replace(OF), **made).load(state)
    days, of = changed.pop("days", DAYS), changed.pop("of", OF)
    other = env(days, of, **made | changed)
    with pytest.raises(StateError, match=f"order_env: {name} was .* when the state was saved and is .* now"):
        other.load(state)
    with pytest.raises(StateError, match=f"order_env: {name} was"):
        env(DAYS, OF, **made).load(other.save())


def test_the_schema_follows_what_a_policy_sees_and_may_choose() -> None:
    of = generated(DAYS, share=0.02, horizon=6, of="day")
    games = (
        env(DAYS, of),
        env(DAYS, of, observation=Compact(longer=4)),
        env(DAYS, of, observation=CurrentStep()),
        env(DAYS, of, action=Categorical((0.0, 0.5))),
        env(DAYS, of, action=TwapRelative()),
        env(DAYS, of, bars_per_step=2),
    )
    assert len({game.schema for game in games}) == len(games)
    assert env(DAYS, of.rows(np.arange(3))).schema == games[0].schema


@pytest.mark.parametrize(
    ("action", "given", "said"),
    [
        (Categorical(4), np.array([5, 0]), "choices from 0 to 4, got 0 to 5"),
        (Categorical(4), np.array([-1, 0]), "choices from 0 to 4"),
        (Categorical(4), np.array([0.5, 0.0]), r"give \(2,\) integers"),
        (Categorical(4), np.array([1]), r"give \(2,\) integers"),
        (TwapRelative(), np.array([np.nan, 1.0]), "at least 0, got nan"),
        (TwapRelative(), np.array([-0.1, 1.0]), "at least 0, got -0.1"),
        (TwapRelative(), np.array([1.0]), r"give \(2,\) numbers"),
    ],
)
def test_an_action_that_is_no_choice_is_refused(action: object, given: np.ndarray, said: str) -> None:
    game = env(DAYS, orders((0, 0, 1, 50, 0, 4), (0, 1, 1, 50, 0, 4)), action=action)
    game.reset()
    with pytest.raises(DataError, match=said):
        game.step(given)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((9, 0, 1, 50, 0, 4), "order 0: day must be one of the 4 days"),
        ((0, 7, 1, 50, 0, 4), "symbol must be a position in the universe, got 7"),
        ((0, 0, 2, 50, 0, 4), "side must be 1 to buy or -1 to sell, got 2"),
        ((0, 0, 1, 0, 0, 4), "quantity must be finite and above 0, got 0"),
        ((0, 0, 1, np.nan, 0, 4), "quantity must be finite"),
        ((0, 0, 1, 50.5, 0, 4), "quantity must be whole lots, got 50.5"),
        ((0, 0, 1, 50, 11, 4), "start must be a bar of its day before the last one, got 11"),
        ((0, 0, 1, 50, -1, 4), "start must be"),
        ((0, 0, 1, 50, 0, 0), "horizon must be at least 1 bar, got 0"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_name(row: tuple[int, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        env(DAYS, orders(row))  # type: ignore[arg-type]


def test_no_orders_and_no_width_are_refused() -> None:
    of = generated(DAYS, share=0.01, horizon=3, of="day")
    with pytest.raises(ValueError, match="an empty split cannot be stepped"):
        env(DAYS, of.rows(np.zeros(len(of), bool)), width=2)
    with pytest.raises(ValueError, match="width must be at least 1"):
        env(DAYS, of, width=0)
    with pytest.raises(ValueError, match="bars_per_step must be at least 1"):
        env(DAYS, of, bars_per_step=0)


def test_days_are_shared_and_not_written_to() -> None:
    for name in ("open", "close", "volume", "status", "ts", "length"):
        assert not getattr(DAYS, name).flags.writeable
    assert DAYS.label[1] - DAYS.label[0] == DAY_NS
    assert msgspec.structs.asdict(DAYS)["universe"] is DAYS.universe
