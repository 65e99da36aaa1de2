"""Sends one record and says where it lies: what an operator's command needs, and nothing of a session."""

from collections.abc import Mapping
from typing import Any

from adapters.kafka.address import KafkaError
from adapters.kafka.envelope import Record

_TIMEOUT_MS = 10_000


async def sent(options: Mapping[str, Any], record: Record) -> int:
    """The offset, once every copy has it; written once however often it had to be sent. `options`: the connection."""
    from aiokafka import AIOKafkaProducer, errors

    producer = AIOKafkaProducer(**options, enable_idempotence=True, retry_backoff_ms=50, request_timeout_ms=_TIMEOUT_MS)
    try:
        await producer.start()
        done = await producer.send_and_wait(
            record.topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            timestamp_ms=record.timestamp_ms,
        )
    except (errors.KafkaError, AssertionError) as error:
        said = str(error) or type(error).__name__
        raise KafkaError(f"topic {record.topic}: the request could not be sent: {said}") from error
    finally:
        await producer.stop()
    return int(done.offset)
