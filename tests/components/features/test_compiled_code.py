"""Where compiled code is kept: beside the source, in a folder that is named, or one clear error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
FIRST_SLICE = """
from components.features.alpha158 import Alpha158
from engine.universe import universe_of
from tests.make import bars
Alpha158(universe=universe_of(("A",)), windows=(2,)).on_bars(bars(1, [1.0]))
"""
ONE_FUNCTION = """
import numpy as np
from components.features.alpha_kernel import derive
derive(np.ones((10, 2, 1)), 1, 2, np.arange(1))
"""


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A copy of the code in which nothing can be written beside the kernel."""
    for package in ("engine", "components"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "make.py", tmp_path / "tests" / "make.py")
    (tmp_path / "components" / "features" / "__pycache__").write_text("a file, where a folder would be made")
    return tmp_path


def ran(code: str, folder: Path, cache: str | None) -> subprocess.CompletedProcess[str]:
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "PYTHONPATH": str(folder)}
    env = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | nowhere
    env |= {} if cache is None else {"NUMBA_CACHE_DIR": cache}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_without_a_folder_the_error_says_what_to_set(sealed: Path) -> None:
    done = ran(FIRST_SLICE, sealed, None)
    assert done.returncode != 0
    assert "alpha158: there is no folder to keep compiled code in" in done.stderr
    assert "set NUMBA_CACHE_DIR to one that can be written" in done.stderr


def test_a_named_folder_keeps_it(sealed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "kept"
    done = ran(ONE_FUNCTION, sealed, str(cache))
    assert done.returncode == 0, done.stderr
    assert [path.name.partition("-")[0] for path in cache.rglob("*.nbc")] == ["alpha_kernel.derive"]
