"""Where a broker is, and whether what listens there speaks Kafka. Needs no Kafka client."""

import os
import socket
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.errors import SamewireError

VARIABLE = "SAMEWIRE_KAFKA"
FOLDER_VARIABLE = "SAMEWIRE_KAFKA_DIR"
START = "python tools/kafka/broker.py start"

_API_VERSIONS = 18  # the one request that every broker answers before anybody has said who they are
_PRODUCE, _INIT_PRODUCER_ID = 0, 22
_ANSWER_MAX = 65_536  # bytes
_ALERT = b"\x15\x03"  # how TLS says that it does not understand


class KafkaError(SamewireError):
    """A broker that cannot be reached, refuses, or is not what it should be."""

    exit_code = 5


class DamagedError(KafkaError):
    """What a session wrote of itself is not there as it was written: to start again helps nothing."""

    exit_code = 3


class Found(msgspec.Struct, frozen=True):
    """An address, and what named it."""

    address: str
    origin: str


def local_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the local broker keeps what it has: SAMEWIRE_KAFKA_DIR, else one of this user among temporary files."""
    named = environ.get(FOLDER_VARIABLE)
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(named) if named else Path(tempfile.gettempdir()) / f"samewire-kafka-{user}"


def found(environ: Mapping[str, str] = os.environ) -> Found | None:
    """The broker to speak to: the address in SAMEWIRE_KAFKA, else that of the local broker if it was ever started.

    >>> found({"SAMEWIRE_KAFKA": "kafka-1:9092,kafka-2:9092"})
    Found(address='kafka-1:9092,kafka-2:9092', origin='SAMEWIRE_KAFKA')
    """
    named = environ.get(VARIABLE, "").strip()
    if named:
        return Found(named, VARIABLE)
    folder = local_folder(environ)
    try:
        return Found((folder / "address").read_text().strip(), str(folder))
    except OSError:
        return None


def servers(address: str) -> tuple[tuple[str, int], ...]:
    """Host and port of each server of an address.

    >>> servers("kafka-1:9092, [::1]:9093")
    (('kafka-1', 9092), ('::1', 9093))
    >>> servers("kafka-1")
    Traceback (most recent call last):
    adapters.kafka.address.KafkaError: kafka: 'kafka-1' is no HOST:PORT; write it like kafka-1:9092, several with commas
    """
    said = []
    for part in address.split(","):
        host, _, port = part.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            shape = f"kafka: {part.strip()!r} is no HOST:PORT"
            raise KafkaError(f"{shape}; write it like kafka-1:9092, several with commas")
        said.append((host.strip("[]"), int(port)))
    return tuple(said)


def probe(address: str, timeout_s: float = 3.0) -> tuple[str, dict[int, tuple[int, int]]]:
    """The first server of the address that answers a Kafka request, and the versions it takes of each kind of request.

    Raises KafkaError with what each server did instead. Speaks without encryption: a listener for TLS hangs up.
    """
    failed = []
    for host, port in servers(address):
        try:
            versions = _asked(host, port, timeout_s)
        except OSError as error:
            failed.append(f"{host}:{port} {_why(error)}")
            continue
        if _PRODUCE not in versions or _INIT_PRODUCER_ID not in versions:
            failed.append(f"{host}:{port} answers, but takes no transactions")
            continue
        return f"{host}:{port}", versions
    raise KafkaError(f"kafka: no broker answers: {'; '.join(failed)}")


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer"
    return error.strerror.lower() if error.strerror else str(error)


def _asked(host: str, port: int, timeout_s: float) -> dict[int, tuple[int, int]]:
    """Key -> lowest and highest version, as ApiVersions version 0 says them."""
    with socket.create_connection((host, port), timeout=timeout_s) as line:
        asked = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)  # key, version, correlation id, no client id
        line.sendall(struct.pack(">i", len(asked)) + asked)
        head = _read(line, 4)
        if head.startswith(_ALERT):
            raise OSError("wants TLS: say live.security, ssl or sasl_ssl")
        (size,) = struct.unpack(">i", head)
        if not 10 <= size <= _ANSWER_MAX:
            raise OSError("listens there, but does not speak Kafka")
        answer = _read(line, size)
    correlation, error, count = struct.unpack_from(">ihi", answer)
    if correlation != 1 or error != 0 or size != 10 + 6 * count:
        raise OSError("listens there, but does not speak Kafka")
    return {key: (low, high) for key, low, high in struct.iter_unpack(">hhh", answer[10:])}


def _read(line: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = line.recv(size - len(read))
        if not part:
            raise OSError("hangs up: it wants TLS, or is no broker")
        read += part
    return read
