"""What is the same for every client of aiokafka: what its errors mean, how it is closed, and how little it logs."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from adapters.kafka.address import KafkaError

_CLOSE_S = 2.0  # for a client to say goodbye
_FENCED = "kafka: fenced: another process with the same transactional id has begun; this one ends, do not restart it"
_AGAIN_S = 30.0


class FencedError(KafkaError):
    """A successor with the same transactional id is at work: this process must not go on, nor be started again."""

    exit_code = 6


def fenced() -> FencedError:
    return FencedError(_FENCED)


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """What the client raises, told with what was being done."""
    from aiokafka import errors

    try:
        yield
    except errors.ProducerFenced as error:
        raise fenced() from error
    except errors.OffsetOutOfRangeError as error:
        raise KafkaError(
            f"kafka: {place}: records that were to be read are gone ({error}); begin anew with --new"
        ) from error
    except (errors.KafkaError, errors.IllegalOperation, errors.ConsumerStoppedError, AssertionError) as error:
        # after a fatal error the client asserts, or says that nothing was begun
        raise KafkaError(f"kafka: {place}: {error or type(error).__name__}") from error


def fenced_by(producer: Any, error: KafkaError) -> FencedError | None:
    """The fence behind another error of a producer, if there was one: who sends just then is told something else."""
    from aiokafka import errors

    task = None if producer is None else producer._sender.sender_task
    if task is None or not task.done() or task.cancelled() or not isinstance(task.exception(), errors.ProducerFenced):
        return None
    return fenced()


async def ended(client: Any) -> None:
    """Closes a client, whatever that raises: without a broker it raises cancellations that nobody asked for."""
    if client is None:
        return
    try:
        with contextlib.suppress(Exception):  # nothing of the client is needed any more
            async with asyncio.timeout(_CLOSE_S):
                await client.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise


class Seldom:
    """Lets one record of each text through, and the next of it only after a while, with how many were held back."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}  # text before its values -> when it was let through, held since

    def __call__(self, record: logging.LogRecord) -> bool:
        """
        >>> seldom, said = Seldom(), logging.LogRecord("client", logging.ERROR, "", 0, "no %s", ("broker",), None)
        >>> seldom(said), seldom(said)
        (True, False)
        >>> said.created += 31
        >>> seldom(said), said.getMessage()
        (True, 'no broker (and 1 more like it)')
        """
        text = str(record.msg)
        at, held = self._seen.get(text, (float("-inf"), 0))
        if record.created - at < _AGAIN_S:
            self._seen[text] = (at, held + 1)
            return False
        self._seen[text] = (record.created, 0)
        if held:
            record.msg = f"{text} (and {held:,} more like it)"
        return True


def hush() -> None:
    """For all loggers of the client that there are by now."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "aiokafka"]
    for logger in map(logging.getLogger, names):
        if not any(isinstance(each, Seldom) for each in logger.filters):
            logger.addFilter(Seldom())


def given_up(sends: Iterable["asyncio.Future[int]"]) -> None:
    """Nobody waits for these any more: what failed after another is told by that one, and not as never heard."""
    for each in sends:
        if not each.cancel() and not each.cancelled():
            each.exception()
