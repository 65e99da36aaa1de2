"""An answer that knows what came after it is refused, whichever way it knows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from components.training.asked_again import asked, check_blind
from engine.errors import ConfigError, LookAheadError
from engine.instants import day_text
from engine.protocols import Dataset
from tests.make import day

T, N = 40, 3
X = np.random.default_rng(2).normal(size=(T, N, 1)).astype(np.float32)
X[5, 1] = np.nan


def shown(slices: int = T) -> Dataset:
    stamps = np.array([day(k) for k in range(slices)], np.int64)
    return Dataset(
        names=("x",),
        schema="s",
        symbols=("A", "B", "C"),
        ts=stamps,
        features=X[:slices],
        label=np.full((slices, N), np.nan),
        label_from=stamps + 1,
        label_to=stamps + 2,
        horizon_ns=1,
        weight=np.ones((slices, N)),
    )


class Saying:
    """Answers by a function of the features (T, N)."""

    def __init__(self, say: Callable[[Any], Any]) -> None:
        self._say = say
        self.asked: list[int] = []

    def predict(self, dataset: Dataset, /) -> Any:
        self.asked.append(len(dataset.ts))
        assert dataset.weight is not None
        assert len(dataset.label) == len(dataset.label_to) == len(dataset.weight) == len(dataset.ts)
        return self._say(dataset.features[:, :, 0].astype(float))


def checked(say: Callable[[Any], Any], first: int = 4, slices: int = T) -> Saying:
    model = Saying(say)
    check_blind(lambda: model, shown(slices), asked(model, shown(slices)), first)
    return model


def ahead(steps: int) -> Callable[[Any], Any]:
    """The answer of each slice is the feature `steps` later; at the end its own."""
    return lambda x: np.concatenate([x[steps:], x[len(x) - min(steps, len(x)) :]])


def looking_back(x: Any) -> Any:
    return x + np.concatenate([np.full((3, N), np.nan), x[:-3]])[: len(x)]


@pytest.mark.parametrize(
    "say", [lambda x: x, lambda x: np.full_like(x, np.nan), looking_back, partial(np.cumsum, axis=0)]
)
def test_answers_of_what_is_known_pass(say: Callable[[Any], Any]) -> None:
    checked(say)


def test_each_slice_is_asked_for_alone_and_more_is_shown_only_to_one_that_remembers_more() -> None:
    assert checked(lambda x: x).asked == [T] + [1] * (T - 5)
    assert checked(looking_back).asked == [T, 1] + [4] * (T - 5)
    assert checked(partial(np.cumsum, axis=0)).asked[:4] == [T, 1, 4, 5]


def test_what_one_that_remembers_all_is_shown_is_bounded() -> None:
    long = msgspec.structs.replace(shown(), **{k: np.tile(getattr(shown(), k), (50, 1)) for k in ("label", "weight")})
    stamps = np.array([day(k) for k in range(50 * T)], np.int64)
    features = np.tile(X, (50, 1, 1))
    long = msgspec.structs.replace(long, ts=stamps, features=features, label_from=stamps + 1, label_to=stamps + 2)
    model = Saying(partial(np.cumsum, axis=0))
    check_blind(lambda: model, long, asked(model, long), 0)
    assert sum(model.asked) < (64 + 16 + 4) * 50 * T
    ahead_of_all = Saying(lambda x: np.cumsum(x, axis=0) + np.nanmean(x))
    with pytest.raises(LookAheadError):
        check_blind(lambda: ahead_of_all, long, asked(ahead_of_all, long), 0)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_one_that_looks_ahead_is_refused_with_the_slice(steps: int) -> None:
    with pytest.raises(ConfigError, match=r"Saying.predict answers -?\d.* at 2018-01-0\d.*cut off.*look at no slice"):
        checked(ahead(steps))


def test_statistics_of_the_whole_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="cut off"):
        checked(lambda x: (x - np.nanmean(x)) / np.nanstd(x))


def test_what_only_the_presence_of_an_answer_tells_is_refused() -> None:
    with pytest.raises(ConfigError, match="answers nan for A at .* and 1.0 when"):
        checked(lambda x: np.where(np.arange(len(x))[:, None] < len(x) - 3, np.nan, np.ones(N)))


def test_last_bits_that_move_are_told_as_such() -> None:
    with pytest.raises(ConfigError, match="answer slice by slice"):
        checked(lambda x: x * (1 + 1e-14 * len(x)))


def test_a_guess_is_told_from_a_look_ahead() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="the same question differently each time"):
        checked(lambda x: rng.normal(size=x.shape))


@pytest.mark.parametrize(("first", "slices", "count"), [(0, 1, 1), (3, 4, 1), (0, 2, 2), (38, 40, 2), (0, 3, 3)])
def test_few_slices_are_asked_again_as_far_as_there_are_later_ones(first: int, slices: int, count: int) -> None:
    assert len(checked(lambda x: x, first, slices).asked) == count
    if count > 1:
        with pytest.raises(ConfigError, match="cut off"):
            checked(ahead(1), first, slices)


def test_another_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Saying.predict answered \(40,\) for 40 slices of 3 symbols"):
        checked(lambda x: x[:, 0])


class Rare:
    """Answers by the features, but at one slice, where a hole would be, by those of the next."""

    def __init__(self, at: int, lookback: int = 1) -> None:
        self._at, self.lookback = day(at), lookback

    def predict(self, dataset: Dataset, /) -> Any:
        x = dataset.features[:, :, 0].astype(float)
        there = np.flatnonzero(dataset.ts[:-1] == self._at)
        x[there] = x[there + 1]
        return x


@pytest.mark.parametrize("at", range(4, T - 1))
@pytest.mark.parametrize("lookback", [1, 5])
def test_a_look_ahead_at_one_slice_alone_is_found_wherever_it_is(at: int, lookback: int) -> None:
    model = Rare(at, lookback)
    with pytest.raises(LookAheadError, match=f"at {day_text(day(at))} when"):
        check_blind(lambda: model, shown(), asked(model, shown()), 4)


class Keeps:
    """Looks two slices ahead in whatever it was shown so far: it keeps the longest history that it has seen."""

    lookback = 1

    def __init__(self) -> None:
        self._seen = shown(0)

    def predict(self, dataset: Dataset, /) -> Any:
        if len(dataset.ts) > len(self._seen.ts):
            self._seen = dataset
        known = self._seen.features[:, :, 0].astype(float)
        at = np.searchsorted(self._seen.ts, dataset.ts)
        return known[at] - known[np.minimum(at + 2, len(known) - 1)]


def test_one_that_remembers_what_it_was_shown_first_is_found() -> None:
    with pytest.raises(LookAheadError, match="Keeps.predict answers"):
        check_blind(Keeps, shown(), asked(Keeps(), shown()), 4)


@pytest.mark.parametrize("endless", [np.inf, -np.inf])
def test_an_infinite_answer_is_no_missing_opinion(endless: float) -> None:
    def say(x: Any) -> Any:
        return np.where(np.arange(len(x))[:, None] == 7, endless, x)

    with pytest.raises(ConfigError, match=rf"Saying.predict answers {endless} for A at {day_text(day(7))}; .* or NaN"):
        asked(Saying(say), shown())
