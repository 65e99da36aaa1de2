"""A session directory as it was recorded: manifest, universe, run file, journal."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import DataError, SamewireError
from engine.events import Event
from engine.journal_reading import Entry, Record
from engine.universe import Universe
from samewire.instruments import universe_from
from samewire.manifest import check_manifest
from samewire.run_file import RunFile
from samewire.walk import Found


@dataclass(frozen=True)
class Recorded:
    """What a session directory says of its session."""

    directory: Path
    manifest: dict[str, Any]
    universe: Universe
    interval_ns: int  # of the slices
    digest: str  # empty where it did not come to its end
    allow: tuple[str, ...] | None = None  # modules that its run file may name beside the built-ins, None = any
    lost: list[str] = field(
        default_factory=list, compare=False
    )  # why bars could not be read again, once they were asked for

    @property
    def ended(self) -> bool:
        """Whether its manifest says that the session came to its end."""
        return self.manifest.get("ended", True) is not False

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.universe.symbols

    @cached_property
    def _read(self) -> RunFile | SamewireError:
        from samewire.schema import load_run

        path = self.directory / "run.yaml"
        if not path.is_file():
            return DataError(f"{self.directory}: the session directory has no run.yaml; restore it")
        try:
            return load_run(path, allow=self.allow, recorded=self.directory)
        except SamewireError as error:
            return error

    @property
    def run(self) -> RunFile:
        """The run file, every default filled in. Raises what is wrong with it: a class that is not here, a value."""
        if isinstance(self._read, SamewireError):
            raise self._read
        return self._read

    @property
    def readable(self) -> RunFile | None:
        """The run file, or None; `unread` says why then."""
        return None if isinstance(self._read, SamewireError) else self._read

    @property
    def unread(self) -> str:
        """Why the run file cannot be read here; empty where it can."""
        if not isinstance(self._read, SamewireError):
            return ""
        if not (self.directory / "run.yaml").is_file():
            return "the session directory has no run.yaml"
        return f"its run.yaml cannot be read here: {str(self._read).splitlines()[0]}"

    def entries(self, *, bars: bool = True) -> Iterator[Entry]:
        """The records of the journal, checked, against the digest too where the manifest has one.

        Bars that stand in the files of the feed are read from there.
        `event` is None for features, and for bars that cannot be read from there any more, or are not asked for.
        """
        from adapters.files.journal_file import read_journal

        yield from read_journal(self.directory / "journal", self.digest, _Bars(self) if bars else None)


class _Bars:
    """Finds the bars of a recorded session; the feed is opened when the first is asked for."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded
        self._found: Found | None = None
        self._lost = False

    def __call__(self, record: Record, /) -> Event | None:
        if self._found is None and not self._lost:
            from samewire.prepare import walk_of

            try:
                self._found = Found(walk_of(self._recorded.run))
            except SamewireError as error:  # the run file cannot be read here, or the files have gone
                self._lost = True
                self._say(self._recorded.unread or str(error).splitlines()[0])
        found = None if self._found is None else self._found(record)
        if found is None and not self._lost:
            self._say("the files of the feed do not hold what was recorded of them")
        return found

    def _say(self, why: str) -> None:
        if not self._recorded.lost:
            self._recorded.lost.append(why)


def _no_number(word: str) -> None:
    raise ValueError(f"its manifest holds {word}, which no manifest of ours does")


def open_recorded(directory: Path, allow: tuple[str, ...] | None = None) -> Recorded:
    """A session directory, whose run file may name classes of these modules only. DataError where there is none."""
    try:
        manifest: dict[str, Any] = json.loads((directory / "manifest.json").read_text(), parse_constant=_no_number)
        if isinstance(manifest, dict):
            check_manifest(directory, manifest)
        universe = universe_from(manifest["universe"])
        return Recorded(directory, manifest, universe, int(manifest["interval_ns"]), str(manifest["digest"]), allow)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{directory}: no session directory ({error}); name one that replay --out or demo wrote"
        ) from None
