"""The function that a job names, called; what went wrong as one line."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import ConfigError, SamewireError
from engine.learning import Job, Outcome

OWN = ("engine", "components", "adapters", "samewire")
LINE_MAX = 500


def check(jobs: Sequence[Job], gpus: float, allow: Sequence[str] = OWN) -> None:
    """Raises ConfigError for jobs that this executor cannot run, before the first one begins."""
    seen: set[str] = set()
    for job in jobs:
        if job.key in seen:
            raise ConfigError(f"job {job.key}: its key stands twice in one call; give each job a key of its own")
        seen.add(job.key)
        if job.gpus > gpus:
            has = "no GPU" if not gpus else f"{gpus:g} GPU"
            raise ConfigError(f"job {job.key}: it needs {job.gpus:g} GPU and this executor has {has}; set `gpus` to 0")
        if job.gpus > 1 and job.gpus % 1:
            raise ConfigError(f"job {job.key}: it needs {job.gpus:g} GPU; a job has a share of one, or whole ones")
        called(job.call, allow)


def called(call: str, allow: Sequence[str] = OWN) -> Callable[[bytes], bytes]:
    """The function of `package.module:function`; of one of these packages only."""
    module, _, name = call.partition(":")
    if module.partition(".")[0] not in allow or not name.isidentifier():
        raise ConfigError(f"job: {call!r} names no function of {', '.join(allow)}; say package.module:function")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"job: {call!r} cannot be found ({error}); say package.module:function") from error
    function: Callable[[bytes], bytes] = found
    return function


def tried(job: Job, attempts: int, allow: Sequence[str] = OWN) -> Outcome:
    """The job carried out here and now. An error is an outcome too: it would come again, so it is not retried."""
    try:
        value = called(job.call, allow)(job.argument)
    except Exception as error:  # noqa: BLE001 - any mistake of a job is told as its outcome
        return Outcome(key=job.key, value=None, error=one_line(error), attempts=attempts)
    return Outcome(key=job.key, value=value, attempts=attempts)


def one_line(error: BaseException) -> str:
    """Type and message; errors of ours say all in their message.

    >>> one_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    said = str(error) if isinstance(error, SamewireError) else f"{type(error).__name__}: {error}"
    return " ".join(said.split())[:LINE_MAX]
