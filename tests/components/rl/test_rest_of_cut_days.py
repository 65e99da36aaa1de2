"""The rest of an order whose day ended before its calendar says so."""

import numpy as np
import pytest

from components.costs.dated import Dated, DatedFee
from tests.components.rl.made import env, market, minutes, orders


@pytest.mark.parametrize("length", [12, 6])
def test_it_pays_the_fees_of_that_day_and_not_of_1970(length: int) -> None:
    days = minutes(lengths=(12, 12, length), calendar=(12, 12, 12))
    costs = Dated(rates=(DatedFee(days.date(2), bps_buy=20, bps_sell=50),))
    game = env(days, orders((2, 0, -1, 1000.0, 2, 8), (1, 0, -1, 1000.0, 2, 8)), market=market(days, costs=costs))
    price, fees = game.floor.remainder.priced(np.arange(2), np.array([-1, -1], np.int32), np.full(2, 1000.0))
    np.testing.assert_allclose(fees / price * 1e4, [50.0, 0.0], atol=1e-9)
