"""How an agent is trained: algorithm, network, budget. Plain data, which a checkpoint and an artefact are known by."""

from typing import Any, Literal

import msgspec

from engine.events import DAY_NS

MOST = {  # sizes that nothing that was trained comes near; the least is 1
    "bars": 100_000,
    "steps": 100_000,
    "horizon": 100_000,
    "bars_per_step": 100_000,
    "window": 10_000,
    "interval_ns": 366 * DAY_NS,
    "network.hidden": 65_536,
    "network.out": 65_536,
    "observation.longer": 100_000,
}

Baseline = Literal["none", "even_pace"]

# The defaults are those of the published execution agents (Qlib's OPDS), where they say one.


class Mlp(msgspec.Struct, frozen=True, tag="mlp", tag_field="use"):
    """All of an observation side by side through layers of ReLU: for observations of a few numbers."""

    hidden: tuple[int, ...] = (64, 64)


BRANCHES = ("market", "own", "now")  # what the recurrent network reads


class Recurrent(msgspec.Struct, frozen=True, tag="recurrent", tag_field="use"):
    """One GRU over the bars so far, one over the steps so far, and what is known now beside them."""

    hidden: int = 64
    out: int = 32


def read_by(network: Mlp | Recurrent, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The parts of an observation that a network looks at: all that is worth remembering of it.

    >>> read_by(Recurrent(), {"market": (9, 7), "before": (8, 7), "own": (5, 2), "now": (7,)})
    {'market': (9, 7), 'own': (5, 2), 'now': (7,)}
    """
    names = shapes if isinstance(network, Mlp) else BRANCHES
    return {name: shape for name, shape in shapes.items() if name in names}


class Ppo(msgspec.Struct, frozen=True, kw_only=True, tag="ppo", tag_field="use"):
    """Proximal policy optimization."""

    lr: float = 1e-4
    anneal: bool = False  # the rate of learning falls to 0 over the budget
    epochs: int = 10  # passes over what was collected
    batch: int = 256
    gamma: float = 1.0
    gae_lambda: float = 1.0
    clip: float = 0.3
    value_clip: bool = True
    value_weight: float = 1.0
    entropy: float = 0.0
    grad_norm: float = 100.0


class Dqn(msgspec.Struct, frozen=True, kw_only=True, tag="dqn", tag_field="use"):
    """Deep Q-learning. What of the defaults is not as published learns more of the known optimum of generated days."""

    lr: float = 1e-3
    anneal: bool = True
    batch: int = 256
    gamma: float = 1.0
    double: bool = True  # the network chooses, the target network says what the choice is worth
    n_steps: int = 1  # rewards of a target, before what the target network says
    buffer: int = 100_000  # order-steps that are remembered
    learning_starts: int = 2_000  # order-steps before the first update
    updates: int = 32  # after each collection
    target_every: int = 10_000  # order-steps from one copy into the target network to the next, 0 = no such network
    explore_first: float = 1.0
    explore_last: float = 0.05
    explore_share: float = 0.3  # of the budget, until which exploring has fallen to `explore_last`
    grad_norm: float = 10.0


class Teacher(msgspec.Struct, frozen=True, kw_only=True, tag="hindsight", tag_field="use"):
    """A teacher that knows the future of the orders, see `components.rl.teacher`; for PPO over a few choices.

        loss = PPO loss + weight_now E[-sum_a chance_a log pi(a | what the student sees)]
        weight_now = weight max(0, 1 - share of the budget used / fades)

    `temperature` is in units of the reward, see `teacher.targets`; 0 = the best choice in hindsight.

    Source: Fang et al. (2021), Universal trading for order execution with oracle policy distillation, AAAI, equation 8.
    """

    weight: float = 0.5
    temperature: float = 0.0
    fades: float = 0.5  # share of the budget after which nothing is taught any more, 0 = it never fades
    states_max: int = 128  # remainders of a decision that are told apart

    def __post_init__(self) -> None:
        rules = (
            ("weight", 0 < self.weight < float("inf"), "finite and above 0"),
            ("temperature", 0 <= self.temperature < float("inf"), "finite and at least 0"),
            ("fades", 0 <= self.fades <= 1, "between 0 and 1"),
            ("states_max", self.states_max >= 2, "at least 2"),
        )
        for name, good, rule in rules:
            if not good:
                raise ValueError(f"teacher: {name} must be {rule}, got {getattr(self, name)}")


class TrainedTeacher(msgspec.Struct, frozen=True, kw_only=True, tag="trained", tag_field="use"):
    """A teacher that learned by PPO, too, from the bars to come (`components.rl.foresight`), before its student.

        loss = PPO loss + weight_now E[-log pi(a of the teacher | what the student sees)]

    It learns `steps` order-steps, with the student's options of PPO, and of its weights those count that earned most
    on the orders of validation. `weight` is that of the published code, over rewards that are not normalised.

    Source: Fang et al. (2021), Universal trading for order execution with oracle policy distillation, AAAI, equation 8;
    Qlib, examples/trade: OPD, PPO_sup (sup_coef 0.01) and OPDT.
    """

    weight: float = 0.01
    fades: float = 0.0  # share of the budget after which nothing is taught any more, 0 = it never fades
    steps: int = 600_000  # budget of the teacher, in order-steps
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        rules = (
            ("weight", 0 < self.weight < float("inf"), "finite and above 0"),
            ("fades", 0 <= self.fades <= 1, "between 0 and 1"),
            ("steps", self.steps >= 1, "at least 1"),
        )
        for name, good, rule in rules:
            if not good:
                raise ValueError(f"teacher: {name} must be {rule}, got {getattr(self, name)}")


def weighs(teacher: Teacher | TrainedTeacher, left: float) -> float:
    """The weight of what is taught while this share of the budget is left.

    >>> [weighs(Teacher(weight=2.0, fades=0.5), left) for left in (1.0, 0.75, 0.4)]
    [2.0, 1.0, 0.0]
    """
    return teacher.weight * max(0.0, 1.0 - (1.0 - left) / teacher.fades) if teacher.fades else teacher.weight


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One training. `rows` orders are worked side by side; a collection is `rounds` times the steps of an order."""

    algorithm: Ppo | Dqn = Ppo()
    network: Mlp | Recurrent = Mlp()
    teacher: Teacher | TrainedTeacher | None = None
    steps: int = 600_000  # budget, in order-steps
    rows: int = 256
    rounds: int = 1
    baseline: Baseline = "none"  # what rewards are the difference to, see `components.rl.baseline`
    reward_scale: float = 1.0
    normalise_rewards: bool = True  # by the running spread of returns
    validate_every: int = 4  # collections
    patience: int = 0  # validations without a better one until it ends, 0 = never
    monitor: str = "val/net"
    seed: int = 0

    def iterations(self, steps: int) -> int:
        """Collections that the budget pays for, of orders of so many steps."""
        return self.steps // (self.rows * self.rounds * steps)


def words_of(course: Course) -> dict[str, Any]:
    """The course as JSON values."""
    said: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(course))
    return said
