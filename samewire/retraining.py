"""A model that is trained again while the session goes on, as the same history would have it live.

The trainings look at history alone, so they are done before the first slice and enter as controls, each before the
bars of its slice. `samewire.retraining_worker` trains one of them beside a session that goes on, to the same artefact.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from adapters.scaleout.calls import one_line
from components.training.intervals import NEVER
from components.training.plan import check_lengths, length_of
from components.training.slices import sliced
from engine.errors import DataError
from engine.events import Bars, Event
from engine.protocols import Dataset
from samewire.hiding import hider
from samewire.run_file import RetrainSpec
from samewire.taught import History, Lesson, Made, Walked, of_interval


class Turn(msgspec.Struct, frozen=True):
    """When a training takes over: before the bars at `ts`, with what was known at `known`."""

    ts: int
    known: int


def turns(slices: Sequence[int], begin: int, spec: RetrainSpec) -> tuple[Turn, ...]:
    """The turns of a session whose first slice is the first at or after `begin`.

    A model takes over at the session's first slice and every `every` slices after it. It learned from what was known
    at the close of the slice before, and `latency` slices earlier still, so that a training may take that long.

    >>> turns([10, 20, 30, 40, 50, 60], 30, RetrainSpec(every="2 slices"))
    (Turn(ts=30, known=20), Turn(ts=50, known=40))
    >>> turns([10, 20, 30, 40, 50, 60], 30, RetrainSpec(every="2 slices", latency=1))
    (Turn(ts=30, known=10), Turn(ts=50, known=30))
    """
    ts, every, found = np.array(slices, np.int64), length_of(spec.every), list[Turn]()
    at = int(np.searchsorted(ts, begin))
    while at < len(ts):
        known = at - 1 - spec.latency
        found.append(Turn(int(ts[at]), int(ts[known]) if known >= 0 else -NEVER))
        at = max(at + 1, every.after(ts, at))
    return tuple(found)


def retrained(made: Made, history: History, feature_set: Any, begin: int) -> Iterator[Lesson]:
    """One lesson for each turn before the end of the session: an artefact, or why there is none, whatever `fit` raised.

    DataError where there is none at all, and no artefact that the run file names to stay.

    The features of the whole history are reckoned once, for all models that read them and label alike; each turn learns
    from those slices whose labels were known.
    """
    from components.training.panel import walk

    spec = made.spec.retrain
    if spec is None:
        return
    end, horizon = history.end, spec.horizon
    check_lengths(
        {"every": spec.every, "window": spec.window}, made.interval_ns, f"{made.spec.component.where}: retrain"
    )

    def walked() -> Walked:
        slices: list[int] = []
        events = _noted(of_interval(history.feed.events(None, end), made.interval_ns), slices)
        whole = walk(events, feature_set, horizon, NEVER if end is None else end)
        return Walked(whole, tuple(slices))

    found = history.once((made.spec.features, made.interval_ns, horizon, end), walked)
    taught, why = 0, "the session has no slice"
    only = None if made.spec.turn is None else (Turn(begin, made.spec.turn - 1),)
    for turn in only or turns(found.slices, begin, spec):
        lesson = _taught(made, spec, known(found.dataset, turn.known, spec), turn)
        taught, why = taught + (lesson.artefact is not None), lesson.reason
        yield lesson
    if not taught and made.spec.artefact is None:
        raise DataError(
            f"{made.spec.component.where}: {made.spec.component.name} could not be trained at any of its turns "
            f"({why}); begin the session later, or take a feed that begins earlier"
        )


def known(whole: Dataset, until: int, spec: RetrainSpec) -> Dataset | None:
    """The slices whose labels were known at `until`, of the last `window`; None where there are none.

    That is what purges: a label that looks beyond is left out by where it ends, not by a number of rows.
    """
    high = int(np.count_nonzero(whole.label_to <= until))
    low = 0
    if spec.window is not None:  # it is reckoned from what was known, never from the slice that comes next
        window = length_of(spec.window)
        low = int(np.searchsorted(whole.ts, until - window.ns)) if window.ns else max(0, high - window.slices)
    if high <= low:
        return None
    return sliced(whole, slice(low, high))


def _taught(made: Made, spec: RetrainSpec, dataset: Dataset | None, turn: Turn) -> Lesson:
    if dataset is None or len(dataset.ts) < spec.least:
        return too_few(turn.ts, 0 if dataset is None else len(dataset.ts), spec)
    try:
        return Lesson(turn.ts, made.model().fit(dataset), until=turn.known + 1)
    except Exception as error:  # noqa: BLE001 - a class of the user's own may raise anything
        return Lesson(turn.ts, None, hider()(one_line(error)))


def too_few(ts: int, count: int, spec: RetrainSpec) -> Lesson:
    """A turn at `ts` that knew labels of this many slices."""
    return Lesson(ts, None, f"{count} slices with labels, least is {spec.least}")


def _noted(events: Iterator[Event], slices: list[int]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Bars):
            slices.append(event.ts)
        yield event
