"""A trained agent while a session lives: its state, parents that change, and days that it does not know."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.execution.pace import Market as Slice
from components.execution.pace import Parents
from engine.events import Bars
from tests.components.rl.replaying import FEED, drawn_of, game_of, pace_of


def parents_of(bars: Bars, step: int, left: float, total: float = 700.0, ids: int = 9) -> Parents:
    one = np.ones(1)
    return Parents(
        ids=np.array([ids], np.uint64),
        symbol=np.zeros(1, np.int32),
        total=one * total,
        left=one * left,
        step=np.array([step]),
        steps=np.array([7]),
        lot=one,
        arrival=one * bars.close[0],
    )


def slices(days: int) -> list[Bars]:
    return [event for event in FEED.events() if isinstance(event, Bars)][: days * 10]


def at_end_of(bars: Bars) -> Slice:
    return Slice(ts=bars.ts, interval_ns=bars.interval_ns, status=bars.status, mark=bars.close, volume=bars.volume)


def test_it_goes_on_from_its_state_at_every_slice() -> None:
    _, artefact = game_of("steps of three bars")
    one, sent = pace_of(artefact), []
    for k, bars in enumerate(slices(3)):
        one.on_bars(bars)
        other = pace_of(artefact)
        other.load(one.save())
        step = k % 10
        if step < 7:
            parents = parents_of(bars, step, 700.0 - 50 * step, ids=1 + k // 10)
            sent.append(one.due(parents, at_end_of(bars)).tolist())
            assert other.due(parents, at_end_of(bars)).tolist() == sent[-1]
        one, other = other, one
    assert len({value for each in sent for value in each}) > 3


def test_what_a_day_left_goes_on_the_next_and_who_asks_again_is_answered_alike() -> None:
    _, artefact = game_of("compact")
    pace, seen = pace_of(artefact), slices(2)
    for bars in seen[:10]:
        pace.on_bars(bars)
    parents = parents_of(seen[9], 0, 700.0)
    assert pace.due(parents, at_end_of(seen[9])).tolist() == [0.0]  # its day has no bar left
    pace.on_bars(seen[10])
    later = msgspec.structs.replace(parents, step=np.array([1]))
    first = pace.due(later, at_end_of(seen[10]))
    assert pace.due(later, at_end_of(seen[10])).tolist() == first.tolist()
    fresh = pace_of(artefact)
    for bars in seen[:11]:
        fresh.on_bars(bars)
    as_new = msgspec.structs.replace(parents, steps=np.array([6]))
    assert first.tolist() == fresh.due(as_new, at_end_of(seen[10])).tolist()


def test_a_replaced_parent_is_worked_in_its_new_size() -> None:
    _, artefact = game_of("compact")
    pace, seen = pace_of(artefact), slices(1)
    pace.on_bars(seen[0])
    pace.due(parents_of(seen[0], 0, 700.0), at_end_of(seen[0]))
    pace.on_bars(seen[1])
    pace.due(parents_of(seen[1], 1, 1400.0, total=1400.0), at_end_of(seen[1]))
    assert pace._memory.quantity.tolist() == [1400.0]
    assert pace._memory.history[0, :2].tolist() == [1400.0, 1400.0]


def test_a_parent_whose_horizon_begins_anew_is_worked_as_a_new_one() -> None:
    _, artefact = game_of("compact")
    pace, fresh, seen = pace_of(artefact), pace_of(artefact), slices(1)
    for k in range(2):
        pace.on_bars(seen[k]), fresh.on_bars(seen[k])
        pace.due(parents_of(seen[k], k, 700.0), at_end_of(seen[k]))
    pace.on_bars(seen[2]), fresh.on_bars(seen[2])
    larger = parents_of(seen[2], 0, 2800.0, total=2800.0)
    assert pace.due(larger, at_end_of(seen[2])).tolist() == fresh.due(larger, at_end_of(seen[2])).tolist()
    assert pace._memory.start.tolist() == [2]


# ---- days that it does not know --------------------------------------------------------------------------------------


def test_a_day_longer_than_any_of_its_training_goes_on_at_an_even_pace() -> None:
    _, artefact = game_of("compact")
    short, seen = drawn_of(artefact, bars=6), slices(2)
    pace, sent = pace_of(short), []
    for bars in seen[:10]:
        pace.on_bars(bars)
        sent.append(pace.due(parents_of(bars, 0, 700.0), at_end_of(bars)).tolist())
    assert sent[6:] == [[100.0]] * 3 + [[0.0]]  # a seventh of what is left, slice after slice; nothing at the close
    pace.on_bars(seen[10])
    other = pace_of(short)
    other.load(pace.save())
    parents = parents_of(seen[10], 1, 300.0, ids=9)
    first = pace.due(parents, at_end_of(seen[10]))
    assert other.due(parents, at_end_of(seen[10])).tolist() == first.tolist()
    assert pace._memory.start.tolist() == [0]  # the next day it decides again


@pytest.mark.parametrize("first", [8, 9, 10])
def test_it_answers_in_the_first_slice_of_a_day_however_much_of_the_day_before_was_seen(first: int) -> None:
    _, artefact = game_of("compact")
    pace, seen = pace_of(artefact), slices(2)
    for bars in seen[first:11]:
        pace.on_bars(bars)
    asked: list[Any] = []

    class All:
        def act(self, observation: Any) -> Any:
            asked.append(observation)
            return np.array([4])

    pace._policy = All()  # type: ignore[assignment]
    assert pace.due(parents_of(seen[10], 0, 700.0), at_end_of(seen[10])).tolist() == [700.0]
    assert len(asked) == 1
