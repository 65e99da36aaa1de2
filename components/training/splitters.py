"""Splits of history into what is learned from and what is predicted: over dates, purged by the intervals of labels."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.training.intervals import embargoed, spans, touched
from engine.errors import DataError
from engine.events import Codes, Mask, Stamps
from engine.learning import Fold

FITS_MAX = 10_000  # trainings that one plan may ask for: beyond it, somebody has mistyped


class WalkForward:
    """Learns from the past, is tested on the `test` slices that follow, and moves on: what a live model lives through.

    The first test begins with slice `first`; the last may be shorter; every slice from `first` on is tested once. With
    `train` None the past is all of it (expanding), otherwise the latest `train` slices that are left (sliding). A
    slice whose label had not ended before the decision of the first tested slice is left out. There is no embargo:
    nothing that is learned from comes after what is tested.

    DataError where a fold has nothing to learn from.

    >>> ts = np.arange(6, dtype=np.int64) * 10
    >>> for fold in WalkForward(first=4, test=1).folds(ts, ts + 5, ts + 15):
    ...     print(np.flatnonzero(fold.train), np.flatnonzero(fold.test))
    [0 1 2] [4]
    [0 1 2 3] [5]
    """

    def __init__(self, *, first: int, test: int, train: int | None = None) -> None:
        _at_least("first", first, 1)
        _at_least("test", test, 1)
        if train is not None:
            _at_least("train", train, 1)
        self._first, self._test, self._train = first, test, train

    def folds(self, ts: Stamps, label_from: Stamps, label_to: Stamps, /) -> Iterator[Fold]:
        begins, ends = spans(ts, label_from, label_to)
        count = len(ts)
        if count <= self._first:
            raise DataError(
                f"walk_forward: {count} slices leave nothing to test after the first {self._first}; give it longer "
                "history or a smaller `first`"
            )
        place = np.arange(count)
        for k, begin in enumerate(range(self._first, count, self._test)):
            test = (place >= begin) & (place < begin + self._test)
            train = (place < begin) & ~touched(begins, ends, test)
            if self._train is not None:
                train[np.flatnonzero(train)[: -self._train]] = False
            yield _fold("walk_forward", k, train, test)


class PurgedKFold:
    """Each of `folds` blocks of slices is tested once by what was learned from all the others, later ones too.

    Out of what is learned from is left (1) every slice whose interval, from its decision to the end of its label,
    touches that of a tested slice (purging), and (2) after a tested block, the slices whose features still look back
    at a tested label (embargo): `embargo` slices from the one in which it ended. By default these are `lookback`, the
    longest window of the features, so that horizon + lookback slices are lost behind each block, and horizon + 1
    before it: a label ends with the bar that brings its last price. What comes before a tested block needs no embargo:
    that the features of a tested slice know earlier labels is no leak, since they had ended by then.

    The first T mod folds blocks have a slice more. DataError where a fold has nothing left to learn from.

    Source: López de Prado (2018), Advances in Financial Machine Learning, section 7.4.

    >>> ts = np.arange(6, dtype=np.int64) * 10
    >>> for fold in PurgedKFold(folds=3, lookback=0).folds(ts, ts + 5, ts + 15):
    ...     print(np.flatnonzero(fold.train), np.flatnonzero(fold.test))
    [3 4 5] [0 1]
    [0 5] [2 3]
    [0 1 2] [4 5]
    """

    def __init__(self, *, folds: int = 5, lookback: int, embargo: int | None = None) -> None:
        _at_least("folds", folds, 2)
        self._folds, self._embargo = folds, _slices(lookback, embargo)

    def folds(self, ts: Stamps, label_from: Stamps, label_to: Stamps, /) -> Iterator[Fold]:
        begins, ends = spans(ts, label_from, label_to)
        block = _blocks("purged_k_fold", len(ts), self._folds)
        for k in range(self._folds):
            test = block == k
            left_out = touched(begins, ends, test) | embargoed(ts, ends, test, self._embargo)
            yield _fold("purged_k_fold", k, ~(test | left_out), test)


class Combinatorial:
    """Tests every choice of `tested` of `groups` blocks of slices: C(N, k) folds, C(N, k) k / N whole backtest paths.

    Purging and embargo are those of `PurgedKFold`. The j-th fold that tests a block gives that block to path j, so
    each path covers every slice once, and no two paths share a prediction. `recombined` puts the paths together.

    Source: López de Prado (2018), Advances in Financial Machine Learning, section 12.4.

    >>> ts = np.arange(4, dtype=np.int64) * 10
    >>> splitter = Combinatorial(groups=4, tested=2, lookback=0)
    >>> splitter.paths, [fold.path.tolist() for fold in splitter.folds(ts, ts, ts)][:3]
    (3, [[0, 0, -1, -1], [1, -1, 0, -1], [2, -1, -1, 0]])
    """

    def __init__(self, *, groups: int = 6, tested: int = 2, lookback: int, embargo: int | None = None) -> None:
        _at_least("groups", groups, 2)
        if not 1 <= tested < groups:
            raise ValueError(f"tested must be from 1 to {groups - 1}, fewer than the groups, got {tested}")
        if comb(groups, tested) > FITS_MAX:
            raise ValueError(
                f"{tested} of {groups} groups are {comb(groups, tested)} trainings, the limit is {FITS_MAX}; "
                "use fewer groups"
            )
        self._groups, self._tested, self._embargo = groups, tested, _slices(lookback, embargo)
        self.paths = comb(groups, tested) * tested // groups

    def folds(self, ts: Stamps, label_from: Stamps, label_to: Stamps, /) -> Iterator[Fold]:
        begins, ends = spans(ts, label_from, label_to)
        block = _blocks("combinatorial", len(ts), self._groups)
        used = np.zeros(self._groups, np.int32)  # paths that each block is part of so far
        for k, chosen in enumerate(combinations(range(self._groups), self._tested)):
            test = np.isin(block, chosen)
            left_out = touched(begins, ends, test) | embargoed(ts, ends, test, self._embargo)
            path = np.where(test, used[block], np.int32(-1))
            used[list(chosen)] += 1
            yield _fold("combinatorial", k, ~(test | left_out), test, path)


def recombined(folds: Sequence[Fold], scores: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """(P, T, ...) the predictions of each path, from those of each fold (T, ...); NaN where a path tests nothing.

    Folds without paths make a single one. ValueError where two folds test one slice of one path.
    """
    if len(folds) != len(scores) or not folds:
        raise ValueError(f"recombined: {len(folds)} folds need as many predictions, got {len(scores)}")
    paths = [np.where(fold.test, 0, -1) if fold.path is None else fold.path for fold in folds]
    out = np.full((1 + max(int(path.max()) for path in paths), *scores[0].shape), np.nan)
    taken = np.zeros(out.shape[:2], bool)
    for k, (path, score) in enumerate(zip(paths, scores, strict=True)):
        at = np.flatnonzero(path >= 0)
        if taken[path[at], at].any():
            raise ValueError(f"recombined: fold {k} tests a slice again that an earlier fold tested on the same path")
        taken[path[at], at] = True
        out[path[at], at] = score[at]
    return out


def _fold(said_by: str, k: int, train: Mask, test: Mask, path: Codes | None = None) -> Fold:
    if not train.any():
        first = int(np.argmax(test))
        raise DataError(
            f"{said_by}: fold {k}, which tests from slice {first} on, has no slice left to learn from once those whose "
            "labels or features touch its test are left out; use longer history, fewer folds, or a shorter horizon or "
            "embargo"
        )
    return Fold(train=train, test=test, path=path)


def _blocks(said_by: str, count: int, blocks: int) -> Codes:
    """(T,) the block of each slice; the first T mod blocks have one more."""
    if count < blocks:
        raise DataError(f"{said_by}: {count} slices cannot be cut into {blocks} blocks; use longer history")
    size, more = divmod(count, blocks)
    sizes = np.full(blocks, size) + (np.arange(blocks) < more)
    return np.repeat(np.arange(blocks, dtype=np.int32), sizes)


def _slices(lookback: int, embargo: int | None) -> int:
    _at_least("lookback", lookback, 0)
    if embargo is None:
        return lookback
    _at_least("embargo", embargo, 0)
    return embargo


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
