"""What a teacher knows is made as orders need it: in bounded memory, and the same to the last bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.rl.acting import Categorical
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.rewards import PAPenalty
from components.rl.teacher import Hindsight, hindsight
from components.rl.trainer_budget import bill_of, cells_of
from components.rl.trainer_options import Course, Teacher
from engine.errors import ConfigError
from tests.components.rl.made import env, market, minutes

DAYS = minutes(holes=0.2, halted=((1, 0),), idle=(2,), symbols=3, lengths=(12, 12, 12, 12, 9))
OF = generated(DAYS, share=0.05, horizon=6, start=(0, 2, 5), of="day")
FILLS: dict[str, Any] = {"whole": None, "in part": 0.02}


def game_of(fills: str, width: int) -> OrderEnv:
    at, rng = market(DAYS, participation=FILLS[fills]), np.random.default_rng(5)
    return env(DAYS, OF, market=at, width=width, action=Categorical(4), reward=PAPenalty(penalty=3.0), rng=rng)


def heard(game: OrderEnv, known: Hindsight) -> list[bytes]:
    """All that it says along an endless queue, of orders that end at different steps."""
    game.reset()
    rng, said = np.random.default_rng(2), []
    for _ in range(60):
        said.append(known.worths(game.episode, game.own).tobytes())
        game.step(rng.integers(0, 5, game.width))
    return said


@pytest.mark.parametrize("fills", FILLS)
def test_it_says_the_same_bits_however_few_tables_it_may_keep(fills: str) -> None:
    width, states = 7, 32
    whole = hindsight(game_of(fills, width), states_max=states)
    expected = heard(game_of(fills, width), whole)
    assert whole.cells > 4 * width * 100
    for most in (1, 3_000, 12_000):
        game = game_of(fills, width)
        few = hindsight(game, states_max=states, cells_max=most)
        assert heard(game, few) == expected
        assert few.cells <= max(most, width * cells_of(5, game.steps, states))
        assert few.cells < whole.cells / 2


def test_the_tables_of_an_order_are_made_once_while_they_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    of = Hindsight._made

    def counted(self: Hindsight, e: Any) -> Any:
        made.extend(e.tolist())
        return of(self, e)

    monkeypatch.setattr(Hindsight, "_made", counted)
    game = game_of("whole", 7)
    heard(game, hindsight(game))
    assert sorted(made) == list(range(len(OF)))


def test_what_a_table_has_at_most_is_not_less_than_what_any_has() -> None:
    for fills in FILLS:
        game = game_of(fills, 1)
        known = hindsight(game, states_max=16, cells_max=1)
        heard(game, known)
        assert 0 < known.cells <= cells_of(5, game.steps, 16)


def test_forty_symbols_by_ten_choices_are_taught(tmp_path: Path) -> None:
    """Ten times configs/agent.yaml, whose tables would have 70 million cells together."""
    from samewire.agent_world import agent_of, environment, world_of
    from samewire.schema import load_run
    from tests.samewire.test_agent_training import a_run

    agent = {"action": {"use": "categorical", "values": 10}, "orders": {"of": "day"}}
    run = load_run(a_run(tmp_path, agent) | {"feed": {"use": "generated_days", "days": 130, "symbols": 40}})
    world = world_of(run)
    game = environment(world, agent_of(run), world.orders.train, np.random.default_rng(0))
    known = hindsight(game, cells_max=2_000_000)
    game.reset()
    for _ in range(8):
        game.step(known.choose(game.episode, game.own))
        assert known.cells <= 2_000_000


def test_a_plan_says_what_tables_take_and_refuses_those_that_nothing_could_hold() -> None:
    course = Course(steps=10**7, rows=256, teacher=Teacher())
    assert bill_of(course, 8, {"now": (10,)}, 11).teacher_mb == pytest.approx(40e6 * 8 / 2**20 * 12 / 11, rel=0.01)
    many = Course(steps=10**8, rows=65_536, teacher=Teacher(states_max=4_000))
    with pytest.raises(
        ConfigError, match="MiB of what a teacher knows would be held at once.*lower rows, rounds, teacher.st"
    ):
        bill_of(many, 8, {"now": (10,)}, 11)
