"""What is allowed in a run file and rarely meant: warnings, each with both values and the next step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from samewire.diagnostics import SET, Where, shown_path
from samewire.registry import resolve
from samewire.run_file import GUARDED, Component, RunFile, nested_in
from samewire.unlent import perhaps_unlent

_EVEN = ("twap", "vwap", "almgren_chriss", "sbb_ema", "rl")  # send all of an order within their horizon, in any parts
_PARTS = 4  # orders that a position of the largest weight may take before its limit counts as small


@dataclass(frozen=True)
class Caution:
    """One warning: the place of the component it is about, the path of the value, and what to do."""

    where: Where
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"

    def as_json(self) -> dict[str, Any]:
        origin = self.where.origin.name
        return {
            "file": SET if origin.startswith(SET) else shown_path(origin),
            "line": self.where.line or None,
            "path": self.path,
            "message": self.text,
        }


def cautions(run: RunFile, *, session: bool = False) -> tuple[Caution, ...]:
    """All warnings of a checked run file. None of them keeps it from being run.

    With `session` it is about to be one, also where it has a section `training:` and may be meant for that alone.
    """
    found = (
        _weight(run),
        _order_value(run),
        _moment(run),
        _sectors(run),
        _proceeds(run),
        _leverage(run),
        _spread(run),
        _sinks(run),
    )
    others = (*_untrained(run, session), *_unheard(run), *_resolved_anyway(run))
    lent = [Caution(component.where, path, text) for component, path, text in perhaps_unlent(run)]
    return (*(caution for caution in (*found, _gate(run)) if caution is not None), *others, *lent)


def _untrained(run: RunFile, session: bool) -> list[Caution]:
    """Models that learn, but are given nothing to learn from: they never have an opinion."""
    found = []
    for spec in run.models:
        learns = hasattr(resolve("models", spec.component.use), "fit")
        taught = (spec.train, spec.retrain, spec.artefact) != (None, None, None)
        if learns and not taught and (session or run.training is None):
            name = spec.component.name
            text = f"model {name!r} learns, but has no train, retrain or artefact, so it never answers; add one of them"
            found.append(Caution(spec.component.where, f"models.{name}", text))
        end = run.session.end
        if spec.train is not None and end is not None and spec.train.until >= end:
            name, until = spec.component.name, spec.train.until
            text = f"model {name!r} answers after {until}, but the session ends on {end}; train until an earlier day"
            found.append(Caution(spec.component.where, f"models.{name}", text))
    return found


def _unheard(run: RunFile) -> list[Caution]:
    """Strategies that are certain to fail at their first decision: no model, or none alone, is what they ask for."""
    names = [spec.component.name for spec in run.models]
    found = []
    for component in (inner for strategy in run.strategies for inner in _readers(strategy)):
        if "signal" not in component.options:
            continue
        asked = component.options["signal"]
        if asked is None and len(names) > 1:
            text = (
                f"there are {len(names)} models and the strategy names none; set signal to one of: {', '.join(names)}"
            )
        elif asked is not None and asked not in names:
            text = f"no model is called {asked!r}; set signal to one of: {', '.join(names)}"
        else:
            continue
        found.append(Caution(component.where, "strategy.signal", text))
    return found


def _readers(strategy: Component) -> Iterator[Component]:
    """The strategy and those inside it that are asked with the signals of models; a blend asks with its own."""
    yield strategy
    if strategy.use == "blend_signals":
        return
    for value in strategy.options.values():
        for inner in nested_in(value):
            if inner.group == "strategies":
                yield from _readers(inner)


def _resolved_anyway(run: RunFile) -> list[Caution]:
    """Schedules that keep a strategy silent, before an optimizer that goes on trading by itself."""
    if run.optimizer.use == "direct" or ":" in run.optimizer.use or run.optimizer.options.get("schedule") is not None:
        return []
    instead = "optimizer.schedule" if run.optimizer.use == "portfolio" else "optimizer: portfolio with a schedule"
    found = []
    for component in run.strategies:
        schedule = component.options.get("schedule")
        if component.use == GUARDED and isinstance(schedule, Component) and schedule.use != "always":
            text = (
                f"{schedule.use} says when the strategy is asked, but {run.optimizer.use} solves for weights in every "
                f"slice and trades in between; say {instead} too, or take optimizer: direct"
            )
            found.append(Caution(schedule.where, "strategy.schedule", text))
    return found


def _gate(run: RunFile) -> Caution | None:
    """A gate of the user's own: none of the limits of ours hold, and nothing comes after it."""
    if ":" not in run.risk.use:
        return None
    text = (
        f"{run.risk.use} is a class of your own: what it approves goes to the broker unchecked, and none of the limits "
        "and refusals of docs/risk.md hold but those that it keeps itself; leave risk.use out for ours"
    )
    return Caution(run.risk.where, "risk.use", text)


def _weight(run: RunFile) -> Caution | None:
    """Weights that the gate is certain to refuse: what was to be bought stays cash."""
    wanted, allowed = _number(run.optimizer, "max_weight"), _number(run.risk, "max_weight")
    if wanted is None or allowed is None or wanted <= allowed:
        return None
    text = (
        f"{wanted:g} is above risk.max_weight {allowed:g}: orders beyond that are refused whole and the money stays in "
        f"cash; set optimizer.max_weight below {allowed:g}, {0.9 * allowed:.2g} say, since weights drift"
    )
    return Caution(run.optimizer.where, "optimizer.max_weight", text)


def _order_value(run: RunFile) -> Caution | None:
    """A limit on single orders that no position of the largest weight gets through."""
    limit = _number(run.risk, "max_order_value")
    weights = [w for part in (run.optimizer, run.risk) if (w := _number(part, "max_weight")) is not None]
    slices = _slices_of_an_order(run)
    if limit is None or not weights or not slices:
        return None
    weight, cash = min(weights), run.session.cash
    if limit >= weight * cash / slices / _PARTS:
        return None
    largest = f"{weight * cash:,.10g}"
    if slices == 1:
        held, orders, way = f"({largest})", "orders", "lower the weight"
    else:
        held = f"({largest}) over the {slices} slices in which {run.execution.use} works it" if run.execution else ""
        orders, way, largest = "children", "take a longer execution.horizon", f"{weight * cash / slices:,.10g}"
    text = (
        f"{limit:,.10g} is below a quarter of max_weight {weight:g} times session.cash {cash:,.10g} {held}: "
        f"larger {orders} are refused whole; raise risk.max_order_value to {largest} or {way}"
    )
    return Caution(run.risk.where, "risk.max_order_value", text)


def _slices_of_an_order(run: RunFile) -> int:
    """In how many parts, at the least, an order comes to the gate; 0 = nobody here can say."""
    policy = run.execution
    if policy is None or policy.use == "immediate" or _moment(run) is not None:
        return 1
    horizon = policy.options.get("horizon")
    return horizon if policy.use in _EVEN and isinstance(horizon, int) else 0


def _moment(run: RunFile) -> Caution | None:
    """Orders with a moment of their own, beside a policy that would work those without one."""
    if run.execution is None or hasattr(resolve("execution", run.execution.use), "on_orders"):
        return None
    for key, worked in (("order", ("market",)), ("time_in_force", ("day", "gtc"))):
        value = run.optimizer.options.get(key)
        if isinstance(value, str) and value not in worked:
            text = (
                f"{value} orders have a moment of their own, so that execution {run.execution.use} passes them on "
                f"whole and works none over its slices; leave optimizer.{key} out, or execution"
            )
            return Caution(run.optimizer.where, f"optimizer.{key}", text)
    return None


def _sectors(run: RunFile) -> Caution | None:
    """A limit by sector where nothing tells the sectors: all that is not an exit is refused."""
    limits = [key for key in ("max_sector_gross", "max_sector_net") if _number(run.risk, key) is not None]
    read = [part for part in _within((run.feed,)) if part.use in ("parquet", "csv", "qlib")]
    told = any(part.options.get("sectors") or part.options.get("instruments") for part in read)
    if not limits or not read or told:
        return None
    text = "the feed tells no sectors, so that every order that is no exit is refused; set feed.sectors"
    return Caution(run.risk.where, f"risk.{limits[0]}", text)


def _proceeds(run: RunFile) -> Caution | None:
    """Purchases paid with sales that have not settled yet: a cash account cuts them, slice after slice."""
    days, borrows = _number(run.broker, "settlement_days"), _number(run.broker, "leverage") or 1.0
    if not days or borrows > 1 or run.broker.options.get("short") or not run.optimizer.options.get("proceeds"):
        return None
    text = (
        f"sales settle {days:g} trading days later (broker.settlement_days), but the optimizer spends what they bring "
        "at once and the broker cuts those purchases; set optimizer.proceeds to false"
    )
    return Caution(run.optimizer.where, "optimizer.proceeds", text)


def _leverage(run: RunFile) -> Caution | None:
    """Orders sized for more than the account may borrow: the broker cuts or refuses what goes beyond."""
    wanted, allowed = _number(run.optimizer, "leverage"), _number(run.broker, "leverage")
    if wanted is None or allowed is None or wanted <= allowed:
        return None
    text = (
        f"{wanted:g} is above broker.leverage {allowed:g}: the broker cuts what goes beyond; leave optimizer.leverage "
        "out, and it is the broker's"
    )
    return Caution(run.optimizer.where, "optimizer.leverage", text)


def _spread(run: RunFile) -> Caution | None:
    """Half a spread that is never charged: no quotes at the instant at which the orders trade, and no bps instead."""
    costs = nested_in(run.broker.options.get("costs"))
    free = [part for part in _within(costs) if part.use == "half_spread" and not part.options.get("bps")]
    if not free:
        return None
    fill = run.broker.options.get("fill")
    wanted = ("bid_open", "ask_open") if fill in ("next_open", "open_auction") else ("bid", "ask")
    named = [part.options["extra"] for part in _within((run.feed,)) if "extra" in part.options]
    looks = free[0].options.get("quotes", True)
    if looks and (not named or any(set(wanted) <= set(names or ()) for names in named)):
        return None  # a feed of the user's own may have any columns
    both = f"feed.extra: [{', '.join(wanted)}]"
    says = f"orders trade as broker.fill {fill} says, and feed.extra names no {wanted[0]} and {wanted[1]} for it"
    text = (
        f"half_spread charges nothing: {says if looks else 'quotes is false'}, and bps is 0; "
        f"set bps to half a usual spread{f', or {both}' if looks else ''}"
    )
    return Caution(free[0].where, "broker.costs", text)


def _within(parts: tuple[Component, ...]) -> list[Component]:
    """These components and all that stand inside them."""
    inner = [part for one in parts for value in one.options.values() for part in nested_in(value)]
    return [*parts, *(_within(tuple(inner)) if inner else ())]


def _sinks(run: RunFile) -> Caution | None:
    if any(sink.use == "session_dir" for sink in run.sinks):
        return None
    where = run.sinks[0].where if run.sinks else Where(run.feed.where.origin)
    text = (
        "no session_dir sink: a session directory will hold no orders, fills, signals and targets; "
        "add {use: session_dir}, or leave sinks out"
    )
    return Caution(where, "sinks", text)


def _number(component: Component, key: str) -> float | None:
    value = component.options.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
