"""Names that doctests may use, where the market data is, and how the tests share the cores."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from engine import events
from tests import make

# How long an example takes says how busy the machine is. Tests that name no number of examples draw fifty;
# `--hypothesis-profile=long` draws what Hypothesis draws by default.
settings.register_profile("quick", settings(settings(), deadline=None, max_examples=50))
settings.register_profile("long", settings(settings(), deadline=None))
settings.load_profile("quick")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The cores that this process may use; on a single one the tests run in it, without workers."""
    del config
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores > 1 else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: a worker that begins one last would keep the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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
