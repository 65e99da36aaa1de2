"""Panels as files: what was written is what is mapped, named by its content, and swept when nobody reads it."""

from pathlib import Path

import numpy as np
import pytest

from adapters.tracking.panel_file import Card, PanelWriter, held, read_panel
from engine.errors import StateError

CARD = Card(names=("a", "b"), schema="s", symbols=("X", "Y", "Z"), interval_ns=10, slices=4, horizons=(1,))
TS = np.arange(4) * 10
LABELS = {1: (np.arange(12.0).reshape(4, 3), TS + 1, TS + 12)}


def written(folder: Path, features: np.ndarray) -> Path:
    writer = PanelWriter(folder)
    for ts, value in zip(TS, features, strict=True):
        writer.write(int(ts), value)
    return writer.end(CARD, TS, LABELS)


def test_a_panel_is_mapped_as_it_was_written(tmp_path: Path) -> None:
    features = np.random.default_rng(1).normal(size=(4, 3, 2)).astype(np.float32)
    features[1, 1, 1] = np.nan
    place = written(tmp_path, features)
    panel = read_panel(place)
    np.testing.assert_array_equal(panel.features, features)
    np.testing.assert_array_equal(panel.ts, TS)
    np.testing.assert_array_equal(panel.labels[1][0], LABELS[1][0])
    assert (panel.card, panel.hash) == (CARD, place.name)
    assert isinstance(panel.features.base, np.memmap)
    assert not panel.features.flags.writeable


def test_the_name_is_that_of_the_content_and_a_slice_has_a_digest_of_its_own(tmp_path: Path) -> None:
    features = np.zeros((4, 3, 2), np.float32)
    first = written(tmp_path, features)
    assert written(tmp_path, features) == first
    before = read_panel(first).digests.copy()
    features[2, 0, 0] = 1
    second = written(tmp_path, features)
    assert second != first
    assert (read_panel(second).digests != before).any(axis=1).tolist() == [False, False, True, False]


def test_a_panel_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    place = written(tmp_path, np.zeros((4, 3, 2), np.float32))
    (place / "features.f32").write_bytes(b"\0" * 92)
    with pytest.raises(StateError, match="features.f32 has 92 bytes and should have 96"):
        read_panel(place)
    with pytest.raises(StateError, match="no panel can be read"):
        read_panel(tmp_path / "none")


@pytest.mark.parametrize("name", ["features.f32", "ts.i64", "digests.u8", "label_1.f64", "until_1.i64", "panel.json"])
@pytest.mark.parametrize("how", ["zeroed", "cut", "gone"])
def test_a_panel_that_was_left_damaged_is_written_anew(name: str, how: str, tmp_path: Path) -> None:
    """As a power cut leaves files that were renamed before they were on the disk: of zeros, say."""
    features = np.random.default_rng(1).normal(size=(4, 3, 2)).astype(np.float32)
    place = written(tmp_path, features)
    content = (place / name).read_bytes()
    damaged = {"zeroed": content[:-8] + bytes(8), "cut": content[:-1], "gone": None}[how]
    (place / name).unlink()
    if damaged is not None:
        (place / name).write_bytes(damaged)
    assert written(tmp_path, features) == place
    assert (place / name).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


def test_a_panel_that_is_whole_stays(tmp_path: Path) -> None:
    features = np.zeros((4, 3, 2), np.float32)
    place = written(tmp_path, features)
    before = (place / "features.f32").stat().st_ino
    written(tmp_path, features)
    assert (place / "features.f32").stat().st_ino == before


def test_the_last_to_leave_sweeps(tmp_path: Path) -> None:
    with held(tmp_path):
        place = written(tmp_path, np.zeros((4, 3, 2), np.float32))
        with held(tmp_path):
            pass
        assert place.is_dir()
    assert not place.exists()
