"""Looks at a plan of training as a stranger would: does anything that is learned from share its future with a test?"""

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from components.training.plan import tested_rows, within
from engine.events import Mask, Stamps
from engine.instants import instant_text as said
from engine.learning import Fold, Task
from engine.protocols import Dataset

LeakKind = Literal[
    "look_ahead",  # a feature knows later slices
    "whole_range",  # a feature knows statistics of all of history
    "label",  # a label looks at other instants than it says
    "prediction",  # a prediction changes with what comes after it
    "unrepeatable",  # two trainings on one history differ
    "permuted_labels",  # labels without meaning are predicted
    "split",  # what is learned from shares labels with what is tested
    "embargo",  # what is learned from looks back at labels that are tested
]


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """One way by which the future gets into a model, or into the figures that judge it."""

    kind: LeakKind
    where: str  # the feature, the fold, the label
    sentence: str  # what was seen, and what to do


def audit(folds: Sequence[Fold], dataset: Dataset, lookback: int = 0) -> tuple[Leak, ...]:
    """What is wrong with the folds of the dataset's T slices; each kind of a fold is told once.

    A slice matters from its decision to the end of its label. One shared instant is a leak. With `lookback`, the
    longest window of the features, slices after a tested one must not look back at its label either. ValueError where
    a fold is not one of T slices.

    It looks at the intervals anew, in another way than the splitters do. Time O(T log T) a fold.
    """
    found = list(_labels(dataset))
    begins, ends = np.minimum(dataset.ts, dataset.label_from), dataset.label_to
    for k, fold in enumerate(folds):
        if not len(fold.train) == len(fold.test) == len(dataset.ts):
            raise ValueError(
                f"audit: fold {k} is one of {len(fold.train)} and {len(fold.test)} slices, the dataset has "
                f"{len(dataset.ts)}; split the dataset that is trained on"
            )
        if fold.train.any() and fold.test.any():
            found += _touching(k, fold, begins, ends, dataset.ts)
            found += _looking_back(k, fold, ends, dataset.ts, lookback)
    return (*found, *_twice(folds, dataset.ts))


def fold_of(task: Task, ts: Stamps, label_to: Stamps) -> Fold:
    """What a task learns from, its validation part included, and what it is tested on, among T slices of its history.

    >>> from engine.learning import Span
    >>> ts = np.array([10, 20, 30, 40])
    >>> task = Task(
    ...     model="m", use="gbdt", options={}, features="f", schema="", inputs="", horizon=1,
    ...     train=Span(10, 31), test=Span(40, 41),
    ... )
    >>> fold = fold_of(task, ts, ts + 15)
    >>> fold.train, fold.test
    (array([ True, False, False, False]), array([False, False, False,  True]))
    """
    train = (ts >= task.train.since) & (ts < task.train.until) & (label_to < task.train.until)
    rows, paths = tested_rows(task, ts)
    test, path = np.zeros(len(ts), bool), np.full(len(ts), -1, np.int32)
    test[rows], path[rows] = True, paths
    return Fold(train=train & ~within(ts, task.left_out), test=test, path=path if task.blocks else None)


def _labels(dataset: Dataset) -> Iterator[Leak]:
    """Labels that begin before their decision: the features have seen part of them."""
    early = np.flatnonzero(dataset.label_from < dataset.ts)
    if len(early):
        t = int(early[0])
        yield Leak(
            kind="label",
            where="label_from",
            sentence=f"the labels of {len(early)} slices begin before the decision, the first at "
            f"{said(dataset.label_from[t])} for {said(dataset.ts[t])}: features have seen part of them; begin labels "
            "at the next price that can be had",
        )


def _touching(k: int, fold: Fold, begins: Stamps, ends: Stamps, ts: Stamps) -> Iterator[Leak]:
    """Of the tested slices that began by the end of one that is learned from, did the last to end do so before it?"""
    tested, learned = np.flatnonzero(fold.test), np.flatnonzero(fold.train)
    order = tested[np.argsort(begins[tested], kind="stable")]
    latest = np.maximum.accumulate(ends[order])
    began = np.searchsorted(begins[order], ends[learned], side="right")
    bad = learned[(began > 0) & (latest[np.maximum(began, 1) - 1] >= begins[learned])]
    if len(bad):
        s = int(bad[0])
        t = int(tested[np.argmax((begins[tested] <= ends[s]) & (ends[tested] >= begins[s]))])
        yield Leak(
            kind="split",
            where=f"fold {k}",
            sentence=f"fold {k} learns from {len(bad)} slices whose labels touch tested ones: that of {said(ts[s])} "
            f"ends at {said(ends[s])}, and the test of {said(ts[t])} lasts until {said(ends[t])}; purge by the "
            "intervals of labels (components.training.splitters)",
        )


def _looking_back(k: int, fold: Fold, ends: Stamps, ts: Stamps, lookback: int) -> Iterator[Leak]:
    if lookback <= 0:
        return
    tested = np.flatnonzero(fold.test)
    latest = np.maximum.accumulate(ends[tested])
    learned = np.flatnonzero(fold.train)
    before = np.searchsorted(tested, learned)  # tested slices before each
    oldest = learned - lookback
    closed = np.where(oldest >= 0, ts[np.maximum(oldest, 0)], np.iinfo(np.int64).min)
    bad = learned[(before > 0) & (latest[np.maximum(before, 1) - 1] > closed)]
    if len(bad):
        yield Leak(
            kind="embargo",
            where=f"fold {k}",
            sentence=f"fold {k} learns from {len(bad)} slices whose features look back at tested labels, from "
            f"{said(ts[bad[0]])} on; leave an embargo of {lookback} slices behind each test",
        )


def _twice(folds: Sequence[Fold], ts: Stamps) -> Iterator[Leak]:
    """Slices that count more than once in a path: their luck would too."""
    times: dict[int, Mask] = {}
    for k, fold in enumerate(folds):
        path = np.where(fold.test, 0, -1) if fold.path is None else fold.path
        for p in np.unique(path[path >= 0]).tolist():
            seen = times.setdefault(p, np.zeros(len(ts), bool))
            again = np.flatnonzero(seen & (path == p))
            if len(again):
                yield Leak(
                    kind="split",
                    where=f"fold {k}",
                    sentence=f"fold {k} tests {len(again)} slices again that an earlier fold tested on path {p}, from "
                    f"{said(ts[again[0]])} on; test each slice once a path",
                )
                return
            seen |= path == p
