"""A mapping of one of several kinds, told apart by its `use`; a bare name stands for its defaults."""

from typing import Any

from pydantic import BaseModel

from samewire.closest import closest
from samewire.reading import Owner, Reader
from samewire.yaml_text import Entries, Node, Text, described


def chosen(reader: Reader, node: Entries, path: str, kinds: dict[str, type[BaseModel]], default: str) -> Any:
    """What stands at the last key of `path` in the entries, checked; None after a problem."""
    found: Node | None = node.values.get(path.rpartition(".")[2])
    if found is None:
        found = Entries({}, {}, node.where)
    elif isinstance(found, Text) and found.value:
        found = Entries({"use": found}, {"use": found.where}, found.where)
    use = found.values.get("use") if isinstance(found, Entries) else None
    if not isinstance(found, Entries) or (use is not None and not isinstance(use, Text)):
        reader.add("E107", found.where, path, described(found), "one of: " + ", ".join(kinds))
        return None
    name = default if use is None else use.value
    if name not in kinds:
        near = closest(name, kinds)
        hint = f'did you mean "{near}"?' if near else ""
        where = found.where if use is None else use.where
        reader.add("E109", where, f"{path}.use", name, "one of: " + ", ".join(kinds), hint)
        return None
    return reader.validated(kinds[name], found, kinds[name], path, Owner(f'"{path}"', tuple(kinds[name].model_fields)))
