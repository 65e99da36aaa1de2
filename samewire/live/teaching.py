"""Models of a live session that are trained again while it goes on: when, on what, and before which slice they count.

Each turn is trained in a process of its own, on the history of the feed's files, and enters as a control before the
bars of the very slice at which a replay has it. One that is not ready by then is told so, and the old model stays.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from adapters.scaleout.calls import one_line
from components.training.intervals import NEVER
from components.training.plan import length_of
from engine.clock import Clock
from engine.errors import ConfigError
from engine.events import Bars, Control, ControlAction
from engine.protocols import Artefact
from engine.slice_ends import Ends
from samewire.hiding import hider
from samewire.prepare import Wired
from samewire.retraining import Turn, too_few
from samewire.retraining_worker import NotReady, Trained
from samewire.run_file import RetrainSpec, RunFile
from samewire.taught import ACTOR

Train = Callable[[str, int], Awaitable[Trained | NotReady]]  # name of the model, and what is known
Tell = Callable[..., None]


def untaught(run: RunFile) -> RunFile:
    """The run file without what is trained while the session goes on."""
    return replace(run, models=tuple(replace(spec, retrain=None) for spec in run.models))


class Plan:
    """The turns of one model, one after the other, as `samewire.retraining.turns` has them of slices that are known.

    It counts the slices that are cut, and asks `ends` only how many will follow until a day. `tail` are the last slices
    before the session. Memory: latency + 1 instants.

    >>> from engine.slice_ends import Clock
    >>> plan = Plan(RetrainSpec(every="2 slices", latency=1), Clock(10), 10, [10, 20])
    >>> plan.upcoming(), plan.takes_over(30)
    (10, Turn(ts=30, known=10))
    >>> plan.took(30), plan.seen(30), plan.upcoming(), plan.takes_over(40)
    (None, None, 30, None)
    """

    def __init__(self, spec: RetrainSpec, ends: Ends, interval_ns: int, tail: Sequence[int]) -> None:
        self.spec, self.interval_ns, self._ends = spec, interval_ns, ends
        self._latency, self._every = spec.latency, length_of(spec.every)
        self._tail = list(tail)[-self._latency - 1 :]
        self._left, self._due = 0, -NEVER  # slices until the next turn, or from when on it may come

    def takes_over(self, ts: int) -> Turn | None:
        """The turn that comes before the slice at `ts`, which is the next of all or of another interval."""
        if ts <= self._tail[-1] or self._ends.begin(ts) is None:
            return None
        ready = self._left <= 0 if self._every.slices else ts >= self._due
        return Turn(ts, self._back(self._latency)) if ready else None

    def took(self, ts: int) -> None:
        """The turn before the slice at `ts` is over."""
        self._left, self._due = self._every.slices, ts + self._every.ns

    def seen(self, ts: int) -> None:
        """A slice was decided."""
        self._tail = [*self._tail, ts][-self._latency - 1 :]
        self._left -= 1

    def upcoming(self) -> int | None:
        """What the next turn knows, once that is decided; None before, or where the calendar ends."""
        left = self._left if self._every.slices else self._until_due()
        return None if left is None or left > self._latency else self._back(self._latency - max(0, left))

    def _back(self, count: int) -> int:
        """The slice so many before the last."""
        return self._tail[-1 - count] if count < len(self._tail) else -NEVER

    def _until_due(self) -> int | None:
        """How many slices come before that of the next turn, if no more than a training may take."""
        ts = self._tail[-1]
        with contextlib.suppress(ConfigError):  # the calendar ends
            for count in range(self._latency + 1):
                ts = self._ends.after(ts)[1]
                if ts >= self._due:
                    return count
        return None

    def save(self) -> list[int]:
        return [self._left, self._due, *self._tail]

    def load(self, saved: Sequence[int]) -> None:
        self._left, self._due, *self._tail = saved


class Teaching:
    """Trains, turn by turn. What came of a turn is asked for once, before the slice that it is for."""

    def __init__(self, plans: dict[str, Plan], train: Train, *, wait_s: float, clock: Clock, tell: Tell) -> None:
        self._plans, self._train, self._wait_s, self._clock, self._tell = plans, train, wait_s, clock, tell
        self._tasks: dict[str, tuple[int, asyncio.Task[Trained | NotReady]]] = {}

    def begin(self) -> None:
        """Trains what may be trained by now."""
        for name, plan in self._plans.items():
            known = plan.upcoming()
            if known is not None and name not in self._tasks:
                self._tasks[name] = known, self._begun(name, known)

    def closed(self, ts: int, interval_ns: int) -> None:
        """A slice was decided: what learns from it begins."""
        for plan in self._plans.values():
            if plan.interval_ns == interval_ns:
                plan.seen(ts)
        self.begin()

    async def due(self, ts: int) -> list[tuple[Control, Artefact | None]]:
        """What takes over before the slice at `ts`; waits for a training that still goes on, up to a limit."""
        found = []
        for name, plan in self._plans.items():
            if (turn := plan.takes_over(ts)) is not None:
                found.append(self._control(name, turn, await self._came(name, turn)))
                plan.took(ts)
        return found

    def save(self) -> dict[str, list[int]]:
        """Where each plan stands."""
        return {name: plan.save() for name, plan in self._plans.items()}

    async def close(self) -> None:
        for _, task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)
        self._tasks.clear()

    def _begun(self, name: str, known: int) -> "asyncio.Task[Trained | NotReady]":
        return asyncio.create_task(self._taught(name, known), name=f"train {name}")

    async def _taught(self, name: str, known: int) -> Trained | NotReady:
        if known <= -NEVER:
            return NotReady(too_few(known, 0, self._plans[name].spec).reason)
        return await self._train(name, known)

    async def _came(self, name: str, turn: Turn) -> Trained | NotReady:
        known, task = self._tasks.pop(name, (turn.known, None))
        if task is not None and known != turn.known:  # another slice came before it than the calendar says
            await _ended(task)
            task = None
        task = task or self._begun(name, turn.known)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._wait_s)
            if not done:
                return NotReady(f"its training was not done {self._wait_s:g} s after its slice (live.retrain_wait_s)")
            return task.result()
        except Exception as error:  # noqa: BLE001 - whatever befalls a training, the old model stays
            return NotReady(hider()(one_line(error)))
        finally:
            await _ended(task)

    def _control(self, name: str, turn: Turn, came: Trained | NotReady) -> tuple[Control, Artefact | None]:
        ready = isinstance(came, Trained)
        action = ControlAction.SWAP_MODEL if ready else ControlAction.MODEL_NOT_READY
        artefact = came.artefact if isinstance(came, Trained) else None
        hash_ = "" if artefact is None else artefact.hash
        reason = "" if isinstance(came, Trained) else came.reason
        said = f"{name}: artefact {hash_[:12]} takes over" if ready else f"{name}: the old model stays: {reason}"
        self._tell("model.taught", said=said, model=name, artefact=hash_, reason=reason)
        return Control(ts=turn.ts, action=action, component=name, artefact=hash_, actor=ACTOR, reason=reason), artefact


async def _ended(task: "asyncio.Task[Trained | NotReady]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def plans_of(
    run: RunFile, wired: Wired, ends: dict[int, Ends], start: int, saved: dict[str, list[int]]
) -> dict[str, Plan]:
    """A plan for each model that is trained again, where `saved` says; else at the session's beginning.

    Empty, and nothing is read, where none is trained again.
    """
    found: dict[str, Plan] = {}
    for spec, part in zip(run.models, wired.parts.models, strict=True):
        name = spec.component.name
        if spec.retrain is None:
            continue
        interval = part.interval_ns or wired.feed.interval_ns
        tail = [0] if name in saved else _slices(wired, interval, start)
        if not tail:
            raise ConfigError(
                f"{spec.component.where}: retrain: the feed has no slice before the session; begin the session later, "
                "or take a feed that begins earlier"
            )
        found[name] = Plan(spec.retrain, ends[interval], interval, tail)
        if name in saved:
            found[name].load(saved[name])
    return found


def _slices(wired: Wired, interval_ns: int, start: int) -> list[int]:
    events = wired.feed.events(None, start + 1)
    return [each.ts for each in events if isinstance(each, Bars) and each.interval_ns == interval_ns]
