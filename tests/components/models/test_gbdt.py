"""Gradient-boosted trees: the same numbers in training and in the wiring, and nothing from the future."""

import msgspec
import numpy as np
import pytest

from components.features.rolling import Rolling
from components.models.artefact import artefact_of
from components.models.gbdt import Gbdt
from components.training.panel import walk
from engine.errors import ConfigError, StateError
from engine.events import DAY_NS, Features
from engine.protocols import Dataset, Trainable
from engine.universe import universe_of
from tests.make import day, market

N, T, F = 20, 120, 4
SMALL = {"num_boost_round": 30, "min_data_in_leaf": 20, "num_leaves": 7, "early_stopping_rounds": 5}


def gbdt(n: int = N, *, seed: int = 7, **options) -> Gbdt:
    names = tuple(f"S{i}" for i in range(n))
    return Gbdt(universe=universe_of(names), name="gbdt", rng=np.random.default_rng(seed), **(SMALL | options))


def panel(*, strength: float = 1.0, holes: float = 0.05, seed: int = 0) -> Dataset:
    """Labels that follow the first feature, with noise of the same size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(T, N, F)).astype(np.float32)
    y = strength * x[..., 0].astype(float) + rng.normal(size=(T, N))
    x[rng.random((T, N, F)) < holes] = np.nan
    x[rng.random((T, N)) < holes] = np.nan
    y[rng.random((T, N)) < holes] = np.nan
    ts = np.array([day(k) for k in range(T)])
    return Dataset(
        names=("a", "b", "c", "d"),
        schema="s1",
        ts=ts,
        features=x,
        label=y,
        label_from=ts + DAY_NS // 2,
        label_to=ts + 3 * DAY_NS // 2,
        horizon_ns=DAY_NS,
    )


def cut(data: Dataset, rows: slice) -> Dataset:
    return msgspec.structs.replace(
        data,
        **{name: getattr(data, name)[rows] for name in ("ts", "features", "label", "label_from", "label_to")},
    )


def days_later(data: Dataset) -> Dataset:
    """The same, a thousand days later."""
    late = {name: getattr(data, name) + 1000 * DAY_NS for name in ("ts", "label_from", "label_to")}
    return msgspec.structs.replace(data, **late)


def trained(data: Dataset, **options) -> Gbdt:
    model = gbdt(**options)
    model.swap(model.fit(data))
    return model


def features(value, schema: str = "s1", ts: int = day(0)) -> Features:
    return Features(ts=ts, schema=schema, value=np.asarray(value, np.float64))


def card(artefact) -> dict:
    return msgspec.json.decode(artefact.files["model.json"])


def test_predict_over_history_equals_on_features_bit_for_bit():
    data = panel()
    model = trained(data)
    history = model.predict(data)
    for t in range(T):
        live = model.on_features(features(data.features[t], ts=int(data.ts[t])))
        np.testing.assert_array_equal(live.value, history[t])


def test_predict_equals_the_wiring_through_a_real_feature_set():
    slices = market(N, 90, holes=0.05)
    names = tuple(f"S{i}" for i in range(N))
    panel_of = walk(iter(slices), Rolling(universe=universe_of(names)), 1, slices[-1].ts)
    model = trained(panel_of)
    history = model.predict(panel_of)
    live = Rolling(universe=universe_of(names))
    for t in range(len(panel_of.ts)):
        np.testing.assert_array_equal(model.on_features(live.on_bars(slices[t])).value, history[t])


def test_answers_equal_the_booster_of_the_library():
    lightgbm = pytest.importorskip("lightgbm")
    data = panel(holes=0.0)
    model = gbdt()
    artefact = model.fit(data)
    model.swap(artefact)
    booster = lightgbm.Booster(model_str=artefact.files["model.txt"].decode())
    wanted = booster.predict(data.features.reshape(-1, F).astype(np.float64)).reshape(T, N)
    np.testing.assert_array_equal(model.predict(data), wanted)


def test_it_finds_a_signal_that_is_there_and_none_that_is_not():
    past, future = cut(panel(), slice(0, 80)), cut(panel(), slice(85, T))

    def correlation(model, data):
        known = np.isfinite(data.label) & np.isfinite(model.predict(data))
        return np.corrcoef(model.predict(data)[known], data.label[known])[0, 1]

    assert correlation(trained(past), future) > 0.4
    noise = panel(strength=0.0)
    assert abs(correlation(trained(cut(noise, slice(0, 80))), cut(noise, slice(85, T)))) < 0.15


def test_training_twice_gives_the_same_artefact_and_another_seed_its_own_card():
    data = panel()
    assert gbdt().fit(data).hash == gbdt().fit(data).hash
    model = gbdt()
    assert model.fit(data).hash == model.fit(data).hash
    assert card(gbdt(seed=8).fit(data))["params"]["seed"] != card(gbdt().fit(data))["params"]["seed"]


def test_rule_18_labels_purged_between_the_two_parts_change_nothing():
    """Slices before the validation part whose labels reach into it are used by neither."""
    data = panel()
    first = T - int(T * 0.2)
    overlap = [t for t in range(first) if data.label_to[t] > data.ts[first]]
    assert overlap == [first - 1]
    other = data.label.copy()
    other[overlap] = 100.0 * np.arange(N)
    changed = msgspec.structs.replace(data, label=other)
    assert gbdt().fit(data).files["model.txt"] == gbdt().fit(changed).files["model.txt"]
    assert card(gbdt().fit(data))["slices"] == {"train": first - 1, "valid": T - first}


def test_without_a_validation_part_all_rounds_are_grown():
    artefact = gbdt(valid_share=0.0).fit(panel())
    assert card(artefact)["size"] == {"trees": SMALL["num_boost_round"]}
    assert set(card(artefact)["metrics"]) == {"l2_train"}


def test_early_stopping_keeps_fewer_trees_where_there_is_nothing_to_learn():
    assert card(gbdt(num_boost_round=200).fit(panel(strength=0.0)))["size"]["trees"] < 50


def test_the_card_says_what_it_was_trained_on():
    data = panel()
    found = card(gbdt().fit(data))
    assert (found["kind"], found["seed"], found["threads"]) == ("lightgbm", found["params"]["seed"], 1)
    assert (found["since_ns"], found["until_ns"]) == (int(data.ts[0]), int(data.label_to[-1]))
    assert set(found["libraries"]) == {"lightgbm", "numpy"}
    assert 0 < found["metrics"]["l2_train"] < found["metrics"]["l2_valid"]
    assert max(found["importance"], key=found["importance"].get) == "a"


def test_rule_14_no_opinion_before_there_is_an_artefact():
    signal = gbdt().on_features(features(np.ones((N, F))))
    assert np.isnan(signal.value).all()
    assert signal.model_hash == ""
    assert np.isnan(gbdt().predict(panel())).all()


def test_fit_alone_changes_no_answer():
    model = gbdt()
    model.fit(panel())
    assert model.on_features(features(np.ones((N, F)))).model_hash == ""


def test_a_name_without_any_feature_has_no_opinion_and_others_keep_theirs():
    model = trained(panel())
    x = np.random.default_rng(3).normal(size=(N, F))
    whole = model.on_features(features(x)).value
    x[4] = np.nan
    x[5, 1] = np.nan
    holed = model.on_features(features(x)).value
    assert np.isnan(holed[4])
    assert np.isfinite(holed[5])
    np.testing.assert_array_equal(np.delete(holed, [4, 5]), np.delete(whole, [4, 5]))
    assert np.isnan(model.on_features(features(np.full((N, F), np.nan))).value).all()


def test_rule_19_a_model_swap_counts_from_the_next_slice_and_its_hash_travels_on_the_signal():
    model = gbdt()
    one, two = model.fit(panel()), gbdt(num_leaves=5).fit(panel(seed=1))
    model.swap(one)
    assert model.on_features(features(np.ones((N, F)))).model_hash == one.hash
    model.swap(two)
    assert model.on_features(features(np.ones((N, F)))).model_hash == two.hash


def test_signals_carry_the_horizon_of_the_labels_that_were_learned():
    model = gbdt()
    assert model.on_features(features(np.ones((N, F)))).horizon_ns == 0
    weekly = msgspec.structs.replace(panel(), horizon_ns=5 * DAY_NS)
    artefact = model.fit(weekly)
    assert card(artefact)["horizon_ns"] == 5 * DAY_NS
    model.swap(artefact)
    assert model.on_features(features(np.ones((N, F)))).horizon_ns == 5 * DAY_NS
    fresh = gbdt()
    fresh.load(model.save())
    assert fresh.on_features(features(np.ones((N, F)))).horizon_ns == 5 * DAY_NS
    fresh.load(gbdt().save())
    assert fresh.on_features(features(np.ones((N, F)))).horizon_ns == 0


def test_a_horizon_other_than_that_of_the_labels_is_refused_with_both_values():
    artefact = gbdt().fit(panel())
    model = gbdt(horizon_ns=5)
    assert model.on_features(features(np.ones((N, F)))).horizon_ns == 5
    with pytest.raises(ConfigError, match=rf"horizon_ns is 5, and the labels of artefact .* span {DAY_NS} ns"):
        model.swap(artefact)
    with pytest.raises(ConfigError, match=rf"horizon_ns is 5, and the labels to learn span {DAY_NS} ns"):
        model.fit(panel())
    assert model.on_features(features(np.ones((N, F)))).model_hash == ""
    gbdt(horizon_ns=DAY_NS).swap(artefact)


def test_rule_17_a_name_with_fewer_than_half_of_its_features_has_no_opinion():
    data = panel(holes=0.0)
    model = trained(data)
    x = data.features[:1].copy()
    x[0, 3, :2] = np.nan
    x[0, 4, :3] = np.nan
    live = model.on_features(features(x[0])).value
    assert np.isfinite(live[3])
    assert np.flatnonzero(np.isnan(live)).tolist() == [4]
    past = msgspec.structs.replace(cut(data, slice(0, 1)), features=x)
    np.testing.assert_array_equal(model.predict(past)[0], live)


def test_names_that_would_get_no_answer_teach_nothing():
    data = panel(holes=0.0)
    data.features[:, 4, :3] = np.nan
    assert card(gbdt(valid_share=0.0).fit(data))["rows"] == {"train": T * (N - 1), "valid": 0}


class Whole:
    """Nothing of a name with a gap."""

    kind = "whole"

    def fit(self, features):
        return {}

    def apply(self, value, frozen):
        return np.where(np.isnan(value).any(axis=1, keepdims=True), np.nan, value)


def test_names_of_which_processors_leave_nothing_teach_nothing_and_get_no_answer():
    data = panel(holes=0.0)
    data.features[::2, 4, 0] = np.nan
    options = {"valid_share": 0.0, "processors": (Whole(),)}
    assert card(gbdt(**options).fit(data))["rows"] == {"train": T * N - T // 2, "valid": 0}
    found = np.isnan(trained(data, **options).predict(data))
    assert found[::2, 4].all()
    assert found.sum() == T // 2


def test_features_of_another_schema_are_refused():
    model = trained(panel())
    with pytest.raises(ConfigError, match="trained on features of schema s1 and is given s2"):
        model.on_features(features(np.ones((N, F)), "s2"))
    with pytest.raises(ConfigError, match="schema s1 and is given s2"):
        model.predict(msgspec.structs.replace(panel(), schema="s2"))


def test_a_damaged_or_foreign_artefact_is_refused_and_the_old_one_stays():
    model = trained(panel())
    before = model.on_features(features(np.ones((N, F))))
    good = gbdt().fit(panel(seed=2))
    for bad in (
        msgspec.structs.replace(good, files=good.files | {"model.txt": good.files["model.txt"] + b" "}),
        artefact_of({"weights.safetensors": b""}),
        artefact_of(good.files | {"model.json": msgspec.json.encode(card(good) | {"kind": "alstm"})}),
    ):
        with pytest.raises(StateError):
            model.swap(bad)
    assert model.on_features(features(np.ones((N, F)))).model_hash == before.model_hash


def test_saved_state_carries_the_trees():
    model, fresh = trained(panel()), gbdt(seed=1)
    fresh.load(model.save())
    x = features(np.random.default_rng(1).normal(size=(N, F)))
    np.testing.assert_array_equal(fresh.on_features(x).value, model.on_features(x).value)
    fresh.load(gbdt().save())
    assert fresh.on_features(x).model_hash == ""


def test_nothing_to_learn_from_is_one_clear_error():
    data = panel()
    with pytest.raises(ConfigError, match="none of the 120 slices has a name with both features and a label"):
        gbdt().fit(msgspec.structs.replace(data, label=np.full_like(data.label, np.nan)))


def test_zscore_labels_train_too():
    assert card(gbdt(label="zscore").fit(panel()))["label"] == "zscore"


def test_it_is_trainable_and_slow():
    assert isinstance(gbdt(), Trainable)
    assert Gbdt.slow_handlers == ("on_features",)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_leaves", 1),
        ("num_boost_round", 0),
        ("early_stopping_rounds", 0),
        ("min_data_in_leaf", 0),
        ("lambda_l2", -1.0),
        ("learning_rate", 0.0),
        ("feature_fraction", 1.5),
        ("valid_share", 0.6),
        ("label", "above"),
        ("objective", "l1"),
        ("grades", 1),
        ("grades", 32),
        ("max_depth", 0),
        ("lambda_l1", -0.1),
        ("bagging_fraction", 0.0),
        ("bagging_freq", -1),
        ("max_bin", 1),
        ("num_threads", 0),
        ("finetune_rounds", 0),
        ("horizon_ns", 0),
    ],
)
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        gbdt(**{option: value})
