"""Long the best, short the worst."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.strategies.long_short import LongShort
from engine.events import Status
from tests.components.strategies.asked import ask, names, weights
from tests.conformance.driving import action
from tests.make import bars, book, day, signal

NAN, INF = np.nan, np.inf
FLAT = book(day(0), [10.0] * 6, cash=1000.0)
SCORE = [0.6, 0.5, 0.1, -0.1, -0.5, -0.6]


def made(n: int = 6, **options: Any) -> LongShort:
    if "quantile" not in options:
        options.setdefault("count", 2)
    return LongShort(universe=names(n), name="pair", **options)


def test_the_best_are_bought_and_the_worst_sold_short() -> None:
    assert weights(made(), SCORE, FLAT) == [0.25, 0.25, 0, 0, -0.25, -0.25]


def test_gross_and_net_share_out_the_legs() -> None:
    assert weights(made(gross=1.6, net=0.4), SCORE, FLAT) == [0.5, 0.5, 0, 0, -0.3, -0.3]
    assert weights(made(gross=1.0, net=1.0), SCORE, FLAT) == [0.5, 0.5, 0, 0, 0, 0]
    assert weights(made(gross=1.0, net=-1.0), SCORE, FLAT) == [0, 0, 0, 0, -0.5, -0.5]


@pytest.mark.parametrize(("quantile", "each"), [(0.5, 3), (0.34, 2), (0.2, 1), (0.01, 1)])
def test_a_quantile_is_a_count_of_those_that_have_a_score(quantile: float, each: int) -> None:
    found = weights(made(quantile=quantile), SCORE, FLAT)
    assert [sum(w > 0 for w in found), sum(w < 0 for w in found)] == [each, each]
    found = weights(made(quantile=0.5), [0.3, NAN, 0.2, INF, -INF, 0.1], FLAT)
    assert [w != 0 for w in found] == [True, False, False, False, False, True]  # three have one: the middle is out


def test_legs_never_overlap_however_many_are_asked_for() -> None:
    found = weights(made(count=50), SCORE, FLAT)
    assert found == pytest.approx([1 / 6] * 3 + [-1 / 6] * 3)
    assert weights(made(3, count=2), [3, 2, 1], book(day(0), [10.0] * 3, cash=1000.0)) == [0.5, 0, -0.5]


def test_by_score_the_leg_weights_follow_the_distance_from_the_median() -> None:
    found = weights(made(weights="score"), SCORE, FLAT)
    np.testing.assert_allclose(found, [0.5 * 6 / 11, 0.5 * 5 / 11, 0, 0, -0.5 * 5 / 11, -0.5 * 6 / 11], atol=1e-9)


def test_a_leg_at_the_median_is_shared_evenly() -> None:
    assert weights(made(weights="score"), [1, 0, 0, 0, 0, 0], FLAT) == [0.5, 0, -0.25, -0.25, 0, 0]


def test_by_inverse_volatility_the_calm_name_gets_more_and_a_new_one_waits() -> None:
    pair = made(3, count=1, weights="inverse_vol", window=4)
    assert pair.lookback == 5
    wide = made(4, count=2, weights="inverse_vol", window=4)
    close = [np.array([10.0, 10.0, 10.0, 10.0]), np.array([11.0, 10.1, 10.2, 10.4]), np.array([10.0, 10.0, 10.0, 10.0])]
    for k, row in enumerate(close):
        where = book(day(k), row, cash=1000.0)
        target = ask(wide, [4, 3, 2, 1], where)
        if k < 2:
            assert target is None  # two returns are needed
    assert target is not None
    value = target.value * 10.0 / 1000.0
    assert value[0] + value[1] == pytest.approx(0.5)
    assert value[1] / value[0] == pytest.approx(np.log(1.1) / np.log(1.01), rel=1e-9)


def test_a_split_is_no_volatility() -> None:
    plain, split = (made(2, count=1, weights="inverse_vol", window=4) for _ in range(2))
    rows = [[10.0, 10.0], [11.0, 10.5], [10.0, 10.0], [11.0, 10.5]]
    answers = []
    for pair, ratio in ((plain, 1.0), (split, 2.0)):
        for k, row in enumerate(rows):
            shown = [row[0] / (ratio if k > 1 else 1.0), row[1]]
            if k == 2 and ratio > 1:
                pair.on_actions(action(1, 0, 0, ratio=ratio))  # type: ignore[arg-type]
            answer = ask(pair, [2, 1], book(day(k), shown, cash=1000.0))
        assert answer is not None
        answers.append(answer.value * np.array(shown))
    np.testing.assert_allclose(answers[0], answers[1])


def test_no_weight_is_above_the_cap_and_both_legs_shrink_to_the_smaller() -> None:
    assert weights(made(max_weight=0.1), SCORE, FLAT) == [0.1, 0.1, 0, 0, -0.1, -0.1]
    found = weights(made(weights="score", max_weight=0.26), SCORE, FLAT)
    assert found == [0.26, 0.24, 0, 0, -0.24, -0.26]


def test_without_a_ranking_the_last_target_stands() -> None:
    for score in ([NAN] * 6, [0.3] * 6, [INF] * 6, [0.3, NAN, NAN, NAN, NAN, NAN]):
        assert ask(made(), score, FLAT) is None
    one = LongShort(universe=names(1), name="one", count=1)
    assert ask(one, [0.5], book(day(0), [10.0], cash=1000.0)) is None


def test_exploded_scores_are_scores() -> None:
    found = weights(made(weights="score"), [1e300, 1e300, 0, 0, -1e300, -1e300], FLAT)
    assert found == [0.25, 0.25, 0, 0, -0.25, -0.25]


def test_at_equal_scores_the_name_that_is_held_stays_in_its_leg() -> None:
    where = book(day(0), [10.0] * 6, cash=1000.0, qty=[0, 0, 25.0, -25.0, 0, 0])
    found = weights(made(count=1), [1, 1, 1, 0, 0, 0], where)
    assert [np.sign(w) for w in found] == [0, 0, 1, -1, 0, 0]


def test_rule_30_a_halted_holding_keeps_its_shares_and_its_leg_shares_the_rest() -> None:
    where = book(day(0), [10.0] * 6, cash=900.0, qty=[0, 0, 20.0, 0, 0, -10.0])
    target = ask(made(), SCORE, where, status=[0, 0, Status.HALTED, 0, 0, Status.MISSING])
    assert target is not None
    assert where.equity == 1000.0
    assert target.value.tolist() == [15.0, 15.0, 20.0, -20.0, -20.0, -10.0]


def test_rule_22_leavers_are_closed_or_held_as_it_says() -> None:
    where = book(day(0), [10.0] * 6, cash=900.0, qty=[0, 0, 10.0, 0, 0, 0])
    member = np.array([True, True, False, True, True, True])
    sold = ask(made(leavers="close"), SCORE, where, member=member)
    kept = ask(made(), SCORE, where, member=member)
    assert sold is not None
    assert kept is not None
    assert sold.value.tolist() == [25, 25, 0, 0, -25, -25]
    assert kept.value.tolist() == [20, 20, 10, 0, -25, -25]
    masked = ask(made(), [0.6, 0.5, NAN, -0.1, -0.5, -0.6], where)
    assert masked is not None
    assert masked.value.tolist() == kept.value.tolist()


def test_with_no_equity_left_all_is_closed() -> None:
    for cash in (-1000.0, -2000.0):
        where = book(day(0), [10.0] * 6, cash=cash, qty=[100.0, 0, 0, 0, 0, 0])
        target = ask(made(), SCORE, where)
        assert target is not None
        assert not target.value.any()


def test_prices_alone_trade_nothing_when_only_changes_do() -> None:
    pair = made(rebalance="changes")
    first = ask(pair, SCORE, FLAT)
    assert first is not None
    moved = book(day(1), [12.0, 9.0, 10.0, 10.0, 8.0, 13.0], cash=1000.0, qty=first.value)
    second = ask(pair, SCORE, moved)
    assert second is not None
    assert second.value.tolist() == first.value.tolist()
    turned = ask(pair, [0.6, -0.9, 0.1, 0.5, -0.5, -0.6], moved)
    assert turned is not None
    kept = [i for i in range(6) if turned.value[i] == first.value[i]]
    assert kept == [0, 2, 5]  # S1 turns, S3 comes in, S4 leaves its leg


def test_an_unchanged_slice_wants_exactly_what_is_held() -> None:
    pair = made(weights="score")
    first = ask(pair, SCORE, FLAT)
    assert first is not None
    again = ask(pair, SCORE, book(day(1), [10.0] * 6, cash=1000.0, qty=first.value))
    assert again is not None
    np.testing.assert_allclose(again.value, first.value, rtol=1e-12)


@given(
    score=st.lists(st.integers(-20, 20), min_size=4, max_size=10, unique=True),
    style=st.sampled_from(["equal", "score"]),
    net=st.floats(-1.0, 1.0),
)
def test_sums_and_order_hold_for_any_scores(score: list[int], style: Any, net: float) -> None:
    n = len(score)
    where = book(day(0), np.linspace(5, 50, n), cash=1e6)
    found = np.array(weights(made(n, quantile=0.3, weights=style, net=net), np.array(score, float), where))
    assert np.abs(found).sum() == pytest.approx(1.0, abs=1e-7)
    assert found.sum() == pytest.approx(net, abs=1e-7)
    assert (np.diff(found[np.argsort(score)]) >= -1e-9).all()  # a better score has no smaller weight
    scaled = np.array(weights(made(n, quantile=0.3, weights=style, net=net), np.array(score) * 0.01 + 5.0, where))
    np.testing.assert_allclose(scaled, found, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantile": 0.2, "count": 2}, "quantile or count"),
        ({"quantile": 0.6}, "quantile must be above 0 and at most 0.5"),
        ({"count": 0}, "count must be at least 1"),
        ({"gross": NAN}, "gross must be above 0"),
        ({"net": 1.5}, "net must be between"),
        ({"weights": "even"}, "weights must be one of"),
        ({"window": 1}, "window must be between 2"),
        ({"leavers": "sell"}, "leavers must be one of close, hold"),
        ({"rebalance": "never"}, "rebalance must be one of always, changes"),
        ({"interval_ns": -1}, "interval_ns must be at least 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**options)


def test_state_of_another_window_is_refused() -> None:
    from engine.errors import StateError

    state = made(2, weights="inverse_vol", window=5).save()
    with pytest.raises(StateError, match="window was 5"):
        made(2, weights="inverse_vol", window=6).load(state)


def test_the_signal_is_named_where_there_are_several() -> None:
    pair = made(2, count=1, signal="b")
    pair.on_bars(bars(day(0), [10.0, 10.0]))
    two = (signal(day(0), [1, 2], source="a"), signal(day(0), [2, 1], source="b"))
    target = pair.on_signals(two, book(day(0), [10.0, 10.0], cash=100.0))
    assert target is not None
    assert target.value.tolist() == [5.0, -5.0]
    assert target.alpha.tolist() == [2.0, 1.0]
