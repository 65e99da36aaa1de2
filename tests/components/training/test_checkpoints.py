"""A training's state on disk: whole, or that of before."""

from pathlib import Path

import pytest
import torch

from components.training.checkpoints import read_checkpoint, write_checkpoint
from engine.errors import StateError
from tests.room import room_for


def test_a_full_disk_is_told_and_the_last_state_stays(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"w": torch.ones(3)}, {"epoch": 1})
    with room_for(1000), pytest.raises(StateError, match=r"epoch.safetensors: it cannot be written .*free some space"):
        write_checkpoint(tmp_path, {"w": torch.ones(3000)}, {"epoch": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["epoch.safetensors"]
    body, said = read_checkpoint(tmp_path) or ({}, {})
    assert said == {"epoch": 1}
    assert body["w"].tolist() == [1, 1, 1]


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"gone/epoch.safetensors: it cannot be written \(No such file"):
        write_checkpoint(tmp_path / "gone", {"w": torch.ones(3)}, {})
