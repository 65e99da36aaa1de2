"""Sessions whose time is before 1970, where instants are negative numbers."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np

from samewire import run

WEEKS = 52 * 40


def session(folder: Path, start: dt.date) -> Any:
    """Sixty working days of three names under a broker that lends, charges interest and settles later."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    price = 10 * np.exp(np.cumsum(rng.normal(0, 0.03, (60, 3)), axis=0))
    lines = ["date,symbol,open,high,low,close,volume"]
    for k in range(60):
        date = start + dt.timedelta(days=k // 5 * 7 + k % 5)
        for s, at in zip("ABC", price[k].tolist(), strict=True):
            lines.append(f"{date},{s},{at:.2f},{at * 1.02:.2f},{at * 0.97:.2f},{at * 1.01:.2f},{1000 + k}")
    (folder / "bars.csv").write_text("\n".join(lines) + "\n")
    return run(
        {
            "schema": 1,
            "session": {"name": "old", "cash": 20_000, "benchmark": "none"},
            "feed": {"use": "csv", "path": str(folder / "bars.csv"), "close": "21:00 UTC"},
            "models": [{"use": "momentum", "window": 3}],
            "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1},
            "optimizer": "direct",
            "broker": {
                "use": "simulated",
                "fill": "next_open",
                "settlement_days": 2,
                "costs": {"use": "bps", "commission_bps": 5},
                "financing": [{"use": "cash_interest", "annual_bps": 100}],
            },
        },
        out=folder / "out",
    )


def test_a_session_over_the_new_year_of_1970_is_the_same_as_forty_years_later(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SAMEWIRE_CACHE", str(tmp_path / "cache"))
    start = dt.date(1969, 11, 17)
    old, new = session(tmp_path / "old", start), session(tmp_path / "new", start + dt.timedelta(weeks=WEEKS))
    assert old.summary["fills"] == new.summary["fills"] > 10
    assert old.summary["final_equity"] == new.summary["final_equity"] != 20_000
    assert old.to_pandas("equity").equity.tolist() == new.to_pandas("equity").equity.tolist()
    assert str(old.to_pandas("fills")["at"].iloc[0])[:4] == "1969"
