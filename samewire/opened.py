"""Which files of data and which hosts are opened while something runs: what no option of a run file names."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samewire.altered import all_places
from samewire.run_file import Registered, RunFile

# Files that hold data. Code, configuration, time zones and libraries are opened all the time and know no prices.
_DATA = frozenset(
    (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".pq", ".feather", ".arrow", ".npy", ".npz")
    + (".h5", ".hdf5", ".xlsx", ".db", ".sqlite", ".gz", ".zip", ".bin", ".dat")
)


class Opened:
    """What was opened so far. A library that opens files by itself, such as Arrow or Polars, is not seen."""

    def __init__(self) -> None:
        from adapters.files.store import cache_folder

        self.watching = True
        self.seen: list[str] = []
        scratch = os.path.join(tempfile.gettempdir(), "samewire-")
        own = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "adapters")
        system = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/")
        # Of Python, installed packages, the system, and of what is written for the moment.
        python = (sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix))
        self._libraries = (*python, own, scratch, str(cache_folder()), *system)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        found = ""
        if event in ("open", "sqlite3.connect") and isinstance(arguments[0], str | Path):
            found = self._file(str(arguments[0]))
        elif event == "socket.connect":
            found = _host(arguments[1])
        if found and found not in self.seen:
            self.seen.append(found)

    def _file(self, name: str) -> str:
        if os.path.splitext(name)[1].lower() not in _DATA:
            return ""
        try:
            path = os.path.abspath(name)
        except OSError:  # the working directory is gone
            path = name
        return "" if path.startswith(self._libraries) else path

    def unnamed(self, run_file: Path, run: RunFile) -> tuple[str, ...]:
        """Of it, what is neither the run file nor named by an option of it, nor in a folder that is."""
        artefacts = [spec.artefact for spec in run.models if spec.artefact is not None]
        named = [run_file, *(each.registry if isinstance(each, Registered) else each for each in artefacts)]
        for component in all_places(run).values():
            for value in component.options.values():
                named += _paths(value)
        whole = [Path(os.path.abspath(path)) for path in named]
        return tuple(
            each for each in self.seen if not any(Path(each) == path or path in Path(each).parents for path in whole)
        )


@contextlib.contextmanager
def watching() -> Iterator[Opened]:
    """Looks on until it is left. Python cannot take back such a look, so a program should do this once."""
    opened = Opened()
    sys.addaudithook(opened.hook)
    try:
        yield opened
    finally:
        opened.watching = False


def _host(address: Any) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and len(address) > 1 else ""


def _paths(value: Any) -> list[Path]:
    if isinstance(value, Path):
        return [value]
    if isinstance(value, str):
        return [Path(value)] if Path(value).suffix.lower() in _DATA else []
    if isinstance(value, list | tuple):
        return [path for part in value for path in _paths(part)]
    if isinstance(value, dict):
        return [path for part in value.values() for path in _paths(part)]
    return []
