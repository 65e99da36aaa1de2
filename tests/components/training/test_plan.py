"""Windows of trainings: what each may know, and what it is asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.training import plan
from components.training.plan import Length, Once, Rolling, length_of, newest, once, roll
from engine.errors import DataError
from engine.events import DAY_NS
from engine.learning import Span, Task

DAYS = np.arange(100) * DAY_NS + 10**18


def task(window: plan.Window, horizon: int = 1) -> Task:
    return Task(
        model="m",
        use="u",
        options={},
        features="f",
        schema="s",
        inputs="i",
        horizon=horizon,
        train=window.train,
        valid_from=window.valid_from,
        test=window.test,
    )


def label_to(ts: np.ndarray, horizon: int) -> np.ndarray:
    """The open of slice t + 1 + horizon, half a day before its close; never for those at the end."""
    ends = np.append(ts[horizon + 1 :] - DAY_NS // 2, np.full(horizon + 1, 2**63 - 1))
    return ends[: len(ts)]


def spans(windows: tuple[plan.Window, ...]) -> list[tuple[int, int, int, int]]:
    """Positions of slices: first learned from, behind the last, first predicted, behind the last."""
    edges = []
    for window in windows:
        test = window.test or Span(0, 0)
        edges.append(tuple(int(np.searchsorted(DAYS, ts)) for ts in (*_ends(window.train), *_ends(test))))
    return edges  # type: ignore[return-value]


def _ends(span: Span) -> tuple[int, int]:
    return span.since, span.until


def test_an_expanding_walk_learns_from_all_that_went_before() -> None:
    windows = roll(DAYS, Rolling(every=Length(30), window=Length(40)))
    assert spans(windows) == [(0, 40, 40, 70), (0, 70, 70, 100)]


def test_a_sliding_walk_learns_from_as_much_each_time_and_its_last_test_may_be_short() -> None:
    windows = roll(DAYS, Rolling(every=Length(25), window=Length(40), sliding=True))
    assert spans(windows) == [(0, 40, 40, 65), (25, 65, 65, 90), (50, 90, 90, 100)]


def test_lengths_in_days_go_by_the_calendar() -> None:
    ts = DAYS[np.arange(100) % 7 < 5]  # weekdays
    (first, *_) = roll(ts, Rolling(every=length_of("1w"), window=length_of("4w"), valid=length_of("7d")))
    assert np.count_nonzero((ts >= first.train.since) & (ts < first.train.until)) == 20
    assert np.count_nonzero((ts >= (first.valid_from or 0)) & (ts < first.train.until)) == 5
    assert first.test is not None
    assert np.count_nonzero((ts >= first.test.since) & (ts < first.test.until)) == 5


def test_an_embargo_is_left_out_between_the_two() -> None:
    windows = roll(DAYS, Rolling(every=Length(50), window=Length(40), embargo=Length(7)))
    assert spans(windows) == [(0, 40, 47, 97), (0, 90, 97, 100)]


def test_a_walk_may_begin_on_a_day() -> None:
    windows = roll(DAYS, Rolling(every=Length(50), window=Length(40), start=int(DAYS[60]) - 5))
    assert spans(windows) == [(0, 60, 60, 100)]
    sliding = roll(DAYS, Rolling(every=Length(50), window=Length(40), start=int(DAYS[60]), sliding=True))
    assert spans(sliding) == [(20, 60, 60, 100)]


@pytest.mark.parametrize(
    ("rolling", "said"),
    [
        (Rolling(every=Length(5), window=Length(100)), "too little history for one window of 100 slices"),
        (Rolling(every=Length(5), window=Length(98), embargo=Length(2)), "an embargo of 2 slices: the feed has 100"),
        (Rolling(every=Length(5), window=length_of("120d")), "too little history for one window of 120d"),
        (Rolling(every=Length(5), window=Length(40), start=int(DAYS[30])), "the feed has 30 slices before"),
        (Rolling(every=Length(5), window=Length(4), start=int(DAYS[99]) + 1), "lies behind the last slice"),
        (Rolling(every=Length(5), window=Length(40), valid=Length(40)), r"valid \(40 slices\) leaves nothing"),
    ],
)
def test_a_walk_that_cannot_be_is_refused(rolling: Rolling, said: str) -> None:
    with pytest.raises(DataError, match=said):
        roll(DAYS, rolling)


@pytest.mark.parametrize(
    ("ts", "said"),
    [(DAYS[[0, 1, 1, 2]], "comes twice"), (DAYS[[0, 2, 1]], "comes after"), (DAYS[:0], "no slice in the history")],
)
def test_instants_that_stand_twice_or_back_in_time_are_refused(ts: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        roll(ts, Rolling(every=Length(1), window=Length(1)))
    with pytest.raises(DataError, match=said):
        once(ts, Once(until=int(DAYS[1])))


def test_a_fixed_split_has_one_window() -> None:
    assert spans(once(DAYS, Once(until=int(DAYS[60])))) == [(0, 60, 60, 100)]
    part = Once(until=int(DAYS[60]), valid_from=int(DAYS[50]), test_from=int(DAYS[70]), test_until=int(DAYS[80]))
    (window,) = once(DAYS, part)
    assert spans((window,)) == [(0, 60, 70, 80)]
    assert window.valid_from == DAYS[50]
    assert once(DAYS, Once(until=int(DAYS[99]) + 1))[0].test is None


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (Once(until=int(DAYS[0])), "no slice before"),
        (Once(until=int(DAYS[99]) + 30 * DAY_NS), "the feed ends with"),
        (Once(until=int(DAYS[50]), valid_from=int(DAYS[50])), "leaves no slice to learn from or none to stop by"),
        (Once(until=int(DAYS[50]), valid_from=int(DAYS[0])), "leaves no slice to learn from or none to stop by"),
        (Once(until=int(DAYS[50]), test_from=int(DAYS[99]) + 1), "no slice to predict"),
        (Once(until=int(DAYS[50]), test_until=int(DAYS[40])), "no slice to predict"),
    ],
)
def test_a_fixed_split_that_cannot_be_is_refused(split: Once, said: str) -> None:
    with pytest.raises(DataError, match=said):
        once(DAYS, split)


def test_a_horizon_longer_than_its_window_is_refused() -> None:
    (window, *_) = roll(DAYS, Rolling(every=Length(30), window=Length(40)))
    plan.check_known(task(window, 30), DAYS, label_to(DAYS, 30))
    with pytest.raises(DataError, match="no label of horizon 45 to learn from"):
        plan.check_known(task(window, 45), DAYS, label_to(DAYS, 45))
    (window, *_) = roll(DAYS, Rolling(every=Length(30), window=Length(40), valid=Length(10)))
    with pytest.raises(DataError, match="no label of horizon 10 to stop by"):
        plan.check_known(task(window, 10), DAYS, label_to(DAYS, 10))


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "3h", "d", "٣"])
def test_a_length_is_a_number_of_slices_or_days(text: str) -> None:
    with pytest.raises(ValueError, match="a length is"):
        length_of(text)


lengths = st.one_of(st.integers(1, 60).map(Length), st.integers(1, 60).map(lambda d: Length(ns=d * DAY_NS)))
short = st.one_of(st.integers(0, 9).map(Length), st.integers(1, 9).map(lambda d: Length(ns=d * DAY_NS)))


@settings(max_examples=150, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 5), min_size=5, max_size=120),
    rolling=st.builds(
        Rolling, every=lengths, window=lengths, sliding=st.booleans(), valid=short, embargo=short, start=st.none()
    ),
    horizon=st.integers(1, 20),
)
def test_nothing_learned_overlaps_what_is_predicted(gaps: list[int], rolling: Rolling, horizon: int) -> None:
    """By label intervals: of each part, and whatever the gaps between slices."""
    ts = np.cumsum(gaps) * DAY_NS + 10**18
    since = np.append(ts[1:] - DAY_NS // 2, 2**63 - 1)
    until = label_to(ts, horizon)
    try:
        windows = roll(ts, rolling)
    except DataError:
        return
    end = None
    for window in windows:
        made = task(window, horizon)
        low, high = plan.learned(made, ts, until)
        first, last = plan.tested(made, ts)
        assert last > first
        assert end is None or end == first  # tests lie side by side
        end = last
        assert high <= first
        part = slice(low, high)
        assert (until[part] < ts[first]).all()
        assert (until[part] <= since[first:last].min()).all()
        gone = plan.purged(made, ts[part], until[part])
        train = ~gone & (ts[part] < (window.valid_from or 2**63 - 1))
        valid = ts[part] >= (window.valid_from or 2**63 - 1)
        if train.any() and valid.any():
            assert until[part][train].max() <= since[part][valid].min()
    assert end == len(ts)


@pytest.mark.parametrize(
    ("rolling", "judge", "edges"),
    [
        (Rolling(every=Length(9), window=Length(40)), Length(20), (0, 75, 75, 95)),
        (Rolling(every=Length(9), window=Length(40), sliding=True), Length(20), (35, 75, 75, 95)),
        (Rolling(every=Length(9), window=Length(40), embargo=Length(5)), Length(20), (0, 70, 75, 95)),
        (Rolling(every=Length(9), window=Length(75)), Length(20), (0, 75, 75, 95)),
        (Rolling(every=Length(9), window=Length(40)), Length(ns=20 * DAY_NS), (0, 75, 75, 95)),
    ],
)
def test_the_newest_window_leaves_the_last_slices_that_have_an_outcome_to_judge_by(
    rolling: Rolling, judge: Length, edges: tuple[int, ...]
) -> None:
    assert spans((newest(DAYS, label_to(DAYS, 4), rolling, judge),)) == [edges]


@pytest.mark.parametrize(
    ("window", "judge", "horizon"),
    [
        (Length(76), Length(20), 4),
        (Length(1), Length(95), 4),
        (Length(40), Length(20), 99),
        (Length(ns=DAY_NS * 76), Length(20), 4),
    ],
)
def test_a_newest_window_that_cannot_be_is_refused(window: Length, judge: Length, horizon: int) -> None:
    with pytest.raises(DataError, match=f"too little history to learn from {window} and judge by {judge}"):
        newest(DAYS, label_to(DAYS, horizon), Rolling(every=Length(9), window=window), judge)


@settings(max_examples=150, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 5), min_size=5, max_size=120),
    rolling=st.builds(
        Rolling, every=lengths, window=lengths, sliding=st.booleans(), valid=short, embargo=short, start=st.none()
    ),
    judge=lengths,
    horizon=st.integers(1, 20),
)
def test_the_newest_window_learns_from_nothing_that_judges_it(
    gaps: list[int], rolling: Rolling, judge: Length, horizon: int
) -> None:
    ts = np.cumsum(gaps) * DAY_NS + 10**18
    until = label_to(ts, horizon)
    try:
        window = newest(ts, until, rolling, judge)
    except DataError:
        return
    made = task(window, horizon)
    low, high = plan.learned(made, ts, until)
    first, last = plan.tested(made, ts)
    assert high <= first < last
    assert (until[low:high] < ts[first]).all()
    assert (until[first:last] <= ts[-1]).all()
    assert last == len(ts) or until[last] > ts[-1]
