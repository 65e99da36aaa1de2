"""The folder of a session in the making: it becomes `out` whole, or `NAME.failed` beside it, or nothing."""

import itertools
import json
import os
import shutil
from pathlib import Path

from engine.errors import ConfigError

FAILED = ".failed"
_KEYS = frozenset(("run_id", "digest", "config_hash"))  # what every manifest of ours says


def is_session(folder: Path) -> bool:
    """Whether it holds the manifest of a session: nothing else is ever replaced. A link is none."""
    if folder.is_symlink():
        return False
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.keys() >= _KEYS


class SessionFolder:
    """Where a session is written: `place`, hidden beside `out` until it is finished.

    ConfigError where `out` may not be replaced, when it begins and again when it finishes.
    """

    def __init__(self, out: Path, overwrite: bool) -> None:
        _refuse_what_is_there(out, overwrite)
        self._out, self._overwrite, self._stays = out, overwrite, False
        self.place = _new_beside(out, "part")

    def finish(self) -> None:
        """It is whole: `out` appears, in place of an older one."""
        _refuse_what_is_there(self._out, self._overwrite)  # another run may have finished there meanwhile
        self._move(self._out)

    def fail(self) -> Path:
        """It is kept as `NAME.failed`, in place of an older one. Where another's folder has that name, it stays."""
        self._stays = True
        failed = self._out.with_name(self._out.name + FAILED)
        if is_session(failed) or not (failed.exists() or failed.is_symlink()):
            self._move(failed)
        return self.place

    def discard(self) -> None:
        """Nothing is left of it, unless it was kept or is finished."""
        if not self._stays:
            shutil.rmtree(self.place, ignore_errors=True)

    def _move(self, to: Path) -> None:
        if to.exists():
            old = _new_beside(to, "old")
            to.rename(old / to.name)
            self.place.rename(to)
            shutil.rmtree(old, ignore_errors=True)
        else:
            self.place.rename(to)
        self.place, self._stays = to, True


def _refuse_what_is_there(out: Path, overwrite: bool) -> None:
    if out.is_symlink():
        raise ConfigError(f"{out}: it is a link, so it is not replaced; name the folder itself with --out")
    if not out.exists():
        return
    if not overwrite:
        raise ConfigError(f"{out}: it is there already; choose another --out, or say --overwrite to replace it")
    if not is_session(out) and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: it is not a session directory, so it is not replaced; choose another --out")


def _new_beside(out: Path, kind: str) -> Path:
    """A new hidden folder. What a killed process of the same number left is evidence, and stays."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for count in itertools.count(1):
        place = out.with_name(f".{out.name}.{os.getpid()}{f'-{count}' if count > 1 else ''}.{kind}")
        try:
            place.mkdir()
        except FileExistsError:
            continue
        return place
    raise AssertionError("there is always a next number")
