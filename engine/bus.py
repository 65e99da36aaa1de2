"""The asyncio bus: one input at a time is run to completion, and all that follows has one total order.

The order is a function of the inputs and of the list of routes alone: an event's handlers run in route order, what
they return is appended to the log in route order, and the log is worked off from front to back. Slow handlers of one
event run side by side in worker threads; the bus waits for all of them and appends in route order all the same.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from engine.errors import ComponentError, ConfigError, SamewireError, failure_of
from engine.events import EVENT_TYPES, Event
from engine.protocols import Sink
from engine.saying import ANYTHING, Says, refuse, taken
from engine.sealing import handed, users_own

_RUN_MAX = 100_000  # events that may follow from one input: more is a loop in the wiring
_TURN_EVERY = 256  # inputs between two turns of the event loop when nobody is watching
_WORKERS = 4  # threads for slow handlers
INPUT = "input"  # the origin of what enters from outside
E_co = TypeVar("E_co", covariant=True)


class Calls(msgspec.Struct, frozen=True):
    """What a handler returns to have `calls`, each (component, call), run off the loop, side by side.

    Calls of one component run one after the other. Their answers are appended in this order, then what `then` makes
    of the answers, which may be Calls again.
    """

    calls: tuple[tuple[str, Callable[[], Any]], ...]
    then: Callable[[tuple[Any, ...]], Any] | None = None


class Route(msgspec.Struct, frozen=True):
    """One line of the wiring: events of this type go to this handler of this component."""

    event: type[Any]
    component: str
    handler: Callable[[Any], Any]
    slow: bool = False  # run in a worker thread; a coroutine function is awaited instead
    where: tuple[str, Any] | None = None  # only events whose field has this value, e.g. ("interval_ns", DAY_NS)
    calls: bool = False  # the handler may answer with Calls
    says: Says = ANYTHING  # what its component may say


class Recorder(Protocol):
    """Takes each completed run: the input first, then what followed, with the component that said each."""

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None: ...


class Lost(msgspec.Struct, frozen=True):
    """Stands in a tap's stream where `count` events were dropped because its reader was too slow."""

    count: int


class Tap(Generic[E_co]):
    """A bounded view of the bus. When full it drops the oldest event, counts it, and never slows a decision.

    Who reads it gets copies: it is nobody of ours.
    """

    def __init__(self, types: tuple[type[Any], ...], size: int, gaps: bool) -> None:
        if size < 1:
            raise ValueError(f"tap: size must be at least 1 event, got {size}")
        self.types, self.lost = types, 0
        self._gaps, self._unsaid, self._open = gaps, 0, True
        self._inbox: deque[Any] = deque(maxlen=size)
        self._news = asyncio.Event()

    def offer(self, events: Iterable[Event]) -> None:
        """Takes those of its types."""
        inbox, types = self._inbox, self.types
        for event in events:
            if event.__class__ in types:
                if len(inbox) == inbox.maxlen:
                    self.lost, self._unsaid = self.lost + 1, self._unsaid + 1
                inbox.append(event)
        if inbox:
            self._news.set()

    def close(self) -> None:
        """Ends the iteration once what is in the inbox has been read."""
        self._open = False
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[E_co]:
        while True:
            if self._unsaid and self._gaps:
                count, self._unsaid = self._unsaid, 0
                yield Lost(count)  # type: ignore[misc]
            if self._inbox:
                yield handed(self._inbox.popleft())
            elif self._open:
                self._news.clear()
                await self._news.wait()
            else:
                return


class Bus:
    """Runs inputs through a list of routes.

    `recorders` see each completed run at once; `sinks` see every event in bus order and may slow the bus; taps may
    not. Nothing of a run that failed reaches any of them; where a recorder fails those before it have the run. `takes`
    are the types of events that may be inputs.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        recorders: Sequence[Recorder] = (),
        sinks: Sequence[Sink] = (),
        takes: frozenset[type[Any]] = frozenset(EVENT_TYPES),
    ) -> None:
        self.routes, self._takes = tuple(routes), takes
        self._recorders, self._sinks = tuple(recorders), tuple(sinks)
        self._own_sinks = tuple(map(users_own, self._sinks))
        self._taps: list[Tap[Any]] = []
        self._routes: dict[type[Any], tuple[Route, ...]] = {kind: () for kind in EVENT_TYPES}
        for route in self.routes:
            if route.event not in self._routes:
                raise ConfigError(
                    f"{route.component}: {route.event.__name__} is no event; route a type of engine.events"
                )
            self._routes[route.event] += (route,)
        # What may wait is known from the routes, so that everything else runs without looking.
        self._table = {
            kind: None if any(map(_waits, routes)) else tuple((r.component, _entry(r), r.says) for r in routes)
            for kind, routes in self._routes.items()
        }
        self._says = {route.component: route.says for route in self.routes}
        self._workers: ThreadPoolExecutor | None = None

    def tap(self, *types: type[E_co], size: int = 1024, gaps: bool = False) -> Tap[E_co]:
        """A bounded async iterator of events of these types (of all when none is named) from now on.

        `tap.lost` counts what a slow reader lost; with `gaps` a `Lost` stands in the stream where it was lost.
        """
        tap: Tap[E_co] = Tap(types or EVENT_TYPES, size, gaps)
        self._taps.append(tap)
        return tap

    async def run(self, inputs: AsyncIterable[Event]) -> int:
        """Runs every input to completion, one after the other. Returns how many there were."""
        count, watched, advance, takes = 0, bool(self._recorders or self._sinks), self._advance, self._takes
        async for event in inputs:
            if event.__class__ not in takes:
                taken(event, takes)
            log: list[Any] = [event]
            origins = [INPUT]
            at = advance(log, origins, 0)
            if at >= 0:
                await self._finish(log, origins, at)
            if watched or self._taps:
                await self._publish(log, origins)
            count += 1
            if not count % _TURN_EVERY:
                await asyncio.sleep(0)
        return count

    async def feed(self, event: Event) -> list[Event]:
        """Runs one input to completion. Returns it and what followed, in bus order."""
        taken(event, self._takes)
        log: list[Any] = [event]
        origins = [INPUT]
        at = self._advance(log, origins, 0)
        if at >= 0:
            await self._finish(log, origins, at)
        await self._publish(log, origins)
        return log

    async def aclose(self) -> None:
        """Ends the taps, closes the sinks and the worker threads."""
        for tap in self._taps:
            tap.close()
        if self._workers is not None:
            self._workers.shutdown()
        first: Exception | None = None
        for sink in self._sinks:
            try:
                await sink.aclose()
            except Exception as error:  # noqa: BLE001 - every sink is closed, then the first failure is raised
                first = first or error
        if first is not None:
            raise first

    def _advance(self, log: list[Any], origins: list[str], start: int) -> int:
        """Works the log off from `start`. Returns the place of the first event that may wait, or -1 at the end."""
        table, component, event, now = self._table, "", log[start], log[0].ts
        try:
            for at, event in enumerate(islice(log, start, None), start):  # sees what it appends
                routes = table[event.__class__]
                if routes is None:
                    return at
                for component, handler, says in routes:
                    out = handler(event)
                    if out is None:
                        continue
                    for each in out if out.__class__ is tuple else (out,):
                        look = says.get(each.__class__, refuse)
                        if look is not None:
                            each = look(component, each, now)
                        log.append(each)
                        origins.append(component)
                    if len(log) > _RUN_MAX:
                        raise _runaway(log)
                if at > _RUN_MAX:
                    raise _runaway(log)
        except (Exception, SystemExit) as error:  # a component may end itself, not the session
            raise self._failure(component, event, origins, log, error) from error
        return -1

    async def _finish(self, log: list[Any], origins: list[str], at: int) -> None:
        """Works the log off from an event that may wait."""
        while at >= 0:
            await self._step(log, origins, at)
            at = self._advance(log, origins, at + 1) if at + 1 < len(log) else -1

    async def _step(self, log: list[Any], origins: list[str], at: int) -> None:
        """Runs all handlers of one event: the quick ones in route order, then the slow ones side by side."""
        event = log[at]
        said: list[tuple[str, Any]] = []
        for route in self._routes[event.__class__]:
            if route.where is not None and getattr(event, route.where[0]) != route.where[1]:
                continue
            if route.slow or inspect.iscoroutinefunction(route.handler):
                said.append((route.component, Calls(((route.component, partial(route.handler, event)),))))
                continue
            try:
                said.append((route.component, route.handler(event)))
            except (Exception, SystemExit) as error:
                raise self._failure(route.component, event, origins, log, error) from error
        while any(isinstance(out, Calls) for _, out in said):
            said = await self._answers(said, event)
        for component, out in said:
            for each in () if out is None else out if isinstance(out, tuple) else (out,):
                look = self._says.get(component, ANYTHING).get(each.__class__, refuse)
                if look is not None:
                    each = look(component, each, log[0].ts)
                log.append(each)
                origins.append(component)

    async def _answers(self, said: list[tuple[str, Any]], event: Event) -> list[tuple[str, Any]]:
        """Replaces each Calls by what its calls answered. A component never runs beside itself."""
        todo: dict[str, list[tuple[int, int, Callable[[], Any]]]] = {}
        for i, (_, out) in enumerate(said):
            if isinstance(out, Calls):
                for j, (component, call) in enumerate(out.calls):
                    todo.setdefault(component, []).append((i, j, call))
        answers: dict[tuple[int, int], Any] = {}

        async def work(component: str, calls: list[tuple[int, int, Callable[[], Any]]]) -> None:
            for i, j, call in calls:
                answers[i, j] = await self._offload(component, call, event)

        await asyncio.gather(*(work(component, calls) for component, calls in todo.items()))
        result: list[tuple[str, Any]] = []
        for i, (component, out) in enumerate(said):
            if not isinstance(out, Calls):
                result.append((component, out))
                continue
            result += [(name, answers[i, j]) for j, (name, _) in enumerate(out.calls)]
            if out.then is not None:
                result.append((component, out.then(tuple(answers[i, j] for j in range(len(out.calls))))))
        return result

    async def _offload(self, component: str, call: Callable[[], Any], event: Event) -> Any:
        try:
            if inspect.iscoroutinefunction(call.func if isinstance(call, partial) else call):
                return await call()
            if self._workers is None:
                self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="samewire")
            return await asyncio.get_running_loop().run_in_executor(self._workers, call)
        except (Exception, SystemExit) as error:  # a component may end itself, not the session
            raise self._failure(component, event, [], [], error) from error

    async def _publish(self, log: list[Any], origins: list[str]) -> None:
        for recorder in self._recorders:
            try:
                recorder.append(origins, log)
            except (SamewireError, OSError):  # these say what is wrong by themselves
                raise
            except Exception as error:
                raise _unrecorded(recorder, origins, log, error) from error
        for sink, own in zip(self._sinks, self._own_sinks, strict=True):
            for event in log:
                try:
                    await sink.write(handed(event) if own else event)
                except Exception as error:
                    raise failure_of(sink.__class__.__name__, event.__class__.__name__, event.ts, error) from error
        if self._taps:
            for tap in self._taps:
                tap.offer(log)
            await asyncio.sleep(0)  # readers get a turn

    def _failure(
        self, component: str, event: Any, origins: list[str], log: list[Any], error: BaseException
    ) -> Exception:
        return failure_of(component, event.__class__.__name__, getattr(event, "ts", 0), error)


def _unrecorded(recorder: Recorder, origins: list[str], log: list[Any], error: Exception) -> ComponentError:
    """A recorder stumbles over what somebody said: it, and who said what in this run."""
    said = dict.fromkeys(f"{event.__class__.__name__} of {o}" for o, event in zip(origins[1:], log[1:], strict=True))
    cause = f"{error.__class__.__name__}: {error}; it was recording {', '.join(said) or 'the input alone'}"
    return ComponentError(recorder.__class__.__name__, log[0].__class__.__name__, log[0].ts, cause)


def _runaway(log: list[Any]) -> RuntimeError:
    kinds = sorted({event.__class__.__name__ for event in log[-100:]})
    return RuntimeError(f"more than {_RUN_MAX} events follow from one input: {', '.join(kinds)} go in a circle")


def _waits(route: Route) -> bool:
    return route.slow or route.calls or inspect.iscoroutinefunction(route.handler)


def _entry(route: Route) -> Callable[[Any], Any]:
    """The handler, behind the route's condition if it has one."""
    if route.where is None:
        return route.handler
    (field, wanted), handler = route.where, route.handler
    return lambda event: handler(event) if getattr(event, field) == wanted else None
