"""Events taken apart into plain values and arrays, and put together again: what a journal is made of.

The plans are read off the types of `engine.events`, so that a new field needs no line here.
"""

import math
import re
from collections.abc import Callable, Sequence
from enum import Enum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from engine.errors import StateError
from engine.events import EVENT_TYPES, Event, OpenOrders

Shape: TypeAlias = Sequence[Any]  # lengths, behind the dtype's name where it is not the usual one
_NUMBERS = re.compile(r"[<>|=][biufcSUmMV?]\d{0,4}(\[\w{1,8}\])?")  # dtypes as numpy writes them
_dtype_of, _shape_of = attrgetter("dtype"), attrgetter("shape")


class Plan(msgspec.Struct, frozen=True, eq=False):
    """How events of one type are taken apart.

    `columns` are the names of arrays, those of a nested struct with a dot; `tail` is the one field that is a tuple of
    any number of arrays, and only the last column may be absent.
    """

    kind: type[Any]
    name: str
    plain: tuple[str, ...]
    columns: tuple[str, ...]
    dtypes: list[np.dtype[Any]]  # the usual ones
    optional: bool  # the last column may be None
    tail: str
    nested: tuple[tuple[str, dict[str, str]], ...]  # structs within it: the columns with a dot by their name in there
    convert: tuple[tuple[str, Callable[[Any], Any]], ...]  # plain values that msgpack has no type for
    plain_of: Callable[[Any], Any]  # a tuple, or the only value
    columns_of: Callable[[Any], Any]

    def values(self, event: Any) -> Sequence[Any]:
        """Its plain values in order; `ts` is always one."""
        found: Any = self.plain_of(event)
        return (found,) if len(self.plain) < 2 else found

    def arrays(self, event: Any) -> Sequence[Any]:
        """Its arrays in order, without an absent one, those of the tail last."""
        found: Any = self.columns_of(event)
        if len(self.columns) < 2:
            return (found,) if self.columns else ()
        if self.optional and found[-1] is None:
            return found[:-1]  # type: ignore[no-any-return]
        return (*found, *getattr(event, self.tail)) if self.tail else found

    def shapes(self, arrays: Sequence[Any]) -> list[Shape]:
        """The shape of each array, with its dtype where that is not the usual one."""
        found: list[Shape] = list(map(_shape_of, arrays))
        usual, dtypes = self.dtypes, list(map(_dtype_of, arrays))
        if dtypes != usual and dtypes != usual[: len(dtypes)]:
            for place, dtype in enumerate(dtypes):
                if dtype != (usual[place] if place < len(usual) else _FLOAT):
                    if dtype.hasobject:
                        raise TypeError(f"an array of {dtype} has no bytes of its own")
                    found[place] = (dtype.str, *found[place])
        return found

    def event(self, values: dict[str, Any], arrays: dict[str, Any], tail: tuple[Any, ...]) -> Event:
        """The event of these values by name; what is not named takes its default, unknown names are left out."""
        fields = {name: values[name] for name in self.plain if name in values}
        nested: dict[str, Any] = {}
        for name in self.columns:
            if name in arrays:
                outer, dot, inner = name.partition(".")
                if dot:
                    nested.setdefault(outer, {})[inner] = arrays[name]
                else:
                    fields[name] = arrays[name]
        if self.tail:
            fields[self.tail] = tail
        try:
            fields |= {name: convert(fields[name]) for name, convert in self.convert if name in fields}
            fields |= {name: OpenOrders(**columns) for name, columns in nested.items()}
            made: Event = self.kind(**fields)
        except TypeError as error:
            raise StateError(f"journal: a {self.name} lacks a field: {error}; read it with its version") from error
        except ValueError as error:
            raise StateError(f"journal: a {self.name} cannot be read: {error}; read it with its version") from error
        return made


_FLOAT = np.dtype(np.float64)


def _array_type(hint: Any) -> np.dtype[Any] | None:
    """The dtype where this is an array, alone or beside None."""
    for part in (hint, *get_args(hint)):
        if get_origin(part) is np.ndarray:
            dtype: np.dtype[Any] = np.dtype(get_args(get_args(part)[1])[0])
            return dtype
    return None


def _plan(kind: type[Any]) -> Plan:
    hints = get_type_hints(kind)
    plain: list[str] = []
    columns: list[tuple[str, np.dtype[Any]]] = []
    convert: list[tuple[str, Callable[[Any], Any]]] = []
    tail, optional = "", False
    for name in kind.__struct_fields__:
        hint = hints[name]
        if get_origin(hint) is tuple and _array_type(get_args(hint)[0]) is not None:
            tail = name
        elif hint is OpenOrders:
            inner = get_type_hints(OpenOrders)
            found = [(f"{name}.{each}", _array_type(inner[each])) for each in OpenOrders.__struct_fields__]
            columns += [(each, dtype) for each, dtype in found if dtype is not None]
        elif (dtype := _array_type(hint)) is not None:
            columns.append((name, dtype))
            optional = type(None) in get_args(hint)
        else:
            plain.append(name)
            if isinstance(hint, type) and issubclass(hint, Enum):
                convert.append((name, hint))
            elif get_origin(hint) is tuple:
                convert.append((name, tuple))
    names = tuple(name for name, _ in columns)
    return Plan(
        kind=kind,
        name=kind.__name__,
        plain=tuple(plain),
        columns=names,
        dtypes=[dtype for _, dtype in columns],
        optional=optional,
        tail=tail,
        nested=_nested(names),
        convert=tuple(convert),
        plain_of=attrgetter(*plain),
        columns_of=attrgetter(*names) if names else _no_columns,
    )


def _nested(names: Sequence[str]) -> tuple[tuple[str, dict[str, str]], ...]:
    found: dict[str, dict[str, str]] = {}
    for name in names:
        outer, dot, inner = name.partition(".")
        if dot:
            found.setdefault(outer, {})[inner] = name
    return tuple(found.items())


def _no_columns(event: Event) -> tuple[()]:
    return ()


PLANS: MappingProxyType[type[Any], Plan] = MappingProxyType({kind: _plan(kind) for kind in EVENT_TYPES})
BY_NAME: MappingProxyType[str, Plan] = MappingProxyType({plan.name: plan for plan in PLANS.values()})


def arrays_of(content: bytes, shapes: Sequence[Shape], dtypes: Sequence[np.dtype[Any]]) -> list[Any]:
    """The read-only arrays that these bytes are, one after the other. ValueError where they do not fit."""
    found, at = [], 0
    for place, shape in enumerate(shapes):
        dtype = dtypes[place] if place < len(dtypes) else _FLOAT
        if shape and isinstance(shape[0], str):
            if not _NUMBERS.fullmatch(shape[0]):
                raise ValueError(f"an array of {shape[0]}")
            dtype, shape = np.dtype(shape[0]), shape[1:]
        count = math.prod(shape)
        if count < 0 or at + count * dtype.itemsize > len(content):
            raise ValueError(f"shapes {list(shapes)} and {len(content)} bytes")
        found.append(np.frombuffer(content, dtype, count, at).reshape(shape) if count else np.empty(shape, dtype))
        found[-1].flags.writeable = False
        at += count * dtype.itemsize
    if at != len(content):
        raise ValueError(f"shapes {list(shapes)} and {len(content)} bytes")
    return found
