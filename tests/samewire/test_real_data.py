"""The S&P 500 names of 2018 over five years, with their known bad rows, through the shipped run file."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from engine.events import Bars, Book, Signal
from samewire import run
from samewire.recorded import open_recorded

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def session(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sp500") / "run"
    data = data_dir / "sp500_daily_2013_2018.parquet"
    overrides = [f"feed.path={data}", "models[0].num_boost_round=30"]
    run(ROOT / "configs" / "sp500.yaml", overrides=overrides, out=out)
    return out


def test_it_runs_end_to_end_and_says_what_was_wrong_with_the_rows(session: Path, data_dir: Path) -> None:
    summary = json.loads((session / "summary.json").read_text())
    assert summary["slices"] == 529
    assert summary["bars"] > 529 * 490
    with (data_dir / "sp500_daily_2013_2018_issues.csv").open() as file:
        listed = [row for row in csv.DictReader(file) if row["date"] >= "2016-01-04"]
    bad = {(r["date"], r["symbol"]) for r in listed if r["issue"] in ("nan_ohl", "ohlc_inconsistent")}
    unused = sum(i["count"] for i in summary["issues"] if "not used" in i["rule"])
    assert unused == len(bad) > 5
    text = "\n".join(summary["warnings"])
    assert "rows of the feed: nan price" in text
    assert "The history gbdt was trained on has rows to look at" in text
    assert "nan price" in (session / "report.html").read_text()


def test_no_nan_reaches_the_ledger_and_no_purchase_overdraws_the_cash(session: Path) -> None:
    first_known = None
    for entry in open_recorded(session).entries():
        event = entry.event
        if isinstance(event, Bars):
            fresh = event.status == 0
            assert np.isfinite([event.open[fresh], event.high[fresh], event.low[fresh], event.close[fresh]]).all()
            assert np.isnan(event.close[~fresh]).all()
        if isinstance(event, Book):
            held = event.qty != 0
            assert np.isfinite(event.equity)
            assert np.isfinite([event.qty[held], event.mark[held], event.entry[held]]).all()
            assert (event.cash >= 0).all()
        if isinstance(event, Signal) and first_known is None and np.isfinite(event.value).any():
            first_known = event
    assert first_known is not None
    # Three years of history warmed the features up: the first answers tell names apart.
    assert len(np.unique(first_known.value[np.isfinite(first_known.value)])) > 10


def test_fills_are_at_opens_of_the_file_with_costs_and_never_where_a_bar_is_missing(
    session: Path, data_dir: Path
) -> None:
    import pyarrow.parquet as pq

    fills = pq.read_table(session / "fills.parquet").to_pandas()
    bars = pq.read_table(data_dir / "sp500_daily_2013_2018.parquet").to_pandas()
    bars["day"] = bars["date"].astype(str)
    fills["day"] = fills["ts"].dt.tz_convert("America/New_York").dt.date.astype(str)
    both = fills.merge(bars[["day", "symbol", "open"]], on=["day", "symbol"], how="left")
    assert len(both) == len(fills) > 500
    np.testing.assert_allclose(both["reference"], both["open"], rtol=1e-12)
    np.testing.assert_allclose(both["price"], both["open"] * (1 + 5e-4 * np.sign(both["quantity"])), rtol=1e-12)
    np.testing.assert_allclose(both["fee"], (both["quantity"].abs() * both["price"]) * 5e-4, rtol=1e-9)
    assert (fills["quantity"] % 1 == 0).all()
