"""What every command shares: the options for output, and how it is written."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from samewire.run_file import RunFile


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
Allow = Annotated[
    tuple[str, ...],
    Parameter(
        name="--allow",
        help="Module or package whose classes the run file may name; may be given again. built-in: none beside ours.",
        negative="",
        show_default=False,
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Taken:
    """How the run file is taken."""

    overrides: Overrides = ()
    allow: Allow = ()

    def load(self, run_file: Path, *, live: bool = False) -> "RunFile":
        """The checked run file; of a `live` session whose topics may hold its trained models."""
        from samewire.schema import load_run

        return load_run(run_file, self.overrides, allow=allowed(self.allow), live=live)


AS_IT_STANDS = Taken()
BUILT_IN_ONLY = "built-in"  # no module can be called so
NO_OUTPUT = Output()


def allowed(names: Sequence[str]) -> tuple[str, ...] | None:
    """The modules after --allow, as `load_run` takes them; without the option every module may be imported.

    >>> allowed(()), allowed(("built-in",)), allowed(("built-in", "mine"))
    (None, (), ('mine',))
    """
    return tuple(name for name in names if name != BUILT_IN_ONLY) if names else None


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
