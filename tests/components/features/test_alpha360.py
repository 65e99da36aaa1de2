"""Alpha360: the raw window, told in terms of its newest bar."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.features.alpha360 import Alpha360, feature_names
from engine.universe import universe_of
from tests.components.features.test_rolling import action, scaled
from tests.make import bars, day, market


def alpha(n: int = 1, **options: Any) -> Alpha360:
    return Alpha360(universe=universe_of(tuple(f"S{i}" for i in range(n))), **options)


def test_all_360_equal_pandas() -> None:
    slices = market(4, 90, holes=0.1)
    of = alpha(4, vwap="typical")
    value = np.array([of.on_bars(s).value for s in slices])
    frames = {k: pd.DataFrame([getattr(s, k) for s in slices]) for k in ("close", "open", "high", "low", "volume")}
    frames["vwap"] = (frames["high"] + frames["low"] + frames["close"]) / 3
    wanted = []
    for name in ("close", "open", "high", "low", "vwap", "volume"):
        below = frames["volume"] + 1e-12 if name == "volume" else frames["close"]
        wanted += [(frames[name].shift(lag) / below).where(frames["close"].notna()) for lag in range(59, -1, -1)]
    assert value.shape == (90, 4, 360)
    np.testing.assert_array_equal(value, np.stack([frame.to_numpy() for frame in wanted], axis=2))


def test_names_are_those_of_the_reference() -> None:
    names = feature_names(60)
    assert (len(names), names[0], names[59], names[60], names[-1]) == (360, "CLOSE59", "CLOSE0", "OPEN59", "VOLUME0")


def test_without_a_vwap_its_block_is_nan() -> None:
    of = alpha(lags=2)
    value = [of.on_bars(bars(day(k), [10.0])).value for k in range(2)][-1]
    assert [n for n, x in zip(of.names, value[0], strict=True) if math.isnan(x)] == ["VWAP1", "VWAP0"]


def test_a_split_leaves_the_window_as_it_was() -> None:
    slices = market(2, 12, holes=0.0, late=0)
    split = scaled(slices, 8, 1, price=0.5, shares=2.0)
    plain, told = alpha(2, lags=5), alpha(2, lags=5)
    for k, (s, t) in enumerate(zip(slices, split, strict=True)):
        if k == 8:
            told.on_actions(action(0, 1, 7, ratio=2.0))
        np.testing.assert_allclose(told.on_bars(t).value, plain.on_bars(s).value, rtol=1e-12)


def test_no_volume_today_is_large_but_finite() -> None:
    of = alpha(lags=2, pick=("VOLUME1", "VOLUME0"))
    value = [of.on_bars(bars(day(k), [10.0], volume=[v])).value for k, v in enumerate([5.0, 0.0])][-1]
    np.testing.assert_allclose(value, [[5e12, 0.0]])


@pytest.mark.parametrize(
    ("options", "text"), [({"lags": 0}, "from 1"), ({"lags": 521}, "to 520"), ({"pick": ("CLOSE60",)}, "CLOSE60")]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        alpha(**options)


def test_the_schema_is_another_one_whenever_a_number_may_be() -> None:
    made = [alpha(), alpha(lags=20), alpha(vwap="typical"), alpha(pick=("CLOSE1",))]
    assert len({of.schema for of in made}) == len(made)
