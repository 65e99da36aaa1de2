"""Who has the right to a transactional id now, asked of the broker without taking it (KIP-664).

The client does not speak this request; it is spoken here over the client's own connection.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from adapters.kafka.address import KafkaError
from adapters.kafka.client import FencedError, fenced, told

_DESCRIBE_TRANSACTIONS, _NOT_FOUND = 65, 105
_ABORTED = ("PrepareEpochFence", "PrepareAbort", "CompleteAbort")
_ASK_S = 5.0  # for an answer


class Holder(msgspec.Struct, frozen=True):
    """The producer to which a transactional id belongs."""

    producer: int
    epoch: int
    state: str  # of its last transaction, in Kafka's words

    def succeeds(self, producer: int, epoch: int) -> bool:
        """Whether it is another process than the one that was given this producer id and epoch.

        A broker that ends a transaction which took too long raises the epoch by one, and who begins raises it by one
        as well: by two in all, where a transaction was open.

        >>> timed_out, successor = Holder(7, 4, "CompleteAbort"), Holder(7, 4, "Empty")
        >>> timed_out.succeeds(7, 3), successor.succeeds(7, 3), Holder(7, 5, "CompleteAbort").succeeds(7, 3)
        (False, True, True)
        """
        if (self.producer, self.epoch) == (producer, epoch):
            return False
        return self.producer != producer or self.epoch != epoch + 1 or self.state not in _ABORTED


async def tell_apart(succeeded: Callable[[], Awaitable[bool]], error: KafkaError) -> None:
    """Raises FencedError where a successor is behind another error, which is what a process hears that was held up."""
    if not isinstance(error, FencedError) and await succeeded():
        raise fenced() from error


async def successor(producer: Any, transactional_id: str) -> bool:
    """Whether another process has begun than this producer of aiokafka's; False as well where nobody can be asked."""
    from aiokafka.client import CoordinationType

    if producer is None or not (ours := producer._txn_manager).has_pid():
        return False
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_ASK_S):
            node = await producer.client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
            now = await holder(producer.client, node, transactional_id)
            return now is not None and now.succeeds(ours.producer_id, ours.producer_epoch)
    return False


async def holder(client: Any, node: int, transactional_id: str) -> Holder | None:
    """Asks the coordinator `node` over a connected `client`. None where the id is not known to it.

    KafkaError where it does not answer.
    """
    from aiokafka import errors

    with told(f"who holds the transactional id {transactional_id} could not be asked"):
        answer = await client.send(node, _Describe(transactional_id))
    error, _, state, _, _, producer, epoch, *_ = answer[1][0]
    if error == _NOT_FOUND:
        return None
    if error:
        raise KafkaError(f"kafka: transactional id {transactional_id}: {errors.for_code(error).__name__}")
    return Holder(producer, epoch, state)


class _Describe:
    """DescribeTransactions of one id, version 0, as the client sends requests; `RESPONSE_TYPE` reads the answer."""

    API_KEY, API_VERSION = _DESCRIBE_TRANSACTIONS, 0

    def __init__(self, transactional_id: str) -> None:
        from aiokafka.protocol import types as of

        text, number = of.CompactString("utf-8"), of.Int32
        topics = of.CompactArray(("topic", text), ("partitions", of.CompactArray(number)), ("tags", of.TaggedFields))
        states = of.CompactArray(
            ("error_code", of.Int16),
            ("transactional_id", text),
            ("state", text),
            ("timeout_ms", number),
            ("start_ms", of.Int64),
            ("producer_id", of.Int64),
            ("producer_epoch", of.Int16),
            ("topics", topics),
            ("tags", of.TaggedFields),
        )
        self._id = transactional_id
        self._asks = of.Schema(("transactional_ids", of.CompactArray(text)), ("tags", of.TaggedFields))
        self.RESPONSE_TYPE = of.Schema(("throttle_time_ms", number), ("states", states), ("tags", of.TaggedFields))

    def prepare(self, versions: Any) -> "_Describe":
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> Any:
        from aiokafka.protocol.api import RequestHeader_v2

        return RequestHeader_v2(self, correlation_id=correlation_id, client_id=client_id)

    def encode(self) -> bytes:
        return bytes(self._asks.encode([[self._id], {}]))

    def parse_response_header(self, answer: Any) -> Any:
        from aiokafka.protocol.api import ResponseHeader_v1

        return ResponseHeader_v1.decode(answer)
