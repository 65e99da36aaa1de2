"""Secrets that stand in a run file in clear: refused where that can be told, and shown in no message."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.secret import HIDDEN
from samewire.diagnostics import Origin, Problem, RunFileErrors
from samewire.secret_text import IN_ADDRESS, LEAST, NAMED_SECRET
from samewire.yaml_text import Entries, Items, Node, Text

# A line of a file that is not YAML, or not yet: what follows a key with the name of a secret.
_IN_LINE = re.compile(
    r"(?i)((?:passw(?:or)?d|passphrase|secret|token|(?:api|access|private|secret)[_-]?key|credentials?)[\"'\]\[\d]*\s*[:=]\s*)"
    r"(?!\$\{|\[hidden\])([^\s,}{\[][^,}]*)"
)


def errors_of(name: str, problems: Sequence[Problem], root: Node | None) -> RunFileErrors:
    """The problems of a run file, none of which shows a secret."""
    secrets = [problem.secret for problem in problems if problem.secret]
    secrets += [] if root is None else list(_named(root))
    secrets.sort(key=len, reverse=True)
    hide = _Unshown(secrets)
    return RunFileErrors(name, [hide.problem(problem) for problem in problems])


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


class _Unshown:
    """Problems without these texts, in their source lines too, of which there is one set for each file."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets
        self._origins: dict[Origin, Origin] = {}

    def problem(self, problem: Problem) -> Problem:
        where = problem.where
        if where.origin not in self._origins:
            lines = tuple(map(self._line, where.origin.lines))
            self._origins[where.origin] = replace(where.origin, name=self._line(where.origin.name), lines=lines)
        said = {key: self._hidden(getattr(problem, key)) for key in ("path", "got", "expected", "hint", "title")}
        if problem.code == "E120":  # the expression itself
            said["got"] = self._line(problem.got)
        return replace(problem, where=replace(where, origin=self._origins[where.origin]), secret="", **said)

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _line(self, text: str) -> str:
        shown = IN_ADDRESS.sub(lambda m: m[0].replace(m[1], HIDDEN), self._hidden(text))
        return _IN_LINE.sub(rf"\1{HIDDEN}", shown)
