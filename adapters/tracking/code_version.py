"""Which state of a folder under git a run came from."""

import hashlib
import subprocess
from pathlib import Path

_LIMIT_S = 10.0


def code_version(folder: Path) -> dict[str, str]:
    """The commit that a folder is at and the SHA-256 of what is changed in it; empty where there is no git or no
    repository. What the changes say is kept nowhere: they may hold secrets.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    changes = _git(folder, "diff", "HEAD", "--no-ext-diff", "--binary") or b""
    found = {"commit": commit.decode("ascii", "replace").strip()}
    return found | ({"uncommitted_sha256": hashlib.sha256(changes).hexdigest()} if changes else {})


def _git(folder: Path, *words: str) -> bytes | None:
    command = ["git", "-C", str(folder), *words]
    try:
        said = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout if said.returncode == 0 else None
