"""A single-node Apache Kafka (KRaft) on the loopback interface, for development and tests.

    python tools/kafka/broker.py start [--dir DIR]     starts it, waits until it answers, prints its address
    python tools/kafka/broker.py stop [--dir DIR]      ends it in order
    python tools/kafka/broker.py kill [--dir DIR]      kill -9, as in a crash; `start` brings it back with port and data
    python tools/kafka/broker.py status [--dir DIR]    exit code 3 where it is not running
    python tools/kafka/broker.py destroy [--dir DIR]   kills it and removes DIR
    python tools/kafka/broker.py fetch                 the jars, from the Maven repository into target/lib (once)

DIR is by default what SAMEWIRE_KAFKA_DIR names, else a folder of this user among the temporary files. Needs Java 17
and, to fetch, Maven. It is open to every user of this machine: put nothing into it that they may not see.
"""

import argparse
import base64
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":  # called as a script: the checkout is not on the path
    sys.path.insert(0, str(HERE.parent.parent))

from adapters.kafka.address import KafkaError, local_folder, probe  # noqa: E402 - found by the line above

JAVA_LEAST = 17
INSTALL = "apt-get install -y --no-install-recommends default-jre-headless maven"
STARTED = "Kafka Server started"
TAKEN = ("Address already in use", "Failed to bind")

_BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # for a program that runs for a second

# A single node has nobody to replicate to; the short session lets it come back at once after `kill -9`, where the
# defaults would keep a new start waiting for the end of the old one's 9 s.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=2097152
log.segment.bytes=67108864
"""

LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = OUT
"""


class NoBrokerError(Exception):
    """This machine lacks what a broker needs; the text says what, and the command that mends it."""


def java_version() -> int | None:
    """Major version of the Java on the path; None where there is none."""
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match[1]) if match else None


def missing() -> str | None:
    """What this machine lacks to run a broker, with the command that mends it; None when it has everything."""
    java = java_version()
    if java is None:
        return f"Java {JAVA_LEAST} is missing: {INSTALL}"
    if java < JAVA_LEAST:
        return f"Java is {java}, Kafka needs {JAVA_LEAST}: {INSTALL}"
    if jars() is None and shutil.which("mvn") is None:
        return f"Maven is missing, which fetches Kafka's jars: {INSTALL}"
    return None


def jars(pom: Path = HERE / "pom.xml") -> Path | None:
    """The folder of jars that this bill asks for, once they were fetched whole."""
    folder = pom.parent / "target" / "lib"
    mark = folder / "bill"
    return folder if mark.is_file() and mark.read_text() == _digest(pom) else None


def fetch(pom: Path = HERE / "pom.xml") -> Path:
    """Copies the jars of the bill unless they are there; what was cut short is not taken for whole."""
    folder = pom.parent / "target" / "lib"
    if (lack := missing()) is not None:  # without Java jars are of no use
        raise NoBrokerError(lack)
    if jars(pom) is not None:
        return folder
    part = folder.with_name(f"lib.{os.getpid()}")
    what = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={part}"]
    done = subprocess.run([*what, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(part, ignore_errors=True)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        why = lines[0] if lines else f"exit code {done.returncode}"
        raise NoBrokerError(f"Maven could not fetch Kafka's jars ({why}); try: {' '.join(what)}")
    (part / "bill").write_text(_digest(pom))
    if jars(pom) is None:  # another process may have been quicker
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    shutil.rmtree(part, ignore_errors=True)
    return folder


def _digest(pom: Path) -> str:
    return hashlib.sha256(pom.read_bytes()).hexdigest()


class Broker:
    """A broker that keeps everything in one folder; what ran in that folder before is found again by its pid file.

    `more` is added to its properties, with {port} and {controller} in them, and wins over what stands there before;
    `formatted` are options of the first formatting, such as passwords of users. `ports` and `cluster`, its id, are
    given to nodes that must know of each other beforehand.
    """

    def __init__(  # noqa: PLR0913 - how one node differs from another
        self,
        folder: Path,
        *,
        heap: str = "512m",
        ready_s: float = 60.0,
        more: str = "",
        formatted: tuple[str, ...] = (),
        ports: tuple[int, int] | None = None,
        cluster: str = "",
    ) -> None:
        self.folder = folder.resolve()
        self._heap, self._ready_s, self._more, self._formatted = heap, ready_s, more, formatted
        self._ports, self._cluster = ports, cluster
        self._settings = self.folder / "server.properties"
        self._log = self.folder / "server.log"
        self._pid = self.folder / "pid"

    @property
    def address(self) -> str:
        """Host and port, the same for as long as the folder stays."""
        return (self.folder / "address").read_text().strip()

    def pid(self) -> int | None:
        """Its process, None when it is not running. Another process that was given the same number later is not it."""
        try:
            pid = int(self._pid.read_text())
        except (OSError, ValueError):
            return None
        return pid if str(self._settings) in _command(pid) else None

    def start(self, owner: int | None = None) -> str:
        """Starts it unless it runs, waits until it answers, and returns its address.

        With an `owner`, a process, the broker and its folder go when that does, however it ends.
        """
        if self.pid() is not None:
            return self.address
        libs = fetch()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = not self._settings.is_file()
        for left in reversed(range(3)):
            if fresh:
                self._configure()
            self._format(libs)
            self._launch(libs)
            if self._ready(may_move=fresh and left > 0 and self._ports is None):
                break
        if owner is not None:
            guard = [sys.executable, str(Path(__file__).resolve()), "guard", "--owner", str(owner)]
            _detached([*guard, "--dir", str(self.folder)])
        return self.address

    def stop(self) -> None:
        """Ends it in order; after 30 s by force."""
        if (pid := self.pid()) is not None:
            os.kill(pid, signal.SIGTERM)
            if not self._gone(30.0):
                self.kill()
        self._pid.unlink(missing_ok=True)

    def kill(self) -> None:
        """kill -9 of this broker and of nothing else; data and port stay."""
        if (pid := self.pid()) is not None:
            os.kill(pid, signal.SIGKILL)
            if not self._gone(10.0):
                raise NoBrokerError(f"process {pid} is still there 10 s after kill -9; look at it: ps -p {pid}")
        self._pid.unlink(missing_ok=True)

    def destroy(self) -> None:
        """Kills it and removes its folder, if it is one of ours."""
        self.kill()
        if self._settings.is_file() and (self.folder / "address").is_file():
            shutil.rmtree(self.folder)

    def guard(self, owner: int) -> None:
        """Returns once the owner has ended, with the broker destroyed, or once its folder is gone."""
        while self._settings.is_file() and _command(owner):
            time.sleep(1.0)
        self.destroy()

    def _configure(self) -> None:
        port, controller = self._ports or free_ports(2)
        text = PROPERTIES + self._more
        self._settings.write_text(text.format(port=port, controller=controller, folder=self.folder))
        (self.folder / "log4j2.properties").write_text(LOGGING)
        (self.folder / "address").write_text(f"127.0.0.1:{port}\n")

    def _java(self, libs: Path, heap: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile=file:{self.folder}/log4j2.properties"
        return ["java", f"-Xmx{heap}", "-Djava.awt.headless=true", logging, "-cp", f"{libs}/*"]

    def _format(self, libs: Path) -> None:
        if (self.folder / "data" / "meta.properties").is_file():
            return
        cluster = self._cluster or cluster_id()
        what = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings), *self._formatted]
        done = subprocess.run([*self._java(libs, "128m"), *_BRIEF, *what], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoBrokerError(f"Kafka could not format {self.folder}: {(done.stdout + done.stderr).strip()[-500:]}")

    def _launch(self, libs: Path) -> None:
        options = ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError"]
        command = [*self._java(libs, self._heap), *options, "kafka.Kafka", str(self._settings)]
        self._log.write_text("")
        self._pid.write_text(f"{_detached(command, self._log)}\n")

    def _ready(self, *, may_move: bool) -> bool:
        """Waits until it answers. False: somebody took its port meanwhile, and it may try another."""
        until = time.monotonic() + self._ready_s
        while time.monotonic() < until:
            if STARTED in self._log.read_text():
                probe(self.address, until - time.monotonic())
                return True
            if self.pid() is None:
                said = self._log.read_text()
                if may_move and any(text in said for text in TAKEN):
                    return False
                raise NoBrokerError(f"the broker ended at once; {self._log} ends with:\n{said[-1500:]}")
            time.sleep(0.1)
        self.kill()
        raise NoBrokerError(f"the broker was not ready within {self._ready_s:g} s; see {self._log}")

    def _gone(self, within_s: float) -> bool:
        until = time.monotonic() + within_s
        while self.pid() is not None:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True


def cluster_id() -> str:
    """16 bytes in URL-safe base64; a leading dash would be read as an option."""
    return base64.urlsafe_b64encode(b"S" + secrets.token_bytes(15)).rstrip(b"=").decode()


def _command(pid: int) -> str:
    """How a process was called, empty when there is none. One that has ended and was not waited for counts as none."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return ""
    asked = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return asked.stdout


def _detached(command: list[str], log: Path | None = None) -> int:
    """Starts a program that nobody waits for, in a session of its own: Control-C here does not reach it."""
    to = "/dev/null" if log is None else str(log)
    script = 'to=$1; shift; "$@" >>"$to" 2>&1 </dev/null & echo $!'
    done = subprocess.run(
        ["sh", "-c", script, "sh", to, *command], capture_output=True, text=True, check=True, start_new_session=True
    )
    return int(done.stdout)


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(line.getsockname()[1]) for line in held]
    for line in held:
        line.close()
    return ports


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def run(what: str, broker: Broker, owner: int | None) -> int:
    """One command; returns the exit code."""
    if what == "fetch":
        say(str(fetch()))
    elif what == "start":
        say(broker.start(owner))
    elif what == "status":
        pid = broker.pid()
        say("stopped" if pid is None else f"running {broker.address} pid {pid}")
        return 3 if pid is None else 0
    elif what == "guard" and owner is not None:
        broker.guard(owner)
    else:
        {"stop": broker.stop, "kill": broker.kill, "destroy": broker.destroy}[what]()
    return 0


def main() -> int:
    commands = ["fetch", "start", "stop", "kill", "status", "destroy", "guard"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=commands)
    parser.add_argument("--owner", type=int, help="start, guard: a process; the broker goes when it does")
    parser.add_argument("--dir", type=Path, default=local_folder())
    given = parser.parse_args()
    if given.command == "guard" and given.owner is None:
        parser.error("guard needs the process to watch")
    try:
        return run(given.command, Broker(given.dir), given.owner)
    except (NoBrokerError, KafkaError) as error:
        sys.stderr.write(f"{error}\n")
        return 5


if __name__ == "__main__":
    sys.exit(main())
