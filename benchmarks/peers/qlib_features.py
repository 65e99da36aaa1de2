"""Writes tests/peers/qlib_features.npz: Alpha158 and Alpha360 by Qlib, on generated bars with gaps and late listings.

Runs in Qlib's environment (see qlib_lightgbm.py); the tests that meet these numbers need no Qlib:

    qlib-env/bin/python benchmarks/peers/qlib_features.py
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from qlib_lightgbm import FIELDS, recorder, stored

DAYS, NAMES = 130, 8
ASKED = (0, 3, 9, 30, 59, 60, 61, 75, 90, 104, 105, 118, 127, 129)  # days of which all features are kept


def generated() -> dict[str, np.ndarray]:
    """(DAYS, NAMES) columns as float32: two names begin late, four have gaps, one trades in coarse ticks."""
    rng = np.random.default_rng(20)
    close = 30 * np.exp(np.cumsum(rng.normal(0, 0.02, (DAYS, NAMES)), axis=0))
    close[:, 3] = np.round(close[:, 3])  # ties
    opening = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, 0.005, (DAYS, NAMES)))
    high = np.maximum(opening, close) * np.exp(np.abs(rng.normal(0, 0.004, (DAYS, NAMES))))
    low = np.minimum(opening, close) * np.exp(-np.abs(rng.normal(0, 0.004, (DAYS, NAMES))))
    volume = np.round(np.exp(rng.normal(11, 0.5, (DAYS, NAMES))))
    columns = dict(zip(FIELDS, (opening, high, low, close, volume, (high + low + close) / 3), strict=True))
    gone = np.zeros((DAYS, NAMES), bool)
    gone[:40, 1] = gone[:95, 2] = True
    gone[70:73, 4] = gone[100, 5] = gone[[20, 64, 108], 6] = gone[110:125, 7] = True
    for column in columns.values():
        column[gone] = np.nan
    return {name: column.astype(np.float32) for name, column in columns.items()}


def main() -> None:
    import qlib
    from qlib.contrib.data.handler import Alpha158, Alpha360

    columns = generated()
    dates = pd.bdate_range("2024-01-01", periods=DAYS)
    names = [f"N{k}" for k in range(NAMES)]
    table = pd.concat(
        [
            pd.DataFrame({"date": dates, "symbol": name, **{f: columns[f][:, k] for f in FIELDS}})
            for k, name in enumerate(names)
        ]
    )
    first = {name: int(np.flatnonzero(~np.isnan(columns["close"][:, k]))[0]) for k, name in enumerate(names)}
    table = table[
        [dates.get_loc(date) >= first[name] for date, name in zip(table["date"], table["symbol"], strict=True)]
    ]
    found: dict[str, object] = {"qlib": qlib.__version__}
    with tempfile.TemporaryDirectory() as folder:
        stored(table, Path(folder))
        qlib.init(provider_uri=folder, region="us", kernels=1, exp_manager=recorder(folder))
        span = {"start_time": dates[0], "end_time": dates[-1], "fit_start_time": dates[0], "fit_end_time": dates[-1]}
        for kind in (Alpha158, Alpha360):
            handler = kind(instruments="all", **span, infer_processors=[], learn_processors=[])
            frame = handler.fetch(col_set="feature")
            days = ASKED if kind is Alpha158 else ASKED[::4]
            index = pd.MultiIndex.from_product([dates[list(days)], names])
            key = kind.__name__.lower()
            found |= {f"{key}_days": np.array(days), f"{key}_names": np.array(list(frame.columns))}
            found[key] = frame.reindex(index).to_numpy(np.float32).reshape(len(days), NAMES, -1)
    out = Path(__file__).parents[2] / "tests" / "peers" / "qlib_features.npz"
    np.savez_compressed(out, **found, **columns)


if __name__ == "__main__":
    main()
