"""What a run of a case gives, from the engine and from a plain loop alike, and how two of them are compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tests.oracles.tape import Market


class Fill(NamedTuple):
    t: int  # the slice that filled it
    symbol: int
    qty: float
    price: float
    fee: float


@dataclass
class Outcome:
    """Fills in order, equity at each slice, and what there was at the end."""

    fills: list[Fill]
    equity: list[float]
    cash: float
    orders: int  # sent
    refused: int = 0


def drawdown(equity: Any) -> float:
    """The deepest fall from the highest point before, as a share of it: zero or below."""
    curve = np.asarray(equity, np.float64)
    return float((curve / np.maximum.accumulate(curve) - 1).min())


def assert_same(one: Outcome, other: Outcome, *, rtol: float = 1e-9) -> None:
    """The same fills at the same slices, the same equity throughout."""
    # Two orders of one slice may fill in either order; where that decides money, cash and equity tell.
    sides = [sorted(outcome.fills) for outcome in (one, other)]
    assert [fill[:3] for fill in sides[0]] == [fill[:3] for fill in sides[1]]
    for column in ("price", "fee"):
        mine, theirs = ([getattr(fill, column) for fill in side] for side in sides)
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=1e-9, err_msg=column)
    np.testing.assert_allclose(one.equity, other.equity, rtol=rtol)
    np.testing.assert_allclose(one.cash, other.cash, rtol=rtol, atol=1e-6)
    assert (one.orders, one.refused) == (other.orders, other.refused)


def expected_fills(folder: Path, case: str, market: Market) -> list[Fill]:
    """The published fills of a case; a daily fill is told by its day, an intraday one by the start of its bar."""
    rows = pd.read_csv(folder / "expected_fills.csv")
    rows = rows[rows["case"] == case]
    opened = pd.to_datetime(market.opened, utc=True).tz_convert("America/New_York")
    form = "%Y-%m-%d" if len(rows["bar_time"].iloc[0]) == len("2000-01-01") else "%Y-%m-%d %H:%M:%S"
    slices = {text: t for t, text in enumerate(opened.strftime(form))}
    columns = (rows[name].tolist() for name in ("bar_time", "symbol", "quantity", "price", "fee"))
    return [
        Fill(slices[when], market.symbols.index(symbol), *rest) for when, symbol, *rest in zip(*columns, strict=True)
    ]
