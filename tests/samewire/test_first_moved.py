"""The first event that differs and the first value in it."""

from typing import Any

import numpy as np
import pytest

from engine.events import Bars, Event, Features
from engine.universe import universe_of
from samewire.first_moved import Fetcher, Follower, Moved, Trail, difference, digest
from tests.make import bars, book, day, legs, signal, target

U = universe_of(("A", "B", "C"))


def run(recorder: Any, *runs: list[Event]) -> Any:
    for events in runs:
        recorder.append(["input", *("m" for _ in events[1:])], events)
    return recorder


def a_run(k: int, value: float = 0.5) -> list[Event]:
    return [bars(day(k), [1.0, 2.0, 3.0]), signal(day(k), [value, np.nan, 1.0])]


def test_a_run_that_says_the_same_never_leaves_the_trail() -> None:
    follower = run(Follower(run(Trail(), a_run(0), a_run(1))), a_run(0), a_run(1))
    assert (follower.moved, follower.count, follower.events) == (None, 2, 4)


@pytest.mark.parametrize(
    ("runs", "place", "event", "origin"),
    [
        ([a_run(0), a_run(1, 0.6)], 1, 1, "m"),  # another value
        ([a_run(0), [*a_run(1), signal(day(1), [0, 0, 0])]], 1, 2, "m"),  # one event more
        ([a_run(0), a_run(1)[:1]], 1, 1, ""),  # one less
        ([a_run(0), a_run(1), a_run(2)], 2, 0, "input"),  # an input more
        ([a_run(0, np.nan), a_run(1, 7)], 0, 1, "m"),  # the first of two
    ],
)
def test_it_is_left_at_the_first_event_that_differs(runs: Any, place: int, event: int, origin: str) -> None:
    trail = run(Trail(), a_run(0), a_run(1))
    moved = run(Follower(trail), *runs).moved
    assert isinstance(moved, Moved)
    assert (moved.place, moved.event, moved.origin) == (place, event, origin)


def test_one_event_of_a_run_is_fetched_and_held_against_the_trail() -> None:
    trail = run(Trail(), a_run(0), a_run(1))
    fetcher = run(Fetcher(1, 1), a_run(0))
    assert not fetcher.done
    run(fetcher, a_run(1))
    assert (fetcher.done, fetcher.origin) == (True, "m")
    assert fetcher.found is not None
    assert digest(fetcher.found) == digest(a_run(1)[1])
    assert trail.holds(1, 1, fetcher.found)
    assert not trail.holds(1, 1, a_run(1, 0.7)[1])
    assert not trail.holds(1, 1, None)
    assert trail.holds(1, 2, None)
    assert trail.holds(9, 0, None)


def moved_field(was: Event | None, now: Event | None, **columns: tuple[str, ...]) -> tuple[str, str, str, str]:
    found = difference(was, now, U, columns)
    return found.field, found.symbol, found.was, found.now


def test_the_first_value_is_named_with_its_field_and_symbol() -> None:
    assert moved_field(signal(1, [1, 2, np.nan]), signal(1, [1, 3, 0])) == ("value", "B", "2.0", "3.0")
    assert moved_field(signal(1, [1, 2, np.nan]), signal(1, [1, 2, 0])) == ("value", "C", "nan", "0.0")
    assert moved_field(signal(1, [1, 2, 3], asof=1), signal(1, [1, 2, 3], asof=0)) == ("asof", "", "1", "0")
    assert moved_field(target(1, [0, 0, 1]), target(1, [0, 0, 1], alpha=[1, 2, 3])) == ("alpha", "A", "nan", "1.0")
    assert moved_field(signal(1, [1]), None) == ("event", "", "Signal", "no event")
    assert moved_field(signal(1, [1]), target(1, [1])) == ("event", "", "Signal", "Target")


def test_legs_are_named_by_their_own_symbol_and_ids_as_they_are_written() -> None:
    one, two = legs(symbol=[2, 0], qty=[5, 5]), legs(symbol=[2, 0], qty=[5, 6])
    assert moved_field(one, two) == ("qty", "A", "5.0", "6.0")
    assert moved_field(one, legs(symbol=[2], qty=[5])) == ("ids", "A", "ordered", "nothing")
    other = legs(symbol=[2, 0], qty=[5, 5], ids=np.array([1, 255], np.uint64))
    assert moved_field(one, other) == ("ids", "A", "0000000000000002", "00000000000000ff")


def test_features_are_named_by_their_column_and_money_by_no_symbol() -> None:
    one, two = (Features(ts=1, schema="s", value=np.array([[1.0, x], [3.0, 4.0], [5.0, 6.0]])) for x in (2.0, 7.0))
    assert moved_field(one, two, s=("up", "down")) == ("down", "A", "2.0", "7.0")
    assert moved_field(one, two) == ("value", "A", "2.0", "7.0")
    assert moved_field(book(1, [1, 1, 1], cash=5), book(1, [1, 1, 1], cash=6))[:2] == ("cash", "")
    assert moved_field(bars(1, [1.0, 2, 3], extra=(np.ones(3),)), bars(1, [1.0, 2, 3], extra=(np.zeros(3),)))[:2] == (
        "extra[0]",
        "A",
    )


def test_every_byte_counts() -> None:
    assert digest(signal(1, [0.0])) != digest(signal(1, [-0.0]))
    assert moved_field(signal(1, [0.0, 0, 0]), signal(1, [-0.0, 0, 0])) == ("value", "A", "0.0", "-0.0")
    assert isinstance(a_run(0)[0], Bars)
