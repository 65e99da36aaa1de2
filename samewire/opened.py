"""Which files of data and which hosts are opened while something runs: what no option of a run file names."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samewire.altered import all_places
from samewire.run_file import RunFile

# Files that hold data. Code, configuration, time zones and libraries are opened all the time and know no prices.
_DATA = frozenset(
    (".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".pq", ".feather", ".arrow", ".npy", ".npz")
    + (".h5", ".hdf5", ".xlsx", ".db", ".sqlite", ".gz", ".zip", ".bin", ".dat")
)


class Opened:
    """What was opened so far. A library that opens files by itself, such as Arrow or Polars, is not seen."""

    def __init__(self) -> None:
        self.watching = True
        self.seen: list[str] = []

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        found = ""
        if event in ("open", "sqlite3.connect") and isinstance(arguments[0], str | Path):
            path = os.path.abspath(arguments[0])
            found = path if Path(path).suffix.lower() in _DATA and not _of_a_library(path) else ""
        elif event == "socket.connect":
            found = _host(arguments[1])
        if found and found not in self.seen:
            self.seen.append(found)

    def unnamed(self, run: RunFile) -> tuple[str, ...]:
        """Of it, what no option of the run file names."""
        named: list[Path] = [run.folder / "run.yaml"]
        for component in all_places(run).values():
            for value in component.options.values():
                named += _paths(value)
        named += [spec.artefact for spec in run.models if spec.artefact is not None]
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


def _of_a_library(path: str) -> bool:
    """Whether it belongs to Python, an installed package, the system, or to what is written for the moment."""
    import tempfile

    from adapters.files.store import cache_folder

    scratch = os.path.join(tempfile.gettempdir(), "samewire-")
    own = (sys.prefix, sys.base_prefix, os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/adapters/")
    return path.startswith((*own, scratch, str(cache_folder()), "/proc/", "/sys/", "/dev/", "/etc/", "/usr/"))


def _host(address: Any) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and len(address) > 1 else ""


def _paths(value: Any) -> list[Path]:
    if isinstance(value, Path):
        return [value]
    if isinstance(value, str):
        return [Path(value)] if value else []
    if isinstance(value, list | tuple):
        return [path for part in value for path in _paths(part)]
    if isinstance(value, dict):
        return [path for part in value.values() for path in _paths(part)]
    return []
