"""Whatever is larger than one record, by name, in the snapshots topic: state, artefacts, the session's own manifest.

A blob is a row of chunks under one name; its first chunk says how many follow and what they are together. A later blob
of the same name takes its place, and compaction clears the older one away.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from adapters.kafka.address import DamagedError
from adapters.kafka.codec import Record
from adapters.kafka.transport import Received

_CHUNK = 512 * 1024  # bytes


class _Label(msgspec.Struct, frozen=True):
    """Stands in the header of each chunk."""

    name: str
    at: int
    of: int
    size: int
    hash: str  # SHA-256 of the whole


def chunks(topic: str, session: str, name: str, content: bytes, timestamp_ms: int) -> Iterator[Record]:
    """The records of one blob, in order."""
    digest, of = hashlib.sha256(content).hexdigest(), max(1, -(-len(content) // _CHUNK))
    for at in range(of):
        label = _Label(name, at, of, len(content), digest)
        yield Record(
            topic=topic,
            key=f"{session}/{name}/{at}".encode(),
            value=content[at * _CHUNK : (at + 1) * _CHUNK],
            headers=(("label", msgspec.json.encode(label)),),
            timestamp_ms=max(0, timestamp_ms),
        )


def erasing(topic: str, key: bytes, timestamp_ms: int) -> Record:
    """Takes one chunk out of the topic."""
    return Record(topic=topic, key=key, value=b"", headers=(), timestamp_ms=timestamp_ms, erases=True)


def name_in(key: bytes | None) -> str:
    """The name of the blob that a chunk of this key is of.

    >>> name_in(b"quick/artefact/1f/0")
    'artefact/1f'
    """
    return (key or b"").decode("utf-8", "replace").partition("/")[2].rpartition("/")[0]


class Blobs:
    """Collects blobs from records in the order in which they stand; the latest whole one of each name counts."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._begun: dict[str, list[bytes]] = {}
        self._labels: dict[str, str] = {}
        self.found: dict[str, bytes] = {}
        self.offsets: dict[str, int] = {}  # of the first chunk of each that was found
        self._first: dict[str, int] = {}

    def add(self, record: Received) -> None:
        if record.value is None:  # erased
            self.found.pop(name_in(record.key), None)
            return
        label = self._label(record)
        if label.at == 0:
            self._begun[label.name], self._labels[label.name] = [], label.hash
            self._first[label.name] = record.offset
        begun = self._begun.get(label.name)
        if begun is None or label.hash != self._labels[label.name] or label.at != len(begun):
            self._begun.pop(label.name, None)  # its beginning was cleared away, since a later one follows
            return
        begun.append(record.value or b"")
        if len(begun) < label.of:
            return
        whole = b"".join(self._begun.pop(label.name))
        if len(whole) != label.size or hashlib.sha256(whole).hexdigest() != label.hash:
            raise DamagedError(f"topic {self._topic}: blob {label.name} is not what was written; begin anew with --new")
        self.found[label.name], self.offsets[label.name] = whole, self._first[label.name]

    def _label(self, record: Received) -> _Label:
        try:
            return msgspec.json.decode(dict(record.headers)["label"], type=_Label)
        except (KeyError, msgspec.MsgspecError) as error:
            raise DamagedError(
                f"topic {self._topic}: the record at {record.offset} is no part of a blob: {error}"
            ) from None

    def named(self, name: str) -> bytes:
        if name not in self.found:
            raise DamagedError(f"topic {self._topic}: it holds no {name} of this session; begin anew with --new")
        return self.found[name]
