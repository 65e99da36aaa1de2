"""What a class of the user's own says and hears.

What it says is checked against the columns of its event and copied to where nobody writes; what it hears is a copy of
its own, since an array that owns its memory can be made writeable again by whoever holds it. Components of this package
make new arrays of the right type for each event, and write into none; their conformance tests hold them to it.
"""

import inspect
import sys
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_origin, get_type_hints

import msgspec
import numpy as np

from engine.errors import ComponentError
from engine.event_columns import PLANS
from engine.events import FEE_KINDS, Features, Fills, Note, Refusals

_OURS = ("engine", "components", "adapters", "samewire")  # packages; that they are ours is checked at start-up
_HOME = Path(__file__).resolve().parent.parent  # the folder that holds them
_NUMBERS, _WHOLE = "fiu", "iu"
_DOUBLE = 8  # bytes
_LONG = 2**63
_WORDS: MappingProxyType[Any, str] = MappingProxyType(
    {int: "a whole number of 64 bits", float: "a float", str: "text in Unicode", tuple: "a tuple of texts"}
)


def users_own(component: Any) -> bool:
    """Whether it is of a class from outside this package, or speaks for one: `wraps` names what stands within."""
    kind: Any = type(component)
    return from_outside(kind) or any(users_own(part) for part in getattr(component, "wraps", ()))


@lru_cache(maxsize=1024)
def from_outside(kind: type[Any]) -> bool:
    """Whether a class is not what stands under its name in a module whose file lies in one of our packages.

    A class may say of itself that it is of any module.
    """
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    try:
        stands = attrgetter(kind.__qualname__)(module) is kind
    except AttributeError:  # made within a function, or under another name
        return True
    place = Path(str(file)).resolve()
    return not (stands and file and any(place.is_relative_to(_HOME / package) for package in _OURS))


def handed(event: Any) -> Any:
    """The event as a class of the user's own gets it: its arrays are copies that can never be made writeable.

    What is no event is handed on as it is.
    """
    plan = PLANS.get(event.__class__)
    if plan is None:
        return event
    # One column may be absent, and a tail follows behind the last.
    columns: dict[str, Any] = dict(zip(plan.columns, map(_own_copy, plan.arrays(event)), strict=False))
    for outer, names in plan.nested:
        inner = {own: columns.pop(name) for own, name in names.items()}
        columns[outer] = msgspec.structs.replace(getattr(event, outer), **inner)
    if plan.tail:
        columns[plan.tail] = tuple([_own_copy(array) for array in getattr(event, plan.tail)])
    return msgspec.structs.replace(event, **columns) if columns else event


def hearing(component: Any, handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The handler of a component; one of a class of the user's own gets events of its own."""
    if not users_own(component):
        return handler
    if inspect.iscoroutinefunction(handler):

        async def waits(event: Any) -> Any:
            return await handler(handed(event))

        return waits
    return lambda event: handler(handed(event))


def _own_copy(array: Any) -> Any:
    """Of what is no array, and of an array of objects, which the bus lets nobody say, there is no copy."""
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        return array
    return np.ndarray(array.shape, array.dtype, array.tobytes())  # `copied`, without the call: there are many


def sealed(component: str, event: Any, now: int) -> Any:
    """The event with copies of its columns that nobody can make writeable again: they lie in bytes.

    Raises ComponentError unless it has the `ts` of the input that it follows from, in each plain field a value of its
    type, and in each column one value of the right type for each thing that it speaks of. Whole numbers of another
    width are taken where their values fit.
    """
    check_ts(component, event, now)
    event, kind = with_plain(component, event), event.__class__
    if kind is Note and event.source != component:
        raise _wrong(component, event, f"source is {event.source!r}, not its own name {component!r}")
    plan = PLANS[kind]
    columns: dict[str, Any] = {}
    for name, usual in zip(plan.columns, plan.dtypes, strict=True):
        array = getattr(event, name)
        if array is not None or not plan.optional:
            columns[name] = copied(_checked(component, event, name, usual))
    _check_rows(component, event, columns)
    return msgspec.structs.replace(event, **columns)


_PLAIN: MappingProxyType[type[Any], tuple[tuple[str, Any], ...]] = MappingProxyType(
    {
        kind: tuple(
            (name, get_origin(hint) or hint) for name, hint in get_type_hints(kind).items() if name in plan.plain
        )
        for kind, plan in PLANS.items()
    }
)


def with_plain(component: str, event: Any) -> Any:
    """The event with plain fields of the very types of its class. ComponentError, naming the field, for another."""
    changed: dict[str, Any] = {}
    for name, kind in _PLAIN[event.__class__]:
        value = getattr(event, name)
        same = _plain_value(kind, value)
        if same is None:
            word = _WORDS.get(kind, f"a {kind.__name__}")
            raise _wrong(component, event, f"{name} is a {type(value).__name__} that is not {word}")
        if same is not value:
            changed[name] = same
    return msgspec.structs.replace(event, **changed) if changed else event


def _plain_value(kind: Any, value: Any) -> Any:
    """The value as one of this type, None where it is none."""
    if kind is int:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool) and -_LONG <= value < _LONG
        return int(value) if whole else None
    if kind is float:
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        return float(value) if number else None
    if kind is str:
        return str.__str__(value) if _is_text(value) else None
    if kind is tuple:
        return value if value.__class__ is tuple and all(map(_is_text, value)) else None
    return value if value.__class__ is kind else None


def _is_text(value: Any) -> bool:
    """Whether it is text that can be written: half of a surrogate pair is none."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def check_ts(component: str, event: Any, now: int) -> None:
    """Raises ComponentError for an event of another instant than the input that it follows from."""
    if event.ts.__class__ is not int or event.ts != now:
        kind = event.__class__.__name__
        rule = "what is said has the ts of the input that it follows from"
        raise ComponentError(component, kind, now, f"it said {kind} with ts {event.ts!r}; {rule}, {now}")


def copied(array: Any) -> Any:
    """A copy in bytes, as an array that nobody else holds: what is handed on cannot be told another type or state."""
    return np.ndarray(array.shape, array.dtype, array.tobytes())


def _checked(component: str, event: Any, name: str, usual: np.dtype[Any]) -> Any:
    """The column as an array of the usual type. ComponentError where it cannot be one."""
    array = getattr(event, name)
    if not isinstance(array, np.ndarray):
        raise _wrong(component, event, f"{name} is a {type(array).__name__}, not an array of {usual}")
    kind = event.__class__
    flat = not (kind is Features or (kind is Fills and name == "fees"))
    if array.ndim != (1 if flat else 2):
        wanted = "(L,)" if flat else f"(L, {len(FEE_KINDS)})" if kind is Fills else "(N, F)"
        raise _wrong(component, event, f"{name} has shape {array.shape}, not {wanted}")
    if array.dtype == usual or (kind is Features and array.dtype.kind == "f"):
        return array
    number = array.dtype.kind
    if not (number in _WHOLE or (usual.kind == "f" and number in _NUMBERS and array.dtype.itemsize <= _DOUBLE)):
        raise _wrong(component, event, f"{name} is an array of {array.dtype}, not {usual}")
    same = array.astype(usual)
    if usual.kind != "f" and not np.array_equal(same, array):
        raise _wrong(component, event, f"{name} is an array of {array.dtype} with values that are none of {usual}")
    return same


def _check_rows(component: str, event: Any, columns: dict[str, Any]) -> None:
    """As many rows in each column. A note may have values without symbols."""
    kind = event.__class__
    lengths = {name: len(column) for name, column in columns.items()}
    if kind is Refusals:
        lengths["rule"] = len(event.rule)
    if kind is Note and not lengths["symbol"]:
        return
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise _wrong(component, event, f"columns differ in length ({told}); each has one value a row")
    if kind is Fills and columns["fees"].shape[1] != len(FEE_KINDS):
        shape = columns["fees"].shape
        raise _wrong(component, event, f"fees has shape {shape}, not (L, {len(FEE_KINDS)}): {', '.join(FEE_KINDS)}")


def _wrong(component: str, event: Any, what: str) -> ComponentError:
    kind = event.__class__.__name__
    return ComponentError(
        component, kind, event.ts, f"of its {kind} {what}; engine/events.py has the type of each column"
    )
