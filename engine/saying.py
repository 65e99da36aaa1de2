"""Who may say which event, and that what was said stays as it was."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

import msgspec
import numpy as np

from engine.errors import ComponentError
from engine.event_columns import PLANS
from engine.events import (
    EVENT_TYPES,
    INPUT_ORDER,
    Approved,
    Book,
    Charges,
    Children,
    Control,
    Event,
    Features,
    Fills,
    Orders,
    Refusals,
    Reports,
    Signal,
    Target,
)
from engine.sealing import check_ts, copied, sealed, with_plain

# Looks at what a component says at an instant, and answers with the event that all others get.
Look: TypeAlias = Callable[[str, Any, int], Any]
# What is looked at when a component says an event of a type, None = nothing; types that it may not say are not in it.
Says: TypeAlias = Mapping[type[Any], Look | None]

_BROKER = "only the broker deals, with what the gate approved"
_INSTEAD: MappingProxyType[type[Any], str] = MappingProxyType(
    {
        Approved: "return Orders, which the gate approves or refuses",
        Control: "a component has no command of the session",
        Book: "only the ledger keeps books",
        Refusals: "only the gate and the broker refuse",
        Signal: "only models answer with signals, each with its own name as the source",
        Target: "only strategies have targets, and return them from on_signals",
        Orders: "only the optimizer orders",
        Children: "only an execution sends children of orders",
        Features: "only feature sets make features",
        **dict.fromkeys((Fills, Reports, Charges), _BROKER),
        **dict.fromkeys(INPUT_ORDER[1:], "what comes from the market enters through a feed"),
    }
)


def freeze(event: Any) -> None:
    """Makes the arrays of an event read-only, and what they are views of: a component makes new ones each time.

    Whoever reads an event later, a gate, a signal held back, a broker, reads what was said.
    """
    for array in PLANS[event.__class__].arrays(event):
        while isinstance(array, np.ndarray) and array.flags.writeable:
            array.flags.writeable = False
            array = array.base


def _kept(component: str, event: Any, now: int) -> Any:
    """Of ours alone, whose arrays are no views of what they write into."""
    for array in PLANS[event.__class__].arrays(event):
        array.setflags(False)  # by position, and not through `flags`: it is done for every array
    return event


def _sealed(component: str, event: Any, now: int) -> Any:
    copy = sealed(component, event, now)
    freeze(event)  # so that a component which writes over what it said is told, and not left to wonder
    return copy


def _own(component: str, signal: Signal, now: int) -> Signal:
    if signal.source != component:
        refuse(component, signal, now, f"its source is {signal.source!r}")
    if signal.asof > now:
        cause = f"its signal has asof {signal.asof}, which is after its ts {now}; asof is the slice that it speaks of"
        raise ComponentError(component, "Signal", now, cause)
    value: Any = signal.value  # one that is no array goes on to the barrier, which says what a value has to be
    if isinstance(value, np.ndarray) and value.flags.writeable:
        freeze(signal)
    return signal


def _own_sealed(component: str, signal: Signal, now: int) -> Signal:
    check_ts(component, signal, now)
    signal = with_plain(component, signal)
    _own(component, signal, now)
    value: Any = signal.value
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return signal  # to the barrier likewise
    return msgspec.structs.replace(signal, value=copied(value))


# Those who are spared make their arrays read-only themselves, where not even a look costs nothing.
_SPARED = (Approved, Fills, Reports, Book)
_LOOKS: MappingProxyType[type[Any], Look | None] = MappingProxyType(
    dict.fromkeys(EVENT_TYPES, _kept) | dict.fromkeys(_SPARED) | {Signal: _own}
)
_SEALS: MappingProxyType[type[Any], Look] = MappingProxyType(
    dict.fromkeys(EVENT_TYPES, _sealed) | {Signal: _own_sealed}
)
FROM_OUTSIDE: frozenset[type[Any]] = frozenset(INPUT_ORDER)
ANYTHING: Says = MappingProxyType(dict.fromkeys(EVENT_TYPES))


def says(*kinds: type[Any], own: bool = False) -> Says:
    """Of a component that may say events of these types and no others; `own` where its class is the user's."""
    looks: Mapping[type[Any], Look | None] = _SEALS if own else _LOOKS
    return MappingProxyType({kind: looks[kind] for kind in kinds})


def signal_look(own: bool = False) -> Look:
    """What is looked at when a model says a signal, which may be long before it is published."""
    return _own_sealed if own else _own


def refuse(component: str, event: Any, now: int, why: str = "") -> NoReturn:
    """Raises ComponentError for an event that this component may not say."""
    kind = event.__class__.__name__
    if event.__class__ not in PLANS:
        raise ComponentError(component, kind, now, f"it returned a {kind}, which is no event; return events or None")
    said = f"it said {kind}{', and ' + why if why else ''}, which is not for it to say"
    instead = _INSTEAD.get(event.__class__, "leave it out")
    raise ComponentError(component, kind, now, f"{said}; {instead}")


def taken(event: Event, takes: frozenset[type[Any]]) -> None:
    """Raises ComponentError for an input of a type that does not come from outside."""
    if event.__class__ not in takes:
        kind = event.__class__.__name__
        cause = (
            f"a source said {kind}, which does not come from outside; {_INSTEAD.get(event.__class__, 'leave it out')}"
        )
        raise ComponentError("input", kind, getattr(event, "ts", 0), cause)
