"""Strategies that sell what they do not hold, where the broker lends no shares."""

from collections.abc import Iterator

from samewire.diagnostics import Problem
from samewire.registry import BUILT_IN
from samewire.run_file import Component, RunFile, nested_in


def unlent(run: RunFile) -> Iterator[Problem]:
    """Built-in strategies with short positions beside the simulated broker without `short`.

    It would refuse every sale beyond a position, so that the long side alone would be traded. What a broker of the
    user's own lends is not known.
    """
    broker = run.broker
    if broker.use != "simulated" or broker.use not in BUILT_IN["brokers"] or broker.options.get("short"):
        return
    for strategy in run.strategies:
        for component in _within(strategy):
            said = _shorts(component)
            if said:
                got = f"a broker without short positions, and {component.use} {said}"
                yield Problem("E113", broker.where, "broker.short", got, "short: true, or a strategy of long positions")


def _shorts(component: Component) -> str:
    """What a strategy sells short, empty = nothing."""
    options = component.options
    if component.group != "strategies":
        return ""
    if component.use == "long_short" and options.get("net", 0.0) < options.get("gross", 1.0):
        return "holds a short leg: net is below gross"
    if component.use == "score_weights" and options.get("side") == "neutral":
        return "holds a short leg: side is neutral"
    below = (
        [name for name, weight in (options.get("weights") or {}).items() if weight < 0]
        if (component.use == "fixed_weights")
        else []
    )
    return f"has {below[0]} below 0" if below else ""


def _within(component: Component) -> Iterator[Component]:
    yield component
    for value in component.options.values():
        for part in nested_in(value):
            yield from _within(part)
