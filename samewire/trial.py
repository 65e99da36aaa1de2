"""Constructing a component only for its own checks of values, so that they show before anything is read.

A built-in is constructed with a universe of two made-up symbols and those that its options name, and with secrets that
say nothing: none is read here. A class of the user is constructed only where it is handed nothing that could not be
made up. Feeds, sinks and what reads a file are never constructed here; of a feed from files the options are looked at,
as far as no file is needed for that.
"""

import dataclasses
import inspect
from typing import Any, get_type_hints

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.ids import OrderIds
from engine.protocols import CostModel
from engine.universe import Universe, universe_of
from samewire.registry import BUILT_IN, resolve
from samewire.run_file import Component, built, nested_in
from samewire.secret_text import holds_secret, unread
from samewire.signatures import Schema, schema_of

_READING = ("feeds", "sinks")
_FILES = ("parquet", "csv", "qlib")


def trial(component: Component, schema: Schema) -> str:
    """What the constructor says against these values; empty when it says nothing."""
    if component.use in BUILT_IN["feeds"] and component.group == "feeds":
        return _wrong_feed(component)
    if not _possible(component, schema):
        return ""
    try:
        _made(component)
    except (ValueError, TypeError) as error:
        return str(error) or f"{component.use} raised {type(error).__name__}"
    except Exception as error:  # noqa: BLE001 - a user's own class may raise anything
        return f"{component.use} raised {type(error).__name__}: {error}"
    return ""


def _wrong_feed(feed: Component) -> str:
    """What is wrong with the options of a feed from files; that shows without any file."""
    if feed.use not in _FILES:
        return ""
    from adapters.files.checks import wrong_option

    return wrong_option(feed.options)


def _possible(component: Component, schema: Schema) -> bool:
    if component.group in _READING or schema.needs_files:
        return False
    built_in = component.use in BUILT_IN[component.group]
    hints = get_type_hints(resolve(component.group, component.use).__init__)
    if not built_in and any(holds_secret(hint) for hint in hints.values()):  # it might log in with it
        return False
    if any(hint is Sessions or (hint is Universe and not built_in) for hint in hints.values()):
        return False
    nested = [part for value in component.options.values() for part in nested_in(value)]
    return all(_possible(inner, schema_of(resolve(inner.group, inner.use), inner.group)) for inner in nested)


def _made(component: Component) -> Any:
    kind = resolve(component.group, component.use)
    hints = get_type_hints(kind.__init__)
    arguments: dict[str, Any] = {}
    for key in inspect.signature(kind).parameters:
        hint = hints.get(key)
        if key in component.options:
            value = unread(component.options[key])
            arguments[key] = built(value, _made)
        elif key == "name":
            arguments[key] = component.name
        elif hint is Universe:
            arguments[key] = _made_up(component)
        elif hint is OrderIds:
            arguments[key] = OrderIds("check", component.name)
        elif hint is np.random.Generator:
            arguments[key] = np.random.default_rng(0)
        elif hint is CostModel:
            arguments[key] = resolve("costs", "bps")()
    return kind(**arguments)


def _made_up(component: Component) -> Universe:
    """Two symbols, and whatever its options give by name: which symbols and currencies there are shows in a session."""
    named = [name for value in component.options.values() for name in _named(value) if name]
    made = universe_of(tuple(dict.fromkeys(("AAA", "BBB", *named))))
    return msgspec.structs.replace(made, currencies=tuple(dict.fromkeys((*made.currencies, *named))))


def _named(value: Any) -> list[str]:
    """Texts of a list and keys of a mapping, within the records of a list too."""
    if isinstance(value, dict):
        return list(value)
    if isinstance(value, list | tuple):
        return [name for item in value for name in ([item] if isinstance(item, str) else _named(item))]
    if dataclasses.is_dataclass(value) and not isinstance(value, Component | type):
        return [name for field in dataclasses.fields(value) for name in _named(getattr(value, field.name))]
    return []
