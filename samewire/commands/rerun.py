"""`samewire rerun`: the same session again, from the hashes of its manifest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from samewire.commands.common import NO_OUTPUT, Allow, Output, allowed, say, say_json

if TYPE_CHECKING:
    from samewire.findings import Finding
    from samewire.recorded import Recorded

SAME, DIFFERENT = 0, 1


def rerun(
    directory: Path,
    /,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    anyway: bool = False,
    allow: Allow = (),
    output: Output = NO_OUTPUT,
) -> int:
    """Runs a recorded session again, training included, and compares its digest.

    Before it runs, everything that the manifest has a hash of is looked at: run file, libraries, code, data. The first
    that differs is named, and nothing runs. The exit code is 1 then, and where the digest is another.
    A model that a registry named is the one the session had, whatever the registry says by now.

    Parameters
    ----------
    directory
        The session directory.
    out
        Session directory to write. Nothing is written when left out.
    overwrite
        Replace the session directory that is there.
    anyway
        Run even where something differs.
    """
    from samewire.artefacts import pinned
    from samewire.commands.replay import run_with_progress
    from samewire.recorded import open_recorded
    from samewire.rerunning import first_change

    recorded = open_recorded(directory, allowed(allow))
    change = first_change(recorded)
    if change is not None and not anyway:
        said = f"{change}; mend it, or say --anyway to run all the same"
        if output.json:
            say_json({"ok": False, "ran": False, "identical": False, "first": change.__dict__, "message": said})
        else:
            say(f"not run: {said}")
        return DIFFERENT
    run = pinned(recorded.run, recorded.directory)
    result = run_with_progress(run, out, overwrite, output)
    return _tell(recorded, change, result.summary, output)


def _tell(recorded: "Recorded", change: "Finding | None", summary: dict[str, Any], output: Output) -> int:
    digest = str(summary["digest"])
    same = recorded.ended and digest == recorded.digest
    if output.json:
        first = None if change is None else change.__dict__
        told = {"ok": same, "ran": True, "identical": same, "digest": digest, "recorded": recorded.digest}
        say_json(told | {"first": first, "summary": summary})
        return SAME if same else DIFFERENT
    if not recorded.ended:
        say(f"digest {digest}; the recorded session did not come to its end, so it has none to compare with")
        return DIFFERENT
    say(f"identical, digest {digest}" if same else f"differs: digest {digest}, recorded was {recorded.digest}")
    if change is not None:
        say(f"  {change}")
    elif not same:
        say(f"  nothing that has a hash has changed; samewire verify {recorded.directory} shows where it differs")
    return SAME if same else DIFFERENT
