"""One turn of a model that is trained again, in a process of its own, while a live session goes on.

A replay trains all turns before it begins (`samewire.retraining`); this trains one when it comes, from the same rows
by the same code, so that both have the same artefact to the last byte. Whatever befalls the process is "not ready":
the old model stays, and the session never waits.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from adapters.scaleout.beside import carried_out
from components.models.artefact import artefact_of
from engine.errors import ConfigError, NoLabelError
from engine.events import Bars, Event
from engine.instants import instant_text
from engine.learning import Job
from engine.protocols import Artefact, Feed
from samewire.hiding import hider, hiding
from samewire.plain import run_in_words
from samewire.prepare import ready_to_learn
from samewire.retraining import retrained, too_few
from samewire.run_file import ModelSpec, RetrainSpec, RunFile
from samewire.schema import VERSION, load_run
from samewire.scrubbing import raise_scrubbed
from samewire.secret_guard import refuse_artefact
from samewire.taught import History, Made, feature_set_of


class Trained(msgspec.Struct, frozen=True):
    """What a turn left. `until`: all that it learned from was known earlier, UTC ns."""

    artefact: Artefact
    until: int


class NotReady(msgspec.Struct, frozen=True):
    """There is no artefact: too few labels, a model that raised, a process that died. `reason` is one line."""

    reason: str


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told. Secrets stand in `run` by reference only."""

    run: dict[str, Any]
    model: str
    known: int
    allow: tuple[str, ...] | None = None


class _Came(msgspec.Struct, frozen=True, kw_only=True):
    files: dict[str, bytes] = {}
    hash: str = ""
    until: int = 0
    reason: str = ""


async def turn(
    run: RunFile, model: str, known_until_ts: int, *, allow: tuple[str, ...] | None = None
) -> Trained | NotReady:
    """Trains `model` on what was known at the close of the slice at `known_until_ts`, UTC ns.

    History is what the feed of `run` has, up to that slice, which has to be there: a feed that ends earlier is not
    ready, and no older model in the guise of a new one. The new artefact may take over before any later slice. When
    cancelled, its process is ended. ConfigError for a model that has no `retrain:`; `allow` is that of `load_run`.
    """
    words = run_in_words(_alone(run, model), VERSION, lambda path: str(path.absolute()))
    asked = _Asked(run=words, model=model, known=known_until_ts, allow=allow)
    job = Job(
        key=f"{model}-{known_until_ts}",
        call="samewire.retraining_worker:carry_out",
        argument=msgspec.json.encode(asked),
    )
    outcome = await carried_out(job)
    if outcome.value is None:
        return NotReady(hider()(outcome.error))
    came = msgspec.msgpack.decode(outcome.value, type=_Came)
    if came.reason:
        return NotReady(came.reason)
    artefact = artefact_of(came.files)
    if artefact.hash != came.hash:
        return NotReady(f"what came from its process hashes to {artefact.hash[:12]}, and {came.hash[:12]} was sent")
    return Trained(artefact, came.until)


def carry_out(argument: bytes) -> bytes:
    """One turn, in the process of its own."""
    with hiding():
        try:
            asked = msgspec.json.decode(argument, type=_Asked)
            return msgspec.msgpack.encode(_came(load_run(asked.run, allow=asked.allow), asked))
        except Exception as error:  # noqa: BLE001 - raised again without secrets
            raise_scrubbed(error, hider())


def _came(run: RunFile, asked: _Asked) -> _Came:
    spec, how = _of(run, asked.model)
    spec = replace(spec, turn=asked.known + 1)
    feed, given = ready_to_learn(run)
    reads = feature_set_of(run, spec, given)
    pace = spec.interval_ns or int(getattr(reads, "interval_ns", 0)) or feed.interval_ns  # as the wiring has it
    made = Made(spec, pace, given)
    seen = _Seen(feed, made.interval_ns)
    history = History(run, seen, given, asked.known + 1)  # type: ignore[arg-type]
    try:
        lesson = next(retrained(made, history, reads, asked.known + 1))
    except NoLabelError:  # a replay, which knows later ones, says that there are none yet
        lesson = too_few(asked.known + 1, 0, how)
    if seen.last != asked.known:
        return _Came(reason=_ends_elsewhere(seen.last, asked.known))
    if lesson.artefact is None:
        return _Came(reason=lesson.reason)
    refuse_artefact(asked.model, lesson.artefact, hider())
    files = dict(lesson.artefact.files)
    return _Came(files=files, hash=lesson.artefact.hash, until=asked.known + 1)


def _ends_elsewhere(last: int | None, known: int) -> str:
    """In nanoseconds where the two are told apart by nothing else.

    >>> _ends_elsewhere(1_514_926_800_000_000_000, 1_514_926_800_000_000_001)[:35]
    'history ends at 1514926800000000000'
    """
    ends, asked_for = "" if last is None else instant_text(last), instant_text(known)
    if ends == asked_for:
        ends, asked_for = f"{last} ns", f"{known} ns"
    at = f"at {ends}" if ends else "before any slice"
    return f"history ends {at}, and this turn learns from what was known at {asked_for}"


class _Seen:
    """A feed that notes its last slice of this interval; whoever learns from it walks it and asks no more."""

    def __init__(self, feed: Feed, interval_ns: int) -> None:
        self._feed, self._interval_ns = feed, interval_ns
        self.last: int | None = None

    def events(self, since: int | None = None, until: int | None = None) -> Iterator[Event]:
        for event in self._feed.events(since, until):
            if isinstance(event, Bars) and event.interval_ns == self._interval_ns:
                self.last = event.ts
            yield event


def _alone(run: RunFile, model: str) -> RunFile:
    """The run file of one turn: nobody else learns, and nothing is asked of what was learned before."""
    _of(run, model)
    models = tuple(
        replace(spec, train=None, artefact=None, retrain=spec.retrain if spec.component.name == model else None)
        for spec in run.models
    )
    return replace(run, models=models, sinks=(), training=None)


def _of(run: RunFile, model: str) -> tuple[ModelSpec, RetrainSpec]:
    found = next((spec for spec in run.models if spec.component.name == model), None)
    if found is None or found.retrain is None:
        known = ", ".join(spec.component.name for spec in run.models if spec.retrain is not None) or "none"
        raise ConfigError(f"models: {model!r} is not trained again; those that are: {known}")
    return found, found.retrain
