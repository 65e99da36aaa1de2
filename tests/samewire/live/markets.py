"""Small markets in files for live sessions: a quarter of an hour, a day; a listing, a halt, actions, references."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

QUARTER_NS = 15 * 60 * 10**9
DATES = ("2018-07-02", "2018-07-03", "2018-07-05", "2018-07-06", "2018-07-09")  # the 3rd is a half day
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")
_OPEN_UTC = 13 * 60 + 30  # minutes: 09:30 in New York, in summer


def quarters(folder: Path, seed: int = 5) -> Path:
    """Bars of a quarter of an hour in New York hours, with holes; EEE is listed on the third day, DDD halted once."""
    rng, rows = np.random.default_rng(seed), []
    price = dict(zip(SYMBOLS, rng.uniform(20, 60, len(SYMBOLS)), strict=True))
    for day, date in enumerate(DATES):
        midnight = int(np.datetime64(date, "ns").astype(np.int64))
        for k in range(14 if date == "2018-07-03" else 26):
            for symbol in SYMBOLS:
                price[symbol] *= float(np.exp(rng.normal(0, 0.004)))
                if rng.random() < 0.08 or (symbol == "EEE" and (day < 2 or (day == 2 and k < 5))) or (day, k) == (2, 9):
                    continue
                close, opened = round(price[symbol], 2), round(price[symbol] * float(np.exp(rng.normal(0, 0.002))), 2)
                ts = midnight + (_OPEN_UTC + 15 * (k + 1)) * 60 * 10**9
                halted = symbol == "DDD" and day == 1 and 4 <= k < 9
                high, low = max(opened, close) + 0.01, min(opened, close) - 0.01
                prices = dict(open=opened, high=high, low=low, close=close, volume=float(rng.integers(500, 9000)))
                if halted:
                    prices = dict.fromkeys(prices, None)
                rows.append(dict(ts=ts, symbol=symbol, halted=halted, bid=close - 0.01, **prices))
    table = pa.Table.from_pylist(rows)
    path = folder / "quarters.parquet"
    pq.write_table(table.set_column(0, "ts", table["ts"].cast(pa.timestamp("ns", "UTC"))), path)
    return path


def days(folder: Path, count: int = 30, seed: int = 9) -> Path:
    """Daily bars; EEE is listed on the twelfth day, AAA is not there any more after the twentieth."""
    rng, rows = np.random.default_rng(seed), []
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.015, (count, len(SYMBOLS))), axis=0))
    for k in range(count):
        date = dt.date(2018, 3, 5) + dt.timedelta(days=k // 5 * 7 + k % 5)
        for s, symbol in enumerate(SYMBOLS):
            if (symbol == "EEE" and k < 12) or (symbol == "AAA" and k > 20) or rng.random() < 0.04:
                continue
            last = round(float(close[k, s]), 2)
            rows.append((date, symbol, last * 0.99, last * 1.01, last * 0.98, last, float(rng.integers(500, 9000))))
    names = ("date", "symbol", "open", "high", "low", "close", "volume")
    path = folder / "days.parquet"
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), path)
    return path


def beside(folder: Path, *, dates: tuple[str, ...]) -> dict[str, Any]:
    """Actions, members and a reference on these dates, as options of a feed."""
    ex, gone, known = dates
    (folder / "actions.csv").write_text(
        f"symbol,ex_date,kind,ratio,amount\nBBB,{ex},split,2,\nCCC,{ex},dividend,,0.25\nAAA,{gone},delisting,,30\n"
    )
    (folder / "sectors.csv").write_text("symbol,sector\nAAA,Tech\nBBB,Tech\nCCC,Oil\nDDD,Oil\nEEE,Oil\n")
    (folder / "shortable.csv").write_text(f"date,symbol,value\n{known},AAA,1\n{known},BBB,0\n{ex},BBB,1\n{ex},CCC,1\n")
    return {
        "actions": str(folder / "actions.csv"),
        "sectors": str(folder / "sectors.csv"),
        "reference": {"shortable": str(folder / "shortable.csv")},
    }


def members(folder: Path, joins: str, leaves: str) -> dict[str, Any]:
    """A file of members: all but DDD, which joins on one day, and CCC, which leaves on another."""
    rows = ["AAA,2018-01-01,", "BBB,2018-01-01,", "EEE,2018-01-01,", f"DDD,{joins},", f"CCC,2018-01-01,{leaves}"]
    (folder / "members.csv").write_text("symbol,from,to\n" + "\n".join(rows) + "\n")
    return {"members": str(folder / "members.csv")}
