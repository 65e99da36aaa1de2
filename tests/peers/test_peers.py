"""The same random portfolios in other engines: not one trade of a hundred thousand may differ."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.peers.plan import COMMISSION, Trade, differing, market, ours, plan

LEAST = 100  # trades a bar, on average, that each comparison must see
MANY, FEW = 1_000, 200  # bars: backtrader takes a minute for the former

pytestmark = pytest.mark.peers


def peer(name: str) -> Any:
    """The peer's module; without it the test is skipped, unless SAMEWIRE_REQUIRE_PEERS says that it must be there."""
    if os.environ.get("SAMEWIRE_REQUIRE_PEERS"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed: make peers oracles")


def of_vectorbt(made: Any, wanted: Any) -> list[Trade]:
    """vectorbt's orders: what was wanted after a bar is traded at the next one's open."""
    vectorbt = peer("vectorbt")
    import pandas as pd

    size = np.diff(wanted, axis=0, prepend=0.0)
    size = np.vstack([np.full((1, size.shape[1]), np.nan), size[:-1]])
    size[size == 0] = np.nan
    account = vectorbt.Portfolio.from_orders(
        *(pd.DataFrame(made.close), pd.DataFrame(size)),
        price=pd.DataFrame(made.open),
        fees=COMMISSION,
        init_cash=np.inf,
        freq="1D",
    )
    records = account.orders.records
    side = np.where(records["side"] == 0, 1.0, -1.0)
    columns = (records["idx"], records["col"], records["size"] * side, records["price"], records["fees"])
    return sorted(Trade(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


def of_backtrader(made: Any, wanted: Any) -> list[Trade]:
    """backtrader's executed orders: market orders sent at a close fill at the next open."""
    backtrader = peer("backtrader")
    import pandas as pd

    size = np.diff(wanted, axis=0, prepend=0.0)
    trades: list[Trade] = []

    class Follow(backtrader.Strategy):  # type: ignore[misc]
        def next(self) -> None:
            row = size[len(self) - 1]
            for i in np.flatnonzero(row).tolist():
                order = self.buy if row[i] > 0 else self.sell
                order(data=self.getdatabyname(str(i)), size=abs(row[i]))

        def notify_order(self, order: Any) -> None:
            if order.status == order.Completed:
                done = order.executed
                trades.append(Trade(len(self) - 1, int(order.data._name), done.size, done.price, done.comm))

    cerebro = backtrader.Cerebro(stdstats=False)
    index = pd.to_datetime(made.ts)
    for i in range(len(made.symbols)):
        names = ("open", "high", "low", "close", "volume")
        frame = pd.DataFrame({name: getattr(made, name)[:, i] for name in names}, index=index)
        cerebro.adddata(backtrader.feeds.PandasData(dataname=frame), name=str(i))
    cerebro.broker.setcash(1e13)
    cerebro.broker.setcommission(commission=COMMISSION)
    cerebro.addstrategy(Follow)
    cerebro.run()
    return sorted(trades)


@pytest.mark.parametrize(
    ("of_peer", "seed", "bars"),
    [
        *((of_vectorbt, 1, MANY), (of_vectorbt, 2, MANY), (of_backtrader, 2, FEW)),
        pytest.param(of_backtrader, 1, MANY, marks=pytest.mark.long),
    ],
)
def test_no_trade_of_random_portfolios_differs(of_peer: Any, seed: int, bars: int, tmp_path: Path) -> None:
    made, wanted = market(seed, bars), plan(seed, bars)
    theirs = of_peer(made, wanted)
    mine = ours(made, wanted, tmp_path)
    assert len(mine) >= LEAST * bars
    assert len(mine) == len(theirs)
    assert differing(mine, theirs)[:3] == []
