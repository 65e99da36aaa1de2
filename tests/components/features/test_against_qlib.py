"""Alpha158 and Alpha360 against Qlib's own numbers, which benchmarks/peers/qlib_features.py wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.features.alpha158 import Alpha158
from components.features.alpha360 import Alpha360
from engine.events import DAY_NS, Bars
from engine.universe import universe_of

FIELDS = ("open", "high", "low", "close", "volume", "vwap")


@pytest.fixture(scope="module")
def qlib() -> dict[str, Any]:
    with np.load(Path(__file__).parents[2] / "peers" / "qlib_features.npz") as stored:  # plain arrays, no pickle
        return dict(stored)


def ours(features: Any, columns: dict[str, Any]) -> np.ndarray:
    """(T, N, F) as the wiring makes them, slice by slice."""
    n, made = columns["close"].shape[1], []
    for t in range(len(columns["close"])):
        row = {name: columns[name][t].astype(np.float64) for name in FIELDS}
        missing = np.isnan(row["close"])
        bars = Bars(
            ts=(t + 1) * DAY_NS,
            interval_ns=DAY_NS,
            opened=t * DAY_NS + 1,
            status=missing.astype(np.int32),
            member=np.ones(n, bool),
            **row,
        )
        made.append(features.on_bars(bars).value.copy())
    return np.stack(made)


def begins_in_a_gap(close: np.ndarray, day: int, name: int, window: int) -> bool:
    """Whether the oldest bars of a window are missing although the name traded before it.

    Qlib knows that it did, from all of history. From the window alone it cannot be told from a name that was listed
    within it, and here features depend on their window only.
    """
    first = day - window + 1
    return first > 0 and np.isnan(close[first, name]) and not np.isnan(close[:first, name]).all()


@pytest.mark.parametrize("kernel", ["numba", "numpy"])
def test_alpha158_is_what_qlib_has_of_the_same_bars(kernel: Any, qlib: dict[str, Any]) -> None:
    universe = universe_of(tuple(f"N{k}" for k in range(qlib["close"].shape[1])))
    features = Alpha158(universe=universe, kernel=kernel)
    assert list(features.names) == qlib["alpha158_names"].tolist()
    value, met, apart = ours(features, qlib), 0, 0
    for d, day in enumerate(qlib["alpha158_days"]):
        for k in range(len(universe)):
            if np.isnan(qlib["close"][day, k]):
                assert np.isnan(value[day, k]).all(), "a name whose newest bar is missing has no features"
                continue
            for f, name in enumerate(features.names):
                window = max(1, int("".join(filter(str.isdigit, name)) or 1))
                if begins_in_a_gap(qlib["close"], int(day), k, window):
                    apart += 1
                    continue
                mine, theirs = value[day, k, f], float(qlib["alpha158"][d, k, f])
                # Qlib reckons in float32, and takes correlations of logarithms of float32.
                assert mine == pytest.approx(theirs, rel=2e-4, abs=2e-5, nan_ok=True), (name, int(day), k)
                met += 1
    assert met > 12_000
    assert 0 < apart < met / 50


def test_alpha360_is_what_qlib_has_of_the_same_bars(qlib: dict[str, Any]) -> None:
    universe = universe_of(tuple(f"N{k}" for k in range(qlib["close"].shape[1])))
    features = Alpha360(universe=universe)
    assert list(features.names) == qlib["alpha360_names"].tolist()
    value = ours(features, qlib)[qlib["alpha360_days"]]
    known = ~np.isnan(qlib["close"][qlib["alpha360_days"]])
    np.testing.assert_allclose(value[known], qlib["alpha360"][known], rtol=1e-5, equal_nan=True)
    assert np.isnan(value[~known]).all()
    assert known.sum() > 20
