"""Files that are whole or not there."""

import contextlib
import os
import threading
from pathlib import Path

from engine.errors import StateError


def write_whole(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Writes beside and renames; an older file stays until then. StateError where it cannot be written.

    With `sync` it survives a power cut once this returns.
    """
    making = path.parent / f".{path.name}.{os.getpid()}.{threading.get_native_id()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with making.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        making.rename(path)
    except OSError as error:
        raise StateError(
            f"{path}: it cannot be written ({error.strerror}); what was there before is unharmed; free some space or "
            "look at who may write there, and run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            making.unlink(missing_ok=True)
