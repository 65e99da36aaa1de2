"""Where a broker is looked for, and what is told of one that does not answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.kafka.address import Found, KafkaError, found, local_folder, probe, servers


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that lets one caller in and does `answer` with the line."""

    def serve() -> None:
        line, _ = server.accept()
        with line:
            line.recv(64)
            answer(line)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_the_variable_comes_before_the_local_broker(tmp_path: Path) -> None:
    (tmp_path / "address").write_text("127.0.0.1:9\n")
    environ = {"SAMEWIRE_KAFKA_DIR": str(tmp_path)}
    assert local_folder(environ) == tmp_path
    assert found(environ) == Found("127.0.0.1:9", str(tmp_path))
    assert found(environ | {"SAMEWIRE_KAFKA": "k:1"}) == Found("k:1", "SAMEWIRE_KAFKA")
    assert found(environ | {"SAMEWIRE_KAFKA": " "}) == Found("127.0.0.1:9", str(tmp_path))
    (tmp_path / "address").unlink()
    assert found(environ) is None


@pytest.mark.parametrize("address", ["", "kafka", "kafka:", ":9092", "kafka:x", "kafka:0", "kafka:65536", "a:1,,b:2"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(KafkaError, match="is no HOST:PORT; write it like"):
        servers(address)


def test_a_port_where_nobody_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(KafkaError, match=rf"127.0.0.1:{port} connection refused"):
        probe(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "hangs up: it wants TLS, or is no broker"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "listens there, but does not speak Kafka"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "wants TLS: say live.security"),  # a TLS alert
        (b"\x00\x00\x00\x10" + b"\x00\x00\x00\x02" + b"\x00" * 12, "listens there, but does not speak Kafka"),
        (b"\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00", "answers, but takes no transactions"),
        (b"\x00\x00\x00\x0a\x00\x00", "hangs up"),
    ],
)  # fmt: skip
def test_what_does_not_speak_kafka_is_told_apart(answer: bytes, why: str) -> None:
    with listening(lambda line: line.sendall(answer)) as address, pytest.raises(KafkaError, match=why):
        probe(address)


def test_one_that_never_answers_does_not_hold_us_up() -> None:
    ended = threading.Event()
    with listening(lambda line: ended.wait(10) and None) as address:
        with pytest.raises(KafkaError, match="does not answer"):
            probe(address, timeout_s=0.05)
        ended.set()


def test_a_server_that_is_down_does_not_hide_one_that_is_up(kafka: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        down = f"127.0.0.1:{server.getsockname()[1]}"
    answered, versions = probe(f"{down},{kafka}")
    assert answered == kafka.split(",")[0]
    assert versions[22][1] >= 0
    assert versions[28][1] >= 0  # a position can be committed within a transaction
