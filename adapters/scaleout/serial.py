"""The executor that runs jobs one after the other in this process: for small plans, and to look into one."""

from collections.abc import Iterator, Sequence

from adapters.scaleout.calls import OWN, check, tried
from engine.learning import Job, Outcome


class Serial:
    """In the order of the jobs. A job that kills its process kills this one; `pool` survives that."""

    def __init__(self, *, gpus: float = 0.0, allow: tuple[str, ...] = OWN) -> None:
        if gpus < 0:
            raise ValueError(f"gpus must be at least 0, got {gpus}")
        self._gpus, self._allow = gpus, allow

    def run(self, jobs: Sequence[Job], /) -> Iterator[Outcome]:
        check(jobs, self._gpus, self._allow)
        return (tried(job, 1, self._allow) for job in jobs)
