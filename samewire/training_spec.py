"""The section `training:` of a run file: which trainings are planned, where they run and where they are recorded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from samewire.agent_spec import AgentTraining
from samewire.run_file import STRETCH, Component, Stretch
from samewire.scalars import DURATION_MAX_NS, Day, Duration

PERMUTATIONS_MAX = 1000
_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _stretch(default: str) -> str:
    made: str = Field(default=default, description=STRETCH)
    return made


class WalkForwardSpec(BaseModel):
    """Trains again and again, each time on what was known by then, and predicts what follows."""

    model_config = _CONFIG

    use: Literal["walk_forward"] = Field(default="walk_forward", description="windows that move on")
    every: Stretch = _stretch("60")
    window: Stretch = _stretch("500")
    sliding: bool = Field(default=False, description="later windows are as long as the first, else they only grow")
    valid: Stretch = _stretch("0")
    embargo: Stretch = _stretch("0")
    start: Day | None = Field(default=None, description="first day predicted, none = once the first window is full")


class FixedSpec(BaseModel):
    """Trains once, on what was known by a day."""

    model_config = _CONFIG

    use: Literal["fixed"] = Field(default="fixed", description="one window")
    until: Day = Field(description="last day to learn from")
    valid_from: Day | None = Field(default=None, description="first day held out to stop by, none = as the model says")
    test_from: Day | None = Field(default=None, description="first day predicted, none = the one after until")
    test_until: Day | None = Field(default=None, description="last day predicted, none = to the end")


class PurgedSpec(BaseModel):
    """Tests each block of history once, by what was learned from all others, later ones too: no walk through time."""

    model_config = _CONFIG

    use: Literal["purged"] = Field(default="purged", description="purged k-fold")
    folds: int = Field(default=5, ge=2, le=1000, description="blocks of history")
    embargo: int | None = Field(
        default=None, ge=0, description="slices left out behind a tested block, none = as many as features look back"
    )


class CpcvSpec(BaseModel):
    """Tests each choice of some blocks of history by what was learned from all others: several whole backtests."""

    model_config = _CONFIG

    use: Literal["cpcv"] = Field(default="cpcv", description="combinatorial purged cross-validation")
    groups: int = Field(default=6, ge=2, le=100, description="blocks of history")
    tested: int = Field(default=2, ge=1, le=99, description="blocks that each training is tested on")
    embargo: int | None = Field(
        default=None, ge=0, description="slices left out behind a tested block, none = as many as features look back"
    )


def split_text(split: BaseModel) -> str:
    """What is to be known of scores that came out of no walk through time; empty for those that did.

    >>> split_text(PurgedSpec(folds=4, embargo=3))
    'purged: 4 blocks, each predicted from all others, later ones too, behind an embargo of 3 slices'
    """
    if isinstance(split, PurgedSpec):
        what = f"purged: {split.folds} blocks, each predicted from all others, later ones too"
    elif isinstance(split, CpcvSpec):
        what = f"cpcv: {split.tested} of {split.groups} blocks at a time, predicted from all others, later ones too"
    else:
        return ""
    embargo = "as long as features look back" if split.embargo is None else f"of {split.embargo} slices"
    return f"{what}, behind an embargo {embargo}"


class SerialSpec(BaseModel):
    """One training after the other, in this process."""

    model_config = _CONFIG

    use: Literal["serial"] = Field(default="serial", description="in this process")
    gpus: float = Field(default=0.0, ge=0, description="GPUs that there are")


class PoolSpec(BaseModel):
    """Several trainings at once, in processes of this machine."""

    model_config = _CONFIG

    use: Literal["pool"] = Field(default="pool", description="in several processes")
    workers: int = Field(default=2, ge=1, le=1024, description="processes, of one thread each")
    attempts: int = Field(default=2, ge=1, le=100, description="how often a training is tried whose process dies")
    timeout: Duration = Field(default=0, ge=0, le=DURATION_MAX_NS, description="of one training, 0 = none")
    gpus: float = Field(default=0.0, ge=0, description="GPUs that there are")


class LeaksSpec(BaseModel):
    """What is looked at before anything is trained: the plan, and the features over another future."""

    model_config = _CONFIG

    use: Literal["on"] = Field(default="on", description="looks for leaks with each `samewire train`")
    permutations: int = Field(
        default=0, ge=0, le=PERMUTATIONS_MAX, description="trainings of each model on permuted labels"
    )


class NoLeaksSpec(BaseModel):
    """Nothing is looked at, which the results say."""

    model_config = _CONFIG

    use: Literal["off"] = Field(default="off", description="looks for nothing")


class OnlineSpec(BaseModel):
    """How `samewire train --update` keeps models up to date, and by which rule a new one takes over."""

    model_config = _CONFIG

    registry: Path = Field(default=Path("registry"), description="folder of the registry")
    stage: str = Field(default="production", pattern=r"^[a-z][a-z0-9_-]{0,31}$", description="where models serve")
    judge: Stretch = _stretch("60")
    metric: Literal["rank_ic", "ic", "long_short"] = Field(
        default="rank_ic", description="figure of each slice, of which the mean of the differences decides"
    )
    margin: float = Field(default=0.0, description="what the mean has to exceed")
    least_t: float | None = Field(default=None, description="least t-statistic of that mean, none = any")
    least: int = Field(default=20, ge=2, description="fewest slices that are compared")


class TrainingSpec(BaseModel):
    """What the section says beside its parts `split`, `executor` and `grid`."""

    model_config = _CONFIG

    since: Day | None = Field(default=None, description="first day of the history, none = where the feed begins")
    until: Day | None = Field(default=None, description="last day of it, none = session.end, or where the feed ends")
    horizons: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = Field(
        default=[1], description="slices that labels look ahead: each is a training of its own"
    )
    seeds: int = Field(default=1, ge=1, le=1000, description="trainings that differ in the seed alone")
    gpus: float = Field(default=0.0, ge=0, description="share of a GPU that one training needs")
    store: Path = Field(default=Path("runs/store"), description="folder in which trainings are recorded")


SPLITS: dict[str, type[BaseModel]] = {
    "walk_forward": WalkForwardSpec,
    "fixed": FixedSpec,
    "purged": PurgedSpec,
    "cpcv": CpcvSpec,
}
EXECUTORS: dict[str, type[BaseModel]] = {"serial": SerialSpec, "pool": PoolSpec}
LEAKS: dict[str, type[BaseModel]] = {"on": LeaksSpec, "off": NoLeaksSpec}
PARTS = (
    "split",
    "executor",
    "grid",
    "leaks",
    "online",
    "sinks",
    "agent",
)  # keys of the section that are read by a type of their own


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The models with the options of one point of the grid, in the order of the run file."""

    changes: tuple[tuple[str, str], ...]  # option, written as `models.NAME.OPTION`, and its value
    components: tuple[Component, ...]


@dataclass(frozen=True, kw_only=True)
class Training:
    """The section, checked and complete."""

    plan: TrainingSpec
    split: WalkForwardSpec | FixedSpec | PurgedSpec | CpcvSpec
    executor: SerialSpec | PoolSpec
    leaks: LeaksSpec | NoLeaksSpec = LeaksSpec()
    online: OnlineSpec | None = None
    sinks: tuple[Component, ...] = ()
    grid: tuple[tuple[str, tuple[str, ...]], ...] = ()
    agent: AgentTraining | None = None  # what is trained in place of models
    variants: tuple[Variant, ...]  # the points of the grid; one without changes where there is none
