"""The registry on disk: nothing is lost, half-written or replaced unseen."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.registry.folder import FolderRegistry
from components.models.artefact import artefact_of, read_artefact, write_artefact
from engine.errors import StateError
from samewire.artefacts import registry_at
from tests.adapters.registry.made import NEW, OLD, Ticking, one, two

ROOT = Path(__file__).parents[3]


def registry(folder: Path) -> FolderRegistry:
    return registry_at(folder, clock=Ticking())


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_the_history_is_json_lines_that_a_person_can_read(tmp_path):
    one(tmp_path)
    told = lines(tmp_path)
    assert [line["kind"] for line in told] == ["header", "register", "promote"]
    assert told[0]["facts"]["format"] == "samewire registry 1"
    assert told[2]["facts"] == {
        "name": "gbdt",
        "artefact": OLD.hash,
        "stage": "production",
        "actor": "ann",
        "reason": "first",
    }
    assert told[2]["prev"] == told[1]["hash"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artefacts", "history.jsonl", "lock"]
    assert read_artefact(tmp_path / "artefacts" / OLD.hash).files == OLD.files


def test_a_flipped_byte_of_any_file_is_refused_by_its_name(tmp_path):
    one(tmp_path)
    for path in sorted((tmp_path / "artefacts" / OLD.hash).iterdir()):
        whole = path.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(StateError) as told:
                registry(tmp_path).resolve("gbdt", "production")
            assert path.name in str(told.value) or path.name == "MANIFEST.json"
            assert OLD.hash in str(told.value)
            assert [str(told.value)] == list(registry(tmp_path).audit().faults)
        path.write_bytes(whole)
    assert registry(tmp_path).audit().faults == ()


def test_any_changed_byte_of_the_history_is_refused_by_its_line(tmp_path):
    two(tmp_path)
    path = tmp_path / "history.jsonl"
    whole = path.read_bytes()
    starts = [0, *(i + 1 for i, byte in enumerate(whole) if byte == 10)]
    first_kept = starts[1]  # the header tells one file from another and is in no chain: it has a hash of its own
    for at in [*range(0, len(whole) - 1, 7), first_kept - 2]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        line = sum(start <= at for start in starts)
        with pytest.raises(StateError, match=rf"history.jsonl: line {line}: .*; restore the file from a copy"):
            registry(tmp_path).resolve("gbdt", "production")
        with pytest.raises(StateError, match="history.jsonl: line"):
            two(tmp_path)
    path.write_bytes(whole)
    assert registry(tmp_path).resolve("gbdt", "production").hash == NEW.hash


def test_a_line_taken_out_is_missed(tmp_path):
    two(tmp_path)
    path = tmp_path / "history.jsonl"
    told = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*told[:1], *told[2:]]))
    with pytest.raises(StateError, match="line 2: removed"):
        registry(tmp_path).history("gbdt")


def test_a_history_cut_at_a_line_shows_beside_a_head_kept_elsewhere(tmp_path):
    one(tmp_path)
    two(tmp_path)
    head = registry(tmp_path).audit().head
    assert registry(tmp_path).audit(head).faults == ()
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert registry(tmp_path).audit().faults == ()
    (fault,) = registry(tmp_path).audit(head).faults
    assert "the history was cut or replaced" in fault


def test_a_line_half_written_at_any_byte_is_none_and_the_next_writer_says_so(tmp_path):
    one(tmp_path)
    path = tmp_path / "history.jsonl"
    before = path.read_bytes()
    two(tmp_path)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for at in [len(before) + 1, last, last + 1, (last + len(whole)) // 2, len(whole) - 1]:
        path.write_bytes(whole[:at])
        assert registry(tmp_path).resolve("gbdt", "production").hash == OLD.hash
        entry = registry(tmp_path).promote("gbdt", OLD.hash, "production", actor="ann", reason="again")
        assert registry(tmp_path).history("gbdt")[-1] == entry
        assert registry(tmp_path).audit().faults == ()
        assert [line["kind"] for line in lines(tmp_path)].count("cut") == (0 if at == last else 1)


def test_another_whole_artefact_in_the_place_of_one_is_refused(tmp_path):
    one(tmp_path)
    place = tmp_path / "artefacts" / OLD.hash
    place.rename(tmp_path / "away")
    write_artefact(NEW, place)
    with pytest.raises(StateError, match=f"it holds artefact {NEW.hash[:12]}; restore"):
        registry(tmp_path).resolve("gbdt", "production")


def test_a_damaged_artefact_is_not_promoted_and_not_registered_over(tmp_path):
    one(tmp_path)
    (tmp_path / "artefacts" / OLD.hash / "model.txt").write_bytes(b"x")
    with pytest.raises(StateError, match="model.txt is not the file that was written"):
        registry(tmp_path).promote("gbdt", OLD.hash, "production", actor="ann", reason="x")
    with pytest.raises(StateError, match="model.txt is not the file that was written"):
        registry(tmp_path).register("gbdt", OLD)
    assert len(registry(tmp_path).history("gbdt")) == 2


def test_a_planted_file_is_refused(tmp_path):
    one(tmp_path)
    (tmp_path / "artefacts" / OLD.hash / "weights.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(StateError, match="it holds weights.pkl, which its MANIFEST.json does not name"):
        registry(tmp_path).resolve("gbdt", "production")


def test_first_digits_name_an_artefact_when_they_name_one(tmp_path):
    two(tmp_path)
    assert registry(tmp_path).named(NEW.hash[:6]) == NEW.hash
    assert registry(tmp_path).named(NEW.hash) == NEW.hash
    for prefix in (NEW.hash[:5], "zzzzzz", "", "../" + NEW.hash[:8], NEW.hash + "0"):
        with pytest.raises(StateError):
            registry(tmp_path).named(prefix)
    other = NEW.hash[:-1] + ("0" if NEW.hash[-1] != "0" else "1")
    with pytest.raises(StateError, match="no artefact begins with"):
        registry(tmp_path).named(other)
    with pytest.raises(StateError, match="is no hash of an artefact"):
        registry(tmp_path).artefact("../../etc")


def test_what_no_line_names_is_told_and_half_written_folders_go_with_the_next_registration(tmp_path):
    one(tmp_path)
    (tmp_path / "artefacts" / f".{NEW.hash}.half").mkdir()
    write_artefact(NEW, tmp_path / "artefacts" / NEW.hash)
    audit = registry(tmp_path).audit()
    assert (audit.faults, audit.artefacts) == ((), 1)
    assert audit.left == (f"artefacts/.{NEW.hash}.half", f"artefacts/{NEW.hash}")
    two(tmp_path)
    assert registry(tmp_path).audit().left == ()
    assert registry(tmp_path).audit().artefacts == 2


def child(code: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_kill_at_any_access_leaves_the_state_of_before_or_of_after(tmp_path):
    command = [sys.executable, "-m", "tests.adapters.registry.made", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    kills, states = ran.stdout.split(" ", 1)
    assert int(kills) > 15
    assert json.loads(states) == [2, 3, 4]  # nothing yet; registered; promoted


_MANY = """
import sys
from pathlib import Path
from components.models.artefact import artefact_of
from engine.clock import SystemClock
from samewire.artefacts import registry_at
registry = registry_at(Path(sys.argv[1]), clock=SystemClock())
for k in range(12):
    artefact = artefact_of({"model.txt": f"{k % 6}".encode()})
    registry.register("gbdt", artefact)
    registry.promote("gbdt", artefact.hash, "production", actor=sys.argv[2], reason=str(k))
"""


def test_three_processes_at_once_lose_no_line(tmp_path):
    children = [child(_MANY, tmp_path, f"p{k}") for k in range(3)]
    for each in children:
        _, said = each.communicate()
        assert each.returncode == 0, said
    found = registry(tmp_path)
    assert (found.audit().faults, found.audit().left, found.audit().artefacts) == ((), (), 6)
    promotions = [entry for entry in found.history("gbdt") if entry.stage == "production"]
    for k in range(3):
        assert [entry.reason for entry in promotions if entry.actor == f"p{k}"] == [str(i) for i in range(12)]
    assert len(found.history("gbdt")) == 36 + 6


_FULL = """
import resource, signal, sys
from pathlib import Path
from components.models.artefact import artefact_of
from samewire.artefacts import registry_at
from tests.adapters.registry.made import NEW, OLD, Ticking
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
registry = registry_at(folder, clock=Ticking())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    registry.register("gbdt", NEW)
    registry.promote("gbdt", NEW.hash, "production", actor="ann", reason="x" * 1500)
except OSError as error:
    print("full", error.errno)
"""


@pytest.mark.parametrize("room", ["artefact", "line"])
def test_no_room_left_leaves_what_was(tmp_path, room):
    """A limit on the size of files stands in for a full disk: writes come back short, then fail."""
    one(tmp_path)
    before = (tmp_path / "history.jsonl").read_bytes()
    limit = 100 if room == "artefact" else len(before) + 600
    done = child(_FULL, tmp_path, limit)
    said, errors = done.communicate()
    assert said.startswith("full"), errors
    assert registry(tmp_path).resolve("gbdt", "production").hash == OLD.hash
    assert registry(tmp_path).audit().faults == ()
    after = (tmp_path / "history.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.endswith(b"\n")
    assert len(registry(tmp_path).history("gbdt")) == (2 if room == "artefact" else 3)
    assert not list((tmp_path / "artefacts").glob(".*"))
    two(tmp_path)
    assert registry(tmp_path).resolve("gbdt", "production").hash == NEW.hash


def test_an_artefact_that_is_killed_while_it_is_saved_is_not_there_and_can_be_saved_again(tmp_path):
    """A real kill between two of its files, wherever the process happens to be."""
    big = "artefact_of({f'model.{k}.txt': bytes(200_000) for k in range(200)})"
    code = (
        "import sys; from pathlib import Path; from components.models.artefact import artefact_of, write_artefact;"
        f"made = {big}; print(made.hash, flush=True); write_artefact(made, Path(sys.argv[1]) / 'm')"
    )
    for _ in range(3):
        running = child(code, tmp_path)
        assert running.stdout is not None
        running.stdout.readline()
        while running.poll() is None and not list(tmp_path.glob(".m.*")):
            os.sched_yield()
        running.send_signal(signal.SIGKILL)
        running.communicate()
        if running.returncode == -signal.SIGKILL and not (tmp_path / "m").exists():
            break
    else:
        pytest.skip("this machine writes faster than it kills")
    with pytest.raises(StateError, match="no artefact can be read"):
        read_artefact(tmp_path / "m")
    made = artefact_of({"model.0.txt": b"x"})
    write_artefact(made, tmp_path / "m")
    assert read_artefact(tmp_path / "m").hash == made.hash


def test_a_history_grows_for_years_without_becoming_slow(tmp_path):
    one(tmp_path)
    found = registry(tmp_path)
    for k in range(60):
        found.promote("gbdt", OLD.hash, "production", actor="ann", reason=str(k))
    spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for _ in range(20):
        found.holder("gbdt", "production")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - spent < 1.0


def test_what_serves_is_what_holder_says_and_none_where_nothing_does(tmp_path):
    found = registry(tmp_path)
    assert found.serving("gbdt", "production") is None
    one(tmp_path)
    assert found.serving("gbdt", "production") == found.holder("gbdt", "production")
    two(tmp_path)
    assert found.serving("gbdt", "production").artefact == NEW.hash
    found.promote("gbdt", NEW.hash, "retired", actor="ann", reason="worse")
    assert found.serving("gbdt", "production") is None
    assert found.serving("other", "production") is None
