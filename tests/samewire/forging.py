"""Session directories whose journal says something else, with every checksum and digest right."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapters.files.journal_file import JournalFile
from engine.journal import Journal
from samewire.recorded import open_recorded
from samewire.verifying import Verdict, verify

Told = list[list[tuple[str, Any]]]  # runs of (origin, event)


def told(session: Path) -> Told:
    """The runs of a session that has no features."""
    runs: Told = []
    for entry in open_recorded(session).entries():
        if entry.input:
            runs.append([])
        runs[-1].append((entry.origin, entry.event))
    return runs


def forged(session: Path, folder: Path, change: Callable[[Told], None]) -> Path:
    """The session at `folder`, after `change` of its runs; bars are kept by value."""
    shutil.copytree(session, folder, ignore=shutil.ignore_patterns("journal"))
    runs = told(session)
    change(runs)
    file = JournalFile(folder / "journal")
    journal = Journal(file.write)
    for run in runs:
        journal.append(*zip(*run, strict=True))
    journal.end()
    file.close()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"digest": journal.digest}))
    return folder


def verified(folder: Path) -> Verdict:
    return asyncio.run(verify(open_recorded(folder)))
