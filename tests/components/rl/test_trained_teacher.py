"""A teacher that learns before its student, from the bars to come: it knows them, goes on exactly, and stays out."""

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

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.costs.half_spread import HalfSpread
from components.rl.acting import TwapRelative
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv, twap_action
from components.rl.episodes import generated
from components.rl.foresight import AHEAD, OWN, QUOTES, Foreseeing, Foresight
from components.rl.observing import Compact
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.teacher import hindsight, targets
from components.rl.trainer import Arena, Told, Training, teach
from components.rl.trainer_chance import own_chance
from components.rl.trainer_evaluate import over_all
from components.rl.trainer_options import Course, Dqn, Ppo, Teacher, TrainedTeacher
from components.rl.trainer_rest import Rest
from components.rl.trainer_teacher import Guide, guide_of
from engine.errors import ConfigError, StateError
from engine.learning import Metric
from tests.components.rl.made import Minutes, env, market, minutes, orders
from tests.components.rl.test_student import (
    DAYS,
    HISTORY,
    HORIZON,
    MLP,
    NOW,
    PA,
    ROWS,
    START,
    arena,
    change,
    with_another_future,
)
from tests.components.rl.toy import arena as toys

TEACHER = TrainedTeacher(weight=1.0, fades=0.5, steps=4 * ROWS * 8, hidden=(16,))
COURSE = Course(algorithm=Ppo(lr=3e-3, epochs=2, batch=64), network=MLP, teacher=TEACHER, rows=ROWS, steps=2048)


def taught(course: Course, made: Arena, folder: Path | None = None, stop: str = "") -> tuple[Any, list[Metric]]:
    """`stop` is a figure and its iteration, at which it is interrupted."""
    found: list[Metric] = []

    def hear(metrics: Sequence[Metric]) -> None:
        found.extend(metrics)
        if stop in {f"{metric.name} {metric.step}" for metric in metrics}:
            raise InterruptedError

    return teach(course, made, checkpoints=folder, told=Told(on_metrics=hear)), found


# ---- what it sees ----------------------------------------------------------------------------------------------------


def test_it_sees_the_prices_of_the_bars_to_come_and_none_behind_the_last() -> None:
    days = minutes(lengths=(16,) * 3, holes=0.15, idle=(1,), seed=4)
    of = orders((2, 0, 1, 40.0, 3, 10), (2, 1, -1, 60.0, 9, 10), (1, 0, 1, 10.0, 2, 4))
    game = env(days, of, market=market(days, participation=0.2))
    game.reset()
    sight = Foresight(game)
    assert sight.bars == 10
    for _ in range(3):
        seen = sight.of(game.episode, game.own)["now"]
        for row, e in enumerate(game.episode):
            own, (price, volume, trades) = game.own, seen[row, len(OWN) :].reshape(len(AHEAD), 10)
            at = of.day[e] * len(days.universe) + of.symbol[e]
            for j in range(10):
                tick = own.now[row] + 1 + j
                paid, traded = (days.open[at, tick], days.volume[at, tick]) if tick <= own.end[row] else (np.nan, 0.0)
                if not (paid > 0 and traded > 0):
                    assert price[j] == volume[j] == trades[j] == 0
                    continue
                better = -own.side[row] * np.log(paid / game.floor.known.twap[e]) / 1e-3
                assert price[j] == pytest.approx(better, rel=1e-5, abs=1e-5)
                assert (volume[j], trades[j]) == (pytest.approx(traded / (traded + own.quantity[row])), 1.0)
        game.step(np.zeros(len(of), int), refill=False)


def shown(days: Days, feed: Any, fill: str, costs: Any, reward: Any) -> tuple[list[bytes], Any]:
    """What the teacher sees of orders that trade a quarter of the rest each time, and what they earn."""
    beside = Beside(universe=feed.universe, costs=costs, fill=fill, participation=0.02)
    of = generated(days, share=0.1, horizon=8, window=3)
    game = Foreseeing(env(days, of, market=beside, reward=reward))
    seen, earned = [game.reset()["now"].tobytes()], np.zeros(len(of))
    while game.active.any():
        found = game.step(np.ones(len(of), int))
        seen.append(found.observation["now"].tobytes())
        earned += found.reward
    return seen, earned


@pytest.mark.parametrize("what", ["last close", "quotes", "quotes of the rest", "arrival"])
def test_it_sees_all_that_its_rewards_hang_on(what: str) -> None:
    feed: Any = Minutes(symbols=2, lengths=(9,) * 8, seed=1, quotes="quotes" in what)
    days, fill, reward, costs = days_of(feed), "next_open", PA, HalfSpread() if "quotes" in what else Bps()
    close, extra = days.close.copy(), [column.copy() for column in days.extra]
    if what == "last close":  # at which alone the rest trades
        close[:, 8] *= 1.01
    elif what == "arrival":
        close[:, 0], reward = close[:, 0] * 1.01, PAPenalty(penalty=0.0, against="arrival")
    else:
        bars = slice(8, 9) if what == "quotes of the rest" else slice(1, 8)
        extra[2][:, bars] *= 0.99
        extra[3][:, bars] *= 1.01
    other = msgspec.structs.replace(days, close=close, high=np.maximum(days.high, close), extra=tuple(extra))
    (seen, earned), (seen_then, earned_then) = (shown(each, feed, fill, costs, reward) for each in (days, other))
    assert np.abs(earned - earned_then).max() > 1.0
    assert seen[0] != seen_then[0]


def test_of_quotes_it_sees_the_near_and_the_far_one() -> None:
    feed: Any = Minutes(symbols=2, lengths=(9,) * 3, seed=1, quotes=True)
    days, of = days_of(feed), orders((2, 0, 1, 40.0, 0, 8), (2, 1, -1, 60.0, 2, 5))
    game = env(days, of, market=market(days))
    game.reset()
    sight = Foresight(game)
    seen = sight.of(game.episode, game.own)["now"]
    assert seen.shape == (2, *sight.shapes["now"])
    for row, e in enumerate(game.episode):
        at, side, own = int(game.floor.row[e]), int(of.side[e]), seen[row, : len(OWN)]
        end = int(of.start[e] + of.horizon[e])
        twap, close = game.floor.known.twap[e], days.close[at]
        for name, price in (("arrival", close[of.start[e]]), ("rest", close[end])):
            assert own[OWN.index(name)] == pytest.approx(-side * np.log(price / twap) / 1e-3, rel=1e-4, abs=1e-5)
        quotes = seen[row, len(OWN) + len(AHEAD) * 8 :].reshape(len(QUOTES), 9)
        for k, side_of in enumerate((side, -side)):
            quote = days.extra[3 if side_of > 0 else 2][at]
            off = np.nan_to_num(-side * np.log(quote / days.open[at]) / 1e-3)
            bars = np.arange(of.start[e] + 1, end + 1)
            np.testing.assert_allclose(quotes[k, : len(bars)], off[bars], rtol=1e-4, atol=1e-5)
            assert not quotes[k, len(bars) : 8].any()
            assert quotes[k, 8] == pytest.approx(off[end], rel=1e-4, abs=1e-5)  # as far from the last close


def test_it_learns_what_no_one_without_the_future_could() -> None:
    """Share of the best in hindsight over TWAP; what the past tells of such days is under half of it."""
    made = arena()
    course = change(COURSE, teacher=TrainedTeacher(steps=32 * ROWS * 8, hidden=(32,)))
    with own_chance():
        guide = guide_of(course, made, None, Told())
    game = made.validation
    assert isinstance(game, OrderEnv)
    found = over_all(game, lambda seen: guide.worths(game.episode, game.own).argmax(axis=1)).reward.mean()
    even = over_all(game, lambda seen: twap_action(game.action, game.own)).reward.mean()
    assert found - even > 0.8 * (hindsight(game).best.mean() - even)


def test_its_figures_count_what_was_left_undone_as_those_of_its_student_do() -> None:
    """So `teacher/val/net` is beside `val/net`; without a penalty it is the reward, which counts the rest."""
    beside = Beside(universe=DAYS.universe, costs=Bps(commission_bps=20), participation=0.001)
    made = arena(market=beside)
    validation = made.validation
    assert isinstance(validation, OrderEnv)
    made = msgspec.structs.replace(made, counted=Rest(validation).counted)
    said = {m.name: m.value for m in taught(change(COURSE, steps=ROWS * 8), made)[1]}
    assert said["teacher/val/ffr"] < 0.9
    for head in ("", "teacher/"):
        assert said[f"{head}val/net"] == pytest.approx(said[f"{head}val/reward"], rel=1e-6)


# ---- the lessons -----------------------------------------------------------------------------------------------------


def test_a_student_hears_its_choice_at_the_very_observations_that_it_learns_from() -> None:
    with own_chance():
        made = arena()
        guide = guide_of(COURSE, made, None, Told())
        training = Training(COURSE, made, Told(), guide)
        training.begin(None)
        game, said = made.training, []
        assert isinstance(game, OrderEnv)
        hear = training._rows.before_step
        assert hear is not None

        def both() -> None:
            said.append((targets(guide.worths(game.episode, game.own), 0.0), game.own.last.copy()))
            hear()

        training._rows.before_step = both
        training._learner.collect()
        lessons = training._learner._lessons
        assert lessons is not None
        heard = list(lessons._chances)
    assert len(heard) == len(said) == game.steps
    for chances, (expected, last) in zip(heard, said, strict=True):
        np.testing.assert_array_equal(chances[~last], expected[~last])
        assert ((chances == 1.0).sum(axis=1) == ~last).all()  # one choice; the last decision is none
        assert not chances[last].any()


@pytest.mark.parametrize("teacher", [TEACHER, Teacher(weight=1.0, temperature=2.0, fades=0.0)])
def test_where_all_choices_are_alike_nothing_is_taught(teacher: TrainedTeacher | Teacher) -> None:
    """Orders of a single decision, at which everything is sent whatever is chosen."""

    def weights(of: TrainedTeacher | Teacher | None) -> tuple[dict[str, Any], set[str]]:
        found, told = taught(change(COURSE, steps=8 * ROWS, teacher=of), arena(bars_per_step=8))
        return found.latest, {metric.name for metric in told}

    (alone, _), (beside, names) = weights(None), weights(teacher)
    assert all(torch.equal(alone[name], beside[name]) for name in alone)
    assert "teacher_weight" in names
    assert not {"teacher_kl", "teacher_agreement"} & names


def test_a_student_agrees_with_it_more_than_one_who_does_not_listen() -> None:
    def figure(weight: float) -> float:
        teacher = TrainedTeacher(weight=weight, steps=TEACHER.steps, hidden=(16,))
        found = taught(change(COURSE, steps=12 * ROWS * 8, teacher=teacher), arena())[1]
        return float(np.mean([m.value for m in found if m.name == "teacher_kl"][-4:]))

    assert figure(1.0) < 0.8 * figure(1e-12)


# ---- going on --------------------------------------------------------------------------------------------------------


@cache
def a_whole_training() -> tuple[Any, list[Metric]]:
    return taught(COURSE, arena())


@pytest.mark.parametrize("stop", ["teacher/steps 1", "teacher/steps 3", "steps 0", "steps 5"])
def test_it_goes_on_bit_for_bit_from_before_and_behind_the_boundary(tmp_path: Path, stop: str) -> None:
    """While the teacher learns, when it has, and while the student does."""
    whole, figures = a_whole_training()
    with pytest.raises(InterruptedError):
        taught(COURSE, arena(), tmp_path, stop)
    rest, told = taught(COURSE, arena(), tmp_path)
    assert figures[-len(told) :] == told
    assert 0 < len(told) < len(figures)
    for kept in ("latest", "best"):
        ours, theirs = getattr(whole, kept), getattr(rest, kept)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    other = change(COURSE, teacher=TrainedTeacher(weight=1.0, fades=0.5, steps=TEACHER.steps, hidden=(8,)))
    with pytest.raises(StateError, match=r"begun with network.hidden \[16\], and this one has \[8\]"):
        taught(other, arena(), tmp_path)


# ---- no future in a student ------------------------------------------------------------------------------------------


@cache
def at_first(left: int) -> tuple[dict[str, Any], Any, Any]:
    return at_now(HISTORY, left)


@cache
def a_student() -> tuple[Training, Guide]:
    of = orders(*((day, s, side, 40.0, START, HORIZON) for day in (0, 1) for s in (0, 1) for side in (1, -1)))
    made = arena(HISTORY, of, observation=Compact())
    course = change(COURSE, steps=6 * ROWS * HORIZON, teacher=change_of(steps=10 * ROWS * HORIZON))
    with own_chance():
        guide = guide_of(course, made, None, Told())
        training = Training(course, made, Told(), guide)
        training.begin(None)
        while not training.done:
            training.iterate()
    return training, guide


def change_of(**fields: Any) -> TrainedTeacher:
    return TrainedTeacher(**({"weight": 1.0, "fades": 0.5, "steps": TEACHER.steps, "hidden": (16,)} | fields))


def at_now(days: Days, left: int) -> tuple[dict[str, Any], Any, Any]:
    """What a student sees and does at the close of bar NOW with `left` parts traded, and what its teacher says."""
    training, guide = a_student()
    game = env(days, orders(*((2, s, side, 40.0, START, HORIZON) for s in (0, 1) for side in (1, -1))), reward=PA)
    seen = game.reset()
    for step in range(NOW - START):
        seen = game.step(np.full(4, int(step < left))).observation
    scores = guide.policy.scores(Foresight(game).of(game.episode, game.own))
    return seen, training._learner.act(seen), scores


def test_a_student_sees_nothing_of_the_future_and_its_teacher_does() -> None:
    changed = []

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1), st.integers(0, 2))
    def whatever_follows(seed: int, left: int) -> None:
        seen, acted, said = at_first(left)
        seen_now, acted_now, said_now = at_now(with_another_future(seed), left)
        assert {name: values.tobytes() for name, values in seen.items()} == {
            name: values.tobytes() for name, values in seen_now.items()
        }
        assert acted.tolist() == acted_now.tolist()
        changed.append((said != said_now).any())

    whatever_follows()
    assert np.mean(changed) > 0.9


def test_what_comes_out_is_the_network_of_one_who_learned_alone_and_no_tensor_of_the_teacher() -> None:
    training, guide = a_student()
    alone = Training(change(COURSE, teacher=None), arena(), Told())
    ours, theirs = training._learner.weights(), alone._learner.weights()
    assert {name: each.shape for name, each in ours.items()} == {name: each.shape for name, each in theirs.items()}
    of_teacher = list(guide.policy._parts.state_dict().values())
    assert not any(a.shape == b.shape and torch.equal(a, b) for a in ours.values() for b in of_teacher)
    with own_chance():
        alone.begin(None)
        alone.iterate()
    assert training._learner.tensors().keys() == alone._learner.tensors().keys()


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_taught_is_refused() -> None:
    with pytest.raises(ConfigError, match="a teacher teaches chances of choices, and dqn has none; use ppo"):
        teach(change(COURSE, algorithm=Dqn()), arena())
    with pytest.raises(ConfigError, match="these actions are continuous; use categorical"):
        teach(COURSE, arena(action=TwapRelative()))
    with pytest.raises(ConfigError, match="this environment has none; take teacher: none"):
        teach(COURSE, toys(ROWS))
    for field, value in {"weight": 0.0, "fades": 1.5, "steps": 0}.items():
        with pytest.raises(ValueError, match=f"teacher: {field} must be"):
            change_of(**{field: value})
    assert teach(change(COURSE, steps=ROWS * HORIZON), arena(reward=EndRatio())).iterations == 1  # any reward will do


def test_its_game_is_that_of_its_student_and_goes_on_where_it_was() -> None:
    made = arena()
    assert isinstance(made.training, OrderEnv)
    ours = Foreseeing(made.training, np.random.default_rng(1))
    first = ours.reset()
    again = Foreseeing(made.training, np.random.default_rng(5))
    again.reset()
    again.load(ours.save())
    assert (ours.schema, ours.steps, ours.width) == (again.schema, made.training.steps, ROWS)
    for _ in range(20):
        steps = [game.step(np.ones(ROWS, int)) for game in (ours, again)]
        np.testing.assert_array_equal(steps[0].observation["now"], steps[1].observation["now"])
        np.testing.assert_array_equal(steps[0].reward, steps[1].reward)
    assert first["now"].shape == (ROWS, *ours.observation_shapes["now"])
