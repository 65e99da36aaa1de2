"""`samewire warmup`: does anything in this run need more history than it declares?"""

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json, table

if TYPE_CHECKING:
    from samewire.drift import Drift
    from samewire.run_file import RunFile
    from samewire.warmups import Outcome, Warmups

_SHOWN_MAX = 8  # features of a set that are shown one by one


def warmup(
    run_file: Path,
    /,
    *,
    taken: Taken = AS_IT_STANDS,
    slices: int = 20,
    tolerance: float = 1e-6,
    output: Output = NO_OUTPUT,
) -> int:
    """Runs the first slices of a session after warm-ups of several lengths and names what still drifts.

    Parameters
    ----------
    run_file
        The YAML file.
    slices
        Slices of the session that are looked at.
    tolerance
        The relative difference that counts as none: averages without an end forget geometrically.
    """
    from engine.clock import SystemClock
    from engine.errors import ConfigError
    from samewire.progress import showing
    from samewire.warmups import warm_ups

    if slices < 1:
        raise ConfigError(f"--slices must be at least 1, got {slices}")
    if not 0 <= tolerance < math.inf:
        raise ConfigError(f"--tolerance must be at least 0, got {tolerance}")
    run = taken.load(run_file)
    with showing(SystemClock(), quiet=output.quiet) as show:
        found = asyncio.run(warm_ups(run, slices=slices, tolerance=tolerance, on_progress=show))
    if output.json:
        say_json(as_json(run_file, run, found))
    else:
        say(as_text(run_file, run, found))
    return 1 if found.too_short else 0


def as_text(run_file: Path, run: "RunFile", found: "Warmups") -> str:
    from samewire.diagnostics import shown_path

    count = len(found.too_short)
    head = "every lookback is long enough"
    if count:
        head = f"{count} {'component needs' if count == 1 else 'components need'} more history than declared"
        if not any(outcome.repeatable for outcome in found.too_short):
            head = f"{count} {'component' if count == 1 else 'components'} said something else when asked twice"
    start = "the first slice" if found.start is None else str(found.start)
    rows = [
        ("session from", start + (", later than the run file says, for the sake of history" if found.moved else "")),
        ("slices", f"{found.slices}"),
        ("warm-ups", ", ".join(map(str, found.lengths))),
        ("compared with", ", ".join(_longest(found).values())),
        ("tolerance", f"{found.tolerance:g}"),
    ]
    lines = [f"{shown_path(str(run_file))}: {head}", table(rows), "", *_summary(found)]
    for outcome in found.too_short:
        lines += ["", *_told(outcome, run)]
    return "\n".join(lines)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first = widths[0]
    return [
        "  " + "  ".join([f"{row[0]:<{first}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]


def _summary(found: "Warmups") -> list[str]:
    """One line a component, after the warm-up that it declares."""
    rows = [("component", "lookback", "enough", "max drift", "median", "within from", "")]
    for each in found.outcomes:
        drift, enough = each.drift, _enough(each)
        said = "ok" if each.ok else f"follows {each.follows}" if each.follows else "TOO SHORT"
        said = said if each.repeatable else "CHANCE"
        numbers = (f"{drift.max:.2g}", f"{drift.median:.2g}", _slice(drift.settled))
        rows.append((each.declared.name, str(each.declared.lookback), enough, *numbers, said))
    return [line.rstrip() for line in _columns(rows)]


def _longest(found: "Warmups") -> dict[str, str]:
    """By interval; without its name where there is one only."""
    from adapters.operators.buckets import longer_text

    if len(found.longest) == 1:
        return {"": str(*found.longest.values())}
    return {longer_text(interval): f"{count} of {longer_text(interval)}" for interval, count in found.longest.items()}


def _enough(each: "Outcome") -> str:
    if each.follows or not each.repeatable:
        return "-"
    if each.enough is None:
        return f"> {each.tried}"
    return f"<= {each.enough}" if each.enough <= each.declared.lookback else str(each.enough)


def _slices(count: int) -> str:
    return f"{count} slice" if count == 1 else f"{count} slices"


def _slice(k: int | None) -> str:
    return "never" if k is None else str(k)


def _told(outcome: "Outcome", run: "RunFile") -> list[str]:
    """How it drifts, by warm-up; which of its features do, or what it is made of."""
    from samewire.altered import all_places

    declared = outcome.declared
    would = "would be enough"
    enough = f"{outcome.enough} {would}" if outcome.enough is not None else f"more than {outcome.tried} are needed"
    if not outcome.repeatable:
        enough = "but it differs between two runs after one warm-up too: first find what it draws or reads anew"
    lines = [f"  {declared.kind} {declared.name} declares a lookback of {_slices(declared.lookback)}; {enough}"]
    rows = [("warm-up", "max drift", "median", "within from slice", "furthest off")]
    for length, drifts in outcome.by_length.items():
        if drifts:
            worst = max(drifts, key=lambda drift: drift.max)
            rows.append((str(length), f"{worst.max:.2g}", f"{worst.median:.2g}", _slice(worst.settled), worst.name))
    lines += _columns(rows)
    off = [drift for drift in outcome.by_length.get(declared.lookback, ()) if drift.beyond is not None]
    if declared.kind == "features" and off:
        off.sort(key=lambda drift: -drift.max)
        shown = ", ".join(f"{drift.name} ({drift.max:.2g})" for drift in off[:_SHOWN_MAX])
        more = f" and {len(off) - _SHOWN_MAX} more" if len(off) > _SHOWN_MAX else ""
        lines.append(f"  drifting after {declared.lookback}: {shown}{more}")
    made_of = [f"{place} ({part.use})" for place, part in all_places(run).items() if place.startswith("optimizer.")]
    if declared.kind == "optimizer" and made_of:
        lines.append(f"  made of {', '.join(made_of)}")
    return lines


def as_json(run_file: Path, run: "RunFile", found: "Warmups") -> dict[str, Any]:
    """Infinite drifts, of values known in one run only, are null."""
    return {
        "ok": not found.too_short,
        "file": str(run_file),
        "name": run.session.name,
        "start": None if found.start is None else str(found.start),
        "moved": found.moved,
        "warmups": list(found.lengths),
        "compared_with": {str(interval): count for interval, count in found.longest.items()},
        "slices": found.slices,
        "tolerance": found.tolerance,
        "too_short": [outcome.declared.name for outcome in found.too_short],
        "components": [_outcome(outcome) for outcome in found.outcomes],
    }


def _outcome(outcome: "Outcome") -> dict[str, Any]:
    declared = outcome.declared
    return {
        "component": declared.name,
        "kind": declared.kind,
        "lookback": declared.lookback,
        "ok": outcome.ok,
        "follows": outcome.follows or None,
        "enough": outcome.enough,
        "repeatable": outcome.repeatable,
        "drift": _drift(outcome.drift),
        "by_warmup": {str(length): [_drift(drift) for drift in row] for length, row in outcome.by_length.items()},
    }


def _drift(drift: "Drift") -> dict[str, Any]:
    return {
        "name": drift.name,
        "max": drift.max if math.isfinite(drift.max) else None,
        "median": drift.median if math.isfinite(drift.median) else None,
        "within_from": drift.settled,
    }
