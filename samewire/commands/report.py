"""`samewire report`: the HTML report of a session directory, or of two side by side."""

from pathlib import Path

from samewire.commands.common import NO_OUTPUT, Output, say, say_json


def report(
    directory: Path, second: Path | None = None, /, *, out: Path | None = None, output: Output = NO_OUTPUT
) -> int:
    """Renders the report of a finished session again; with a second directory, both side by side.

    Parameters
    ----------
    directory
        A session directory, as `replay --out` writes it.
    second
        Another one, to compare it with.
    out
        Where the HTML file goes; report.html in the directory when left out, compare.html there for two.
    """
    from engine.errors import ConfigError, DataError

    if out is not None and out.is_dir():
        raise ConfigError(f"{out}: it is a folder; name the HTML file to write with --out")
    for folder in (directory,) if second is None else (directory, second):
        if not (folder / "manifest.json").is_file():
            raise DataError(f"{folder}: not a session directory, it has no manifest.json; name one that replay wrote")
    if second is None:
        from samewire.reporting import render_report

        written = render_report(directory, out)
    else:
        from samewire.comparing import render_comparison

        written = render_comparison(directory, second, out)
    if output.json:
        say_json({"ok": True, "report": str(written)})
    else:
        say(f"wrote {written}")
    return 0
