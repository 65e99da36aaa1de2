"""`samewire lookahead`: does anything in this run know what is still to come?"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json, table

if TYPE_CHECKING:
    from samewire.lookahead import Finding, Verdict
    from samewire.run_file import RunFile


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """What is looked at, and how closely."""

    cuts: Annotated[int, Parameter(help="Instants after which the future is changed, and taken away.")] = 4
    seed: Annotated[int, Parameter(help="What cuts and changes are drawn from.")] = 0
    slices: Annotated[int, Parameter(help="Slices of the session that are looked at, 0 = all of it.")] = 250
    fresh: Annotated[
        bool,
        Parameter(help="Also in a process of its own: finds what is kept on classes and modules.", negative=""),
    ] = False
    accept_unproven: Annotated[
        bool,
        Parameter(help="Exit with 0 though an input could not be altered; it is said all the same.", negative=""),
    ] = False


PLAIN = Asked()


def lookahead(
    run_file: Path,
    /,
    *,
    taken: Taken = AS_IT_STANDS,
    asked: Asked = PLAIN,
    output: Output = NO_OUTPUT,
) -> int:
    """Runs a run file over other futures and names what knew them: the component and its first event that moved.

    The exit code is 1 when something did, and when something could not be looked at.

    Parameters
    ----------
    run_file
        The YAML file.
    """
    from engine.clock import SystemClock
    from engine.errors import ConfigError
    from samewire.hindsight import hindsight
    from samewire.lookahead import look_ahead
    from samewire.opened import watching
    from samewire.progress import showing

    for name, value, least in (("--cuts", asked.cuts, 1), ("--seed", asked.seed, 0), ("--slices", asked.slices, 0)):
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
    with watching() as opened, showing(SystemClock(), quiet=output.quiet) as show:
        run = taken.load(run_file)
        verdict = asyncio.run(
            look_ahead(run, cuts=asked.cuts, seed=asked.seed, slices=asked.slices, fresh=asked.fresh, on_progress=show)
        )
    notes = (*notes_of(verdict, opened.unnamed(run_file, run)), *map(str, hindsight(run)))
    accepted = asked.accept_unproven or not notes
    if output.json:
        said = {"proven": not notes, "unproven": list(notes), "opened": list(opened.unnamed(run_file, run))}
        say_json(as_json(run_file, run, verdict) | said | {"ok": accepted and not verdict.findings})
    else:
        say(as_text(run_file, run, verdict, notes, accepted=accepted))
    return 0 if accepted and not verdict.findings else 1


def as_text(
    run_file: Path, run: "RunFile", verdict: "Verdict", notes: tuple[str, ...] = (), *, accepted: bool = True
) -> str:
    from samewire.diagnostics import shown_path
    from samewire.logs import iso

    checked = [channel.place for channel in verdict.channels if channel.covered]
    rows = [
        ("cuts", f"{len(verdict.cuts)}, {iso(verdict.cuts[0])[:10]} to {iso(verdict.cuts[-1])[:10]}"),
        ("slices", f"{verdict.slices:,}"),
        ("events compared", f"{verdict.events:,}"),
        ("changed, and gone", ", ".join(checked)),
    ]
    rows += [(f"{model} trained again", f"up to {iso(end - 1)[:10]}") for model, end in verdict.ends.items()]
    lines = [f"{shown_path(str(run_file))}: {_head(verdict, notes)}", table(rows)]
    for finding in verdict.findings:
        lines += ["", *_told(finding, run)]
    lines += [f"note: {text}" for text in notes]
    if not accepted and not verdict.findings:
        lines.append("look at these yourself, then say --accept-unproven")
    return "\n".join(lines)


def _head(verdict: "Verdict", notes: tuple[str, ...]) -> str:
    """What came out, in half a sentence."""
    knew = sum(finding.repeatable for finding in verdict.findings)
    chance = len(verdict.findings) - knew
    said = [f"{_several(knew, 'component')} knew what was to come"] if knew else []
    said += [f"{_several(chance, 'component')} said something else when asked twice"] if chance else []
    if not said and notes:
        return f"not proven: {_several(len(notes), 'input')} could not be altered, and nothing knew the others"
    return "; ".join(said) or "nothing knew what was to come"


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _told(finding: "Finding", run: "RunFile") -> list[str]:
    from samewire.altered import parts_by_place
    from samewire.diagnostics import shown_path
    from samewire.logs import iso

    owner = next(
        (f" ({k}, {part.use})" for k, part in parts_by_place(run).items() if _named(k, part) == finding.component), ""
    )
    field = finding.field + (f" of {finding.symbol}" if finding.symbol else "")
    rows = [("component", f"{finding.component}{owner}")]
    if finding.error:
        rows += [("raised", finding.error)]
    else:
        rows += [("first moved", f"{finding.event} of {iso(finding.ts)[:19]}Z, {field}")]
        rows += [("as it is", finding.was), ("another future", finding.now)]
    rows += [("cut", f"{iso(finding.cut.ts or 0)[:19]}Z, {finding.cut.said} (seed {finding.cut.seed})")]
    if finding.through is not None:
        rows += [("known by", f"{finding.through.place}: {shown_path(finding.through.text)}")]
    if finding.kept and finding.repeatable:
        rows += [("known by", "what an earlier run left in the process, such as a cache on a class or a module")]
    if not finding.repeatable:
        rows += [("but", "it differs between two runs over one history too: first find what it draws or reads anew")]
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]


def _named(place: str, part: Any) -> str:
    return str(part.name) if place.split("[")[0] in ("features", "models", "strategy") else place


def notes_of(verdict: "Verdict", opened: tuple[str, ...]) -> tuple[str, ...]:
    """What the check could not look at. While there is any, that nothing was found proves nothing."""
    from samewire.diagnostics import shown_path

    notes = [
        f"nothing tells what is later in {channel.place}: {shown_path(channel.text)}; it was left as it is"
        for channel in verdict.channels
        if not channel.covered
    ]
    notes += [
        f"{shown_path(path)} was opened and stands in no option: what it knows of the future was left as it is"
        for path in opened
    ]
    return (*notes, *(f"the artefact of {name} does not say up to when it learned" for name in verdict.undated))


def as_json(run_file: Path, run: "RunFile", verdict: "Verdict") -> dict[str, Any]:
    from msgspec import to_builtins

    from samewire.logs import iso

    findings = []
    for finding in verdict.findings:
        said = to_builtins(finding) | {"ts": iso(finding.ts)}
        said["cut"] |= {"ts": iso(finding.cut.ts or 0)}
        findings.append(said)
    return {
        "file": str(run_file),
        "name": run.session.name,
        "cuts": [iso(ts) for ts in verdict.cuts],
        "slices": verdict.slices,
        "events": verdict.events,
        "trained_until": {model: iso(end - 1) for model, end in verdict.ends.items()},
        "undated": list(verdict.undated),
        "channels": to_builtins(verdict.channels),
        "findings": findings,
    }
