"""A model on one side of a fold: what it is shown, what it is not, and that trees trained so leak nothing."""

from functools import partial

import numpy as np

from adapters.files.sample import SampleFeed
from components.features.rolling import Rolling
from components.models.gbdt import Gbdt
from components.models.linear import Linear
from components.training.by_fold import learned
from components.training.panel import walk
from components.training.splitters import PurgedKFold, WalkForward
from engine.learning import Fold
from engine.protocols import Artefact, Dataset
from samewire.leaks import Checks, leaks
from tests.make import day

T, N = 30, 3


def numbered() -> Dataset:
    """Slice k has k as its only feature and as its label."""
    place = np.arange(T)
    stamps = np.array([day(k) for k in place], np.int64)
    value = np.repeat(place[:, None], N, axis=1).astype(float)
    return Dataset(
        names=("k",),
        schema="s",
        ts=stamps,
        features=value[:, :, None].astype(np.float32),
        label=value,
        label_from=stamps + 1,
        label_to=stamps + 2,
        horizon_ns=1,
        weight=value + 1,
    )


class Recording:
    """Answers the sum of the last `lookback` features, and keeps what it was shown."""

    def __init__(self, lookback: int = 1) -> None:
        self.lookback, self.shown = lookback, []

    def fit(self, dataset: Dataset, /) -> Artefact:
        self.shown.append(dataset)
        return Artefact(hash="h", files={})

    def swap(self, artefact: Artefact, /) -> None:
        assert artefact.hash == "h"

    def predict(self, dataset: Dataset, /) -> np.ndarray:
        self.shown.append(dataset)
        k = dataset.features[:, :, 0].astype(float)
        return sum(np.concatenate([np.full((i, N), np.nan), k[: len(k) - i]]) for i in range(self.lookback))


def between(*ranges) -> np.ndarray:
    place = np.arange(T)
    return np.any([(place >= low) & (place < high) for low, high in ranges], axis=0)


def test_it_learns_from_the_train_slices_and_is_shown_no_label_of_the_others():
    model = Recording()
    fold = Fold(train=between((0, 10), (20, 30)), test=between((12, 16)))
    out = learned(lambda: model, numbered(), fold)
    fitted, asked = model.shown
    assert fitted.label[:, 0].tolist() == [*range(10), *range(20, 30)]
    assert fitted.weight is not None
    assert fitted.weight[:, 0].tolist() == [k + 1 for k in fitted.label[:, 0]]
    assert np.isnan(asked.label).all()
    assert np.flatnonzero(np.isfinite(out[:, 0])).tolist() == [12, 13, 14, 15]
    assert out[12:16, 0].tolist() == [12, 13, 14, 15]


def test_a_model_that_remembers_is_shown_the_slices_before_a_tested_one():
    out = learned(lambda: Recording(3), numbered(), Fold(train=between((0, 10)), test=between((0, 2), (12, 16))))
    assert np.isnan(out[:2]).all()  # history begins there
    assert out[12:16, 0].tolist() == [10 + 11 + 12, 11 + 12 + 13, 12 + 13 + 14, 13 + 14 + 15]


def test_a_model_that_remembers_finds_gaps_of_the_train_slices_in_their_place_without_a_label():
    fold = Fold(train=between((2, 10), (20, 28)), test=between((12, 16)))
    model = Recording(2)
    learned(lambda: model, numbered(), fold)
    fitted = model.shown[0]
    assert fitted.features[:, 0, 0].tolist() == list(range(2, 28))
    taught = np.flatnonzero(np.isfinite(fitted.label).all(axis=1)) + 2
    assert taught.tolist() == [*range(2, 10), *range(20, 28)]


def test_trees_that_are_trained_by_folds_leak_nothing():
    feed = SampleFeed(symbols=12, years=1)

    def made(of):
        return walk(of.events(), Rolling(universe=of.universe, windows=(3, 5)), 3, 2**62)

    def trees():
        return Gbdt(
            universe=feed.universe,
            name="trees",
            rng=np.random.default_rng(0),
            num_boost_round=8,
            num_leaves=4,
            min_data_in_leaf=20,
            valid_share=0.0,
        )

    data = made(feed)
    folds = list(WalkForward(first=120, test=60).folds(data.ts, data.label_from, data.label_to))
    verdict = leaks(feed, made, folds, partial(learned, trees), Checks(permutations=5))
    assert verdict.found == ()
    assert np.isfinite(verdict.t).all()
    fold = next(iter(PurgedKFold(folds=2, lookback=6).folds(data.ts, data.label_from, data.label_to)))
    assert (np.isfinite(learned(trees, data, fold)).any(axis=1) <= fold.test).all()


def test_a_model_that_looks_ahead_when_it_predicts_is_found() -> None:
    """`fit` is honest, and in a session there are no later slices."""
    feed = SampleFeed(symbols=12, years=1)

    class Peeking(Linear):
        def predict(self, dataset: Dataset, /) -> np.ndarray:
            out = super().predict(dataset)
            out[:-2] = dataset.features[2:, :, 0]
            return out

    def made(of):
        return walk(of.events(), Rolling(universe=of.universe, windows=(3, 5)), 3, 2**62)

    def found(model):
        return leaks(feed, made, [], partial(learned, partial(model, universe=feed.universe, name="m"))).found

    assert found(Linear) == ()
    (leak,) = found(Peeking)
    assert leak.kind == "prediction"
    assert "let `predict` see a slice and those before it, and no others" in leak.sentence
