"""What a live session writes of each step into its journal topic: what was decided, on what, and where it stood.

One record a step: the blocks of the journal as a session directory holds them, how slices were cut, the next offset of
every input, and where the last snapshot is. It is written in the transaction of the step's signals and orders, so that
it is the truth about them.
"""

from typing import Any

import msgspec
import numpy as np

from adapters.kafka.address import DamagedError
from engine.cuts import Counts, Cut, CutRule

VERSION = 1
Offsets = dict[str, dict[int, int]]  # topic -> partition -> the next offset to be read
_encoder = msgspec.msgpack.Encoder()


class CutWords(msgspec.Struct, frozen=True, array_like=True):
    """A cut in plain values."""

    ts: int
    interval_ns: int
    rule: int
    taken: int
    missing: list[int]
    absent: int
    counts: list[int]


class LastBar(msgspec.Struct, frozen=True, array_like=True):
    """The last record that was read of a partition: a topic that was made anew has another one there."""

    offset: int
    timestamp_ms: int
    checksum: int  # CRC-32 of its body
    shown: int = -(1 << 62)  # end of the latest bar of the session up to it, UTC ns; as it stands here: none yet


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What is written of one step. `events` and `digest` are the journal's behind it."""

    version: int = VERSION
    session: str
    run_id: str
    config: str  # hash
    code: str
    writer: str = ""  # transactional id
    cluster: str = ""  # id
    seq: int  # steps of the session so far, this one among them
    events: int
    digest: bytes
    blocks: list[bytes]
    cuts: list[CutWords] = []
    offsets: Offsets  # behind the bars of the last cut
    control: int = 0  # the next offset of the control topic
    last: dict[str, dict[int, LastBar]] = {}
    left_out: list[tuple[str, int, int]] = []  # topic, partition, offset of what went to the dead letters since
    course: tuple[int, int, int] = (0, 0, 0)
    kept: dict[str, int] = {}  # name of a blob -> offset in the snapshots topic from where on it stands
    asked: list[str] = []  # ids of the requests of operators that entered in it
    mode: int = 0  # engine.events.Mode behind it
    tally: dict[str, int] = {}  # what the session has done since it first began
    plans: dict[str, list[int]] = {}  # of models that are trained again: where each stands
    ended: bool = False


_decode = msgspec.msgpack.Decoder(Step).decode


def encoded(step: Step) -> bytes:
    return _encoder.encode(step)


def step_of(value: bytes | None, topic: str, offset: int) -> Step:
    """Raises DamagedError for what is none of ours, or of another version."""
    try:
        found = _decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError(
            f"topic {topic}: the record at {offset} is no step of a session ({error}); who else writes there?"
        ) from None
    if found.version != VERSION:
        raise DamagedError(
            f"topic {topic}: the record at {offset} is of version {found.version}, this code writes {VERSION}; "
            "end the session with the version that began it, or begin a new one with --new"
        )
    return found


def words_of(cut: Cut) -> CutWords:
    counts: Any = msgspec.structs.astuple(cut.counts)
    return CutWords(cut.ts, cut.interval_ns, int(cut.rule), cut.taken, cut.missing.tolist(), cut.absent, list(counts))


def cut_of(words: CutWords) -> Cut:
    """
    >>> words = CutWords(9, 3, int(CutRule.DEADLINE), 2, [1], 0, [2, 0, 0, 0, 0, 0, 0, 0])
    >>> words_of(cut_of(words)) == words
    True
    """
    return Cut(
        ts=words.ts,
        interval_ns=words.interval_ns,
        rule=CutRule(words.rule),
        taken=words.taken,
        missing=np.array(words.missing, np.int32),
        absent=words.absent,
        counts=Counts(*words.counts),
    )
