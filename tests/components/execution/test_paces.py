"""The formulas of the policies, each against a closed form or a plain version of the rule."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.execution.almgren_chriss import AlmgrenChriss, schedule
from components.execution.horizon import NEVER, window
from components.execution.sbb_ema import SbbEma
from components.execution.vwap import Vwap
from engine.calendar import Sessions
from engine.events import DAY_NS, MINUTE_NS, ActionKind, Actions
from engine.universe import universe_of
from tests.components.execution.floor import OPEN_NS, Floor, minute, minutes, orders

ONE = universe_of(("A",))


def two_days(pause: int = 0) -> Sessions:
    opens = np.array([OPEN_NS, OPEN_NS + DAY_NS])
    breaks = opens + 60 * MINUTE_NS if pause else np.zeros(2, np.int64)
    return Sessions(
        name="X",
        label=opens // DAY_NS * DAY_NS,
        opens=opens,
        closes=opens + 390 * MINUTE_NS,
        break_from=breaks,
        break_to=breaks + pause * MINUTE_NS if pause else breaks,
    )


# ---- Almgren-Chriss --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [1e-3, 0.3, 2.0, 60.0, 900.0])
def test_almgren_chriss_leaves_what_the_closed_form_leaves(kappa: float) -> None:
    steps = np.arange(8.0)
    share = schedule(np.full(8, kappa), steps, np.full(8, 8.0))
    assert share.sum() == pytest.approx(1.0, abs=1e-12)
    x = kappa * (8 - np.arange(9.0))
    left = np.exp(x - x[0]) * -np.expm1(-2 * x) / -np.expm1(-2 * x[0])  # sinh x / sinh x_0
    np.testing.assert_allclose(1 - np.cumsum(share), left[1:], atol=1e-12)


def test_almgren_chriss_is_no_dearer_than_any_other_schedule() -> None:
    """Cost eta sum n_k^2 + lambda sigma^2 sum x_k^2, x_k left after step k: the sum is least where it is optimal.

    The reference's kappa is that of the discrete problem with steps of 1: cosh kappa - 1 = lambda sigma^2 / 2 eta.
    """
    ratio, steps = 0.4, 6  # lambda sigma^2 / eta
    kappa = np.arccosh(ratio / 2 + 1)
    share = schedule(np.full(steps, kappa), np.arange(float(steps)), np.full(steps, float(steps)))

    def cost(parts: Any) -> float:
        left = 1 - np.cumsum(parts)
        return float((parts**2).sum() + ratio * (left**2).sum())

    rng = np.random.default_rng(0)
    for _ in range(200):
        other = share + rng.normal(0, 0.05, steps)
        assert cost(share) <= cost(other / other.sum()) + 1e-12


def test_almgren_chriss_sends_the_first_slices_faster_and_twap_while_there_is_no_sigma() -> None:
    def sent(history: int) -> list[float]:
        floor = Floor(AlmgrenChriss(universe=ONE, horizon=4, window=5, risk_aversion=1.0, eta=1e-6), ONE)
        close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, history + 8)))
        for k in range(1, history + 8):
            floor.slice(minutes(k, [close[k]]), *((orders(k, [1000.0]),) if k == history else ()))
        return floor.sent()[1]

    early, late = sent(3), sent(8)
    assert early[:3] != late[:3]
    assert sum(late) == 1000.0
    assert late == sorted(late[:3], reverse=True) + late[3:]
    assert early[0] == 250.0


@pytest.mark.parametrize("published", [False, True])
def test_a_split_is_no_return_to_almgren_chriss(published: bool) -> None:
    def sent(ratio: float) -> list[float]:
        floor = Floor(AlmgrenChriss(universe=ONE, horizon=6, window=8, as_published=published), ONE)
        close = 50 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 1e-2, 40)))
        for k in range(1, 24):
            if k == 10 and ratio != 1.0:
                floor.desk.on_actions(split(k - 1, ratio))
            price = close[k] / (ratio if k >= 10 else 1.0)
            floor.slice(minutes(k, [price]), *((orders(k, [10_000.0]),) if k == 14 else ()))
        return floor.sent()[1]

    assert sent(2.0) == sent(1.0)
    assert sent(0.1) == sent(1.0)


def split(k: int, ratio: float) -> Actions:
    one = np.zeros(1, np.int32)
    return Actions(
        ts=minute(k),
        kind=np.array([ActionKind.SPLIT], np.int32),
        symbol=one,
        ratio=np.array([ratio]),
        amount=np.array([np.nan]),
        pay_at=np.array([0]),
        successor=one - 1,
    )


def test_almgren_chriss_follows_its_trajectory_in_whole_lots_and_catches_up() -> None:
    """Each step to the nearest lot of what is left by the closed form; as published, rounding waits for the last."""

    def sent(published: bool, participation: float | None = None) -> list[float]:
        u = universe_of(("A",), lot=100.0)
        pace = AlmgrenChriss(universe=u, horizon=30, window=10, as_published=published)
        floor = Floor(pace, u, participation=participation)
        close = 10 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 5e-4, 90)))
        for k in range(1, 70):
            thin = participation is not None and k < 30
            volume = [1e3 if thin else 1e7]
            floor.slice(minutes(k, [close[k]], volume=volume), *((orders(k, [5900.0]),) if k == 25 else ()))
        return floor.sent()[1]

    assert sent(True)[-1] > 2500.0
    assert max(sent(False)) <= 200.0
    assert sum(sent(False)) == 5900.0
    assert sent(False, 0.1)[-1] <= 300.0  # four thin bars are caught up with at once, not in the last step


# ---- SBB-EMA ---------------------------------------------------------------------------------------------------------


def published(closes: Any, at: int, qty: float, lot: float, steps: int, spans: tuple[int, int]) -> list[float]:
    """The rule as it was published, one order and one bar after the other; fills are whole."""
    import pandas as pd

    fast, slow = (pd.Series(closes).ewm(span=span, min_periods=1).mean() for span in spans)
    signal, left, buys, sent = (fast - slow).to_numpy(), abs(qty), qty > 0, []
    for k in range(steps):
        trend = np.sign(signal[at + k - k % 2])
        lots, amount, now = int(left // lot), 0.0, False
        if trend == 0:
            amount, now = (lots + steps - k - 1) // (steps - k) * lot, True
        else:
            amount = (lots + steps - k) // (steps - k + 1) * 2 * lot
            now = ((trend < 0) == (not buys)) if k % 2 == 0 else ((trend < 0) == buys)
        if not buys and left > 1e-5 and (amount < 1e-5 or k == steps - 1):
            amount = left
        amount = min(amount, left)
        if amount > 1e-5 and now:
            left -= amount
            sent.append(amount if buys else -amount)
    return sent


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), side=st.sampled_from([1, -1]), lots=st.integers(1, 60), steps=st.integers(1, 9))
def test_sbb_ema_is_the_published_rule_to_the_digit(seed: int, side: int, lots: int, steps: int) -> None:
    lot, at = 10.0, 6
    u = universe_of(("A",), lot=lot)
    closes = np.round(50 + np.cumsum(np.random.default_rng(seed).normal(0, 0.2, at + steps + 3)), 2)
    floor = Floor(SbbEma(universe=u, horizon=steps, fast=3, slow=6, as_published=True), u)
    for k in range(1, len(closes) + 1):
        row = (orders(k, [side * lots * lot]),) if k == at + 1 else ()
        floor.slice(minutes(k, [closes[k - 1]]), *row)
    assert floor.sent().get(1, []) == published(closes, at, side * lots * lot, lot, steps, (3, 6))


@pytest.mark.parametrize("price", [10.0, 10.1, 33.37, 0.07])
def test_sbb_ema_sees_no_trend_in_a_price_that_stands_still(price: float) -> None:
    floor = Floor(SbbEma(universe=ONE, horizon=6), ONE)
    for k in range(1, 60):
        floor.slice(minutes(k, [price]), *((orders(k, [600.0]),) if k == 50 else ()))
    assert floor.sent() == {1: [100.0] * 6}


# ---- VWAP and horizons -----------------------------------------------------------------------------------------------


def test_vwap_follows_the_volume_of_the_days_before_and_twap_until_there_is_one() -> None:
    floor = Floor(Vwap(universe=ONE, sessions=two_days(), horizon=4), ONE, sessions=two_days())
    volumes = {11: 100.0, 12: 300.0, 13: 500.0, 14: 100.0}
    for day, ids in ((0, 1), (24 * 60, 2)):
        for k in range(1, 20):
            row = (orders(day + k, [1000.0], first=ids),) if k == 10 else ()
            floor.slice(minutes(day + k, [10.0], volume=[volumes.get(k, 50.0)]), *row)
    assert floor.sent() == {1: [250.0] * 4, 2: [100.0, 300.0, 500.0, 100.0]}


@pytest.mark.parametrize(("decided", "sent"), [(55, [100.0] * 5 + [900.0] * 5), (60, [500.0] * 10)])
def test_vwap_counts_no_break(decided: int, sent: list[float]) -> None:
    """From 10:30 on the market pauses for an hour; before it 100 shares a minute trade, behind it 900."""
    sessions = two_days(60)
    floor = Floor(Vwap(universe=ONE, sessions=sessions, horizon=10), ONE, sessions=sessions)
    for day in (0, 24 * 60):
        for k in [*range(1, 61), *range(121, 150)]:
            row = (orders(day + k, [5000.0]),) if day and k == decided else ()
            floor.slice(minutes(day + k, [10.0], volume=[100.0 if k <= 60 else 900.0]), *row)
    assert floor.sent() == {1: sent}


def test_vwap_knows_nothing_of_the_running_day() -> None:
    def sent(volume: float) -> Any:
        floor = Floor(Vwap(universe=ONE, sessions=two_days(), horizon=4), ONE, sessions=two_days())
        for day in (0, 24 * 60):
            for k in range(1, 20):
                row = (orders(day + k, [1000.0]),) if day and k == 10 else ()
                floor.slice(minutes(day + k, [10.0], volume=[volume if day else 50.0 + k]), *row)
        return floor.sent()

    assert sent(10.0) == sent(1e5)


def test_a_horizon_ends_at_the_close_and_counts_no_break() -> None:
    def at(k: int, pause: int = 0) -> tuple[int, int]:
        return window(minute(k), 1000, MINUTE_NS, two_days(pause))

    close = minute(390)
    assert at(0) == (390, close)
    assert at(100) == (290, close)
    assert at(389) == (1, close)
    assert at(390) == (390, close + DAY_NS)  # of the next session
    assert at(30, 60) == (300, close)  # an hour of break before it
    assert at(90, 60) == (270, close)  # decided within the break
    assert at(24 * 60 + 390) == (1000, NEVER)  # behind the end of the calendar
    assert window(minute(100), 5, MINUTE_NS, None) == (5, NEVER)
    assert window(minute(100), 5, DAY_NS, two_days()) == (5, NEVER)
