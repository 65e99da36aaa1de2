"""The trading days of a run as they are kept beside its manifest."""

import hashlib
from typing import Any

import numpy as np

from engine.calendar import Sessions
from engine.events import DAY_NS, Stamps
from engine.instants import day_text

_COLUMNS = ("label", "opens", "closes", "break_from", "break_to")


def of_run(sessions: Sessions, low: int, high: int) -> Sessions | None:
    """The trading days that bars of low <= ts <= high lie in; None where these lie in none."""
    if not ((sessions.closes >= low) & (sessions.opens < high)).any():
        return None
    return sessions.between(low, high - 1)


def facts(sessions: Sessions) -> dict[str, Any]:
    """What the manifest says of a table: its origin, its first and last day, and the SHA-256 of its numbers."""
    digest = hashlib.sha256()
    for name in _COLUMNS:
        digest.update(getattr(sessions, name).astype("<i8").tobytes())
    first, last = (day_text(sessions.label[k]) for k in (0, -1))
    return {
        "name": sessions.name,
        "source": sessions.source,
        "zone": sessions.zone,
        "sessions": len(sessions),
        "first": first,
        "last": last,
        "sha256": digest.hexdigest(),
    }


def columns(sessions: Sessions) -> dict[str, Any]:
    """The table for people and other programs: dates, and UTC instants that are null where there is no break."""
    import pyarrow as pa

    def instants(column: Stamps) -> Any:
        return pa.array(column, mask=column == 0).cast(pa.timestamp("ns", "UTC"))

    days = pa.array((sessions.label // DAY_NS).astype(np.int32)).cast(pa.date32())
    return {"label": days} | {name: instants(getattr(sessions, name)) for name in _COLUMNS[1:]}
