"""Builds the page that shows two session directories side by side."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adapters.report import Chart, Grid, ReportView, Series, write_report
from components.metrics.returns import drawdowns
from engine.events import Stamps
from samewire.definitions import DEFINITIONS, written
from samewire.report_decisions import decision_figures
from samewire.report_execution import compared_execution, worked_by, worked_unlike
from samewire.reporting import FIRST, SECOND, Finished, asof, buckets, finished, header_of, over

_ROWS_MAX = 300
_TEXT_MAX = 160  # of one value of the configuration
_ABSENT = "–"


def render_comparison(first: Path, second: Path, out: Path | None = None) -> Path:
    """Writes both sessions to one page, by default compare.html in the first directory. Returns where it is."""
    return write_report(comparison_of(first, second), out or first / "compare.html")


def comparison_of(first: Path, second: Path) -> ReportView:
    """What the page of two sessions shows. Differences are the second less the first."""
    sessions = (finished(first), finished(second))
    labels = _labels(*sessions)
    ts, charts = _drawn(sessions, labels)
    return ReportView(
        title=" and ".join(labels),
        subtitle="two sessions side by side; differences are the second less the first",
        header=(),
        warnings=(*_unlike(*sessions), *_warnings(sessions, labels)),
        figures=(),
        more=(),
        ts=ts,
        leading=(_figures(sessions, labels),),
        charts=charts,
        grids=(
            *_execution(sessions, labels),
            *_decisions(sessions, labels),
            _configuration(sessions, labels),
            _runs(sessions, labels),
        ),
        footer="Every figure is net of costs unless it says gross; docs/metrics.md defines each.",
    )


def _labels(first: Finished, second: Finished) -> tuple[str, str]:
    """What the sessions are called here: their names, or what tells them apart."""
    ends = (first.directory.resolve().name, second.directory.resolve().name)
    whole = (str(first.directory), str(second.directory))
    for one, other in ((first.name, second.name), ends, whole):
        if one != other:
            return one, other
    return f"{first.name} (first)", f"{second.name} (second)"


def _warnings(sessions: tuple[Finished, Finished], labels: tuple[str, str]) -> Iterable[str]:
    """The warnings of both, each with its session; what both say stands once."""
    first, second = (list(map(str, each.summary.get("warnings", ()))) for each in sessions)
    yield from (f"both: {said}" for said in first if said in second)
    yield from (f"{labels[0]}: {said}" for said in first if said not in second)
    yield from (f"{labels[1]}: {said}" for said in second if said not in first)


def _unlike(first: Finished, second: Finished) -> list[str]:
    """What keeps the figures of the two from being compared as they stand."""
    said = []
    spans = [f"{each.summary.get('start')} to {each.summary.get('end')}" for each in (first, second)]
    if spans[0] != spans[1]:
        said.append(f"The sessions cover different days: {spans[0]}, and {spans[1]}.")
    feeds = [_mapping(each.manifest.get("feed")) for each in (first, second)]
    if feeds[0].get("hashes") != feeds[1].get("hashes"):
        said.append("The sessions read different market data: the hashes of their feeds differ.")
    symbols = [_mapping(each.manifest.get("universe")) for each in (first, second)]
    for key, what in (("symbols", "universes"), ("currencies", "currencies")):
        if symbols[0].get(key) != symbols[1].get(key):
            said.append(f"The sessions have different {what}.")
    if first.summary.get("benchmark") != second.summary.get("benchmark"):
        said.append("The sessions are held against different benchmarks.")
    if worked := worked_unlike((first.manifest, second.manifest)):
        said.append(worked)
    if first.summary.get("digest") and first.summary.get("digest") == second.summary.get("digest"):
        said.append("Both have the same digest: every event of the two sessions is the same.")
    return said


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# ---- tables ----------------------------------------------------------------------------------------------------------


def _figures(sessions: tuple[Finished, Finished], labels: tuple[str, str]) -> Grid:
    first, second = (each.summary for each in sessions)
    keys = [key for key in (*FIRST, *SECOND) if key in first or key in second]
    rows = tuple(
        (DEFINITIONS[key].label, written(key, first.get(key)), written(key, second.get(key)), _difference(key, *both))
        for key in keys
        for both in [(first.get(key), second.get(key))]
    )
    return Grid("Figures", "", ("", *labels, "Difference"), rows)


def _difference(key: str, first: Any, second: Any) -> str:
    """The second less the first; of percentages in points, pp."""
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second)):
        return ""
    change, form = second - first, DEFINITIONS[key].form
    if not change:
        return "same"
    if form in ("percent", "signed"):
        return f"{change * 100:+.2f} pp"
    if form in ("money", "count"):
        return f"{change:+,.0f}"
    return f"{change:+.4f}" if form == "fine" else f"{change:+.2f}"


def _execution(sessions: tuple[Finished, Finished], labels: tuple[str, str]) -> tuple[Grid, ...]:
    first, second = sessions
    policies = worked_by(first.manifest), worked_by(second.manifest)
    return compared_execution((first.summary, second.summary), policies, labels)


def _decisions(sessions: tuple[Finished, Finished], labels: tuple[str, str]) -> tuple[Grid, ...]:
    """What both say of their decisions; nothing where neither does."""
    first, second = (decision_figures(each.decided) for each in sessions)
    rows = tuple(
        (name, first.get(name, _ABSENT), second.get(name, _ABSENT))
        for name in list(dict.fromkeys([*first, *second]))[:_ROWS_MAX]
    )
    caption = "Shares are of the rebalances that were answered; a price is a return a slice for each unit of weight."
    return (Grid("Decisions", caption, ("", *labels), rows),) if rows else ()


def _configuration(sessions: tuple[Finished, Finished], labels: tuple[str, str]) -> Grid:
    """The keys of the resolved run files whose values differ."""
    without = [label for label, each in zip(labels, sessions, strict=True) if not _mapping(each.manifest.get("config"))]
    if without:
        caption = f"The manifest of {' and of '.join(without)} holds no configuration."
        return Grid("Configuration", caption, ("Key", *labels), (), text=(0, 1, 2))
    first, second = (dict(_flat(each.manifest["config"], "")) for each in sessions)
    differ = [key for key in dict.fromkeys([*first, *second]) if first.get(key, _GONE) != second.get(key, _GONE)]
    rows = tuple((key, _shown(first, key), _shown(second, key)) for key in differ[:_ROWS_MAX])
    caption = "Keys of the run files whose values differ, defaults filled in." if rows else "No key differs."
    if len(differ) > _ROWS_MAX:
        caption += f" The first {_ROWS_MAX} of {len(differ)}."
    return Grid("Configuration", caption, ("Key", *labels), rows, text=(0, 1, 2))


_GONE = object()


def _flat(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    """The leaves of a tree with their paths, as `--set` writes them; a list of scalars is a leaf."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{i}]")
    else:
        yield path, value


def _shown(flat: Mapping[str, Any], key: str) -> str:
    if key not in flat:
        return _ABSENT
    value = flat[key]
    text = "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"


def _runs(sessions: tuple[Finished, Finished], labels: tuple[str, str]) -> Grid:
    first, second = (dict(header_of(each.summary, each.manifest)) for each in sessions)
    names = dict.fromkeys([*first, *second])
    rows = tuple((name, first.get(name, _ABSENT), second.get(name, _ABSENT)) for name in names)
    return Grid("Runs", "", ("", *labels), rows, text=(0, 1, 2))


# ---- pictures --------------------------------------------------------------------------------------------------------


def _drawn(sessions: tuple[Finished, Finished], labels: tuple[str, str]) -> tuple[Stamps, tuple[Chart, Chart]]:
    """The instants of both, and equity and drawdown over them, thinned to what a screen can show."""
    curves = [each.curve for each in sessions]
    ts = np.union1d(curves[0].ts, curves[1].ts)
    last = buckets(len(ts))
    levels = [each.summary.get("initial_equity") for each in sessions]
    money = levels[0] == levels[1] and _currencies(sessions[0]) == _currencies(sessions[1])
    equity, falls = [], []
    for place, (label, curve) in enumerate(zip(labels, curves, strict=True)):
        worth = curve.equity if money else curve.equity / curve.initial
        colour, dashed = ("1", "2")[place], place == 1
        equity.append(Series(label, asof(ts, curve.ts, worth)[last], colour, dashed=dashed))
        fall = asof(ts, curve.ts, drawdowns(curve.equity, curve.initial))
        falls.append(Series(label, over(np.fmin, fall, last), colour, dashed=dashed))
    caption = "Net of costs." if money else "Net of costs, each over its own initial equity."
    form = "money" if money else "number"
    return ts[last], (
        Chart("Equity", caption, tuple(equity), form=form, wide=True, log=True),
        Chart("Drawdown", "Below the highest value so far, at closes.", tuple(falls), form="percent", wide=True),
    )


def _currencies(session: Finished) -> Any:
    return _mapping(session.manifest.get("universe")).get("currencies")
