"""The S&P replay, everything on: feed, journal, session directory, report. Goal: peak memory below 600 MB.

Reads sp500_daily_2013_2018.parquet from the folder SAMEWIRE_DATA.
"""

import os
import tempfile
from pathlib import Path

from measure import Outcome, arguments, conclude, cpu_seconds, peak_mb

ROOT = Path(__file__).parent.parent
GOAL_MB = 600


def main() -> None:
    args = arguments(__doc__ or "")
    data = Path(os.environ.get("SAMEWIRE_DATA", ROOT.parent / "shared" / "data")) / "sp500_daily_2013_2018.parquet"
    if not data.is_file():
        raise SystemExit(f"{data} is not there; set SAMEWIRE_DATA to the folder that holds it")
    overrides = [f"feed.path={data}"] + (["session.end=2014-06-30"] if args.quick else [])
    summaries = []

    def replay() -> None:
        from samewire import run

        with tempfile.TemporaryDirectory() as folder:
            summaries.append(
                run(ROOT / "configs" / "sp500.yaml", overrides=overrides, out=Path(folder) / "run").summary
            )

    seconds = cpu_seconds(replay)
    peak = peak_mb()
    summary = summaries[0]
    outcome = Outcome(
        work="configs/sp500.yaml end to end: train, replay, journal, session directory, report",
        value=peak,
        unit="MB",
        goal=GOAL_MB,
        met=peak <= GOAL_MB,
        detail={
            "cpu_s": round(seconds, 2),
            "slices": summary["slices"],
            "bars": summary["bars"],
            "fills": summary["fills"],
        },
    )
    conclude(args, "sp500", outcome)


if __name__ == "__main__":
    main()
