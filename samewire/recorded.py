"""A session directory as it was recorded: manifest, run file, journal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import DataError
from engine.events import Event
from engine.journal_reading import Entry, Record
from samewire.run_file import RunFile
from samewire.walk import Found


@dataclass(frozen=True)
class Recorded:
    """What a session directory says of its session."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.manifest["universe"]["symbols"])

    @property
    def digest(self) -> str:
        return str(self.manifest["digest"])

    @cached_property
    def run(self) -> RunFile:
        """The run file, every default filled in. Raises ConfigError where it does not hold together."""
        from samewire.schema import load_run

        return load_run(self.directory / "run.yaml")

    def entries(self) -> Iterator[Entry]:
        """The records of the journal, checked; bars that stand in the files of the feed are read from there.

        `event` is None for features, and for bars that the files do not hold any more.
        """
        from adapters.files.journal_file import read_journal

        yield from read_journal(self.directory / "journal", self.digest, Bars(self))


class Bars:
    """Finds the bars of a recorded session; the feed is opened when the first is asked for."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._found: Found | None = None

    def __call__(self, record: Record, /) -> Event | None:
        if self._found is None:
            from samewire.prepare import walk_of

            self._found = Found(walk_of(self._recorded.run))
        return self._found(record)


def open_recorded(directory: Path) -> Recorded:
    """A session directory. Raises DataError where there is none."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        found = Recorded(directory, manifest)
        if not (found.symbols and found.digest):
            raise ValueError("its manifest names no symbols")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{directory}: no session directory ({error}); name one that replay --out or demo wrote"
        ) from None
    return found
