"""Builds the report of a session directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adapters.report import Chart, Figure, ReportView, Series, write_report
from components.metrics.flows import COST_KINDS
from components.metrics.returns import drawdowns
from engine.errors import DataError
from engine.events import DAY_NS, Stamps, Vector
from samewire.decided import Curves, Decided, read_curves, read_decisions
from samewire.definitions import DEFINITIONS, written
from samewire.report_decisions import decisions_part
from samewire.report_execution import execution_grids, worked_by
from samewire.report_tables import Curve, grids
from samewire.report_trades import trade_grids
from samewire.result import read_parquet

POINTS_MAX = 3000  # drawn at most: more than a wide screen has pixels
FIRST = (
    *("total_return", "cagr", "benchmark_return", "excess_return", "volatility", "sharpe", "max_drawdown", "calmar"),
    *("turnover", "cost_drag", "gross_exposure", "net_exposure", "rank_ic", "rank_ic_t", "rank_icir"),
)
SECOND = (
    *("final_equity", "gross_return", "cost", "sortino", "skew", "kurtosis", "orders", "fills", "refusals"),
    *("beta", "alpha", "tracking_error", "information_ratio"),
    *("trades", "win_rate", "profit_factor", "trade_slices", "exposure"),
    *("open_positions", "missing", "halted"),
)
_TONED = {"total_return", "excess_return"}
_COSTS = dict(zip(COST_KINDS, ("1", "3", "4", "5", "6", "2", "quiet"), strict=True))


def render_report(directory: Path, out: Path | None = None) -> Path:
    """Writes the report of a session directory to `out`, by default its report.html. Returns where it is."""
    return write_report(view_of(directory), out or directory / "report.html")


@dataclass(frozen=True)
class Finished:
    """What a session directory says: summary.json, manifest.json ({} where there is none) and equity.parquet."""

    directory: Path
    name: str
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]
    curve: Curve
    decided: Decided | None  # decisions.json, where it has something to say


def finished(directory: Path) -> Finished:
    """Reads a session directory. Needs summary.json and equity.parquet."""
    summary = _json(directory / "summary.json")
    if summary is None:
        raise DataError(f"{directory}: it has no readable summary.json; give the directory of a finished run")
    manifest = _json(directory / "manifest.json") or {}
    columns = _columns(directory / "equity.parquet")
    initial = float(summary.get("initial_equity") or (columns["equity"][0] if len(columns["equity"]) else 1.0))
    curve = Curve(columns, initial, float(summary.get("periods_per_year") or 252))
    name = str(manifest.get("name") or directory.resolve().name)
    return Finished(directory, name, summary, manifest, curve, read_decisions(directory))


def view_of(directory: Path) -> ReportView:
    """What the report of this session shows. Needs summary.json and equity.parquet; the rest is shown if there."""
    session = finished(directory)
    summary, manifest = session.summary, session.manifest
    ics, sleeves = _coefficients(directory / "ic.parquet"), read_curves(directory)
    part = None if session.decided is None else decisions_part(session.decided)
    return ReportView(
        title=session.name,
        subtitle=f"{summary.get('start') or '–'} to {summary.get('end') or '–'}",
        marks=_marks(summary, manifest),
        header=header_of(summary, manifest),
        warnings=tuple(map(str, summary.get("warnings", ()))),
        figures=tuple(_figure(key, summary) for key in FIRST if key in summary),
        more=tuple(_figure(key, summary) for key in SECOND if key in summary),
        **_drawn(session.curve, ics, sleeves),
        grids=grids(
            session.curve, summary, (*execution_grids(summary), *trade_grids(directory, session.curve.initial))
        ),
        parts=() if part is None else (part,),
        footer="Every figure is net of costs unless it says gross. Touch a figure for its definition.",
    )


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _columns(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: it is missing, so there is no curve to draw; give the directory of a finished run")
    table = read_parquet(path)
    return {name: table[name].to_numpy() for name in table.column_names} | {"ts": table["ts"].cast("int64").to_numpy()}


def _coefficients(path: Path) -> dict[str, tuple[Stamps, Vector]]:
    """Rank IC by model: (ts, value)."""
    if not path.is_file():
        return {}
    table = read_parquet(path, ["ts", "source", "rank_ic"])
    ts, value = table["ts"].cast("int64").to_numpy(), table["rank_ic"].to_numpy()
    source = np.array(table["source"].to_pylist(), dtype=object)
    return {name: (ts[source == name], value[source == name]) for name in dict.fromkeys(source.tolist())}


# ---- words -----------------------------------------------------------------------------------------------------------


def _figure(key: str, summary: Mapping[str, Any]) -> Figure:
    value = summary[key]
    definition = DEFINITIONS[key]
    tone = ""
    if key in _TONED and isinstance(value, int | float) and value:
        tone = "good" if value > 0 else "bad"
    return Figure(
        label=definition.label,
        value=written(key, value),
        definition=definition.text,
        note=_note(key, summary),
        tone=tone,
    )


def _note(key: str, summary: Mapping[str, Any]) -> str:
    """What qualifies a figure, in a few words."""
    if key == "sharpe" and summary.get("sharpe_se") is not None:
        return f"± {summary['sharpe_se']:.2f} standard error"
    if key == "max_drawdown" and summary.get("drawdown_slices"):
        return f"{summary['drawdown_slices']:,} slices, {'recovered' if summary.get('drawdown_recovered') else 'open'}"
    if key == "benchmark_return":
        return str(summary.get("benchmark", "")).replace("_", " ")
    if key == "cost_drag" and summary.get("cost") is not None:
        return f"{summary['cost']:,.0f} in all"
    if key == "turnover":
        return "a full switch is 2"
    if key in ("rank_ic", "rank_ic_t", "rank_icir") and len(summary.get("models", {})) > 1:
        return f"of {next(iter(summary['models']))}"
    return ""


def _marks(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[str, ...]:
    symbols = len(_symbols(manifest))
    marks = [
        f"{summary.get('slices', 0):,} slices",
        f"{symbols:,} symbols" if symbols else "",
        f"fills: {manifest['fill']}" if manifest.get("fill") else "",
    ]
    return tuple(mark for mark in marks if mark)


def _symbols(manifest: Mapping[str, Any]) -> list[str]:
    universe = manifest.get("universe")
    found = universe.get("symbols", ()) if isinstance(universe, dict) else ()
    return [str(symbol) for symbol in found]


def header_of(summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the run was made from, as (name, value)."""
    feed = manifest.get("feed") if isinstance(manifest.get("feed"), dict) else {}
    universe = manifest.get("universe") if isinstance(manifest.get("universe"), dict) else {}
    hashes = (feed or {}).get("hashes") or {}
    lines = [
        ("Period", f"{summary.get('start')} to {summary.get('end')}, UTC dates of the slices"),
        ("Slices", f"{summary.get('slices', 0):,} of {_interval(manifest.get('interval_ns'))}"),
        ("Slices a year", written("periods_per_year", summary.get("periods_per_year"))),
        ("Universe", f"{len(_symbols(manifest)):,} symbols"),
        ("Currency", _currency(universe or {})),
        ("Fills", str(manifest.get("fill", ""))),
        ("Execution", worked_by(manifest)),
        ("Prices", f"as the feed gives them; {summary.get('actions', 0):,} corporate actions were applied"),
        ("Benchmark", str(summary.get("benchmark", "")).replace("_", " ")),
        ("Initial equity", written("initial_equity", summary.get("initial_equity"))),
        ("Feed", str((feed or {}).get("use", ""))),
        *((f"SHA-256 of {Path(str(name)).name}", str(value)) for name, value in list(dict(hashes).items())[:3]),
        ("Seed", str(manifest.get("seed", ""))),
        ("Run id", str(manifest.get("run_id", ""))),
        ("Created", str(manifest.get("created", ""))),
        ("Config hash", str(manifest.get("config_hash", ""))),
        ("Digest", str(summary.get("digest", ""))),
        ("Time taken", f"{summary.get('wall_s', 0):,.2f} s, {summary.get('cpu_s', 0):,.2f} s of processor"),
    ]
    return tuple((name, value) for name, value in lines if value)


def _currency(universe: Mapping[str, Any]) -> str:
    found = universe.get("currency") or universe.get("currencies") or ""
    return ", ".join(dict.fromkeys(map(str, found))) if isinstance(found, list) else str(found)


def _interval(interval_ns: Any) -> str:
    if not isinstance(interval_ns, int) or interval_ns < 1:
        return "an interval that is not recorded"
    for unit, name in ((DAY_NS, "day"), (DAY_NS // 24, "hour"), (DAY_NS // 1440, "minute"), (10**9, "second")):
        if interval_ns % unit == 0:
            count = interval_ns // unit
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{interval_ns} ns"


# ---- pictures --------------------------------------------------------------------------------------------------------


def _drawn(curve: Curve, ics: Mapping[str, tuple[Stamps, Vector]], sleeves: Curves) -> dict[str, Any]:
    """`ts` and `charts` of the view, thinned to what a screen can show."""
    last = buckets(len(curve.ts))
    charts = [_equity(curve, last), _drawdown(curve, last), _exposure(curve, last), _turnover(curve, last)]
    charts.append(_costs(curve, last))
    if ics:
        charts.append(_signals(curve.ts, ics, last))
    if sleeves:
        charts.append(_sleeves(curve.ts, sleeves, last))
    return {"ts": curve.ts[last], "charts": tuple(charts)}


def buckets(n: int) -> Any:
    """The last slice of each of at most POINTS_MAX equal stretches."""
    count = min(n, POINTS_MAX)
    return (np.arange(1, count + 1) * n) // max(1, count) - 1


def _equity(curve: Curve, last: Any) -> Chart:
    series = [
        Series("net", curve.equity[last], "1"),
        Series("gross of costs", curve.gross_equity[last], "2", dashed=True),
    ]
    if np.isfinite(curve.benchmark).any():
        series.append(Series("benchmark", curve.benchmark[last], "quiet"))
    return Chart(
        "Equity",
        "Net of costs; what the same trades had made without costs; the benchmark with the same money.",
        tuple(series),
        form="money",
        wide=True,
        log=True,
    )


def _drawdown(curve: Curve, last: Any) -> Chart:
    deepest = over(np.minimum, drawdowns(curve.equity, curve.initial), last)
    series = [Series("net", deepest, "5", fill=True)]
    if np.isfinite(curve.benchmark).any():
        series.append(Series("benchmark", over(np.minimum, drawdowns(curve.benchmark, curve.initial), last), "quiet"))
    return Chart("Drawdown", "Below the highest value so far, at closes.", tuple(series), form="percent")


def _exposure(curve: Curve, last: Any) -> Chart:
    lines = (
        Series("gross", curve.column("gross")[last], "1"),
        Series("net", curve.column("net")[last], "2", dashed=True),
    )
    return Chart("Exposure", "Position values over equity, at closes.", lines, form="percent")


def _turnover(curve: Curve, last: Any) -> Chart:
    """A trailing mean: trades come in bursts, and bars of single slices run together."""
    window = min(max(1, round(curve.periods / 12)), max(1, len(curve.ts)))
    total = np.concatenate([np.zeros(window), np.cumsum(curve.column("turnover"))])
    mean = (total[window:] - total[:-window]) / np.minimum(np.arange(1, len(curve.ts) + 1), window)
    caption = f"Bought plus sold over the equity before, a slice: mean of the last {window}."
    return Chart("Turnover", caption, (Series("turnover", mean[last], "3", fill=True),), form="percent")


def _costs(curve: Curve, last: Any) -> Chart:
    kinds = [kind for kind in _COSTS if curve.column(kind).any()] or ["cost"]
    lines = tuple(
        Series(kind.replace("_", " "), np.cumsum(curve.column(kind))[last], _COSTS.get(kind, "1")) for kind in kinds
    )
    return Chart("Costs", "Paid since the start, by kind.", lines, form="money")


def _signals(ts: Stamps, ics: Mapping[str, tuple[Stamps, Vector]], last: Any) -> Chart:
    lines = []
    for place, (name, (at, value)) in enumerate(list(ics.items())[:6]):
        total = np.concatenate([[np.nan], np.cumsum(np.nan_to_num(value))])
        begun = np.flatnonzero(np.isfinite(value))
        line = total[np.searchsorted(at, ts[last], side="right")]
        line[ts[last] < (at[begun[0]] if len(begun) else np.iinfo(np.int64).max)] = np.nan
        lines.append(Series(name, line, str(place + 1)))
    caption = "Sum of the rank IC of every slice: a steady climb is skill, a step is an episode."
    return Chart("Rank IC, cumulative", caption, tuple(lines), wide=True)


def _sleeves(ts: Stamps, sleeves: Curves, last: Any) -> Chart:
    """The first six, as many as there are colours."""
    several = len({name.partition(".")[0] for name in sleeves}) > 1
    lines = tuple(
        Series(name if several else name.partition(".")[2], asof(ts, own, equity)[last], str(place + 1))
        for place, (name, (own, equity)) in enumerate(list(sleeves.items())[:6])
    )
    more = f" The first 6 of {len(sleeves)}." if len(sleeves) > len(lines) else ""
    caption = f"Equity of each sleeve, net of costs; cash that rebalancing moves is a step.{more}"
    return Chart("Sleeves", caption, lines, form="money", wide=True)


def over(gather: Any, values: Vector, last: Any) -> Vector:
    """The minimum, say, of each stretch that ends at a place of `last`."""
    if not len(last):
        return values[:0]
    starts = np.concatenate([[0], last[:-1] + 1])
    out: Vector = gather.reduceat(values, starts)
    return out


def asof(ts: Stamps, own: Stamps, value: Vector) -> Vector:
    """The value at the last own instant up to each of `ts`; NaN before the first and after the last."""
    if not len(own):
        return np.full(len(ts), np.nan)
    place = np.searchsorted(own, ts, side="right") - 1
    out: Vector = np.where((place >= 0) & (ts <= own[-1]), value[np.maximum(place, 0)], np.nan)
    return out
