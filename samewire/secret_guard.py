"""Keeps secrets out of the record of a session."""

from collections.abc import Sequence
from typing import Any

from engine.errors import ComponentError, ConfigError
from engine.events import Control, Event, Note
from samewire.hiding import Hider
from samewire.run_file import RunFile
from samewire.schema import resolved


def guards_of(run: RunFile, hide: Hider) -> tuple["Guard", ...]:
    """What watches over a session that has read secrets; () where it has none.

    Raises ConfigError where a secret stands in the run file besides: hidden there, it would not be that file any more.
    """
    if not hide:
        return ()
    found = _first(resolved(run), hide, "")
    if found:
        where = f"{run.feed.where.origin.name}: {found}"
        raise ConfigError(f"{where}: the value is, or holds, a secret that the run file refers to; change one of them")
    return (Guard(hide),)


def _first(value: Any, hide: Hider, path: str) -> str:
    """The path of the first text that holds a secret; empty where none does."""
    if isinstance(value, str):
        return path if hide(value) != value else ""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_first(at, hide, f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}") for key, at in inner)
    return next(filter(None, found), "").removeprefix(".")


class Guard:
    """A recorder before all others: stops the session when an event has a secret in its words.

    Events are recorded as they are or not at all, so nothing can be hidden in them later.
    """

    def __init__(self, hide: Hider) -> None:
        self._hide = hide

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        for origin, event in zip(origins, events, strict=True):
            if isinstance(event, Note | Control) and self._hide:
                texts = [value for key in event.__struct_fields__ if isinstance(value := getattr(event, key), str)]
                if any(self._hide(text) != text for text in texts):
                    cause = "a secret stands in its text; write what it is for, never the secret itself"
                    raise ComponentError(origin, type(event).__name__, event.ts, cause)
