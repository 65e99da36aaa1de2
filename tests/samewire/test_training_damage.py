"""A byte of the store that changed on its disk costs the training again, and no more."""

from pathlib import Path

import pytest

from tests.samewire.test_training import a_run, kept, trained


@pytest.mark.parametrize("where", ["content", "artefacts"])
def test_a_store_with_a_damaged_file_heals(where: str, tmp_path: Path) -> None:
    run = a_run(tmp_path, {"split": {"use": "fixed", "until": "2018-02-28"}})
    first = trained(run)
    for path in [path for path in (first.store / where).rglob("*") if path.is_file()]:
        flipped = bytearray(path.read_bytes())
        flipped[len(flipped) // 2] ^= 1
        path.write_bytes(flipped)
    again = trained(run)
    assert (again.ok, [task.reused for task in again.tasks]) == (True, [False])
    assert kept(again) == kept(first)
    assert [task.reused for task in trained(run).tasks] == [True]
