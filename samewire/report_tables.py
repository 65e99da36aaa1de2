"""The tables of the report: months, years, models, costs, refusals and the feed's defects."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from adapters.report import Grid
from components.metrics.returns import by_month, max_drawdown, performance
from engine.events import Stamps, Vector
from samewire.definitions import DEFINITIONS

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HEAT_FULL = 0.08  # a month that gets the strongest colour
_ROWS_MAX = 200


class Curve:
    """The rows of equity.parquet, and the lines that follow from them."""

    def __init__(self, columns: Mapping[str, Any], initial: float, periods: float) -> None:
        self._columns, self.initial, self.periods = columns, initial, periods
        self.ts: Stamps = columns["ts"]
        self.equity: Vector = columns["equity"]
        self.benchmark = self.column("benchmark", missing=math.nan)
        self.gross_equity: Vector = self.equity + np.cumsum(self.column("cost"))

    def column(self, name: str, *, missing: float = 0.0) -> Vector:
        found: Vector = self._columns.get(name, np.full(len(self.ts), missing))
        return found


def grids(curve: Curve, summary: Mapping[str, Any], trades: tuple[Grid, ...] = ()) -> tuple[Grid, ...]:
    """All tables that have something to show; those about trades stand before the costs."""
    found = [
        _months(curve),
        _years(curve),
        _models(summary),
        *trades,
        _costs(curve, summary),
        _income(curve, summary),
        _refusals(summary),
        _issues(summary),
    ]
    return laid(found)


def laid(grids: Iterable[Grid | None]) -> tuple[Grid, ...]:
    """Those that have rows; a narrow one that is alone in its line takes all of it."""
    shown = [grid for grid in grids if grid is not None and grid.rows]
    narrow = [grid for grid in shown if not grid.wide]
    if len(narrow) == 1:
        shown[shown.index(narrow[0])] = dataclasses.replace(narrow[0], wide=True)
    return tuple(shown)


def _percent(value: float | None, sign: bool = True) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{value * 100:+.1f} %" if sign else f"{value * 100:.1f} %"


def _months(curve: Curve) -> Grid | None:
    months, change = by_month(curve.ts, curve.equity, curve.initial)
    if not len(months):
        return None
    rows, heat = [], []
    for year in range(1970 + int(months[0]) // 12, 1971 + int(months[-1]) // 12):
        own = {int(m) % 12: float(c) for m, c in zip(months, change, strict=True) if 1970 + int(m) // 12 == year}
        whole = math.prod(1 + value for value in own.values()) - 1
        values = [own.get(month, math.nan) for month in range(12)]
        rows.append(
            (
                str(year),
                *(f"{round(v * 100, 1) + 0.0:+.1f}" if math.isfinite(v) else "" for v in values),
                f"{whole * 100:+.1f}",
            )
        )
        heat.append((math.nan, *values, math.nan))
    caption = "Net return of each calendar month, in percent; blue gains, orange losses."
    return Grid("Months", caption, ("", *_MONTHS, "Year"), tuple(rows), tuple(heat), _HEAT_FULL)


def _years(curve: Curve) -> Grid | None:
    years = curve.ts.astype("datetime64[ns]").astype("datetime64[Y]").astype(np.int64)
    rows = []
    for year in np.unique(years):
        at = np.flatnonzero(years == year)
        begin, end = int(at[0]), int(at[-1]) + 1
        before = float(curve.equity[begin - 1]) if begin else curve.initial
        if before <= 0:
            break  # nothing can be said about what follows ruin
        own = performance(curve.equity[begin:end], before, curve.periods)
        level = float(curve.benchmark[begin - 1]) if begin else curve.initial
        peer = float(curve.benchmark[end - 1]) / level - 1 if level > 0 else math.nan
        rows.append(
            (
                str(1970 + int(year)),
                _percent(own.total_return),
                _percent(peer),
                _percent(own.total_return - peer),
                _percent(own.volatility, sign=False),
                f"{own.sharpe:.2f}" if math.isfinite(own.sharpe) else "",
                _percent(max_drawdown(curve.equity[begin:end], before).depth, sign=False),
                f"{curve.column('turnover')[begin:end].sum():.1f}",
                f"{curve.column('cost')[begin:end].sum():,.0f}",
                _percent(float(curve.column("gross")[begin:end].mean()), sign=False),
            )
        )
    head = (
        "Year",
        "Return",
        "Benchmark",
        "Excess",
        "Volatility",
        "Sharpe",
        "Max drawdown",
        "Turnover",
        "Cost",
        "Gross",
    )
    return Grid("Years", "Each year on its own: a drawdown starts from the equity before it.", head, tuple(rows))


def _models(summary: Mapping[str, Any]) -> Grid | None:
    def shown(value: Any, digits: int) -> str:
        return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"

    rows = tuple(
        (
            str(name),
            shown(model.get("ic"), 4),
            shown(model.get("icir"), 2),
            shown(model.get("rank_ic"), 4),
            shown(model.get("rank_icir"), 2),
            shown(model.get("rank_ic_t"), 1),
            str(model.get("horizon", "")),
            f"{model.get('slices', 0):,}",
        )
        for name, model in dict(summary.get("models", {})).items()
    )
    head = ("Model", "IC", "ICIR", "Rank IC", "Rank ICIR", "t of rank IC", "Horizon, slices", "Slices scored")
    return Grid("Models", DEFINITIONS["ic"].text.replace("the first model's", "the"), head, rows)


def _costs(curve: Curve, summary: Mapping[str, Any]) -> Grid | None:
    costs = dict(summary.get("costs", {}))
    whole = sum(costs.values())
    before = np.concatenate([[curve.initial], curve.equity[:-1]])
    traded = float((curve.column("turnover") * before).sum())
    rows = [(kind, costs[kind]) for kind in costs if costs[kind]]
    if not whole:
        return None
    lines = tuple(
        (
            kind.replace("_", " "),
            f"{money:,.0f}",
            f"{money / whole:.0%}",
            _percent(money / curve.initial, sign=False),
            f"{1e4 * money / traded:.1f}" if traded else "",
        )
        for kind, money in [*rows, ("all", whole)]
    )
    head = ("Costs", "Money", "Share", "Of initial equity", "Basis points of traded value")
    return Grid("Costs by kind", "", head, lines, wide=False)


def _income(curve: Curve, summary: Mapping[str, Any]) -> Grid | None:
    kinds = {"dividends": "dividends", "interest": "interest on cash", "translation": "changes of exchange rates"}
    rows = [(text, float(summary.get(kind) or 0.0)) for kind, text in kinds.items()]
    lines = tuple((text, f"{money:,.0f}", _percent(money / curve.initial, sign=True)) for text, money in rows if money)
    return Grid("Income apart from trades", "", ("Income", "Money", "Of initial equity"), lines, wide=False)


def _refusals(summary: Mapping[str, Any]) -> Grid | None:
    rules = sorted(dict(summary.get("refused_by", {})).items(), key=lambda item: -item[1])
    rows = tuple((str(rule), f"{count:,}") for rule, count in rules[:_ROWS_MAX])
    return Grid(
        "Refused orders", "Legs that the gate or the broker did not let through.", ("Rule", "Legs"), rows, wide=False
    )


def _issues(summary: Mapping[str, Any]) -> Grid | None:
    rows = tuple(
        (
            str(issue.get("kind", "")).replace("_", " "),
            f"{issue.get('count', 0):,}",
            str(issue.get("rule", "")),
            "; ".join(map(str, issue.get("examples", ()))),
        )
        for issue in list(summary.get("issues", ()))[:_ROWS_MAX]
    )
    head = ("Defect", "Count", "What was done", "Examples")
    return Grid("The feed's defects", "Counted, not repaired.", head, rows, text=(0, 2, 3))
