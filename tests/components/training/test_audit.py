"""The audit of a plan: what it names, and that it finds exactly what a brute-force look finds."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.training.audit import audit
from components.training.splitters import Combinatorial, PurgedKFold, WalkForward
from engine.learning import Fold
from engine.protocols import Dataset

DAY = 86_400 * 10**9


def dataset(count, horizon=2, *, ts=None, label_from=None, label_to=None):
    place = np.arange(count, dtype=np.int64) * DAY
    return Dataset(
        names=("f",),
        schema="s",
        ts=place + DAY // 4 if ts is None else ts,
        features=np.zeros((count, 1, 1), np.float32),
        label=np.zeros((count, 1)),
        label_from=place + DAY if label_from is None else label_from,
        label_to=place + DAY * (1 + horizon) if label_to is None else label_to,
        horizon_ns=horizon * DAY,
    )


def cut(count, first, last):
    """Everything else is learned from."""
    test = (np.arange(count) >= first) & (np.arange(count) < last)
    return Fold(train=~test, test=test)


def test_an_unpurged_fold_is_named_with_its_first_slice():
    good = WalkForward(first=20, test=10).folds(*_stamps(dataset(40)))
    (leak,) = audit([next(good), cut(40, 30, 36)], dataset(40))
    assert (leak.kind, leak.where) == ("split", "fold 1")
    # two slices before the test, whose labels end in it or with its beginning, and two behind it
    assert "learns from 4 slices" in leak.sentence
    assert "that of 1970-01-29T06:00:00Z ends at 1970-02-01T00:00:00Z" in leak.sentence


def test_one_shared_instant_is_enough():
    """Decided at the close, from that close to the next: neighbours share a price."""
    ts = np.arange(20, dtype=np.int64) * DAY
    data = dataset(20, ts=ts, label_from=ts, label_to=ts + DAY)
    (leak,) = audit([cut(20, 10, 20)], data)
    assert "learns from 1 slices" in leak.sentence
    assert audit(list(WalkForward(first=10, test=10).folds(ts, ts, ts + DAY)), data) == ()


def test_features_that_look_back_at_a_tested_label_are_named_where_the_look_back_is_known():
    data = dataset(60)
    folds = list(PurgedKFold(folds=3, lookback=5, embargo=3).folds(*_stamps(data)))
    assert audit(folds, data) == ()
    assert audit(folds, data, lookback=3) == ()
    found = audit(folds, data, lookback=5)
    assert [(leak.kind, leak.where) for leak in found] == [("embargo", "fold 0"), ("embargo", "fold 1")]
    assert "learns from 2 slices" in found[0].sentence


def test_a_label_that_begins_before_its_decision_is_named():
    data = dataset(20)
    early = msgspec.structs.replace(data, label_from=np.where(np.arange(20) == 7, data.ts - 1, data.label_from))
    (leak,) = audit([], early)
    assert leak.kind == "label"
    assert "1970-01-08T06:00:00" in leak.sentence


def test_a_slice_that_is_tested_twice_on_a_path_is_named():
    data = dataset(40)
    folds = list(PurgedKFold(folds=2, lookback=0).folds(*_stamps(data)))
    (leak,) = audit([*folds, folds[1]], data)
    assert (leak.kind, leak.where) == ("split", "fold 2")
    assert "tests 20 slices again" in leak.sentence
    assert audit(list(Combinatorial(groups=4, tested=2, lookback=0).folds(*_stamps(data))), data) == ()


def test_a_slice_that_is_learned_from_and_tested_touches_itself():
    both = Fold(train=np.arange(40) == 5, test=np.arange(40) == 5)
    assert audit([both], dataset(40))[0].kind == "split"


def test_folds_of_another_dataset_are_refused():
    with pytest.raises(ValueError, match="fold 0 is one of 30 and 30 slices, the dataset has 40"):
        audit([cut(30, 10, 20)], dataset(40))


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_it_finds_what_a_look_at_every_pair_finds(seed):
    rng = np.random.default_rng(seed)
    count = 14
    ts = np.cumsum(rng.integers(1, 6, count)).astype(np.int64)
    start = ts + rng.integers(-9 if seed % 2 else 0, 3, count)  # some labels begin before their decision, out of order
    data = dataset(count, ts=ts, label_from=start, label_to=np.maximum(ts, start) + rng.integers(0, 12, count))
    begins = np.minimum(ts, start)
    part = rng.choice(3, count, p=[0.2, 0.2, 0.6])
    fold, lookback = Fold(train=part == 0, test=part == 1), int(rng.integers(0, 4))
    pairs = [(s, t) for s in np.flatnonzero(fold.train) for t in np.flatnonzero(fold.test)]
    touch = {s for s, t in pairs if begins[s] <= data.label_to[t] and begins[t] <= data.label_to[s]}
    looks = {s for s, t in pairs if lookback and t < s and (s < lookback or ts[s - lookback] < data.label_to[t])}
    found = {leak.kind: leak.sentence for leak in audit([fold], data, lookback)}
    expected = {"split": touch, "embargo": looks, "label": (start < ts).any()}
    assert set(found) == {kind for kind, there in expected.items() if there}
    for kind, slices in (("split", touch), ("embargo", looks)):
        assert kind not in found or f"learns from {len(slices)} slices" in found[kind]


def test_labels_that_begin_in_another_order_than_their_decisions_hide_nothing():
    """The last tested slice begins first, so what is learned from before it touches it and none of the others."""
    ts = np.array([10, 20, 30, 40], np.int64)
    data = dataset(4, ts=ts, label_from=np.array([10, 22, 30, 15]), label_to=np.array([16, 23, 31, 41]))
    first = np.arange(4) == 0
    fold = Fold(train=first, test=~first)
    assert [leak.kind for leak in audit([fold], data)] == ["label", "split"]


def _stamps(data):
    return data.ts, data.label_from, data.label_to
