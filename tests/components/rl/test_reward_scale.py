"""Rewards divided by the running spread of returns: of many rows, and of one."""

import numpy as np
import pytest

from components.rl.trainer_rewards import Rewards

NEVER = np.zeros(1, bool)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("alike", [False, True])
def test_no_first_reward_of_one_row_is_blown_up(size: float, alike: bool) -> None:
    """One return has no variance, and two that are nearly the same have next to none."""
    rng = np.random.default_rng(0)
    rewards = Rewards(1, scale=1.0, gamma=0.0, normalised=True)
    given = size * (1 + 1e-6 * rng.normal(size=100) if alike else rng.normal(size=100))
    scaled = np.array([rewards.scaled(np.array([each]), NEVER)[0] for each in given])
    assert np.abs(scaled[:2]).max() <= max(2.0, 2 * size)
    assert np.abs(scaled).max() < 100
    if not alike and size >= 1:  # soon it is the spread that counts
        assert scaled[50:].std() == pytest.approx(1.0, rel=0.25)


def test_the_first_rewards_of_many_rows_are_divided_by_their_own_spread() -> None:
    given = np.array([1.0, 2.0, 4.0])
    scaled = Rewards(3, scale=2.0, gamma=1.0, normalised=True).scaled(given, np.zeros(3, bool))
    assert scaled.tolist() == (2 * given / np.sqrt((2 * given).var() + 1e-8)).astype(np.float32).tolist()
