"""The key `agent` of the section `training:`: what an execution agent sees, may do, is rewarded for, and learns by."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from components.rl.acting import Categorical, TwapRelative
from components.rl.observing import Compact, CurrentStep, FullHistory
from components.rl.policy import REACH
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.trainer_beside import Works
from components.rl.trainer_options import MOST, Baseline, Course, Dqn, Ppo, Recurrent, Teacher, TrainedTeacher
from samewire.scalars import Day

_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
Width = Annotated[int, Field(ge=1, le=MOST["network.hidden"])]  # of a layer
_STEPS_MAX, _TIMES_MAX, _BUFFER_MAX = 10**12, 10**6, 10**8
_REST: Any = Field(default=PAPenalty().rest, description="what is left undone: traded at the last close, or ignored")
_PPO, _DQN, _RECURRENT, _COURSE, _TEACHER, _TRAINED = Ppo(), Dqn(), Recurrent(), Course(), Teacher(), TrainedTeacher()


class PpoSpec(BaseModel):
    """Proximal policy optimization."""

    model_config = _CONFIG

    use: Literal["ppo"] = Field(default="ppo", description="proximal policy optimization")
    lr: float = Field(default=_PPO.lr, gt=0, description="rate of learning")
    anneal: bool = Field(default=_PPO.anneal, description="the rate falls to 0 over the budget")
    epochs: int = Field(default=_PPO.epochs, ge=1, le=_TIMES_MAX, description="passes over what was collected")
    batch: int = Field(default=_PPO.batch, ge=2, le=_BUFFER_MAX, description="order-steps of one update")
    gamma: float = Field(default=_PPO.gamma, gt=0, le=1, description="discount of later rewards")
    gae_lambda: float = Field(default=_PPO.gae_lambda, ge=0, le=1, description="of generalised advantages")
    clip: float = Field(default=_PPO.clip, gt=0, description="how far an update may go")
    value_clip: bool = Field(default=_PPO.value_clip, description="the same of values")
    value_weight: float = Field(default=_PPO.value_weight, ge=0, description="of the loss of values")
    entropy: float = Field(default=_PPO.entropy, ge=0, description="weight of keeping choices open")
    grad_norm: float = Field(default=_PPO.grad_norm, gt=0, description="most that slopes may be together")


class DqnSpec(BaseModel):
    """Deep Q-learning with a target network."""

    model_config = _CONFIG

    use: Literal["dqn"] = Field(default="dqn", description="deep Q-learning")
    lr: float = Field(default=_DQN.lr, gt=0, description="rate of learning")
    anneal: bool = Field(default=_DQN.anneal, description="the rate falls to 0 over the budget")
    batch: int = Field(default=_DQN.batch, ge=1, le=_BUFFER_MAX, description="order-steps of one update")
    gamma: float = Field(default=_DQN.gamma, gt=0, le=1, description="discount of later rewards")
    double: bool = Field(default=_DQN.double, description="the target network judges the choice of the other")
    n_steps: int = Field(default=_DQN.n_steps, ge=1, le=10_000, description="rewards of a target before its estimate")
    buffer: int = Field(default=_DQN.buffer, ge=1, le=_BUFFER_MAX, description="order-steps that are remembered")
    learning_starts: int = Field(
        default=_DQN.learning_starts, ge=0, le=_STEPS_MAX, description="order-steps before the first update"
    )
    updates: int = Field(default=_DQN.updates, ge=1, le=_TIMES_MAX, description="updates after each collection")
    target_every: int = Field(
        default=_DQN.target_every, ge=0, le=_STEPS_MAX, description="order-steps between copies to the target, 0 = none"
    )
    explore_first: float = Field(default=_DQN.explore_first, ge=0, le=1, description="share of random steps at first")
    explore_last: float = Field(default=_DQN.explore_last, ge=0, le=1, description="share of them at last")
    explore_share: float = Field(default=_DQN.explore_share, gt=0, le=1, description="of the budget, until then")
    grad_norm: float = Field(default=_DQN.grad_norm, gt=0, description="most that slopes may be together")


class MlpSpec(BaseModel):
    """Layers over all of an observation."""

    model_config = _CONFIG

    use: Literal["mlp"] = Field(default="mlp", description="layers over all of an observation")
    hidden: list[Width] = Field(default=[64, 64], min_length=1, max_length=8, description="width of each layer")


class RecurrentSpec(BaseModel):
    """GRUs over the bars and over the decisions so far; it reads full_history."""

    model_config = _CONFIG

    use: Literal["recurrent"] = Field(default="recurrent", description="GRUs over bars and decisions so far")
    hidden: Width = Field(default=_RECURRENT.hidden, description="width of its branches")
    out: Width = Field(default=_RECURRENT.out, description="features that actions are chosen from")


class CompactSpec(BaseModel):
    """A few numbers of order 1."""

    model_config = _CONFIG

    use: Literal["compact"] = Field(default="compact", description="a few numbers of order 1")
    longer: int = Field(
        default=Compact().longer, ge=2, le=MOST["observation.longer"], description="bars of the longer return"
    )


class FullHistorySpec(BaseModel):
    """Every bar of the day so far and of the day before, and every decision."""

    model_config = _CONFIG

    use: Literal["full_history"] = Field(default="full_history", description="bars of today and of the day before")
    turned: bool = Field(default=FullHistory().turned, description="prices as the order sees them: above 0 is good")


class CurrentStepSpec(BaseModel):
    """The order alone."""

    model_config = _CONFIG

    use: Literal["current_step"] = Field(default="current_step", description="the order alone")


class CategoricalSpec(BaseModel):
    """Shares of the whole order."""

    model_config = _CONFIG

    use: Literal["categorical"] = Field(default="categorical", description="0, 1/n, ..., 1 of the whole order")
    values: int = Field(default=4, ge=1, le=100, description="n, equal parts")


class TwapRelativeSpec(BaseModel):
    """A multiple of an even pace; for ppo."""

    model_config = _CONFIG

    use: Literal["twap_relative"] = Field(default="twap_relative", description="a multiple of an even pace")
    most: float = Field(default=REACH, ge=1, le=REACH, description="largest multiple, up to what a network can say")


class PAPenaltySpec(BaseModel):
    """Price advantage of each step less a penalty for trading at once."""

    model_config = _CONFIG

    use: Literal["pa_penalty"] = Field(default="pa_penalty", description="price advantage less a penalty")
    penalty: float = Field(default=PAPenalty().penalty, ge=0, description="of the sum of squared shares of bars")
    scale: float = Field(default=PAPenalty().scale, gt=0, description="of the whole")
    against: Literal["twap", "arrival"] = Field(default="twap", description="what prices are compared with")
    rest: Literal["close", "ignored"] = _REST


class EndRatioSpec(BaseModel):
    """-1, 0 or 1 at the end of an order."""

    model_config = _CONFIG

    use: Literal["end_ratio"] = Field(default="end_ratio", description="-1, 0 or 1 at the end of an order")
    rest: Literal["close", "ignored"] = _REST


class NoTeacherSpec(BaseModel):
    """It learns from rewards alone."""

    model_config = _CONFIG

    use: Literal["none"] = Field(default="none", description="it learns from rewards alone")


class HindsightSpec(BaseModel):
    """A teacher that knows the future of the orders; for ppo, categorical and pa_penalty."""

    model_config = _CONFIG

    use: Literal["hindsight"] = Field(default="hindsight", description="the best choices in hindsight")
    weight: float = Field(default=_TEACHER.weight, gt=0, description="of what is taught beside the loss of ppo")
    temperature: float = Field(
        default=_TEACHER.temperature, ge=0, description="in units of the reward: how far worse choices are taught too"
    )
    fades: float = Field(
        default=_TEACHER.fades,
        ge=0,
        le=1,
        description="share of the budget until the weight has fallen to 0, 0 = never",
    )
    states_max: int = Field(
        default=_TEACHER.states_max, ge=2, le=_TIMES_MAX, description="remainders of a decision told apart"
    )


class TrainedTeacherSpec(BaseModel):
    """A teacher that learned before, from the bars to come; for ppo and categorical."""

    model_config = _CONFIG

    use: Literal["trained"] = Field(default="trained", description="it learned from the bars to come, by ppo")
    weight: float = Field(default=_TRAINED.weight, gt=0, description="of what is taught beside the loss of ppo")
    fades: float = Field(
        default=_TRAINED.fades,
        ge=0,
        le=1,
        description="share of the budget until the weight has fallen to 0, 0 = never",
    )
    steps: int = Field(default=_TRAINED.steps, ge=1, le=_STEPS_MAX, description="budget of the teacher, in order-steps")
    hidden: list[Width] = Field(
        default=[*_TRAINED.hidden], min_length=1, max_length=8, description="width of each layer of the teacher"
    )


class OrdersSpec(BaseModel):
    """A purchase and a sale of each symbol on each day."""

    model_config = _CONFIG

    share: float = Field(default=0.05, gt=0, le=100, description="of the volume")
    of: Literal["trailing", "day"] = Field(default="trailing", description="mean of days before, or the day itself")
    window: int = Field(default=20, ge=1, le=MOST["window"], description="days of that mean")
    start: list[Annotated[int, Field(ge=0, lt=MOST["bars"])]] = Field(
        default=[0], min_length=1, description="bars of a day at whose close orders are decided"
    )


class DatesSpec(BaseModel):
    """Which days are learned from, chosen by and judged by."""

    model_config = _CONFIG

    validation_from: Day = Field(description="first day to choose by; earlier ones are learned from")
    test_from: Day = Field(description="first day to judge by")


class AgentSpec(BaseModel):
    """What the key says beside its parts."""

    model_config = _CONFIG

    name: str = Field(default="agent", pattern=r"^[a-z0-9_-]{1,32}$", description="what it is called in runs")
    horizon: int = Field(default=8, ge=1, le=MOST["horizon"], description="bars that an order is worked over")
    bars_per_step: int = Field(
        default=1, ge=1, le=MOST["bars_per_step"], description="bars from one decision to the next"
    )
    steps: int = Field(default=_COURSE.steps, ge=1, le=_STEPS_MAX, description="budget, in order-steps")
    rows: int = Field(default=_COURSE.rows, ge=1, le=65_536, description="orders side by side")
    rounds: int = Field(default=_COURSE.rounds, ge=1, le=_TIMES_MAX, description="orders of each row in one collection")
    validate_every: int = Field(
        default=_COURSE.validate_every, ge=1, le=_STEPS_MAX, description="collections between validations"
    )
    patience: int = Field(
        default=_COURSE.patience, ge=0, le=_STEPS_MAX, description="validations without a better one, 0 = all"
    )
    monitor: Literal["val/net", "val/pa", "val/pa_vwap", "val/reward", "val/ffr"] = Field(
        default="val/net", description="figure of validation that is to rise"
    )
    unless_better: Works = Field(
        default="even_pace", description="how sessions work if it is no better than an even pace on validation orders"
    )
    baseline: Baseline = Field(default=_COURSE.baseline, description="what rewards are the difference to")
    reward_scale: float = Field(default=_COURSE.reward_scale, gt=0, description="of all rewards")
    normalise_rewards: bool = Field(default=_COURSE.normalise_rewards, description="by their running spread")


ALGORITHMS: dict[str, type[BaseModel]] = {"ppo": PpoSpec, "dqn": DqnSpec}
NETWORKS: dict[str, type[BaseModel]] = {"mlp": MlpSpec, "recurrent": RecurrentSpec}
OBSERVATIONS: dict[str, type[BaseModel]] = {
    "compact": CompactSpec,
    "full_history": FullHistorySpec,
    "current_step": CurrentStepSpec,
}
ACTIONS: dict[str, type[BaseModel]] = {"categorical": CategoricalSpec, "twap_relative": TwapRelativeSpec}
REWARDS: dict[str, type[BaseModel]] = {"pa_penalty": PAPenaltySpec, "end_ratio": EndRatioSpec}
TEACHERS: dict[str, type[BaseModel]] = {
    "none": NoTeacherSpec,
    "hindsight": HindsightSpec,
    "trained": TrainedTeacherSpec,
}
KINDS: dict[str, dict[str, type[BaseModel]]] = {
    "algorithm": ALGORITHMS,
    "network": NETWORKS,
    "observation": OBSERVATIONS,
    "action": ACTIONS,
    "reward": REWARDS,
    "teacher": TEACHERS,
}
PLAIN: dict[str, type[BaseModel]] = {"orders": OrdersSpec, "split": DatesSpec}
_SEEN: dict[str, Any] = {"compact": Compact, "full_history": FullHistory, "current_step": CurrentStep}
_REWARDED: dict[str, Any] = {"pa_penalty": PAPenalty, "end_ratio": EndRatio}


@dataclass(frozen=True, kw_only=True)
class AgentTraining:
    """The key, checked and complete."""

    plan: AgentSpec
    algorithm: Any
    network: Any
    observation: Any
    action: Any
    reward: Any
    teacher: Any
    orders: OrdersSpec
    split: DatesSpec

    def words(self) -> dict[str, Any]:
        """As it would be written, with every default."""
        parts = {name: getattr(self, name).model_dump(mode="json") for name in (*KINDS, *PLAIN)}
        return self.plan.model_dump(mode="json") | parts

    def course(self, seed: int) -> Course:
        said = self.plan.model_dump(include={*Course.__struct_fields__})
        parts = {"algorithm": self.algorithm.model_dump(), "network": self.network.model_dump(), "seed": seed}
        taught = {} if isinstance(self.teacher, NoTeacherSpec) else {"teacher": self.teacher.model_dump()}
        return msgspec.convert(said | parts | taught, Course)

    def seen(self) -> FullHistory | CurrentStep | Compact:
        made: FullHistory | CurrentStep | Compact = _made(_SEEN, self.observation)
        return made

    def acted(self) -> Categorical | TwapRelative:
        spec = self.action
        return Categorical(spec.values) if isinstance(spec, CategoricalSpec) else TwapRelative(most=spec.most)

    def rewarded(self) -> PAPenalty | EndRatio:
        made: PAPenalty | EndRatio = _made(_REWARDED, self.reward)
        return made


def _made(kinds: dict[str, Any], spec: Any) -> Any:
    said = spec.model_dump()
    return kinds[said.pop("use")](**said)
