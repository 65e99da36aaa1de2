"""What a part of a problem cannot do without: a benchmark, the feed's sectors, a matrix of the feed and its columns.

A term, constraint or method that needs such a thing lists it in `needs`. Without it a limit would not exist, so there
is no problem to solve then, and the reason is told.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from components.optimizers.problem import Situation

Need: TypeAlias = tuple[str, ...]  # ("benchmark",), ("sectors",), ("reference", NAME) or ("column", REFERENCE, NAME)
BENCHMARK: Need = ("benchmark",)
SECTORS: Need = ("sectors",)


def reference(name: str, columns: Iterable[str] = ()) -> tuple[Need, ...]:
    """The needs of a part that reads this matrix, and these columns of it."""
    return (("reference", name), *(("column", name, column) for column in columns))


def needs_of(parts: Iterable[Any]) -> tuple[Need, ...]:
    """The needs of all parts, each once."""
    return tuple(dict.fromkeys(need for part in parts for need in getattr(part, "needs", ())))


def lacking(needs: Iterable[Need], at: Situation) -> str:
    """The first need that is not met, with what to do about it; empty where all are."""
    for kind, *names in needs:
        if kind == "benchmark" and not at.benchmark.any():
            return "there is no benchmark: set optimizer.benchmark to equal, targets or reference"
        if kind == "sectors" and not at.sectors:
            return "the feed has told no sectors: name a file under feed.sectors"
        if kind == "reference" and names[0] not in at.references:
            return f"no Reference {names[0]!r} has come: name a file under feed.reference"
        if kind == "column" and names[1] not in at.columns[names[0]]:
            known = ", ".join(at.columns[names[0]])
            return f"the Reference {names[0]!r} has no column {names[1]!r}, it has {known}: mend the name"
    return ""
