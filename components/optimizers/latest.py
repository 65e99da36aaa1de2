"""What of the latest slice decides about orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.events import Codes, Status, Vector
from engine.state import placed


@dataclass(slots=True)
class Latest:
    """Status of each symbol's bar and the shares it traded, (N,)."""

    status: Codes
    volume: Vector | None = None  # None = not known of any


def unseen(n: int) -> Latest:
    """Before the first slice."""
    return Latest(np.full(n, Status.MISSING, np.int32), np.full(n, np.nan))


def restored(fields: Mapping[str, Any], symbols: Sequence[str]) -> Latest:
    """From a state that has `status`, `volume` and `symbols`: names appended to the universe since have no bar yet."""
    before = fields["symbols"]
    status = placed(fields["status"], before, symbols, Status.MISSING)
    return Latest(status, placed(fields["volume"], before, symbols, np.nan))


def rows_by_name(fields: Mapping[str, Any], symbols: Sequence[str]) -> Codes:
    """Rows `below` of a state that has `symbols`, in the universe of today."""
    place = {symbol: i for i, symbol in enumerate(symbols)}
    return np.array([place[fields["symbols"][row]] for row in fields["below"]], np.int32)
