"""Which job has which GPUs. A process sees those of its jobs and no others, by what CUDA reads when it begins."""

import math
from collections.abc import Iterable, Mapping

from engine.errors import ConfigError
from engine.learning import Job

SHOWN = "CUDA_VISIBLE_DEVICES"
_SLACK = 1e-9  # of a sum of shares


class Devices:
    """`gpus` GPUs of those that this process may use: a share of one leaves the rest of it to others.

    ConfigError where CUDA_VISIBLE_DEVICES shows fewer.

    >>> Devices(2, {}).given(0.5, [("0", 0.5), ("1", 0.25)]), Devices(2, {}).given(1, [("0", 0.5)])
    (('0',), ('1',))
    """

    def __init__(self, gpus: float, environment: Mapping[str, str]) -> None:
        count = math.ceil(gpus - _SLACK)
        shown = environment.get(SHOWN)
        names = [str(k) for k in range(count)] if shown is None else _listed(shown)
        if len(names) < count:
            raise ConfigError(
                f"executor: gpus is {gpus:g}, and {SHOWN}={shown} shows {len(names)}; set gpus to what there is, or "
                "show more of them"
            )
        self._room = {name: min(1.0, gpus - k) for k, name in enumerate(names[:count])}

    def given(self, share: float, taken: Iterable[tuple[str, float]]) -> tuple[str, ...] | None:
        """The GPUs for a job that needs this share, None where they are taken. `taken` are shares of single GPUs.

        A share goes where the least is left; a whole number gets as many that nobody uses.
        """
        used = dict.fromkeys(self._room, 0.0)
        for name, part in taken:
            used[name] += part
        if not share:
            return ()
        each = min(share, 1.0)
        open_ = [name for name, room in self._room.items() if used[name] + each <= room + _SLACK]
        count = math.ceil(share - _SLACK)
        open_.sort(key=lambda name: self._room[name] - used[name])  # equal ones stay in their order
        return tuple(sorted(open_[:count], key=list(self._room).index)) if len(open_) >= count else None


def shares(job: Job, devices: tuple[str, ...]) -> list[tuple[str, float]]:
    """What a job takes of each of its GPUs."""
    return [(name, min(job.gpus, 1.0)) for name in devices]


def _listed(shown: str) -> list[str]:
    """The GPUs of a list, up to the first that is none, as CUDA reads it.

    >>> _listed("2,GPU-8c1a"), _listed("0,-1,1"), _listed("")
    (['2', 'GPU-8c1a'], ['0'], [])
    """
    names: list[str] = []
    for name in (part.strip() for part in shown.split(",")):
        if not name or name.startswith("-"):
            break
        names.append(name)
    return names
