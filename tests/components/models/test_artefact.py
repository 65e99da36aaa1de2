"""Artefacts on disk: whole or not at all, and no byte may differ."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.models.artefact import artefact_of, checked, read_artefact, restore_artefact, write_artefact
from engine.errors import StateError
from engine.protocols import Artefact
from tests.room import room_for

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


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    write_artefact(artefact_of(FILES), tmp_path / "m")
    for path in sorted((tmp_path / "m").iterdir()):
        whole = path.read_bytes()
        for length in range(0, len(whole), 3):
            path.write_bytes(whole[:length])
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
    with pytest.raises(StateError, match="too long"):
        write_artefact(artefact_of(too_long), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    write_artefact(artefact_of(FILES), tmp_path / "m")
    for name in ("model.txt", "MANIFEST.json"):
        kept = (tmp_path / "m" / name).read_bytes()
        (tmp_path / "m" / name).unlink()
        os.mkfifo(tmp_path / "m" / name)
        with pytest.raises(StateError, match=f"no file|its {name} is no file"):
            read_artefact(tmp_path / "m")
        (tmp_path / "m" / name).unlink()
        (tmp_path / "m" / name).write_bytes(kept)
    assert read_artefact(tmp_path / "m").files == FILES


@pytest.mark.parametrize("name", ["model.txt", "MANIFEST.json"])
def test_a_link_is_refused_though_it_leads_to_the_right_bytes(tmp_path, name):
    write_artefact(artefact_of(FILES), tmp_path / "m")
    (tmp_path / "m" / name).rename(tmp_path / name)
    (tmp_path / "m" / name).symlink_to(tmp_path / name)
    with pytest.raises(StateError, match=name):
        read_artefact(tmp_path / "m")


def test_what_a_killed_process_of_the_same_number_left_is_in_nobodys_way(tmp_path):
    artefact = artefact_of(FILES)
    left = tmp_path / f".m.{artefact.hash[:12]}.{os.getpid()}.0"
    left.mkdir()
    write_artefact(artefact, tmp_path / "m")
    assert read_artefact(tmp_path / "m").files == FILES
    assert left.is_dir()


_RACE = """
import sys
from pathlib import Path
from components.models.artefact import artefact_of, write_artefact
first, folder, raced = artefact_of({"a": b"1"}), Path(sys.argv[1]), []
def hook(event, arguments):
    if event == "os.rename" and not raced:
        raced.append(write_artefact(first, folder)) if raced.append(0) is None else None
sys.addaudithook(hook)
write_artefact(artefact_of({"a": sys.argv[2].encode()}), folder)
"""


@pytest.mark.parametrize(("mine", "said"), [("1", ""), ("2", "name another folder")])
def test_another_process_that_is_faster_is_no_error_unless_it_wrote_something_else(tmp_path, mine, said):
    command = [sys.executable, "-c", _RACE, str(tmp_path / "m"), mine]
    ran = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert ran.returncode == bool(said), ran.stderr
    assert said in ran.stderr
    assert read_artefact(tmp_path / "m").files == {"a": b"1"}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


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


def test_a_full_disk_is_told_with_the_place_and_leaves_nothing(tmp_path):
    artefact = artefact_of(FILES | {"weights": bytes(5000)})
    with room_for(1000), pytest.raises(StateError, match=r"models/gbdt: it cannot be written \(.*\); free some space"):
        write_artefact(artefact, tmp_path / "models" / "gbdt")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "models").write_text("notes")
    with pytest.raises(StateError, match="models/gbdt: it cannot be written .*; look at who may write there"):
        write_artefact(artefact_of(FILES), tmp_path / "models" / "gbdt")


@given(
    left=st.dictionaries(names, st.binary(max_size=3), min_size=1),
    right=st.dictionaries(names, st.binary(), min_size=1),
)
def test_the_hash_is_equal_exactly_when_names_and_contents_are(left, right):
    assert (artefact_of(left).hash == artefact_of(right).hash) == (left == right)


def test_a_damaged_folder_is_moved_aside_and_written_again(tmp_path: Path) -> None:
    whole = artefact_of(FILES)
    place = tmp_path / whole.hash
    for n in range(2):
        restore_artefact(whole, place)
        (place / "model.txt").write_bytes(b"damaged")
        restore_artefact(whole, place)
        assert read_artefact(place).files == FILES
        assert (tmp_path / f".{whole.hash}.damaged.{n}" / "model.txt").read_bytes() == b"damaged"
    restore_artefact(whole, place)
    assert len(list(tmp_path.iterdir())) == 3, "what is whole is left where it is"
