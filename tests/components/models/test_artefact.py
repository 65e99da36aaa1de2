"""Artefacts on disk: whole or not at all, and no byte may differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.models.artefact import artefact_of, checked, read_artefact, write_artefact
from engine.errors import StateError
from engine.protocols import Artefact

FILES = {"model.txt": b"tree\n" * 20, "model.json": b'{"kind": "x"}'}
names = st.text("abc.", min_size=1, max_size=4).filter(lambda n: n not in (".", ".."))


def test_what_is_written_is_read(tmp_path):
    artefact = artefact_of(FILES)
    write_artefact(artefact, tmp_path / "models" / "gbdt")
    back = read_artefact(tmp_path / "models" / "gbdt")
    assert (back.hash, back.files) == (artefact.hash, FILES)
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == ["gbdt"]


def test_a_flipped_byte_anywhere_is_refused(tmp_path):
    write_artefact(artefact_of(FILES), tmp_path / "m")
    for path in sorted((tmp_path / "m").iterdir()):
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(StateError):
                read_artefact(tmp_path / "m")
        path.write_bytes(whole)
    assert read_artefact(tmp_path / "m").files == FILES


@pytest.mark.parametrize("name", ["model.txt", "MANIFEST.json"])
def test_a_missing_file_is_refused_by_name(tmp_path, name):
    write_artefact(artefact_of(FILES), tmp_path / "m")
    (tmp_path / "m" / name).unlink()
    with pytest.raises(StateError, match=name):
        read_artefact(tmp_path / "m")


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(StateError, match="name a folder that training wrote"):
        read_artefact(tmp_path / "nowhere")


def test_a_manifest_that_points_outside_the_folder_is_refused(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "m" / "MANIFEST.json").write_text('{"hash": "0", "files": {"../secret": "0"}}')
    with pytest.raises(StateError, match="outside the folder"):
        read_artefact(tmp_path / "m")


def test_writing_the_same_again_changes_nothing_and_another_is_refused(tmp_path):
    write_artefact(artefact_of(FILES), tmp_path / "m")
    write_artefact(artefact_of(FILES), tmp_path / "m")
    with pytest.raises(StateError, match="name another folder"):
        write_artefact(artefact_of({"model.txt": b"other"}), tmp_path / "m")


def test_a_failed_write_leaves_nothing(tmp_path):
    too_long = {"x" * 300: b"", "a": b"1"}
    with pytest.raises(OSError, match="too long"):
        write_artefact(artefact_of(too_long), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "MANIFEST.json", "a\0"])
def test_names_that_are_no_plain_names_are_refused(name):
    with pytest.raises(ValueError, match="cannot be a file's name"):
        artefact_of({name: b""})


def test_an_artefact_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one file"):
        artefact_of({})


def test_a_hash_that_is_not_that_of_the_files_is_refused():
    with pytest.raises(StateError, match="fetch or train it again"):
        checked(Artefact(hash="0" * 64, files=FILES))


@given(
    left=st.dictionaries(names, st.binary(max_size=3), min_size=1),
    right=st.dictionaries(names, st.binary(), min_size=1),
)
def test_the_hash_is_equal_exactly_when_names_and_contents_are(left, right):
    assert (artefact_of(left).hash == artefact_of(right).hash) == (left == right)
