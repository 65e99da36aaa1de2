"""What trees may learn, how rows count, and going on from what was learned."""

import msgspec
import numpy as np
import pytest

from components.models.artefact import artefact_of
from components.models.gbdt import Gbdt, importance
from components.models.gbdt_trees import library
from components.models.labels import above, graded
from components.processors.cs_rank import CsRank
from components.processors.robust_zscore import RobustZscore
from components.training.reweighting import Decay, EvenSlices
from engine.errors import ConfigError, StateError
from engine.learning import Metric
from tests.components.models.test_gbdt import F, N, T, card, cut, days_later, features, gbdt, panel, trained
from tests.room import room_for

QUICK = {"num_boost_round": 8, "min_data_in_leaf": 10, "num_leaves": 5}


def ic(model: Gbdt, data) -> float:
    known = np.isfinite(data.label) & np.isfinite(model.predict(data))
    return float(np.corrcoef(model.predict(data)[known], data.label[known])[0, 1])


@pytest.mark.parametrize("objective", ["mse", "binary", "lambdarank", "rank_xendcg"])
def test_every_objective_finds_the_signal_and_answers_history_as_it_does_slices(objective):
    past, future = cut(panel(), slice(0, 80)), cut(panel(), slice(85, T))
    model = trained(past, objective=objective)
    assert ic(model, future) > 0.3
    history = model.predict(future)
    for t in (0, 7, len(future.ts) - 1):
        np.testing.assert_array_equal(model.on_features(features(future.features[t])).value, history[t])


def test_binary_answers_with_a_probability_and_is_that_of_the_library():
    data = panel(holes=0.0)
    model = gbdt(objective="binary")
    artefact = model.fit(data)
    model.swap(artefact)
    value = model.predict(data)
    assert 0 < value.min() < 0.5 < value.max() < 1
    booster = library().Booster(model_str=artefact.files["model.txt"].decode())
    np.testing.assert_array_equal(value.ravel(), booster.predict(data.features.reshape(-1, F), num_threads=1))
    assert card(artefact)["label"] == "above"


def test_ranking_learns_within_slices_only():
    """A level that is the same for all names of a slice changes nothing that a ranking learns."""
    data = panel()
    moved = msgspec.structs.replace(data, label=data.label + 5.0 * np.arange(T)[:, None])
    for objective in ("lambdarank", "rank_xendcg", "binary"):
        one, other = (gbdt(objective=objective, **QUICK).fit(each).files["model.txt"] for each in (data, moved))
        assert one == other
    raw = [gbdt(label="raw", **QUICK).fit(each).files["model.txt"] for each in (data, moved)]
    assert raw[0] != raw[1]


def test_raw_labels_give_answers_of_the_size_of_returns():
    data = panel(holes=0.0)
    data = msgspec.structs.replace(data, label=0.01 * data.label + 0.5)
    model = trained(data, label="raw")
    assert abs(model.predict(data).mean() - 0.5) < 0.01
    assert card(gbdt(label="raw", **QUICK).fit(data))["label"] == "raw"


def test_rounds_are_told_one_by_one_and_the_card_keeps_those_of_the_last_tree():
    told: list[Metric] = []
    artefact = gbdt().fit(panel(), on_metric=told.append)
    assert [m.name for m in told[:2]] == ["l2_train", "l2_valid"]
    assert [m.step for m in told[::2]] == list(range(len(told) // 2))
    last = card(artefact)["size"]["trees"] - 1
    assert card(artefact)["metrics"] == {m.name: m.value for m in told if m.step == last}
    assert artefact.hash == gbdt().fit(panel()).hash  # telling changes nothing


def test_stopping_looks_at_the_held_out_part_and_never_at_the_rows_it_learns_from():
    artefact = gbdt(num_boost_round=300, early_stopping_rounds=3).fit(panel(strength=0.2))
    assert card(artefact)["size"]["trees"] < 100


def test_the_dataset_says_what_is_held_out():
    data = panel()
    artefact = gbdt(valid_share=0.0).fit(msgspec.structs.replace(data, valid_from=int(data.ts[90])))
    assert card(artefact)["slices"] == {"train": 89, "valid": 30}
    with pytest.raises(ConfigError, match="gbdt: all 120 slices are held out"):
        gbdt().fit(msgspec.structs.replace(data, valid_from=0))


def test_a_share_that_holds_out_nothing_is_an_error_and_no_training_without_an_end():
    short = cut(panel(holes=0.0), slice(0, 4))
    with pytest.raises(
        ConfigError, match=r"gbdt: valid_share 0.2 of 4 slices with labels holds out none; train on longer history"
    ):
        gbdt(valid_share=0.2, **QUICK).fit(short)
    assert card(gbdt(valid_share=0.0, **QUICK).fit(short))["size"]["trees"] == QUICK["num_boost_round"]


def test_weights_count():
    data = panel(holes=0.0)
    flipped = data.label.copy()
    flipped[:60] *= -1
    data = msgspec.structs.replace(data, label=flipped)
    late = np.repeat((np.arange(T) >= 60).astype(float)[:, None], N, axis=1)
    model = trained(msgspec.structs.replace(data, weight=late), valid_share=0.0)
    assert ic(model, cut(data, slice(60, T))) > 0.4
    cutoff = gbdt(valid_share=0.0).fit(cut(data, slice(60, T)))
    weighed = gbdt(valid_share=0.0).fit(msgspec.structs.replace(data, weight=late))
    assert card(weighed)["rows"] == card(cutoff)["rows"]


def test_reweighters_change_the_trees_and_stand_in_the_card():
    plain = gbdt(**QUICK).fit(panel())
    decayed = gbdt(reweighter=Decay(half_life=10), **QUICK).fit(panel())
    even = gbdt(reweighter=EvenSlices(), **QUICK).fit(panel())
    assert len({a.files["model.txt"] for a in (plain, decayed, even)}) == 3
    assert card(decayed)["params"]["reweighter"] == ["Decay", {"half_life": 10}]
    assert card(plain)["params"]["reweighter"] is None


def test_all_weights_zero_is_one_clear_error():
    data = msgspec.structs.replace(panel(), weight=np.zeros((T, N)))
    with pytest.raises(ConfigError, match="gbdt: the weights of all rows are zero"):
        gbdt().fit(data)


# ---- bins ------------------------------------------------------------------------------------------------------------


def test_bins_that_were_kept_change_no_byte(tmp_path):
    data, folder = panel(), tmp_path / "bins"
    for objective in ("mse", "lambdarank"):
        fresh = gbdt(objective=objective, **QUICK).fit(data).hash
        assert [gbdt(objective=objective, bins=folder, **QUICK).fit(data).hash for _ in range(2)] == [fresh, fresh]
    kept = sorted(path.name for path in folder.iterdir())
    assert [name.partition(".")[2] for name in kept] == [
        "bin",
        "blake3",
    ]  # of the same rows, whatever is learned from them
    gbdt(bins=folder, seed=9, **(QUICK | {"num_leaves": 3, "min_data_in_leaf": 30})).fit(data)
    assert sorted(path.name for path in folder.iterdir()) == kept
    gbdt(bins=folder, max_bin=15, **QUICK).fit(data)
    gbdt(bins=folder, **QUICK).fit(panel(seed=1))
    assert len(list(folder.glob("*.bin"))) == 3


def test_other_labels_on_kept_bins_are_the_labels_that_are_learned(tmp_path):
    data = panel()
    other = msgspec.structs.replace(data, label=-data.label, weight=np.random.default_rng(0).random((T, N)) + 0.5)
    gbdt(bins=tmp_path, **QUICK).fit(data)
    assert gbdt(bins=tmp_path, **QUICK).fit(other).hash == gbdt(**QUICK).fit(other).hash
    assert gbdt(bins=tmp_path, **QUICK).fit(data).hash == gbdt(**QUICK).fit(data).hash


def test_bins_that_cannot_be_read_are_made_again(tmp_path):
    fresh = gbdt(bins=tmp_path, **QUICK).fit(panel()).hash
    (kept,) = tmp_path.glob("*.bin")
    whole = kept.read_bytes()
    kept.write_bytes(b"no bins at all")
    assert gbdt(bins=tmp_path, **QUICK).fit(panel()).hash == fresh
    assert kept.read_bytes() == whole


def test_bins_with_a_changed_byte_are_made_again(tmp_path):
    """Most such bytes are read without complaint, and other trees come of them."""
    fresh = gbdt(bins=tmp_path, **QUICK).fit(panel()).hash
    (kept,) = tmp_path.glob("*.bin")
    whole = kept.read_bytes()
    for share in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        at = int(share * len(whole))
        kept.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        assert gbdt(bins=tmp_path, **QUICK).fit(panel()).hash == fresh
        assert kept.read_bytes() == whole


def test_bins_whose_hash_is_missing_or_another_are_made_again(tmp_path):
    fresh = gbdt(bins=tmp_path, **QUICK).fit(panel()).hash
    (kept,), (beside,) = tmp_path.glob("*.bin"), tmp_path.glob("*.blake3")
    said = beside.read_text()
    for spoil in (beside.unlink, lambda: beside.write_bytes(b"\xff\x00"), lambda: beside.write_text("0" * 64)):
        spoil()
        kept.write_bytes(b"no bins at all")
        assert gbdt(bins=tmp_path, **QUICK).fit(panel()).hash == fresh
        assert beside.read_text() == said


@pytest.mark.parametrize("size", [100, 5_000, 22_639])
def test_bins_that_find_no_room_are_one_clear_error_and_leave_nothing(tmp_path, size):
    folder = tmp_path / "bins"
    with (
        room_for(size),
        pytest.raises(StateError, match="bins cannot be kept there .*another folder with `bins`"),
    ):
        gbdt(bins=folder, **QUICK).fit(panel())
    assert list(folder.iterdir()) == []
    whole = gbdt(bins=folder, **QUICK).fit(panel())
    assert whole.hash == gbdt(**QUICK).fit(panel()).hash
    (kept,) = folder.glob("*.bin")
    assert kept.stat().st_size > size


def test_a_folder_for_bins_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "bins").write_text("")
    with pytest.raises(StateError, match="bins/.*it cannot be written"):
        gbdt(bins=tmp_path / "bins", **QUICK).fit(panel())


# ---- going on --------------------------------------------------------------------------------------------------------


def test_finetuning_on_what_the_artefact_has_seen_stops_by_none_of_it():
    data = panel()
    first = gbdt(**QUICK).fit(data)
    with pytest.raises(ConfigError, match="are held out to stop by, and the artefact to go on from has learned until"):
        gbdt(**QUICK).finetune(panel(seed=1), first)
    half = len(data.ts) // 2
    early = cut(data, slice(0, half))
    seen = gbdt(**QUICK).fit(early)
    later = int(np.searchsorted(data.ts, early.label_to.max()))  # the first slice that knew all that it learned from
    held_out = gbdt(**QUICK).finetune(msgspec.structs.replace(data, valid_from=int(data.ts[later])), seen)
    assert card(held_out)["rows"]["valid"] > 0
    with pytest.raises(ConfigError, match="held out to stop by"):
        gbdt(**QUICK).finetune(msgspec.structs.replace(data, valid_from=int(data.ts[later - 1])), seen)
    assert card(gbdt(**QUICK, valid_share=0.0).finetune(data, first))["rows"]["valid"] == 0


def test_finetuning_adds_trees_to_those_that_there_are():
    first = gbdt(**QUICK).fit(panel())
    more = gbdt(finetune_rounds=4, **QUICK).finetune(days_later(panel(seed=1)), first)
    before, after = (a.files["model.txt"].decode() for a in (first, more))
    count = card(first)["size"]["trees"]
    assert card(more)["size"]["trees"] == count + 4

    def trees(text: str, n: int) -> list[str]:
        return [t.partition("\nend of trees")[0].strip() for t in text.split("\nTree=")[1 : n + 1]]

    assert trees(after, count) == trees(before, count)
    assert card(more)["params"]["went_on_from"] == first.hash
    model = gbdt()
    model.swap(more)
    assert np.isfinite(model.predict(panel(holes=0.0))).all()


def test_finetuning_on_the_same_rows_equals_more_rounds():
    both = QUICK | {"valid_share": 0.0}
    longer = gbdt(**(both | {"num_boost_round": 12})).fit(panel())
    more = gbdt(finetune_rounds=4, **both).finetune(panel(), gbdt(**both).fit(panel()))
    models = [gbdt(), gbdt()]
    for model, artefact in zip(models, (longer, more), strict=True):
        model.swap(artefact)
    np.testing.assert_allclose(models[0].predict(panel()), models[1].predict(panel()), atol=1e-9)


def test_finetuning_of_another_kind_or_other_features_is_refused():
    first = gbdt(**QUICK).fit(panel())
    with pytest.raises(ConfigError, match="trained on features of schema s1 and is given s2"):
        gbdt().finetune(msgspec.structs.replace(panel(), schema="s2"), first)
    with pytest.raises(StateError):
        gbdt().finetune(panel(), artefact_of({"model.txt": b"tree"}))


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ({"objective": "binary"}, {}, "its objective is mse, and the artefact to go on from learned with binary"),
        ({}, {"objective": "lambdarank"}, "its objective is lambdarank, and the artefact .* learned with mse"),
        ({}, {"label": "raw"}, "its label is raw, and the artefact to go on from learned with rank"),
        (
            {"objective": "lambdarank"},
            {"objective": "lambdarank", "grades": 3},
            "its grades is 3, and the artefact to go on from learned with 5; set the option",
        ),
    ],
)
def test_finetuning_of_trees_that_learned_something_else_is_refused(first, then, told):
    with pytest.raises(ConfigError, match="gbdt: " + told):
        gbdt(**QUICK, **then).finetune(panel(), gbdt(**QUICK, **first).fit(panel()))
    again = gbdt(**QUICK, **first)
    again.swap(again.finetune(days_later(panel()), again.fit(panel())))


def test_finetuned_trees_say_what_all_of_them_learned_from():
    data = panel()
    half = len(data.ts) // 2
    late, early = cut(data, slice(half, None)), cut(data, slice(None, half))
    first = gbdt(**QUICK).fit(late)
    more = card(gbdt(**QUICK, valid_share=0.0).finetune(early, first))
    assert (more["since_ns"], more["until_ns"]) == (int(early.ts[0]), int(late.label_to.max()))
    longer = msgspec.structs.replace(data, horizon_ns=5 * data.horizon_ns)
    with pytest.raises(ConfigError, match="its horizon_ns is .*, and the artefact to go on from learned with"):
        gbdt(**QUICK).finetune(longer, first)


# ---- what it says of features ----------------------------------------------------------------------------------------


def test_importance_names_the_feature_that_matters():
    artefact = gbdt().fit(panel())
    found = importance(artefact)
    assert list(found) == ["gain", "split"]
    assert list(found["gain"]) == ["a", "b", "c", "d"]
    assert max(found["gain"], key=found["gain"].get) == "a"
    assert found["gain"] == card(artefact)["importance"]
    text = artefact.files["model.txt"].decode()
    nodes = [int(v) for line in text.splitlines() if line.startswith("split_feature=") for v in line[14:].split()]
    assert found["split"] == {name: float(nodes.count(k)) for k, name in enumerate("abcd")}


# ---- rows that say little --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["mse", "binary", "lambdarank", "rank_xendcg"])
def test_columns_that_nobody_knows_are_left_alone(objective):
    data = panel(holes=0.0)
    data.features[:, :, :2] = np.nan
    model = trained(data, objective=objective, **QUICK)
    assert np.isfinite(model.predict(data)).all()


@pytest.mark.parametrize("objective", ["mse", "binary", "lambdarank", "rank_xendcg"])
def test_trees_that_never_split_are_an_error_and_no_model(objective):
    data = panel(holes=0.0)
    few = r"gbdt: once it had learned it answered all \d+ rows .* tells no name from another; .*min_data_in_leaf"
    with pytest.raises(ConfigError, match=few):
        gbdt(objective=objective, **(QUICK | {"min_data_in_leaf": 5000})).fit(data)


def test_one_symbol_learns_from_what_it_returned():
    rng = np.random.default_rng(0)
    data = panel(holes=0.0)
    x = rng.normal(size=(T, 1, F)).astype(np.float32)
    data = msgspec.structs.replace(data, features=x, label=0.01 * x[..., 0].astype(float))
    model = gbdt(1, label="raw", **QUICK)
    model.swap(model.fit(data))
    assert ic(model, data) > 0.5


def test_labels_whose_slices_lie_beyond_the_end_are_not_rows():
    data = panel()
    data.label[100:] = np.nan
    artefact = gbdt(valid_share=0.0, **QUICK).fit(data)
    short = gbdt(valid_share=0.0, **QUICK).fit(cut(data, slice(0, 100)))
    assert artefact.files["model.txt"] == short.files["model.txt"]


def test_labels_of_two_kinds():
    label = np.array([[0.1, 0.2, 0.3, 0.4, np.nan, 0.0]])
    np.testing.assert_array_equal(above(label), [[0, 0, 1, 1, np.nan, 0]])
    np.testing.assert_array_equal(graded(label, 5), [[1, 2, 3, 4, np.nan, 0]])
    np.testing.assert_array_equal(above(np.full((1, 3), np.nan)), np.full((1, 3), np.nan))


# ---- behind processors -----------------------------------------------------------------------------------------------


def test_processors_are_frozen_on_the_rows_that_are_learned_from_and_applied_alike_everywhere():
    data = panel()
    behind = {"processors": (RobustZscore(), CsRank()), **QUICK}
    model = gbdt(**behind)
    artefact = model.fit(data)
    model.swap(artefact)
    history = model.predict(data)
    for t in (0, 50, T - 1):
        np.testing.assert_array_equal(model.on_features(features(data.features[t])).value, history[t])
    held_out = data.features.copy()
    held_out[T - int(T * 0.2) :] *= 100.0
    other = gbdt(**behind).fit(msgspec.structs.replace(data, features=held_out))
    assert other.files["frozen.safetensors"] == artefact.files["frozen.safetensors"]


def test_finetuning_applies_what_processors_froze_before():
    behind = {"processors": (RobustZscore(),), **QUICK}
    first = gbdt(**behind).fit(panel())
    later = days_later(panel(seed=1))
    moved = msgspec.structs.replace(later, features=later.features * np.float32(3.0))
    more = gbdt(**behind).finetune(moved, first)
    assert more.files["frozen.safetensors"] == first.files["frozen.safetensors"]
    assert gbdt(**behind).fit(moved).files["frozen.safetensors"] != first.files["frozen.safetensors"]
