"""The report of a model's scores: its numbers are those of the table, its warnings those of the leak detector."""

import re
from pathlib import Path

import numpy as np

from adapters.report.page import page
from components.metrics.buckets import forward
from components.metrics.evaluation import evaluation
from components.training.audit import Leak
from samewire.evaluation_report import DEFINITIONS, FIRST, Scored, render_evaluation, view_of
from samewire.leaks import Leaks
from tests.make import day

T, N = 80, 30
DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def scored(skill: float = 1.0, **changes) -> Scored:
    rng = np.random.default_rng(0)
    one = rng.normal(0, 0.02, (T, N))
    fields = {
        "title": "trees <1>",
        "ts": np.array([day(k) for k in range(T)], np.int64),
        "scores": skill * one + rng.normal(0, 0.02, (T, N)),
        "label": one,
        "horizon": 1,
        "decay": {h: forward(one, h) for h in (1, 5)},
    }
    return Scored(**(fields | changes))


def test_figures_are_those_of_the_table_with_their_bars() -> None:
    made = scored()
    table = evaluation(made.scores, made.label, decay=dict(made.decay))
    view = view_of(made)
    shown = {figure.label: figure for figure in (*view.figures, *view.more)}
    assert set(shown) == {definition.label for definition in DEFINITIONS.values()}
    assert shown["Rank IC"].value == f"{table['rank_ic'].value:.4f}"
    assert shown["Rank IC"].note == f"± {table['rank_ic'].error:.4f}, t {table['rank_ic'].t:.1f}"
    assert shown["Rank IC"].tone == "good"
    assert shown["Coverage"].value == "100.0 %"
    decay, bucket = view.grids
    assert [row[0] for row in decay.rows] == ["1", "5"]
    assert decay.rows[1][1].startswith(f"{table['rank_ic_5'].value:.4f} ± ")
    assert [row[1].split(" ±")[0] for row in bucket.rows] == [
        f"{table[f'bucket_{k}'].value * 100:.3f} %" for k in range(1, 6)
    ]
    assert bucket.heat[0][1] < 0 < bucket.heat[4][1]


def test_nothing_is_coloured_that_may_be_luck() -> None:
    view = view_of(scored(0.0))
    assert abs(evaluation(scored(0.0).scores, scored(0.0).label)["rank_ic"].t) < 2
    assert {figure.tone for figure in view.figures if figure.label == "Rank IC"} == {""}


def test_sums_end_where_the_table_says() -> None:
    made = scored()
    rank, bucket = view_of(made).charts
    table = evaluation(made.scores, made.label)
    assert np.isclose(rank.series[0].value[-1], table["rank_ic"].value * T)
    spread = bucket.series[4].value[-1] - bucket.series[0].value[-1]
    assert np.isclose(spread, 2 * T * table["long_short"].value)


def test_leaks_are_warnings_and_the_verdict_stands_with_the_run() -> None:
    leak = Leak(kind="look_ahead", where="tomorrow", sentence="tomorrow looks up to 1 slice ahead")
    view = view_of(scored(verdict=Leaks(found=(leak,), looked_at=("1 other future",))))
    assert view.warnings == ("Leak: tomorrow looks up to 1 slice ahead.",)
    assert ("Leaks", "not looked for") in view_of(scored()).header
    clean = view_of(scored(verdict=Leaks(found=(), looked_at=("3 folds",))))
    assert ("Leaks", "no leak found in 3 folds") in clean.header
    assert clean.warnings == ()


def test_slices_that_were_not_tested_are_not_drawn() -> None:
    made = scored()
    late = made.scores.copy()
    late[:20] = np.nan
    view = view_of(scored(scores=late))
    assert len(view.ts) == T - 20
    assert all(len(series.value) == T - 20 for chart in view.charts for series in chart.series)
    assert view.subtitle.startswith("2018-01-22 to ")


def test_a_page_of_nothing_can_be_written(tmp_path: Path) -> None:
    nothing = scored(scores=np.full((T, N), np.nan))
    text = render_evaluation(nothing, tmp_path / "report.html").read_text()
    assert "trees &lt;1&gt;" in text
    assert "NaN" not in text
    assert "nan" not in re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.DOTALL)


def test_the_page_is_the_same_each_time() -> None:
    assert page(view_of(scored())) == page(view_of(scored()))


def test_every_figure_of_the_report_is_defined_in_the_docs() -> None:
    text = DOCS.read_text()
    assert [name for name in (*FIRST, *DEFINITIONS) if f"`{name}`" not in text] == []
