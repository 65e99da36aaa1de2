"""What a session directory keeps of a session from its beginning on, so that one that fails can be read."""

import contextlib
import datetime as dt
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.calendar import Sessions
from engine.clock import Clock
from engine.errors import SamewireError, writing
from samewire.auditing import NOTHING, begin_audit, end_audit
from samewire.hiding import hider
from samewire.instruments import facts_of
from samewire.manifest import SCHEMA
from samewire.places import relative_text
from samewire.prepare import Prepared
from samewire.provenance import provenance, tables_of
from samewire.read_files import files_of
from samewire.run_file import RunFile
from samewire.schema import config_hash, dump_run, resolved
from samewire.session_folder import SessionFolder
from samewire.statements import results_of

if TYPE_CHECKING:
    from adapters.files.audit_log import AuditLog
    from adapters.files.journal_file import JournalFile


# What the manifest of a session that ran elsewhere says of that, and no reading back may change.
_WHERE_IT_RAN = ("code", "components", "tables", "files", "libraries", "python", "machine")


def names_of(run: RunFile, clock: Clock, run_id: str) -> dict[str, Any]:
    """What tells this run from another of the same inputs."""
    now = clock.now_ns()
    made = hashlib.blake2b(f"{config_hash(run)}{now}{os.getpid()}".encode(), digest_size=8).hexdigest()
    created = dt.datetime.fromtimestamp(now // 10**9, dt.UTC).isoformat()
    return {"run_id": run_id or made, "name": run.session.name, "created": created}


class Keeping:
    """Journal, audit log, run file and manifest of one session.

    The manifest is there from the beginning, with `"ended": false` and no digest, and again at the end: a session that
    is killed in between can be read from where it was written. With `at_once` its journal is there as it comes.
    `recorded` is the manifest of a session that ran elsewhere, whose code, libraries and files are kept as they were.
    """

    def __init__(
        self,
        out: Path,
        overwrite: bool,
        names: dict[str, Any],
        *,
        at_once: bool = False,
        recorded: Mapping[str, Any] = NOTHING,
    ) -> None:
        self._folder, self._names, self._recorded = SessionFolder(out, overwrite), names, recorded
        self._provenance: dict[str, Any] = {}
        try:
            with writing(out):
                self.journal, self.audit = _files(self.folder, at_once)
        except BaseException:
            self._folder.discard()
            raise

    @property
    def folder(self) -> Path:
        return self._folder.place

    def begin(self, prepared: Prepared) -> None:
        """Everything that is known before the first input."""
        run, tables = prepared.run_file, prepared.tables
        self._provenance = provenance(run, tables) | {"files": files_of(run, tables)}
        begin_audit(self.audit, prepared, self._names, self._recorded)
        self._write(prepared, {"ended": False, "digest": ""})

    def end(self, prepared: Prepared, *, ended: bool = True) -> None:
        """Summary and tables are there: what its directory says of the session from now on.

        One that was stopped or still runs, not `ended`, has no digest of all of it.
        """
        said: dict[str, Any] = {"ended": ended, "digest": prepared.journal.digest if ended else ""}
        said |= end_audit(self.audit, prepared, self._recorded) | _calendar(prepared, self.folder)
        self._write(prepared, said | {"results": results_of(self.folder)})

    def finish(self) -> None:
        self._folder.finish()

    def fail(self, prepared: Prepared, error: SamewireError, *, digest: str = "") -> None:
        """Keeps what was recorded until the session failed. The error's last words are where.

        `digest` is that of its journal, where that is not the session's own.
        """
        said = str(error).replace(f"{prepared.run_file.folder}{os.sep}", "")  # no record names a place of the machine
        with contextlib.suppress(OSError):  # a full disk: what is there already is kept as it is
            self.journal.close()
            facts = {"ended": False, "digest": digest or prepared.journal.digest, "error": said}
            self._write(prepared, facts | end_audit(self.audit, prepared, self._recorded, failed=said))
        error.args = (f"{error}; what was recorded until then is in {self._folder.fail()}",)

    def discard(self) -> None:
        """Closes the files. Of a session that is neither finished nor kept nothing is left."""
        with contextlib.suppress(OSError):
            self.journal.close()
        with contextlib.suppress(OSError):
            self.audit.close()
        self._folder.discard()

    def _write(self, prepared: Prepared, facts: dict[str, Any]) -> None:
        manifest = {"schema": SCHEMA} | self._names | facts | _manifest(prepared, self.folder) | self._provenance
        manifest["tables"] = tables_of(prepared.run_file, prepared.tables)
        manifest |= {key: self._recorded[key] for key in _WHERE_IT_RAN if key in self._recorded}
        if "feed" in self._recorded:
            manifest["feed"]["hashes"] = self._recorded["feed"]["hashes"]
        write_json(self.folder / "manifest.json", hider().inside(manifest))
        (self.folder / "run.yaml").write_text(dump_run(prepared.run_file, self.folder))


def write_json(path: Path, value: Any) -> None:
    """The file appears whole or not at all: a kill leaves the older one."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
    part.replace(path)


def _files(folder: Path, at_once: bool) -> "tuple[JournalFile, AuditLog]":
    from adapters.files.audit_file import FILE
    from adapters.files.audit_log import AuditLog
    from adapters.files.journal_file import JournalFile

    return JournalFile(folder / "journal", at_once=at_once), AuditLog(folder / FILE)


def _manifest(prepared: Prepared, directory: Path) -> dict[str, Any]:
    """What a rerun needs, and what a reader of the report wants to know."""
    run, feed = prepared.run_file, prepared.feed
    issues = (*feed.issues(), *prepared.table_issues)
    return {
        "config_hash": config_hash(run),
        "config": resolved(run),
        "folder": relative_text(run.folder, directory.resolve()),
        "seed": run.session.seed,
        "interval_ns": feed.interval_ns,
        "fill": run.broker.options.get("fill"),
        "universe": facts_of(feed.universe),
        "feed": {
            "use": run.feed.use,
            "hashes": feed.hashes(),
            "issues": [msgspec.to_builtins(issue) for issue in issues],
        },
        "models": {name: artefact.hash for name, artefact in prepared.artefacts.items()},
    }


def _calendar(prepared: Prepared, directory: Path) -> dict[str, Any]:
    """The trading days that the session ran by, written beside the manifest; nothing where no calendar names them."""
    from adapters.calendars.record import columns, facts, of_run
    from adapters.files.session_dir import write_columns

    sessions: Sessions | None = getattr(prepared.feed, "sessions", None)
    slices = prepared.fold.rows.ts
    found = None if sessions is None else of_run(sessions, int(slices[0]), int(slices[-1]))
    if found is None:
        return {}
    write_columns(directory / "calendar.parquet", columns(found))
    return {"calendar": facts(found)}
