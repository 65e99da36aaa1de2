"""A run file as checked and resolved: frozen, complete, with the place that each component came from."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from samewire.diagnostics import Where
from samewire.scalars import Day

if TYPE_CHECKING:
    from samewire.training_spec import Training

_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SessionSpec(BaseModel):
    """What the session is called, how long it is and what it starts with."""

    model_config = _CONFIG

    name: str = Field(pattern=r"^[a-z0-9_-]+$", max_length=64, description="letters a-z, digits, _ and -")
    start: Day | None = Field(default=None, description="first day, none = where the feed begins")
    end: Day | None = Field(default=None, description="last day, none = where the feed ends")
    warmup: int | None = Field(default=None, ge=0, description="slices of history before start, none = as needed")
    cash: float = Field(gt=0, description="starting cash in the base currency")
    seed: int = Field(default=0, ge=0, lt=2**63, description="of all random numbers")
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3,5}$", description="a currency such as USD")
    record: Literal["places", "values"] = Field(
        default="places", description="what the journal keeps of bars: places in hashed files, or values"
    )
    snapshot_every: int | None = Field(
        default=None, ge=1, description="slices from one snapshot of all state to the next, none = no snapshots"
    )
    benchmark: str = Field(default="equal_weight", min_length=1, description="equal_weight, a symbol, or none")


class TrainSpec(BaseModel):
    """Which history a model learns from before the session begins."""

    model_config = _CONFIG

    since: Day | None = Field(default=None, description="first day, none = where the feed begins")
    until: Day = Field(description="last day: no label looks beyond it")
    horizon: int = Field(default=1, ge=1, description="slices that the label looks ahead")
    least: int = Field(default=60, ge=1, description="labelled slices without which nothing is learned")


STRETCH = (
    "a number of slices such as 20, of sessions on daily bars such as 20 sessions, or of days such as 90d, 12w or 3y"
)
Stretch = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,6}( ?(d|w|y|slices?|sessions?))?$"),
    WithJsonSchema({"type": ["string", "integer"], "description": STRETCH}),
]

LONG = "longer than 0: " + STRETCH
Long = Annotated[  # a stretch that is one
    str,
    Field(pattern=r"^0{0,5}[1-9][0-9]{0,5}( ?(d|w|y|slices?|sessions?))?$"),
    WithJsonSchema({"type": ["string", "integer"], "description": LONG}),
]


class RetrainSpec(BaseModel):
    """When a model learns anew while the session goes on, and from which history."""

    model_config = _CONFIG

    every: Long = Field(description="from one turn to the next, " + LONG)
    window: Long | None = Field(default=None, description="history to learn from, none = all, " + LONG)
    horizon: int = Field(default=1, ge=1, description="slices that the label looks ahead")
    purge: Literal["auto"] = Field(default="auto", description="labels not known yet are left out by where they end")
    latency: int = Field(default=0, ge=0, le=10_000, description="slices that a training takes")
    least: int = Field(default=60, ge=1, description="labelled slices without which a turn is not ready")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component and its options, checked and converted; defaults are filled in. `where` is no part of equality."""

    group: str
    use: str
    name: str
    options: dict[str, Any]
    where: Where = field(compare=False, repr=False)
    interval_ns: int = 0  # of the bars that a feature set or a strategy works on, 0 = what its class says
    written: frozenset[str] | None = field(default=None, compare=False, repr=False)  # options; None = not out of a file


GUARDS = ("filters", "rules", "schedule")  # keys of any strategy, which `GUARDED` around it takes as options
GUARDED = "guarded"


def unguarded(strategy: Component) -> Component:
    """The strategy itself, without the filters, rules and schedules around it."""
    while strategy.use == GUARDED and isinstance(inner := strategy.options.get("strategy"), Component):
        strategy = inner
    return strategy


def nested_in(value: Any) -> tuple[Component, ...]:
    """The components that the value of an option consists of: one, several or none."""
    if isinstance(value, tuple) and value and all(isinstance(part, Component) for part in value):
        return value
    return (value,) if isinstance(value, Component) else ()


def strategy_text(strategy: Component) -> str:
    """What a strategy is, and what stands around it: topk_dropout (price, stop_loss, weekly)."""
    guards = [part.use for key in GUARDS for part in nested_in(strategy.options.get(key))]
    around = f" ({', '.join(guards)})" if strategy.use == GUARDED and guards else ""
    return f"{unguarded(strategy).use}{around}"


def execution_text(use: Any, horizon: Any) -> str:
    """What an execution policy is, and for how long it works an order, where it says so.

    >>> execution_text("twap", 20), execution_text("mine:Own", None)
    ('twap over 20 slices', 'mine:Own')
    """
    if not isinstance(horizon, int):
        return str(use)
    return f"{use} over {'1 slice' if horizon == 1 else f'{horizon} slices'}"


def built(value: Any, construct: Callable[[Component], Any]) -> Any:
    """The value of an option with its components constructed."""
    made = tuple(map(construct, nested_in(value)))
    if not made:
        return value
    return made if isinstance(value, tuple) else made[0]


@dataclass(frozen=True)
class Held:
    """Where trained models may lie beside where a run file says: with a recorded session, in topics of a live one."""

    recorded: Path | None = None
    live: bool = False


HERE = Held()


@dataclass(frozen=True, kw_only=True)
class Registered:
    """An artefact by what a registry says of it: `registry:NAME@STAGE`, or `registry:NAME@HASH`."""

    registry: Path  # its folder
    name: str
    at: str  # a stage or a hash
    pinned: Path | None = field(default=None, compare=False)  # folder of the artefact that a recorded session had

    def __str__(self) -> str:
        return f"registry:{self.name}@{self.at}"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model and what the wiring needs to know about it."""

    component: Component
    features: str | None = None  # name of a feature set
    train: TrainSpec | None = None
    retrain: RetrainSpec | None = None
    turn: int | None = field(default=None, compare=False)  # of its turns only the one with what was known before then
    artefact: Path | Registered | None = None
    lag: int = 0  # slices
    latency_ns: int = 0
    ttl_ns: int = 0  # 0 = for ever
    interval_ns: int = 0  # of the bars it works on, 0 = the finest


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """Everything a session is made from."""

    session: SessionSpec
    feed: Component
    features: tuple[Component, ...] = ()
    models: tuple[ModelSpec, ...]
    strategies: tuple[Component, ...]
    optimizer: Component
    execution: Component | None = None
    risk: Component
    broker: Component
    sinks: tuple[Component, ...] = ()
    training: "Training | None" = None
    live: Component | None = None
    compat: str = ""  # the preset whose options it holds, empty = none
    folder: Path = field(compare=False, repr=False)  # what relative paths of the file start from


def untaught(run: RunFile) -> RunFile:
    """The same run, whose models learn nothing."""
    return replace(run, models=tuple(replace(spec, train=None, retrain=None) for spec in run.models))
