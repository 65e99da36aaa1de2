"""The report of a model's scores: figures with error bars, decay, buckets, and what the leak detector found."""

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from adapters.report import Chart, Grid, ReportView, Series, write_report
from adapters.report import Figure as Shown
from components.metrics.buckets import bucket_means, buckets
from components.metrics.error_bars import Figure
from components.metrics.evaluation import evaluation
from components.metrics.signal import spearman
from engine.events import Matrix, Stamps, Vector
from engine.instants import day_text
from samewire.leaks import Leaks

_SURE = 2.0  # standard errors


class Definition(msgspec.Struct, frozen=True):
    label: str
    text: str
    form: str = "number"  # number, percent, fine (hundredths of a percent) or count


DEFINITIONS: dict[str, Definition] = {
    "rank_ic": Definition("Rank IC", "Mean rank correlation of scores and labels of a slice."),
    "rank_icir": Definition("Rank ICIR", "Mean over standard deviation of the rank IC of slices, not annualised."),
    "ic": Definition("IC", "Mean correlation of scores and labels of a slice."),
    "icir": Definition("ICIR", "Mean over standard deviation of the IC of slices, not annualised."),
    "long_short": Definition("Long-short", "Half of the top bucket's mean label less the bottom one's.", "fine"),
    "long_excess": Definition("Long excess", "Mean label of the top bucket less that of all names scored.", "fine"),
    "short_excess": Definition(
        "Short excess", "Mean label of the bottom bucket less that of all names scored.", "fine"
    ),
    "monotonicity": Definition("Monotonicity", "Rank correlation of the buckets' mean labels with their order."),
    "hit_rate": Definition("Hit rate", "Share of slices with a rank IC above zero.", "percent"),
    "sign_rate": Definition(
        "Sign rate",
        "Share of names whose label lies on the side of the slice's mean on which their score does.",
        "percent",
    ),
    "coverage": Definition("Coverage", "Share of the names that could be traded that have a score.", "percent"),
    "names": Definition("Names", "Names of a slice with a score and a label.", "count"),
    "turnover_top": Definition(
        "Turnover, top", "Share of the top bucket that was not in it a slice before.", "percent"
    ),
    "turnover_bottom": Definition("Turnover, bottom", "The same of the bottom bucket.", "percent"),
    "rank_autocorrelation": Definition("Rank autocorrelation", "Rank correlation of scores with those a slice before."),
    "relative_precision_top": Definition(
        "Precision, top", "Share of the top bucket whose label is above the slice's mean.", "percent"
    ),
    "relative_precision_bottom": Definition(
        "Precision, bottom", "Share of the bottom bucket whose label is below the slice's mean.", "percent"
    ),
}
FIRST = ("rank_ic", "rank_icir", "ic", "long_short", "long_excess", "hit_rate", "coverage", "turnover_top")
_TONED = {"rank_ic", "ic", "long_short", "long_excess"}


class Scored(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a report is made of: T slices, N names."""

    title: str
    ts: Stamps  # (T,)
    scores: Matrix  # (T, N)
    label: Matrix  # (T, N), raw
    horizon: int  # of the labels, slices
    buckets: int = 5
    decay: Mapping[int, Matrix] = {}  # horizon -> (T, N) labels
    facts: tuple[tuple[str, str], ...] = ()  # name and value: the model, its options, the hash of its artefact
    verdict: Leaks | None = None
    warnings: tuple[str, ...] = ()


def render_evaluation(scored: Scored, out: Path) -> Path:
    """Writes the report as one HTML file that needs nothing else, and returns where it is."""
    return write_report(view_of(scored), out)


def view_of(scored: Scored) -> ReportView:
    """What the report shows. `table` of `evaluation` is all that its numbers come from."""
    table = evaluation(
        scored.scores, scored.label, overlap=scored.horizon, count=scored.buckets, decay=dict(scored.decay)
    )
    at = np.flatnonzero(np.isfinite(scored.scores).any(axis=1))
    part = slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 0)
    verdict = scored.verdict
    found = () if verdict is None else tuple(f"Leak: {leak.sentence}." for leak in verdict.found)
    looked = "not looked for" if verdict is None else verdict.sentence
    return ReportView(
        title=scored.title,
        subtitle=f"{_day(scored.ts[part], 0)} to {_day(scored.ts[part], -1)}",
        header=(("Horizon", f"{scored.horizon} slice{'s' * (scored.horizon > 1)}"), *scored.facts, ("Leaks", looked)),
        warnings=(*found, *scored.warnings),
        figures=tuple(_shown(name, table[name]) for name in FIRST),
        more=tuple(_shown(name, table[name]) for name in DEFINITIONS if name not in FIRST),
        ts=scored.ts[part],
        charts=_charts(scored, part),
        grids=(*([_decay(scored, table)] if scored.decay else []), _bucket_grid(scored, table)),
        footer="After ± stands one standard error, autocorrelation counted. Touch a figure for its definition.",
    )


def _charts(scored: Scored, part: slice) -> tuple[Chart, ...]:
    """Sums over slices, so that a stretch without skill is a flat one."""
    scores, label = scored.scores[part], scored.label[part]
    means = bucket_means(buckets(scores, scored.buckets), label, scored.buckets) / scored.horizon
    middle = np.where(np.isfinite(means).all(axis=1), means.mean(axis=1), np.nan)
    lines = tuple(
        Series(f"bucket {k + 1}", _summed(means[:, k] - middle), colour=str(1 + k % 6)) for k in range(scored.buckets)
    )
    return (
        Chart(
            "Rank IC, summed",
            "A straight line is a steady skill, a step is one event.",
            (Series("rank IC", _summed(spearman(scores, label)), fill=True),),
            wide=True,
        ),
        Chart(
            "Buckets, summed",
            "Mean label of each bucket less that of all, over the horizon: what a slice added. 1 = lowest scores.",
            lines,
            form="percent",
            wide=True,
        ),
    )


def _decay(scored: Scored, table: Mapping[str, Figure]) -> Grid:
    horizons = sorted(scored.decay)
    rows = [[table[f"{name}_{h}"] for name in ("rank_ic", "ic")] for h in horizons]
    most = max((abs(f.value) for row in rows for f in row if f.value == f.value), default=0.0) or 1.0
    return Grid(
        title="Decay",
        caption="The same scores against labels over other horizons; colour is the size, beside those of this table.",
        head=("Horizon, slices", "Rank IC", "t", "IC", "t"),
        rows=tuple(
            (f"{h}", *(text for f in row for text in (_with_error(f, "number"), _t(f))))
            for h, row in zip(horizons, rows, strict=True)
        ),
        heat=tuple((math.nan, *(x for f in row for x in (f.value, math.nan))) for row in rows),
        heat_full=most,
        wide=False,
    )


def _bucket_grid(scored: Scored, table: Mapping[str, Figure]) -> Grid:
    found = [table[f"bucket_{k + 1}"] for k in range(scored.buckets)]
    middle = np.mean([f.value for f in found])
    off = [f.value - float(middle) for f in found]
    return Grid(
        title="Buckets",
        caption="Mean label by score, 1 = lowest; colour is the distance from the mean of all buckets.",
        head=("Bucket", "Mean label", "t"),
        rows=tuple((f"{k + 1}", _with_error(f, "fine"), _t(f)) for k, f in enumerate(found)),
        heat=tuple((math.nan, x, math.nan) for x in off),
        heat_full=max((abs(x) for x in off if x == x), default=0.0) or 1.0,
        wide=False,
    )


def _shown(name: str, figure: Figure) -> Shown:
    """With what qualifies it; coloured only where it is beyond two errors of luck."""
    definition = DEFINITIONS[name]
    sure = name in _TONED and abs(figure.t) > _SURE
    return Shown(
        label=definition.label,
        value=_number(figure.value, definition.form),
        definition=definition.text,
        note=", ".join(x for x in (_plus_minus(figure, definition.form), _t(figure, "t ")) if x),
        tone=("good" if figure.value > 0 else "bad") if sure else "",
    )


def _number(value: float, form: str) -> str:
    if not math.isfinite(value):
        return "–"
    if form == "count":
        return f"{value:,.0f}"
    if form == "number":
        return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}"
    return f"{value * 100:.{3 if form == 'fine' else 1}f} %"


def _plus_minus(figure: Figure, form: str) -> str:
    return f"± {_number(figure.error, form)}" if math.isfinite(figure.error) else ""


def _with_error(figure: Figure, form: str) -> str:
    return f"{_number(figure.value, form)} {_plus_minus(figure, form)}".strip()


def _t(figure: Figure, before: str = "") -> str:
    return f"{before}{figure.t:.1f}" if math.isfinite(figure.t) else ""


def _summed(x: Vector) -> Vector:
    """Running sum; a gap adds nothing."""
    return np.cumsum(np.where(np.isfinite(x), x, 0.0))


def _day(ts: Stamps, place: int) -> str:
    return day_text(ts[place]) if len(ts) else "–"
