"""A run file whose inputs have another future: every feed, table and file that a component of it is given.

Only the run file is rewritten; what runs is samewire's own wiring, built and prepared as always.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from adapters.files.another_table import another_table, is_table, write_another
from engine.protocols import Table
from samewire.registry import resolve
from samewire.run_file import Component, RunFile, nested_in

_FEED = "adapters.operators.another_future:AnotherFuture"
_FILES = (".csv", ".parquet", ".pq")  # of a text that may be a path
# Groups whose files are no side door: what a feed reads comes out of it, and a sink decides nothing.
_HARMLESS = ("feeds", "sinks")

Change = Callable[[str, Component], Component]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """Where another future begins: everything later than `ts` is changed, or gone. `ts` None = nothing is."""

    ts: int | None = None
    gone: bool = False
    seed: int = 0
    nth: int = 0  # of all cuts: two in a row share out which later flags they turn

    @property
    def said(self) -> str:
        return "nothing came after it" if self.gone else "all that came after it was another"


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A way by which the future may reach a component: a feed, a table or a file that it is given."""

    place: str  # in the run file, e.g. models[0].table
    kind: str  # feed, table, file or folder
    text: str  # the path, or the feed's own name
    covered: bool = True  # False: nothing tells what is later in it, so it stays as it is


class Alteration(msgspec.Struct, frozen=True, kw_only=True):
    """What to do to which channel. `tables` are the user's own, by path, as they were read."""

    cut: Cut
    tables: Mapping[str, Table]  # of one that is missing the file is altered
    folder: Path  # for files with another future, a fresh one each time
    close: str | None = None  # when rows of files with dates become known
    only: str | None = None  # the place of the one channel to alter, None = all


def altered(run: RunFile, how: Alteration) -> RunFile:
    """The run file over another future, without its sinks.

    Whatever is not altered passes the same hands, so that two runs differ in nothing but the future.
    """

    def change(place: str, component: Component) -> Component:
        cut = how.cut if how.only in (None, place) else Cut()
        if component.group == "feeds":
            return _feed(component, cut)
        if component.group in _HARMLESS:
            return component
        hints = _hints(component)
        options = {key: _option(key, value, hints, place, how) for key, value in component.options.items()}
        return replace(component, options=options)

    return replace(each_component(run, change), sinks=())


def channels(run: RunFile, close: str | None) -> tuple[Channel, ...]:
    """Every way by which the future may reach a component of it, in the order of the run file."""
    found: list[Channel] = []

    def look(place: str, component: Component) -> Component:
        if component.group == "feeds" and not _within(component):
            found.append(Channel(place=place, kind="feed", text=component.use))
        if component.group in _HARMLESS:
            return component
        hints = _hints(component)
        for key, value in component.options.items():
            spot = f"{place}.{key}"
            if hints.get(key) is Table and isinstance(value, Path):
                found.append(Channel(place=spot, kind="table", text=str(value)))
            else:
                paths: list[Path] = []
                _with_paths(value, partial(_noted, paths))
                found.extend(_file(spot, path, close) for path in paths)
        return component

    each_component(run, look)
    return tuple(found)


def each_component(run: RunFile, change: Change) -> RunFile:
    """The run file with each component replaced by what `change` makes of it and its place; nested ones first."""

    def whole(place: str, component: Component) -> Component:
        options = {}
        for key, value in component.options.items():
            parts = nested_in(value)
            several = isinstance(value, tuple)
            made = tuple(whole(f"{place}.{key}[{i}]" if several else f"{place}.{key}", p) for i, p in enumerate(parts))
            options[key] = value if not made else made if several else made[0]
        return change(place, replace(component, options=options))

    def listed(key: str, components: tuple[Component, ...]) -> tuple[Component, ...]:
        return tuple(whole(f"{key}[{i}]", component) for i, component in enumerate(components))

    return replace(
        run,
        feed=whole("feed", run.feed),
        features=listed("features", run.features),
        models=tuple(
            replace(spec, component=whole(f"models[{i}]", spec.component)) for i, spec in enumerate(run.models)
        ),
        strategies=(
            (whole("strategy", run.strategies[0]),) if len(run.strategies) == 1 else listed("strategy", run.strategies)
        ),
        optimizer=whole("optimizer", run.optimizer),
        execution=None if run.execution is None else whole("execution", run.execution),
        risk=whole("risk", run.risk),
        broker=whole("broker", run.broker),
    )


def all_places(run: RunFile) -> dict[str, Component]:
    """Every component of the run file but sinks by its place: feed, models[0], optimizer.risk_model."""
    found: dict[str, Component] = {}

    def note(place: str, component: Component) -> Component:
        found[place] = component
        return component

    each_component(run, note)
    return found


def parts_by_place(run: RunFile) -> dict[str, Component]:
    """The components that stand in the run file themselves, by their place."""
    return {place: component for place, component in all_places(run).items() if "." not in place}


def _hints(component: Component) -> dict[str, Any]:
    return get_type_hints(resolve(component.group, component.use).__init__)


def _within(component: Component) -> list[Component]:
    """The feeds that a feed is made of."""
    return [part for value in component.options.values() for part in nested_in(value) if part.group == "feeds"]


def _feed(component: Component, cut: Cut) -> Component:
    """A feed that reads for itself is altered; one made of others works on altered ones, and is tested with them."""
    if _within(component):
        return component
    options = {"of": component, "after": cut.ts, "gone": cut.gone, "seed": cut.seed, "nth": cut.nth}
    return replace(component, use=_FEED, options=options)


def _option(key: str, value: Any, hints: Mapping[str, Any], place: str, how: Alteration) -> Any:
    spot = f"{place}.{key}"
    cut = how.cut if how.only in (None, spot) else Cut()
    if hints.get(key) is Table and isinstance(value, Path):
        table = how.tables.get(str(value))
        if table is None:  # not read yet: what reads it finds a file with another future
            return value if cut.ts is None else _copied(value, spot, cut, how)
        return _table(table, spot, cut, how)
    return _with_paths(value, lambda path: _copied(path, spot, cut, how))


def _table(table: Table, spot: str, cut: Cut, how: Alteration) -> Table:
    """The table, its path that of a file with the same future: a component may open it once more itself."""
    path = str(_copied(Path(table.path), spot, cut, how))
    if cut.ts is not None:
        table = another_table(table, cut.ts, gone=cut.gone, seed=cut.seed)
    return msgspec.structs.replace(table, path=path)


def _noted(paths: list[Path], path: Path) -> Path:
    paths.append(path)
    return path


def _copied(path: Path, spot: str, cut: Cut, how: Alteration) -> Path:
    """A copy with another future. A file in which nothing tells what is later is handed over as it is."""
    if not is_table(path):
        return path
    into = how.folder / spot / path.name
    if not into.exists():
        write_another(path, into, cut.ts, gone=cut.gone, seed=cut.seed, close=how.close)
    return into


def _file(spot: str, path: Path, close: str | None) -> Channel:
    import tempfile

    covered = is_table(path)
    if covered:
        with tempfile.TemporaryDirectory(prefix="samewire-") as scratch:
            covered = write_another(path, Path(scratch) / "copy" / path.name, 0, gone=False, seed=0, close=close)
    return Channel(place=spot, kind="folder" if path.is_dir() else "file", text=str(path), covered=covered)


def _with_paths(value: Any, change: Callable[[Path], Path]) -> Any:
    """The value of an option with the paths of what exists in it changed; a text counts if it ends like a table."""
    if isinstance(value, Path):
        return change(value) if value.exists() else value
    if isinstance(value, str):
        path = Path(value)
        return str(change(path)) if path.suffix.lower() in _FILES and path.is_file() else value
    if isinstance(value, Component):
        return value
    if isinstance(value, list | tuple):
        return type(value)(_with_paths(part, change) for part in value)
    if isinstance(value, dict):
        return {key: _with_paths(part, change) for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _with_paths(getattr(value, field.name), change) for field in dataclasses.fields(value)}
        return replace(value, **parts)
    return value
