"""Cost models that displace the price, each against a plain loop over numbers."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.costs.bps_slippage import BpsSlippage
from components.costs.fixed_slippage import FixedSlippage
from components.costs.half_spread import HalfSpread
from components.costs.square_root import SquareRoot
from components.costs.together import Together
from components.costs.volume_share import VolumeShare
from engine.events import ActionKind
from engine.protocols import Conditions
from engine.universe import universe_of
from tests.conformance.driving import action
from tests.make import bars, day

NAN = np.nan
trades = st.lists(
    st.tuples(st.integers(-50_000, 50_000), st.floats(0.02, 500.0), st.sampled_from([NAN, 0.0, 10.0, 1e6])),
    min_size=1,
    max_size=12,
)
Rows = list[tuple[int, float, float]]


def at(n: int = 1, **columns: Any) -> Conditions:
    given_ = {name: np.array(column, float) for name, column in columns.items()}
    return Conditions(ts=day(0), symbol=np.zeros(n, np.int32), **given_)


def prices(costs: Any, rows: Rows, **columns: Any) -> list[float]:
    qty, reference, volume = (np.array([row[i] for row in rows], float) for i in range(3))
    where = at(len(rows), volume=volume, **columns)
    price: list[float] = costs.price(qty, reference, where).tolist()
    assert not costs.fees(qty, np.array(price), where).any()
    return price


def sign(qty: float) -> int:
    return int(qty > 0) - int(qty < 0)


@given(rows=trades, amount=st.floats(0, 3))
def test_a_fixed_amount(rows: Rows, amount: float) -> None:
    expected = [max(p + sign(q) * amount, p * 0.01) for q, p, _ in rows]
    assert prices(FixedSlippage(amount=amount), rows) == pytest.approx(expected)


@given(rows=trades, bps=st.floats(0, 500))
def test_so_many_basis_points(rows: Rows, bps: float) -> None:
    expected = [p * (1 + sign(q) * bps / 1e4) for q, p, _ in rows]
    assert prices(BpsSlippage(bps=bps), rows) == pytest.approx(expected)


@given(rows=trades, impact=st.floats(0, 1), limit=st.floats(0.001, 0.9))
def test_volume_share_is_ziplines_formula(rows: Rows, impact: float, limit: float) -> None:
    expected = []
    for qty, price, volume in rows:
        share = min(abs(qty) / volume, limit) if volume > 0 else limit
        expected.append(price * (1 + sign(qty) * impact * share**2))
    assert prices(VolumeShare(impact=impact, limit=limit), rows) == pytest.approx(expected)


def test_without_any_volume_the_limit_is_the_share() -> None:
    assert VolumeShare().price(np.array([1.0]), np.array([100.0]), at()).tolist() == [100.00625]


@pytest.mark.parametrize(
    ("qty", "bid", "ask", "price"),
    [
        (5, 9.9, 10.2, 10.2),
        (-5, 9.9, 10.2, 9.9),
        (5, 9.7, 9.8, 9.8),  # a quote is taken as it is
        (0, 9.9, 10.2, 10.0),
        (5, NAN, 10.2, 10.01),  # one side unknown
        (5, 9.9, NAN, 10.01),
        (-5, NAN, NAN, 9.99),
        (5, 10.3, 10.2, 10.01),  # crossed
        (-5, 0.0, 10.2, 9.99),  # nobody bids
    ],
)
def test_purchases_at_the_ask_sales_at_the_bid(qty: float, bid: float, ask: float, price: float) -> None:
    where = at(bid=[bid], ask=[ask])
    reference = np.array([10.0])
    assert HalfSpread(bps=10).price(np.array([float(qty)]), reference, where).tolist() == pytest.approx([price])
    blind = HalfSpread(bps=10, quotes=False).price(np.array([float(qty)]), reference, where)
    assert blind.tolist() == pytest.approx([10.0 + 0.01 * sign(qty)])


def test_no_quote_makes_up_a_price_that_is_missing() -> None:
    price = HalfSpread().price(np.array([5.0]), np.array([NAN]), at(bid=[9.0], ask=[10.0]))
    assert np.isnan(price[0])


# ---- square root -----------------------------------------------------------------------------------------------------


def walk(costs: SquareRoot, close: np.ndarray, volume: np.ndarray) -> None:
    for k, (c, v) in enumerate(zip(close, volume, strict=True)):
        costs.on_bars(bars(day(k), c, volume=v))


@pytest.mark.parametrize("seed", range(20))
def test_square_root_is_the_plain_loop_over_a_window(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, slices, window, eta = 3, 12, 5, 0.7
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (slices, n)), axis=0))
    volume = rng.uniform(1e4, 1e6, (slices, n))
    gone = rng.random((slices, n)) < 0.2
    close[gone], volume[gone] = NAN, NAN
    costs = SquareRoot(universe=universe_of(("A", "B", "C")), eta=eta, window=window, fallback_bps=30)
    walk(costs, close, volume)
    qty = rng.integers(-5000, 5000, n).astype(float)
    expected = []
    for i in range(n):
        returns = [math.log(close[k, i] / close[k - 1, i]) for k in range(slices - window, slices)]
        known = [r for r in returns if not math.isnan(r)]
        volumes = [v for v in volume[-window:, i] if not math.isnan(v)]
        move = 30e-4
        if len(known) >= 2 and len(volumes) >= 2:
            mean = sum(known) / len(known)
            sigma = math.sqrt(sum((r - mean) ** 2 for r in known) / (len(known) - 1))
            move = eta * sigma * math.sqrt(abs(qty[i]) / (sum(volumes) / len(volumes)))
        expected.append(max(10 * (1 + sign(qty[i]) * move), 0.1))
    where = Conditions(ts=day(slices), symbol=np.arange(n, dtype=np.int32))
    assert costs.price(qty, np.full(n, 10.0), where).tolist() == pytest.approx(expected)


def test_slices_of_any_length_give_the_same_impact() -> None:
    """Four slices of a quarter day have half the volatility and a quarter of the volume of one."""
    rng = np.random.default_rng(1)
    step = np.where(rng.permutation(400) % 2 == 0, 0.01, -0.01)
    quarter, whole = (SquareRoot(universe=universe_of(("A",)), window=w) for w in (400, 100))
    price = 50 * np.exp(np.concatenate([[0.0], np.cumsum(step)]))
    walk(quarter, price[:, None], np.full((401, 1), 250.0))
    moves = rng.permutation(100) % 2 * 0.04 - 0.02
    walk(whole, 50 * np.exp(np.concatenate([[0.0], np.cumsum(moves)]))[:, None], np.full((101, 1), 1000.0))
    ask = (np.array([10.0]), np.array([100.0]), at())
    assert quarter.price(*ask)[0] == pytest.approx(whole.price(*ask)[0], rel=1e-4)


def test_a_split_is_no_volatility() -> None:
    plain, split = (SquareRoot(universe=universe_of(("A",)), window=4) for _ in range(2))
    close, volume = np.array([50.0, 51.0, 50.0, 52.0, 50.0]), np.full(5, 1e4)
    walk(plain, close[:, None], volume[:, None])
    for k in range(5):
        if k == 3:
            split.on_actions(action(2, ActionKind.SPLIT, 0, ratio=2.0))
        ratio = 2.0 if k >= 3 else 1.0
        split.on_bars(bars(day(k), [close[k] / ratio], volume=[volume[k] * ratio]))
    before = plain.price(np.array([100.0]), np.array([50.0]), at())[0] / 50
    after = split.price(np.array([200.0]), np.array([25.0]), at())[0] / 25
    assert after == pytest.approx(before, rel=1e-12)


def test_the_state_goes_on_in_a_longer_universe() -> None:
    short, longer = (
        SquareRoot(universe=universe_of(("A",)), window=2),
        SquareRoot(universe=universe_of(("A", "B")), window=2, fallback_bps=10),
    )
    walk(short, np.array([[50.0], [51.0], [50.0]]), np.full((3, 1), 1e4))
    longer.load(short.save())
    where = Conditions(ts=day(3), symbol=np.array([0, 1], np.int32))
    first, second = longer.price(np.full(2, 100.0), np.full(2, 50.0), where)
    assert first == short.price(np.array([100.0]), np.array([50.0]), at())[0]
    assert second == pytest.approx(50.05)


def test_a_window_of_another_length_refuses_the_state() -> None:
    with pytest.raises(ValueError, match="window was 2 when the state was saved and is 3 now"):
        SquareRoot(universe=universe_of(("A",)), window=3).load(
            SquareRoot(universe=universe_of(("A",)), window=2).save()
        )


# ---- together --------------------------------------------------------------------------------------------------------


@given(rows=trades)
def test_displacements_from_the_market_add_up(rows: Rows) -> None:
    parts = (FixedSlippage(amount=0.02), Bps(slippage_bps=10), VolumeShare())
    own = [prices(part, rows) for part in parts]
    expected = [max(p + sum(each[i] - p for each in own), p * 0.01) for i, (_, p, _) in enumerate(rows)]
    assert prices(Together(parts=parts), rows) == pytest.approx(expected)


def test_quotes_and_slippage_add_up_too() -> None:
    both = Together(parts=(HalfSpread(), FixedSlippage(amount=0.1)))
    where = at(2, bid=[9.9, 9.9], ask=[10.2, 10.2])
    assert both.price(np.array([1.0, -1.0]), np.full(2, 10.0), where).tolist() == pytest.approx([10.3, 9.8])


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FixedSlippage(amount=-1), "amount must be finite and at least 0, got -1"),
        (lambda: BpsSlippage(bps=10_000), "bps must be below 10000"),
        (lambda: HalfSpread(bps=NAN), "bps must be finite"),
        (lambda: VolumeShare(limit=1.5), "limit must be at most 1"),
        (lambda: VolumeShare(impact=2, limit=1), "impact times limit squared"),
        (lambda: SquareRoot(universe=universe_of(("A",)), eta=-1), "eta must be finite"),
        (lambda: SquareRoot(universe=universe_of(("A",)), window=1), "window must be between 2 and 10000"),
    ],
)
def test_bounds_are_checked(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
