"""Waits for what was committed to be seen: a broker acknowledges a commit before the partitions of it show it."""

import asyncio
from collections.abc import Sequence

from adapters.kafka.address import KafkaError
from adapters.kafka.transport import Place, Reader
from engine.clock import SystemClock

_LONGEST_S = 25.0  # two and a half times what a transaction of ours may take
_LOOK_S = 0.02


async def settle(reader: Reader, places: Sequence[Place]) -> None:
    """Waits until all that these partitions hold now is committed or aborted: what stands behind the rest is not seen.

    KafkaError where a transaction stays open for longer than any of ours may.
    """
    if held := await unsettled(reader, places, _LONGEST_S):
        raise KafkaError(
            f"topic {held[0][0]}: a transaction of somebody else is open in it, so that what was committed "
            "behind it cannot be read; end that one (kafka-transactions.sh find-hanging), and start again"
        )


async def unsettled(reader: Reader, places: Sequence[Place], within_s: float) -> list[Place]:
    """Waits as `settle` does, for so long at most; the partitions where something is open even then."""
    clock = SystemClock()
    bounds = await reader.bounds(places)
    ends, since = await reader.ends(places), clock.monotonic_ns()
    while True:
        held = [place for place in places if ends[place] > bounds[place][1]]
        if not held or clock.monotonic_ns() - since > within_s * 1e9:
            return held
        await asyncio.sleep(_LOOK_S)
        bounds = await reader.bounds(places)
