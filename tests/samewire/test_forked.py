"""That what tests ask of a forked process is what an interpreter of its own says."""

import os
from pathlib import Path

import pytest

from tests.samewire.forked import ROOT, called

ENVIRON = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "90", "TERM": "dumb"}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", str(ROOT / "configs" / "market.yaml")], 0),
        (["check", "gone.yaml", "--format", "json"], 2),
        (["tap", "bars", "--dir", "."], 3),
        (["check", "mine.yaml"], 2),
    ],
)
def test_it_says_what_a_new_interpreter_says(arguments: list[str], code: int, merged: bool, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise RuntimeError('the first')\n")
    text = (ROOT / "configs" / "ema_cross.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("{use: sign}", "{use: 'mine:Own'}"))
    one, other = (called(arguments, tmp_path, ENVIRON, started=new, merged=merged) for new in (True, False))
    assert (other.returncode, other.stdout, other.stderr or None) == (code, one.stdout, one.stderr or None)
    assert one.returncode == code


def test_nothing_of_one_is_left_for_the_next(tmp_path: Path) -> None:
    """Written twice within a second and of the same length: byte code would tell the first."""
    text = (ROOT / "configs" / "ema_cross.yaml").read_text()
    (tmp_path / "run.yaml").write_text(text.replace("{use: sign}", "{use: 'mine:Own'}"))
    for said in ("the 1st", "the 2nd"):
        (tmp_path / "mine.py").write_text(f"raise RuntimeError({said!r})\n")
        assert said in called(["check", "run.yaml"], tmp_path, ENVIRON).stderr
