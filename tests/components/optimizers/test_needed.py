"""Small trades are dropped, but for those that a limit needs which must hold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.group import Group
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.methods.composed import Composed
from components.optimizers.needed import needed_trades
from components.optimizers.portfolio import Portfolio
from components.optimizers.rounding_limits import Grid
from components.optimizers.terms.distance import Distance
from components.optimizers.worked import begun_trades
from engine.events import Orders
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.components.optimizers.placed import risk_of
from tests.components.optimizers.test_bad_input import Estimated
from tests.components.optimizers.test_rounding_limits import limits
from tests.components.optimizers.test_worked import parents
from tests.make import bars, book, target

N = 6
U = universe_of(tuple(f"S{i:02d}" for i in range(N)))
PRICE = np.full(N, 10.0)


def traded(held: list[float], limit: Any, resumed: bool = False, **options: Any) -> np.ndarray:
    """Shares of equity that are traded where weights are to stay as they are but for long_only and this limit."""

    def made() -> Portfolio:
        method = Composed(universe=U, objective=(Distance(weight=1.0),), constraints=(LongOnly(), limit))
        return Portfolio(
            universe=U, ids=OrderIds("s", "o"), costs=Bps(commission_bps=5.0, slippage_bps=5.0), name="o",
            method=method, risk_model=Estimated(risk_of(N)), **options,
        )  # fmt: skip

    one, held_now = made(), np.array(held)
    one.on_bars(bars(1, close=PRICE, volume=np.full(N, 1e6)))
    qty = held_now * 1e5
    events = one.on_targets(
        (target(1, held_now, alpha=np.zeros(N)),), book(1, PRICE, cash=1e6 - 10.0 * qty.sum(), qty=qty)
    )
    if resumed:
        other = made()
        other.load(one.save())
        assert np.array_equal(other._needed, one._needed)  # type: ignore[arg-type]
    orders = [event for event in events if isinstance(event, Orders)]
    return sum((np.bincount(event.symbol, event.qty, N) for event in orders), np.zeros(N)) / 1e5


def test_what_a_parent_has_begun_makes_others_trade_that_must_make_room_for_it() -> None:
    """The first two may be half: the purchase is below the band and made all the same, so its sale must be made too."""
    held, wanted = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.1]), np.array([0.308, 0.192, 0.1, 0.1, 0.1, 0.1])
    row = limits(N, A=np.array([[1.0, 1, 0, 0, 0, 0]]), low=np.array([-np.inf]), high=np.array([0.5]))
    grid = Grid(held, np.full(N, 1e-6), np.ones(N))
    assert needed_trades(wanted, grid, 0.02, row) is None
    begun = begun_trades(parents(0.005), wanted - held)
    assert begun is not None
    assert begun.tolist() == [True, *[False] * 5]
    needed = needed_trades(wanted, grid, 0.02, row, begun)
    assert needed is not None
    assert needed.tolist() == [False, True, *[False] * 4]


@pytest.mark.parametrize("options", [{"band": 0.01}, {"min_order_value": 10_000.0}])
def test_a_name_beyond_its_bound_trades_back_however_little_that_is(options: Any) -> None:
    moved = traded([0.205, *[0.15] * 5], WeightBox(max=0.2), resumed=True, **options)
    np.testing.assert_allclose(moved, [-0.005, 0, 0, 0, 0, 0], atol=1e-5)


def test_of_a_group_beyond_its_limit_so_many_trade_as_mend_it() -> None:
    group = Group(universe=U, label="a", symbols=("S00", "S01"), max=0.3)
    moved = traded([0.155, 0.155, 0.1, 0.1, 0.1, 0.1], group, band=0.01)
    np.testing.assert_allclose(moved, [-0.005, -0.005, 0, 0, 0, 0], atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-3, 0.1))
def test_what_is_dropped_breaks_no_limit(seed: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    w, w0, n = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(8)), 8
    A = np.vstack([np.ones(n), np.arange(n) % 2, rng.normal(size=n)])
    gap = rng.choice([0.0, 0.02], 3)
    given_limits = limits(n, upper=np.where(rng.random(n) < 0.5, np.maximum(w, 0.1), np.inf), A=A, low=A @ w - gap,
                          high=A @ w + gap, names=("budget", "sectors", "exposures"))  # fmt: skip
    needed = needed_trades(w, Grid(w0, np.ones(n), np.ones(n)), least, given_limits)
    small = np.abs(w - w0) < least
    needed = np.zeros(n, bool) if needed is None else needed
    assert not (needed & ~small).any()
    after = np.where(small & ~needed, w0, w)
    value = A @ after
    assert (after <= given_limits.upper + 2e-6).all()
    assert (value <= given_limits.high + 2e-6).all()
    assert (value[1:] >= given_limits.low[1:] - 2e-6).all()  # the sum of all may be less


def test_without_limits_or_small_trades_none_is_needed() -> None:
    w, grid = np.full(4, 0.25), Grid(np.full(4, 0.2), np.ones(4), np.ones(4))
    assert needed_trades(w, grid, 0.01, limits(4)) is None
    assert needed_trades(w, grid, 0.1, None) is None
    assert needed_trades(w, grid, 0.0, limits(4, upper=np.full(4, 0.1))) is None
