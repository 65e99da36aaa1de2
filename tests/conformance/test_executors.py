"""What every executor promises, whichever runs the jobs."""

from collections.abc import Callable
from typing import Any

import pytest

from adapters.scaleout.pool import Pool
from adapters.scaleout.serial import Serial
from engine.errors import ConfigError
from engine.learning import Executor, Job

EXECUTORS: list[Callable[..., Any]] = [Serial, Pool]


@pytest.fixture(params=EXECUTORS, ids=lambda kind: kind.__name__)
def executor(request: pytest.FixtureRequest) -> Executor:
    made: Executor = request.param(allow=("tests",))
    return made


def job(key: str, name: str, argument: bytes = b"", **more: Any) -> Job:
    return Job(key=key, call=f"tests.adapters.scaleout.jobs:{name}", argument=argument, **more)


def test_each_job_has_one_outcome_and_a_broken_one_breaks_no_other(executor: Executor) -> None:
    jobs = [*(job(str(k), "double", bytes([k])) for k in range(5)), job("bad", "refuse", b"here")]
    outcomes = {outcome.key: outcome for outcome in executor.run(jobs)}
    assert len(outcomes) == 6
    assert [outcomes[str(k)].value for k in range(5)] == [bytes([k, k]) for k in range(5)]
    assert outcomes["bad"].value is None
    assert outcomes["bad"].error == "ValueError: no such thing here"
    assert outcomes["bad"].attempts == 1


def test_nothing_begins_where_one_job_cannot_run(executor: Executor) -> None:
    good = job("a", "double")
    with pytest.raises(ConfigError, match="needs 1 GPU and this executor has no GPU"):
        list(executor.run([good, job("b", "double", gpus=1)]))
    with pytest.raises(ConfigError, match="stands twice"):
        list(executor.run([good, good]))
    with pytest.raises(ConfigError, match="names no function of tests"):
        list(executor.run([Job(key="a", call="os:system", argument=b"true")]))
    with pytest.raises(ConfigError, match="cannot be found"):
        list(executor.run([job("a", "missing")]))


def test_no_job_is_no_outcome(executor: Executor) -> None:
    assert list(executor.run([])) == []


@pytest.mark.parametrize("kind", EXECUTORS)
def test_gpus_that_are_there_are_given(kind: Callable[..., Any]) -> None:
    made: Executor = kind(gpus=1.0, allow=("tests",))
    jobs = [job(str(k), "double", b"x", gpus=0.6) for k in range(2)]
    assert [outcome.value for outcome in made.run(jobs)] == [b"xx", b"xx"]


@pytest.mark.parametrize("kind", EXECUTORS)
def test_without_a_word_only_our_own_functions_are_called(kind: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match="names no function of engine, components, adapters, samewire"):
        list(kind().run([job("a", "double")]))
