"""A real Kafka broker for tests that ask for one: the one that SAMEWIRE_KAFKA names, else a local one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from adapters.kafka.address import VARIABLE, KafkaError, probe
from tools.kafka.broker import Broker, NoBrokerError, fetch, missing

REQUIRED = "SAMEWIRE_REQUIRE_KAFKA"
_FOLDER = "SAMEWIRE_KAFKA_TEST_FOLDER"  # of the broker that all workers of this run share
_OWNER: list[int] = []  # this process, where it is the one that began the run


def pytest_configure() -> None:
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = str(Path(tempfile.gettempdir()) / f"samewire-kafka-tests-{os.getpid()}")
        _OWNER.append(os.getpid())


def pytest_unconfigure() -> None:
    if [os.getpid()] == _OWNER:
        folder = Path(os.environ.pop(_FOLDER))
        Broker(folder).destroy()
        folder.with_suffix(".lock").unlink(missing_ok=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for a broker carries the marker, so that `-m "not kafka"` leaves it out."""
    for item in items:
        if "kafka" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def java() -> None:
    """For tests that start brokers of their own."""
    try:
        fetch()
    except NoBrokerError as error:
        without_kafka(str(error))


@pytest.fixture(scope="session")
def kafka() -> str:
    """The address of a broker that answers."""
    try:
        named = os.environ.get(VARIABLE)
        if named:
            probe(named)
            return named
        if (lack := missing()) is not None:
            without_kafka(f"{lack}; or name a broker in {VARIABLE}")
        folder = Path(os.environ[_FOLDER])
        with _alone(folder.with_suffix(".lock")):
            return Broker(folder).start(owner=int(folder.name.rpartition("-")[2]))
    except (KafkaError, NoBrokerError) as error:
        without_kafka(str(error))


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """The first part of the names of topics that nobody else uses."""
    return f"t{os.getpid():x}-{abs(hash(request.node.nodeid)) % 16**8:x}"


def without_kafka(reason: str) -> NoReturn:
    """Skips the test; where Kafka is required, fails it."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"Kafka is required here: {reason}")
    pytest.skip(reason)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
