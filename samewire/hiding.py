"""Hides the secrets that were read in whatever a command or a run writes: logs, records, reports, errors."""

import base64
import contextlib
import html
import json
import re
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, quote_plus

from engine.secret import HIDDEN

_DIGEST, _DIGEST_LEAST = re.compile(r"[0-9a-f]{16,}\Z"), 16
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_LINE_LEAST = 12  # of a secret of several lines: each line as long as this is hidden by itself


class Hider:
    """Replaces the secrets that were read by `[hidden]` in texts, whichever way they were quoted."""

    def __init__(self, *, scoped: bool = False) -> None:
        self.scoped = scoped
        self._texts: list[str] = []

    def add(self, value: str) -> None:
        lines = [line for line in value.splitlines() if len(line) >= _LINE_LEAST]
        forms = {form for text in (value, *lines) for form in _quoted(text)} | set(_encoded(value))
        forms.update(self._texts)
        self._texts = sorted(forms, key=lambda form: (-len(form), form))  # one may begin like another

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __call__(self, text: str) -> str:
        least = _DIGEST_LEAST if _DIGEST.match(text) else 0  # a short secret may stand in a hash by chance
        for secret in self._texts:
            text = text.replace(secret, HIDDEN) if len(secret) >= least else text
        return text

    def stands_in(self, content: bytes) -> bool:
        """Whether bytes hold a secret as text: in UTF-8, or as arrays of texts keep it."""
        return any(
            text.encode(encoding, "surrogatepass" if encoding != "utf-8" else "surrogateescape") in content
            for text in self._texts
            for encoding in ("utf-8", "utf-16-le", "utf-32-le", "utf-32-be")
        )

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


def _quoted(text: str) -> Iterator[str]:
    """The text as it stands, and as Python, JSON, addresses and HTML write it within quotes."""
    raw = text.encode("utf-8", "surrogateescape")
    yield from (text, repr(text)[1:-1], repr(text + "'\"")[1:-4], repr(raw)[2:-1], repr(raw + b"'\"")[2:-4])
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    for form in (quote(raw, safe=""), quote(raw), quote_plus(raw), quote_plus(raw, safe="/")):
        yield from (form, _PERCENT.sub(lambda found: found[0].lower(), form))
    for form in (html.escape(text), html.escape(text, quote=False)):
        yield from (form, form.replace("&#x27;", "&#39;"), form.replace("&#x27;", "'"))


def _encoded(text: str) -> Iterator[str]:
    """The text in hexadecimal digits and in base64, wherever it stands in what was encoded."""
    raw = text.encode("utf-8", "surrogateescape")
    yield from (raw.hex(), raw.hex().upper())
    for before in range(3):
        first, last = (before * 8 + 5) // 6, (before + len(raw)) * 8 // 6  # characters that are of the text alone
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + raw).decode()[first:last]


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
    """Within it there is one hider, which Python's warnings pass too, and it is gone afterwards."""
    found = Hider(scoped=True)
    token = _CURRENT.set(found)
    before = warnings.showwarning

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        before(found(str(message)), category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield found
    finally:
        _CURRENT.reset(token)
        if warnings.showwarning is show:
            warnings.showwarning = before
