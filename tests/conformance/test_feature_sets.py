"""What every feature set keeps: one list of feature sets, one battery."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from components.features.alpha158 import Alpha158
from components.features.alpha360 import Alpha360
from components.features.custom import Custom
from components.features.expression import Expression
from components.features.rolling import Rolling
from components.training.panel import walk
from engine.events import Bars
from tests.components.features.own_columns import Runs, Tilt
from tests.conformance.driving import drive, first_names, frozen, history, resumed_everywhere
from tests.conformance.streams import N, arrays, moved, refuses_moved, same, universe

Make = Callable[..., Any]
STOCKS = universe()
FORMULAS = (
    Expression(column="rise", expr="close / lag(close, 3) - 1"),
    Expression(column="calm", expr="std(log(close / lag(close, 1)), 4)"),
    Expression(column="mid", expr="quantile(close, 5, 0.4) / mean(close, 5) + rank(volume, 4) * slope(high, 3)"),
    Expression(column="tied", expr="corr(close, log(volume), 5) * where(close > open, 1, -1) * close"),
)
CASES: dict[str, Make] = {
    "rolling": lambda u=STOCKS: Rolling(universe=u, windows=(3, 6)),
    "alpha158": lambda u=STOCKS: Alpha158(universe=u, windows=(3, 5, 6), vwap="typical"),
    "alpha158_numpy": lambda u=STOCKS: Alpha158(universe=u, windows=(4,), vwap="typical", kernel="numpy"),
    "alpha158_picked": lambda u=STOCKS: Alpha158(universe=u, windows=(4, 7), pick=("RANK7", "KLEN", "QTLU4")),
    "alpha360": lambda u=STOCKS: Alpha360(universe=u, lags=5, vwap="typical"),
    "custom": lambda u=STOCKS: Custom(universe=u, columns=(*FORMULAS, Tilt(days=4), Runs())),
    "rolling_one_window": lambda u=STOCKS: Rolling(universe=u, windows=(4,)),
}
pytestmark = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())


def test_each_slice_is_answered_with_one_row_a_symbol(make: Make) -> None:
    features = make()
    for event, answer in zip(events := history(), drive(features, events), strict=True):
        if isinstance(event, Bars):
            assert (answer.ts, answer.schema) == (event.ts, features.schema)
            assert answer.value.shape == (N, len(features.names))
            assert answer.value.dtype == np.float64
            assert answer.value.flags.c_contiguous
        else:
            assert answer is None


def test_names_are_unique_and_the_schema_is_that_of_any_copy(make: Make) -> None:
    assert len(set(make().names)) == len(make().names)
    assert make().schema == make().schema != ""


def test_nothing_is_infinite_and_a_missing_name_has_no_feature(make: Make) -> None:
    for event, answer in zip(events := history(), drive(make(), events), strict=True):
        if isinstance(event, Bars):
            assert not np.isinf(answer.value).any()
            assert np.isnan(answer.value[event.status != 0]).all()


def test_something_is_known_after_the_lookback(make: Make) -> None:
    features = make()
    answers = [a for a in drive(features, history()) if a is not None]
    assert np.isfinite(answers[features.lookback].value).any(axis=0).all()


def test_rule_14_values_depend_on_nothing_older_than_the_lookback(make: Make) -> None:
    events = history()
    whole = drive(make(), events)
    start = 8
    later = [e for e in events if e.ts >= [e for e in events if isinstance(e, Bars)][start].ts]
    late = [a for a in drive(make(), later) if a is not None]
    kept = make().lookback - 1
    assert same(late[kept:], [a for a in whole if a is not None][start + kept :])


def test_inputs_are_not_changed(make: Make) -> None:
    events = history()
    before = [arrays(event) for event in events]
    drive(make(), events)
    assert same(before, [arrays(event) for event in events])


def test_an_answer_is_never_changed_afterwards(make: Make) -> None:
    features, events = make(), history()
    kept = []
    for event in events:
        answer = drive(features, [event])[0]
        if answer is not None:
            kept.append((answer, answer.value.copy()))
    assert all(np.array_equal(answer.value, copy, equal_nan=True) for answer, copy in kept)


def test_two_fresh_copies_agree(make: Make) -> None:
    assert same(drive(make(), history()), drive(make(), history()))


def test_state_saved_and_loaded_at_every_point_decides_the_same(make: Make) -> None:
    assert same(drive(make(), history()), resumed_everywhere(make, history()))


@pytest.mark.parametrize("cut", [1, 9, 20])
def test_state_goes_on_in_a_universe_with_names_appended(make: Make, cut: int) -> None:
    """Old names as if nothing had happened, new ones as if everything began here."""
    wide = history(n=N + 2)
    narrow = [first_names(event, N) for event in wide]
    short, longer, cold = make(), make(universe(N + 2)), make(universe(N + 2))
    drive(short, narrow[:cut])
    longer.load(short.save())
    for old, new in zip(narrow[cut:], wide[cut:], strict=True):
        (kept,), (went_on,), (began,) = drive(short, [old]), drive(longer, [new]), drive(cold, [new])
        if kept is not None:
            assert same(went_on.value[:N], kept.value)
            assert same(went_on.value[N:], began.value[N:])


def test_state_of_a_symbol_that_is_gone_or_moved_is_refused(make: Make) -> None:
    refuses_moved(make)


def test_answers_up_to_a_slice_do_not_depend_on_later_ones(make: Make) -> None:
    events, other = history(0), history(1)
    for cut in range(1, len(events)):
        assert same(drive(make(), events[:cut]), drive(make(), events[:cut] + other[cut:])[:cut])


def test_another_order_of_symbols_reorders_the_answer(make: Make) -> None:
    order = np.array([3, 1, 0, 5, 4, 2])
    bars = [event for event in history() if isinstance(event, Bars)]
    plain = drive(make(), bars)
    turned = drive(make(), [frozen(moved(event, order)) for event in bars])
    assert all(same(a.value[order], b.value) for a, b in zip(plain, turned, strict=True))


def test_history_has_the_very_bits_of_the_stream(make: Make) -> None:
    events = history()
    batch = walk(iter(events), make(), 1, events[-1].ts)
    stream = [a.value.astype(np.float32) for a in drive(make(), events) if a is not None]
    assert len(batch.ts) == len(stream) - 2
    assert np.stack(stream[:-2]).tobytes() == batch.features.tobytes()


def test_history_that_begins_later_has_the_same_bits_once_warm(make: Make) -> None:
    events = history()
    slices = [e for e in events if isinstance(e, Bars)]
    since = slices[8 + make().lookback - 1].ts
    whole = walk(iter(events), make(), 1, events[-1].ts, since)
    short = walk((e for e in events if e.ts >= slices[8].ts), make(), 1, events[-1].ts, since)
    assert short.ts[0] == since
    assert whole.features.tobytes() == short.features.tobytes()


def test_a_bad_tick_before_the_lookback_changes_no_bit(make: Make) -> None:
    events = history()
    slices = [k for k, e in enumerate(events) if isinstance(e, Bars)]
    tick = events[slices[3]]
    row = {name: getattr(tick, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, column in row.items():
        column[1] = 1e9 if name != "open" else 1.0
    spoilt = [*events[: slices[3]], frozen(replace(tick, **row)), *events[slices[3] + 1 :]]
    clean = [a for a in drive(make(), events) if a is not None]
    dirty = [a for a in drive(make(), spoilt) if a is not None]
    since = 3 + make().lookback
    assert not same(clean[3], dirty[3])
    assert same(clean[since:], dirty[since:])
