"""`--set a.b[0].c=value`: changes to the tree of a run file before it is checked."""

import re
from dataclasses import replace
from pathlib import Path

from samewire.diagnostics import Origin, Problem, Where
from samewire.yaml_text import DEPTH_MAX, Entries, Items, Node, Text, compose

_PART = re.compile(r"\.?([^.\[\]=]+)|\[([0-9]{1,9})\]")
LIST_KEYS = (
    "costs",
    "financing",
    "parts",
    "filters",
    "rules",
)  # slots in which one component may be written without a list
SLOT_KEYS = (
    *("feed", "strategy", "optimizer", "execution", "risk", "broker", "risk_model", "of", "schedule"),
    *LIST_KEYS,
)


def apply(root: Entries, expression: str, problems: list[Problem]) -> Entries:
    """The tree with one value set; problems are added to the list and leave the tree as it was."""
    path, equals, text = expression.partition("=")
    origin = Origin("--set " + shown(expression), Path.cwd(), (expression,))
    where = Where(origin, 1, 1, max(len(path), 1))
    parts = _parts(path)
    if not equals or parts is None or len(parts) > DEPTH_MAX:
        problems.append(Problem("E120", where, "", expression, "PATH=VALUE, e.g. models[0].num_leaves=63"))
        return root
    shifted = Origin(origin.name, origin.folder, (expression,))
    value = compose(text, shifted, problems) if text.strip() else Text("", True, where)
    if value is None:
        return root
    value = _moved(value, len(path) + 1)
    try:
        changed = _set(root, parts, value, "")
    except _CannotSetError as error:
        problems.append(Problem("E120", where, path, error.got, error.expected))
        return root
    return changed if isinstance(changed, Entries) else root


def shown(expression: str) -> str:
    return expression if len(expression) <= 60 else expression[:57] + "..."


class _CannotSetError(Exception):
    def __init__(self, got: str, expected: str) -> None:
        super().__init__(got)
        self.got, self.expected = got, expected


def _parts(path: str) -> list[str | int] | None:
    parts: list[str | int] = []
    end = 0
    for match in _PART.finditer(path):
        if match.start() != end or (match.start() == 0 and path.startswith((".", "["))):
            return None
        parts.append(int(match[2]) if match[2] else match[1])
        end = match.end()
    return parts if parts and end == len(path) else None


def _set(node: Node | None, parts: list[str | int], value: Node, path: str) -> Node:
    """The node with `value` below it at `parts`; whatever mapping is missing on the way is made."""
    if not parts:
        return value
    part, rest = parts[0], parts[1:]
    if isinstance(part, int):
        return _set_item(node, part, rest, value, path)
    inner_path = f"{path}.{part}" if path else part
    node = _opened(node, path)
    if node is not None and not isinstance(node, Entries):
        raise _CannotSetError(f"{path or 'the file'} is no mapping", f"a path into it, e.g. {path}[0]")
    values = dict(node.values) if node is not None else {}
    keys = dict(node.keys) if node is not None else {}
    values[part] = _set(values.get(part), rest, value, inner_path)
    keys[part] = replace(value.where, column=1, length=max(value.where.column - 2, 1))
    return Entries(values, keys, node.where if node is not None else value.where)


def _set_item(node: Node | None, index: int, rest: list[str | int], value: Node, path: str) -> Node:
    lists = path == "strategy" or path.rpartition(".")[2] in LIST_KEYS
    if index == 0 and lists and (isinstance(node, Entries) or (isinstance(node, Text) and node.value)):
        node = Items((node,), node.where)  # one component may be written without a list
    if not isinstance(node, Items):
        raise _CannotSetError(f"{path} is no list", "a path without an index")
    if index >= len(node.items):
        raise _CannotSetError(f"{path}[{index}]", f"an index from 0 to {len(node.items) - 1}")
    items = list(node.items)
    items[index] = _set(items[index], rest, value, f"{path}[{index}]")
    return Items(tuple(items), node.where)


def _opened(node: Node | None, path: str) -> Node | None:
    """A component written as a bare name, as the mapping that it stands for."""
    if isinstance(node, Text) and node.value and _is_slot(path):
        return Entries({"use": node}, {"use": node.where}, node.where)
    if isinstance(node, Text) and node.plain and node.value in ("", "~", "null"):
        return None
    return node


def _is_slot(path: str) -> bool:
    return path.rpartition(".")[2].partition("[")[0] in (*SLOT_KEYS, "models", "features", "sinks")


def _moved(node: Node, by: int) -> Node:
    """The node with the place that its text has behind the equals sign."""
    where = replace(node.where, column=node.where.column + by) if node.where.line == 1 else node.where
    if isinstance(node, Text):
        return Text(node.value, node.plain, where)
    if isinstance(node, Items):
        return Items(tuple(_moved(inner, by) for inner in node.items), where)
    keys = {key: replace(at, column=at.column + by) for key, at in node.keys.items()}
    return Entries({key: _moved(inner, by) for key, inner in node.values.items()}, keys, where)
