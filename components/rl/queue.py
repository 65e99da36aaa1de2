"""Which episode comes next: all orders again and again in a random order, or each exactly once."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import StateError

Places = NDArray[np.intp]


class Queue:
    """Numbers of E episodes. With a generator it never ends, and each round has an order of its own; without one each
    number comes once, in order, and then -1.

    >>> queue = Queue(3)
    >>> queue.take(2).tolist(), queue.take(2).tolist()
    ([0, 1], [2, -1])
    """

    def __init__(self, count: int, rng: np.random.Generator | None = None) -> None:
        if count < 1:
            raise ValueError("there is no order to make episodes of; an empty split cannot be stepped")
        self._count, self._rng = count, rng
        self._order: Places = np.arange(count) if rng is None else rng.permutation(count)
        self._next = 0

    @property
    def endless(self) -> bool:
        return self._rng is not None

    def restart(self) -> None:
        """From the first number again, where each comes once."""
        if self._rng is None:
            self._next = 0

    def take(self, count: int) -> Places:
        """(count,) numbers; -1 where there is none left."""
        out = np.full(count, -1, np.intp)
        done = 0
        while done < count:
            part = self._order[self._next : self._next + count - done]
            out[done : done + len(part)] = part
            done, self._next = done + len(part), self._next + len(part)
            if done < count:
                if self._rng is None:
                    break
                self._order, self._next = self._rng.permutation(self._count), 0
        return out

    def save(self) -> dict[str, Any]:
        state = None if self._rng is None else _plain(self._rng.bit_generator.state)
        return {"next": self._next, "order": self._order, "generator": state}

    def load(self, fields: dict[str, Any]) -> None:
        """StateError for the state of another kind of generator: it would draw other orders."""
        if self._rng is not None:
            own = self._rng.bit_generator.state["bit_generator"]
            saved = None if fields["generator"] is None else _restored(fields["generator"])["bit_generator"]
            if saved != own:
                raise StateError(f"queue: it was saved with generator {saved} and has {own} now; make it with that one")
        self._next, self._order = fields["next"], np.array(fields["order"])
        if self._rng is not None:
            self._rng.bit_generator.state = _restored(fields["generator"])


def _plain(state: Any) -> str:
    """As text: the numbers of a generator are wider than 64 bits."""
    return msgspec.json.encode(_each(state, lambda number: f"int {number}")).decode()


def _restored(text: str) -> Any:
    return _each(msgspec.json.decode(text), _number)


def _number(value: Any) -> Any:
    return int(value[4:]) if isinstance(value, str) and value.startswith("int ") else value


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each(inner, change) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return [_each(inner, change) for inner in value.tolist()]
    if isinstance(value, list):
        return [_each(inner, change) for inner in value]
    return change(value) if not isinstance(value, str) or value.startswith("int ") else value
