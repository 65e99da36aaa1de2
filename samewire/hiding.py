"""Hides the secrets that were read in whatever a command or a run writes: logs, records, reports, errors."""

import contextlib
import json
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from engine.secret import HIDDEN

_DIGEST, _DIGEST_LEAST = re.compile(r"[0-9a-f]{16,}\Z"), 16
_LINE_LEAST = 12  # of a secret of several lines: each line as long as this is hidden by itself


class Hider:
    """Replaces the secrets that were read by `[hidden]` in texts, whichever way they were quoted."""

    def __init__(self, *, scoped: bool = False) -> None:
        self.scoped = scoped
        self._texts: list[str] = []

    def add(self, value: str) -> None:
        lines = [line for line in value.splitlines() if len(line) >= _LINE_LEAST]
        for text in (value, *lines):
            quoted = (
                repr(text)[1:-1],
                json.dumps(text)[1:-1],
                json.dumps(text, ensure_ascii=False)[1:-1],
                quote(text, safe=""),
            )
            self._texts += [form for form in (text, *quoted) if form not in self._texts]
        self._texts.sort(key=len, reverse=True)  # the longest first: one may begin like another

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __call__(self, text: str) -> str:
        least = _DIGEST_LEAST if _DIGEST.match(text) else 0  # a short secret may stand in a hash by chance
        for secret in self._texts:
            text = text.replace(secret, HIDDEN) if len(secret) >= least else text
        return text

    def inside(self, value: Any) -> Any:
        """Lists, tuples and mappings with the texts in them without secrets; keys stay, they are names of ours."""
        if not self._texts:
            return value
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self.inside(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.inside(inner) for inner in value)
        return value


_CURRENT: ContextVar[Hider | None] = ContextVar("hider", default=None)


def hider() -> Hider:
    """What hides the secrets of this command, or of this run where Python calls it."""
    found = _CURRENT.get()
    if found is None:
        found = Hider()
        _CURRENT.set(found)
    return found


def begin_hiding() -> None:
    """A run that Python calls has a hider of its own, unless there is one for all within `hiding`."""
    found = _CURRENT.get()
    if found is None or not found.scoped:
        _CURRENT.set(Hider())


@contextlib.contextmanager
def hiding() -> Iterator[Hider]:
    """Within it there is one hider, and it is gone afterwards."""
    found = Hider(scoped=True)
    token = _CURRENT.set(found)
    try:
        yield found
    finally:
        _CURRENT.reset(token)


def scrub(error: BaseException, hide: Hider) -> None:
    """Hides secrets in the messages of an error and of those that it came from, as far as they can be changed."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        at = waiting.pop()
        if at is None or any(at is known for known in seen) or not hide:
            continue
        seen.append(at)
        waiting += [at.__cause__, at.__context__, *getattr(at, "exceptions", ())]
        with contextlib.suppress(Exception):
            at.args = hide.inside(at.args)
        for key, value in list(getattr(at, "__dict__", {}).items()):
            with contextlib.suppress(Exception):
                setattr(at, key, hide.inside(value))
