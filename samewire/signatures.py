"""Constructors as schemas: what a run file may say to a component is what its constructor takes."""

import dataclasses
import datetime as dt
import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from components.features.column import Column
from components.models.networks.network import Network
from components.optimizers.problem import Constraint, Method, Term
from components.strategies.guards import Filter, Rule, Schedule
from engine.calendar import Sessions
from engine.ids import OrderIds
from engine.learning import Processor, Reweighter
from engine.protocols import Artefact, CostModel, Feed, Financing, RiskModel, Strategy, Table, Trainable
from engine.secret import Secret
from engine.universe import Universe
from samewire.scalars import Day, DayTime, Duration
from samewire.secret_text import NAMED_SECRET, SecretText

# What a parameter's type makes of it: the group of the component, what it is unless said, what a list of them becomes.
SLOTS: tuple[tuple[Any, str, str, str], ...] = (
    (RiskModel, "risk_models", "", ""),
    (CostModel, "costs", "bps", "together"),
    (Financing, "financing", "", ""),
    (Feed, "feeds", "", ""),
    (Processor, "processors", "", ""),
    (Column, "columns", "expression", ""),
    (Reweighter, "reweighters", "", ""),
    (Trainable, "learners", "", ""),
    (Network, "networks", "", ""),
    (Strategy, "strategies", "", ""),
    (Filter, "filters", "", ""),
    (Rule, "rules", "", ""),
    (Schedule, "schedules", "", ""),
    (Method, "methods", "", ""),
    (Term, "terms", "", ""),
    (Constraint, "constraints", "", ""),
)
PARTS = "parts"  # the option of a component that stands for a list, under which the list is kept
_HANDED: tuple[Any, ...] = (Universe, OrderIds, np.random.Generator, Sessions)
_SCALARS = (int, float, str, bool, dt.date, dt.time, Path, Any)
_READ_AS: tuple[tuple[Any, Any], ...] = (
    (Table, Path),
    (Artefact, Path),
    (Secret, SecretText),
    (dt.date, Day),
    (dt.time, DayTime),
)
_UNIONS = (Union, types.UnionType)
_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class SignatureError(Exception):
    """This constructor is no schema."""


@dataclass(frozen=True)
class Slot:
    """A parameter that is a component itself, or a tuple of components."""

    group: str
    use: str  # when the run file does not say, empty = it must
    required: bool
    many: bool = False  # the parameter is a tuple[..., ...]
    joined: str = ""  # the component that a list stands for where the parameter is one component

    @property
    def lists(self) -> bool:
        """Whether a list may stand here."""
        return self.many or bool(self.joined)

    def part(self, name: str, i: int) -> str:
        """What the i-th of a list is called; those of strategies are written out, and have to be read again."""
        return f"{name}.{i}" if self.group == "strategies" else f"{name}[{i}]"


@dataclass(frozen=True)
class Schema:
    """What one component takes from a run file."""

    name: str  # of the class
    hints: Mapping[str, Any]  # plain options and their types, in the order of the constructor
    slots: Mapping[str, Slot]
    model: type[BaseModel]
    handed: frozenset[str]  # parameters that the composition root fills
    needs_files: bool  # a table, or a trained artefact

    @property
    def keys(self) -> list[str]:
        return [*self.hints, *self.slots]

    def default(self, key: str) -> Any:
        """The default of a plain option; `inspect.Parameter.empty` where it must be given."""
        field = next(f for f in self.model.model_fields.values() if f.alias == key)
        return inspect.Parameter.empty if field.is_required() else field.default


def schema_of(kind: type[Any], group: str) -> Schema:
    """The schema of a class in this group. Raises SignatureError naming the parameter that does not fit."""
    parameters = inspect.signature(kind).parameters if kind.__init__ is not object.__init__ else {}
    try:
        hints = get_type_hints(kind.__init__)
    except NameError as error:
        raise SignatureError(f"{kind.__name__}: a type of its constructor is unknown at run time: {error}") from None
    plain: dict[str, Any] = {}
    slots: dict[str, Slot] = {}
    handed: set[str] = set()
    for name, parameter in parameters.items():
        hint = hints.get(name, inspect.Parameter.empty)
        _refuse_unfit(kind, parameter, hint)
        required = parameter.default is inspect.Parameter.empty
        slot = _slot(hint, group, required)
        if _is_handed(name, hint, group):
            handed.add(name)
        elif slot is not None:
            slots[name] = slot
        else:
            plain[name] = (_readable(kind, name, hint), parameter.default)
    fields: dict[str, Any] = {
        f"f{i}": (hint, _field(name, default)) for i, (name, (hint, default)) in enumerate(plain.items())
    }
    model = create_model(kind.__name__, __config__=_CONFIG, **fields)
    raw = {name: Path if hints[name] in (Table, Artefact) else hints[name] for name in plain}
    files = any(
        each in (Table, Artefact) for name in parameters for each in (hints.get(name), *get_args(hints.get(name)))
    )
    return Schema(kind.__name__, raw, slots, model, frozenset(handed), files)


def _field(name: str, default: Any) -> Any:
    """A field under an alias, since an option may be called like an attribute of pydantic's own."""
    if default is inspect.Parameter.empty:
        return Field(alias=name)
    return Field(alias=name, default=default)


def _refuse_unfit(kind: type[Any], parameter: inspect.Parameter, hint: Any) -> None:
    name = parameter.name
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else "*"
        raise SignatureError(
            f"{kind.__name__}: its constructor takes {stars}{name}; a misspelt option would pass unseen"
        )
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise SignatureError(f"{kind.__name__}: its parameter {name} has to be allowed as a keyword")
    if hint is inspect.Parameter.empty and name != "name":
        raise SignatureError(f"{kind.__name__}: its parameter {name} has no type; annotate it")


def _is_handed(name: str, hint: Any, group: str) -> bool:
    if name == "name" or any(choice in _HANDED for choice in _members(hint)):
        return True
    if name == "directory" and group == "sinks":
        return True
    return hint is CostModel and group not in ("brokers", "costs")


def _slot(hint: Any, group: str, required: bool) -> Slot | None:
    choices = _members(hint)
    args = get_args(hint)
    listed = args[0] if get_origin(hint) is tuple and args[1:] == (Ellipsis,) else None
    for protocol, slot_group, use, joined in SLOTS:
        if listed is protocol:
            return Slot(slot_group, use, required, many=True)
        if protocol in choices:
            return Slot(slot_group, use, required, joined=joined)
    return None


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in _UNIONS else (hint,)


def optional(hint: Any) -> bool:
    """Whether none is a value of this type."""
    return hint is Any or type(None) in _members(hint)


def is_record(hint: Any) -> bool:
    """Whether its values are mappings of known keys."""
    return isinstance(hint, type) and (dataclasses.is_dataclass(hint) or issubclass(hint, BaseModel))


def known_keys(hint: Any) -> list[str]:
    """The keys of a record; empty where any key may stand."""
    return [key for choice in _members(hint) if is_record(choice) for key in get_type_hints(choice)]


def inner_hint(hint: Any, key: str | int) -> Any:
    """The type of what stands below `key` in a value of this type, as far as it can be told."""
    for choice in _members(hint):
        origin, args = get_origin(choice), get_args(choice)
        if isinstance(key, str) and is_record(choice):
            return get_type_hints(choice, include_extras=True).get(key, Any)
        if origin is dict and isinstance(key, str):
            return args[1]
        if origin is list:
            return args[0]
        if origin is tuple and isinstance(key, int):
            return args[0] if len(args) == 2 and args[1] is Ellipsis else args[min(key, len(args) - 1)]
    return Any


def _readable(kind: type[Any], name: str, hint: Any) -> Any:
    """The type as pydantic reads it from texts; refuses what a run file cannot express."""
    if hint is str and NAMED_SECRET.search(name):
        said = f"{kind.__name__}: its parameter {name} has the name of a secret and is typed as text"
        raise SignatureError(
            f"{said}, which would be written into every record; type it samewire.Secret or call it otherwise"
        )
    for known, read_as in _READ_AS:
        if hint is known:
            return read_as
    if hint in (*_SCALARS, type(None)) or get_origin(hint) is Literal:
        return hint
    origin, args = get_origin(hint), get_args(hint)
    if origin in _UNIONS:
        # A text is the last choice, or it would always be taken: every scalar comes as text.
        choices = sorted((choice for choice in args if choice is not type(None)), key=lambda choice: choice is str)
        inner: Any = _readable(kind, name, choices[0])
        if len(choices) > 1:
            among = tuple(_readable(kind, name, choice) for choice in choices)
            inner = Annotated[Union[among], Field(union_mode="left_to_right")]  # noqa: UP007 - made of a tuple
        return Optional[inner] if type(None) in args else inner  # noqa: UP045 - not every type here knows |
    if origin is Annotated:
        return Annotated[(_readable(kind, name, args[0]), *args[1:])]
    if origin in (list, tuple) or (origin is dict and args[0] is str):
        return origin[tuple(a if a is Ellipsis else _readable(kind, name, a) for a in args)]
    if dataclasses.is_dataclass(hint) and is_record(hint):
        return hint
    raise SignatureError(
        f"{kind.__name__}: its parameter {name} has the type {type_text(hint)}, which a run file cannot express"
    )


def type_text(hint: Any) -> str:
    """A type as a user reads it.

    >>> type_text(int | None), type_text(Literal["a", "b"]), type_text(list[str])
    ('an integer, or null', 'one of: a, b', 'a list of text')
    """
    names = {int: "an integer", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    names |= {
        dt.date: "a date such as 2018-01-02",
        dt.time: "a time such as 16:00",
        type(None): "null",
        Table: "a path",
        Artefact: "the folder of a trained artefact, or registry:NAME@STAGE",
        Secret: "a reference to a secret: ${env:NAME} or ${file:PATH}",
    }
    if not isinstance(hint, types.UnionType) and hint in names:
        return names[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin in _UNIONS:
        return ", or ".join(type_text(choice) for choice in args)
    if hint == Duration:
        return "a duration such as 250ms, 30s or 1h"
    if origin is Annotated:
        return type_text(args[0])
    if origin is Literal:
        return "one of: " + ", ".join(str(choice) for choice in args)
    if origin in (list, tuple) and args:
        if origin is list or Ellipsis in args:
            return f"a list of {type_text(args[0]).removeprefix('a ').removeprefix('an ')}"
        return "a list of " + " and ".join(type_text(a) for a in args)
    if origin is dict or is_record(hint):
        return "a mapping"
    return getattr(hint, "__name__", str(hint))
