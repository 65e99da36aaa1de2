"""Keeps secrets out of the record of a session."""

from collections.abc import Sequence

from engine.errors import ComponentError
from engine.events import Control, Event, Note
from samewire.hiding import Hider


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
