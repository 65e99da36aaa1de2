"""Workers that die, hang and outlive their parent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.scaleout.pool import Pool
from engine.errors import ConfigError
from engine.learning import Job
from tests.conformance.test_executors import job


def pool(**options: float) -> Pool:
    return Pool(allow=("tests",), **options)  # type: ignore[arg-type]


def test_a_killed_worker_fails_its_own_job_only() -> None:
    jobs = [*(job(str(k), "double", b"y") for k in range(4)), job("killed", "die"), job("left", "leave")]
    outcomes = {outcome.key: outcome for outcome in pool(workers=2, attempts=2).run(jobs)}
    assert [outcomes[str(k)].value for k in range(4)] == [b"yy"] * 4
    assert outcomes["killed"].error.startswith("its worker was killed by SIGKILL")
    assert outcomes["killed"].attempts == 2
    assert outcomes["left"].error == "its worker ended with exit code 7 before it answered"


def test_a_job_whose_worker_died_is_tried_again(tmp_path: Path) -> None:
    (outcome,) = pool(workers=1).run([job("a", "die_once", str(tmp_path / "seen").encode())])
    assert (outcome.value, outcome.attempts) == (b"alive", 2)


def test_a_job_that_takes_too_long_is_ended_and_not_tried_again(tmp_path: Path) -> None:
    jobs = [job("slow", "linger", str(tmp_path / "pid").encode()), job("quick", "double", b"z")]
    outcomes = {outcome.key: outcome for outcome in pool(workers=2, timeout_s=1.5).run(jobs)}
    assert outcomes["quick"].value == b"zz"
    assert outcomes["slow"].error == "it took longer than 1.5 s; raise the timeout or make it smaller"
    assert outcomes["slow"].attempts == 1
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_worker_has_one_thread_and_serves_many_jobs() -> None:
    outcomes = list(pool(workers=1).run([job(str(k), "threads") for k in range(3)]))
    said = [(outcome.value or b"").decode().split() for outcome in outcomes]
    assert {tuple(words[:2]) for words in said} == {("1", "passive")}
    assert len({words[2] for words in said}) == 1
    assert int(said[0][2]) != os.getpid()


def test_closing_the_iterator_ends_what_still_runs(tmp_path: Path) -> None:
    outcomes = pool(workers=2).run([job("q", "double"), job("slow", "linger", str(tmp_path / "pid").encode())])
    next(iter(outcomes))
    wait_for(tmp_path / "pid")
    outcomes.close()  # type: ignore[attr-defined]
    assert gone(int((tmp_path / "pid").read_text()))


def test_workers_of_a_killed_parent_end_by_themselves(tmp_path: Path) -> None:
    text = (
        "import sys; from adapters.scaleout.pool import Pool; from engine.learning import Job;"
        "list(Pool(workers=1, allow=('tests',)).run([Job(key='a', call='tests.adapters.scaleout.jobs:linger',"
        "argument=sys.argv[1].encode())]))"
    )
    parent = subprocess.Popen([sys.executable, "-c", text, str(tmp_path / "pid")])
    worker = int(wait_for(tmp_path / "pid"))
    parent.kill()
    parent.wait()
    for _ in range(100):
        if gone(worker):
            return
        signal.sigtimedwait((signal.SIGUSR2,), 0.05)  # a pause that no clock of ours makes
    pytest.fail(f"worker {worker} still runs")


def test_what_a_job_prints_is_not_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    (outcome,) = pool(workers=1).run([job("a", "chatter")])
    assert outcome.value == b"said"
    out, err = capfd.readouterr()
    assert (out, "on stdout" in err, "below" in err) == ("", True, True)


# ---- GPUs, by what the environment of a process shows of them --------------------------------------------------------


def shown(made: Pool, *shares: float) -> list[str]:
    jobs = [job(str(k), "gpus", gpus=share) for k, share in enumerate(shares)]
    outcomes = {outcome.key: outcome for outcome in made.run(jobs)}
    return [(outcomes[str(k)].value or b"").decode().rpartition(" ")[0] for k in range(len(jobs))]


@pytest.mark.parametrize(
    ("gpus", "shares", "wanted"),
    [
        (2, [1, 1], ["0", "1"]),
        (2, [0.5, 0.5], ["0", "0"]),
        (2, [0.6, 0.6], ["0", "1"]),
        (2, [1, 0.5], ["0", "1"]),
        (2, [2, 2], ["0,1", "0,1"]),
        (2, [2, 1, 1, 0], ["0,1", "0", "1", ""]),
        (2, [0, 1], ["", "0"]),
        (0, [0, 0], ["", ""]),
        (1, [1, 1, 1], ["0", "0", "0"]),
        (0.5, [0.5, 0.25], ["0", "0"]),
    ],
)
def test_a_job_sees_the_gpus_that_it_asked_for(
    gpus: float, shares: list[float], wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert shown(pool(workers=2, gpus=gpus), *shares) == wanted


def test_gpus_that_this_process_may_not_use_are_given_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8c1a,-1,0")
    assert shown(pool(workers=3, gpus=2), 1, 1, 0) == ["3", "GPU-8c1a", ""]
    with pytest.raises(ConfigError, match="gpus is 3, and CUDA_VISIBLE_DEVICES=3, GPU-8c1a,-1,0 shows 2; set gpus"):
        pool(gpus=3).run([job("a", "gpus", gpus=1)])
    assert shown(pool(gpus=3), 0) == [""]  # nobody asked
    with pytest.raises(ConfigError, match=r"it needs 1.5 GPU; a job has a share of one, or whole ones"):
        pool(gpus=2).run([job("a", "gpus", gpus=1.5)])


def test_a_job_that_is_tried_again_has_its_gpu_again(tmp_path: Path) -> None:
    once = str(tmp_path / "once").encode()
    (outcome,) = pool(workers=1, gpus=1).run([job("a", "gpus", once, gpus=1)])
    assert (outcome.attempts, (outcome.value or b"").split()[0]) == (2, b"0")


def test_workers_are_no_more_than_there_may_be_and_serve_jobs_of_their_own_gpus() -> None:
    outcomes = pool(workers=1, gpus=1).run([job(str(k), "gpus", gpus=share) for k, share in enumerate([1, 1, 0, 0, 1])])
    seen: list[tuple[str, int]] = []
    for outcome in outcomes:
        devices, _, pid = (outcome.value or b"").decode().rpartition(" ")
        seen.append((devices, int(pid)))
        assert sum(not gone(pid) for _, pid in set(seen)) == 1  # the one before was ended first
    assert [devices for devices, _ in seen] == ["0", "0", "", "", "0"]
    assert len({pid for _, pid in seen}) == 3


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        Pool(workers=0)
    with pytest.raises(ValueError, match="gpus must be at least 0, got -1"):
        Pool(gpus=-1)


def test_large_arguments_come_through() -> None:
    content = os.urandom(3_000_000)
    (outcome,) = pool(workers=1).run([Job(key="a", call="tests.adapters.scaleout.jobs:double", argument=content)])
    assert outcome.value == content + content


def wait_for(path: Path) -> str:
    for _ in range(400):
        if path.exists() and (text := path.read_text()):
            return text
        signal.sigtimedwait((signal.SIGUSR2,), 0.05)
    pytest.fail(f"{path} was never written")


def gone(pid: int) -> bool:
    """Whether no process of this id runs; one that has ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"
