"""A slice of 500 names through 1,000 trees of the size of Qlib's benchmark. Goal: at most 16 CPU ms, the very doubles.

Trees have up to 210 leaves and a depth of 8, over 158 features with holes. The library answers beside the walk, in
turns; every answer is compared bit by bit. `detail` has 200 trees, 31 leaves without a limit of depth, the time to
load, the whole answer of a slice (features and 200 trees, goal 8 ms), and training from raw rows and from kept bins.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure import Outcome, arguments, conclude, cpu_seconds, in_turn, versions

from components.features.rolling import Rolling
from components.models import gbdt_trees as trees
from components.models.gbdt import Gbdt
from components.models.tree_walker import walker_of
from components.training.panel import walk
from components.training.parts import Rows
from engine.events import Bars
from engine.universe import universe_of

NAMES, FEATURES, GOAL_MS, SLICE_GOAL_MS = 500, 158, 16.0, 8.0
# A share of the columns for each tree, for the time of growing them alone.
SHARED = {"learning_rate": 0.05, "min_data_in_leaf": 10, "max_bin": 63, "feature_fraction": 0.25}
QLIB = {**SHARED, "num_leaves": 210, "max_depth": 8}
DEEP = {**SHARED, "num_leaves": 31, "max_depth": -1}


def table(rows: int, seed: int = 0) -> tuple[Any, Any]:
    """Rows of float32 with two holes in a hundred, and labels that follow many columns weakly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    y = x[:, :40] @ rng.normal(size=40) + np.abs(x[:, 40:60]).sum(axis=1) + 8.0 * rng.normal(size=rows)
    x[rng.random(x.shape) < 0.02] = np.nan
    return x, y


def part(x: Any, y: Any) -> trees.Part:
    rows = Rows(at=np.ones((len(x), 1), bool), label=y, weight=None, counts=np.ones(len(x), np.int64))
    return trees.Part(features=x, rows=rows)


def grown(x: Any, y: Any, params: dict[str, Any], rounds: int, bins: Path | None = None) -> str:
    how = trees.Growing(objective="mse", params=params, rounds=rounds, patience=0, bins=bins)
    return trees.grown(how, part(x, y), None, "bench").text


def answered(text: str, count: int, slices: list[Any], rounds: int) -> dict[str, Any]:
    """CPU ms of the first `count` trees by both, the library's over the walk's, and what loading takes."""
    whole = trees.booster_of(text)
    some = whole.model_to_string(num_iteration=count)
    booster = trees.booster_of(some)
    load_s = cpu_seconds(lambda: trees.booster_of(some))
    walker_of(some, booster)
    check_s = cpu_seconds(lambda: walker_of(some, booster))
    walker = walker_of(some, booster)
    assert walker is not None, "these trees should be walked"
    for rows in slices:
        ours, theirs = walker.predict(rows), booster.predict(rows, num_threads=1)
        assert np.array_equal(ours.view(np.int64), theirs.view(np.int64)), "an answer differs from the library's"
    works = {"walk": lambda: walker.predict(slices[0]), "library": lambda: booster.predict(slices[0], num_threads=1)}
    seconds = in_turn(works, rounds)
    best = {name: 1e3 * found[0] for name, found in seconds.items()}
    return {
        "walk_ms": round(best["walk"], 3),
        "walk_median_ms": round(1e3 * seconds["walk"][rounds // 2], 3),
        "library_ms": round(best["library"], 3),
        "times": round(best["library"] / best["walk"], 1),
        "leaves": round((len(walker.nodes) / len(walker.depth) + 1) / 2, 1),
        "load_library_ms": round(1e3 * load_s, 1),
        "load_walk_and_check_ms": round(1e3 * check_s, 1),
    }


def trained(x: Any, y: Any, rounds: int) -> dict[str, float]:
    """CPU seconds of a training from raw rows, of one that leaves its bins, and of one that finds them."""
    fewer = x[: len(x) // 2], y[: len(y) // 2]
    with tempfile.TemporaryDirectory() as folder:
        bins = Path(folder)
        plain = cpu_seconds(lambda: grown(*fewer, QLIB, rounds))
        first = cpu_seconds(lambda: grown(*fewer, QLIB, rounds, bins))
        again = cpu_seconds(lambda: grown(*fewer, QLIB, rounds, bins))
        same = grown(*fewer, QLIB, rounds) == grown(*fewer, QLIB, rounds, bins)
    assert same, "kept bins changed the trees"
    seconds = {"raw_s": plain, "leaving_bins_s": first, "kept_bins_s": again}
    return {"trees": rounds, **{name: round(found, 3) for name, found in seconds.items()}}


def market(slices: int) -> list[Bars]:
    rng = np.random.default_rng(0)
    close = 50.0 * np.exp(np.cumsum(0.02 * rng.normal(size=(slices, NAMES)), axis=0))
    day, none = 86_400_000_000_000, np.full(NAMES, np.nan)
    return [
        Bars(
            ts=t * day,
            interval_ns=day,
            opened=t * day - day // 4,
            open=row * np.exp(0.005 * rng.normal(size=NAMES)),
            high=row * 1.01,
            low=row * 0.99,
            close=row,
            volume=1e6 * rng.random(NAMES),
            vwap=none,
            status=np.zeros(NAMES, np.int32),
            member=np.ones(NAMES, bool),
        )
        for t, row in enumerate(close, 1)
    ]


def feature_set(universe: Any) -> Any:
    """Alpha158 where this version has it, else the rolling features."""
    try:
        from components.features.alpha158 import Alpha158
    except ImportError:
        return Rolling(universe=universe)
    return Alpha158(universe=universe)


def whole_slice() -> dict[str, Any]:
    """CPU ms from bars to signal: a feature set and 200 trees of 210 leaves."""
    universe, slices = universe_of(tuple(f"S{i:03d}" for i in range(NAMES))), market(120)
    made = feature_set(universe)
    options = {"num_leaves": 210, "max_depth": 8, "num_boost_round": 200, "valid_share": 0.0, "max_bin": 63}
    model = Gbdt(universe=universe, name="gbdt", rng=np.random.default_rng(0), min_data_in_leaf=20, **options)
    artefact = model.fit(walk(iter(slices[:100]), made, 1, slices[99].ts))
    model.swap(artefact)
    live = feature_set(universe)
    for bars in slices[:100]:
        model.on_features(live.on_bars(bars))
    seconds = sorted(cpu_seconds(lambda b=b: model.on_features(live.on_bars(b))) for b in slices[100:])
    return {
        "features": type(made).__name__,
        "count": len(made.names),
        "slice_ms": round(1e3 * seconds[0], 3),
        "slice_median_ms": round(1e3 * seconds[len(seconds) // 2], 3),
        "goal_ms": SLICE_GOAL_MS,
        "met": 1e3 * seconds[0] <= SLICE_GOAL_MS,
    }


def main() -> None:
    args = arguments(__doc__ or "")
    count, rows, rounds = (1000, 30_000, 40) if not args.quick else (300, 12_000, 12)
    x, y = table(rows)
    slices = [table(NAMES, seed)[0] for seed in (1, 2)]
    slices[1][np.random.default_rng(0).random(slices[1].shape) < 0.5] = np.nan
    qlib, deep = grown(x, y, QLIB, count), grown(x, y, DEEP, count)
    texts = {"qlib_size": qlib, "of_31_leaves": deep}
    found = {
        f"{n}_{name}": answered(text, n, slices, rounds) for name, text in texts.items() for n in sorted({count, 200})
    }
    value = found[f"{count}_qlib_size"]["walk_ms"] * 1000 / count
    outcome = Outcome(
        work=f"a slice of {NAMES} x {FEATURES} through {count:,} trees of up to 210 leaves, bit for bit the library's",
        value=value,
        unit="CPU ms per 1,000 trees",
        goal=GOAL_MS,
        met=value <= GOAL_MS,
        peers={"lightgbm_ms": found[f"{count}_qlib_size"]["library_ms"], "times": found[f"{count}_qlib_size"]["times"]},
        detail={
            **found,
            "bars_to_signal": whole_slice(),
            "training": trained(x, y, 20),
            "libraries": versions("lightgbm", "numba"),
        },
    )
    conclude(args, "gbdt", outcome)


if __name__ == "__main__":
    main()
