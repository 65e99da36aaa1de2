"""The wiring: which event goes to which component, as one visible list of routes.

The order of the components below, and of the lines in `routes`, is the order of events in every session.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.barrier import Barrier, DueModel, Named
from engine.bus import INPUT, Route
from engine.clock import Timers
from engine.errors import ConfigError, StateError
from engine.events import (
    Actions,
    Approved,
    Bars,
    Book,
    Charges,
    Children,
    Control,
    ControlAction,
    Features,
    Fills,
    Late,
    Note,
    Orders,
    Reference,
    Refusals,
    Reports,
    Signal,
    Target,
    Timer,
)
from engine.granted import Granted
from engine.held import Delayed, Lagged
from engine.ledger import Ledger
from engine.protocols import Artefact, Bookkeeping, Stateful
from engine.saying import Says, says, signal_look
from engine.sealing import hearing, users_own
from engine.state import pack, unpack
from engine.universe import Universe
from engine.worked import parent_routes, slice_end_routes

# Handlers that any component may define, by event.
_HANDLERS: tuple[tuple[type[Any], str], ...] = (
    (Control, "on_control"),
    (Reference, "on_reference"),
    (Late, "on_late"),
    (Bars, "on_bars"),
    (Timer, "on_timer"),
    (Actions, "on_actions"),
    (Charges, "on_charges"),
    (Fills, "on_fills"),
    (Reports, "on_reports"),
    (Refusals, "on_refusals"),
)
_HISTORY = (Reference, Late, Bars, Actions, Features)


class ModelPart(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the wiring: what it reads and when its answers count."""

    name: str
    model: Any
    schema: str = ""  # of the feature set it reads, empty = bars
    interval_ns: int = 0  # 0 = the session's
    lag: int = 0  # slices
    latency_ns: int = 0
    ttl_ns: int = 0


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a session is made of. Replay and live differ in the broker and in what feeds the bus, not here."""

    universe: Universe
    interval_ns: int  # of the finest bars
    intervals: tuple[int, ...] = ()  # of slower bars that its sources make too
    cash: float
    broker: Named
    features: tuple[Named, ...] = ()
    models: tuple[ModelPart, ...]
    strategies: tuple[Named, ...]
    optimizer: Named
    execution: Named | None = None
    gate: Named


class Wiring:
    """The routes of a session and everything in it that remembers."""

    def __init__(self, parts: Parts, *, artefacts: Mapping[str, Artefact] | None = None) -> None:
        self.parts = parts
        self.timers = Timers()
        keeping = getattr(parts.broker.component, "bookkeeping", Bookkeeping())
        self.ledger = Ledger(universe=parts.universe, cash=parts.cash, bookkeeping=keeping, gate=parts.gate.name)
        self.granted = Granted(parts.broker.name) if users_own(parts.broker.component) else None
        self._artefacts = dict(artefacts or {})
        finest = parts.interval_ns
        self._check()
        self._several = any(interval != finest for interval in parts.intervals)
        due = tuple(
            DueModel(name=m.name, interval_ns=m.interval_ns or finest, waited=not m.latency_ns, ttl_ns=m.ttl_ns)
            for m in parts.models
        )
        self.barrier = Barrier(
            models=due,
            strategies=parts.strategies,
            optimizer=parts.optimizer,
            broker=parts.broker.name,
            finest=finest,
            n=len(parts.universe),
            parents=None if parts.execution is None else getattr(parts.execution.component, "open_parents", None),
        )
        self.held = {part.name: _held(part, self.timers, len(parts.universe)) for part in parts.models}
        self.routes = self._routes()

    def _named(self) -> tuple[Named, ...]:
        """Every component in wiring order."""
        parts = self.parts
        models = tuple(Named(part.name, part.model) for part in parts.models)
        execution = () if parts.execution is None else (parts.execution,)
        ledger = Named("ledger", self.ledger)
        return (
            parts.broker,
            ledger,
            *parts.features,
            *models,
            *parts.strategies,
            parts.optimizer,
            *execution,
            parts.gate,
        )

    @property
    def components(self) -> tuple[Named, ...]:
        """Every component in wiring order, the ledger among them."""
        return self._named()

    def _check(self) -> None:
        names = [INPUT, *(named.name for named in self._named())]
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ConfigError(f"wiring: two components are called {twice!r}; give one of them another name")
        schemas = {named.component.schema for named in self.parts.features}
        for part in self.parts.models:
            if part.schema and part.schema not in schemas:
                raise ConfigError(
                    f"{part.name}: it reads features of schema {part.schema}, which nothing in the wiring makes"
                )
            if not part.schema and not hasattr(part.model, "on_bars"):
                raise ConfigError(f"{part.name}: it has no on_bars; name the feature set it reads with `features:`")

        self._check_intervals()
        self._check_coroutines()

    def _check_intervals(self) -> None:
        """A component of an interval that nobody makes would wait for ever."""
        made = sorted({self.parts.interval_ns, *self.parts.intervals})
        asked = [(named.name, getattr(named.component, "interval_ns", 0)) for named in self._named()]
        asked += [(part.name, part.interval_ns) for part in self.parts.models]
        for name, interval in asked:
            if interval and interval not in made:
                known = ", ".join(f"{each / 1e9:g} s" for each in made)
                raise ConfigError(
                    f"{name}: interval_ns is {interval / 1e9:g} s, but the feed makes bars of {known} only"
                )

    def _check_coroutines(self) -> None:
        """Barriers and held signals take answers at once; only a model in the plain wiring may wait for its own."""
        deciding = [(named, "on_signals") for named in self.parts.strategies] + [(self.parts.optimizer, "on_targets")]
        held = [part for part in self.parts.models if part.lag or part.latency_ns]
        deciding += [(Named(p.name, p.model), "on_features" if p.schema else "on_bars") for p in held]
        for named, method in deciding:
            if inspect.iscoroutinefunction(getattr(named.component, method, None)):
                why = (
                    f"{method} is a coroutine, but it must answer at once; name it in slow_handlers to run in a thread"
                )
                raise ConfigError(f"{named.name}: {why}")

    @property
    def lookbacks(self) -> dict[int, int]:
        """By interval, slices of history after which nothing that is decided depends on anything older."""
        parts, found = self.parts, {self.parts.interval_ns: 0}
        features = {named.component.schema: getattr(named.component, "lookback", 0) for named in parts.features}
        others = [named.component for named in self._keeping if named not in parts.features]
        needs = [
            (p.interval_ns, features.get(p.schema, 0) + getattr(p.model, "lookback", 0) + p.lag) for p in parts.models
        ]
        needs += [(getattr(each, "interval_ns", 0), getattr(each, "lookback", 0)) for each in others]
        for interval, slices in needs:
            interval = interval or parts.interval_ns
            found[interval] = max(found.get(interval, 0), slices)
        return found

    @property
    def _keeping(self) -> tuple[Named, ...]:
        """Whoever keeps estimates, beside the models."""
        parts = self.parts
        execution = () if parts.execution is None else (parts.execution,)
        return (*parts.features, *parts.strategies, parts.optimizer, *execution, parts.gate)

    def warm_routes(self) -> tuple[Route, ...]:
        """The routes of history before the session: whoever keeps estimates sees it, nobody decides on it."""
        parts = self.parts
        delayed = {part.name: part for part in parts.models if part.latency_ns}
        keep = {named.name for named in self._keeping} | {part.name for part in parts.models}
        warm = []
        for route in self.routes:
            owner = getattr(route.handler, "__self__", None)
            if route.event not in _HISTORY or route.component not in keep or owner is self.barrier:
                continue
            part = delayed.get(route.component)
            if part is not None and owner is self.held[part.name]:
                plain = getattr(part.model, "on_features" if part.schema else "on_bars")
                route = msgspec.structs.replace(route, handler=hearing(part.model, plain))
            warm.append(route)
        return tuple(warm)

    def _routes(self) -> tuple[Route, ...]:
        parts, barrier = self.parts, self.barrier
        orders = parts.execution or parts.gate
        optimizer = parts.optimizer.name
        lines: list[Route] = [Route(Control, "session", self._swap), *self._granted_routes()]
        for kind, method in _HANDLERS:
            lines += [route for named in self._named() for route in self._inputs(kind, method, named)]
            if kind is Bars:
                # The decision opens after broker and ledger, before any model answers.
                lines.insert(_second(lines), Route(Bars, optimizer, barrier.on_bars))
                if self._several:
                    lines.append(Route(Bars, optimizer, barrier.on_bars_seen, calls=barrier.waits))
            if kind is Actions:
                lines.append(Route(Actions, optimizer, barrier.on_actions))
        lines += [self._model_route(part, Features) for part in parts.models if part.schema]
        lines += [Route(Timer, p.name, self.held[p.name].on_timer) for p in parts.models if p.latency_ns]
        lines += [Route(Signal, optimizer, barrier.on_signal, calls=barrier.waits)]
        lines += [
            Route(Book, named.name, named.component.on_book, slow=named.slow("on_book"))
            for named in self._named()
            if hasattr(named.component, "on_book")
        ]
        lines += [
            Route(Book, optimizer, barrier.on_book, calls=barrier.waits),
            *self._target_routes(),
            Route(Target, optimizer, barrier.on_target, calls=barrier.waits),
            Route(Orders, orders.name, orders.component.on_orders, slow=orders.slow("on_orders")),
            *parent_routes(parts.execution, parts.gate),
            *slice_end_routes(parts.execution, self.timers, parts.interval_ns if self._several else 0),
            Route(Children, parts.gate.name, parts.gate.component.on_orders),
            Route(Approved, "ledger", self.ledger.on_approved),
            Route(Approved, parts.broker.name, parts.broker.component.on_orders),
        ]
        said = self.says
        heard = [msgspec.structs.replace(line, says=said[line.component]) for line in lines]
        return tuple(msgspec.structs.replace(line, handler=self._hearing(line)) for line in heard)

    def _hearing(self, line: Route) -> Any:
        """A class of the user's own gets events of its own; barrier and held signals see to that by themselves."""
        owner = getattr(line.handler, "__self__", None)
        if owner is not None and any(owner is each for each in (self, self.barrier, self.granted, *self.held.values())):
            return line.handler
        component = next((named.component for named in self._named() if named.name == line.component), None)
        return hearing(component, line.handler)

    def _granted_routes(self) -> tuple[Route, ...]:
        """A broker of the user's own is held to what was approved before its fills are booked."""
        granted, name = self.granted, self.parts.broker.name
        if granted is None:
            return ()
        takes: tuple[tuple[type[Any], Any], ...] = (
            (Approved, granted.on_approved),
            (Reports, granted.on_reports),
            (Refusals, granted.on_refusals),
            (Fills, granted.on_fills),
            (Book, granted.on_book),
            (Actions, granted.on_actions),
        )
        return tuple(Route(kind, name, handler) for kind, handler in takes)

    def _target_routes(self) -> tuple[Route, ...]:
        """A strategy that asks for it hears of its own targets, to say in notes what made them so."""
        return tuple(
            Route(Target, named.name, named.component.on_target, where=("source", named.name))
            for named in self.parts.strategies
            if hasattr(named.component, "on_target")
        )

    @property
    def says(self) -> dict[str, Says]:
        """What each component may say: only the gate approves and commands, only the broker deals."""
        parts = self.parts

        def of(named: Named, *kinds: type[Any]) -> Says:
            return says(*kinds, own=users_own(named.component))

        models = [Named(part.name, part.model) for part in parts.models]
        return {
            "session": says(),
            "ledger": says(Book, Note),
            parts.broker.name: of(parts.broker, Charges, Reports, Refusals, Fills, Note),
            parts.gate.name: of(parts.gate, Approved, Refusals, Control, Note),
            **{named.name: of(named, Features, Note) for named in parts.features},
            **{named.name: of(named, Signal, Note) for named in models},
            **{named.name: of(named, Target, Note) for named in parts.strategies},
            parts.optimizer.name: of(parts.optimizer, Target, Orders, Note),  # the barrier says the targets
            **({} if (policy := parts.execution) is None else {policy.name: of(policy, Children, Reports, Note)}),
        }

    def _inputs(self, kind: type[Any], method: str, named: Named) -> tuple[Route, ...]:
        """The line for one component and one kind of event, if it takes them."""
        part = next((p for p in self.parts.models if p.model is named.component), None)
        if kind is Bars and part is not None and not part.schema:
            return (self._model_route(part, Bars),)
        if not hasattr(named.component, method):
            return ()
        where: tuple[str, Any] | None = None
        if kind is Bars and self._several:
            where = ("interval_ns", getattr(named.component, "interval_ns", 0) or self.parts.interval_ns)
        return (Route(kind, named.name, getattr(named.component, method), slow=named.slow(method), where=where),)

    def _model_route(self, part: ModelPart, kind: type[Any]) -> Route:
        held = self.held[part.name]
        method = "on_bars" if kind is Bars else "on_features"
        plain = getattr(part.model, method)
        slow = Named(part.name, part.model).slow(method)
        where: tuple[str, Any] | None = None
        if kind is Features and len({named.component.schema for named in self.parts.features}) > 1:
            where = ("schema", part.schema)
        if kind is Bars and self._several:
            where = ("interval_ns", part.interval_ns or self.parts.interval_ns)
        return Route(kind, part.name, plain if held is None else held.on_event, slow=slow, where=where)

    def admit(self, artefact: Artefact) -> None:
        """From now on a control may swap a model to it."""
        self._artefacts[artefact.hash] = artefact

    def admitted(self, hash_: str) -> Artefact | None:
        """The artefact of this hash, if a control may swap to it."""
        return self._artefacts.get(hash_)

    def _swap(self, control: Control, /) -> None:
        """A model takes over at a slice boundary; its artefact was loaded and checked before the session began."""
        if control.action is not ControlAction.SWAP_MODEL:
            return
        model = next((part.model for part in self.parts.models if part.name == control.component), None)
        artefact = self._artefacts.get(control.artefact)
        if model is None or artefact is None:
            what = f"model {control.component!r}" if model is None else f"artefact {control.artefact}"
            raise ConfigError(f"session: asked to swap to {what}, which this session does not have")
        if users_own(model):
            artefact = msgspec.structs.replace(artefact, files=dict(artefact.files))
        model.swap(artefact)

    def save(self) -> bytes:
        """State of all that remembers, between two inputs. Components without save and load are left out."""
        states = {name: part.save() for name, part in self._stateful()}
        return pack("wiring", 1, states=states)

    def load(self, state: bytes, /) -> None:
        states = unpack(state, "wiring", 1)["states"]
        stateful = dict(self._stateful())
        if set(states) != set(stateful):
            odd = ", ".join(sorted(set(states) ^ set(stateful)))
            raise StateError(f"wiring: the snapshot and this wiring do not have the same components: {odd}")
        for name, part in stateful.items():
            part.load(states[name])

    def _stateful(self) -> list[tuple[str, Stateful]]:
        own: list[tuple[str, Any]] = [("timers", self.timers), ("barrier", self.barrier), ("granted", self.granted)]
        held = [(f"held:{name}", held) for name, held in self.held.items() if held is not None]
        components = [(named.name, named.component) for named in self._named()]
        return [(name, part) for name, part in (*own, *held, *components) if isinstance(part, Stateful)]


def _held(part: ModelPart, timers: Timers, n: int) -> Any:
    handler = hearing(part.model, getattr(part.model, "on_features" if part.schema else "on_bars"))
    if part.lag and part.latency_ns:
        raise ConfigError(f"{part.name}: lag and latency are given; say which one its answers are held back by")
    look = signal_look(users_own(part.model))
    if part.lag:
        return Lagged(handler, lag=part.lag, name=part.name, n=n, look=look)
    if part.latency_ns:
        return Delayed(handler, latency_ns=part.latency_ns, name=part.name, n=n, timers=timers, look=look)
    return None


def _second(lines: list[Route]) -> int:
    """The place behind the broker's and the ledger's line for bars."""
    bars = [i for i, route in enumerate(lines) if route.event is Bars]
    return bars[1] + 1
