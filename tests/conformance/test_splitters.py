"""What every splitter promises, whatever its kind: see `engine.learning.Splitter`."""

from collections.abc import Callable

import numpy as np
import pytest

from components.training.audit import audit
from components.training.splitters import Combinatorial, PurgedKFold, WalkForward
from engine.learning import Splitter
from engine.protocols import Dataset

SLICES, LOOKBACK = 90, 4
DAY = 86_400 * 10**9

MAKE: dict[str, Callable[[], Splitter]] = {
    "walk_forward": lambda: WalkForward(first=30, test=13),
    "walk_forward_sliding": lambda: WalkForward(first=30, test=13, train=17),
    "purged_k_fold": lambda: PurgedKFold(folds=4, lookback=LOOKBACK),
    "combinatorial": lambda: Combinatorial(groups=5, tested=2, lookback=LOOKBACK),
}


def dataset(horizon: int) -> Dataset:
    """Trading days with weekends, decided at the close, held from the next open on."""
    place = np.arange(SLICES + horizon + 1, dtype=np.int64)
    opened = (place + 2 * (place // 5)) * DAY
    stamps = opened[:-horizon][:SLICES] + DAY // 4, opened[1 : SLICES + 1], opened[1 + horizon :][:SLICES]
    for array in stamps:
        array.flags.writeable = False
    return Dataset(
        names=("f",),
        schema="",
        ts=stamps[0],
        features=np.zeros((SLICES, 1, 1), np.float32),
        label=np.zeros((SLICES, 1)),
        label_from=stamps[1],
        label_to=stamps[2],
        horizon_ns=horizon * DAY,
    )


@pytest.fixture(params=MAKE.values(), ids=list(MAKE))
def make(request: pytest.FixtureRequest) -> Callable[[], Splitter]:
    chosen: Callable[[], Splitter] = request.param
    return chosen


@pytest.fixture(params=[1, 5], ids=["of one slice", "of five"])
def data(request: pytest.FixtureRequest) -> Dataset:
    return dataset(request.param)


def folds(splitter: Splitter, data: Dataset) -> list:
    return list(splitter.folds(data.ts, data.label_from, data.label_to))


def test_parts_are_masks_over_all_slices_neither_of_them_empty(make: Callable[[], Splitter], data: Dataset) -> None:
    for fold in folds(make(), data):
        for part in (fold.train, fold.test):
            assert part.dtype == bool
            assert part.shape == (SLICES,)
            assert part.any()
        assert not (fold.train & fold.test).any()


def test_an_audit_with_the_look_back_finds_nothing(make: Callable[[], Splitter], data: Dataset) -> None:
    assert audit(folds(make(), data), data, lookback=LOOKBACK) == ()


def test_a_path_is_given_to_tested_slices_and_to_no_others(make: Callable[[], Splitter], data: Dataset) -> None:
    for fold in folds(make(), data):
        assert fold.path is None or ((fold.path >= 0) == fold.test).all()


def test_two_walks_and_two_copies_split_alike(make: Callable[[], Splitter], data: Dataset) -> None:
    splitter = make()
    for a, b, c in zip(folds(splitter, data), folds(splitter, data), folds(make(), data), strict=True):
        np.testing.assert_array_equal([a.train, a.test], [b.train, b.test])
        np.testing.assert_array_equal([a.train, a.test], [c.train, c.test])


def test_the_unit_of_time_decides_nothing(make: Callable[[], Splitter], data: Dataset) -> None:
    scaled = make().folds(*(7 * stamps + 3 for stamps in (data.ts, data.label_from, data.label_to)))
    for a, b in zip(folds(make(), data), scaled, strict=True):
        np.testing.assert_array_equal([a.train, a.test], [b.train, b.test])


def test_longer_labels_never_leave_more_to_learn_from(make: Callable[[], Splitter]) -> None:
    short, long = folds(make(), dataset(1)), folds(make(), dataset(5))
    for a, b in zip(short, long, strict=True):
        assert b.train.sum() <= a.train.sum()
        np.testing.assert_array_equal(a.test, b.test)
