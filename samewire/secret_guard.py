"""Keeps secrets out of the record of a session."""

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from engine.errors import ComponentError, ConfigError
from engine.event_columns import PLANS, Plan
from engine.events import Event
from engine.protocols import Artefact
from samewire.hiding import Hider
from samewire.provenance import named
from samewire.run_file import RunFile
from samewire.schema import resolved


def guards_of(run: RunFile, hide: Hider) -> tuple["Guard", ...]:
    """What watches over a session that has read secrets; () where it has none.

    Raises ConfigError where a secret stands in the run file besides: hidden there, it would not be that file any more.
    """
    if not hide:
        return ()
    found = _first(resolved(run), hide, "") or next(_keys(run, hide), "")
    if found:
        where = f"{run.feed.where.origin.name}: {found}"
        raise ConfigError(f"{where}: the value is, or holds, a secret that the run file refers to; change one of them")
    return (Guard(hide),)


def refuse_artefact(name: str, artefact: Artefact, hide: Hider) -> None:
    """Raises ConfigError where a file of what a model learned holds a secret, or is called by one."""
    for file, content in artefact.files.items():
        if hide and (hide(file) != file or hide.stands_in(content)):
            said = f"{hide(file)} of what it learned holds a secret; keep out of an artefact what the model was handed"
            raise ConfigError(f"{name}: {said}")


def _first(value: Any, hide: Hider, path: str) -> str:
    """The path of the first text that holds a secret; empty where none does."""
    if isinstance(value, str):
        return path if hide(value) != value else ""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_first(at, hide, f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}") for key, at in inner)
    return next(filter(None, found), "").removeprefix(".")


def _keys(run: RunFile, hide: Hider) -> Iterator[str]:
    """Options that are mappings with a secret for a key. Names of options and sections are ours, whatever they say."""
    sinks = (*run.sinks, *(() if run.training is None else run.training.sinks))
    beside = (*sinks, *(() if run.live is None else (run.live,)))
    for name, component in (*named(run), *((each.use, each) for each in beside)):
        for option, value in component.options.items():
            if _keyed(value, hide):
                yield f"a key of {name}.{option}"


def _keyed(value: Any, hide: Hider) -> bool:
    if isinstance(value, dict):
        return any(hide(str(key)) != str(key) or _keyed(inner, hide) for key, inner in value.items())
    return isinstance(value, list | tuple) and any(_keyed(inner, hide) for inner in value)


class Guard:
    """A recorder before all others: stops the session when an event has a secret in its words.

    Events are recorded as they are or not at all, so nothing can be hidden in them later.
    """

    def __init__(self, hide: Hider) -> None:
        self._hide = hide
        self._clean: set[str] = set()  # names and the like come again with every slice

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        clean = self._clean
        for origin, event in zip(origins, events, strict=True):
            for key in _TEXTS[event.__class__]:
                value = getattr(event, key)
                for text in (value,) if isinstance(value, str) else value:
                    if text not in clean:
                        self._look(origin, event, text)

    def _look(self, origin: str, event: Event, text: str) -> None:
        if self._hide(text) != text:
            cause = "a secret stands in its text; write what it is for, never the secret itself"
            raise ComponentError(origin, type(event).__name__, event.ts, cause)
        if len(self._clean) < _KEPT and len(text) <= _LENGTH_KEPT:
            self._clean.add(text)


def _texts_of(plan: Plan) -> tuple[str, ...]:
    """Fields that hold text, or a tuple of texts."""
    hints = get_type_hints(plan.kind)
    return tuple(name for name in plan.plain if hints[name] is str or str in get_args(hints[name]))


_TEXTS: MappingProxyType[type[Any], tuple[str, ...]] = MappingProxyType({k: _texts_of(p) for k, p in PLANS.items()})
_KEPT, _LENGTH_KEPT = 4096, 256
