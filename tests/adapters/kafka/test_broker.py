"""The broker for development and tests: what it starts it ends, and nothing else."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.kafka.address import probe
from engine.clock import SystemClock
from tools.kafka import broker as tool
from tools.kafka.broker import Broker, NoBrokerError, java_version, missing
from tools.kafka.cluster import Cluster

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tools" / "kafka" / "broker.py"


def said(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=check)


def within(seconds: float, happened: Callable[[], bool]) -> bool:
    """Whether it happens in other processes before that time is over."""
    clock = SystemClock()
    until = clock.monotonic_ns() + int(seconds * 1e9)
    while not happened():
        if clock.monotonic_ns() > until:
            return False
        time.sleep(0.02)
    return True


def gone(pid: int) -> bool:
    return within(10, lambda: not tool._command(pid))


@pytest.mark.kafka
@pytest.mark.usefixtures("java")
def test_it_comes_back_from_a_kill_at_the_same_address_and_goes_with_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    owner = subprocess.Popen(["sleep", "300"])
    broker = Broker(folder)
    try:
        address = broker.start(owner=owner.pid)
        first = broker.pid()
        assert first is not None
        assert probe(address)[0] == address
        assert broker.start() == address  # it runs: nothing is started twice
        assert broker.pid() == first
        assert said("status", "--dir", str(folder)).stdout == f"running {address} pid {first}\n"
        (folder / "data" / "mark").write_text("kept")

        said("kill", "--dir", str(folder))
        assert gone(first)
        assert said("status", "--dir", str(folder), check=False).returncode == 3
        assert said("start", "--dir", str(folder)).stdout == f"{address}\n"
        second = broker.pid()
        assert second not in (None, first)
        assert (folder / "data" / "mark").read_text() == "kept"
    finally:
        owner.kill()
        owner.wait()
    assert second is not None
    assert gone(second)
    assert within(5, lambda: not folder.exists())


def test_another_process_with_its_old_number_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "300"])
    try:
        (tmp_path / "pid").write_text(str(other.pid))
        broker = Broker(tmp_path)
        assert broker.pid() is None
        broker.stop()
        broker.kill()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_folder_that_is_none_of_its_own_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("mine")
    Broker(tmp_path).destroy()
    assert (tmp_path / "work").exists()
    Broker(tmp_path / "never").destroy()


def test_it_listens_on_the_loopback_interface_only(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker._configure()
    lines = dict(line.split("=", 1) for line in (tmp_path / "server.properties").read_text().splitlines())
    hosts = [part.split("//")[1].rpartition(":")[0] for part in lines["listeners"].split(",")]
    assert hosts == ["127.0.0.1", "127.0.0.1"]
    assert lines["advertised.listeners"] == f"PLAINTEXT://{broker.address}"


def test_what_is_missing_is_told_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java_version() is None
    assert missing() == f"Java 17 is missing: {tool.INSTALL}"
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    java.chmod(0o755)
    assert missing() == f"Java is 8, Kafka needs 17: {tool.INSTALL}"
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\" 2023-10-17' >&2\n")
    assert java_version() == 21
    pom = tmp_path / "pom.xml"
    pom.write_text("<project/>")
    monkeypatch.setattr(tool, "jars", lambda pom=pom: None)
    with pytest.raises(NoBrokerError, match="Maven is missing, which fetches Kafka's jars: apt-get"):
        tool.fetch(pom)


def test_jars_of_another_bill_or_of_half_a_copy_are_not_taken(tmp_path: Path) -> None:
    pom = tmp_path / "pom.xml"
    pom.write_text("<project/>")
    assert tool.jars(pom) is None
    lib = tmp_path / "target" / "lib"
    lib.mkdir(parents=True)
    (lib / "kafka.jar").write_bytes(b"half")
    assert tool.jars(pom) is None
    (lib / "bill").write_text(tool._digest(pom))
    assert tool.jars(pom) == lib
    pom.write_text("<project><other/></project>")
    assert tool.jars(pom) is None


@pytest.mark.parametrize(("required", "outcome"), [("1", "failed"), ("", "skipped")])
def test_where_kafka_is_required_a_skip_is_a_failure(tmp_path: Path, required: str, outcome: str) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    environ = os.environ | {"PATH": str(tmp_path), "SAMEWIRE_REQUIRE_KAFKA": required, "SAMEWIRE_KAFKA": ""}
    test = "tests/adapters/kafka/test_address.py::test_a_server_that_is_down_does_not_hide_one_that_is_up"
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "-rA"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, test], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert f"1 {outcome}" in done.stdout or f"1 {outcome.replace('failed', 'error')}" in done.stdout
    assert "Java 17 is missing: apt-get" in done.stdout


def test_who_asks_for_a_cluster_that_never_was_makes_no_folder(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "none")
    assert cluster.pids() == {1: None, 2: None, 3: None}
    cluster.stop()
    cluster.kill(1)
    cluster.destroy()
    assert list(tmp_path.iterdir()) == []
