"""What is no action, no episode and no state of this game is named, and nothing of numpy's own."""

from typing import Any

import numpy as np
import pytest

from components.rl.acting import Categorical, TwapRelative
from components.rl.episodes import generated
from components.rl.gym_env import GymEnv
from engine.errors import DataError, StateError
from tests.components.rl.made import env, minutes

DAYS = minutes()
OF = generated(DAYS, share=0.3, horizon=7, of="day")


@pytest.mark.parametrize("episode", [1.7, "x", True, -1, len(OF), [1], np.array([0, 1]), np.nan])
def test_an_episode_that_is_none_is_named(episode: Any) -> None:
    one = GymEnv(env(DAYS, OF, width=1))
    with pytest.raises(DataError, match=f"options: episode must be a whole number from 0 to {len(OF) - 1}, got "):
        one.reset(options={"episode": episode})


@pytest.mark.parametrize("episodes", [[1.7], ["x"], [[1]], [None]])
def test_episodes_of_the_vectorised_one_that_are_none_are_named(episodes: Any) -> None:
    with pytest.raises(DataError, match="episodes: give 1 whole numbers of -1 to"):
        env(DAYS, OF, width=1).reset(np.array(episodes))


@pytest.mark.parametrize("action", [[1, 2], [], [[1, 2], [3]], "a", None, np.nan, {}])
@pytest.mark.parametrize("kind", [Categorical(4), TwapRelative()])
def test_an_action_that_is_none_is_named(kind: Any, action: Any) -> None:
    one = GymEnv(env(DAYS, OF, width=1, action=kind))
    one.reset(seed=1)
    with pytest.raises(DataError, match="action: give "):
        one.step(action)


def test_the_state_of_a_game_with_another_kind_of_generator_is_refused_and_changes_nothing() -> None:
    saved = env(DAYS, OF, width=3, rng=np.random.default_rng(1))
    saved.reset()
    other = env(DAYS, OF, width=3, rng=np.random.Generator(np.random.MT19937(1)))
    other.reset()
    before = other.save()
    with pytest.raises(StateError, match="saved with generator PCG64 and has MT19937 now"):
        other.load(saved.save())
    assert other.save() == before
