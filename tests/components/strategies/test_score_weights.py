"""Weights by rank, z-score and softmax."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.strategies.score_weights import ScoreWeights
from engine.events import Status
from tests.components.strategies.asked import ask, names, weights
from tests.make import book, day

NAN, INF = np.nan, np.inf
FLAT = book(day(0), [10.0] * 4, cash=1000.0)
SCORE = [0.3, 0.1, 0.1, -0.5]


def made(n: int = 4, **options: Any) -> ScoreWeights:
    return ScoreWeights(universe=names(n), name="w", **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "rank"}, [0.4, 0.25, 0.25, 0.1]),
        ({"method": "rank", "side": "neutral"}, [0.5, 0.0, 0.0, -0.5]),
        ({"method": "zscore"}, [0.6, 0.2, 0.2, 0.0]),
        ({"method": "zscore", "side": "neutral"}, [0.3, 0.1, 0.1, -0.5]),
        ({"method": "zscore", "side": "neutral", "gross": 2.0}, [0.6, 0.2, 0.2, -1.0]),
    ],
)
def test_each_method_gives_the_weights_of_its_formula(options: dict[str, Any], expected: list[float]) -> None:
    assert weights(made(**options), SCORE, FLAT) == pytest.approx(expected, abs=1e-9)


def test_softmax_is_as_sharp_as_its_temperature() -> None:
    score = np.array(SCORE)
    for temperature in (0.05, 1.0, 100.0):
        expected = np.exp(score / temperature) / np.exp(score / temperature).sum()
        assert weights(made(method="softmax", temperature=temperature), SCORE, FLAT) == pytest.approx(
            expected, abs=1e-9
        )
    assert weights(made(method="softmax", temperature=1e-6), SCORE, FLAT) == [1.0, 0.0, 0.0, 0.0]


def test_dividing_by_volatility_gives_calm_names_more_and_stays_neutral() -> None:
    rows = [[10.0] * 4, [11.0, 10.1, 10.1, 10.5], [10.0] * 4, [11.0, 10.1, 10.1, 10.5]]
    for side in ("long", "neutral"):
        strategy = made(method="zscore", side=side, vol_scaled=True, window=6)
        assert strategy.lookback == 7
        for k, row in enumerate(rows):
            found = ask(strategy, [0.3, 0.3, 0.1, -0.5], book(day(k), row, cash=1000.0))
        assert found is not None
        value = found.value * np.array(rows[-1]) / 1000.0
        assert value[1] / value[0] == pytest.approx(np.log(1.1) / np.log(1.01), rel=1e-9)
        assert value.sum() == pytest.approx(0.0 if side == "neutral" else 1.0)


def test_a_cap_is_kept_and_what_it_cuts_goes_to_the_others() -> None:
    assert weights(made(max_weight=0.3), SCORE, FLAT) == pytest.approx(
        [0.3, 0.7 / 2.4, 0.7 / 2.4, 0.28 / 2.4], abs=1e-9
    )
    neutral = weights(made(method="zscore", side="neutral", max_weight=0.2), SCORE, FLAT)
    assert neutral == pytest.approx([0.08, 0.06, 0.06, -0.2], abs=1e-9)
    assert sum(neutral) == pytest.approx(0.0, abs=1e-9)
    assert max(map(abs, neutral)) <= 0.2


def test_what_has_no_ranking_says_nothing() -> None:
    alike, nothing = [0.2] * 4, [NAN, INF, -INF, NAN]
    for options in ({"method": "rank"}, {"method": "softmax"}):
        assert weights(made(**options), alike, FLAT) == [0.25] * 4
        assert ask(made(side="neutral", **options), alike, FLAT) is None
        assert ask(made(**options), nothing, FLAT) is None
    for side in ("long", "neutral"):
        assert ask(made(method="zscore", side=side), alike, FLAT) is None


def test_a_single_name() -> None:
    where = book(day(0), [10.0], cash=1000.0)
    assert weights(made(1), [-3.0], where) == [1.0]
    assert ask(made(1, side="neutral"), [3.0], where) is None


@pytest.mark.parametrize("method", ["rank", "zscore", "softmax"])
def test_exploded_scores_give_weights(method: Any) -> None:
    for side in ("long", "neutral"):
        found = np.array(weights(made(method=method, side=side), [1e300, -1e308, 1e308, NAN], FLAT))
        assert np.isfinite(found).all()
        assert found[2] == found.max() > 0
        assert np.abs(found).sum() == pytest.approx(1.0)
        assert found[3] == 0


def test_rule_30_halted_names_and_leavers() -> None:
    where = book(day(0), [10.0] * 4, cash=700.0, qty=[0, 20.0, 10.0, 0])
    target = ask(made(leavers="close"), [0.3, 0.2, NAN, 0.1], where, status=[0, Status.HALTED, 0, 0])
    assert target is not None
    assert target.value == pytest.approx([80.0 * 2 / 3, 20.0, 0.0, 80.0 / 3])
    target = ask(made(), [0.3, 0.2, NAN, 0.1], where, status=[0, Status.HALTED, 0, 0])
    assert target is not None
    assert target.value == pytest.approx([70.0 * 2 / 3, 20.0, 10.0, 70.0 / 3])


@given(
    score=st.lists(st.integers(-20, 20), min_size=3, max_size=9, unique=True),
    method=st.sampled_from(["rank", "zscore", "softmax"]),
    side=st.sampled_from(["long", "neutral"]),
    cap=st.sampled_from([None, 0.4]),
)
def test_sums_order_and_invariances(score: list[int], method: Any, side: Any, cap: float | None) -> None:
    n, own = len(score), np.array(score, float)
    where = book(day(0), np.linspace(5, 50, n), cash=1e6)
    options: dict[str, Any] = {"method": method, "side": side, "max_weight": cap, "temperature": 5.0}
    found = np.array(weights(made(n, **options), own, where))
    assert (np.abs(found) <= (cap or 1.0) + 1e-8).all()
    if side == "neutral":
        assert found.sum() == pytest.approx(0.0, abs=1e-7)
    else:
        assert (found >= 0).all()
    if cap is None:
        assert np.abs(found).sum() == pytest.approx(1.0, abs=1e-7)
    assert (np.diff(found[np.argsort(own)]) >= -1e-8).all()
    order = np.random.default_rng(n).permutation(n)
    shuffled = book(day(0), where.mark[order], cash=1e6)
    np.testing.assert_allclose(weights(made(n, **options), own[order], shuffled), found[order], atol=1e-8)
    same = own + 100.0 if method == "softmax" else own * 0.03 + 100.0
    np.testing.assert_allclose(weights(made(n, **options), same, where), found, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "square"}, "method must be one of rank, zscore, softmax"),
        ({"side": "short"}, "side must be one of long, neutral"),
        ({"temperature": 0.0}, "temperature must be finite and above 0"),
        ({"gross": -1.0}, "gross must be above 0"),
        ({"max_weight": 0.0}, "max_weight must be above 0"),
        ({"interval_ns": -1}, "interval_ns must be at least 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**options)
