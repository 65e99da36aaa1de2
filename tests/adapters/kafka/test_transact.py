"""A transaction of which several sends fail tells one of them, and leaves none to be reported as never heard."""

import asyncio
import gc
from typing import Any

import pytest

from adapters.kafka.address import KafkaError
from adapters.kafka.codec import Record
from adapters.kafka.transport import transact


class Fenced:
    """An outbox whose every send fails."""

    async def start(self) -> None: ...
    async def begin(self) -> None: ...
    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        async def failed() -> int:
            raise KafkaError(f"fenced: {record.topic}")

        return asyncio.ensure_future(failed())

    async def commit(self) -> None: ...
    async def succeeded(self) -> bool:
        return True

    async def close(self) -> None: ...


async def test_sends_that_fail_after_another_are_not_told_again() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    records = [Record(topic=name, key=b"", value=b"", headers=(), timestamp_ms=0) for name in "abc"]
    with pytest.raises(KafkaError, match="fenced: a"):
        await transact(Fenced(), records)
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
    assert told == []
