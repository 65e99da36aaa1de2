"""The figures of a column, and what the best of so many trials is worth."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import norm

from adapters.tracking.store import RunStore
from components.features.rolling import Rolling
from components.metrics.evaluation import evaluation
from components.training.panel import walk
from samewire.commands.train import as_text
from samewire.training_results import Results
from samewire.training_trials import SHARPE
from tests.samewire.own import Walk
from tests.samewire.test_training import a_run, model, trained
from tests.samewire.test_training_update import EARLY, kept_up, updated

WIDE = {"use": "tests.samewire.own:Walk", "symbols": 15, "slices": 100}


def scored(results: Results, column: str, horizon: int) -> tuple[Any, Any]:
    """(S, N) scores and labels of the slices that were predicted, from the table of scores and a walk of our own."""
    table = pq.read_table(results.folder / "scores.parquet").to_pandas()
    scores = table.pivot_table(index="ts", columns="symbol", values=column, observed=True, sort=True)
    feed = Walk(symbols=15, slices=100)
    scores = scores[list(feed.universe.symbols)]
    data = walk(feed.events(), Rolling(universe=feed.universe, windows=(3,)), horizon, 2**62)
    label = pd.DataFrame(data.label, index=pd.to_datetime(data.ts, utc=True)).reindex(scores.index)
    return scores.to_numpy(), label.to_numpy()


@pytest.mark.parametrize("horizon", [1, 4])
def test_a_column_has_the_figures_of_the_evaluation_over_all_of_its_parts(horizon: int, tmp_path: Path) -> None:
    results = trained(a_run(tmp_path, {"horizons": [horizon]}, feed=WIDE))
    (column,) = results.columns
    table = evaluation(*scored(results, "linear", horizon), overlap=horizon)
    said = [column.ic, column.ic_error, column.icir, column.rank_ic, column.rank_ic_t, column.rank_icir]
    assert said == [
        *(table["ic"].value, table["ic"].error, table["icir"].value),
        *(table["rank_ic"].value, table["rank_ic"].t, table["rank_icir"].value),
    ]
    assert [column.coverage, column.turnover] == [table["coverage"].value, table["turnover_top"].value]
    line = next(line for line in as_text(results).splitlines() if line.startswith("  linear") and " 3 " in line)
    assert f"{column.rank_ic_t:.1f}" in line
    assert f"{100 * (column.turnover or 0):.1f} %" in line


def test_what_one_trial_is_worth_is_counted_from_returns_that_do_not_overlap(tmp_path: Path) -> None:
    """Probabilistic Sharpe ratio, written out; top and bottom buckets are three of fifteen names."""
    results = trained(a_run(tmp_path, {"horizons": [4]}, feed=WIDE))
    scores, label = scored(results, "linear", 4)
    rows = np.argsort(scores, axis=1)
    ends = [np.take_along_axis(label, part, axis=1).mean(axis=1) for part in (rows[:, -3:], rows[:, :3])]
    returns = ((ends[0] - ends[1]) / 2)[::4]
    returns = returns[np.isfinite(returns)]
    ratio = returns.mean() / returns.std(ddof=1)
    z = (returns - returns.mean()) / returns.std()
    spread = 1 - (z**3).mean() * ratio + ((z**4).mean() - 1) / 4 * ratio**2
    assert results.trials == 1
    assert results.columns[0].deflated_sharpe == pytest.approx(norm.cdf(ratio * np.sqrt((len(returns) - 1) / spread)))
    with closing(RunStore(results.store)) as store:
        ((_, kept),) = store.metrics(results.tasks[-1].run, SHARPE)
    assert kept == pytest.approx(ratio / 2)  # of one slice


def test_trials_are_counted_over_all_calls_and_make_the_same_result_worth_less(tmp_path: Path) -> None:
    first = trained(a_run(tmp_path, feed=WIDE))
    again = trained(a_run(tmp_path, feed=WIDE))
    assert (again.trials, again.columns) == (1, first.columns)
    grid = {"seeds": 2, "grid": {"models.linear.rate": [0.1, 0.2, 0.3]}}
    more = trained(a_run(tmp_path, grid, feed=WIDE))
    assert more.trials == 6  # of which the one from before is one
    assert "the best of 6 trials so far" in as_text(more)
    last = trained(a_run(tmp_path, feed=WIDE))
    assert last.trials == 6
    assert last.columns[0].rank_ic == first.columns[0].rank_ic
    assert (last.columns[0].deflated_sharpe or 1) < (first.columns[0].deflated_sharpe or 0)


def test_another_name_and_windows_that_come_later_are_no_trials(tmp_path: Path) -> None:
    trained(a_run(tmp_path, {"until": "2018-03-20"}))
    assert trained(a_run(tmp_path)).trials == 1
    named = a_run(tmp_path, models=model(rate=0.2))
    assert trained(named | {"session": named["session"] | {"name": "other"}}).trials == 1
    assert trained(a_run(tmp_path, {"split": {"every": 20, "window": 30}})).trials == 2
    assert trained(a_run(tmp_path, {"split": {"every": 20, "window": 40, "sliding": True}})).trials == 3
    for until in ("2018-04-01", "2018-04-11"):  # the last day predicted moves with history
        assert trained(a_run(tmp_path, {"until": until, "split": {"use": "fixed", "until": "2018-02-28"}})).trials == 4


def test_trainings_of_updates_are_no_trials(tmp_path: Path) -> None:
    updated(kept_up(tmp_path))
    assert trained(kept_up(tmp_path, EARLY)).trials == 1
