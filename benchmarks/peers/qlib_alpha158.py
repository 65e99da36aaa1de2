"""CPU us a row of Qlib's Alpha158 over bars that are handed to it: the peer of benchmarks/features.py.

Runs in Qlib's environment (see qlib_lightgbm.py): `qlib-env/bin/python benchmarks/peers/qlib_alpha158.py BARS.npz`.
BARS holds the columns of bars, (T, N) each. The last line printed is a JSON object. One process, as ours.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from qlib_lightgbm import FIELDS, recorder, stored


def main() -> None:
    import qlib
    from qlib.contrib.data.handler import Alpha158

    columns = dict(np.load(sys.argv[1]))
    days, names = columns["close"].shape
    dates = pd.bdate_range("2010-01-01", periods=days)
    table = pd.concat(
        [
            pd.DataFrame({"date": dates, "symbol": f"N{k}", **{f: columns[f][:, k] for f in FIELDS}})
            for k in range(names)
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        stored(table, Path(folder))
        qlib.init(
            provider_uri=folder, region="us", kernels=1, exp_manager=recorder(folder), joblib_backend="sequential"
        )
        span = {"start_time": dates[0], "end_time": dates[-1], "fit_start_time": dates[0], "fit_end_time": dates[-1]}
        begin = time.process_time()
        handler = Alpha158(instruments="all", **span, infer_processors=[], learn_processors=[])
        frame = handler.fetch(col_set="feature")
        spent = time.process_time() - begin
    print(json.dumps({"us_per_row": spent / (days * names) * 1e6, "columns": frame.shape[1], "qlib": qlib.__version__}))


if __name__ == "__main__":
    main()
