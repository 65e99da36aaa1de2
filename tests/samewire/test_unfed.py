"""`check` names what an optimizer reads of a feed that does not have it."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from samewire import run
from samewire.schema import load_run
from tests.adapters.files.made import CLOSE, by_symbol, market_rows, parquet
from tests.samewire.test_every_component import a_run


def portfolio(*constraints: Any, risk_model: str = "ledoit_wolf", **options: Any) -> dict[str, Any]:
    method = {"use": "composed", "objective": ["variance"], "constraints": list(constraints)}
    return {"use": "portfolio", "risk_model": risk_model, "method": method} | options


def of_file(folder: Path, **options: Any) -> dict[str, Any]:
    path = parquet(folder / "a.parquet", by_symbol(market_rows(20)))
    return {"use": "parquet", "path": str(path), "close": CLOSE} | options


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (portfolio({"use": "exposures", "min": 0, "max": 0}), "the matrix 'exposures', of which the feed names none"),
        (portfolio({"use": "beta", "min": 0, "max": 1, "reference": "betas"}), "the matrix 'betas'"),
        (portfolio({"use": "sectors", "max": 0.5}), "limits of sectors, and the feed has none"),
        (portfolio(benchmark="reference"), "the matrix 'benchmark'"),
        (portfolio(risk_model="given_factors"), "the matrix 'exposures'"),
    ],
)
def test_what_the_feed_lacks_is_named_before_anything_runs(tmp_path: Path, optimizer: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_run(a_run(feed=of_file(tmp_path), optimizer=optimizer))


def test_a_feed_that_has_it_is_good_and_one_of_the_user_s_own_is_believed(tmp_path: Path) -> None:
    exposures = {"use": "exposures", "min": 0, "max": 0}
    (tmp_path / "x.csv").write_text("date,symbol,size\n2018-01-02,AAA,1\n")
    feed = of_file(tmp_path, reference={"exposures": str(tmp_path / "x.csv")})
    load_run(a_run(feed=feed, optimizer=portfolio(exposures)))
    load_run(a_run(optimizer=portfolio({"use": "sectors", "max": 0.5})))  # the sample has sectors


@pytest.mark.parametrize(
    "constraint",
    [
        {"use": "benchmark_band", "deviation": 0.1},
        {"use": "sectors", "deviation": 0.1},
        {"use": "beta", "min": 0, "max": 1},
    ],
)
def test_what_counts_from_a_benchmark_wants_one(constraint: Any) -> None:
    with pytest.raises(ConfigError, match="benchmark must be equal, targets or reference"):
        load_run(a_run(optimizer=portfolio(constraint)))


def test_budgets_of_sectors_want_sectors_and_their_names(tmp_path: Path) -> None:
    parity = {"use": "risk_parity", "by": "sector", "budgets": {"Tehc": 2.0}}
    said = {"use": "portfolio", "risk_model": "ledoit_wolf", "method": parity}
    with pytest.raises(ConfigError, match="budgets of sectors, and the feed has none"):
        load_run(a_run(feed=of_file(tmp_path), optimizer=said))
    with pytest.raises(ConfigError, match="names the sector 'Tehc'; the feed has"):
        run(a_run(optimizer=said), out=tmp_path / "out")
