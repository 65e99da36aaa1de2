"""What every record of a topic has around its body: key, headers and timestamp; and the bodies that need no universe.

Pure: the same message gives the same bytes. Needs nothing of the engine but its words, so that readers and operators
can do without the rest.
Source: CloudEvents 1.0.2, Kafka protocol binding, section 3.2 (binary content mode).
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from adapters.kafka.messages import (
    CONTROL_ACTIONS,
    DEAD_REASONS,
    MESSAGES,
    STATES,
    ControlMessage,
    DeadLetterMessage,
    StatusMessage,
)
from adapters.kafka.topics import KINDS, Topic
from engine.errors import DataError
from engine.events import Control, ControlAction, Mode
from engine.instants import instant_text

M = TypeVar("M")
Headers = tuple[tuple[str, bytes], ...]

CONTENT_TYPE = "application/json"
DEAD_BODY_MAX, DEAD_KEY_MAX, DEAD_TEXT_MAX = 65_536, 1_024, 1_000  # bytes, bytes, characters
_SAFE = re.compile(r"[A-Za-z0-9:._/ ~-]*")
_ENCODE = msgspec.json.Encoder().encode
_DECODERS: Mapping[type[Any], Any] = {kind: msgspec.json.Decoder(kind) for kind in MESSAGES}


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who publishes. What differs between two runs over the same inputs stands here and in headers only."""

    daemon: str  # name of the session
    run_id: str = ""
    code_version: str = ""
    config_hash: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is handed to a producer."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    timestamp_ms: int  # of the slice, not of the writing
    erases: bool = False  # takes the records of its key out of a compacted topic, and has no body


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be used, as it was read."""

    topic: str
    partition: int
    offset: int
    ts: int  # its timestamp, UTC ns
    reason: str  # one of DEAD_REASONS
    text: str
    value: bytes | None
    key: bytes | None = None


def decoded(value: bytes | None, kind: type[M]) -> M:
    """The message in a body; DataError with the reason where it is none. Unknown fields are let through.

    >>> from adapters.kafka.messages import BarMessage
    >>> decoded(b'{"instrument": "A"}', BarMessage)
    Traceback (most recent call last):
    engine.errors.DataError: BarMessage: Object missing required field `ts`
    """
    if value is None:
        raise DataError(f"{kind.__name__}: the record has no body")
    try:
        said: M = _DECODERS[kind].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{kind.__name__}: {error}") from None
    return said


def _headers(*said: tuple[str, str]) -> Headers:
    """Those that say something."""
    return tuple([(name, text.encode("ascii")) for name, text in said if text])


class Envelope:
    """Records of one environment and publisher.

    >>> envelope = Envelope("dev", Origin(daemon="quick"))
    >>> asked = ControlMessage(id="", ts=5, action="halt", by="jo")
    >>> envelope.control(asked).topic, control_of(envelope.control(asked).value).id
    ('dev.control.quick.v1', 'fa2aefc0ef6b52c8')
    """

    def __init__(self, env: str, origin: Origin) -> None:
        self.env, self.origin = env, origin
        self._head = (("content-type", CONTENT_TYPE.encode()), ("ce_specversion", b"1.0"))
        self._source = ("ce_source", f"/samewire/{_plain(origin.daemon)}".encode())
        self._tail = _headers(
            ("run-id", origin.run_id), ("code-version", origin.code_version), ("config-hash", origin.config_hash)
        )
        self._topics: dict[tuple[str, str], tuple[str, Headers]] = {}  # kind and name -> topic, and what it holds
        self._time = (0, exact_text(0).encode())  # the instant that was written last

    def record(
        self,
        of: tuple[str, str],
        key: str,
        message: Any,
        at: tuple[str, int],
        more: Sequence[tuple[str, str]] = (),
    ) -> Record:
        """`of`: kind and name of the topic; `at`: what, with name and instant, makes the id, and the instant in ns."""
        what, ts = at
        topic, type_ = self._topics.get(of) or self._topic(of)
        if ts != self._time[0]:  # all records of a slice speak of one instant
            self._time = (ts, exact_text(ts).encode())
        return Record(
            topic=topic,
            key=key.encode(),
            value=_ENCODE(message),
            headers=(
                *self._head,
                ("ce_id", _plain(":".join([part for part in (of[1], what, str(ts)) if part])).encode()),
                self._source,
                *type_,
                ("ce_time", self._time[1]),
                *self._tail,
                *_headers(*more),
            ),
            timestamp_ms=max(0, ts // 1_000_000),
        )

    def _topic(self, of: tuple[str, str]) -> tuple[str, Headers]:
        kind, name = of
        found = str(Topic(self.env, kind, name)), _headers(("ce_type", KINDS[kind].ce_type))
        self._topics[of] = found
        return found

    def deadletter(self, dead: DeadLetter) -> Record:
        """To the topic of the session; body, key and text are cut, never refused."""
        _known(dead.reason, DEAD_REASONS, "reason")
        message = DeadLetterMessage(
            topic=dead.topic,
            partition=dead.partition,
            offset=dead.offset,
            ts=dead.ts,
            reason=dead.reason,
            text=dead.text[:DEAD_TEXT_MAX],
            size=len(dead.value or b""),
            value=dead.value and dead.value[:DEAD_BODY_MAX],
            key=dead.key and dead.key[:DEAD_KEY_MAX],
        )
        what = f"{dead.topic}:{dead.partition}:{dead.offset}"
        return self.record(("deadletter", self.origin.daemon), dead.topic, message, (what, dead.ts))

    def control(self, said: ControlMessage) -> Record:
        """To the session that the origin names. A request without an id gets one from what it says."""
        _known(said.action, CONTROL_ACTIONS, "action")
        message = said if said.id else msgspec.structs.replace(said, id=digest(said))
        name = self.origin.daemon
        return self.record(("control", name), name, message, (message.id, said.ts))

    def status(self, said: StatusMessage) -> Record:
        """Stamped with the moment it speaks of, `uptime_s` after `started_at`; its id is that of what it says."""
        _known(said.state, STATES, "state")
        _known(said.mode, [mode.name for mode in Mode], "mode")
        now = said.started_at + round(said.uptime_s * 1e9)
        return self.record(("status", said.session), said.session, said, (f"{said.run_id}:{digest(said)}", now))


def digest(message: Any) -> str:
    """16 hexadecimal digits that depend on what a message says alone."""
    return hashlib.blake2b(_ENCODE(message), digest_size=8).hexdigest()


def control_of(value: bytes | None) -> ControlMessage:
    """What an operator asks; DataError where it cannot be followed.

    >>> control_of(b'{"id": "00000000000000ff", "ts": 5, "action": "stop", "by": "jo"}')
    Traceback (most recent call last):
    engine.errors.DataError: control: 'stop' is no action; expected one of: halt, resume, reduce, flatten, swap_model
    """
    said = decoded(value, ControlMessage)
    if said.action not in CONTROL_ACTIONS:
        raise DataError(f"control: {said.action!r} is no action; expected one of: {', '.join(CONTROL_ACTIONS)}")
    if not said.by.strip():
        raise DataError(f"control: {said.action} {said.id} does not say who asks (by)")
    if said.action == "swap_model" and not (said.component and said.artefact):
        raise DataError(f"control: swap_model {said.id} must name a component and the hash of an artefact")
    return said


def control_event(said: ControlMessage, ts: int) -> Control:
    """The same as an event of the engine, which becomes known at `ts` (UTC ns)."""
    action = "reduce_only" if said.action == "reduce" else said.action
    return Control(
        ts=ts,
        action=ControlAction(action),
        component=said.component,
        artefact=said.artefact,
        actor=said.by,
        reason=said.reason,
        latch=said.latch,
    )


def exact_text(ts: int) -> str:
    """An instant to the nanosecond, UTC, as RFC 3339 writes it.

    >>> exact_text(1_514_926_800_000_000_000), exact_text(1_514_926_800_000_000_001)
    ('2018-01-02T21:00:00Z', '2018-01-02T21:00:00.000000001Z')
    """
    rest = ts % 1_000_000_000
    return f"{instant_text(ts)[:-1]}.{rest:09d}Z" if rest else instant_text(ts)


def _known(word: str, words: Sequence[str], what: str) -> None:
    if word not in words:
        raise ValueError(f"{word!r} is no {what}; expected one of: {', '.join(words)}")


def _plain(text: str) -> str:
    """ASCII only, since readers decode headers as they please."""
    return text if _SAFE.fullmatch(text) else quote(text, safe=":._-/ ")
