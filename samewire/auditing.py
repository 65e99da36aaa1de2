"""The audit log of a session: what its first and last lines say."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samewire.build import libraries
from samewire.prepare import Prepared
from samewire.schema import config_hash

if TYPE_CHECKING:
    from adapters.files.audit_log import AuditLog


def open_audit(directory: Path | None) -> "AuditLog | None":
    """The log in this session directory; None where nothing is written."""
    from adapters.files.audit_file import FILE
    from adapters.files.audit_log import AuditLog

    return None if directory is None else AuditLog(directory / FILE)


def begin_audit(audit: "AuditLog | None", prepared: Prepared, named: dict[str, Any]) -> None:
    """The header, then what decides the session. The hash of the configuration covers what --set changed of it."""
    if audit is None:
        return
    run = prepared.run_file
    facts = {
        "name": run.session.name,
        "config_hash": config_hash(run),
        "seed": run.session.seed,
        "models": {name: artefact.hash for name, artefact in prepared.artefacts.items()},
        "libraries": libraries(),
    }
    audit.begin(prepared.feed.universe.symbols, {"run_id": named["run_id"], "started": named["created"]}, facts)


def end_audit(audit: "AuditLog | None", prepared: Prepared) -> dict[str, Any]:
    """The closing line. Returns what the manifest keeps: how many lines there are, and the hash of the last."""
    if audit is None:
        return {}
    slices = prepared.fold.rows.ts
    ts = int(slices[-1]) if len(slices) else 0
    audit.end(ts, {"journal": prepared.journal.digest, "feed": prepared.feed.hashes()})
    return {"audit": {"lines": audit.lines, "head": audit.head}}
