"""Where the oracle data is. With the data folder present there is no reason to skip."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def oracles(data_dir: Path) -> Path:
    """The folder of the oracle cases; where the market data is, it has to be there too."""
    folder = data_dir / "oracles"
    assert (folder / "expected_fills.csv").is_file(), f"{folder}: the data folder lacks the oracle cases"
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test of this folder that skips although the data is there has failed."""
    report = yield
    given = Path(os.environ.get("SAMEWIRE_DATA", item.config.rootpath.parent / "shared" / "data"))
    if report.skipped and given.is_dir():
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped although {given} is there: {report.longrepr}"
    return report
