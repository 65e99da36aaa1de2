"""The leak detector on a generated market: honest trainings pass, and each planted leak is named."""

from functools import partial

import msgspec
import numpy as np
import pytest

from adapters.files.sample import SampleFeed
from components.features.rolling import Rolling
from components.models.linear import Linear
from components.training import by_fold
from components.training.panel import walk
from components.training.splitters import Combinatorial, PurgedKFold, WalkForward
from engine.errors import NothingLearnedError
from engine.events import Bars, Features
from engine.learning import Fold
from samewire.leaks import Checks, allowed, leaks, permuted

EVER = 2**62
FEED = SampleFeed(symbols=12, years=1)
HORIZON = 3


def honest(feed):
    return walk(feed.events(), Rolling(universe=feed.universe, windows=(3, 5)), HORIZON, EVER)


DATA = honest(FEED)
FOLDS = list(WalkForward(first=120, test=60).folds(DATA.ts, DATA.label_from, DATA.label_to))


def ridge(dataset, fold, rows=None):
    """A linear model: learned from the rows of the fold, its answers to the test."""
    rows = fold.train if rows is None else rows
    x = np.nan_to_num(dataset.features.astype(float), posinf=0.0, neginf=0.0)
    x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2)
    known = rows[:, None] & np.isfinite(dataset.label)
    a, b = x[known], dataset.label[known]
    weights = np.linalg.solve(a.T @ a + 1e-3 * np.eye(a.shape[1]), a.T @ b)
    return np.where(fold.test[:, None], x @ weights, np.nan)


def kinds(verdict):
    return [leak.kind for leak in verdict.found]


def test_an_honest_training_passes_and_the_verdict_says_what_was_looked_at():
    verdict = leaks(FEED, honest, FOLDS)
    assert verdict.found == ()
    left = ("predictions over another future (give it `learned`)", "permuted labels (Checks(permutations=20))")
    assert verdict.left_out == left
    said = "no leak found in 3 folds, 1 other future; not looked at: {}; not looked at: {}"
    assert verdict.sentence == said.format(*left)


def test_an_honest_training_passes_every_check_for_any_seed():
    for seed in range(3):
        verdict = leaks(FEED, honest, FOLDS, ridge, Checks(cuts=3, permutations=20, seed=seed))
        assert kinds(verdict) == []
        assert len(verdict.t) == 20
        assert max(map(abs, verdict.t)) > 1  # they are not all of a model that says nothing
    assert verdict.sentence.endswith("3 folds, 3 other futures, 20 permutations of labels")


def test_cautious_splits_pass_with_the_look_back_of_their_features():
    lookback = Rolling(universe=FEED.universe, windows=(3, 5)).lookback
    stamps = DATA.ts, DATA.label_from, DATA.label_to
    for splitter in (PurgedKFold(folds=4, lookback=lookback), Combinatorial(groups=5, tested=2, lookback=lookback)):
        assert kinds(leaks(FEED, honest, list(splitter.folds(*stamps)), how=Checks(lookback=lookback))) == []


# ---- planted leaks ---------------------------------------------------------------------------------------------------


class Peeking:
    """Rolling features and one more: the next slice's return, out of history that it was handed."""

    def __init__(self, feed, ahead):
        self._known = Rolling(universe=feed.universe, windows=(3, 5))
        self._closes = [event.close for event in feed.events() if isinstance(event, Bars)]
        self._at, self._ahead = 0, ahead
        self.names = (*self._known.names, "tomorrow")
        self.schema, self.lookback = "peeking", self._known.lookback

    def on_bars(self, bars):
        value = self._known.on_bars(bars).value
        later = self._closes[min(self._at + self._ahead, len(self._closes) - 1)]
        self._at += 1
        return Features(ts=bars.ts, schema=self.schema, value=np.column_stack([value, later / bars.close]))


@pytest.mark.parametrize("ahead", [1, 4])
def test_a_feature_set_that_peeks_is_named_with_how_far(ahead):
    verdict = leaks(FEED, lambda feed: walk(feed.events(), Peeking(feed, ahead), HORIZON, EVER), FOLDS)
    (leak,) = verdict.found
    assert (leak.kind, leak.where) == ("look_ahead", "tomorrow")
    assert f"tomorrow looks up to {ahead} slice" in leak.sentence
    assert "with another future after 2018-" in leak.sentence
    assert verdict.sentence.startswith("1 leak found in 3 folds, 1 other future: look ahead: tomorrow looks")


def test_a_feature_set_that_looks_at_no_later_slice_passes_in_the_same_clothes():
    assert kinds(leaks(FEED, lambda feed: walk(feed.events(), Peeking(feed, 0), HORIZON, EVER), FOLDS)) == []


def test_normalising_with_the_whole_range_is_named_as_such():
    def whole(feed):
        made = honest(feed)
        f = made.features.copy()
        f[:, :, 2] = (f[:, :, 2] - np.nanmean(f[:, :, 2])) / np.nanstd(f[:, :, 2])
        return msgspec.structs.replace(made, features=f)

    (leak,) = leaks(FEED, whole, FOLDS).found
    assert (leak.kind, leak.where) == ("whole_range", DATA.names[2])
    assert "from the first slice on" in leak.sentence


def test_normalising_across_the_names_of_a_slice_passes():
    def across(feed):
        made = honest(feed)
        f = made.features
        return msgspec.structs.replace(made, features=f - np.where(np.isfinite(f), f, 0).mean(axis=1, keepdims=True))

    assert kinds(leaks(FEED, across, FOLDS)) == []


def test_a_label_among_the_features_is_named():
    def leaking(feed):
        made = honest(feed)
        return msgspec.structs.replace(
            made,
            names=(*made.names, "target_mean"),
            features=np.concatenate([made.features, made.label[:, :, None].astype(np.float32)], axis=2),
        )

    (leak,) = leaks(FEED, leaking, FOLDS).found
    assert (leak.kind, leak.where) == ("look_ahead", "target_mean")
    assert f"up to {HORIZON + 1} slices ahead" in leak.sentence


def test_a_label_that_lasts_longer_than_it_says_is_named():
    """Purging believes what labels say of themselves."""

    def short(feed):
        made = honest(feed)
        return msgspec.structs.replace(made, label_to=made.label_from + 1)

    folds = list(WalkForward(first=120, test=60).folds(DATA.ts, DATA.label_from, DATA.label_from + 1))
    (leak,) = leaks(FEED, short, folds).found
    assert leak.kind == "label"
    assert "is said to end at" in leak.sentence


def test_a_label_that_is_normalised_over_slices_is_named():
    def scaled(feed):
        made = honest(feed)
        return msgspec.structs.replace(made, label=made.label / np.nanstd(made.label))

    assert kinds(leaks(FEED, scaled, FOLDS)) == ["label"]


def test_an_unpurged_split_is_named():
    place = np.arange(len(DATA.ts))
    plain = [Fold(train=place < first, test=(place >= first) & (place < first + 60)) for first in (100, 160)]
    found = leaks(FEED, honest, plain).found
    assert [(leak.kind, leak.where) for leak in found] == [("split", "fold 0"), ("split", "fold 1")]
    assert f"learns from {HORIZON + 1} slices whose labels touch" in found[0].sentence


def test_a_model_that_takes_statistics_of_the_whole_dataset_is_named():
    def greedy(dataset, fold):
        f = dataset.features
        mean = np.nanmean(np.where(np.isfinite(f), f, np.nan), axis=(0, 1))
        return ridge(msgspec.structs.replace(dataset, features=f / (1 + np.abs(mean))), fold)

    verdict = leaks(FEED, honest, FOLDS, greedy)
    assert kinds(verdict) == ["prediction"]
    assert "let `fit` see the slices that are learned from" in verdict.sentence


def test_a_model_that_learns_from_its_test_predicts_labels_without_meaning():
    def memory(dataset, fold):
        return ridge(dataset, fold, fold.train | fold.test)

    verdict = leaks(FEED, honest, FOLDS, memory, Checks(cuts=0, permutations=20, seed=19))
    assert kinds(verdict) == ["permuted_labels"]
    assert sum(abs(t) > 2 for t in verdict.t) == allowed(20)  # a little each time, but always to one side
    assert "all together have 5.6 (3 may)" in verdict.sentence


def test_a_model_that_is_told_the_answers_is_named():
    def told(dataset, fold):
        return np.where(fold.test[:, None], dataset.label, np.nan)

    (leak,) = leaks(FEED, honest, FOLDS, told, Checks(cuts=0, permutations=5)).found
    assert leak.kind == "permuted_labels"
    assert "5 of 5 rank ICs" in leak.sentence


def test_a_training_that_does_not_repeat_is_no_look_ahead():
    rng = np.random.default_rng(0)

    def moody(dataset, fold):
        return ridge(dataset, fold) + rng.normal(size=dataset.label.shape)

    assert kinds(leaks(FEED, honest, FOLDS, moody)) == ["unrepeatable"]


def test_slices_chosen_by_what_comes_later_are_named():
    """The hundred slices with the largest moves of all of history."""

    def chosen(feed):
        made = honest(feed)
        keep = np.sort(np.argsort(-np.nan_to_num(np.abs(made.label)).max(axis=1))[:100])
        fields = ("ts", "features", "label", "label_from", "label_to")
        return msgspec.structs.replace(made, **{name: getattr(made, name)[keep] for name in fields})

    (leak,) = leaks(FEED, chosen).found
    assert (leak.kind, leak.where) == ("look_ahead", "slices")


# ---- what cannot be said ---------------------------------------------------------------------------------------------


def test_a_model_that_learns_nothing_from_labels_without_meaning_is_no_leak():
    plane = Linear(universe=FEED.universe, name="m", estimator="lasso", alpha=10.0)
    with pytest.raises(NothingLearnedError, match="tells no name from another"):
        by_fold.learned(lambda: plane, DATA, FOLDS[0])
    verdict = leaks(FEED, honest, FOLDS, partial(by_fold.learned, lambda: plane), Checks(cuts=0, permutations=3))
    assert verdict.found == ()
    assert np.isnan(verdict.t).all()


def test_what_could_not_be_looked_at_is_said():
    verdict = leaks(FEED, honest, FOLDS, how=Checks(permutations=5))
    assert verdict.left_out != ()
    assert "not looked at: permuted labels" in verdict.sentence
    assert leaks(FEED, honest, how=Checks(cuts=0)).sentence.startswith("no leak found in nothing")


def test_permuting_keeps_the_labels_of_a_slice_and_the_names_that_have_one():
    label = np.random.default_rng(0).normal(size=(50, 9))
    label[np.random.default_rng(1).random((50, 9)) < 0.3] = np.nan
    found = permuted(label, np.random.default_rng(2))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(label))
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(label, axis=1))
    assert (found != label).any()


@pytest.mark.parametrize(("count", "most"), [(20, 3), (1, 1), (100, 9)])
def test_what_luck_may_give_is_the_binomial_tail(count, most):
    from scipy.stats import binom, norm

    chance = 2 * norm.sf(2)
    assert allowed(count) == most
    assert binom.sf(most, count, chance) <= 0.02 < binom.sf(most - 1, count, chance)
