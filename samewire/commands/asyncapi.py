"""`samewire asyncapi`: what others may rely on in the topics of Kafka."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from samewire.commands.common import NO_OUTPUT, Output, say


def asyncapi(
    *,
    schema: Annotated[str, Parameter(show_default=False)] = "",
    out: Path | None = None,
    output: Output = NO_OUTPUT,
) -> int:
    """Prints the AsyncAPI 3.0 document of the public topics, or writes it to a file.

    Parameters
    ----------
    schema
        The JSON Schema of the messages of one kind of topic instead, e.g. signals.
    out
        File to write; stdout when left out.
    """
    from adapters.kafka.asyncapi import document, json_schema
    from adapters.kafka.topics import PUBLIC
    from engine.errors import ConfigError
    from samewire.cli import version
    from samewire.closest import closest

    if schema and schema not in PUBLIC:
        near = closest(schema, PUBLIC)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ConfigError(f"--schema: no topic is of kind {schema!r}; expected one of: {', '.join(PUBLIC)}{hint}")
    said = json_schema(schema) if schema else document(version())
    text = json.dumps(said, indent=None if output.json and out is None else 2)
    if out is None:
        say(text)
        return 0
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    say(json.dumps({"ok": True, "file": str(out)}) if output.json else f"wrote {out}")
    return 0
