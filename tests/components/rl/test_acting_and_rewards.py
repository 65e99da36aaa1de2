"""Amounts, children and rewards by their formulas."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.brokers.fill_rules import whole_lots
from components.rl.acting import Categorical, TwapRelative, Working, children
from components.rl.rewards import EndRatio, PAPenalty, Step


def working(
    quantity: float, *, remaining: float, lot: float = 1.0, step: int = 0, steps: int = 4, bars: int = 1
) -> Working:
    columns: dict[str, Any] = {
        "quantity": quantity,
        "remaining": remaining,
        "lot": lot,
        "start": 0,
        "now": 2,
        "next": 2 + bars,
        "end": 2 + bars * (steps - step),
        "step": step,
        "steps": steps,
    }
    own = {name: np.array([column]) for name, column in columns.items()}
    return Working(**own, side=np.array([1], np.int32), history=np.zeros((1, steps + 1)))


@pytest.mark.parametrize(
    ("action", "chosen", "own", "amount"),
    [
        (Categorical(4), 1, working(100, remaining=100), 25),
        (Categorical(4), 3, working(100, remaining=50), 50),
        (Categorical(4), 1, working(101, remaining=101), 25),
        (Categorical(4), 0, working(100, remaining=40, step=3), 40),
        (Categorical((0.0, 0.1, 1.0)), 1, working(5000, remaining=3000, lot=100.0), 500),
        (TwapRelative(), 1.0, working(100, remaining=60, step=2), 35),  # it catches up
        (TwapRelative(), 1.0, working(100, remaining=20, step=2), 10),  # it is ahead: equal parts
        (TwapRelative(), 2.0, working(100, remaining=20, step=2), 20),
        (TwapRelative(), 1.0, working(3, remaining=3, steps=8), 0),  # less than half a lot waits
        (TwapRelative(), 3.0, working(3, remaining=3, steps=8), 1),
        (TwapRelative(), 3.0, working(100, remaining=60, step=2), 60),
        (TwapRelative(most=1.5), 3.0, working(100, remaining=60, step=2), 52),
        (TwapRelative(), 0.0, working(100, remaining=60, step=3), 60),
    ],
)
def test_amounts(action: Any, chosen: float, own: Working, amount: float) -> None:
    assert action.amounts(np.array([chosen]), own).tolist() == [amount]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Categorical(0), "values must be at least 1"),
        (lambda: Categorical((0.5,)), "two shares of the order"),
        (lambda: Categorical((0.0, 1.5)), "shares of the order from 0 to 1"),
        (lambda: TwapRelative(most=0.5), "most must be at least 1"),
        (lambda: PAPenalty(penalty=-1.0), "penalty must be finite and at least 0"),
        (lambda: PAPenalty(scale=float("nan")), "scale must be finite"),
        (lambda: PAPenalty(against="vwap"), "against must be twap or arrival"),  # type: ignore[arg-type]
        (lambda: PAPenalty(rest="open"), "rest must be close or ignored, got 'open'"),  # type: ignore[arg-type]
        (lambda: EndRatio(rest=""), "rest must be close or ignored, got ''"),  # type: ignore[arg-type]
    ],
)
def test_options_that_make_no_sense_are_refused(made: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()


@given(
    lots=st.integers(1, 10_000),
    lot=st.sampled_from([1.0, 100.0, 0.1, 0.001]),
    share=st.floats(0, 1),
    bars=st.integers(1, 30),
    last=st.booleans(),
    fills=st.lists(st.floats(0, 1), min_size=30, max_size=30),
)
def test_children_are_whole_lots_and_never_more_than_the_order(
    lots: int, lot: float, share: float, bars: int, last: bool, fills: list[float]
) -> None:
    quantity = np.rint(lots) * lot
    own = working(quantity, remaining=quantity, lot=lot, step=3 if last else 0, bars=bars)
    amount = own.remaining.copy() if last else np.floor(np.array([quantity * share]) / lot + 1e-9) * lot
    left, sent = own.remaining.copy(), []
    for bar in range(bars):
        child = children(amount, own, left, bar)
        assert child[0] >= 0
        assert child[0] <= left[0] * (1 + 1e-12)
        assert child[0] == 0 or whole_lots(child, np.array([lot]))[0]
        sent.append(float(child[0]))
        filled = np.floor(fills[bar] * child / lot + 1e-9) * lot
        left = np.rint((left - filled) / lot) * lot
        if bar == bars - 1 and last:
            assert child[0] == pytest.approx(left[0] + filled[0])  # all that was left
    if not last:
        assert sum(sent) <= amount[0] * (1 + 1e-9)
        assert max(sent) - min(sent) <= lot * (1 + 1e-6) or min(fills) < 1
    assert children(amount, own, left, bars)[0] == 0


def step(side: int, price: float, amount: float, *, twap: float = 100.0, done: bool = False, rest: float = 0.0) -> Step:
    one = np.ones(1)
    return Step(
        side=np.array([side], np.int32),
        quantity=one * 200,
        amount=one * amount,
        value=one * amount * price,
        squares=one * 2 * (amount / 2 / 200) ** 2,
        filled=one * amount,
        spent=one * amount * price,
        done=np.array([done]),
        rest=one * rest,
        rest_value=one * rest * 98.0,
        twap=one * twap,
        arrival=one * 99.0,
    )


def test_the_price_advantage_less_the_penalty_for_trading_at_once() -> None:
    reward = PAPenalty(penalty=4.0, scale=0.01)
    squares = 2 * (25 / 200) ** 2
    assert reward.of(step(-1, 101.0, 50))[0] == pytest.approx(0.01 * (100 * 50 / 200 - 4 * squares))
    assert reward.of(step(1, 101.0, 50))[0] == pytest.approx(0.01 * (-100 * 50 / 200 - 4 * squares))
    assert reward.of(step(1, 101.0, 0))[0] == 0
    assert reward.of(step(1, 101.0, 50, twap=np.nan))[0] == pytest.approx(-0.01 * 4 * squares)
    against = PAPenalty(penalty=0.0, against="arrival")
    assert against.of(step(-1, 101.0, 50))[0] == pytest.approx((101 / 99 - 1) * 1e4 * 50 / 200)


def test_the_rest_counts_once_at_the_end_as_if_it_traded_in_one_bar_more() -> None:
    close, ignored = (PAPenalty(penalty=4.0, scale=0.01, rest=rest) for rest in ("close", "ignored"))  # type: ignore[arg-type]
    ended = step(1, 101.0, 50, done=True, rest=150)  # at 98, of 200
    assert close.of(ended)[0] - ignored.of(ended)[0] == pytest.approx(0.01 * (200 * 0.75 - 4 * 0.75**2))
    against = PAPenalty(penalty=0.0, against="arrival")
    last = 99 / 99 - 98 / 99  # of the arrival
    assert against.of(ended)[0] == pytest.approx((1 - 101 / 99) * 1e4 * 0.25 + last * 1e4 * 0.75)
    nobody = step(1, 101.0, 0, done=True, rest=200, twap=np.nan)  # no bar in which it could have traded
    assert close.of(nobody)[0] == 0.0
    assert EndRatio().of(step(1, 101.0, 50, done=True, rest=150))[0] == 0.0  # 98.75 on the mean
    assert EndRatio(rest="ignored").of(step(1, 101.0, 50, done=True, rest=150))[0] == -1.0


@pytest.mark.parametrize(
    ("side", "price", "reward"),
    [(-1, 99.0, -1), (-1, 100.0, 0), (-1, 109.0, 0), (-1, 111.0, 1), (1, 101.0, -1), (1, 92.0, 0), (1, 90.0, 1)],
)
def test_the_end_ratio_by_how_the_price_compares(side: int, price: float, reward: float) -> None:
    assert EndRatio().of(step(side, price, 200, done=True)).tolist() == [reward]
    assert EndRatio().of(step(side, price, 200)).tolist() == [0.0]
    assert EndRatio().of(step(side, price, 0, done=True)).tolist() == [0.0]
