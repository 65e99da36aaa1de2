"""How many trainings were tried under a name, and what the best of so many is worth."""

import json
import math
from collections.abc import Sequence

import msgspec
import numpy as np

from adapters.tracking.store import END, RunRow, RunStore
from components.metrics.buckets import bucket_means, buckets
from components.metrics.overfitting import deflated_sharpe, track_of
from engine.events import Matrix, Vector
from engine.learning import Metric

SHARPE = "long_short_sharpe"  # metric of the run of a last window: of all of its column, a slice
# What tells windows of one trial apart.
_WINDOW = {"inputs", "train", "valid_from", "test", "left_out", "blocks", "fold"}
_BUCKETS = 5


class Trial(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A column of scores as somebody who searches sees it."""

    run: str  # of its last window; empty = its ratio is no trial's of its own, such as that of another path
    returns: Vector  # (S,) of being long the top and short the bottom bucket
    horizon: int  # slices that each of them spans


def long_short(scores: Matrix, label: Matrix) -> Vector:
    """(T,) half of the top bucket's mean label less the bottom one's."""
    means = bucket_means(buckets(scores, _BUCKETS), label, _BUCKETS)
    out: Vector = (means[:, -1] - means[:, 0]) / 2
    return out


def deflated(runs: RunStore, name: str, trials: Sequence[Trial]) -> tuple[int, list[float]]:
    """How many trials the store has under this name, and the deflated Sharpe ratio of each of these.

    A trial is a model with its options, features, horizon, seed, split and code, whatever number of windows it was
    trained on; it counts once it was trained. Returns of overlapping labels are taken every `horizon` slices. Ratios of
    a slice are kept with the run of the last window, so that later calls know how far trials lie apart. NaN where
    fewer than two of several trials have one.
    """
    tracks = [track_of(trial.returns[:: trial.horizon]) for trial in trials]
    for trial, track in zip(trials, tracks, strict=True):
        if trial.run:
            runs.log(trial.run, [Metric(SHARPE, 0, track.sharpe / math.sqrt(trial.horizon))])
    groups = _recorded(runs.runs(name))
    known = [value for group in groups if (value := _ratio(runs, group)) is not None]
    count = max(len(groups), 1)
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else math.nan if count > 1 else 0.0
    found = [
        math.nan if math.isnan(variance) else deflated_sharpe(track, count, variance * trial.horizon)
        for trial, track in zip(trials, tracks, strict=True)
    ]
    return count, found


def _recorded(rows: Sequence[RunRow]) -> list[list[RunRow]]:
    """The runs that ended, those of one trial together."""
    groups: dict[str, list[RunRow]] = {}
    for row in rows:
        if row.status == END and "task" in row.facts and not row.facts.get("update"):
            task = {key: value for key, value in row.facts["task"].items() if key not in _WINDOW}
            said = task | {key: row.facts.get(key) for key in ("code", "split", "since")}
            groups.setdefault(json.dumps(said, sort_keys=True), []).append(row)
    return list(groups.values())


def _ratio(runs: RunStore, group: Sequence[RunRow]) -> float | None:
    """The latest that is known of a trial."""
    for row in reversed(group):
        found = runs.metrics(row.id, SHARPE)
        if found and found[-1][1] is not None:
            return found[-1][1]
    return None
