"""What trainings that never came to their end left in a store to go on from."""

import contextlib
import fcntl
import shutil
from pathlib import Path

import msgspec


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """The folder of one training."""

    run: str
    bytes: int
    busy: bool  # it is being trained now


def leftovers(store: Path, *, remove: bool = False) -> tuple[Leftover, ...]:
    """Those of a store, by run; with `remove` they are removed, unless they are busy."""
    work = store / "work"
    if not work.is_dir():
        return ()
    return tuple(_left(folder, remove) for folder in sorted(work.iterdir()) if _of_training(folder))


def _of_training(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and folder.with_name(f"{folder.name}.lock").is_file()


def _left(folder: Path, remove: bool) -> Leftover:
    size = _size(folder)
    with folder.with_name(f"{folder.name}.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Leftover(run=folder.name, bytes=size, busy=True)
        if remove:
            shutil.rmtree(folder)
    return Leftover(run=folder.name, bytes=size, busy=False)


def _size(folder: Path) -> int:
    """Bytes in it; two names of one file count once, and what goes away meanwhile not at all."""
    found: dict[int, int] = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            stat = path.lstat()
            found[stat.st_ino] = stat.st_size if path.is_file() else 0
    return sum(found.values())
