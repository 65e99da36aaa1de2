"""What is advised where no checkpoint is whole costs nothing that is."""

from pathlib import Path

import pytest
import torch

from components.rl.checkpoint import Checkpoints, Identity
from components.rl.trainer_teacher import FOLDER
from engine.errors import StateError

WHOLE = {"x": torch.ones(3)}


def test_a_teacher_that_has_learned_stays_where_its_students_checkpoints_are_removed_as_advised(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    teacher = Checkpoints(tmp_path / FOLDER, Identity(schema="t", course={}))
    student = Checkpoints(tmp_path, Identity(schema="s", course={}))
    teacher.write(9, WHOLE, {"done": True})
    for iteration in (1, 2, 3):
        student.write(iteration, WHOLE, {})
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(StateError, match="none of its 3 checkpoints can be gone on from") as caught:
        student.read()
    advice = str(caught.value).rpartition(": ")[2].split(", ")
    assert advice == ["iteration-000003.safetensors", "iteration-000002.safetensors", "latest.safetensors"]
    for name in advice:
        (tmp_path / name).unlink()
    assert student.read() is None
    found = teacher.read()
    assert found is not None
    assert (found[0], found[2]) == (9, {"done": True})
