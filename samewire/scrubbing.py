"""Errors without secrets: what can be changed in them is, the others give way to plain ones that say the same."""

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

from samewire.hiding import Hider

_MEMBERS = ("member_descriptor", "getset_descriptor")  # fields of C types, and __slots__
_KEPT = ("__cause__", "__context__", "__traceback__", "__suppress_context__", "__dict__", "__weakref__", "__class__")


def scrub(error: BaseException, hide: Hider) -> BaseException:
    """The error without secrets in its words, its fields and those of all that it came from.

    It is the same object where that could be changed; else another, a RuntimeError or an ExceptionGroup with the
    traceback, the notes and the causes of the first.
    """
    if not hide:
        return error
    found = _reachable(error)
    for at in found:
        _clean(at, hide)
    told: dict[int, BaseException] = {}
    for at in found:
        if not isinstance(at, BaseExceptionGroup) and _shows(at, hide):
            told[id(at)] = _like(RuntimeError(hide(f"{type(at).__name__}: {_said(at)}")), at, hide)
    for at in found:
        if isinstance(at, BaseExceptionGroup):
            _group(at, hide, told)
    for at in (*found, *list(told.values())):
        suppressed = at.__suppress_context__
        with contextlib.suppress(Exception):
            if at.__cause__ is not None:
                at.__cause__ = told.get(id(at.__cause__), at.__cause__)
            if at.__context__ is not None:
                at.__context__ = told.get(id(at.__context__), at.__context__)
            at.__suppress_context__ = suppressed
    return told.get(id(error), error)


def raise_scrubbed(error: BaseException, hide: Hider) -> NoReturn:
    """Raises what `scrub` makes of it, from within the handler that caught it."""
    told = scrub(error, hide)
    came_from = told.__context__
    try:
        raise told
    finally:
        told.__context__ = came_from  # not the error that it stands for


def _reachable(error: BaseException) -> list[BaseException]:
    """The error, those it came from, those in a group and those among the arguments of another; each once."""
    seen: dict[int, BaseException] = {}
    waiting: list[Any] = [error]
    while waiting:
        at = waiting.pop()
        if isinstance(at, BaseException) and id(at) not in seen:
            seen[id(at)] = at
            waiting += [at.__cause__, at.__context__, *getattr(at, "exceptions", ()), *at.args]
    return list(seen.values())


def _fields(error: BaseException) -> Iterator[str]:
    """Names of what an error keeps: in its dictionary, in slots, in its C type (the filename of an OSError)."""
    yield from list(getattr(error, "__dict__", {}))
    for kind in type(error).__mro__:
        for name, value in vars(kind).items():
            if type(value).__name__ in _MEMBERS and name not in _KEPT:
                yield name


def _clean(error: BaseException, hide: Hider) -> None:
    for name in _fields(error):
        with contextlib.suppress(Exception):
            before = getattr(error, name)
            after = _value(before, hide)
            if after is not before:
                setattr(error, name, after)


def _value(value: Any, hide: Hider) -> Any:
    """The value without secrets; the very same object where it has none."""
    if value is None or isinstance(value, int | float | BaseException | type):
        return value
    if type(value) is tuple or type(value) is list:
        inner = [_value(each, hide) for each in value]
        return value if all(a is b for a, b in zip(inner, value, strict=True)) else type(value)(inner)
    if type(value) is dict:
        changed = {key: _value(each, hide) for key, each in value.items()}
        return value if all(changed[key] is each for key, each in value.items()) else changed
    try:
        texts = [value] if isinstance(value, str) else [repr(value), str(value)]
    except Exception:  # noqa: BLE001 - what cannot be printed is printed by nobody
        return value
    for text in texts:
        if (hidden := hide(text)) != text:
            return hidden
    return value


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - as Python itself shows it
        return "<exception str() failed>"


def _shows(error: BaseException, hide: Hider) -> bool:
    """Whether a secret is in what is printed of it, or still in one of its fields."""
    try:
        text = "".join(traceback.format_exception_only(error)) + repr(error)
    except Exception:  # noqa: BLE001 - its own __repr__ failed: nothing is known of it
        return True
    if hide(text) != text:
        return True
    for name in _fields(error):
        with contextlib.suppress(Exception):
            value = getattr(error, name)
            if _value(value, hide) is not value and _value(value, hide) != value:
                return True
    return False


def _like(made: BaseException, error: BaseException, hide: Hider) -> BaseException:
    made.__cause__, made.__context__ = error.__cause__, error.__context__
    made.__suppress_context__ = error.__suppress_context__
    for note in getattr(error, "__notes__", ()):
        made.add_note(hide(str(note)))
    return made.with_traceback(error.__traceback__)


def _group(group: BaseExceptionGroup[Any], hide: Hider, told: dict[int, BaseException]) -> BaseException:
    """The group, or one like it where its message or one of its errors could not be changed."""
    if id(group) in told:
        return told[id(group)]
    inner = [
        _group(at, hide, told) if isinstance(at, BaseExceptionGroup) else told.get(id(at), at)
        for at in group.exceptions
    ]
    same = all(a is b for a, b in zip(inner, group.exceptions, strict=True))
    if same and not _shows(group, hide):
        return group
    told[id(group)] = _like(BaseExceptionGroup(hide(group.message), inner), group, hide)
    return told[id(group)]
