"""What models are worth on the S&P names of 2018: walk-forward sessions, permuted labels, and Qlib on the same rows.

Prints the tables of docs/results.md. Reads files of the folder SAMEWIRE_DATA. With --peers,
QLIB_PYTHON names the interpreter of an environment with pyqlib 0.9.7 (see peers/qlib_lightgbm.py). Takes about an
hour of CPU; with --quick the LightGBM session alone, on half a year.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from measure import Outcome, arguments, between_marks, conclude, cpu_seconds, peak_mb

from adapters.files.parquet import ParquetFeed
from components.features.alpha158 import Alpha158
from components.metrics.evaluation import evaluation
from components.models.gbdt import Gbdt
from components.training.by_fold import learned
from components.training.panel import walk
from engine.events import Bars
from engine.learning import Fold
from engine.protocols import Dataset, Feed
from samewire.leaks import Checks, leaks

ROOT = Path(__file__).parent.parent
CONFIGS = ("sp500_lightgbm", "sp500_alstm", "us_pit_lightgbm")
TEST_FROM, VALID_FROM, TEST_UNTIL = "2016-01-01", "2015-07-01", "2018-02-01"
SEEDS = (0, 1, 2, 3, 4)
# Qlib's benchmark of LightGBM on Alpha158; its `subsample` has no effect without a frequency.
QLIBS = {
    "learning_rate": 0.2,
    "colsample_bytree": 0.8879,
    "lambda_l1": 205.6999,
    "lambda_l2": 580.9768,
    "max_depth": 8,
    "num_leaves": 210,
}
ROUNDS, EARLY_STOP = 1000, 50
LIKELY = 3  # of twenty permutations, t-statistics beyond 2


FILES = {
    "sp500": {"path": "sp500_daily_2013_2018.parquet"},
    "us": {"path": "us_daily_pit_2015_2017.parquet", "actions": "us_corporate_actions_2015_2017.parquet"},
}


def data(name: str = FILES["sp500"]["path"]) -> Path:
    found = Path(os.environ.get("SAMEWIRE_DATA", ROOT.parent / "shared" / "data")) / name
    if not found.is_file():
        raise SystemExit(f"{found} is not there; set SAMEWIRE_DATA to the folder that holds it")
    return found


def instant(day: str) -> int:
    return int(np.datetime64(day, "ns").astype(np.int64))


# ---- sessions --------------------------------------------------------------------------------------------------------


def session(name: str, quick: bool) -> dict[str, Any]:
    """A run file of configs/ as it stands: what it earned, and how well its signals ranked what followed."""
    from samewire import run

    files = FILES[name.partition("_")[0]]
    changes = [f"feed.{key}={data(file)}" for key, file in files.items()] + (
        ["session.end=2016-06-30"] if quick else []
    )
    with tempfile.TemporaryDirectory() as folder:
        seconds: list[float] = []
        found: list[Any] = []

        def replay() -> None:
            found.append(run(ROOT / "configs" / f"{name}.yaml", overrides=changes, out=Path(folder) / "run").summary)

        seconds.append(cpu_seconds(replay))
    summary = found[0]
    keys = ("ic", "rank_ic", "rank_ic_t", "cagr", "benchmark_return", "total_return", "sharpe", "information_ratio")
    more = ("max_drawdown", "turnover", "cost_drag", "years", "digest")
    return {key: summary[key] for key in (*keys, *more)} | {"cpu_s": round(seconds[0], 1)}


# ---- one split, beside Qlib ------------------------------------------------------------------------------------------


def panel(feed: Feed) -> Dataset:
    """Alpha158 of all names, with returns from the next open to the one after it."""
    features = Alpha158(universe=feed.universe, vwap="typical")
    return walk(feed.events(), features, 1, instant(TEST_UNTIL), symbols=feed.universe.symbols)


def split(dataset: Dataset) -> Fold:
    first = instant(TEST_FROM)
    return Fold(train=dataset.label_to < first, test=dataset.ts >= first)


def trees(feed: Feed, seed: int, **options: Any) -> Gbdt:
    rng = np.random.default_rng(seed)
    return Gbdt(universe=feed.universe, name="gbdt", rng=rng, label="zscore", **options)


def ours(feed: Feed, dataset: Dataset) -> list[dict[str, float]]:
    """IC of each seed on the test part, under Qlib's parameters."""
    held = msgspec.structs.replace(dataset, valid_from=instant(VALID_FROM))
    options = {**QLIBS, "feature_fraction": QLIBS["colsample_bytree"], "min_data_in_leaf": 20}
    del options["colsample_bytree"]
    found = []
    for seed in SEEDS:
        model = trees(feed, seed, num_boost_round=ROUNDS, early_stopping_rounds=EARLY_STOP, **options)
        found.append(judged(learned(lambda model=model: model, held, split(dataset)), dataset))
    return found


def judged(scores: np.ndarray, dataset: Dataset) -> dict[str, float]:
    table = evaluation(scores, dataset.label)
    return {
        "ic": round(table["ic"].value, 5),
        "ic_error": round(table["ic"].error, 5),
        "rank_ic": round(table["rank_ic"].value, 5),
        "rank_ic_error": round(table["rank_ic"].error, 5),
    }


def qlibs(feed: Feed, dataset: Dataset, python: str) -> dict[str, Any]:
    """The same bars, days, labels, parameters and seeds by Qlib; judged by the same returns."""
    import pandas as pd

    rows = []
    names = np.array(feed.universe.symbols)
    for event in feed.events():
        if isinstance(event, Bars):
            there = event.status == 0
            day = np.datetime64(event.ts, "ns").astype("datetime64[D]")
            columns = {f: getattr(event, f)[there] for f in ("open", "high", "low", "close", "volume")}
            columns["vwap"] = (columns["high"] + columns["low"] + columns["close"]) / 3
            rows.append(pd.DataFrame({"date": day, "symbol": names[there], **columns}))
    with tempfile.TemporaryDirectory() as folder:
        bars, out, asked = (Path(folder) / name for name in ("bars.parquet", "out.parquet", "asked.json"))
        pd.concat(rows).astype({"date": "datetime64[ns]"}).to_parquet(bars)
        segments = {
            "train": ["2013-02-08", "2015-06-26"],  # its last labels end before the validation part begins
            "valid": [VALID_FROM, "2015-12-29"],
            "test": ["2016-01-04", TEST_UNTIL],
        }
        asked.write_text(
            json.dumps(
                {
                    "segments": segments,
                    "label": "zscore",
                    "params": QLIBS,
                    "seeds": SEEDS,
                    "rounds": ROUNDS,
                    "early_stop": EARLY_STOP,
                }
            )
        )
        script = Path(__file__).parent / "peers" / "qlib_lightgbm.py"
        done = subprocess.run(
            [python, str(script), str(bars), str(out), str(asked)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"Qlib failed: {done.stderr[-2000:]}")
        table = pd.read_parquet(out)
    at = {day: t for t, day in enumerate(dataset.ts.astype("datetime64[ns]").astype("datetime64[D]").tolist())}
    place = {name: i for i, name in enumerate(feed.universe.symbols)}
    found = []
    for seed in SEEDS:
        scores = np.full(dataset.label.shape, np.nan)
        for day, symbol, score in zip(table["date"], table["symbol"], table[f"seed_{seed}"], strict=True):
            t = at.get(day.date())
            if t is not None:
                scores[t, place[symbol]] = score
        found.append(judged(scores, dataset))
    return {"seeds": found, **json.loads(done.stdout.splitlines()[-1])}


def permuted(feed: Feed, dataset: Dataset) -> dict[str, Any]:
    """Trainings on labels permuted among the names of each slice: whoever ranks those has seen them."""

    def fitted(data: Dataset, fold: Fold) -> np.ndarray:
        return learned(lambda: trees(feed, 0, num_boost_round=60, num_leaves=31, valid_share=0.0), data, fold)

    verdict = leaks(feed, lambda _: dataset, [split(dataset)], fitted, Checks(cuts=0, permutations=20))
    beyond = sum(abs(t) > 2 for t in verdict.t)
    return {"t": [round(t, 2) for t in verdict.t], "beyond_2": beyond, "verdict": verdict.sentence}


# ---- docs/results.md -------------------------------------------------------------------------------------------------


def written(detail: dict[str, Any], peers: dict[str, Any]) -> None:
    """Puts the tables into docs/results.md, between its marks."""
    parts = {"sessions": _of_sessions(detail["sessions"]), "permuted": _of_permuted(detail["permuted"])}
    if peers:
        parts["qlib"] = _beside(detail["seeds"], peers["qlib"])
    between_marks(ROOT / "docs" / "results.md", parts)


def _of_sessions(sessions: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| run file | rank IC | a year, net | benchmark a year | information ratio | drawdown | turnover | cost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in sessions.items():
        error = abs(row["rank_ic"] / row["rank_ic_t"])
        yearly = (1 + row["benchmark_return"]) ** (1 / row["years"]) - 1
        lines.append(
            f"| `{name}` | {row['rank_ic']:.4f} ± {error:.4f} | {row['cagr']:.1%} | {yearly:.1%} "
            f"| {row['information_ratio']:.2f} | {row['max_drawdown']:.1%} | {row['turnover']:.1f} "
            f"| {row['cost_drag'] / row['years']:.2%} |"
        )
    return "\n".join(lines)


def _beside(ours: list[dict[str, float]], theirs: dict[str, Any]) -> str:
    lines = ["| | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " | mean | spread |"]
    lines.append("|---|" + "---|" * (len(SEEDS) + 2))
    for what in ("ic", "rank_ic"):
        for whose, rows in (("Samewire", ours), ("Qlib 0.9.7", theirs["seeds"])):
            values = np.array([row[what] for row in rows])
            cells = [f"{value:.4f}" for value in values] + [f"{values.mean():.4f}", f"{values.std(ddof=1):.4f}"]
            lines.append(f"| {'IC' if what == 'ic' else 'rank IC'}, {whose} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _of_permuted(found: dict[str, Any]) -> str:
    t = ", ".join(f"{value:.2f}" for value in sorted(found["t"]))
    return f"t-statistics of the rank IC: {t}. Beyond 2: {found['beyond_2']} of {len(found['t'])}."


def main() -> None:
    args = arguments(__doc__ or "")
    sessions = {name: session(name, args.quick) for name in (CONFIGS[:1] if args.quick else CONFIGS)}
    detail: dict[str, Any] = {"sessions": sessions}
    peers: dict[str, Any] = {}
    met = True
    if not args.quick:
        feed: Feed = ParquetFeed(path=data(), close="16:00 America/New_York")
        dataset = panel(feed)
        detail["seeds"] = ours(feed, dataset)
        detail["permuted"] = permuted(feed, dataset)
        met = detail["permuted"]["beyond_2"] <= LIKELY
        if args.peers:
            peers["qlib"] = qlibs(feed, dataset, os.environ.get("QLIB_PYTHON", "python"))
    if args.save and not args.quick:
        written(detail, peers)
    first = sessions[CONFIGS[0]]
    outcome = Outcome(
        work="S&P 500 walk-forward: rank IC of LightGBM on Alpha158",
        value=first["rank_ic"],
        unit="rank IC, as found; goal: of twenty permutations at most three |t| above 2",
        goal=0.0,
        met=met,
        peers=peers,
        detail=detail | {"peak_mb": round(peak_mb())},
    )
    conclude(args, "sp500_models", outcome)


if __name__ == "__main__":
    main()
