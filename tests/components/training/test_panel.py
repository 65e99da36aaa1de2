"""Walking history: the wiring's own features, and labels that were knowable in time."""

import tracemalloc

import numpy as np
import pytest

from components.features.alpha360 import Alpha360
from components.features.rolling import Rolling
from components.training.intervals import NEVER
from components.training.panel import walk, walk_all
from engine.errors import DataError
from engine.events import DAY_NS, ActionKind, Bars, Features, Timer, Watermark
from engine.universe import universe_of
from tests.conformance.driving import action, drive, history
from tests.make import bars, day, market

N = 6
EVER = day(10_000)


def rolling(n: int = N) -> Rolling:
    return Rolling(universe=universe_of(tuple(f"S{i}" for i in range(n))), windows=(3, 5))


def simple(prices, **columns):
    """One symbol whose bars open and close at these prices."""
    return [bars(day(k), [p], **columns) for k, p in enumerate(prices)]


def labels(events, horizon=1, until=EVER, n=1):
    return walk(iter(events), rolling(n), horizon, until).label[:, 0]


def test_labels_run_from_the_next_open_to_the_open_after_the_horizon():
    np.testing.assert_allclose(labels(simple([10, 11, 12, 15, 30])), [12 / 11 - 1, 15 / 12 - 1, 30 / 15 - 1])
    np.testing.assert_allclose(labels(simple([10, 11, 12, 15, 30]), horizon=3), [30 / 11 - 1])


def test_a_label_begins_with_the_open_it_enters_at_and_ends_with_the_bar_that_brings_its_exit():
    data = walk(iter(simple([10, 11, 12, 15])), rolling(1), 2, EVER)
    opened = [b.opened for b in simple([10, 11, 12, 15])]
    assert (data.ts.tolist(), data.label_from.tolist(), data.label_to.tolist()) == ([day(0)], [opened[1]], [day(3)])


def test_labels_equal_a_plain_loop():
    slices = market(N, 30, holes=0.1)
    opening = np.array([s.open for s in slices])
    for h in (1, 2, 5):
        got = walk(iter(slices), rolling(), h, EVER).label
        wanted = [opening[t + 1 + h] / opening[t + 1] - 1 for t in range(30 - 1 - h)]
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("h", [1, 2, 4])
def test_rule_18_no_label_is_known_later_than_until(h):
    """The last slices of the window have no label yet, and are left out."""
    slices = market(N, 30)
    until = slices[20].ts
    data = walk(iter(slices), rolling(), h, until)
    assert data.label_to.max() == until
    assert len(data.ts) == 20 - h
    earlier = walk(iter(slices), rolling(), h, until - 1)
    assert len(earlier.ts) == 20 - h - 1


def test_nothing_after_until_changes_the_panel():
    slices, other = market(N, 30, seed=1), market(N, 30, seed=2)
    until = slices[20].ts - 1  # its bar has opened, and is not known yet
    one = walk(iter(slices), rolling(), 2, until)
    two = walk(iter([*slices[:20], *other[20:]]), rolling(), 2, until)
    np.testing.assert_array_equal(one.label, two.label)
    np.testing.assert_array_equal(one.features, two.features)


def test_features_are_the_wirings_own_rounded_to_float32():
    events = history(slices=40)
    data = walk(iter(events), rolling(), 1, EVER)
    answers = [a for e, a in zip(events, drive(rolling(), events), strict=True) if isinstance(e, Bars)]
    live = np.array([a.value.astype(np.float32) for a in answers])[: len(data.ts)]
    np.testing.assert_array_equal(data.features, live)
    assert data.features.dtype == np.float32
    assert (data.schema, data.names) == (rolling().schema, rolling().names)


class Plain:
    """A feature set of a user's own, without a window: the feature is the close."""

    names, schema, lookback = ("close",), "plain", 1

    def on_bars(self, bars):
        return Features(ts=bars.ts, schema=self.schema, value=bars.close[:, None].copy())


def test_a_feature_set_without_a_window_is_asked_slice_by_slice():
    slices = market(N, 200)
    data = walk(iter(slices), Plain(), 1, EVER)
    np.testing.assert_array_equal(data.features[..., 0], np.array([s.close for s in slices[:-2]], np.float32))
    assert data.symbols == ()
    assert walk(iter(slices), Plain(), 1, EVER, None, ("A",) * N).symbols == ("A",) * N


class Doubled:
    """A feature set around another, whose window it shows."""

    schema, lookback = "doubled", 6

    def __init__(self, inner):
        self.names, self.window, self._inner = inner.names, inner.window, inner

    def on_bars(self, bars):
        return Features(ts=bars.ts, schema=self.schema, value=2 * self._inner.on_bars(bars).value)


def test_a_feature_set_around_another_is_asked_for_its_own_numbers():
    slices = market(N, 30)
    inner, outer = walk(iter(slices), rolling(), 1, EVER), walk(iter(slices), Doubled(rolling()), 1, EVER)
    np.testing.assert_allclose(outer.features, 2 * inner.features, rtol=1e-6)


def test_symbols_are_those_of_the_feature_set():
    assert walk(iter(market(N, 30)), rolling(), 1, EVER).symbols == tuple(f"S{i}" for i in range(N))


def test_a_panel_holds_its_features_once():
    slices, wide = market(40, 300), Alpha360(universe=universe_of(tuple(f"S{i}" for i in range(40))))
    tracemalloc.start()
    data = walk(iter(slices), wide, 1, EVER)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.features.nbytes > 15e6
    assert peak < 1.5 * data.features.nbytes
    assert data.features.base is None  # an array of its own, not a part of a longer one


def test_slices_before_since_only_warm_up():
    slices = market(N, 30)
    whole = walk(iter(slices), rolling(), 2, EVER)
    later = walk(iter(slices), rolling(), 2, EVER, slices[10].ts)
    assert later.ts[0] == slices[10].ts
    np.testing.assert_array_equal(later.features, whole.features[10:])
    np.testing.assert_array_equal(later.label, whole.label[10:])


def test_rule_25_a_split_within_a_label_is_no_loss():
    events = simple([10, 10, 5, 5])
    events.insert(2, action(1, ActionKind.SPLIT, 0, ratio=2.0))
    np.testing.assert_allclose(labels(events), [0.0, 0.0], atol=1e-12)


def test_a_split_before_the_entry_does_not_touch_the_label():
    events = simple([10, 5, 6, 6])
    events.insert(1, action(0, ActionKind.SPLIT, 0, ratio=2.0))
    np.testing.assert_allclose(labels(events)[0], 0.2)


def test_rule_26_a_dividend_within_a_label_counts_as_income():
    events = simple([100, 100, 95, 95])
    events.insert(2, action(1, ActionKind.CASH_DIVIDEND, 0, amount=5.0))
    np.testing.assert_allclose(labels(events), [0.0, 0.0], atol=1e-12)


def test_rule_23_a_name_delisted_within_a_label_ends_at_its_stated_price():
    events = simple([10, 10, np.nan, np.nan, np.nan])
    events.insert(2, action(1, ActionKind.DELISTING, 0, amount=2.5))
    got = labels(events, horizon=2)
    np.testing.assert_allclose(got, [2.5 / 10 - 1, np.nan])


def test_rule_06_a_missing_bar_at_either_end_has_no_label():
    assert np.isnan(labels(simple([10, 11, np.nan, 13, 14]))).tolist() == [True, True, False]


def test_other_events_are_passed_over():
    events = simple([10, 11, 12])
    events[1:1] = [Timer(ts=day(0), name="x", due=day(0)), Watermark(ts=day(0))]
    np.testing.assert_allclose(labels(events), [12 / 11 - 1])


def test_no_label_at_all_is_one_clear_error():
    with pytest.raises(DataError, match="no label is known by"):
        labels(simple([10, 11]))
    with pytest.raises(DataError, match="no label is known by"):
        labels(simple([10, 11, 12]), until=day(0) - DAY_NS)


def test_the_horizon_is_that_of_the_labels_times_the_interval_of_the_bars():
    assert walk(iter(simple([10, 11, 12, 15, 30])), rolling(1), 3, EVER).horizon_ns == 3 * DAY_NS


def test_a_horizon_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1 slice"):
        labels(simple([1, 2, 3]), horizon=0)


def test_walking_once_gives_the_labels_of_every_horizon_that_walking_for_each_gives() -> None:
    events = market(N, 150, seed=3)
    events = [*events[:20], action(19, ActionKind.SPLIT, 2, ratio=2.0), *events[20:]]
    seen: list[tuple[int, np.ndarray]] = []
    walked = walk_all(iter(events), rolling(), (1, 5), lambda ts, value: seen.append((ts, value)), day(3))
    assert walked.ts.tolist() == [ts for ts, _ in seen] == [day(k) for k in range(3, 150)]
    for horizon in (1, 5):
        apart = walk(iter(events), rolling(), horizon, EVER, day(3))
        known = len(apart.ts)
        assert known == 147 - horizon - 1
        labels = walked.labels[horizon]
        np.testing.assert_array_equal(labels.value[:known], apart.label)
        assert np.isnan(labels.value[known:]).all()
        np.testing.assert_array_equal(labels.until, [*apart.label_to, *[NEVER] * (horizon + 1)])
        np.testing.assert_array_equal(labels.since, [*apart.label_from, *[NEVER] * (horizon + 1)])
        np.testing.assert_array_equal(np.stack([value for _, value in seen])[:known], apart.features)
    with pytest.raises(ValueError, match="horizons must be"):
        walk_all(iter(events), rolling(), (0,), lambda ts, value: None)
