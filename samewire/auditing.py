"""The audit log of a session: what its first and last lines say."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from samewire.build import libraries
from samewire.manifest import SCHEMA
from samewire.prepare import Prepared
from samewire.schema import config_hash

if TYPE_CHECKING:
    from adapters.files.audit_log import AuditLog


NOTHING: Mapping[str, Any] = MappingProxyType({})


def begin_audit(
    audit: "AuditLog", prepared: Prepared, named: dict[str, Any], recorded: Mapping[str, Any] = NOTHING
) -> None:
    """The header, then what decides the session. The hash of the configuration covers what --set changed of it.

    `recorded` is what the manifest of a session that ran elsewhere says: libraries are those that it ran with.
    """
    run = prepared.run_file
    facts = {
        "name": run.session.name,
        "manifest": SCHEMA,
        "config_hash": config_hash(run),
        "seed": run.session.seed,
        "models": {name: artefact.hash for name, artefact in prepared.artefacts.items()},
        "libraries": recorded.get("libraries", libraries()),
    }
    audit.begin(prepared.feed.universe.symbols, {"run_id": named["run_id"], "started": named["created"]}, facts)


def end_audit(
    audit: "AuditLog", prepared: Prepared, recorded: Mapping[str, Any] = NOTHING, *, failed: str = ""
) -> dict[str, Any]:
    """The closing line, which says why the session failed where it did.

    Returns what the manifest keeps: how many lines there are, and the hash of the last.
    """
    files = recorded["feed"]["hashes"] if "feed" in recorded else prepared.feed.hashes()
    facts = {"journal": prepared.journal.digest, "feed": files}
    audit.end(prepared.fold.slice_ts, facts | ({"failed": failed} if failed else {}))
    return {"audit": {"lines": audit.lines, "head": audit.head}}
