"""What is remembered once says what was remembered twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stable_baselines3.common.buffers import DictReplayBuffer

from components.rl import trainer_sb3
from components.rl.acting import Categorical
from components.rl.episodes import generated
from components.rl.observing import FullHistory
from components.rl.trainer import Arena, teach
from components.rl.trainer_options import Course, Dqn, Mlp, Recurrent, read_by
from components.rl.trainer_replay import put_back, remember_once, remembered
from components.training.checkpoints import read_checkpoint
from tests.components.rl.made import env, minutes
from tests.components.rl.test_trainer import course_of
from tests.components.rl.toy import arena

ROWS, PLACES = 3, 5


def buffer() -> Any:
    seen = spaces.Dict({"now": spaces.Box(-1, 1, (2,), np.float32), "own": spaces.Box(-1, 1, (4, 2), np.float32)})
    return DictReplayBuffer(PLACES * ROWS, seen, spaces.Discrete(3), device="cpu", n_envs=ROWS)


def stream(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(count)
    return [
        {"now": rng.random((ROWS, 2), np.float32), "own": rng.random((ROWS, 4, 2), np.float32)}
        for _ in range(count + 1)
    ]


def filled(made: Any, seen: list[dict[str, Any]]) -> Any:
    zero = np.zeros(ROWS)
    for k, (now, following) in enumerate(zip(seen, seen[1:], strict=False)):
        made.add(now, following, np.full(ROWS, k % 3), zero + k, zero + k % 2, [{}] * ROWS)
    return made


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3 * PLACES))
def test_each_place_is_followed_by_what_followed_it(count: int) -> None:
    """Before the ring is full, when it wraps, and after it was written and put back."""
    seen = stream(count)
    twice, once = filled(buffer(), seen), buffer()
    remember_once(once)
    filled(once, seen)
    again = buffer()
    remember_once(again)
    again.pos, again.full = once.pos, once.full
    kept = {name: torch.from_numpy(each.copy()) for name, each in remembered(once)}
    assert not any(name.startswith("next") for name in kept)
    put_back(again, kept, seen[-1])
    place, row = (each.ravel() for each in np.indices((twice.size(), ROWS)))
    for one in (once, again):
        for name in ("now", "own"):
            np.testing.assert_array_equal(
                one.next_observations[name][place, row], twice.next_observations[name][place, row]
            )
            np.testing.assert_array_equal(one.observations[name][place, row], twice.observations[name][place, row])
        assert one.sample(16).next_observations["own"].shape == (16, 4, 2)  # by the library's own hand
        for name in ("actions", "rewards", "dones"):
            np.testing.assert_array_equal(getattr(one, name)[: one.size()], getattr(twice, name)[: one.size()])


@pytest.mark.parametrize("kind", ["dqn-mlp", "dqn-recurrent"])
def test_a_training_comes_out_to_the_bit_as_with_two_copies(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    course = course_of(kind, 5)
    assert isinstance(course.algorithm, Dqn)
    few = replace(course, algorithm=replace(course.algorithm, buffer=192))  # full after three of them
    once = teach(few, arena(16, whole=kind.endswith("recurrent"))).latest
    monkeypatch.setattr(trainer_sb3, "remember_once", lambda buffer: None)
    twice = teach(few, arena(16, whole=kind.endswith("recurrent"))).latest
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_a_checkpoint_holds_what_the_network_reads(tmp_path: Path) -> None:
    days = minutes(lengths=(40,) * 4)
    of = generated(days, share=0.02, horizon=4, of="day")

    def game(rng: Any = None) -> Any:
        return env(days, of, width=8, observation=FullHistory(), action=Categorical(2), rng=rng)

    algorithm = Dqn(buffer=80, learning_starts=8, updates=1, batch=8)
    course = Course(algorithm=algorithm, network=Recurrent(hidden=4, out=4), steps=32 * 8, rows=8, validate_every=99)
    teach(course, Arena(training=game(np.random.default_rng(1)), validation=game()), checkpoints=tmp_path)
    tensors, _ = read_checkpoint(tmp_path, "latest.safetensors") or ({}, {})
    replay = {name.removeprefix("learner.replay."): each for name, each in tensors.items() if "replay" in name}
    assert {*replay} == {"seen.market", "seen.own", "seen.now", "actions", "rewards", "dones"}
    assert "learner.last.before" not in tensors
    shapes = read_by(course.network, game().observation_shapes)
    numbers = sum(int(np.prod(shape)) for shape in shapes.values())
    assert sum(each.numel() * each.element_size() for each in replay.values()) == 80 * (4 * numbers + 16)
    whole = read_by(Mlp(), game().observation_shapes)
    assert "before" in whole  # an mlp reads all of it
