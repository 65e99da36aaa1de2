"""`samewire report`: the HTML report of a session directory."""

from pathlib import Path

from samewire.commands.common import NO_OUTPUT, Output, say, say_json


def report(directory: Path, /, *, out: Path | None = None, output: Output = NO_OUTPUT) -> int:
    """Renders the report of a finished session again.

    Parameters
    ----------
    directory
        A session directory, as `replay --out` writes it.
    out
        Where the HTML file goes; report.html in the directory when left out.
    """
    from engine.errors import DataError
    from samewire.reporting import render_report

    if not (directory / "manifest.json").is_file():
        raise DataError(f"{directory}: not a session directory, it has no manifest.json; name one that replay wrote")
    written = render_report(directory, out or directory / "report.html")
    if output.json:
        say_json({"ok": True, "report": str(written)})
    else:
        say(f"wrote {written}")
    return 0
