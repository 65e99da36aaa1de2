"""A start that some days are too short for is told, by plan and training: no order is left out without a word."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.rl.days import days_of
from engine.errors import ConfigError
from samewire.agent_starts import check_starts
from samewire.cli import main
from tests.components.rl.made import Minutes
from tests.samewire.test_agent_training import a_run

LONG, SHORT = 10, 6  # bars of a day


def bars(folder: Path, lengths: list[int]) -> Path:
    """Bars of five minutes of two symbols: random walks over days from 2024-01-01 on."""
    chance, rows = np.random.default_rng(4), []
    for symbol in "AB":
        for day, length in enumerate(lengths):
            open_at = pd.Timestamp("2024-01-01 14:00", tz="UTC") + pd.Timedelta(days=day)
            close = 50 * np.exp(np.cumsum(chance.normal(0, 1e-3, length)))
            for k, price in enumerate(close):
                ts = open_at + pd.Timedelta(minutes=5 * (k + 1))
                prices = {"open": price, "high": price * 1.001, "low": price * 0.999, "close": price}
                rows.append({"ts": ts, "symbol": symbol} | prices | {"volume": 1000.0})
    path = folder / "bars.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def a_file(folder: Path, lengths: list[int]) -> tuple[Path, dict[str, Any]]:
    split = {"validation_from": "2024-01-09", "test_from": "2024-01-13"}
    agent = {"split": split, "orders": {"start": [0, 7], "window": 2}, "rows": 8, "steps": 64, "horizon": 4}
    words = a_run(folder, agent)
    words["feed"] = {"use": "parquet", "path": str(bars(folder, lengths)), "stamped": "close"}
    words["session"] = words["session"] | {"start": "2024-01-09"}
    path = folder / "run.json"
    path.write_text(json.dumps(words))
    return path, words


def test_a_part_whose_days_are_all_too_short_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = a_file(tmp_path, [LONG] * 11 + [SHORT] * 5)  # the last day to choose by is short too
    warned = "warning  orders.start: bar 7 has no order to judge by: the days there end before a bar behind it"
    assert main(["train", str(path), "--plan"]) == 0
    planned = capsys.readouterr().out
    assert warned in planned
    assert "  starts  bar 7: 11 of 16 days; the others end before" in planned
    assert main(["train", str(path), "--plan", "--format", "json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["warnings"]
    assert said in planned
    assert main(["train", str(path), "--quiet"]) == 0
    assert warned in capsys.readouterr().out
    kept = json.loads((tmp_path / "store/results/agents/results.json").read_text())
    assert kept["warnings"] == [said]


def test_days_that_all_have_it_are_no_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = a_file(tmp_path, [LONG] * 16)
    assert main(["train", str(path), "--plan"]) == 0
    planned = capsys.readouterr().out
    assert "warning" not in planned
    assert "starts" not in planned


def test_a_start_that_only_the_calendar_has_is_refused() -> None:
    """Sessions of 12 bars, of which no day has more than 8: its orders would all be left out."""
    days = days_of(Minutes(lengths=(8, 8, 7), calendar=(12, 12, 12)))
    assert days.bars == 12
    check_starts([0, 6], days)
    with pytest.raises(ConfigError, match="no day has a bar behind bar 7, the longest has 8 counted from 0"):
        check_starts([0, 7], days)
