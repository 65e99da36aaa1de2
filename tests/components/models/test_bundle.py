"""An artefact's parts: what goes in comes out, and whatever does not belong is refused by name."""

import msgspec
import numpy as np
import pytest

from components.models.artefact import artefact_of, read_artefact, write_artefact
from components.models.bundle import Bundle, composed, dataset_digest, opened, tensors_in, tensors_of
from components.models.card import Card, Schema, Stage
from engine.errors import StateError
from engine.events import DAY_NS
from engine.protocols import Dataset
from tests.make import day


def card(**fields) -> Card:
    given = {
        "kind": "toy",
        "version": 1,
        "params": {"leaves": 3},
        "seed": 7,
        "threads": 1,
        "libraries": {"numpy": "2.0"},
        "since_ns": day(0),
        "until_ns": day(9),
        "label": "rank",
        "horizon_ns": 5 * DAY_NS,
        "slices": {"train": 8},
        "rows": {"train": 80},
        "size": {"trees": 2},
        "metrics": {"l2": 0.25, "ic": None},
        "importance": {"a": 2.0, "b": 5.0},
        "dataset": "ab" * 32,
    }
    return Card(**(given | fields))


def schema(**fields) -> Schema:
    given = {
        "schema": "s1",
        "features": ("a", "b"),
        "symbols": ("X", "Y", "Z"),
        "label": "rank",
        "horizon_ns": 5 * DAY_NS,
        "steps": 1,
        "processors": (
            Stage(kind="robust", options={"clip": 3.0}, frozen={"center": [2], "scale": [2]}),
            Stage(kind="rank", options={}, frozen={}),
        ),
    }
    return Schema(**(given | fields))


def bundle(**fields) -> Bundle:
    given = {
        "card": card(),
        "schema": schema(),
        "weights": {"model.txt": b"tree"},
        "frozen": ({"center": np.array([1.0, 2.0]), "scale": np.array([3.0, 4.0], np.float32)}, {}),
        "rows": np.array([[[1.0, np.nan], [3.0, 4.0]]], np.float32),
        "answers": np.array([0.5, -0.5]),
    }
    return Bundle(**(given | fields))


def with_file(name: str, content: bytes | None):
    """A whole artefact, rightly hashed, with one file another one or left out."""
    files = composed(bundle()).files | {name: content or b""}
    if content is None:
        del files[name]
    return artefact_of(files)


def test_the_parts_come_out_as_they_went_in(tmp_path):
    write_artefact(composed(bundle()), tmp_path / "m")
    back = opened(read_artefact(tmp_path / "m"), "gbdt")
    wanted = bundle()
    assert (back.card, back.schema, back.weights) == (wanted.card, wanted.schema, wanted.weights)
    np.testing.assert_array_equal(back.rows, wanted.rows)
    np.testing.assert_array_equal(back.answers, wanted.answers)
    for found, given in zip(back.frozen, wanted.frozen, strict=True):
        assert {*found} == {*given}
        for name, array in given.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
            assert not found[name].flags.writeable


def test_the_same_parts_are_the_same_bytes_and_every_part_counts():
    first = composed(bundle())
    assert composed(bundle()).hash == first.hash
    others = [
        bundle(card=card(seed=8)),
        bundle(schema=schema(symbols=())),
        bundle(weights={"weights.safetensors": b"tree"}),
        bundle(answers=np.array([0.5, -0.25])),
        bundle(frozen=({"center": np.array([1.0, 2.5]), "scale": np.array([3.0, 4.0])}, {})),
    ]
    assert len({first.hash, *(composed(other).hash for other in others)}) == 6


def test_without_statistics_there_is_no_file_of_them():
    files = composed(bundle(schema=schema(processors=()), frozen=())).files
    assert sorted(files) == ["card.md", "check.safetensors", "model.json", "model.txt", "schema.json"]
    assert sorted(composed(bundle()).files) == sorted([*files, "frozen.safetensors"])


@pytest.mark.parametrize("name", ["model.pkl", "weights.pt", "weights.json", "code.py", "Model.txt", "model..txt"])
def test_weights_of_other_names_are_not_written_and_not_opened(name):
    with pytest.raises(ValueError, match="weights are model.txt, weights.safetensors or parts of them"):
        composed(bundle(weights={name: b"x"}))
    with pytest.raises(StateError, match=f"gbdt: artefact [0-9a-f]{{12}} holds {name}, which no trained model has"):
        opened(with_file(name, b"x"), "gbdt")


@pytest.mark.parametrize("name", ["model.0.txt", "weights.encoder.safetensors"])
def test_weights_may_have_parts(name):
    assert opened(composed(bundle(weights={name: b"x"})), "gbdt").weights == {name: b"x"}


def test_weights_there_must_be():
    with pytest.raises(ValueError, match="got no file"):
        composed(bundle(weights={}))
    with pytest.raises(StateError, match="lacks its weights"):
        opened(with_file("model.txt", None), "gbdt")


@pytest.mark.parametrize("name", ["card.md", "check.safetensors", "model.json", "schema.json"])
def test_a_missing_part_is_named(name):
    with pytest.raises(StateError, match=f"lacks {name}; name one that this version trained"):
        opened(with_file(name, None), "gbdt")


@pytest.mark.parametrize("name", ["model.json", "schema.json", "check.safetensors", "frozen.safetensors"])
@pytest.mark.parametrize("content", [b"", b"null", b"[" * 9999, b"{}", b"\xff" * 40, b"\x80\x04\x95."])
def test_what_cannot_be_read_is_one_error(name, content):
    with pytest.raises(StateError, match=r"^gbdt: artefact [0-9a-f]{12}.*train it again$"):
        opened(with_file(name, content), "gbdt")


def forged(head: dict, body: bytes = bytes(16)) -> bytes:
    text = msgspec.json.encode(head)
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "content",
    [
        forged({"rows": {"dtype": "F32", "shape": [1, 2, 2], "data_offsets": [0, 99]}}),
        forged({"rows": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 16]}}),
        forged({"rows": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 16]}}),
        forged({"rows": {"dtype": "O", "shape": [2], "data_offsets": [0, 16]}}),
        forged({"rows": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}),
        forged({"rows": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
        (2**63).to_bytes(8, "little") + bytes(16),
        (2**20).to_bytes(8, "little") + b" " * 2**20,
    ],
    ids=["beyond the end", "overflow", "negative", "objects", "backwards", "bytes left", "long head", "blank head"],
)
def test_a_file_of_arrays_that_lies_about_itself_is_refused(content):
    with pytest.raises(StateError, match=r"^gbdt: artefact [0-9a-f]{12}: check.safetensors .*train it again$"):
        opened(with_file("check.safetensors", content), "gbdt")


def test_arrays_of_other_shapes_are_refused():
    rows = {"rows": np.zeros((1, 2, 3), np.float32), "answers": np.zeros(2)}
    with pytest.raises(StateError, match=r"check.safetensors: rows is of shape \(1, 2, 3\), not \(1, None, 2\)"):
        opened(with_file("check.safetensors", tensors_of(rows)), "gbdt")
    with pytest.raises(StateError, match=r"check.safetensors has no answers"):
        opened(with_file("check.safetensors", tensors_of({"rows": rows["rows"][:, :, :2]})), "gbdt")
    frozen = {"0.center": np.zeros(2), "0.scale": np.zeros(3)}
    with pytest.raises(StateError, match=r"frozen.safetensors: 0.scale is of shape \(3,\), not \(2,\)"):
        opened(with_file("frozen.safetensors", tensors_of(frozen)), "gbdt")
    for odd in ({"0.center": np.zeros(2)}, frozen | {"2.more": np.zeros(1)}):
        with pytest.raises(StateError, match=r"frozen.safetensors and schema.json differ in (0.scale|2.more)"):
            opened(with_file("frozen.safetensors", tensors_of(odd)), "gbdt")
    with pytest.raises(StateError, match=r"frozen.safetensors and schema.json differ in 0.center"):
        opened(with_file("frozen.safetensors", None), "gbdt")


def test_a_kind_that_is_no_text_is_refused_though_a_kind_may_be_anything_that_is():
    for name, value in (("kind", 3), ("params", []), ("metrics", {"a": "x"}), ("until_ns", 1.5)):
        found = msgspec.json.decode(composed(bundle()).files["model.json"]) | {name: value}
        with pytest.raises(StateError, match="cannot be read"):
            opened(with_file("model.json", msgspec.json.encode(found)), "gbdt")


def test_the_card_tells_people_what_the_files_say():
    text = composed(bundle()).files["card.md"].decode()
    for said in (
        "# A toy model (format 1)",
        "label `rank` over 5 days",
        "Training period: 2018-01-02 21:00:00Z to 2018-01-11 21:00:00Z",
        "Seed 7, threads 1, numpy 2.0",
        "ab" * 32,
        "Processor 0: robust clip 3",
        "| l2 | 0.25 |",
        "| ic | not a number |",
        "| leaves | 3 |",
    ):
        assert said in text
    assert text.index("| b | 5 |") < text.index("| a | 2 |")
    odd = composed(bundle(card=card(params={"a": "x|y\nz"}))).files["card.md"].decode()
    assert "| a | x/y z |" in odd


def test_arrays_of_any_order_and_size_are_kept():
    arrays = {
        "t": np.arange(6.0).reshape(2, 3).T,
        "none": np.zeros((0, 2)),
        "one": np.array(3),
        "bits": np.array([True]),
    }
    back = tensors_in(tensors_of(arrays), "x")
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype


def dataset(**fields) -> Dataset:
    ts = np.arange(3) * DAY_NS
    given = {
        "names": ("a",),
        "schema": "s",
        "ts": ts,
        "features": np.ones((3, 2, 1), np.float32),
        "label": np.ones((3, 2)),
        "label_from": ts,
        "label_to": ts + 1,
        "horizon_ns": 1,
    }
    return Dataset(**(given | fields))


def test_the_digest_covers_all_that_is_learned_from():
    ts = np.arange(3) * DAY_NS
    others = [
        dataset(),
        dataset(names=("b",)),
        dataset(schema="t"),
        dataset(ts=ts + 1),
        dataset(features=np.full((3, 2, 1), 2, np.float32)),
        dataset(features=np.ones((3, 1, 2), np.float32)),
        dataset(label=np.zeros((3, 2))),
        dataset(label_from=ts + 1),
        dataset(label_to=ts + 2),
        dataset(horizon_ns=2),
        dataset(symbols=("A", "B")),
        dataset(weight=np.ones((3, 2))),
        dataset(valid_from=1),
    ]
    assert len({dataset_digest(each) for each in others}) == len(others)
    assert dataset_digest(dataset()) == dataset_digest(dataset(features=np.ones((3, 2, 2), np.float32)[:, :, :1]))
