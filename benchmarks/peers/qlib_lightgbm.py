"""Qlib's Alpha158 and LightGBM on bars that are handed to it: the peer of benchmarks/learning.py.

Runs in an environment of its own, since Qlib brings older libraries:

    python -m venv qlib-env && qlib-env/bin/pip install pyqlib==0.9.7
    qlib-env/bin/python benchmarks/peers/qlib_lightgbm.py BARS.parquet OUT.parquet PARAMS.json

BARS has the columns date, symbol, open, high, low, close, volume, vwap; prices that are missing are NaN. PARAMS holds
`segments` (train, valid, test: two days each), `params` of LightGBM, `seeds`, `rounds` and `early_stop`. OUT has the
columns date, symbol and one of scores for each seed; the last line printed is a JSON object of CPU seconds.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

FIELDS = ("open", "high", "low", "close", "volume", "vwap")


def stored(bars: pd.DataFrame, folder: Path) -> None:
    """Writes Qlib's binary layout: a calendar, a list of names, a float32 file a field and name."""
    days = sorted(bars["date"].unique())
    place = {day: i for i, day in enumerate(days)}
    (folder / "calendars").mkdir(parents=True)
    (folder / "calendars" / "day.txt").write_text("".join(f"{pd.Timestamp(day):%Y-%m-%d}\n" for day in days))
    lines = []
    for symbol, rows in bars.groupby("symbol"):
        rows = rows.sort_values("date")
        first, last = place[rows["date"].iloc[0]], place[rows["date"].iloc[-1]]
        at = rows["date"].map(place).to_numpy() - first
        where = folder / "features" / str(symbol).lower()
        where.mkdir(parents=True)
        for field in FIELDS:
            column = np.full(last - first + 1, np.nan, "<f4")
            column[at] = rows[field].to_numpy("f4")
            np.hstack([np.float32(first), column]).astype("<f4").tofile(where / f"{field}.day.bin")
        lines.append(f"{symbol}\t{pd.Timestamp(days[first]):%Y-%m-%d}\t{pd.Timestamp(days[last]):%Y-%m-%d}\n")
    (folder / "instruments").mkdir()
    (folder / "instruments" / "all.txt").write_text("".join(lines))


def main() -> None:
    bars, out, asked = pd.read_parquet(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    import qlib
    from qlib.contrib.data.handler import Alpha158
    from qlib.contrib.model.gbdt import LGBModel
    from qlib.data.dataset import DatasetH
    from qlib.workflow import R

    with tempfile.TemporaryDirectory() as folder:
        stored(bars, Path(folder))
        qlib.init(provider_uri=folder, region="us", kernels=1, exp_manager=recorder(folder))
        started = time.process_time()
        handler = Alpha158(
            instruments="all",
            start_time=asked["segments"]["train"][0],
            end_time=asked["segments"]["test"][1],
            fit_start_time=asked["segments"]["train"][0],
            fit_end_time=asked["segments"]["train"][1],
            infer_processors=[],
            learn_processors=[
                {"class": "DropnaLabel"},
                {"class": "CSRankNorm", "kwargs": {"fields_group": "label"}}
                if asked["label"] == "rank"
                else {"class": "CSZScoreNorm", "kwargs": {"fields_group": "label"}},
            ],
            # From the next open to the open after it, as decisions trade here.
            label=(["Ref($open, -2)/Ref($open, -1) - 1"], ["LABEL0"]),
        )
        spent = {"features": time.process_time() - started}
        dataset = DatasetH(handler, segments={name: tuple(days) for name, days in asked["segments"].items()})
        scores = {}
        started = time.process_time()
        with R.start(experiment_name="peer"):  # ended before its folder goes
            for seed in asked["seeds"]:
                model = LGBModel(
                    loss="mse",
                    num_boost_round=asked["rounds"],
                    early_stopping_rounds=asked["early_stop"],
                    num_threads=1,
                    **asked["params"],
                    seed=seed,
                )
                model.fit(dataset, evals_result={})
                scores[f"seed_{seed}"] = model.predict(dataset, "test")
        spent["training"] = time.process_time() - started
    table = pd.DataFrame(scores).rename_axis(["date", "symbol"]).reset_index()
    table.to_parquet(out)
    print(json.dumps({"cpu_s": {name: round(value, 1) for name, value in spent.items()}, "qlib": qlib.__version__}))


def recorder(folder: str) -> dict[str, object]:
    """Qlib records runs; here into the scratch folder."""
    where = {"uri": f"sqlite:///{folder}/runs.db", "default_exp_name": "Experiment"}
    return {"class": "MLflowExpManager", "module_path": "qlib.workflow.expm", "kwargs": where}


if __name__ == "__main__":
    main()
