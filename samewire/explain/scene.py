"""What is known at a point of a journal: the latest bars, signals, targets, book and notes, as a decision saw them."""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.events import Actions, Bars, Book, Control, Event, Late, Note, Reference, Signal, Target
from engine.journal_reading import Entry
from samewire.explain.around import Around, of_a_guard, of_a_sleeve
from samewire.recorded import Recorded

_HISTORY = (Bars, Actions, Late, Reference)


@dataclass
class Opinion:
    """A model's latest answer, and whether it ever had one."""

    signal: Signal
    slices: int = 0  # answers so far
    spoke: int = 0  # ts of its first answer with an opinion on any symbol, 0 = never
    last: int = 0  # ts of its last opinion on the symbol that is asked about, 0 = never


@dataclass
class Scene:
    """Follows a journal. `symbol` is the position of the one that is asked about."""

    of: Recorded
    symbol: int
    bars: Bars | None = None  # of the finest interval
    seen: int = 0  # ts of the latest bar that the symbol had
    book: Book | None = None  # the first since the bars: what decisions saw
    opinions: dict[str, Opinion] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()  # since the bars
    control: Control | None = None  # the latest of the gate's
    histories: dict[str, "History"] = field(default_factory=dict)
    around: Around = field(init=False)
    unbuilt: str = ""  # why the feature sets of the run file cannot be made here

    def __post_init__(self) -> None:
        self.around = Around(self.symbol)

    def take(self, entry: Entry) -> None:
        event: Event | None = entry.event
        if isinstance(event, _HISTORY):
            for history in self.histories.values():
                history.take(event)
        if entry.kind == "Bars":
            self._begun(entry)
        elif isinstance(event, Book):
            self.book = event if self.book is None else self.book
            self.around.book(event)
        elif isinstance(event, Signal):
            self._heard(event)
        elif isinstance(event, Target):
            self.targets[event.source] = event
        elif isinstance(event, Note):
            self.notes += (event,)
            self.around.note(event)
        elif isinstance(event, Control) and event.action.value not in ("swap_model", "model_not_ready"):
            self.control = event

    def _begun(self, entry: Entry) -> None:
        """A slice begins, also one whose bars cannot be read: nothing of the one before is of it."""
        if entry.plain["interval_ns"] != self.of.interval_ns:
            return
        bars = entry.event if isinstance(entry.event, Bars) else None
        self.bars, self.book, self.notes = bars, None, ()
        if bars is not None and bars.status[self.symbol] == 0:
            self.seen = bars.ts

    def _heard(self, signal: Signal) -> None:
        opinion = self.opinions.setdefault(signal.source, Opinion(signal))
        opinion.signal, opinion.slices = signal, opinion.slices + 1
        if not opinion.spoke and np.isfinite(signal.value).any():
            opinion.spoke = signal.ts
        if np.isfinite(signal.value[self.symbol]):
            opinion.last = signal.ts

    def still(self) -> "Scene":
        """A copy that what follows in the journal does not change."""
        opinions = {name: replace(opinion) for name, opinion in self.opinions.items()}
        histories = {name: history.still() for name, history in self.histories.items()}
        copy = replace(self, opinions=opinions, targets=dict(self.targets), histories=histories)
        copy.around = self.around.still()
        return copy

    def noted(self) -> list[dict[str, Any]]:
        """Notes of this slice on the symbol and on none, but for those of guards and sleeves."""
        found = []
        for note in (note for note in self.notes if not (of_a_guard(note.kind) or of_a_sleeve(note.kind))):
            at = np.flatnonzero(note.symbol == self.symbol)
            if at.size or not note.symbol.size:
                value = note.value[at[0]] if at.size else note.value[0] if note.value.size else np.nan
                found.append({"source": note.source, "kind": note.kind, "text": note.text, "value": float(value)})
        return found


@dataclass
class History:
    """The recorded events that a feature set's latest values depend on: its last `slices` bars and what lay between."""

    interval_ns: int
    slices: int
    events: deque[Any] = field(default_factory=deque)
    bars: int = 0  # among the events

    def take(self, event: Any) -> None:
        if isinstance(event, Bars):
            if event.interval_ns != self.interval_ns:
                return
            self.bars += 1
        self.events.append(event)
        while self.bars > self.slices:
            self.bars -= isinstance(self.events.popleft(), Bars)

    def still(self) -> "History":
        return replace(self, events=deque(self.events))
