"""What is sold in a margin call and bought back in a recall, against plain loops."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.brokers.margin_call import Margin, covers, reductions

positions = st.lists(
    st.tuples(st.integers(-60, 60), st.floats(1, 100).map(lambda x: round(x, 2)), st.sampled_from([1.0, 5.0])),
    min_size=1,
    max_size=6,
)


@given(rows=positions, share=st.floats(0, 1.2))
@example(rows=[(1, 1.0, 1.0), (21, 48.0, 1.0)], share=1e-12)
def test_reductions_match_a_plain_loop_that_sells_lot_by_lot(rows, share):
    qty, unit, lot = (np.array(column, float) for column in zip(*rows, strict=True))
    excess = share * float((np.abs(qty) * unit).sum())
    got = reductions(qty, unit, lot, excess)
    left, expected = excess, [0.0] * len(rows)
    for i in sorted(range(len(rows)), key=lambda i: (-abs(qty[i]) * unit[i], i)):
        value = abs(qty[i]) * unit[i]
        if left >= value:
            expected[i], left = -qty[i], left - value
            continue
        while left > 1e-9 * unit[i] * lot[i] and abs(expected[i]) < abs(qty[i]):
            part = min(lot[i], abs(qty[i]) - abs(expected[i]))
            expected[i] -= np.sign(qty[i]) * part
            left -= part * unit[i]
        break
    assert got.tolist() == expected


@given(rows=positions, share=st.floats(0, 1.2))
def test_reductions_are_just_enough_and_never_turn_a_position_over(rows, share):
    qty, unit, lot = (np.array(column, float) for column in zip(*rows, strict=True))
    gross = float((np.abs(qty) * unit).sum())
    got = reductions(qty, unit, lot, share * gross)
    assert (np.abs(got) <= np.abs(qty)).all()
    assert (got * qty <= 0).all()
    after = float((np.abs(qty + got) * unit).sum())
    assert after <= max(gross - share * gross, 0.0) + 1e-6
    last = [i for i in range(len(qty)) if got[i] and got[i] != -qty[i]]
    if last:  # one lot less would not have been enough
        assert after + unit[last[0]] * lot[last[0]] > gross - share * gross - 1e-6


def test_the_largest_value_goes_first_and_ties_go_in_the_order_of_the_universe():
    qty, unit, one = np.array([10.0, -40.0, 40.0]), np.array([1.0, 2.0, 2.0]), np.ones(3)
    assert reductions(qty, unit, one, 80.0).tolist() == [0.0, 40.0, 0.0]
    assert reductions(qty, unit, one, 81.0).tolist() == [0.0, 40.0, -1.0]
    assert reductions(qty, unit, one, 1e9).tolist() == [-10.0, 40.0, -40.0]


def test_a_position_whose_value_is_not_known_is_left_alone():
    assert reductions(np.array([5.0, 5.0]), np.array([np.nan, 1.0]), np.ones(2), 99.0).tolist() == [0.0, -5.0]


@given(rows=st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 60)), min_size=1, max_size=5))
def test_covers_buy_back_the_excess_and_no_more(rows):
    qty, lent = (np.array(column, float) for column in zip(*rows, strict=True))
    bought = covers(qty, lent, np.ones(len(qty)))
    for q, available, back in zip(qty, lent, bought, strict=True):
        assert back == max(0.0, -q - available)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"short": False, "leverage": 0.5, "maintenance": None}, "leverage must be finite and at least 1"),
        ({"short": False, "leverage": float("nan"), "maintenance": None}, "leverage must be finite and at least 1"),
        ({"short": False, "leverage": 1.0, "maintenance": 0.2}, "maintenance is for a margin account"),
        ({"short": False, "leverage": 2.0, "maintenance": 0.5}, "below 1 / leverage = 0.5, got 0.5"),
        ({"short": True, "leverage": 1.0, "maintenance": 0.0}, "above 0 and below 1 / leverage = 1"),
        ({"short": True, "leverage": 1.0, "maintenance": float("nan")}, "above 0 and below 1 / leverage"),
    ],
)
def test_a_margin_that_cannot_be_is_refused_with_what_to_say(options, said):
    with pytest.raises(ValueError, match=said):
        Margin(**options)


def test_a_margin_that_can_be_passes():
    Margin(short=True, leverage=1.0, maintenance=0.3)
    Margin(short=False, leverage=2.0, maintenance=0.25)
    Margin(short=False, leverage=1.0, maintenance=None)
