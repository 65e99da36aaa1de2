"""What a replay buffer of stable-baselines3 remembers, each observation once. It needs numpy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.intp]


class Following:
    """What followed each remembered observation, in the place of a copy: the one that stands behind it in the ring.

    Rows of an environment go on without a gap (the first observation of the next order follows the last of one), so
    the library's second array repeats its first, one place on; what followed the newest place is kept beside it.

    >>> following = Following(np.array([[[1.0]], [[2.0]], [[3.0]]]))  # places 0, 1 and 2 of one row
    >>> following[2] = np.array([[4.0]])
    >>> following[np.array([0, 1, 2]), np.array([0, 0, 0])].ravel()
    array([2., 3., 4.])
    """

    def __init__(self, seen: NDArray[Any]) -> None:
        """`seen` (places, rows, ...) is the library's own array, which it goes on writing."""
        self._seen, self._place, self._newest = seen, -1, np.zeros_like(seen[0])

    def __setitem__(self, place: int, value: NDArray[Any]) -> None:
        """The newest place, and what followed it (rows, ...)."""
        self._place, self._newest = place, np.array(value)

    def __getitem__(self, at: tuple[Any, ...]) -> NDArray[Any]:
        """(B, ...) what followed at these places (B,) of these rows (B,)."""
        place, row = np.asarray(at[0]), np.asarray(at[1])
        found: NDArray[Any] = self._seen[(place + 1) % len(self._seen), row]
        newest = place == self._place
        found[newest] = self._newest[row[newest]]
        return found


def remember_once(buffer: Any) -> None:
    """Lets a new buffer keep each observation once."""
    buffer.next_observations = {name: Following(each) for name, each in buffer.observations.items()}


def remembered(buffer: Any) -> list[tuple[str, NDArray[Any]]]:
    """What a buffer holds, by name, as views of as many places as were written. What followed the newest is not among
    it: that is the present observation."""
    places = buffer.buffer_size if buffer.full else buffer.pos
    found = [(f"seen.{name}", each) for name, each in buffer.observations.items()]
    found += [(name, getattr(buffer, name)) for name in ("actions", "rewards", "dones")]
    return [(name, each[:places]) for name, each in found]


def put_back(buffer: Any, tensors: dict[str, Any], now: dict[str, NDArray[Any]]) -> None:
    """What `remembered` gave, as tensors, into a buffer whose `pos` and `full` stand as they did; `now` are the present
    observations. ValueError for one of another shape."""
    for name, each in remembered(buffer):
        if tensors[name].shape != each.shape:
            raise ValueError(f"replay.{name} is of another shape")
        each[...] = tensors[name].numpy()
    for name, each in buffer.next_observations.items():
        each[(buffer.pos - 1) % buffer.buffer_size] = now[name]
