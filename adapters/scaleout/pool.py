"""The executor that runs jobs in other processes of this machine, each of which may die on its own.

A standard pool loses all of its jobs when one worker dies. Here each worker has a socket of its own, so that a job that
is killed, runs out of memory or out of time takes one worker with it, which is replaced. Workers are started afresh and
never forked: a fork inherits the locks of threads that torch and OpenMP have begun.

A process sees the GPUs that its jobs asked for, and none where they asked for none. What it sees is settled when it
begins, so it serves jobs of the same GPUs only.
"""

import os
import selectors
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from adapters.scaleout.calls import OWN, check
from adapters.scaleout.devices import SHOWN, Devices, shares
from adapters.scaleout.worker import Begin, Order, receive, send
from engine.clock import Clock, SystemClock
from engine.learning import Job, Outcome

# One thread a worker, and idle ones that sleep: threads that spin beside a second process cost more than they bring.
_THREADS = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
} | {"OMP_WAIT_POLICY": "passive"}

_DYING_S = 5.0  # between a worker's last byte and its end


class Pool:
    """Up to `workers` jobs at once. A job whose worker dies is tried again, `attempts` times in all; one that raises or
    runs longer than `timeout_s` (0 = as long as it takes) has failed. Outcomes come in the order in which jobs end.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        attempts: int = 2,
        timeout_s: float = 0.0,
        gpus: float = 0.0,
        allow: tuple[str, ...] = OWN,
        clock: Clock | None = None,
    ) -> None:
        for name, value, least in (("workers", workers, 1), ("attempts", attempts, 1), ("timeout_s", timeout_s, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if gpus < 0:
            raise ValueError(f"gpus must be at least 0, got {gpus}")
        self._workers, self._attempts, self._timeout_ns = workers, attempts, round(timeout_s * 1e9)
        self._gpus, self._allow, self._clock = gpus, allow, clock or SystemClock()

    def run(self, jobs: Sequence[Job], /) -> Iterator[Outcome]:
        check(jobs, self._gpus, self._allow)
        devices = Devices(self._gpus if any(job.gpus for job in jobs) else 0.0, os.environ)
        return self._run(deque((job, 1) for job in jobs), devices)

    def _run(self, waiting: deque[tuple[Job, int]], devices: Devices) -> Iterator[Outcome]:
        free: list[Worker] = []
        busy: list[Worker] = []
        try:
            while waiting or busy:
                while waiting and len(busy) < self._workers:
                    given = devices.given(waiting[0][0].gpus, [part for worker in busy for part in worker.shares])
                    if given is None:
                        break
                    worker = self._of(given, free, len(busy))
                    busy.append(worker)
                    worker.begin(*waiting.popleft(), self._clock.monotonic_ns())
                for worker in self._ready(busy):
                    busy.remove(worker)
                    outcome = worker.outcome()
                    if outcome is not None:
                        free.append(worker)
                        yield outcome
                        continue
                    job, attempt, said = worker.job, worker.attempt, worker.bury()
                    if worker.late or attempt >= self._attempts:
                        yield Outcome(key=job.key, value=None, error=said, attempts=attempt)
                    else:
                        waiting.append((job, attempt + 1))
        finally:
            for worker in (*free, *busy):
                worker.end()

    def _of(self, devices: tuple[str, ...], free: list["Worker"], busy: int) -> "Worker":
        """A worker that sees these GPUs; idle ones that hold memory of one of them, or are too many, are ended."""
        for k, worker in enumerate(free):
            if worker.devices == devices:
                return free.pop(k)
        over = busy + len(free) + 1 - self._workers
        for worker in [each for k, each in enumerate(free) if k < over or set(each.devices) & set(devices)]:
            free.remove(worker)
            worker.end()
        return Worker(self._allow, devices)

    def _ready(self, busy: list["Worker"]) -> list["Worker"]:
        """Waits until a worker has answered, died or run out of time."""
        now = self._clock.monotonic_ns()
        left = min((worker.began_ns + self._timeout_ns - now for worker in busy), default=0) / 1e9
        with selectors.DefaultSelector() as waiting:
            for worker in busy:
                waiting.register(worker.connection, selectors.EVENT_READ, worker)
            found = [key.data for key, _ in waiting.select(max(0.0, left) if self._timeout_ns else None)]
        now = self._clock.monotonic_ns()
        for worker in busy:
            if worker not in found and self._timeout_ns and now - worker.began_ns >= self._timeout_ns:
                worker.stop(f"it took longer than {self._timeout_ns / 1e9:g} s; raise the timeout or make it smaller")
                found.append(worker)
        return found


class Worker:
    """One process, the GPUs that it sees, and the job that it works on."""

    def __init__(self, allow: tuple[str, ...], devices: tuple[str, ...]) -> None:
        self.connection, theirs = socket.socketpair()
        reads, self._lifeline = os.pipe()
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "adapters.scaleout.worker", str(theirs.fileno()), str(reads)],
            pass_fds=(theirs.fileno(), reads),
            stdin=subprocess.DEVNULL,
            stdout=2,  # what a job prints is no part of what its parent says
            env=os.environ
            | _THREADS
            | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), SHOWN: ",".join(devices)},
            start_new_session=True,  # Control-C in a terminal is for the parent, which ends its workers in order
        )
        theirs.close()
        os.close(reads)
        self.devices = devices
        self.job, self.attempt, self.began_ns, self.late = Job(key="", call="", argument=b""), 0, 0, ""
        self._tell(msgspec.json.encode(Begin(list(sys.path), allow)))

    @property
    def shares(self) -> list[tuple[str, float]]:
        """What its job takes of each GPU."""
        return shares(self.job, self.devices)

    def begin(self, job: Job, attempt: int, now_ns: int) -> None:
        self.job, self.attempt, self.began_ns = job, attempt, now_ns
        self._tell(msgspec.json.encode(Order(job, attempt)))

    def _tell(self, content: bytes) -> None:
        try:
            send(self.connection, content)
        except OSError:
            return  # it is gone already, which the wait for its answer finds

    def outcome(self) -> Outcome | None:
        """What it answered; None where it died or was stopped."""
        if self.late:
            return None
        content = receive(self.connection)
        return None if content is None else msgspec.json.decode(content, type=Outcome)

    def stop(self, reason: str) -> None:
        self.late = reason
        self.kill()

    def bury(self) -> str:
        """Why there is no answer."""
        try:
            code = self._child.wait(_DYING_S)
        except subprocess.TimeoutExpired:  # it closed its socket and lives on
            code = 0
        self.end()
        if self.late:
            return self.late
        if code >= 0:
            return f"its worker ended with exit code {code} before it answered"
        hint = (
            "; the system may have run out of memory: try fewer workers, or less history"
            if code == -signal.SIGKILL
            else ""
        )
        return f"its worker was killed by {signal.Signals(-code).name}{hint}"

    def kill(self) -> None:
        if self._child.poll() is None:
            self._child.kill()

    def end(self) -> None:
        """Nothing of it is left: neither the process nor its ends of the pipes."""
        self.kill()
        self._child.wait()
        self.connection.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
