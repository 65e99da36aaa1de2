"""What every command shares: the options for output, and how it is written."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """How the command speaks."""

    format: Annotated[Literal["text", "json"], Parameter(help="json: one JSON document on stdout, for scripts.")] = (
        "text"
    )
    quiet: Annotated[bool, Parameter(help="No progress.", negative="")] = False
    debug: Annotated[bool, Parameter(help="Show the traceback of an error.", negative="")] = False
    log_format: Annotated[
        Literal["auto", "console", "json"], Parameter(help="auto: console on a terminal, else json.")
    ] = "auto"

    @property
    def json(self) -> bool:
        return self.format == "json"


Overrides = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set", help="PATH=VALUE, e.g. strategy.topk=20; may be given again.", negative="", show_default=False
    ),
]
NO_OUTPUT = Output()


def say(text: str) -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")


def say_json(value: Any) -> None:
    say(json.dumps(value, allow_nan=False, default=str))


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Two columns.

    >>> print(table([("Cost", "12"), ("Sharpe", "1.5")]))
      Cost      12
      Sharpe   1.5
    """
    left = max((len(name) for name, _ in rows), default=0)
    right = max((len(value) for _, value in rows), default=0)
    return "\n".join(f"  {name:<{left}}  {value:>{right}}" for name, value in rows)
