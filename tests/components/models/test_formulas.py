"""Models that are a formula: momentum and the crossing of two averages."""

import math

import numpy as np
import pandas as pd
import pytest

from components.models.ema_cross import EmaCross
from components.models.momentum import Momentum
from engine.events import ActionKind
from engine.protocols import Artefact
from engine.universe import universe_of
from tests.conformance.driving import action
from tests.make import bars, day, market


def names(n: int):
    return universe_of(tuple(f"S{i}" for i in range(n)))


def values(model, slices):
    return np.array([model.on_bars(s).value for s in slices])


def test_momentum_is_the_log_return_over_the_window():
    slices = market(5, 40)
    close = np.array([s.close for s in slices])
    got = values(Momentum(universe=names(5), name="m", window=7), slices)
    assert np.isnan(got[:7]).all()
    np.testing.assert_allclose(got[7:], np.log(close[7:] / close[:-7]), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 4])
def test_rule_25_a_split_and_a_dividend_leave_both_models_as_they_were(n):
    plain = market(n, 60, holes=0.0, late=0)
    raw = [bars(s.ts, s.close / (2.0 if k >= 30 else 1.0)) for k, s in enumerate(plain)]
    for make in (
        lambda: Momentum(universe=names(n), name="m", window=5),
        lambda: EmaCross(universe=names(n), name="m"),
    ):
        one, other = make(), make()
        wanted = values(one, plain)
        got = list(values(other, raw[:30]))
        for s in range(n):
            other.on_actions(action(29, ActionKind.SPLIT, s, ratio=2.0))
        got += list(values(other, raw[30:]))
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def test_rule_26_a_dividend_lowers_past_prices_by_its_share_of_the_close():
    model = Momentum(universe=names(1), name="m", window=1)
    model.on_bars(bars(day(0), [100.0]))
    model.on_actions(action(0, ActionKind.CASH_DIVIDEND, 0, amount=10.0))
    assert model.on_bars(bars(day(1), [90.0])).value == pytest.approx(0.0, abs=1e-12)


def test_ema_cross_equals_pandas():
    slices = market(4, 200, holes=0.0, late=0)
    close = pd.DataFrame([s.close for s in slices])
    fast, slow = (close.ewm(span=span, adjust=False).mean() for span in (12, 26))
    got = values(EmaCross(universe=names(4), name="x"), slices)
    assert np.isnan(got[:25]).all()
    np.testing.assert_allclose(got[25:], (fast / slow - 1).to_numpy()[25:], rtol=1e-9, atol=1e-13)


def test_one_symbol_alone_has_the_bits_it_has_among_others():
    slices = market(3, 120, holes=0.1, late=1)
    together = values(EmaCross(universe=names(3), name="x", fast=3, slow=8), slices)
    for i in range(3):
        alone = [bars(s.ts, s.close[i : i + 1]) for s in slices]
        got = values(EmaCross(universe=names(1), name="x", fast=3, slow=8), alone)[:, 0]
        np.testing.assert_array_equal(got, together[:, i])


def test_rule_06_a_missing_bar_leaves_the_averages_as_they_are():
    prices = [10.0, 11.0, 12.0, 13.0]
    whole = values(
        EmaCross(universe=names(1), name="x", fast=1, slow=3), [bars(day(k), [p]) for k, p in enumerate(prices)]
    )
    holed = EmaCross(universe=names(1), name="x", fast=1, slow=3)
    got = values(holed, [bars(day(k), [p]) for k, p in enumerate([10.0, np.nan, 11.0, 12.0, 13.0])])
    assert math.isnan(got[1, 0])
    np.testing.assert_array_equal(got[[0, 2, 3, 4]], whole)


def test_what_is_older_than_the_lookback_weighs_less_than_a_billionth():
    model = EmaCross(universe=names(1), name="x")
    assert (1 - 2 / 27) ** model.lookback <= 1e-9 < (1 - 2 / 27) ** (model.lookback - 1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Momentum(universe=names(1), name="m", window=0), "window must be at least 1"),
        (lambda: Momentum(universe=names(1), name="m", horizon_ns=0), "horizon_ns"),
        (lambda: EmaCross(universe=names(1), name="x", fast=0), "fast must be at least 1"),
        (lambda: EmaCross(universe=names(1), name="x", fast=5, slow=5), "slow must be more bars than fast"),
        (lambda: EmaCross(universe=names(1), name="x", horizon_ns=-1), "horizon_ns"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_neither_takes_an_artefact():
    for model in (Momentum(universe=names(1), name="m"), EmaCross(universe=names(1), name="x")):
        with pytest.raises(ValueError, match="takes no artefact"):
            model.swap(Artefact(hash="", files={}))
