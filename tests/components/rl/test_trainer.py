"""The trainer: it learns, goes on bit for bit after a kill, and refuses what is not its own."""

import multiprocessing
import os
import random  # noqa: TID251 - to see that it is left alone
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.rl.episodes import generated
from components.rl.trainer import Arena, Told, teach
from components.rl.trainer_options import Course, Dqn, Mlp, Ppo, Recurrent
from components.training.checkpoints import read_checkpoint, write_checkpoint
from engine.errors import ConfigError, StateError
from engine.learning import Metric
from tests.components.rl.made import env, minutes
from tests.components.rl.toy import STEPS, Toy, arena

ROWS = 16
PPO = Ppo(lr=3e-3, epochs=4, batch=32)
DQN = Dqn(lr=3e-3, buffer=640, learning_starts=64, updates=8, batch=32, target_every=64, gamma=1.0)
DEEP = msgspec.structs.replace(DQN, n_steps=3, double=False, gamma=0.9)
MLP, GRU = Mlp(hidden=(16,)), Recurrent(hidden=8, out=8)
KINDS = {
    "ppo-mlp": (PPO, MLP),
    "ppo-recurrent": (PPO, GRU),
    "dqn-mlp": (DQN, MLP),
    "dqn-recurrent": (DQN, GRU),
    "dqn-steps": (DEEP, MLP),
}
ITERATIONS = 13  # of which the first DQN buffer is full after ten


def course_of(kind: str, iterations: int = ITERATIONS) -> Course:
    algorithm, network = KINDS[kind]
    steps = iterations * ROWS * STEPS
    return Course(algorithm=algorithm, network=network, steps=steps, rows=ROWS, validate_every=3, seed=5)


def taught(kind: str, folder: Path | None = None, on_metric: Any = None) -> tuple[dict[str, Any], list[Metric]]:
    told: list[Metric] = []

    def hear(metrics: Sequence[Metric]) -> None:
        told.extend(metrics)
        if on_metric is not None:
            on_metric(metrics[0])

    made = arena(ROWS, whole=kind.endswith("recurrent"))
    result = teach(course_of(kind), made, checkpoints=folder, told=Told(on_metrics=hear))
    weights = {f"best.{k}": v for k, v in result.best.items()} | {f"latest.{k}": v for k, v in result.latest.items()}
    return weights, [m for m in told if not m.name.startswith("cpu") and m.name != "val/cpu_s"]


@cache
def whole_of(kind: str) -> tuple[dict[str, Any], list[Metric]]:
    """What comes of a training that nobody stopped."""
    return taught(kind)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Puts the checkpoints of a whole training into a folder, and names them: one training of a kind for all tests."""

    @cache
    def kept(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        taught(kind, folder)
        return folder

    def put(folder: Path, kind: str = "ppo-mlp") -> list[str]:
        shutil.copytree(kept(kind), folder, dirs_exist_ok=True)
        return sorted(path.name for path in folder.iterdir())

    return put


FORKED = multiprocessing.get_context("forkserver")  # a process of its own that has run nothing and imports nothing


def killed_at(kind: str, folder: Path, at: int) -> int | None:
    """Trains in another process that is killed after this iteration; its exit code."""
    FORKED.set_forkserver_preload([__name__, "stable_baselines3", "torch._dynamo"])
    process = FORKED.Process(target=_until_killed, args=(kind, folder, at))
    process.start()
    process.join()
    return process.exitcode


def _until_killed(kind: str, folder: Path, at: int) -> None:
    def hear(metric: Metric) -> None:
        if metric.step >= at:
            os.kill(os.getpid(), signal.SIGKILL)

    taught(kind, folder, hear)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_was_killed_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    """N + M iterations equal N, SIGKILL, and M more in another process: the weights, and every figure."""
    whole, figures = whole_of(kind)
    for at in (5, 11) if kind in ("dqn-mlp", "dqn-steps") else (5,):
        assert killed_at(kind, tmp_path, at) == -signal.SIGKILL
    random.seed(99), np.random.seed(98), torch.manual_seed(97)  # noqa: TID251 - whatever stands in this process
    rest, told = taught(kind, tmp_path)
    assert {m.step for m in told} == set(range(at, ITERATIONS))  # what was done was not done again
    assert [m for m in figures if m.step >= at] == told
    assert whole.keys() == rest.keys()
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_the_generators_of_the_process_are_left_as_they_were() -> None:
    random.seed(1), np.random.seed(2), torch.manual_seed(3)  # noqa: TID251
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    taught("ppo-mlp")
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


@pytest.mark.parametrize(
    ("kind", "lr", "what"),
    [
        ("dqn-mlp", 1e30, r"loss is \w+ in iteration 2 after 128"),
        ("ppo-mlp", 1e10, r"loss_value is inf in iteration 2 after 128"),
        ("ppo-mlp", 1e30, "what its network says is no numbers in iteration 1 after 64"),
        ("ppo-recurrent", 1e38, "what its network says is no numbers in iteration 1 after 64"),
    ],
)
def test_a_rate_that_is_too_high_ends_a_training_with_its_reason(kind: str, lr: float, what: str) -> None:
    course = msgspec.structs.replace(
        course_of(kind), algorithm=msgspec.structs.replace(KINDS[kind][0], lr=lr, anneal=False)
    )
    rate = re.escape(f"order-steps, at a rate of {lr:g}; lower `lr` (it is {lr:g}) or `reward_scale` (it is 1)")
    with pytest.raises(ConfigError, match=f"training: {what}.*{rate}$"):
        teach(course, arena(ROWS, whole=kind.endswith("recurrent")))


def test_what_was_whole_before_a_training_ended_in_no_numbers_is_kept(tmp_path: Path) -> None:
    made, course = arena(ROWS), course_of("dqn-mlp")
    whole: list[bytes] = []

    class Bursting(Toy):
        def step(self, action: Any) -> Any:
            found = super().step(action)
            self.taken = getattr(self, "taken", 0) + 1
            if self.taken > 2 * STEPS:  # in the third collection
                whole.append((tmp_path / "latest.safetensors").read_bytes())
                found.reward[:] = 3e38
            return found

    broken = Arena(training=Bursting(ROWS), validation=made.validation, inputs=made.inputs)
    with pytest.raises(
        ConfigError, match=r"loss is inf in iteration 3 .*; the checkpoint of iteration 2 stays as it is"
    ):
        teach(msgspec.structs.replace(course, normalise_rewards=False), broken, checkpoints=tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["iteration-000001.safetensors", "iteration-000002.safetensors", "latest.safetensors"]
    assert (tmp_path / "latest.safetensors").read_bytes() == whole[0]
    tensors, _ = read_checkpoint(tmp_path, "iteration-000002.safetensors") or ({}, {})
    assert all(each.isfinite().all() for name, each in tensors.items() if name.startswith("learner.policy"))


@pytest.mark.parametrize("kind", ["ppo-mlp", "dqn-mlp"])
def test_it_learns_to_wait_for_a_price_above_the_mean(kind: str) -> None:
    """Selling where the price stands above its mean earns; what does so is found from rewards alone."""
    algorithm, network = KINDS[kind]
    course = Course(algorithm=algorithm, network=network, steps=5_000, rows=ROWS, validate_every=10, seed=1)
    result = teach(course, arena(ROWS, whole=kind.endswith("recurrent")))
    assert result.figures["val/pa"] > 4.0  # the best that knows the future gets 9.3 bp, an even pace 0


def test_validation_works_each_order_once_whatever_the_rows() -> None:
    seen = []
    for width in (1, 7, 64):
        env = Toy(width, orders=50, seed=9, forever=False)
        from components.rl.trainer_evaluate import over_all

        found = over_all(env, lambda observation: (observation["now"][:, 0] > 0.3) * 2)
        assert found.episode.tolist() == list(range(50))
        seen.append(found.pa.tolist())
    assert seen[0] == seen[1] == seen[2]


def test_a_checkpoint_of_another_market_is_refused_by_name(tmp_path: Path) -> None:
    days = minutes()
    of = generated(days, share=0.02, horizon=4, of="day")

    def learn(bps: float) -> None:
        market = Beside(universe=days.universe, costs=Bps(slippage_bps=bps))
        one = env(days, of, width=ROWS, market=market, rng=np.random.default_rng(1))
        course = msgspec.structs.replace(course_of("ppo-mlp"), steps=2 * ROWS * 4)
        teach(course, Arena(training=one, validation=env(days, of, market=market)), checkpoints=tmp_path)

    learn(1.0)
    learn(1.0)  # goes on, and is done
    with pytest.raises(StateError, match="order_env: market was .* when the state was saved"):
        learn(2.0)


# ---- early stopping --------------------------------------------------------------------------------------------------


def test_patience_counts_validations_over_a_resume(tmp_path: Path) -> None:
    class Deaf(Toy):
        def step(self, action: Any) -> Any:
            return super().step(np.ones(self.width))  # whatever is done, all orders come out alike

    def course(steps: int) -> Arena:
        return Arena(training=Deaf(ROWS), validation=Deaf(ROWS, orders=20, seed=9, forever=False))

    base = Course(algorithm=PPO, network=MLP, steps=50 * ROWS * STEPS, rows=ROWS, validate_every=1, patience=4)
    result = teach(base, course(0))
    assert (result.iterations, result.best_iteration) == (5, 0)

    class EnoughError(Exception):
        pass

    def stop(metrics: Sequence[Metric]) -> None:
        if metrics[0].step == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        teach(base, course(0), checkpoints=tmp_path, told=Told(on_metrics=stop))
    result = teach(base, course(0), checkpoints=tmp_path)
    assert (result.iterations, result.best_iteration) == (5, 0)
    assert teach(base, course(0), checkpoints=tmp_path).iterations == 5  # ended, it stays so


def test_a_monitor_that_no_validation_has_is_named() -> None:
    course = Course(algorithm=PPO, network=MLP, steps=ROWS * STEPS, rows=ROWS, monitor="reward")
    with pytest.raises(ConfigError, match=r"monitor is reward, and a validation has: val/ffr, val/net"):
        teach(course, arena(ROWS))


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_checkpoints_are_named_by_iteration_and_latest_is_the_newest(tmp_path: Path, ended: Any) -> None:
    assert ended(tmp_path) == ["iteration-000012.safetensors", "iteration-000013.safetensors", "latest.safetensors"]
    newest = (tmp_path / "iteration-000013.safetensors").read_bytes()
    assert (tmp_path / "latest.safetensors").read_bytes() == newest
    for path in tmp_path.glob("iteration*"):
        path.unlink()
    assert taught("ppo-mlp", tmp_path)[1] == []  # latest stands on its own


@pytest.mark.parametrize("damage", ["cut", "byte", "empty", "header"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_used(tmp_path: Path, damage: str, ended: Any) -> None:
    whole, figures = whole_of("ppo-mlp")
    ended(tmp_path)
    path = tmp_path / "iteration-000013.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "byte":
        content[-9] ^= 1
    elif damage == "header":
        content[20] ^= 255
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"" if damage == "empty" else content)
    warned: list[str] = []
    result = teach(course_of("ppo-mlp"), arena(ROWS), checkpoints=tmp_path, told=Told(warn=warned.append))
    assert "iteration-000013.safetensors" in warned[0]
    assert all(torch.equal(result.latest[name], whole[f"latest.{name}"]) for name in result.latest)


def test_where_none_is_whole_nothing_begins_anew_unasked(tmp_path: Path, ended: Any) -> None:
    for name in ended(tmp_path):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(StateError, match=r"none of its 3 checkpoints can be gone on from .*remove these of its files"):
        taught("ppo-mlp", tmp_path)


def test_one_of_another_course_schema_or_version_is_refused_by_name(
    tmp_path: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(tmp_path)
    other = Course(algorithm=Ppo(lr=3e-3, epochs=5, batch=32), network=MLP, rows=ROWS, validate_every=3, seed=5)
    with pytest.raises(StateError, match=r"begun with algorithm.epochs 4, and this one has 5; go on with that"):
        teach(other, arena(ROWS), checkpoints=tmp_path)

    def renamed(toy: Toy) -> Toy:
        toy.schema = "another"
        return toy

    with pytest.raises(StateError, match=r"of schema toy0, these are of another; go on with the environment"):
        teach(course_of("ppo-mlp"), arena(ROWS, change=renamed), checkpoints=tmp_path)
    inputs = Arena(training=Toy(ROWS), validation=Toy(ROWS, forever=False), inputs="others")
    with pytest.raises(StateError, match=r"learned from other orders or bars \(inputs toy, these are others\)"):
        teach(course_of("ppo-mlp"), inputs, checkpoints=tmp_path)
    monkeypatch.setattr("components.rl.checkpoint.VERSION", 3)
    with pytest.raises(StateError, match=r"it is of samewire agent training v2, this code reads .* v3"):
        taught("ppo-mlp", tmp_path)


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("scale", [1e20, 1e39, 1e160, 1e308])
def test_rewards_too_large_to_learn_from_end_a_training_without_a_word_of_libraries(
    scale: float, normalised: bool
) -> None:
    course = msgspec.structs.replace(course_of("ppo-mlp", 3), reward_scale=scale, normalise_rewards=normalised)
    if normalised and scale < 1e160:  # it is no matter then
        teach(course, arena(ROWS))
        return
    with pytest.raises(ConfigError, match=r"lower .*`reward_scale` \(it is 1e\+"):
        teach(course, arena(ROWS))


@pytest.mark.filterwarnings("error")
def test_a_batch_that_does_not_divide_a_collection_is_learned_quietly() -> None:
    course = msgspec.structs.replace(course_of("ppo-mlp", 1), algorithm=Ppo(batch=24))
    assert teach(course, arena(ROWS)).iterations == 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_observations_that_are_no_numbers_are_refused_by_row(value: float) -> None:
    class Broken(Toy):
        def _seen(self) -> dict[str, Any]:
            found = super()._seen()
            found["now"][3, 1] = value
            return found

    made = Arena(training=Broken(ROWS), validation=Toy(ROWS, forever=False))
    with pytest.raises(ConfigError, match="observation now of row 3 holds numbers that are none"):
        teach(course_of("ppo-mlp"), made)


def test_rewards_that_are_no_numbers_end_a_training_with_its_reason() -> None:
    class Broken(Toy):
        def step(self, action: Any) -> Any:
            found = super().step(action)
            found.reward[:] = np.nan
            return found

    made = Arena(training=Broken(ROWS), validation=Toy(ROWS, forever=False))
    with pytest.raises(ConfigError, match="the reward of row 0 is nan; look at the bars of its day"):
        teach(course_of("ppo-mlp"), made)


def test_validation_without_orders_and_rows_that_differ_are_refused() -> None:
    nothing = Arena(training=Toy(ROWS), validation=Toy(ROWS, orders=0, forever=False))
    with pytest.raises(ConfigError, match="there is no order to judge by"):
        teach(course_of("ppo-mlp"), nothing)
    with pytest.raises(ConfigError, match="the environment has 8 rows and the course 16"):
        teach(course_of("ppo-mlp"), arena(8))


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(ConfigError, match=r"pip install 'samewire\[rl\]'"):
        teach(course_of("ppo-mlp"), arena(ROWS))


def test_dqn_takes_no_continuous_actions() -> None:
    def continuous(toy: Toy) -> Toy:
        toy.action_count = 0
        return toy

    with pytest.raises(ConfigError, match="algorithm dqn: it chooses among a few actions"):
        teach(course_of("dqn-mlp"), arena(ROWS, change=continuous))


def within(said: Any, path: str, value: Any) -> None:
    """Puts the value at the path."""
    for name in path.split(".")[:-1]:
        said = said[name]
    said[path.split(".")[-1]] = value


@pytest.mark.parametrize(
    ("kind", "path", "value", "why"),
    [
        ("ppo-mlp", "learner", [], "Expected `object`, got `array` - at `$.learner`"),
        ("ppo-mlp", "figures", {}, "figures hold no val/net"),
        ("ppo-mlp", "figures", {"val/net": "x"}, "Expected `float`, got `str`"),
        ("ppo-mlp", "learner.updates", "x", "Expected `int`, got `str` - at `$.learner.updates`"),
        ("ppo-mlp", "learner.seen", -5, "Expected `int` >= 0"),
        ("ppo-mlp", "learner.seen", 64, "learner.seen is 64 order-steps, and 13 iterations are 832"),
        ("ppo-mlp", "best_iteration", 13, "best_iteration is 13 and waited . of 13"),
        ("dqn-mlp", "learner.deep", 2.0, "Expected `object`"),
        ("dqn-mlp", "learner.place", 10**9, "learner.place is 1000000000 of 40 rows"),
        ("dqn-mlp", "learner.full", False, "replay.*is of another shape"),
    ],
)
def test_what_a_checkpoint_says_that_no_training_could_is_not_believed(
    tmp_path: Path, kind: str, path: str, value: Any, why: str, ended: Any
) -> None:
    ended(tmp_path, kind)
    newest = max(path.name for path in tmp_path.glob("iteration-*"))
    tensors, head = read_checkpoint(tmp_path, newest) or ({}, {})
    within(head["said"], path, value)
    write_checkpoint(tmp_path, tensors, head, newest)
    (tmp_path / "latest.safetensors").unlink()
    told: list[str] = []
    teach(course_of(kind), arena(ROWS), checkpoints=tmp_path, told=Told(warn=told.append))
    assert len(told) == 1
    assert re.search(why.replace("$", r"\$"), told[0])


def test_a_checkpoint_that_is_a_list_or_under_the_name_of_another_is_passed_over(tmp_path: Path, ended: Any) -> None:
    ended(tmp_path)
    older, newest = sorted(path.name for path in tmp_path.glob("iteration-*"))
    tensors, _ = read_checkpoint(tmp_path, newest) or ({}, {})
    write_checkpoint(tmp_path, tensors, [], newest)  # type: ignore[arg-type]
    (tmp_path / "iteration-000099.safetensors").write_bytes((tmp_path / older).read_bytes())
    (tmp_path / "latest.safetensors").unlink()
    told: list[str] = []
    teach(course_of("ppo-mlp"), arena(ROWS), checkpoints=tmp_path, told=Told(warn=told.append))
    assert [text.partition("safetensors: ")[2] for text in told] == [
        "iteration must be that of its name, 99, got 12; training goes on from iteration 12",
        "its key said is no mapping; training goes on from iteration 12",
    ]


@pytest.mark.parametrize("change", ["no said", "no identity", "iteration", "best", "adam", "adam gone", "waited"])
def test_a_checkpoint_of_another_form_is_passed_over_like_a_damaged_one(
    tmp_path: Path, change: str, ended: Any
) -> None:
    names = ended(tmp_path)
    newest = max(name for name in names if name.startswith("iteration"))
    tensors, said = read_checkpoint(tmp_path, newest) or ({}, {})
    adam = min(name for name in tensors if name.startswith("learner.adam") and name.endswith("exp_avg"))
    head = min(name for name in tensors if name.startswith("best."))
    {
        "no said": lambda: said.pop("said"),
        "no identity": lambda: said.pop("identity"),
        "iteration": lambda: said.update(iteration=-5),
        "best": lambda: tensors.update({head: torch.zeros(9, 9)}),
        "adam": lambda: tensors.update({adam: torch.zeros(3, 3)}),
        "adam gone": lambda: tensors.pop(adam),
        "waited": lambda: said["said"].update(waited="a"),
    }[change]()
    write_checkpoint(tmp_path, tensors, said, newest)
    (tmp_path / "latest.safetensors").unlink()
    told: list[str] = []
    teach(course_of("ppo-mlp"), arena(ROWS), checkpoints=tmp_path, told=Told(warn=told.append))
    assert len(told) == 1
    assert told[0].startswith("a checkpoint is passed over")
    assert told[0].endswith("; training goes on from iteration 12")
