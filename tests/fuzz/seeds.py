"""`python -m tests.fuzz.seeds` writes the corpus anew: small inputs that reach far into each parser."""

from typing import Any

import msgspec
import numpy as np

from engine import journal
from engine.events import Approved, Control, ControlAction, Features, Orders, Reference, Timer
from engine.journal import GENESIS, Journal
from tests.fuzz.targets import CORPUS
from tests.make import bars, book, day, legs, signal, target


def _runs() -> dict[str, list[Any]]:
    wide = np.arange(6.0).reshape(3, 2)
    return {
        "control": [Control(ts=1, action=ControlAction.HALT, actor="a", reason="b")],
        "slice": [bars(day(1), [1.0, np.nan]), signal(day(1), [1.0, 2.0]), target(day(1), [0.5, 0.0])],
        "book": [bars(day(1), [1.0, 2.0]), book(day(1), [1.0, 2.0])],
        "orders": [bars(day(1), [1.0]), legs(Orders, symbol=[0], qty=[1]), legs(Approved, symbol=[0], qty=[1])],
        "features": [bars(day(1), [1.0]), Features(ts=day(1), schema="s", value=wide)],
        "reference": [Reference(ts=1, name="rates", rows="currency", value=wide, columns=("a", "b"))],
        "timer": [Timer(ts=1, name="n", due=1)],
    }


def main() -> None:
    proper = journal.digest_of
    journal.digest_of = lambda parts: GENESIS  # see `targets.journal_blocks`
    try:
        for name, events in _runs().items():
            blocks: list[bytes] = []
            into = Journal(blocks.append)
            for k in range(2):  # the second run says only what changed
                later = [msgspec.structs.replace(event, ts=event.ts + k) for event in events]
                into.append(["input", *["a"] * (len(events) - 1)], later)
            into.end()
            whole = name == "control"  # one that has its own opening will do
            written = b"" if whole else b"+"
            written += b"".join(len(block).to_bytes(2, "little") + block for block in blocks[0 if whole else 1 :])
            (CORPUS / "journal_blocks" / name).write_bytes(written)
    finally:
        journal.digest_of = proper


if __name__ == "__main__":
    main()
