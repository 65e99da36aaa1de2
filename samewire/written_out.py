"""Secrets that stand in a run file in clear: refused where that can be told, and shown in no message."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from engine.secret import HIDDEN
from samewire.diagnostics import Origin, Problem, RunFileErrors, Where, first_of
from samewire.secret_text import IN_ADDRESS, LEAST, NAMED_SECRET, in_clear, plain_word
from samewire.yaml_text import Entries, Items, Node, Text

# A line of a file that is not YAML, or not yet: what follows a key with the name of a secret.
_IN_LINE = re.compile(
    r"(?i)((?:passw(?:or)?ds?|pwd|passphrases?|secrets?|tokens?|(?:api|access|private|secret)[_-]?keys?|credentials?"
    r"|auth|authorization|bearer)(?:[_-]?(?:old|new|live|paper|prod|test|main|backup|text|value))?[\"'\]\[\d_-]*\s*[:=]\s*)"
    r"(?!\$\{|\[hidden\])(\[[^\]]*|[^\s,}{\[][^,}]*)"
)
_ELSEWHERE = "as an option of its own, ${env:NAME} or ${file:PATH}"
_EFFORT = 1_000_000_000  # characters that are gone over for one file, once for each secret: then all is hidden


def errors_of(name: str, problems: Sequence[Problem], root: Node | None) -> RunFileErrors:
    """The problems of a run file, none of which shows a secret."""
    found = {problem.secret for problem in problems if problem.secret}
    found.update(() if root is None else _named(root))
    shown = first_of(problems)
    hide = _Unshown(sorted(found, key=len, reverse=True), [problem.where for problem in shown])
    return RunFileErrors(name, [hide.problem(problem) for problem in shown], len(problems))


def refuse_addresses(node: Node, problems: list[Problem], path: str = "") -> None:
    """A secret within a text, as in `https://me:password@host` or `host=h password=...`, is one that is written out."""
    if isinstance(node, Text):
        for found in in_clear(node.value)[:1]:
            expected = f"an address without a password; the password {_ELSEWHERE}"
            problems.append(Problem("E115", node.where, path, HIDDEN, expected, secret=found))
    for key, inner in _inner(node):
        refuse_addresses(inner, problems, f"{path}{key}" if key.startswith("[") or not path else f"{path}.{key}")


def refuse_named(values: Any, node: Node | None, path: str, problems: list[Problem], *, named: bool = False) -> None:
    """Texts under a name such as `token`, which a component took for plain text, are secrets that are written out.

    `values` is what was read from the node: paths, numbers and references to secrets are no texts any more.
    """
    if isinstance(values, str) and isinstance(node, Text):
        if named and not plain_word(values) and not in_clear(values):
            expected = f"no secret in a text; write it {_ELSEWHERE}, which its class types samewire.Secret"
            problems.append(Problem("E115", node.where, path, HIDDEN, expected, secret=values))
    elif isinstance(values, dict) and isinstance(node, Entries):
        for key, value in values.items():
            told = bool(NAMED_SECRET.search(key))
            refuse_named(value, node.values.get(key), f"{path}.{key}", problems, named=told)
    elif isinstance(values, list | tuple) and isinstance(node, Items):
        for i, (value, inner) in enumerate(zip(values, node.items, strict=False)):
            refuse_named(value, inner, f"{path}[{i}]", problems, named=named)


def _named(node: Node, named: bool = False) -> Iterator[str]:
    """Values whose key says that they are secret, and those that stand within a text."""
    if isinstance(node, Text):
        found = [node.value] if named and not plain_word(node.value) else []
        yield from (text for text in (*found, *in_clear(node.value)) if len(text) >= LEAST)
    for key, inner in _inner(node):
        yield from _named(inner, named if isinstance(node, Items) else bool(NAMED_SECRET.search(key)))


def _inner(node: Node) -> Iterator[tuple[str, Node]]:
    if isinstance(node, Entries):
        yield from node.values.items()
    elif isinstance(node, Items):
        yield from ((f"[{i}]", inner) for i, inner in enumerate(node.items))


class _Unshown:
    """Problems without these texts, in their source lines too: of each file those that are shown, and no others."""

    def __init__(self, secrets: Sequence[str], places: Iterable[Where]) -> None:
        self._secrets, self._left = secrets, _EFFORT
        self._lines: dict[Origin, set[int]] = {}
        for where in places:
            self._lines.setdefault(where.origin, set()).add(where.line)
        self._origins: dict[Origin, Origin] = {}

    def problem(self, problem: Problem) -> Problem:
        where = problem.where
        if where.origin not in self._origins:
            wanted = self._lines[where.origin]
            lines = tuple(self._line(text) if i in wanted else "" for i, text in enumerate(where.origin.lines, 1))
            self._origins[where.origin] = replace(where.origin, name=self._line(where.origin.name), lines=lines)
        said = {key: self._hidden(getattr(problem, key)) for key in ("path", "got", "expected", "hint", "title")}
        if problem.code == "E120":  # the expression itself
            said["got"] = self._line(problem.got)
        return replace(problem, where=replace(where, origin=self._origins[where.origin]), secret="", **said)

    def _hidden(self, text: str) -> str:
        self._left -= (len(text) + 100) * len(self._secrets)
        if self._left < 0 and text:
            return HIDDEN
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _line(self, text: str) -> str:
        shown = IN_ADDRESS.sub(lambda m: m[0].replace(m[1], HIDDEN), self._hidden(text))
        return _IN_LINE.sub(rf"\1{HIDDEN}", shown)
