"""Which bars each component works on: what a run file says, what follows from it, and whether the feed makes them."""

from collections.abc import Callable
from dataclasses import replace

from samewire.diagnostics import Problem
from samewire.registry import resolve
from samewire.run_file import Component, ModelSpec, RunFile, unguarded
from samewire.scalars import duration_ns, duration_text

_DAILY = ("sample", "qlib")  # built-in feeds whose bars are daily whatever they are told
_FILES = ("parquet", "csv")  # whose interval is found in the file unless it is declared
_ONE_BAR = (
    "a child lives for one bar, and only one bar of a session trades in an auction: next_open, next_close, next_vwap, "
    "bars of a day, or no execution"
)
_TWO_FILLS = (
    "children of one order would trade twice in a bar, at its open what was sent at the close before and at its own "
    "close the next: when_closed: same, another fill, bars of a day, or no execution"
)
_NEXT = "feed: {use: aggregate, of: ..., to: [...]} makes others"


def with_intervals(run: RunFile, add: Callable[[Problem], None]) -> RunFile:
    """The run file with the intervals of models and of the feature sets that they name brought together.

    A model works on the bars of its feature set, and a set that says no interval takes that of the models naming it.
    What contradicts itself, or asks for bars that the feed does not make, is handed to `add`.
    """
    sets = {component.name: _pace(component, run.models, add) for component in run.features}
    models = tuple(_joined(spec, sets, add) for spec in run.models)
    run = replace(run, features=tuple(sets.values()), models=models)
    for strategy in run.strategies:
        own = unguarded(strategy).options.get("interval_ns")
        if own and strategy.interval_ns and own != strategy.interval_ns:
            got = f"interval {duration_text(strategy.interval_ns)} and interval_ns {duration_text(own)}"
            add(Problem("E113", strategy.where, "strategy.interval", got, "one of the two"))
    for problem in _misread(run.feed) or [*_unmade(run), *_unmet(run)]:
        add(problem)
    return run


def _misread(feed: Component) -> list[Problem]:
    """What is wrong with the intervals that bars are to be aggregated to, as far as their texts tell."""
    if feed.use != "aggregate":
        return []
    to = feed.options["to"]
    wrong = [text for text in to if not _readable(text)] or ([] if to else ["an empty list"])
    expected = "intervals such as 5min, 1h, 1d or 1w"
    return [Problem("E108", feed.where, "feed.to", text, expected) for text in wrong]


def _readable(text: str) -> bool:
    from adapters.operators.buckets import parse_longer

    try:
        parse_longer(text)
    except ValueError:
        return False
    return True


def _pace(component: Component, models: tuple[ModelSpec, ...], add: Callable[[Problem], None]) -> Component:
    readers = [spec for spec in models if spec.features == component.name]
    asked = list(dict.fromkeys(spec.interval_ns for spec in readers))
    if component.interval_ns or not any(asked):
        return component
    if len(asked) > 1:
        odd = next(spec for spec in readers if spec.interval_ns != asked[0])
        got = f"{_said(asked[1])}, while another model reads {component.name} at {_said(asked[0])}"
        path = f"models.{odd.component.name}.interval"
        add(Problem("E113", odd.component.where, path, got, "a feature set of its own for each interval"))
    return replace(component, interval_ns=asked[0])


def _joined(spec: ModelSpec, sets: dict[str, Component], add: Callable[[Problem], None]) -> ModelSpec:
    own = sets[spec.features].interval_ns if spec.features in sets else 0
    if own and spec.interval_ns not in (0, own):
        got = f"{_said(spec.interval_ns)}, while its features {spec.features} are of {_said(own)}"
        path = f"models.{spec.component.name}.interval"
        add(Problem("E113", spec.component.where, path, got, "the interval of its features, or none"))
    return replace(spec, interval_ns=spec.interval_ns or own)


def _said(interval_ns: int) -> str:
    return duration_text(interval_ns) if interval_ns else "the finest interval"


def _unmade(run: RunFile) -> list[Problem]:
    """Intervals that nobody makes, as far as that can be told before the feed is opened."""
    made, below = _made(run)
    asked = [(f"features.{c.name}", c.where, c.interval_ns) for c in run.features]
    asked += [(f"models.{s.component.name}", s.component.where, s.interval_ns) for s in run.models]
    asked += [(f"strategy.{c.name}", c.where, c.interval_ns) for c in run.strategies]
    known = ", ".join(duration_text(each) for each in sorted(made))
    return [
        Problem("E111", where, f"{path}.interval", duration_text(interval), f"an interval of the feed: {known}", _NEXT)
        for path, where, interval in asked
        if made and interval and interval not in made and interval >= below
    ]


def unfit(broker: Component) -> tuple[str, str, str] | None:
    """An option by which a broker does not trade a child in the one bar that it lives for: its value, and the rule."""
    fill, shut = (str(broker.options.get(name)) for name in ("fill", "when_closed"))
    if broker.use != "simulated":
        return None
    if fill in ("open_auction", "close_auction"):
        return "broker.fill", fill, _ONE_BAR
    return ("broker.when_closed", shut, _TWO_FILLS) if (fill, shut) == ("same_close", "next_open") else None


def _unmet(run: RunFile) -> list[Problem]:
    """A policy whose children, which live for one bar, would hardly ever meet one that trades."""
    made, _ = _made(run)
    found = unfit(run.broker)
    if run.execution is None or found is None or not made or min(made) >= duration_ns("1d"):
        return []
    if hasattr(resolve("execution", run.execution.use), "on_orders"):
        return []
    option, value, rule = found
    got = f"{value} beside execution {run.execution.use} and bars of {duration_text(min(made))}"
    return [Problem("E113", run.broker.where, option, got, rule)]


def _made(run: RunFile) -> tuple[set[int], int]:
    """The intervals that the feed is known to make, and the length from which on it makes no others."""
    feed = run.feed
    if feed.use != "aggregate":
        own = _own(feed)
        return ({own}, 0) if own else (set(), 0)
    longer = {duration_ns(text) for text in feed.options["to"]}
    inner = feed.options["of"]
    own = _own(inner) if isinstance(inner, Component) else 0
    if not feed.options["keep"]:
        return longer, 0
    return (longer | {own}, 0) if own else (longer, min(longer))


def _own(feed: Component) -> int:
    """The interval of a feed's bars, 0 = not known before it is opened."""
    if feed.use in _DAILY:
        return duration_ns("1d")
    declared = feed.options.get("interval") if feed.use in _FILES else None
    try:
        return duration_ns(declared) if declared else 0
    except ValueError:
        return 0  # the feed itself says what is wrong with it
