"""The composition root: from a checked run file to the parts of a session. The only place that sees everything."""

import contextlib
import inspect
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np

from components.execution.desk import Desk
from components.execution.pace import checked_horizon
from engine.barrier import Named
from engine.calendar import Sessions
from engine.errors import ConfigError, SamewireError
from engine.events import DAY_NS
from engine.ids import OrderIds
from engine.protocols import Artefact, CostModel, Feed, Sink, Table
from engine.universe import Universe
from engine.wiring import ModelPart, Parts
from samewire.diagnostics import Problem
from samewire.executing import price_point
from samewire.hiding import hider
from samewire.intervals import unfit
from samewire.registry import resolve
from samewire.run_file import Component, ModelSpec, RunFile, built
from samewire.scalars import duration_text
from samewire.secret_text import revealed
from samewire.unfed import misnamed

_REFUSED = (ValueError, TypeError)
_PRICED = "a broker whose class takes `costs: CostModel`, e.g. {use: bps} for a market without costs"


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What constructors are handed besides their options."""

    session: str
    seed: int
    universe: Universe | None = None
    costs: Any = None  # the broker's cost model
    sessions: Sessions | None = None  # trading days of the feed
    directory: Path | None = None  # of the session
    table: Callable[[Path], Table] | None = None
    artefact: Callable[[str, Path], Artefact] | None = None  # of a component, by its name


def construct(component: Component, given: Given) -> Any:
    """One component, its nested components built first."""
    kind = resolve(component.group, component.use)
    hints = get_type_hints(kind.__init__)
    arguments: dict[str, Any] = {}
    for name in inspect.signature(kind).parameters:
        value = component.options.get(name, _ABSENT)
        value = built(value, lambda nested: _paced(nested, given))
        value = revealed(value, f"{component.where}: {component.group} {component.use!r}: {name}")
        if isinstance(value, Path) and _is_table(hints.get(name)):
            value = _table(value, given)
        elif isinstance(value, Path) and hints.get(name) is Artefact:
            value = (given.artefact or read_option)(component.name, value)
        if value is _ABSENT:
            value = _handed(name, hints.get(name), component, given)
        if value is not _ABSENT:
            arguments[name] = value
    try:
        return kind(**arguments)
    except SamewireError:
        raise
    except Exception as error:
        kind_text = "" if isinstance(error, _REFUSED) else f"{type(error).__name__}: "
        said = hider()(f"{component.where}: {component.group} {component.use!r}: {kind_text}{error}")
        raise ConfigError(said) from error


_ABSENT: Any = inspect.Parameter.empty


def read_option(name: str, path: Path) -> Artefact:
    """The artefact that an option names: a folder, or what the registry beside it says of `registry:NAME@STAGE`."""
    del name
    from samewire.artefacts import artefact_at, named_in

    return artefact_at(named_in(path.name, path.parent / "registry") or path)


def _is_table(hint: Any) -> bool:
    """Whether a path that was given for this type is read before it is handed on: a table, or nothing."""
    return hint is Table or Table in get_args(hint)


def _table(path: Path, given: Given) -> Table:
    if given.table is None:
        raise ConfigError(f"{path}: a table needs a universe; this component is built before there is one")
    return given.table(path)


def _sessions(hint: Any, component: Component, given: Given) -> Sessions | None:
    if given.sessions is None and hint is Sessions:
        said = "needs the trading days of an exchange and the feed names none; set feed.calendar, e.g. calendar: XNYS"
        raise ConfigError(f"{component.where}: {component.group} {component.use!r}: {said}")
    return given.sessions


def _handed(name: str, hint: Any, component: Component, given: Given) -> Any:
    """What the composition root hands in for a parameter that is no option."""
    if name == "name":
        return component.name
    if name == "directory" and hint is Path:
        return given.directory
    if hint is Universe or Universe in get_args(hint):
        return given.universe
    if hint is OrderIds:
        return OrderIds(given.session, component.name)
    if hint is CostModel:
        if given.costs is None:
            said = f"needs the broker's cost model for {name}, and the broker has none; {_PRICED}"
            raise ConfigError(f"{component.where}: {component.group} {component.use!r}: {said}")
        return given.costs
    if hint is Sessions or Sessions in get_args(hint):
        return _sessions(hint, component, given)
    if hint is np.random.Generator:
        return np.random.default_rng([given.seed, zlib.crc32(component.name.encode())])
    return _ABSENT


def unpriced(run: RunFile) -> Iterator[Problem]:
    """Components that are handed the broker's cost model, where the broker has none."""
    if run.broker.options.get("costs") is not None:
        return
    models = [spec.component for spec in run.models]
    execution = () if run.execution is None else (run.execution,)
    for component in (*run.features, *models, *run.strategies, run.optimizer, run.risk, *execution):
        hints = get_type_hints(resolve(component.group, component.use).__init__)
        for name in [name for name, hint in hints.items() if hint is CostModel]:
            got = f"a broker without a cost model, which {component.name} needs for {name}"
            yield Problem("E113", run.broker.where, "broker.costs", got, _PRICED)


def parts_of(run: RunFile, feed: Feed, given: Given) -> Parts:
    """Everything the wiring needs, built in the order in which one is handed to the other."""
    universe = feed.universe
    given = msgspec.structs.replace(given, universe=universe, sessions=getattr(feed, "sessions", None))
    wrong = misnamed(run.optimizer, getattr(feed, "sectors", ()))
    if wrong:
        raise ConfigError(wrong)
    # One object prices the fills and sizes the orders, so that both see the same estimates.
    costs = built(run.broker.options.get("costs"), lambda nested: construct(nested, given))
    given = msgspec.structs.replace(given, costs=costs)
    broker = run.broker if costs is None else replace(run.broker, options=run.broker.options | {"costs": costs})
    features = feature_sets(run, given)
    return Parts(
        universe=universe,
        interval_ns=feed.interval_ns,
        intervals=tuple(getattr(feed, "intervals", ())),
        cash=run.session.cash,
        broker=Named("broker", construct(broker, given)),
        features=tuple(Named(name, features[name]) for name in features),
        models=tuple(_model(spec, features, given) for spec in run.models),
        strategies=tuple(Named(component.name, _paced(component, given)) for component in run.strategies),
        optimizer=Named(run.optimizer.name, construct(_on_margin(run), given)),
        execution=None
        if run.execution is None
        else Named("execution", _policy(run.execution, run.broker, given, feed.interval_ns)),
        gate=Named(run.risk.name, construct(run.risk, given)),
    )


def _check_timing(policy: Component, broker: Component, interval_ns: int) -> None:
    """ConfigError for what the run file alone did not tell: its feed turned out to be of bars below a day."""
    found = unfit(broker)
    if found is not None and interval_ns < DAY_NS:
        option, value, rule = found
        raise ConfigError(
            f"{broker.where}: {option} is {value} beside execution {policy.use} and bars of "
            f"{duration_text(interval_ns)}; expected: {rule}"
        )


def _policy(component: Component, broker: Component, given: Given, interval_ns: int) -> Any:
    """An execution policy: a pace is worked by the desk, a class that takes orders is one in its own right."""
    made = construct(component, given)
    if hasattr(made, "on_orders") or given.universe is None:
        return made
    for option in ("horizon", "span_days", "completes"):
        if not hasattr(made, option):
            said = f"{type(made).__name__} has `due` and no `{option}`; give it one, as samewire.Pace says"
            raise ConfigError(f"{component.where}: {component.group} {component.use!r}: {said}")
    try:
        checked_horizon(made.horizon)
    except ValueError as error:
        raise ConfigError(f"{component.where}: {component.group} {component.use!r}: {error}") from error
    _check_timing(component, broker, interval_ns)
    if hasattr(made, "check_session"):
        made.check_session(interval_ns, given.sessions)
    ids = OrderIds(given.session, component.name)
    at_once = price_point(broker, interval_ns) == "own_close"
    return Desk(
        universe=given.universe, ids=ids, name=component.name, pace=made, sessions=given.sessions, at_once=at_once
    )


def _on_margin(run: RunFile) -> Component:
    """The optimizer, told how far the broker's account may borrow where its own `leverage` is left out."""
    optimizer, account = run.optimizer, run.broker.options
    leverage = account.get("leverage")
    if optimizer.options.get("leverage", _ABSENT) is not None or not isinstance(leverage, int | float):
        return optimizer
    if not (account.get("short") or leverage > 1):
        return optimizer
    return replace(optimizer, options=optimizer.options | {"leverage": float(leverage)})


def feature_sets(run: RunFile, given: Given) -> dict[str, Any]:
    """Fresh feature sets by name. Two of the same windows on different bars are told apart by their schema."""
    made: dict[str, Any] = {}
    for component in run.features:
        each = _paced(component, given)
        if any(each.schema == other.schema and _pace(each) != _pace(other) for other in made.values()):
            each.schema = f"{each.schema}-{duration_text(_pace(each))}"
        made[component.name] = each
    return made


def _paced(component: Component, given: Given) -> Any:
    """A component that works on the bars of the interval which the run file names, if it names one."""
    made = construct(component, given)
    if component.interval_ns:
        try:
            made.interval_ns = component.interval_ns
        except AttributeError as error:
            said = f"{component.where}: {component.group} {component.use!r} takes no interval: {error}; "
            raise ConfigError(said + "give its class an attribute interval_ns that may be set") from error
    return made


def _pace(made: Any) -> int:
    return int(getattr(made, "interval_ns", 0))


def _model(spec: ModelSpec, features: Mapping[str, Any], given: Given) -> ModelPart:
    model = _paced(replace(spec.component, interval_ns=spec.interval_ns), given)
    reads = features[spec.features] if spec.features else model
    return ModelPart(
        name=spec.component.name,
        model=model,
        schema=reads.schema if spec.features else "",
        interval_ns=spec.interval_ns or _pace(reads),
        lag=spec.lag,
        latency_ns=spec.latency_ns,
        ttl_ns=spec.ttl_ns,
    )


def sinks_of(run: RunFile, given: Given) -> tuple[Sink, ...]:
    """All sinks; those that write into the session directory only where there is one."""
    kinds = [(component, resolve(component.group, component.use)) for component in run.sinks]
    return tuple(
        construct(component, given)
        for component, kind in kinds
        if given.directory is not None or "directory" not in inspect.signature(kind).parameters
    )


# What decides numbers (numba compiles with llvmlite), when an exchange is open, and what a digest is.
_DECIDE = (
    *("samewire", "numpy", "scipy", "pandas", "pyarrow", "msgspec", "blake3", "lightgbm", "cvxpy", "piqp", "numba"),
    *("llvmlite", "exchange-calendars", "tzdata", "safetensors", "torch", "aiokafka", "clarabel", "osqp", "scs"),
)


def libraries() -> dict[str, str]:
    """Versions of what decides, as far as it is installed."""
    from importlib import metadata

    found: dict[str, str] = {}
    for name in _DECIDE:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
