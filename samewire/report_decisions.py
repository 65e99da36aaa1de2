"""The part of the report that tells how a session decided: what limits cost, who answered, what was done instead."""

from collections.abc import Iterable
from typing import Any

from adapters.report import Grid, Part
from components.metrics.decision_rows import Decisions
from samewire.attributing import Attribution
from samewire.decided import Decided
from samewire.report_tables import laid

_ROWS_MAX = 120
_BP = 1e4
_LEFT = "a trade gains less than it costs"


def decisions_part(told: Decided) -> Part | None:
    """Everything there is to show of it; None where there is nothing."""
    found: list[Grid | None] = [*decision_grids(told.decisions)]
    if told.attribution is not None:
        found += [_sectors(told.attribution), _factor_effects(told.attribution)]
    grids = laid(found)
    if not grids:
        return None
    counts = told.decisions
    said = f"{counts.rebalances:,} rebalances, {counts.answered:,} of them answered with weights."
    caption = said if counts.rebalances else ""
    return Part("Decisions", caption, grids)


def decision_grids(found: Decisions) -> tuple[Grid, ...]:
    """The tables of what the notes say."""
    grids = (_constraints(found), _routes(found), _fallbacks(found), _conflicts(found), _changes(found))
    return laid((*grids, _sleeves(found), _exits(found), _screens(found), _factors(found)))


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _signed(value: float) -> str:
    return f"{round(value * 100, 2) + 0.0:+.2f} %"


def _cut(rows: Iterable[tuple[str, ...]], caption: str) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """The caption, and as many rows as are shown."""
    every = tuple(rows)
    said = f" The first {_ROWS_MAX} of {len(every)}; decisions.json has every one." if len(every) > _ROWS_MAX else ""
    return caption + said, every[:_ROWS_MAX]


def _constraints(found: Decisions) -> Grid:
    caption, rows = _cut(
        (
            (
                line.constraint,
                _LEFT if line.constraint == "cost" else line.label,
                f"{line.rebalances:,}",
                _percent(line.share),
                f"{line.names:.1f}" if line.names else "",
                f"{line.price_mean * _BP:.2f}",
                f"{line.price_max * _BP:.2f}",
            )
            for line in found.constraints
        ),
        "Where it bound: the share of the rebalances that were answered, the names that it held, and its shadow price, "
        "the return a slice in basis points that one unit of weight (100 % of equity) beyond the limit would gain.",
    )
    head = ("Constraint", "Of it", "Rebalances", "Share", "Names", "Mean price, bp", "Largest price, bp")
    return Grid("What each constraint cost", caption, head, rows, text=(0, 1))


def _routes(found: Decisions) -> Grid:
    rows = tuple(
        (
            line.route or "not told",
            f"{line.rebalances:,}",
            _percent(line.share),
            "" if line.iterations_median is None else f"{line.iterations_median:,.10g}",
            "" if line.residual_max is None else f"{line.residual_max:.1e}",
            f"{line.uncertified:,}",
            f"{line.in_vain:,}",
        )
        for line in found.routes
    )
    head = ("Route", "Rebalances", "Share", "Median iterations", "Largest residual", "Not certified", "Did not answer")
    caption = (
        "Residuals are those of the optimality conditions, computed outside of the solver; an answer without one, such "
        "as the last weights where they are kept, is not certified."
    )
    return Grid("Who answered", caption, head, rows)


def _fallbacks(found: Decisions) -> Grid:
    rows = ((line.step, line.reason, f"{line.count:,}", line.first, line.last) for line in found.fallbacks)
    caption, shown = _cut(rows, "What was done where the problem had no certified answer, and why.")
    return Grid("Fallbacks", caption, ("Step", "Why", "Times", "First", "Last"), shown, text=(0, 1))


def _conflicts(found: Decisions) -> Grid:
    rows = (
        (
            ", ".join(line.constraints),
            ", ".join(f"{name} by {by:.4g}" for name, by in zip(line.constraints, line.most, strict=False)),
            f"{line.count:,}",
            line.first,
            line.last,
        )
        for line in found.conflicts
    )
    caption, shown = _cut(rows, "Each set as small as can be: any one of its limits giving way would have resolved it.")
    head = ("Limits in conflict", "Most that one would have had to give, in weight", "Times", "First", "Last")
    return Grid("Limits that contradict one another", caption, head, shown, text=(0, 1))


_CHANGES = {
    "cut": "purchases cut to the cash there is",
    "participation": "trades cut to the participation limit",
    "lot": "positions below a lot, not opened",
    "small": "trades too small to be sent",
    "untradable": "trades without a bar or a price",
}


def _changes(found: Decisions) -> Grid:
    rows = [(_CHANGES.get(c.kind, c.kind), f"{c.rebalances:,}", f"{c.trades:,}", "", "") for c in found.changes]
    rounding = found.rounding
    if rounding is not None:
        error = f"{rounding.mean * _BP:.3f}", f"{rounding.largest * _BP:.3f}"
        rows = [("rounded to whole lots", f"{rounding.rebalances:,}", "", *error), *rows]
    head = ("", "Rebalances", "Trades", "Mean error, bp", "Largest error, bp")
    caption = (
        "Error: the volatility over one slice, in basis points of equity, of what whole lots differ from the weights."
    )
    return Grid("From weights to orders", caption if rounding is not None else "", head, tuple(rows))


def _sleeves(found: Decisions) -> Grid:
    sources = dict.fromkeys(line.source for line in found.sleeves)
    whole = {source: sum(line.first for line in found.sleeves if line.source == source) for source in sources}
    several = len(sources) > 1
    rows = tuple(
        (
            f"{line.source}.{line.name}" if several else line.name,
            f"{line.first:,.0f}",
            f"{line.last:,.0f}",
            f"{line.moved:+,.0f}",
            f"{line.gained:+,.0f}",
            _signed(line.gained / whole[line.source]) if whole[line.source] > 0 else "",
        )
        for line in found.sleeves
    )
    caption = "Base currency, from the first slice on; moved is cash that rebalancing brought into it."
    head = ("Sleeve", "First equity", "Last equity", "Moved", "Gained", "Of initial equity")
    return Grid("Sleeves", caption, head, rows)


def _exits(found: Decisions) -> Grid:
    rows = (
        (line.rule, line.source, f"{line.positions:,}", f"{line.slices:,}", line.first, line.last)
        for line in found.exits
    )
    caption, shown = _cut(rows, "Positions that a rule, or a filter that sells, began to close.")
    return Grid("Exits", caption, ("Rule", "Strategy", "Positions", "Slices", "First", "Last"), shown, text=(0, 1))


def _screens(found: Decisions) -> Grid:
    rows = ((line.filter, line.source, f"{line.dropped:,}", f"{line.returned:,}") for line in found.screens)
    caption, shown = _cut(rows, "Times that names ceased to pass a filter, or were blocked by a rule, and came back.")
    return Grid("Filters", caption, ("Filter", "Strategy", "Dropped", "Back"), shown, wide=False, text=(0, 1))


def _factors(found: Decisions) -> Grid:
    rows = (
        (line.rule, line.source, f"{line.changes:,}", f"{line.lowest:.3f}", f"{line.last:.3f}")
        for line in found.factors
    )
    caption, shown = _cut(rows, "Rules that multiply all that is wanted.")
    head = ("Rule", "Strategy", "Changes", "Lowest", "Last")
    return Grid("Factors of rules", caption, head, shown, wide=False, text=(0, 1))


# ---- attribution -----------------------------------------------------------------------------------------------------


def _sectors(found: Attribution) -> Grid:
    rows = [
        (
            line.sector,
            _percent(line.weight),
            _percent(line.benchmark_weight),
            *(_signed(value) for value in (line.allocation, line.selection, line.interaction)),
            _signed(line.allocation + line.selection + line.interaction),
        )
        for line in found.sectors
    ]
    sums = [sum(getattr(line, name) for line in found.sectors) for name in ("allocation", "selection", "interaction")]
    rows.append(("all sectors", "", "", *(_signed(value) for value in (*sums, sum(sums)))))
    rows.append(("trading and costs", "", "", "", "", "", _signed(found.trading)))
    rows.append(("difference", "", "", "", "", "", _signed(found.active)))
    head = ("Sector", "Weight", "Benchmark", "Allocation", "Selection", "Interaction", "Together")
    return Grid(f"Attribution against {found.against}", _attributed(found), head, tuple(rows))


def _attributed(found: Attribution) -> str:
    said = (
        f"Brinson-Fachler effects of {found.slices:,} slices, linked: account {_signed(found.total)}, "
        f"{found.against} {_signed(found.benchmark)}."
    )
    if found.transfer_targets is not None and found.transfer_held is not None:
        said += (
            f" Transfer coefficient: targets {found.transfer_targets:.2f}, held {found.transfer_held:.2f}; "
            "1 = every opinion stands in the book in proportion."
        )
    return said


def _factor_effects(found: Attribution) -> Grid | None:
    if not found.factors:
        return None
    rows = tuple((name, _signed(value)) for name, value in (*found.factors.items(), ("specific", found.specific)))
    caption = "What active exposures earned; with trading they add up to the difference too."
    return Grid("Factors", caption, ("Factor", "Effect"), rows, wide=False)


# ---- two sessions ----------------------------------------------------------------------------------------------------


def decision_figures(told: Decided | None) -> dict[str, str]:
    """The figures that two sessions are compared by, in words; {} where there are none."""
    if told is None:
        return {}
    return _of_weights(told.decisions) | _of_orders(told.decisions) | _of_attribution(told.attribution)


def _of_weights(found: Decisions) -> dict[str, str]:
    figures: dict[str, str] = {}
    if found.rebalances:
        figures["rebalances, of them answered"] = f"{found.rebalances:,}, {found.answered:,}"
    for route in found.routes:
        figures[f"answered by {route.route or 'a solver that is not told'}"] = _percent(route.share)
    for step in dict.fromkeys(line.step for line in found.fallbacks):
        figures[f"fell back: {step}"] = f"{sum(f.count for f in found.fallbacks if f.step == step):,}"
    for line in found.constraints:
        name = f"{line.constraint}, {line.label}" if line.label else line.constraint
        figures[f"binds: {name}"] = f"{_percent(line.share)}, mean price {line.price_mean * _BP:.2f} bp"
    return figures


def _of_orders(found: Decisions) -> dict[str, str]:
    figures: dict[str, str] = {}
    if found.rounding is not None:
        figures["rounding error, mean"] = f"{found.rounding.mean * _BP:.3f} bp"
    for change in found.changes:
        figures[_CHANGES.get(change.kind, change.kind)] = f"{change.trades:,}"
    for exit_ in found.exits:
        figures[f"exits: {exit_.rule}"] = f"{exit_.positions:,}"
    for screen in found.screens:
        figures[f"dropped: {screen.filter}"] = f"{screen.dropped:,}"
    for sleeve in found.sleeves:
        figures[f"sleeve {sleeve.name}, gained"] = f"{sleeve.gained:+,.0f}"
    return figures


def _of_attribution(found: Attribution | None) -> dict[str, str]:
    if found is None:
        return {}
    effects: dict[str, Any] = {
        name: sum(getattr(line, name) for line in found.sectors) for name in ("allocation", "selection", "interaction")
    }
    effects["trading and costs"] = found.trading
    figures = {f"attribution: {name}": _signed(value) for name, value in effects.items()}
    if found.transfer_targets is not None and found.transfer_held is not None:
        figures["transfer coefficient, targets and held"] = f"{found.transfer_targets:.2f}, {found.transfer_held:.2f}"
    return figures
