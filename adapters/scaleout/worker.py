"""A worker process of the pool: takes jobs from its parent, one at a time, and ends when the parent does.

Started as `python -m adapters.scaleout.worker FD LIFELINE`: a socket for jobs, and a pipe that closes with the parent.
"""

import os
import socket
import struct
import sys
import threading

import msgspec

from engine.learning import Job, Outcome

HEAD = struct.Struct(">Q")
MESSAGE_MAX = 1 << 34  # bytes; what is longer is no message of ours


class Begin(msgspec.Struct, frozen=True):
    """The first message: what a worker is told before its first job."""

    path: list[str]  # sys.path of the parent: modules of the user are found as they are there
    allow: tuple[str, ...]


class Order(msgspec.Struct, frozen=True):
    """A job, and which attempt at it this is."""

    job: Job
    attempt: int


def send(connection: socket.socket, content: bytes) -> None:
    connection.sendall(HEAD.pack(len(content)) + content)


def receive(connection: socket.socket) -> bytes | None:
    """The next message, None once the other side has gone."""
    head = _exactly(connection, HEAD.size)
    if head is None:
        return None
    (length,) = HEAD.unpack(head)
    return None if length > MESSAGE_MAX else _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    parts, left = [], length
    while left:
        try:
            part = connection.recv(min(left, 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def serve(connection: socket.socket) -> None:
    """Answers each job with its outcome until the other side closes."""
    from adapters.scaleout.calls import tried

    head = receive(connection)
    if head is None:
        return
    begin = msgspec.json.decode(head, type=Begin)
    sys.path[:] = begin.path
    while (content := receive(connection)) is not None:
        order = msgspec.json.decode(content, type=Order)
        outcome: Outcome = tried(order.job, order.attempt, begin.allow)
        send(connection, msgspec.json.encode(outcome))


def _end_with(lifeline: int) -> None:
    """A parent that was killed cannot say so: its end of the pipe closes, and whatever runs here is worth nothing."""
    os.read(lifeline, 1)
    os._exit(1)


def main(arguments: list[str]) -> None:
    connection, lifeline = socket.socket(fileno=int(arguments[0])), int(arguments[1])
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    serve(connection)


if __name__ == "__main__":
    main(sys.argv[1:])
