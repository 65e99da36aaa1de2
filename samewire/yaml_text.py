"""YAML as a tree of marked texts: no scalar is converted here, so tickers and times stay what was written.

Tags, merge keys, several documents and duplicate keys are refused; size, depth and aliases are bounded.
"""

import datetime as dt
import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from samewire.diagnostics import Origin, Problem, RunFileErrors, Where, shown_path

BYTES_MAX = 1_000_000
DEPTH_MAX = 24
NODES_MAX = 50_000  # after aliases are expanded


@dataclass(frozen=True)
class Text:
    """A scalar as written. `plain` = without quotes: only then may null, ~ or nothing mean none."""

    value: str
    plain: bool
    where: Where


@dataclass(frozen=True)
class Items:
    items: tuple["Node", ...]
    where: Where


@dataclass(frozen=True)
class Entries:
    """A mapping in the order written, with the place of each key."""

    values: dict[str, "Node"]
    keys: dict[str, Where]
    where: Where


Node: TypeAlias = Text | Items | Entries


def read_text(path: Path) -> tuple[str, Origin]:
    """The text of a run file. Raises RunFileErrors when it cannot be read."""
    name = str(path)
    nowhere = Where(Origin(name, path.parent))
    try:
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        got = f"{error.strerror or error}"
        raise RunFileErrors(name, [Problem("E100", nowhere, "", got, "a readable run file")]) from None
    except UnicodeDecodeError as error:
        got = f"byte {error.start} is not UTF-8"
        raise RunFileErrors(name, [Problem("E100", nowhere, "", got, "a text file in UTF-8")]) from None
    if len(raw) > BYTES_MAX:
        got = f"more than {BYTES_MAX} bytes"
        raise RunFileErrors(name, [Problem("E100", nowhere, "", got, f"at most {BYTES_MAX} bytes")])
    return text, Origin(name, path.resolve().parent, tuple(text.splitlines()))


def compose(text: str, origin: Origin, problems: list[Problem]) -> Node | None:
    """The tree of a YAML text; None where it is empty or not YAML. Problems are added to the list."""
    try:
        return _Composer(origin, problems, yaml.parse(text, Loader=yaml.BaseLoader)).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = Where(origin, mark.line + 1, mark.column + 1) if mark is not None else Where(origin)
        got = getattr(error, "problem", None) or str(error).splitlines()[0]
        hint = "indent with spaces" if "\\t" in got else "put text that holds : or # in quotes"
        problems.append(Problem("E101", where, "", got, "YAML", hint))
    except _TooMuchError as error:
        problems.append(Problem("E103", error.where, "", str(error), error.rule))
    return None


class _TooMuchError(Exception):
    def __init__(self, where: Where, got: str, rule: str) -> None:
        super().__init__(got)
        self.where, self.rule = where, rule


class _Composer:
    """Builds the tree from parser events, one document, without recursion deeper than DEPTH_MAX."""

    def __init__(self, origin: Origin, problems: list[Problem], events: Iterator[Any]) -> None:
        self._origin, self._problems, self._events = origin, problems, events
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._nodes = 0

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._refuse(event, "a second document", "one document a file")
                    return root
                root = self._node(next(self._events), "", 0)
        return root

    def _where(self, event: Any, length: int = 1) -> Where:
        mark = event.start_mark
        return Where(self._origin, mark.line + 1, mark.column + 1, max(length, 1))

    def _refuse(self, event: Any, got: str, expected: str, hint: str = "", *, path: str = "") -> None:
        self._problems.append(Problem("E103", self._where(event), path, got, expected, hint))

    def _count(self, event: Any, nodes: int = 1) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise _TooMuchError(self._where(event), "too many values", f"at most {NODES_MAX}, aliases expanded")

    def _node(self, event: Any, path: str, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise _TooMuchError(self._where(event), "nested too deep", f"at most {DEPTH_MAX} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        before = self._nodes
        self._count(event)
        if event.tag is not None and event.tag != "!":
            self._refuse(event, f"the tag {event.tag}", "plain values: no tags", path=path)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            begin: Any = event.start_mark
            end: Any = event.end_mark
            length = end.index - begin.index if begin.line == end.line else 1
            node = Text(event.value, event.style is None, self._where(event, length))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._items(event, path, depth)
        else:
            node = self._entries(event, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._nodes - before)
        return node

    def _alias(self, event: Any, path: str) -> Node:
        known = self._anchors.get(event.anchor)
        if known is None:
            self._refuse(event, f"*{event.anchor}", "an alias of an anchor that stands before it", path=path)
            return Text("", False, self._where(event))
        self._count(event, known[1])
        return known[0]

    def _items(self, start: Any, path: str, depth: int) -> Items:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return Items(tuple(items), self._where(start))

    def _entries(self, start: Any, path: str, depth: int) -> Entries:
        values: dict[str, Node] = {}
        keys: dict[str, Where] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path, depth)
            inner = f"{path}.{key.value}" if path else key.value
            value = self._node(next(self._events), inner, depth + 1)
            if key.value in keys:
                first = keys[key.value]
                got = f"{key.value} again; it stands in line {first.line} already"
                self._problems.append(Problem("E102", key.where, inner, got, "each key once"))
            elif key.value == "<<" and key.plain:
                self._refuse(event, "the merge key <<", "every key written out", path=path)
            else:
                values[key.value], keys[key.value] = value, key.where
        where = self._where(start)
        if not start.flow_style and keys:
            where = next(iter(keys.values()))
        return Entries(values, keys, where)

    def _key(self, event: Any, path: str, depth: int) -> Text:
        node = self._node(event, path, depth + 1)
        if isinstance(node, Text):
            return node
        self._refuse(event, "a list or a mapping as a key", "text as a key", path=path)
        return Text("?", True, self._where(event))


def from_python(value: Any, origin: Origin, depth: int = 0) -> Node:
    """The tree of Python values, as if they had been written in YAML. Raises RunFileErrors when nested too deep.

    >>> from_python({"cash": 1e6, "end": None}, Origin("run", Path("."))).values["cash"].value
    '1000000.0'
    """
    where = Where(origin)
    if depth > DEPTH_MAX:
        rule = f"at most {DEPTH_MAX} levels"
        raise RunFileErrors(origin.name, [Problem("E103", where, "", "nested too deep", rule)])
    if isinstance(value, Mapping):
        values = {str(key): from_python(inner, origin, depth + 1) for key, inner in value.items()}
        return Entries(values, dict.fromkeys(values, where), where)
    if isinstance(value, list | tuple | set | frozenset):
        return Items(tuple(from_python(inner, origin, depth + 1) for inner in value), where)
    return Text(*_as_text(value), where)


def _as_text(value: Any) -> tuple[str, bool]:
    """How a Python scalar is written, and whether without quotes."""
    if value is None:
        return "null", True
    if isinstance(value, bool):
        return str(value).lower(), True
    if isinstance(value, enum.Enum):
        return str(value.value), False
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat(), True
    if hasattr(value, "item"):  # a numpy scalar
        return _as_text(value.item())
    if isinstance(value, int | float):
        return repr(value), True
    return str(value), False


_SAFE = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*\Z")
_READ_AS_NONE = ("", "~", "null")


def written(value: Any) -> str:
    """YAML that `compose` reads back to the same texts: mappings as blocks, lists of scalars and the rest in flow."""
    return "".join(f"{line}\n" for line in _block(value, ""))


def _block(value: Any, indent: str) -> Iterator[str]:
    for key, inner in value.items():
        if isinstance(inner, dict) and inner and any(isinstance(v, dict | list) for v in inner.values()):
            yield f"{indent}{_scalar(key)}:"
            yield from _block(inner, indent + "  ")
        elif isinstance(inner, list) and any(isinstance(v, dict) for v in inner):
            yield f"{indent}{_scalar(key)}:"
            for item in inner:
                yield f"{indent}  - {_flow(item)}"
        else:
            yield f"{indent}{_scalar(key)}: {_flow(inner)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    text, plain = _as_text(value)
    if plain or (_SAFE.match(text) and text not in _READ_AS_NONE):
        return text
    quoted = "".join(_escaped(c) for c in text)
    return f'"{quoted}"'


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c.isprintable() and ord(c) < 0xD800:
        return c
    return f"\\U{ord(c):08x}"


def described(node: Node) -> str:
    """What was found, in a few words."""
    if isinstance(node, Entries):
        return "a mapping"
    if isinstance(node, Items):
        return f"a list of {len(node.items)}"
    if node.plain and not node.value:
        return "nothing"
    short = node.value if len(node.value) <= 60 else node.value[:57] + "..."
    return shown_path(short) if "\n" not in short else repr(short)
