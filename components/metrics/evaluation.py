"""How good the scores of a model are, as one table of figures with error bars; docs/metrics.md defines each."""

from collections.abc import Mapping

import numpy as np

from components.metrics import qlib
from components.metrics.buckets import (
    bucket_means,
    buckets,
    less_mean,
    monotonicity,
    rank_autocorrelation,
    share_of,
    turnover,
)
from components.metrics.error_bars import Figure, mean_of, ratio_of
from components.metrics.signal import both
from engine.events import Codes, Mask, Matrix, Vector

_EVEN = 0.5  # what luck gives to a share of two


def evaluation(
    scores: Matrix,
    label: Matrix,
    *,
    overlap: int = 1,
    count: int = 5,
    decay: Mapping[int, Matrix] | None = None,
    listed: Mask | None = None,
) -> dict[str, Figure]:
    """Every figure of (T, N) scores against the (T, N) raw labels of their slices, by name.

    `overlap` is the horizon of the labels in slices: error bars reach over at least so many. `count` is the number of
    buckets. `decay` adds `ic_h` and `rank_ic_h` for labels over other horizons h (slices). `listed` (T, N) are the
    names that could be traded, None = those with a label; a score of any other counts for nothing. NaN and infinite
    scores are no opinion. Slices before the first score and behind the last one do not count, silent ones between them
    do. All figures are NaN where nothing can be said. Memory: a few (T, N) arrays.

    >>> rng = np.random.default_rng(0)
    >>> label = rng.normal(size=(60, 40))
    >>> table = evaluation(label + rng.normal(size=(60, 40)), label)
    >>> table["ic"].value > 0.6, table["hit_rate"].value
    (True, 1.0)
    """
    if scores.shape != label.shape or scores.ndim != 2:
        raise ValueError(f"evaluation: scores {scores.shape} and labels {label.shape} must both be (T, N)")
    part = _spoken(scores)
    scores, label, listed = scores[part], label[part], None if listed is None else listed[part]
    decay = {horizon: other[part] for horizon, other in (decay or {}).items()}
    if listed is not None:
        scores = np.where(listed, scores, np.nan)
    ic, rank_ic, names = both(scores, label)
    table = {
        "ic": mean_of(ic, overlap=overlap),
        "icir": ratio_of(ic, overlap=overlap),
        "rank_ic": mean_of(rank_ic, overlap=overlap),
        "rank_icir": ratio_of(rank_ic, overlap=overlap),
        "hit_rate": _rate(rank_ic, overlap),
        "names": _plain(mean_of(names, overlap=overlap)),
        "coverage": _coverage(scores, label, listed, overlap),
        "sign_rate": mean_of(_sign_rate(scores, label), overlap=overlap, luck=_EVEN),
        "rank_autocorrelation": _plain(mean_of(rank_autocorrelation(scores), overlap=overlap)),
    }
    for horizon, other in sorted(decay.items()):
        ic, rank_ic, _ = both(scores, other)
        table[f"ic_{horizon}"] = mean_of(ic, overlap=horizon)
        table[f"rank_ic_{horizon}"] = mean_of(rank_ic, overlap=horizon)
    table |= _by_bucket(buckets(scores, count), label, count, overlap)
    return table | _as_qlib(scores, label, 1 / count, overlap)


def coverage(scores: Matrix, label: Matrix, *, overlap: int = 1) -> Figure:
    """The figure of that name of `evaluation`: the share of names with a score, from the first slice that has one to
    the last."""
    part = _spoken(scores)
    return _coverage(scores[part], label[part], None, overlap)


def _coverage(scores: Matrix, label: Matrix, listed: Mask | None, overlap: int) -> Figure:
    return _plain(mean_of(share_of(np.isfinite(scores), _tradable(label, listed)), overlap=overlap))


def _spoken(scores: Matrix) -> slice:
    """The slices from the first that has a score to the last."""
    rows = np.flatnonzero(np.isfinite(scores).any(axis=1))
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)


def _by_bucket(bucket: Codes, label: Matrix, count: int, overlap: int) -> dict[str, Figure]:
    """Returns of each bucket, and of the two at the ends."""
    means = bucket_means(bucket, label, count)
    table = {f"bucket_{k + 1}": mean_of(means[:, k], overlap=overlap) for k in range(count)}
    low, high = means[:, 0], means[:, -1]
    average = np.array([table[f"bucket_{k + 1}"].value for k in range(count)])
    scored = int(np.isfinite(means).all(axis=1).sum())
    known = np.isfinite(label)
    everyone = bucket_means(np.where(bucket >= 0, 0, -1).astype(np.int32), label, 1)[:, 0]
    top, bottom = bucket == count - 1, bucket == 0
    relative = less_mean(np.where(bucket >= 0, label, np.nan))
    return table | {
        "monotonicity": Figure(value=monotonicity(average), error=np.nan, t=np.nan, slices=scored),
        "long_short": mean_of((high - low) / 2, overlap=overlap),
        "long_excess": mean_of(high - everyone, overlap=overlap),
        "short_excess": mean_of(low - everyone, overlap=overlap),
        "turnover_top": _plain(mean_of(turnover(top), overlap=overlap)),
        "turnover_bottom": _plain(mean_of(turnover(bottom), overlap=overlap)),
        "precision_top": _plain(mean_of(share_of(label > 0, top & known), overlap=overlap)),
        "precision_bottom": _plain(mean_of(share_of(label < 0, bottom & known), overlap=overlap)),
        "relative_precision_top": _plain(mean_of(share_of(relative > 0, top & known), overlap=overlap)),
        "relative_precision_bottom": _plain(mean_of(share_of(relative < 0, bottom & known), overlap=overlap)),
    }


def _as_qlib(scores: Matrix, label: Matrix, share: float, overlap: int) -> dict[str, Figure]:
    """The same two series as Qlib's record stores; the second is the mean of all labels, whatever its name there."""
    difference, everyone = qlib.long_short(np.where(np.isfinite(scores), scores, np.nan), label, share)
    return {
        "qlib_long_short": mean_of(difference, overlap=overlap),
        "qlib_long_avg": mean_of(everyone, overlap=overlap),
    }


def _sign_rate(scores: Matrix, label: Matrix) -> Vector:
    """(T,) share of names whose label lies on the side of the slice's mean on which their score does."""
    paired = np.isfinite(scores) & np.isfinite(label)
    x = less_mean(np.where(paired, scores, np.nan))
    y = less_mean(np.where(paired, label, np.nan))
    return share_of(x * y > 0, paired & (x * y != 0))


def _rate(ic: Vector, overlap: int) -> Figure:
    """Share of the slices with a coefficient above zero."""
    return mean_of(np.where(np.isfinite(ic), (ic > 0).astype(np.float64), np.nan), overlap=overlap, luck=_EVEN)


def _tradable(label: Matrix, listed: Mask | None) -> Mask:
    return np.isfinite(label) if listed is None else listed


def _plain(figure: Figure) -> Figure:
    """Without a t-statistic: nobody knows what luck would have given."""
    return Figure(value=figure.value, error=figure.error, t=np.nan, slices=figure.slices)
