"""Positions below zero that a run asks for, where the broker lends no shares."""

from collections.abc import Iterator
from typing import Any

from samewire.diagnostics import Problem
from samewire.registry import BUILT_IN
from samewire.run_file import Component, RunFile, nested_in, unguarded

_NEXT = "broker.short: true, or "
_LONG = "long_only among the constraints"


def unlent(run: RunFile) -> Iterator[Problem]:
    """What reaches the simulated broker without `short` and is certain to be below zero somewhere.

    It would refuse every sale beyond a position, so that the long side alone would be traded. An optimizer with a
    method of its own decides itself what is sold: strategies count beside `direct` alone. What a broker of the user's
    own lends is not known, nor what a table or a Reference of weights will say.
    """
    if not _lends_nothing(run):
        return
    if run.optimizer.use == "direct" and len(run.strategies) == 1:
        component = unguarded(run.strategies[0])
        said = _shorts(component)
        if said:
            got = f"a broker without short positions, and {component.use} {said}"
            yield Problem("E113", component.where, "strategy", got, f"{_NEXT}a strategy of long positions")
    method = _method(run)
    said = "" if method is None else _method_shorts(method)
    if method is not None and said:
        got = f"a broker without short positions, and {method.use} {said}"
        yield Problem("E113", method.where, "optimizer.method", got, f"{_NEXT}{_instead(method)}")


def perhaps_unlent(run: RunFile) -> Iterator[tuple[Component, str, str]]:
    """What may be below zero beside such a broker: the component, its path and what to do.

    Short legs that others may outweigh, in sleeves or among several strategies, and weights without a bound at zero.
    """
    if not _lends_nothing(run):
        return
    if run.optimizer.use == "direct":
        certain = unguarded(run.strategies[0]) if len(run.strategies) == 1 else None
        for component in (inner for strategy in run.strategies for inner in _within(strategy)):
            said = "" if component is certain else _shorts(component)
            if said:
                text = f"{component.use} {said}, and the broker lends no shares: what others do not outweigh is refused"
                yield component, "strategy", f"{text}; set {_NEXT}a strategy of long positions"
    method = _method(run)
    if method is not None and method.use == "composed" and not _held_above(method) and not _method_shorts(method):
        text = "no constraint holds weights at zero or above, and the broker lends no shares: sales beyond a position"
        yield method, "optimizer.method", f"{text} are refused; set {_NEXT}{_LONG}"


def _lends_nothing(run: RunFile) -> bool:
    broker = run.broker
    return broker.use == "simulated" and broker.use in BUILT_IN["brokers"] and not broker.options.get("short")


def _method(run: RunFile) -> Component | None:
    method = run.optimizer.options.get("method") if run.optimizer.use == "portfolio" else None
    return method if isinstance(method, Component) else None


def _shorts(component: Component) -> str:
    """What a strategy sells short, empty = nothing."""
    options = component.options
    if component.group != "strategies":
        return ""
    if component.use == "long_short" and options.get("net", 0.0) < options.get("gross", 1.0):
        return "holds a short leg: net is below gross"
    if component.use == "score_weights" and options.get("side") == "neutral":
        return "holds a short leg: side is neutral"
    if component.use == "sign" and options.get("short"):
        return "sells short: short is true"
    weights = (options.get("weights") or {}) if component.use == "fixed_weights" else {}
    below = [name for name, weight in weights.items() if weight < 0]
    return f"has {below[0]} below 0" if below else ""


def _method_shorts(method: Component) -> str:
    """What a method sells short, empty = nothing for certain."""
    options = method.options
    if method.use in ("minimum_variance", "black_litterman") and options.get("long_only") is False:
        return "" if _held_above(method) else "sells short: long_only is false"
    if method.use != "composed" or _held_above(method):
        return ""
    highest = [each.options.get("max") for each in nested_in(options.get("constraints")) if each.use == "budget"]
    neutral = any(most is not None and most <= 0 for most in highest)
    return "holds no more than it sells short: the budget is at most 0" if neutral else ""


def _held_above(method: Component) -> bool:
    """Whether a constraint that must hold keeps weights at zero or above; one of the user's own may."""
    return any(_holds_above(each) for each in nested_in(method.options.get("constraints")))


def _holds_above(constraint: Component) -> bool:
    options: dict[str, Any] = constraint.options
    if constraint.use not in BUILT_IN["constraints"]:
        return True
    if options.get("soft") is not None:
        return False
    if constraint.use == "box":
        least: float | None = options.get("min")
        return least is not None and least >= 0
    return constraint.use == "long_only" or (constraint.use == "benchmark_band" and not options.get("short"))


def _instead(method: Component) -> str:
    return _LONG if method.use == "composed" else "long_only: true"


def _within(component: Component) -> Iterator[Component]:
    yield component
    for value in component.options.values():
        for part in nested_in(value):
            yield from _within(part)
