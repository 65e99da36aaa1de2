"""A student that is taught by one who knows the future: it learns more of it, goes on exactly, and sees none of it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.rl.days import Days, days_of
from components.rl.env import OrderEnv
from components.rl.episodes import Orders
from components.rl.episodes import generated as orders_of
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact, FullHistory
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.teacher import as_good, hindsight, targets
from components.rl.trainer import Arena, Told, Training, teach
from components.rl.trainer_chance import own_chance
from components.rl.trainer_options import Course, Dqn, Mlp, Ppo, Recurrent, Teacher
from engine.errors import ConfigError, StateError
from engine.events import Status
from engine.learning import Metric
from tests.components.rl.made import env, minutes, orders

ROWS, PA = 32, PAPenalty(penalty=0.0)
_FEED: Any = GeneratedDays(days=40, seed=5)
DAYS = days_of(_FEED)
ORDERS = orders_of(DAYS, share=0.01, horizon=8, start=(0,), of="trailing")
MLP = Mlp(hidden=(16,))
TEACHER = Teacher(weight=1.0, temperature=2.0, fades=0.5)
COURSE = Course(algorithm=Ppo(lr=3e-3, epochs=2, batch=64), network=MLP, teacher=TEACHER, rows=ROWS, steps=2048)


def arena(days: Days = DAYS, of: Orders = ORDERS, **options: Any) -> Arena:
    given_options = {"reward": PA, "width": ROWS} | options
    return Arena(
        training=env(days, of, rng=np.random.default_rng(3), **given_options),
        validation=env(days, of, **given_options),
        inputs="here",
    )


def change(course: Course, **fields: Any) -> Course:
    return msgspec.structs.replace(course, **fields)


def taught(course: Course, made: Arena, folder: Path | None = None, stop: int = 10**9) -> tuple[Any, list[Metric]]:
    found: list[Metric] = []

    def hear(metrics: Sequence[Metric]) -> None:
        found.extend(metrics)
        if metrics[0].step == stop:
            raise InterruptedError

    return teach(course, made, checkpoints=folder, told=Told(on_metrics=hear)), found


# ---- the lessons -----------------------------------------------------------------------------------------------------


def test_what_it_hears_is_of_the_very_observations_that_ppo_learns_from() -> None:
    """The order of rows in the collection is the library's: each chance stands beside its own observation."""
    with own_chance():
        made = arena()
        training = Training(COURSE, made, Told())
        training.begin(None)
        game, seen = made.training, []
        assert isinstance(game, OrderEnv)
        known = hindsight(game)
        hear = training._rows.before_step

        def both() -> None:
            worths = known.worths(game.episode, game.own)
            alike = as_good(worths).all(axis=1, keepdims=True)
            assert alike[game.own.last].all()  # there all that is left is sent, whatever is chosen
            seen.append((game.observation()["now"], np.where(alike, 0.0, targets(worths, 2.0))))
            assert hear is not None
            hear()

        training._rows.before_step = both
        training._learner.collect()
        lessons = training._learner._lessons
        assert lessons is not None
        from components.rl.trainer_student import in_order

        chances = in_order(lessons._chances)
        training._learner.update()
        stored = training._learner.algorithm.rollout_buffer.observations["now"]
        assert len(chances) == len(stored) == ROWS * game.steps
        for k, (now, expected) in enumerate(seen):
            np.testing.assert_array_equal(stored[k :: game.steps], now)
            np.testing.assert_array_equal(chances[k :: game.steps], expected)


def test_both_losses_are_one_whose_gradient_is_their_weighted_sum() -> None:
    """With one part a collection the step follows grad(PPO) + weight grad(-sum chance log pi), by a plain optimizer."""
    weight = 0.7
    base = change(COURSE, algorithm=Ppo(lr=0.1, epochs=1, batch=10_000, grad_norm=1e9, value_weight=0.0))

    def stepped(teacher: Teacher | None) -> Any:
        with own_chance():
            training = Training(change(base, teacher=teacher), arena(), Told())
            training.begin(None)
            one = training._learner.algorithm
            one.policy.optimizer = torch.optim.SGD(one.policy.parameters(), lr=0.1)
            before = {name: each.clone() for name, each in one.policy.state_dict().items()}
            training._learner.collect()
            lessons = training._learner._lessons
            chances = None if lessons is None else np.stack(lessons._chances, axis=1).reshape(-1, 5)
            training._learner.update()
            return before, one.policy, one.rollout_buffer.observations["now"], chances

    before, alone, _, _ = stepped(None)
    _, both, now, chances = stepped(Teacher(weight=weight, temperature=2.0, fades=0.0))
    after_both = {name: each.clone() for name, each in both.state_dict().items()}
    both.load_state_dict(before)
    log = both.get_distribution({"now": torch.from_numpy(now)}).distribution.logits
    both.zero_grad()
    (-(torch.from_numpy(chances).float() * log).sum(1).mean()).backward()
    moved = 0
    for name, parameter in both.named_parameters():
        slope = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        expected = alone.state_dict()[name] - 0.1 * weight * slope
        torch.testing.assert_close(after_both[name], expected, rtol=1e-4, atol=1e-6)
        moved += int((slope != 0).any())
    assert moved >= 4


@pytest.mark.parametrize("weight", [1e-9, 1.0, 1e6])
def test_grad_norm_bounds_what_is_learned_of_both_together(weight: float) -> None:
    course = change(COURSE, algorithm=Ppo(lr=1.0, epochs=1, batch=10_000, grad_norm=1e-3))
    with own_chance():
        training = Training(change(course, teacher=change_teacher(weight=weight, fades=0.0)), arena(), Told())
        training.begin(None)
        policy = training._learner.algorithm.policy
        policy.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
        before = torch.cat([each.detach().clone().ravel() for each in policy.parameters()])
        training._learner.collect()
        training._learner.update()
        moved = torch.cat([each.detach().ravel() for each in policy.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-2)


def test_it_agrees_with_its_teacher_more_than_one_who_learns_alone() -> None:
    def figures(weight: float) -> dict[str, float]:
        course = change(COURSE, steps=25 * ROWS * 8, teacher=change_teacher(fades=0.0, weight=weight))
        found = taught(course, arena())[1]
        return {name: float(np.mean([m.value for m in found if m.name == name][-5:])) for name in NAMES}

    with_teacher, alone = figures(1.0), figures(1e-12)
    assert with_teacher["teacher_kl"] < 0.5 * alone["teacher_kl"]
    assert with_teacher["teacher_agreement"] > alone["teacher_agreement"] + 0.03


NAMES = ("teacher_kl", "teacher_agreement")


def change_teacher(**fields: Any) -> Teacher:
    return msgspec.structs.replace(TEACHER, **fields)


def test_what_has_faded_is_no_longer_learned() -> None:
    """A weight that fell to 0 leaves PPO alone: weights move as without a teacher from there on."""
    figures = taught(change(COURSE, steps=8 * ROWS * 8), arena())[1]
    weights = [m.value for m in figures if m.name == "teacher_weight"]
    assert weights == pytest.approx([1.0, 0.75, 0.5, 0.25, 0, 0, 0, 0])
    barely = change_teacher(fades=1e-9)  # one lesson, of the first collection
    first = change(COURSE, steps=1 * ROWS * 8)
    one, none = (taught(change(first, teacher=t), arena())[0].latest for t in (barely, None))
    assert any(not torch.equal(one[name], none[name]) for name in none)


# ---- going on --------------------------------------------------------------------------------------------------------


@cache
def a_whole_training() -> tuple[Any, list[Metric]]:
    return taught(COURSE, arena())


@pytest.mark.parametrize("stop", [1, 5])
def test_a_training_with_a_teacher_goes_on_bit_for_bit(tmp_path: Path, stop: int) -> None:
    """Stopped while it is taught, and after that has faded."""
    whole, figures = a_whole_training()
    with pytest.raises(InterruptedError):
        taught(COURSE, arena(), tmp_path, stop)
    rest, told = taught(COURSE, arena(), tmp_path)
    first = told[0].step
    assert [m for m in figures if m.step >= first] == told
    assert whole.latest.keys() == rest.latest.keys()
    assert all(torch.equal(whole.latest[name], rest.latest[name]) for name in whole.latest)
    assert all(torch.equal(whole.best[name], rest.best[name]) for name in whole.best)
    with pytest.raises(StateError, match=r"begun with teacher.weight 1.0, and this one has 2.0"):
        taught(change(COURSE, teacher=change_teacher(weight=2.0)), arena(), tmp_path)


# ---- no future in a student ------------------------------------------------------------------------------------------

HISTORY = minutes(lengths=(16, 16, 16), seed=11)
NOW, START, HORIZON = 7, 3, 10  # an order that is decided at the close of bar 3 stands at bar 7


def with_another_future(seed: int) -> Days:
    """The last day with all that follows bar NOW drawn anew: prices, volumes, holes."""
    rng, days = np.random.default_rng(seed), HISTORY
    columns: dict[str, Any] = {}
    holes = rng.random((2, 16 - NOW - 1)) < 0.2
    for name in ("open", "high", "low", "close", "vwap", "volume"):
        column = days.by_day(name).copy()
        after = column[2, :, NOW + 1 :]
        after *= np.exp(rng.normal(0, 0.3 if name == "volume" else 0.01, after.shape))
        after[holes] = np.nan
        columns[name] = column.reshape(-1, days.bars)
    status = days.by_day("status").copy()
    status[2, :, NOW + 1 :][holes] = Status.MISSING
    return msgspec.structs.replace(days, status=status.reshape(-1, days.bars), **columns)


@cache
def at_first(kind: str, left: int) -> tuple[dict[str, Any], Any, Any]:
    return at_now(HISTORY, kind, left)


@cache
def a_student(kind: str) -> Training:
    """Trained with its teacher on the days before."""
    network, observation = (Recurrent(8, 8), FullHistory()) if kind == "recurrent" else (MLP, Compact())
    of = orders(*((day, s, side, 40.0, START, HORIZON) for day in (0, 1) for s in (0, 1) for side in (1, -1)))
    made = arena(HISTORY, of, observation=observation)
    with own_chance():
        training = Training(change(COURSE, network=network, steps=6 * ROWS * HORIZON), made, Told())
        training.begin(None)
        while not training.done:
            training.iterate()
    return training


def at_now(days: Days, kind: str, left: int) -> tuple[dict[str, Any], Any, Any]:
    """What a student sees and does at the close of bar NOW with `left` parts traded, and what its teacher does."""
    training = a_student(kind)
    observation = FullHistory() if kind == "recurrent" else Compact()
    of = orders(*((2, s, side, 40.0, START, HORIZON) for s in (0, 1) for side in (1, -1)))
    game = env(days, of, observation=observation, reward=PA)
    seen, known = game.reset(), hindsight(game)
    for step in range(NOW - START):
        seen = game.step(np.full(4, int(step < left))).observation
    assert (game.own.now == NOW).all()
    return seen, training._learner.act(seen), known.choose(game.episode, game.own)


@pytest.mark.parametrize("kind", ["compact", "recurrent"])
def test_a_student_sees_nothing_of_the_future_and_its_teacher_does(kind: str) -> None:
    changed = []

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1), st.integers(0, 2))
    def whatever_follows(seed: int, left: int) -> None:
        seen, acted, best = at_first(kind, left)
        seen_now, acted_now, best_now = at_now(with_another_future(seed), kind, left)
        assert seen.keys() == seen_now.keys()
        for name, values in seen.items():
            assert values.tobytes() == seen_now[name].tobytes()
        assert acted.tolist() == acted_now.tolist()
        changed.append((best != best_now).mean())

    whatever_follows()
    assert np.mean(changed) > 0.2  # what the teacher does hangs on it


def test_a_student_is_the_same_network_and_holds_nothing_of_its_teacher() -> None:
    """Weights of the same names and shapes as of one who learned alone, and no more that is kept in a checkpoint."""
    with own_chance():
        with_teacher, alone = (Training(change(COURSE, teacher=t), arena(), Told()) for t in (TEACHER, None))
        for training in (with_teacher, alone):
            training.begin(None)
            training.iterate()
        for kept in ("weights", "tensors"):
            theirs, ours = (getattr(t._learner, kept)() for t in (alone, with_teacher))
            assert {name: each.shape for name, each in theirs.items()} == {n: each.shape for n, each in ours.items()}
        assert with_teacher._learner.said().keys() == alone._learner.said().keys()
        assert with_teacher.identity.schema == alone.identity.schema


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_taught_is_refused() -> None:
    with pytest.raises(ConfigError, match="a teacher teaches chances of choices, and dqn has none; use ppo"):
        teach(change(COURSE, algorithm=Dqn()), arena())
    with pytest.raises(ConfigError, match="EndRatio looks at the whole order"):
        teach(COURSE, arena(reward=EndRatio()))
    for field, value in {"weight": 0.0, "temperature": -1.0, "fades": 1.5, "states_max": 1}.items():
        with pytest.raises(ValueError, match=f"teacher: {field} must be"):
            change_teacher(**{field: value})
