"""What the fold of a session says of its signals."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from components.metrics.fold import SessionFold
from engine.events import DAY_NS, Signal
from engine.universe import universe_of
from tests.components.metrics.folding import DELISTING, DIVIDEND, NAN, SPLIT, actions, closes, folded
from tests.make import bars, day, market, signal


def scored(events: list[Any], n: int) -> dict[str, Any]:
    return folded(*events, universe=universe_of(tuple(f"S{i}" for i in range(n)))).coefficients()


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_signal_is_scored_from_the_next_open_to_the_open_one_horizon_later(horizon: int) -> None:
    slices = market(12, 60, seed=3)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=12) for _ in slices]
    events: list[Any] = []
    for slice_, value in zip(slices, values, strict=True):
        value[rng.random(12) < 0.1] = NAN
        events += [
            slice_,
            Signal(ts=slice_.ts, asof=slice_.ts, source="m", value=value, horizon_ns=horizon * DAY_NS),
        ]
    found = scored(events, 12)
    assert found["ts"].tolist() == [day(k) for k in range(60 - 1 - horizon)]
    for k, (rank_ic, names) in enumerate(zip(found["rank_ic"], found["names"], strict=True)):
        label = slices[k + 1 + horizon].open / slices[k + 1].open - 1
        known = np.isfinite(label) & np.isfinite(values[k])
        assert names == known.sum()
        assert rank_ic == pytest.approx(spearmanr(label[known], values[k][known])[0], abs=1e-12)


def test_a_model_is_scored_over_the_horizon_it_names_once_it_knows_one() -> None:
    slices = market(6, 12, seed=1, holes=0, late=0)
    fold = SessionFold(universe=universe_of(tuple(f"S{i}" for i in range(6))), cash=1.0)
    for k, slice_ in enumerate(slices):
        fold.add(slice_)
        value = np.full(6, NAN) if k < 3 else np.arange(6.0)
        horizon_ns = 0 if k < 3 else 5 * DAY_NS
        fold.add(Signal(ts=slice_.ts, asof=slice_.ts, source="m", value=value, horizon_ns=horizon_ns))
        assert ("m" in fold.models) == (k >= 3)
    fold.finish()
    assert fold.models["m"].horizon == 5
    assert fold.coefficients()["ts"].tolist() == [day(k) for k in range(3, 12 - 1 - 5)]


def test_rule_25_labels_are_adjusted_for_splits_dividends_and_delistings() -> None:
    opens = [[10.0] * 5, [10.0] * 5, [10.0, 5.0, 9.0, NAN, 10.5]]
    events: list[Any] = [bars(day(0), opens[0]), signal(day(0), [1.0, 2.0, 3.0, 4.0, 5.0], source="m")]
    events += [bars(day(1), opens[1])]
    adjusted = actions(
        day(1) + 1, (SPLIT, 1, 2.0, NAN), (DIVIDEND, 2, NAN, 1.0), (DELISTING, 3, NAN, 2.0), (SPLIT, 1, 1.0, NAN)
    )
    events += [adjusted, bars(day(2), opens[2])]
    label = [1.0, 1.0, 9.0 / 9.0, 0.2, 1.05]
    found = scored(events, 5)
    assert found["names"].tolist() == [5]
    assert found["ic"][0] == pytest.approx(np.corrcoef([1, 2, 3, 4, 5], label)[0, 1])
    assert found["rank_ic"][0] == pytest.approx(spearmanr([1, 2, 3, 4, 5], label)[0])


def test_a_held_back_signal_is_scored_from_its_release() -> None:
    slices = market(6, 5, seed=1, holes=0, late=0)
    late = Signal(ts=day(2), asof=day(0), source="m", value=np.arange(6.0), horizon_ns=DAY_NS)
    found = scored([*slices[:3], late, *slices[3:]], 6)
    label = slices[4].open / slices[3].open
    assert found["ts"].tolist() == [day(2)]
    assert found["rank_ic"][0] == pytest.approx(spearmanr(np.arange(6.0), label)[0])


def test_a_signal_released_after_the_open_waits_for_the_next_open() -> None:
    slices = market(6, 4, seed=1, holes=0, late=0)
    late = Signal(ts=slices[1].opened + 1, asof=day(0), source="m", value=np.arange(6.0), horizon_ns=DAY_NS)
    found = scored([slices[0], late, *slices[1:]], 6)
    label = slices[3].open / slices[2].open
    assert found["rank_ic"].tolist() == [pytest.approx(spearmanr(np.arange(6.0), label)[0])]


def test_signals_whose_horizon_has_not_ended_are_not_scored() -> None:
    slices = market(6, 2, holes=0, late=0)
    assert len(scored([slices[0], signal(day(0), np.arange(6.0)), slices[1]], 6)["ts"]) == 0


def test_a_silent_slice_is_scored_as_unknown() -> None:
    slices = market(6, 3, holes=0, late=0)
    found = scored([slices[0], signal(day(0), [NAN] * 6), *slices[1:]], 6)
    assert np.isnan(found["rank_ic"]).all()
    assert found["names"].tolist() == [0]


def test_every_model_has_its_own_coefficients_in_the_order_of_the_wiring() -> None:
    slices = market(6, 20, holes=0, late=0)
    events: list[Any] = []
    for slice_ in slices:
        events += [
            slice_,
            signal(slice_.ts, np.arange(6.0), source="z"),
            signal(slice_.ts, -np.arange(6.0), source="a"),
        ]
    found = scored(events, 6)
    assert found["source"] == ["z"] * 18 + ["a"] * 18
    np.testing.assert_allclose(found["ic"][:18], -found["ic"][18:])


def test_a_session_without_models_has_no_coefficients() -> None:
    found = folded(*closes([10, 20])).coefficients()
    assert list(found) == ["ts", "source", "ic", "rank_ic", "names"]
    assert len(found["ts"]) == 0
