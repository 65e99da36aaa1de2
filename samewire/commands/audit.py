"""`samewire audit verify`: whether the audit log of a session is whole and as it was written."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import NO_OUTPUT, Output, say, say_json

if TYPE_CHECKING:
    from samewire.audit_check import Checked


def verify(
    place: Path,
    /,
    *,
    head: Annotated[str, Parameter(help="The hash of a line that was noted elsewhere.", show_default=False)] = "",
    output: Output = NO_OUTPUT,
) -> int:
    """Walks the hash chain of an audit log: every line follows from the one before it, and none is missing.

    A chain proves its own order; that its end is missing shows only beside a hash kept elsewhere. The manifest of a
    session directory keeps one; --head takes any that you noted. In a session directory the lines are derived again
    from the journal and compared.

    Parameters
    ----------
    place
        A session directory, or the file itself.
    """
    from engine.errors import ConfigError
    from samewire.audit_check import check_audit

    if head and not re.fullmatch("[0-9a-f]{64}", head):
        raise ConfigError(f"--head {head!r} is no hash; give the 64 hexadecimal digits that `audit verify` printed")
    checked = check_audit(place, head)
    if output.json:
        say_json(_as_json(checked))
    else:
        say(f"{checked.path}: {checked.wrong}" if checked.wrong else _intact(checked))
    return 1 if checked.wrong else 0


def _as_json(checked: "Checked") -> dict[str, Any]:
    found = checked.found
    facts = {"lines": found.lines, "head": found.head, "closed": found.closed, "compared": list(checked.compared)}
    fault = {"wrong": checked.wrong, "line": checked.line} if checked.wrong else {}
    return {"ok": not checked.wrong, "file": str(checked.path), **facts, **fault}


def _intact(checked: "Checked") -> str:
    """The verdict, with what it rests on where that is less than a head that is kept elsewhere."""
    from samewire.audit_check import many

    found = checked.found
    figures = f"{many(found.lines)}, head {found.head}"
    if "head" in checked.compared or "manifest" in checked.compared:
        said = f"intact, {figures}"
    elif "journal" in checked.compared:
        said = f"intact beside its journal; compared with no head: {figures}"
    else:
        said = f"intact as far as the chain itself tells; compared with no head: {figures}"
    return "; ".join((said, *checked.said))
