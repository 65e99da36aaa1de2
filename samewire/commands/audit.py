"""`samewire audit verify`: whether the audit log of a session is whole and as it was written."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import NO_OUTPUT, Output, say, say_json

if TYPE_CHECKING:
    from adapters.files.audit_file import Verdict


def verify(
    place: Path,
    /,
    *,
    head: Annotated[str, Parameter(help="The hash of a line that was noted elsewhere.", show_default=False)] = "",
    output: Output = NO_OUTPUT,
) -> int:
    """Walks the hash chain of an audit log: every line follows from the one before it, and none is missing.

    A chain proves its own order; that its end is missing shows only beside a hash kept elsewhere. The manifest of a
    session directory keeps one; --head takes any that you noted.

    Parameters
    ----------
    place
        A session directory, or the file itself.
    """
    from adapters.files.audit_file import FILE, walk
    from engine.errors import ConfigError

    if head and not re.fullmatch("[0-9a-f]{64}", head):
        raise ConfigError(f"--head {head!r} is no hash; give the 64 hexadecimal digits that `audit verify` printed")
    path = place / FILE if place.is_dir() else place
    kept = _kept(place) if place.is_dir() else {}
    found = walk(path, head or str(kept.get("head", "")))
    wrong, at = _wrong(found, head, kept)
    if output.json:
        facts = {"lines": found.lines, "head": found.head, "closed": found.closed}
        fault = {"wrong": wrong, "line": at} if wrong else {}
        say_json({"ok": not wrong, "file": str(path), **facts, **fault})
    else:
        say(f"{path}: {wrong}" if wrong else f"intact, {_many(found.lines)}, head {found.head}{_after(found, head)}")
    return 1 if wrong else 0


def _kept(directory: Path) -> dict[str, Any]:
    """What the manifest of a session says of its audit log, empty where it says nothing."""
    try:
        said = json.loads((directory / "manifest.json").read_text()).get("audit")
    except (OSError, ValueError, AttributeError):
        return {}
    return said if isinstance(said, dict) else {}


def _wrong(found: "Verdict", head: str, kept: dict[str, Any]) -> tuple[str, int]:
    """What is wrong and in which line, counted from 1; an empty text where nothing is."""
    if found.wrong:
        return f"line {found.at}: {found.wrong}", found.at
    if head:
        ends = f"no line has the hash {head}; the log was cut or written anew"
        return ("", 0) if found.head_at else (ends, found.lines + 1)
    if kept and (found.head, found.lines) != (kept.get("head"), kept.get("lines")):
        said = f"it has {_many(found.lines)} and ends in {found.head}, the manifest says {kept.get('lines')} lines and "
        return f"{said}{kept.get('head')}; it was cut, continued or written anew", found.lines + 1
    return "", 0


def _after(found: "Verdict", head: str) -> str:
    """What beside the verdict a reader must know."""
    said = "" if found.closed else "; its session has not ended, or its end was cut"
    more = found.lines - found.head_at if head else 0
    return f"; {_many(more)} after the hash that was asked for{said}" if more else said


def _many(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"
