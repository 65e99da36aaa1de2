"""Names that doctests may use, and where the market data is."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import events
from tests import make


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.update({name: getattr(events, name) for name in events.__dict__ if not name.startswith("_")})
    doctest_namespace.update({name: getattr(make, name) for name in make.__dict__ if not name.startswith("_")})
    doctest_namespace["np"] = np


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The market data folder; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("SAMEWIRE_DATA", Path(__file__).parent.parent / "shared" / "data"))
    if not (folder / "sp500_daily_2013_2018.parquet").is_file():
        pytest.skip(f"no market data in {folder}; set SAMEWIRE_DATA to the folder that holds it")
    return folder
