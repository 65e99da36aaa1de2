"""The first step of a session: nobody reads it back without, and a journal that is deleted with age loses it."""

import contextlib

import msgspec

from adapters.kafka.layout import keep_for_ever
from adapters.kafka.live_record import Step, step_of
from adapters.kafka.transport import Reader
from engine.instants import instant_text
from samewire.live.keeping import MANIFEST

_MILLI = 1_000_000  # ns
_NEAR = 0.1  # of the time for which it is kept, from where on it is told


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """Where the first step stands, and how long it will."""

    journal: str
    stamp_ms: int  # of its record
    kept_ms: int  # -1 = for ever, or nobody knows
    gone: bool

    def word(self, now: int) -> str:
        """What an operator should know of it at this instant (UTC ns), empty = nothing.

        >>> day = 86_400_000
        >>> first = Beginning(journal="dev.journal.quick.v1", stamp_ms=0, kept_ms=10 * day, gone=False)
        >>> first.word(8 * day * 10**6)
        ''
        >>> first.word(9 * day * 10**6)[:67]
        'the first step of the session expires at 1970-01-11T00:00:00Z: read'
        """
        keep = keep_for_ever(self.journal)
        if self.gone:
            said = f"the first step of the session is gone from {self.journal}: it goes on, and nobody can read it back"
            return f"{said}; before the next one, which --new begins: {keep}"
        if self.kept_ms < 0 or now // _MILLI - self.stamp_ms < (1 - _NEAR) * self.kept_ms:
            return ""
        at = instant_text((self.stamp_ms + self.kept_ms) * _MILLI)
        return f"the first step of the session expires at {at}: read it back before with samewire fetch, or {keep}"


async def beginning_of(reader: Reader, topics: tuple[str, str], step: Step, kept_ms: int) -> Beginning:
    """Of the session of this step; `topics` are its journal and its snapshots."""
    journal, snapshots = topics
    first, end = (await reader.bounds([(journal, 0)]))[journal, 0]
    stamp, gone, at = 0, False, step.kept.get(MANIFEST)
    async with contextlib.aclosing(reader.read((journal, 0), first, end)) as found:
        async for record in found:
            if record.key == step.session.encode():
                begun = step_of(record.value, journal, record.offset)
                gone = begun.run_id == step.run_id and begun.seq > 1
                break
    if at is not None:  # the manifest was written with the first step, and has its stamp
        low, high = (await reader.bounds([(snapshots, 0)]))[snapshots, 0]
        async with contextlib.aclosing(reader.read((snapshots, 0), max(low, at), high)) as found:
            async for record in found:
                stamp = record.timestamp_ms
                break
    return Beginning(journal=journal, stamp_ms=stamp, kept_ms=-1 if at is None else kept_ms, gone=gone)
