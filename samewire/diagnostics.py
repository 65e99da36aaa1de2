"""What is wrong with a run file: where, what was found, what was expected, what may have been meant."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import ConfigError

SET = "--set"  # how the name of an override begins
LINE_MAX = 160  # of a source line that is shown
TEXT_MAX, RULE_MAX = 200, 1_000  # characters of what was found, and of what was expected, that are shown
SHOWN_MAX = 100  # problems of one file that are shown; all are counted

CODES = {
    "E100": "the file cannot be read",
    "E101": "not YAML",
    "E102": "key stands twice",
    "E103": "not allowed in a run file",
    "E104": "unknown key",
    "E105": "missing key",
    "E106": "no value",
    "E107": "wrong type",
    "E108": "value not allowed",
    "E109": "no such component",
    "E110": "component cannot be configured",
    "E111": "unknown name",
    "E112": "name stands twice",
    "E113": "contradiction",
    "E114": "unknown schema version",
    "E115": "a secret is written out",
    "E120": "--set cannot be applied",
}


@dataclass(frozen=True)
class Origin:
    """A text that a run file, or a part of it, came from. Relative paths in it start at `folder`."""

    name: str
    folder: Path
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Where:
    """A place in a text: line and column count from 1, 0 = the whole of it."""

    origin: Origin
    line: int = 0
    column: int = 0
    length: int = 1

    def __str__(self) -> str:
        if not self.line or self.origin.name.startswith(SET):
            return SET if self.line else shown_path(self.origin.name)
        return f"{shown_path(self.origin.name)}:{self.line}:{self.column}"


def cut(text: str, most: int = TEXT_MAX) -> str:
    """A text as long as it may be shown.

    >>> cut("abcdefgh", 6)
    'abc...'
    """
    return text if len(text) <= most else text[: most - 3] + "..."


def shown_path(name: str) -> str:
    """A path as the user would write it: relative where it lies below the working directory."""
    here = os.getcwd() + os.sep
    return name[len(here) :] if name.startswith(here) else name


@dataclass(frozen=True)
class Problem:
    """One mistake of the user."""

    code: str
    where: Where
    path: str  # e.g. models[0].num_leaves
    got: str
    expected: str
    hint: str = ""
    title: str = ""
    secret: str = field(default="", repr=False)  # what stands there in clear and must not be shown

    @property
    def said(self) -> str:
        return cut(self.title or CODES[self.code])

    def as_json(self) -> dict[str, Any]:
        where = self.where
        return {
            "code": self.code,
            "file": SET if where.origin.name.startswith(SET) else shown_path(where.origin.name),
            "line": where.line or None,
            "column": where.column or None,
            "path": cut(self.path),
            "problem": self.said,
            "got": cut(self.got),
            "expected": cut(self.expected, RULE_MAX),
            "hint": cut(self.hint, RULE_MAX) or None,
        }

    def __str__(self) -> str:
        head = f"{self.code} {self.where}"
        lines = [f"{head}  {cut(self.path)}  {self.said}" if self.path else f"{head}  {self.said}"]
        lines += _caret(self.where)
        for label, text, most in (
            ("got", self.got, TEXT_MAX),
            ("expected", self.expected, RULE_MAX),
            ("help", self.hint, RULE_MAX),
        ):
            if text:
                lines.append(f"     {label:<9} {cut(text, most)}")
        return "\n".join(lines)


def _caret(where: Where) -> list[str]:
    """The source line and a mark under what is meant; nothing where the text has no lines."""
    if not 0 < where.line <= len(where.origin.lines):
        return []
    line, start = where.origin.lines[where.line - 1], where.column - 1
    first = 0 if start < LINE_MAX - 20 else start - 40  # a long line is shown around its mark
    shown = line[first : first + LINE_MAX].replace("\t", " ")
    under = " " * (start - first) + "^" * max(1, min(where.length, len(line) - start, first + LINE_MAX - start))
    number = "set" if where.origin.name.startswith(SET) else where.line
    return [f"     {number:>4} | {shown.rstrip()}", f"          | {under}"]


class RunFileErrors(ConfigError):  # noqa: N818 - it holds several
    """The problems of a run file at once, sorted by line: the first SHOWN_MAX, and how many there are in all."""

    def __init__(self, name: str, problems: list[Problem], count: int = 0) -> None:
        self.name = name
        self.problems = first_of(problems)
        self.count = count = max(count, len(problems))
        head = f"{count} problem{'s' if count != 1 else ''} in {shown_path(name)} - nothing was started"
        more = count - len(self.problems)
        foot = [f"and {more:,} more problem{'s' if more != 1 else ''}"] if more else []
        super().__init__("\n\n".join([head, *(str(problem) for problem in self.problems), *foot]))

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": False,
            "file": shown_path(self.name),
            "count": self.count,
            "problems": [problem.as_json() for problem in self.problems],
        }


def first_of(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Those that are shown, by their place."""
    return tuple(sorted(problems, key=_place)[:SHOWN_MAX])


def _place(problem: Problem) -> tuple[bool, str, int, int, str]:
    where = problem.where
    return (where.origin.name.startswith(SET), where.origin.name, where.line, where.column, problem.code)
