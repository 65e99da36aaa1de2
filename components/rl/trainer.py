"""The loop that trains agents: collect, update, judge, keep. A checkpoint has all that it knows in between."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from components.rl.checkpoint import Checkpoints, Identity
from components.rl.trainer_budget import Bill, bill_of
from components.rl.trainer_kept import check_said
from components.rl.trainer_options import Course, Dqn, TrainedTeacher, read_by, words_of
from engine.errors import ConfigError, StateError
from engine.learning import Metric

if TYPE_CHECKING:
    from components.rl.baseline import Regret
    from components.rl.trainer_evaluate import Figures
    from components.rl.trainer_rows import Environment
    from components.rl.trainer_teacher import Guide


class Arena(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Where an agent learns, and where it is judged."""

    training: "Environment"  # its orders come again and again
    validation: "Environment"  # has each of its orders once, and begins with the first whenever it is reset
    inputs: str = ""  # hash of the orders and bars of both
    counted: "Callable[[Figures], Figures] | None" = None  # prices what orders of validation left, see `Rest`


class Taught(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What came out: weights of the best validation, and of the last iteration."""

    best: dict[str, Any]
    best_iteration: int
    latest: dict[str, Any]
    iterations: int  # that were run
    steps: int  # order-steps
    figures: dict[str, float]  # of the best validation


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a training tells, and by which clock it counts what it costs."""

    on_metrics: Callable[[Sequence[Metric]], None] = lambda metrics: None  # of an iteration, once it is over
    cpu_ns: Callable[[], int] = lambda: 0
    warn: Callable[[str], None] = lambda text: None


SILENT = Told()
_DIVERGED = ("Expected parameter", "without overflow")  # in the words of PyTorch


def libraries_here() -> None:
    """ConfigError where what trains agents is not installed."""
    try:
        import gymnasium
        import stable_baselines3
        import torch
    except ImportError as error:
        raise ConfigError(
            f"training of agents: it needs stable-baselines3, gymnasium and PyTorch, and one cannot be imported "
            f"({error}); pip install 'samewire[rl]'"
        ) from error
    del gymnasium, stable_baselines3
    torch.set_num_threads(1)


def teach(course: Course, arena: Arena, *, checkpoints: Path | None = None, told: Told = SILENT) -> Taught:
    """Trains as the course says. `checkpoints` is a folder of this training alone: whatever was begun there goes on
    where it was, bit for bit.

    An iteration collects `rounds` times the steps of an order on every row and updates the network; every
    `validate_every` of them, and after the last, all orders of validation are worked once by the best action. It ends
    with the budget, or after `patience` validations without a better `monitor`. The generators of the process are
    afterwards as they were. ConfigError and StateError as `Checkpoints` and the environments say.
    """
    libraries_here()
    from components.rl.trainer_chance import own_chance

    with own_chance():
        guide = None
        if isinstance(course.teacher, TrainedTeacher):
            from components.rl.trainer_teacher import guide_of

            _check(course, arena.training)
            guide = guide_of(course, arena, checkpoints, told)
        training = Training(course, arena, told, guide)
        kept = None if checkpoints is None else Checkpoints(checkpoints, training.identity)
        training.begin(kept)
        while not training.done:
            training.iterate()
            if kept is not None:
                training.keep(kept)
        return training.result()


class Training:
    """A training between two iterations."""

    def __init__(self, course: Course, arena: Arena, told: Told, guide: "Guide | None" = None) -> None:
        from components.rl.trainer_rewards import Rewards
        from components.rl.trainer_rows import OrderRows
        from components.rl.trainer_sb3 import Learner
        from components.rl.trainer_student import Lessons

        env, self._course, self._arena, self._told = arena.training, course, arena, told
        self._bill = _check(course, env)
        algorithm = course.algorithm
        rewards = Rewards(
            env.width, scale=course.reward_scale, gamma=algorithm.gamma, normalised=course.normalise_rewards
        )
        self._rows = OrderRows(env, rewards, told.cpu_ns, read_by(course.network, env.observation_shapes))
        self._rows.baseline = _baseline(course, env)
        lessons = None
        if course.teacher is not None:
            lessons = Lessons(env, course.teacher, guide, course)
            self._rows.before_step = lessons.hear
        self._learner: Learner = Learner(self._rows, course, lessons)
        self.identity = Identity(schema=env.schema, course=words_of(course), inputs=arena.inputs)
        self._iteration, self._waited, self._best_iteration = 0, 0, -1
        self._best: dict[str, Any] = {}
        self._figures: dict[str, float] = {}
        self._kept = False

    @property
    def done(self) -> bool:
        out = bool(self._course.patience) and self._waited >= self._course.patience
        return out or self._iteration >= self._bill.collections

    def begin(self, kept: Checkpoints | None) -> None:
        self._kept = kept is not None
        found = None if kept is None else kept.read(self._put_back)
        for why in () if kept is None else kept.passed_over:
            self._told.warn(f"a checkpoint is passed over: {why}; training goes on from iteration {self._iteration}")
        if found is None:
            self._learner.begin()

    # ---- an iteration ------------------------------------------------------------------------------------------------

    def iterate(self) -> None:
        """Collects and updates, and judges where it is time to. ConfigError where that ends in no numbers."""
        try:
            self._iterated()
        except FloatingPointError as error:
            raise self._diverged(str(error)) from error
        except (ValueError, RuntimeError) as error:  # what PyTorch says of chances that are none, and of rates
            if not any(words in str(error) for words in _DIVERGED):
                raise
            raise self._diverged("what its network says is no numbers") from error

    def _diverged(self, what: str) -> ConfigError:
        done, course = self._iteration, self._course
        kept = f"; the checkpoint of iteration {done} stays as it is" if self._kept and done else ""
        return ConfigError(
            f"training: {what} in iteration {done + 1} after {self._learner.seen:,} order-steps, at a rate of "
            f"{self._learner.rate:g}; lower `lr` (it is {course.algorithm.lr:g}) or `reward_scale` (it is "
            f"{course.reward_scale:g}){kept}"
        )

    def _iterated(self) -> None:
        clock, learner = self._told.cpu_ns, self._learner
        began, self._rows.spent_ns = clock(), 0
        learner.collect()
        collected = clock()
        with np.errstate(over="ignore", invalid="ignore"):  # the losses are looked at
            found = learner.update()
        updated = clock()
        found |= self._rows.ended.taken().means()
        found |= {
            "steps": float(learner.seen),
            "cpu_collect_s": (collected - began) / 1e9,
            "cpu_environment_s": self._rows.spent_ns / 1e9,
            "cpu_update_s": (updated - collected) / 1e9,
        }
        iteration, self._iteration = self._iteration, self._iteration + 1
        if self._iteration % self._course.validate_every == 0 or self._iteration >= self._bill.collections:
            found |= self._judged(iteration) | {"val/cpu_s": (clock() - updated) / 1e9}
        self._told.on_metrics([Metric(name, iteration, value) for name, value in found.items()])

    def _judged(self, iteration: int) -> dict[str, float]:
        """Figures of all orders of validation, once; the weights are kept if they are the best so far."""
        from components.rl.trainer_evaluate import over_all

        figures = over_all(self._arena.validation, self._learner.act)
        found = (figures if self._arena.counted is None else self._arena.counted(figures)).means("val/")
        monitor = self._course.monitor
        if monitor not in found:
            raise ConfigError(f"training: monitor is {monitor}, and a validation has: {', '.join(sorted(found))}")
        if self._best_iteration < 0 or found[monitor] > self._figures[monitor]:
            self._best, self._best_iteration, self._figures = self._learner.weights(), iteration, found
            self._waited = 0
        else:
            self._waited += 1
        return found

    def result(self) -> Taught:
        return Taught(
            best=self._best,
            best_iteration=self._best_iteration,
            latest=self._learner.weights(),
            iterations=self._iteration,
            steps=self._learner.seen,
            figures=self._figures,
        )

    # ---- going on ----------------------------------------------------------------------------------------------------

    def keep(self, kept: Checkpoints) -> None:
        import torch

        from components.rl.trainer_chance import chance_tensors

        tensors = {f"learner.{name}": each for name, each in self._learner.tensors().items()}
        tensors |= {f"chance.{name}": each for name, each in chance_tensors().items()}
        tensors |= {f"best.{name}": each for name, each in self._best.items()}
        tensors["environment"] = torch.frombuffer(bytearray(self._arena.training.save()), dtype=torch.uint8)
        said = {
            "learner": self._learner.said(),
            "waited": self._waited,
            "best_iteration": self._best_iteration,
            "figures": self._figures,
        }
        kept.write(self._iteration, tensors, said)

    def _put_back(self, iteration: int, tensors: dict[str, Any], said: dict[str, Any]) -> None:
        from components.rl.trainer_chance import put_back
        from components.training.checkpoints import under

        try:
            check_said(said, iteration, iteration * self._bill.collection, self._course.monitor)
            self._check_best(under("best.", tensors), said["best_iteration"])
            self._arena.training.load(tensors["environment"].numpy().tobytes())
            self._learner.put_back(under("learner.", tensors), said["learner"])
            self._iteration, self._waited = iteration, said["waited"]
            self._best, self._best_iteration = under("best.", tensors), said["best_iteration"]
            self._figures = said["figures"]
            put_back(under("chance.", tensors))
        except (KeyError, RuntimeError, ValueError, TypeError, IndexError, AttributeError, StateError) as error:
            why = f"{type(error).__name__} {str(error)[:200]}".splitlines()[0]
            raise StateError(f"checkpoint of iteration {iteration}: it does not fit this training ({why})") from error

    def _check_best(self, best: dict[str, Any], iteration: int) -> None:
        """ValueError for weights of another form."""
        wanted = self._learner.weights() if iteration >= 0 else {}
        if {name: each.shape for name, each in best.items()} != {name: each.shape for name, each in wanted.items()}:
            raise ValueError("its best weights are of another network")


def _baseline(course: Course, env: "Environment") -> "Regret | None":
    """ConfigError for an environment that does not know what comes of its orders."""
    from components.rl.baseline import Regret
    from components.rl.env import OrderEnv

    if course.baseline == "none":
        return None
    if not isinstance(env, OrderEnv):
        raise ConfigError(
            f"training: baseline {course.baseline} looks at the bars to come, and this environment has none; take "
            "baseline: none"
        )
    return Regret(env, course.algorithm.gamma)


def _check(course: Course, env: "Environment") -> Bill:
    """What it comes to. ConfigError for a course that cannot be."""
    if env.width != course.rows:
        raise ConfigError(f"training: the environment has {env.width} rows and the course {course.rows}; make them one")
    if course.teacher is not None and isinstance(course.algorithm, Dqn):
        raise ConfigError("training: a teacher teaches chances of choices, and dqn has none; use ppo, or no teacher")
    if course.patience < 0:
        raise ConfigError(f"training: patience must be at least 0, got {course.patience}")
    return bill_of(course, env.steps, env.observation_shapes, env.action_count)
