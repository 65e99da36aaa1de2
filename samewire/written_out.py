"""Secrets that stand in a run file in clear: refused where that can be told, and shown in no message."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.secret import HIDDEN
from samewire.diagnostics import Problem, RunFileErrors
from samewire.secret_text import IN_ADDRESS, LEAST, NAMED_SECRET
from samewire.yaml_text import Entries, Items, Node, Text

# A line of a file that is not YAML, or not yet: what follows a key with the name of a secret.
_IN_LINE = re.compile(
    r"(?i)([\w.-]*(?:passw(?:or)?d|passphrase|secret|token|(?:api|access|private|secret)[_-]?key|credentials?)[\"'\]\[\d]*\s*[:=]\s*)"
    r"(?!\$\{|\[hidden\])([^\s,}{\[][^,}]*)"
)


def errors_of(name: str, problems: Sequence[Problem], root: Node | None) -> RunFileErrors:
    """The problems of a run file, none of which shows a secret."""
    secrets = [problem.secret for problem in problems if problem.secret]
    secrets += [] if root is None else list(_named(root))
    secrets.sort(key=len, reverse=True)
    return RunFileErrors(name, [_unshown(problem, secrets) for problem in problems])


def refuse_addresses(node: Node, problems: list[Problem], path: str = "") -> None:
    """A password within an address, as in `https://me:password@host`, is a secret that is written out."""
    if isinstance(node, Text):
        found = IN_ADDRESS.search(node.value)
        if found is not None:
            expected = (
                "an address without a password; the password as an option of its own, ${env:NAME} or ${file:PATH}"
            )
            problems.append(Problem("E115", node.where, path, HIDDEN, expected, secret=found[1]))
    for key, inner in _inner(node):
        refuse_addresses(inner, problems, f"{path}{key}" if key.startswith("[") or not path else f"{path}.{key}")


def _named(node: Node) -> Iterator[str]:
    """Values whose key says that they are secret."""
    for key, inner in _inner(node):
        if isinstance(inner, Text) and NAMED_SECRET.search(key) and not inner.value.startswith("${"):
            yield from [inner.value] if len(inner.value) >= LEAST else []
        yield from _named(inner)


def _inner(node: Node) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Entries):
        yield from node.values.items()
    elif isinstance(node, Items):
        yield from ((f"[{i}]", inner) for i, inner in enumerate(node.items))


def _unshown(problem: Problem, secrets: Sequence[str]) -> Problem:
    """The problem without these texts, in its source lines too."""

    def hidden(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def line(text: str) -> str:
        return _IN_LINE.sub(rf"\1{HIDDEN}", IN_ADDRESS.sub(lambda m: m[0].replace(m[1], HIDDEN), hidden(text)))

    where = problem.where
    origin = replace(where.origin, name=line(where.origin.name), lines=tuple(map(line, where.origin.lines)))
    said = {key: hidden(getattr(problem, key)) for key in ("path", "got", "expected", "hint", "title")}
    if problem.code == "E120":  # the expression itself
        said["got"] = line(problem.got)
    return replace(problem, where=replace(where, origin=origin), secret="", **said)
