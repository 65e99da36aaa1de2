"""One job in a process of its own while an event loop goes on: the same worker as the pool's, waited for without a
thread. Started afresh, one thread, nothing inherited but the environment."""

import asyncio
import socket

import msgspec

from adapters.scaleout.calls import OWN, check
from adapters.scaleout.pool import Worker
from adapters.scaleout.worker import HEAD, MESSAGE_MAX, Order
from engine.learning import Job, Outcome


async def carried_out(job: Job, *, allow: tuple[str, ...] = OWN) -> Outcome:
    """What became of the job; never raises for what happens to its process. Cancelled, it leaves no process behind."""
    check([job], 0.0, allow)
    worker = Worker(allow, ())
    try:
        said = await _answer(worker.connection, msgspec.json.encode(Order(job, 1)))
        if said is None:
            return Outcome(key=job.key, value=None, error=await asyncio.to_thread(worker.bury))
        return msgspec.json.decode(said, type=Outcome)
    finally:
        worker.kill()
        await asyncio.shield(asyncio.to_thread(worker.end))  # a large process takes a moment to be gone


async def _answer(line: socket.socket, order: bytes) -> bytes | None:
    """What the other side answers; None once it has gone."""
    loop = asyncio.get_running_loop()
    line.setblocking(False)
    try:
        await loop.sock_sendall(line, HEAD.pack(len(order)) + order)
        head = await _exactly(loop, line, HEAD.size)
        if head is None or (length := HEAD.unpack(head)[0]) > MESSAGE_MAX:
            return None
        return await _exactly(loop, line, length)
    except ConnectionError:
        return None


async def _exactly(loop: asyncio.AbstractEventLoop, line: socket.socket, length: int) -> bytes | None:
    found = bytearray()
    while len(found) < length:
        part = await loop.sock_recv(line, min(length - len(found), 1 << 20))
        if not part:
            return None
        found += part
    return bytes(found)
