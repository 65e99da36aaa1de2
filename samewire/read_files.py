"""The files that components of a run file read by themselves, by hash: what paths among their options name."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from adapters.files.store import sha256_of
from engine.protocols import Table
from samewire.places import joined, relative_text
from samewire.provenance import named, tables_of
from samewire.run_file import RunFile, nested_in
from samewire.secret_text import SecretRef

_TEXT_MAX = 4096  # characters: a longer text is no path
_MOST = 2 << 30  # bytes of a file that a text names; of a larger one, or a closed one, the size is kept, and no hash


def files_of(run: RunFile, tables: Iterable[Table]) -> dict[str, str]:
    """SHA-256 of each file or folder that an option names, by its path as seen from the folder of the run file.

    Options typed Path, and of a class of the user's own every text that names a file, as seen from the folder of the
    run file or else from the working directory: whatever it is called, the class may read it. Texts of ours name none.
    Feeds of ours and tables have hashes of their own, sinks write, and so does what of ours names a folder: a place to
    keep work in. Secrets are never hashed.
    """
    own = tables_of(run, tables)
    found: dict[str, str] = {}
    for _, component in named(run):
        ours = ":" not in component.use
        if component.group == "feeds" and ours:
            continue
        for value in component.options.values():
            for path, said in _paths(value, run.folder):
                text = relative_text(path, run.folder)
                if text in own or text in found or (said and ours):
                    continue
                if path.is_file() or (path.is_dir() and not ours):
                    large = said and (path.stat().st_size > _MOST or not os.access(path, os.R_OK))
                    found[text] = f"{path.stat().st_size} bytes" if large else _hash(path)
    return found


def _paths(value: Any, folder: Path) -> Iterator[tuple[Path, bool]]:
    """The paths that the value of an option consists of, and whether a text names it; those of components in it are
    their own."""
    if isinstance(value, SecretRef) or nested_in(value):
        return
    if isinstance(value, Path):
        yield joined(folder, value), False
    elif isinstance(value, str):
        if 0 < len(value) <= _TEXT_MAX:
            places = (joined(folder, Path(value)), Path.cwd() / value)
            yield from [(place, True) for place in places if _is_file(place)][:1]
    elif isinstance(value, dict):
        yield from (path for inner in value.values() for path in _paths(inner, folder))
    elif isinstance(value, list | tuple):
        yield from (path for inner in value for path in _paths(inner, folder))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _paths(getattr(value, field.name), folder)


def _is_file(place: Path) -> bool:
    """Whether there is such a file. No name may be too long, and no folder closed, to be asked about."""
    try:
        return place.is_file()
    except OSError:
        return False


def _hash(path: Path) -> str:
    """Of a file its content; of a folder the names and contents of all files in it, in the order of their names."""
    if not path.is_dir():
        return sha256_of(path)
    whole = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        whole.update(f"{file.relative_to(path).as_posix()}\n{sha256_of(file)}\n".encode())
    return whole.hexdigest()
