"""What of the filters and rules around a strategy concerns a symbol, as their notes told it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.events import Book, Note
from samewire.event_rows import stamp
from samewire.explain.words import number, shares

_PASSING, _CLOSING, _FACTOR = ("filter", "block"), ("rule", "sell"), "factor"
_WISH, _CROSSED = "wants", "crossed"  # of a sleeve


def of_a_guard(kind: str) -> bool:
    """Whether a note of this kind is of a filter or a rule."""
    return kind.partition(":")[0] in (*_PASSING, *_CLOSING)


def of_a_sleeve(kind: str) -> bool:
    """Whether a note of this kind tells what a sleeve wants or traded with others."""
    return kind.partition("@")[0].partition(":")[0] in (_WISH, _CROSSED) and "@" in kind


@dataclass
class Around:
    """Follows a journal. What holds of one symbol now, by the piece that told it: its strategy and its kind there.

    Of a strategy inside another one the kind ends with `@` and its name, so that no two pieces are taken for one.
    """

    symbol: int
    holds: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    sleeves: dict[str, dict[str, Any]] = field(default_factory=dict)  # what each wants of it, by its name

    def still(self) -> "Around":
        return Around(self.symbol, dict(self.holds), {name: dict(told) for name, told in self.sleeves.items()})

    def note(self, note: Note) -> None:
        at = np.flatnonzero(note.symbol == self.symbol)
        if of_a_sleeve(note.kind) and at.size:
            self._of_a_sleeve(note, float(note.value[at[0]]))
        if not of_a_guard(note.kind) or (note.symbol.size and not at.size):
            return
        value = float(note.value[at[0]] if at.size else note.value[0])
        what, _, piece = note.kind.partition(":")
        kind, _, within = piece.partition("@")
        what = what if at.size else _FACTOR
        over = value == 1.0 if what in (*_PASSING, _FACTOR) else False
        key = (note.source, note.kind if at.size else f"{_FACTOR}:{piece}")
        self.holds.pop(key, None)
        if not over:
            source = f"{note.source}.{within}" if within else note.source
            told = {"source": source, "what": what, "kind": kind, "value": value}
            self.holds[key] = told | {"since": note.ts, "text": note.text}

    def _of_a_sleeve(self, note: Note, value: float) -> None:
        what, _, within = note.kind.partition("@")
        name, (what, _, kind) = f"{note.source}.{within}", what.partition(":")
        told = self.sleeves.setdefault(name, {"source": name, "kind": "", "value": 0.0, "since": note.ts})
        if what == _WISH:
            told.update(kind=kind, value=value, since=note.ts)
        else:
            told.update(crossed=value, crossed_at=note.ts)

    def book(self, book: Book) -> None:
        """A position that was being closed and is no more has no reason to be closed."""
        if book.qty[self.symbol] == 0:
            self.holds = {key: told for key, told in self.holds.items() if told["what"] not in _CLOSING}


def sleeve_text(told: dict[str, Any]) -> str:
    """What a sleeve wants of the symbol, and what it traded of it with others at last, in words."""
    value = told["value"]
    wish = f"wants {shares(value)}" if told["kind"] == "quantity" else f"wants a {told['kind']} of {number(value)}"
    wish = "leaves it as it is" if np.isnan(value) else wish if value else "wants none of it"
    said = f"{told['source']} {wish}, since {stamp(told['since'])}"
    if "crossed" in told:
        said += f"; it traded {shares(told['crossed'])} with other sleeves at {stamp(told['crossed_at'])}"
    return said


def guard_text(told: dict[str, Any]) -> str:
    """What a filter or a rule does to the symbol, in words."""
    name, since = f"{told['kind']} of {told['source']}", f"since {stamp(told['since'])}"
    if told["what"] == "filter":
        return f"it does not pass the filter {name}, {since}"
    if told["what"] == "block":
        return f"the rule {name} blocks it, {since}"
    if told["what"] == "sell":
        return f"it does not pass the filter {name}, which sells it, {since}"
    if told["what"] == "rule":
        return f"the rule {name} closes it, {since}: {told['text']} ({number(told['value'])})"
    return f"the rule {name} multiplies all that is wanted by {number(told['value'])}, {since}"
