"""`samewire config`: what a run file may say."""

import json
from pathlib import Path

from samewire.commands.common import NO_OUTPUT, Output, say


def schema(*, out: Path | None = None, output: Output = NO_OUTPUT) -> int:
    """Prints the JSON Schema of run files, or writes it to a file that an editor can name.

    Parameters
    ----------
    out
        File to write; stdout when left out.
    """
    from samewire.json_schema import json_schema

    text = json.dumps(json_schema(), indent=None if output.json and out is None else 2, default=str)
    if out is None:
        say(text)
        return 0
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    say(json.dumps({"ok": True, "file": str(out)}) if output.json else f"wrote {out}")
    return 0
