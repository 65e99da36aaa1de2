"""What a session was made from, by hash: code, components, tables, libraries. Two sessions are compared by it."""

import ast
import hashlib
import importlib
import json
import os
import platform
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import samewire as own_package
from engine.protocols import Table
from samewire.build import libraries
from samewire.places import relative_text
from samewire.registry import BUILT_IN
from samewire.run_file import Component, RunFile, nested_in

_OWN = ("engine", "components", "adapters", "samewire")


def provenance(run: RunFile, tables: Iterable[Table]) -> dict[str, Any]:
    """The hashes of a manifest: `code` of this package, of each component's module, of the user's own tables."""
    return {
        "code": own_code(),
        "components": {name: code_of(component) for name, component in named(run)},
        "tables": tables_of(run, tables),
        "libraries": libraries(),
        "python": platform.python_version(),
        "machine": machine(),
    }


def tables_of(run: RunFile, tables: Iterable[Table]) -> dict[str, str]:
    """Hash of each table by its path as seen from the folder of the run file."""
    return {relative_text(Path(table.path), run.folder): table.hash for table in tables}


def own_code() -> str:
    """SHA-256 of every module of this package, in the order of their names."""
    home = Path(next(iter(own_package.__path__))).resolve().parent
    files = sorted(path for package in _OWN for path in (home / package).rglob("*.py"))
    return _hash(files, home)


def _hash(files: Iterable[Path], home: Path) -> str:
    whole = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        name = Path(os.path.relpath(path, home)).as_posix()
        whole.update(f"{name}:{len(content)}:".encode())
        whole.update(content)
    return whole.hexdigest()


def named(run: RunFile) -> Iterator[tuple[str, Component]]:
    """Every component of a run file by the name it has in the session, nested ones as `outer.option`.

    Of several in one option each has its place too, `outer.option[0]`: no two have one name.
    """
    models = tuple(spec.component for spec in run.models)
    single = (run.feed, *run.features, *models, *run.strategies, run.optimizer, run.risk, run.broker)
    for component in (*single, *(() if run.execution is None else (run.execution,))):
        yield from with_nested(component.name or component.group, component)


def with_nested(name: str, component: Component) -> Iterator[tuple[str, Component]]:
    """A component and those that its options hold, each by the name that `named` gives it."""
    yield name, component
    for option, value in component.options.items():
        several = isinstance(value, list | tuple)
        for place, nested in enumerate(nested_in(value)):
            yield from with_nested(f"{name}.{option}[{place}]" if several else f"{name}.{option}", nested)


def code_of(component: Component) -> dict[str, str]:
    """What a component is and the SHA-256 of its code.

    Of ours that is its module; of a user's module the package that it is part of, or itself, and what it imports of
    the folder in which that lies. Of a package that is so where the folder is the working directory or the run file's:
    beside an installed one lies what is not the user's.
    """
    place = BUILT_IN[component.group].get(component.use, component.use)
    module = importlib.import_module(place.partition(":")[0])
    file = Path(str(module.__file__)).resolve()
    top = module.__name__.partition(".")[0]
    if top in _OWN:
        return {"use": component.use, "sha256": _hash((file,), file.parent)}
    if top == module.__name__ and file.name != "__init__.py":
        return {"use": component.use, "sha256": _hash(sorted(_with_imports({file}, file.parent)), file.parent)}
    folder = file.parents[module.__name__.count(".") - (file.name != "__init__.py")]
    files, root = set(folder.rglob("*.py")), folder.parent
    if root in (Path.cwd().resolve(), component.where.origin.folder.resolve()):
        files = _with_imports(files, root)
    return {"use": component.use, "sha256": _hash(sorted(files), folder)}


def code_hash(parts: Mapping[str, Component], common: Mapping[str, Any]) -> str:
    """Hash of what decides how a training ends beside its options and what it learns from: the code of each of these
    parts, the files that their options name, and what is `common` to all, such as our own code and libraries."""
    files = {
        f"{name}.{key}": hashlib.sha256(value.read_bytes()).hexdigest()
        for name, part in parts.items()
        for key, value in part.options.items()
        if isinstance(value, Path) and value.is_file()
    }
    said = {**common, "code": {name: code_of(part) for name, part in parts.items()}, "files": files}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _with_imports(files: set[Path], root: Path) -> set[Path]:
    """These files and those of a folder that they import, and that these import."""
    found, waiting, looked_at = set(files), sorted(files), set(_OWN)
    while waiting:
        for top in sorted(_imported(waiting.pop().read_bytes()) - looked_at):
            looked_at.add(top)
            first = root / top
            near = [first.with_suffix(".py"), *sorted(first.rglob("*.py"))]
            fresh = [each for each in near if each.is_file() and each not in found]
            found.update(fresh)
            waiting += fresh
    return found


@lru_cache(maxsize=4096)
def _imported(source: bytes) -> frozenset[str]:
    """The packages and modules that a file imports, by the first part of their names.

    Of what is no Python nothing is imported: a package may hold templates.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return frozenset()
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return frozenset(name.partition(".")[0] for name in names)


def machine() -> dict[str, Any]:
    """What else may move a last bit: the kind of processor, Python, and what numpy computes with. Names no machine."""
    built = np.show_config(mode="dicts")
    blas = built.get("Build Dependencies", {}).get("blas", {})
    found = built.get("SIMD Extensions", {})
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "simd": [*found.get("baseline", ()), *found.get("found", ())],
        "zones": zone_rules(),
    }


def zone_rules() -> str:
    """The version of the time zone rules that Python reads: the system's where it has any, else the package's."""
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "tzdata.zi").is_file():
            with (folder / "tzdata.zi").open(errors="replace") as file:
                return file.readline().removeprefix("# version ").strip()
        if (folder / "UTC").is_file():
            return "unknown"
    package = libraries().get("tzdata")
    return f"tzdata {package}" if package else "unknown"
