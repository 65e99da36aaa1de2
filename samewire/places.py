"""Where relative paths of a run file start, and how they are written so that no record names a place of the machine."""

from dataclasses import replace
from pathlib import Path

from samewire.diagnostics import Origin, Problem
from samewire.yaml_text import Entries, Node, Text, described

FOLDER = "folder"  # the key of a run file that says it


def joined(folder: Path, path: Path) -> Path:
    """The path seen from a folder that holds no link; steps up at its beginning are taken, later ones are kept.

    >>> joined(Path("/a/b"), Path("../c/d.csv")).as_posix(), joined(Path("/a"), Path("/x")).as_posix()
    ('/a/c/d.csv', '/x')
    """
    if path.is_absolute():
        return path
    parts = list(path.parts)
    while parts and parts[0] == "..":
        folder, parts = folder.parent, parts[1:]
    return folder.joinpath(*parts)


def relative_text(path: Path, folder: Path) -> str:
    """A path as it is written for a reader who stands in the folder; one that is relative stays as it is.

    >>> relative_text(Path("/a/c/d.csv"), Path("/a/b")), relative_text(Path("/a/b"), Path("/a/b"))
    ('../c/d.csv', '.')
    """
    if not path.is_absolute() or path.anchor != folder.anchor:
        return path.as_posix()
    theirs, ours = path.parts, folder.parts
    same = next((i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), min(len(theirs), len(ours)))
    return Path(*[".."] * (len(ours) - same), *theirs[same:]).as_posix()


def started(root: Node | None, origin: Origin, problems: list[Problem]) -> Origin:
    """The origin with the folder that the run file names by `folder:`, itself seen from the file's own folder."""
    node = root.values.get(FOLDER) if isinstance(root, Entries) else None
    if node is None:
        return origin
    if not isinstance(node, Text) or not node.value or (node.plain and node.value in ("~", "null")):
        expected = "the folder that relative paths of this file start from, such as ../data"
        problems.append(Problem("E107", node.where, FOLDER, described(node), expected))
        return origin
    return replace(origin, folder=joined(origin.folder, Path(node.value).expanduser()))


def refuse_override(root: Entries, before: Node | None, problems: list[Problem]) -> None:
    """Paths of the file are placed before --set is looked at, so their folder cannot be changed by it."""
    node = root.values.get(FOLDER, before)
    if node is not None and node is not before:
        got = f"{FOLDER} by --set"
        problems.append(Problem("E120", node.where, FOLDER, got, "paths after --set start from the working directory"))
