"""Blends: what weighs how much, by slices that nothing learned from, and models that fail together or not at all."""

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from components.models.blend import Blend
from components.models.blend_weights import by_ic, combined, stacked, unseen
from components.models.bundle import composed, opened, tensors_in, tensors_of
from components.models.momentum import Momentum
from components.models.networks.gru import Gru
from engine.errors import ConfigError, NothingLearnedError, StateError
from engine.universe import universe_of
from tests.components.models.test_gbdt import card
from tests.conformance.test_trained_models import N, T, blend, gbdt, ic, linear, neural, panel, slice_of, symbols


class Told:
    """Answers with a column of the features, once it has learned; knows what it was given to learn."""

    lookback = 1

    def __init__(self, column: int, sign: float = 1.0) -> None:
        self.column, self.sign, self.given, self.seen = column, sign, [], []
        self._inner = linear(N)

    def fit(self, dataset):
        self.seen.append(dataset.ts.tolist())
        self.given.append((int(dataset.ts[0]), int(dataset.label_to.max())))
        return self._inner.fit(dataset)

    def __deepcopy__(self, memo):
        return self  # so that the test sees what was learned

    def swap(self, artefact):
        pass

    def predict(self, dataset):
        return self.sign * dataset.features[..., self.column].astype(float)

    def on_features(self, features):
        return self._inner.on_features(features)


def test_a_blend_is_the_mean_of_z_scores_over_who_has_an_opinion():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 8)), 100.0 * rng.normal(size=(5, 8))
    b[0, 3], a[1], a[2, 0], b[2, 0] = np.nan, np.nan, np.nan, np.nan
    z = [
        (x - np.nanmean(x, axis=1, keepdims=True)) / np.nanstd(x, axis=1, keepdims=True) for x in (a[[0, 3]], b[[0, 3]])
    ]
    found = combined([a, b], np.array([1.0, 3.0]))
    np.testing.assert_allclose(found[3], (z[0][1] + 3 * z[1][1]) / 4)
    np.testing.assert_allclose(found[0, 3], z[0][0, 3])
    np.testing.assert_allclose(found[1], pd.Series(b[1]).sub(b[1].mean()).div(b[1].std(ddof=0)))
    assert np.isnan(found[2, 0])


def test_weights_by_ic_look_at_the_last_slices_only_and_give_nothing_to_who_is_wrong():
    rng = np.random.default_rng(0)
    label = rng.normal(size=(100, 30))
    right, wrong, turned = (
        label + rng.normal(size=label.shape),
        -label,
        np.where(np.arange(100)[:, None] < 60, label, -label),
    )
    weights, mean = by_ic([right, wrong, turned], label, 40)
    np.testing.assert_array_equal(weights, [1.0, 0.0, 0.0])
    assert mean[0] > 0.6
    assert mean[2] == pytest.approx(-1.0)
    assert by_ic([right, turned], label, 100)[0][1] > 0.2
    np.testing.assert_array_equal(by_ic([wrong, wrong], label, 40)[0], [0.5, 0.5])
    np.testing.assert_array_equal(by_ic([np.full_like(label, np.nan)] * 2, label, 40)[0], [0.5, 0.5])


def test_stacking_is_non_negative_least_squares_on_z_scores():
    rng = np.random.default_rng(0)
    label = rng.normal(size=(60, 25))
    answers = [label + s * rng.normal(size=label.shape) for s in (0.5, 1.0)] + [rng.normal(size=label.shape)]
    z = [(x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) for x in (*answers, label)]
    wanted = nnls(np.stack([x.ravel() for x in z[:-1]], axis=1), z[-1].ravel())[0]
    found = stacked(answers, label)
    np.testing.assert_allclose(found, wanted / wanted.sum())
    assert found[0] > found[1] > found[2]


def test_no_model_answers_a_slice_whose_label_it_could_have_learned():
    data = panel(slices=50)
    told = Told(0)
    values, label = unseen([told], data, 4, "m")
    answered = np.flatnonzero(np.isfinite(values[0]).any(axis=1))
    assert answered.tolist() == list(range(10, 50))
    np.testing.assert_array_equal(label, data.label)
    for (since, until), start in zip(told.given, (10, 20, 30, 40), strict=True):
        assert since == data.ts[0]
        assert until <= data.ts[start]


def test_a_span_that_teaches_a_model_nothing_has_no_answer_of_it():
    class Late(Told):
        """Learns only from a history of some length."""

        def fit(self, dataset):
            if len(dataset.ts) < T // 2:
                raise NothingLearnedError("m: too little to tell names apart")
            return super().fit(dataset)

    (early, late), _ = unseen([Told(0), Late(1)], panel(), 3, "b")
    assert np.isfinite(early).any(axis=1).sum() > np.isfinite(late).any(axis=1).sum() > 0


def test_what_is_held_out_weighs_nothing():
    data = panel(slices=50, valid_from=int(panel(slices=50).ts[40]))
    told = Told(0)
    values, _ = unseen([told], data, 3, "m")
    assert len(values[0]) == 39  # one slice is purged
    assert max(until for _, until in told.given) <= data.ts[40]


def test_a_model_that_remembers_slices_is_shown_neighbours_only():
    """Slices without a label stay between those that have one; a model of single slices does without them."""
    data = panel(slices=50)
    data.label[12:17] = np.nan
    for lookback, some in ((3, 50), (1, 45)):
        told = Told(0)
        told.lookback = lookback
        values, _ = unseen([told, Told(1)], data, 4, "m")
        assert len(values[0]) == some
        if lookback > 1:
            assert all(seen == data.ts[: len(seen)].tolist() for seen in told.seen)


def test_a_model_that_remembers_slices_is_not_taught_past_a_gap():
    data = panel(slices=50)
    data.label_to[4] = data.ts[30]  # is purged from what is learned before then, and leaves a gap
    told = Told(0)
    told.lookback = 3
    with pytest.raises(ConfigError, match="m: a model that remembers 3 slices .* slice 4 to slice 4 are left out; set"):
        unseen([told], data, 4, "m")
    assert len(unseen([Told(0)], data, 4, "m")[0][0]) == 50


@pytest.mark.parametrize("weigh", ["equal", "ic"])
def test_a_network_is_a_model_of_a_blend(weigh):
    pytest.importorskip("torch")
    data = panel(slices=40)
    data.label[12:15] = np.nan
    learners = (linear(N), neural(N, net=Gru(hidden=4, layers=1), steps=3, epochs=2))
    model = Blend(universe=universe_of(symbols(N)), name="m", models=learners, weigh=weigh, folds=2)
    assert model.lookback == 3
    model.swap(model.fit(data))
    history = model.predict(data)
    fresh = Blend(universe=universe_of(symbols(N)), name="m", models=learners, weigh=weigh, folds=2)
    for t in range(20):
        if t == 9:
            fresh.load(model.save())
            model = fresh
        np.testing.assert_array_equal(model.on_features(slice_of(data, t)).value, history[t])


@pytest.mark.parametrize("weigh", ["ic", "stacked"])
def test_a_model_that_knows_gets_the_weight(weigh):
    data = panel(slices=60)
    model = Blend(universe=universe_of(symbols(N)), name="m", models=(Told(0), Told(5), Told(1, -1.0)), weigh=weigh)
    weights = card(model.fit(data))["params"]["weights"]
    assert weights[0] > 0.7
    assert weights[2] == 0.0
    assert sum(weights) == pytest.approx(1.0)


def test_its_answers_are_those_of_its_models_trained_alone():
    data = panel()
    model = blend(N)
    model.swap(model.fit(data))
    alone = []
    for one in (gbdt(N), linear(N)):
        one.swap(one.fit(data))
        alone.append(one.predict(data))
    np.testing.assert_array_equal(model.predict(data), combined(alone, np.array([0.5, 0.5])))


def test_the_card_names_its_models_and_what_speaks_for_them():
    told = []
    artefact = blend(N, weigh="ic").fit(panel(), on_metric=told.append)
    found = card(artefact)
    assert [each["kind"] for each in found["params"]["models"]] == ["lightgbm", "linear"]
    assert [each["hash"] for each in found["params"]["models"]] == [
        gbdt(N).fit(panel()).hash,
        linear(N).fit(panel()).hash,
    ]
    assert set(found["metrics"]) == {"rank_ic_unseen_0", "rank_ic_unseen_1"}
    assert set(found["libraries"]) == {"lightgbm", "numpy"}
    assert {m.name for m in told} == {"l2_train_0", "l2_valid_0"}


def test_fit_and_a_swap_that_fails_change_no_answer():
    data = panel()
    model = blend(N)
    model.swap(model.fit(data))
    before = model.on_features(slice_of(data, 0))
    other = model.fit(panel(seed=4))
    bundle = opened(other, "x")
    arrays = dict(tensors_in(bundle.weights["weights.safetensors"], "x"))

    def with_arrays(changed):
        return composed(msgspec.structs.replace(bundle, weights={"weights.safetensors": tensors_of(changed)}))

    less = {name: array for name, array in arrays.items() if not name.startswith("1/")}
    altered = arrays | {"1/card.md": arrays["0/card.md"]}
    for bad in (less, altered, arrays | {"7/x": np.zeros(1, np.uint8)}, arrays | {"weights": np.zeros(3)}):
        with pytest.raises(StateError):
            model.swap(with_arrays(bad))
    with pytest.raises(ConfigError, match="it has 3 models, and the artefact 2"):
        blend(N, models=(gbdt(N), linear(N), linear(N))).swap(other)
    with pytest.raises(StateError, match="the artefact is of linear"):
        blend(N, models=(gbdt(N), gbdt(N))).swap(other)
    after = model.on_features(slice_of(data, 0))
    assert after.model_hash == before.model_hash
    np.testing.assert_array_equal(after.value, before.value)


def test_saved_state_goes_on_with_the_same_answers():
    data = panel()
    model, fresh = blend(N, weigh="ic"), blend(N, weigh="ic")
    model.swap(model.fit(data))
    fresh.load(model.save())
    np.testing.assert_array_equal(fresh.predict(data), model.predict(data))


def test_a_horizon_other_than_that_of_the_labels_is_refused():
    with pytest.raises(ConfigError, match="horizon_ns is 5, and the labels to learn span"):
        blend(N, horizon_ns=5).fit(panel())
    with pytest.raises(ConfigError, match="horizon_ns is 5, and the labels of artefact"):
        blend(N, horizon_ns=5).swap(blend(N).fit(panel()))


@pytest.mark.parametrize("weigh", ["equal", "ic", "stacked"])
def test_it_is_better_than_either_where_each_knows_something_else(weigh):
    data = panel(holes=0.0)
    data = msgspec.structs.replace(data, label=data.features[..., 0] + 0.7 * data.features[..., 1].astype(float))
    models = (Told(0), Told(1))
    model = blend(N, models=models, weigh=weigh)
    model.swap(model.fit(data))
    assert ic(model.predict(data), data.label) > max(ic(one.predict(data), data.label) for one in models) + 0.05


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"models": ()}, "models"),
        ({"folds": 0}, "folds"),
        ({"ic_slices": 0}, "ic_slices"),
        ({"weigh": "best"}, "weigh"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        blend(N, **options)


def test_models_that_read_bars_are_refused():
    momentum = Momentum(universe=universe_of(symbols(N)), name="x", window=5)
    with pytest.raises(ValueError, match="models must all read features, got Momentum at place 1"):
        blend(N, models=(gbdt(N), momentum))


def test_history_too_short_to_weigh_by_says_so():
    with pytest.raises(ConfigError, match="m: 9 slices are too few to weigh models by 4 spans"):
        blend(N, weigh="ic", folds=4).fit(panel(slices=9))
    assert T == 60


class StoppedError(Exception):
    """The power went out."""


@pytest.mark.parametrize("weigh", ["equal", "ic"])
def test_a_blend_that_was_killed_goes_on_where_its_networks_were(tmp_path, weigh):
    def made():
        return blend(N, models=(neural(N, epochs=6), linear(N)), weigh=weigh, folds=2)

    def kill(metric):
        if metric.name.startswith("l2_train_0") and metric.step == 3:
            raise StoppedError

    seen = []
    whole = made().fit(panel())
    with pytest.raises(StoppedError):
        made().fit(panel(), on_metric=kill, checkpoint=tmp_path)
    gone_on = made().fit(panel(), on_metric=lambda metric: seen.append((metric.name, metric.step)), checkpoint=tmp_path)
    assert gone_on.hash == whole.hash
    assert min(step for name, step in seen if name == "l2_train_0") == 3  # epochs 0 to 2 were not run again
    assert (tmp_path / "0" / "epoch.safetensors").is_file()
    assert (tmp_path / "0-until-span-1").is_dir() == (weigh == "ic")
    again = []
    assert made().fit(panel(), on_metric=again.append, checkpoint=tmp_path).hash == whole.hash
    assert not [metric for metric in again if metric.name.startswith("l2_train_0")]
