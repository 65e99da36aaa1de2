"""The environment of gymnasium keeps its rules, and is the vectorised one of width 1."""

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from components.rl.acting import Categorical, TwapRelative
from components.rl.episodes import generated
from components.rl.gym_env import GymEnv
from components.rl.observing import Compact, CurrentStep, FullHistory
from engine.errors import DataError
from tests.components.rl.made import env, market, minutes

DAYS = minutes(holes=0.1)
OF = generated(DAYS, share=0.3, horizon=7, of="day", start=(0, 4))


@pytest.mark.parametrize("observation", [Compact(), FullHistory(), CurrentStep()])
@pytest.mark.parametrize("action", [Categorical(4), TwapRelative()])
def test_the_checker_of_gymnasium_passes(observation: object, action: object) -> None:
    game = env(DAYS, OF, width=1, observation=observation, action=action)
    with warnings.catch_warnings():
        # Two pieces of advice: a Box may be without bounds here, and actions need not be centred on 0.
        warnings.filterwarnings("ignore", message=".*Box observation space m.*value is")
        warnings.filterwarnings("ignore", message=".*we recommend using a symmetric and normalized space.*")
        warnings.filterwarnings("ignore", message=".*spec.*")
        check_env(GymEnv(game), skip_render_check=True)


@pytest.mark.parametrize("bars_per_step", [1, 3])
def test_it_is_the_environment_of_width_one_and_a_row_of_a_wider_one(bars_per_step: int) -> None:
    options = {"market": market(DAYS, participation=0.1), "bars_per_step": bars_per_step, "observation": FullHistory()}
    one = GymEnv(env(DAYS, OF, width=1, **options))
    wide = env(DAYS, OF, width=len(OF), **options)
    actions = np.random.default_rng(5).integers(0, 5, (len(OF), wide.steps))
    seen = wide.reset()
    alone = [one.reset(options={"episode": e})[0] for e in range(len(OF))]
    assert all(alone[e][name].tobytes() == seen[name][e].tobytes() for e in range(len(OF)) for name in seen)
    rewards = np.zeros((len(OF), wide.steps))
    told = {}
    for k in range(wide.steps):
        step = wide.step(np.where(wide.active, actions[:, k], 0), refill=False)
        rewards[:, k] = step.reward
        for place, e in enumerate(step.finished.episode.tolist()):
            told[e] = {name: getattr(step.finished, name)[place].item() for name in step.finished.__struct_fields__}
    for e in range(len(OF)):
        one.reset(options={"episode": e})
        done, k = False, 0
        while not done:
            _, reward, done, cut, info = one.step(actions[e, k])
            assert (reward, cut) == (rewards[e, k], False)
            k += 1
        assert info == {name: value for name, value in told[e].items() if name != "row"}


def test_a_seed_draws_the_order_and_another_width_is_refused() -> None:
    one = GymEnv(env(DAYS, OF, width=1))
    drawn = [one.reset(seed=seed)[1]["episode"] for seed in (1, 2, 3, 1)]
    assert drawn[0] == drawn[3]
    assert len(set(drawn)) > 1
    with pytest.raises(ValueError, match="must be 1 order wide, got width 2"):
        GymEnv(env(DAYS, OF, width=2))
    with pytest.raises(Exception, match="options: episode must be a whole number from 0 to"):
        one.reset(options={"episode": len(OF)})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episod": 3}, "options: 'episod' is not known; the one key is episode"),
        ({"episode": 3, "seed": 1}, "options: 'seed' is not known"),
        ({3: 3}, "options: 3 is not known"),
        (5, r'options: give a mapping such as {"episode": 3}, got 5'),
        ([], "options: give a mapping"),
        (0, "options: give a mapping"),
    ],
)
def test_options_that_it_does_not_know_are_refused_by_name(options: Any, said: str) -> None:
    one = GymEnv(env(DAYS, OF, width=1))
    with pytest.raises(DataError, match=said):
        one.reset(options=options)
    assert one.reset(options={})[1].keys() == one.reset(options=None)[1].keys() == {"episode"}
