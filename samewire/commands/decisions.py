"""`samewire decisions`: how a recorded session decided."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samewire.commands.common import NO_OUTPUT, Output, say, say_json

if TYPE_CHECKING:
    from adapters.report import Grid

_GAP = "  "


def decisions(directory: Path, /, *, output: Output = NO_OUTPUT) -> int:
    """What each constraint cost, who answered, fallbacks and conflicts, rounding, sleeves, exits and filters.

    Everything is read from the notes of the journal, so that it tells of a session that failed, too. What the
    decisions earned is told by `samewire attribution`.

    Parameters
    ----------
    directory
        The session directory.
    """
    import msgspec

    from samewire.decided import decided
    from samewire.recorded import open_recorded
    from samewire.report_decisions import decision_grids

    found = decided(open_recorded(directory))
    if output.json:
        say_json({"ok": True, **msgspec.to_builtins(found)})
        return 0
    grids = decision_grids(found)
    if found.rebalances:
        say(f"{found.rebalances:,} rebalances, {found.answered:,} of them answered with weights")
    elif not grids:
        say("no component left a note about its decisions: no weights were solved for, no rule or filter did anything")
    for grid in grids:
        say("\n" + _text(grid))
    return 0


def _text(grid: "Grid") -> str:
    columns = [[head, *(row[j] for row in grid.rows)] for j, head in enumerate(grid.head)]
    aligned = [_aligned(column, left=j in grid.text) for j, column in enumerate(columns)]
    lines = [_GAP + _GAP.join(cells).rstrip() for cells in zip(*aligned, strict=True)]
    return "\n".join([grid.title, *([grid.caption] if grid.caption else []), "", *lines])


def _aligned(column: Sequence[str], *, left: bool) -> list[str]:
    width = max(map(len, column))
    return [cell.ljust(width) if left else cell.rjust(width) for cell in column]
