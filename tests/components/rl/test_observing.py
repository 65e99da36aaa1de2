"""Observations: what they hold, that they know nothing of the future, and that a session sees the same bits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from components.rl.acting import Categorical, Working
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.generated import GeneratedDays
from components.rl.observing import COMPACT_NOW, CURRENT_NOW, HISTORY_NOW, Compact, CurrentStep, FullHistory, Seen
from components.rl.recorder import Recorder
from components.rl.tape import tape_of
from engine.errors import DataError, StateError
from engine.events import Actions, Bars
from tests.components.rl.made import Minutes, env, minutes, orders

OBSERVATIONS = [Compact(), Compact(longer=3), FullHistory(), FullHistory(turned=False), CurrentStep()]


def at(names: tuple[str, ...], seen: Seen, row: int = 0) -> dict[str, float]:
    return dict(zip(names, seen["now"][row].tolist(), strict=True))


def test_the_compact_numbers_of_a_decision() -> None:
    days = minutes(lengths=(12, 12, 12))
    of = orders((2, 1, -1, 100, 4, 6))
    game = env(days, of)
    game.reset()
    step = game.step(np.array([1]))
    now, unit = at(COMPACT_NOW, step.observation), 10e-4
    close, opens = (days.by_day(name)[2, 1] for name in ("close", "open"))
    assert now["since_arrival"] == pytest.approx(np.log(close[5] / close[4]) / unit, rel=1e-5)  # it sells: up is good
    assert now["since_open"] == pytest.approx(np.log(close[5] / opens[0]) / unit, rel=1e-5)
    assert now["latest_return"] == pytest.approx(np.log(close[5] / close[4]) / unit, rel=1e-5)
    assert now["longer_return"] == pytest.approx(np.log(close[5] / close[0]) / unit, rel=1e-5)
    volume = days.by_day("volume")[:, 1]
    expected = (volume[0] + volume[1]) / 2
    ratio = (volume[2, 5] - expected[5]) / (volume[2, 5] + expected[5])
    assert now["volume"] == pytest.approx(ratio, rel=1e-5)
    assert now["next_volume"] == pytest.approx(expected[6] / expected[6:11].sum(), rel=1e-5)
    assert (now["remaining"], now["left"], now["buys"], now["known"]) == (0.75, pytest.approx(5 / 6), 0.0, 1.0)
    bought = env(days, replace(of, side=-of.side))
    bought.reset()
    other = at(COMPACT_NOW, bought.step(np.array([1])).observation)
    assert (other["since_open"], other["buys"]) == (-now["since_open"], 1.0)


def test_the_history_shows_the_day_so_far_yesterday_and_what_was_done() -> None:
    days = minutes(lengths=(12, 9, 12))
    game = env(days, orders((1, 0, 1, 100, 2, 4), (0, 0, 1, 100, 2, 4)), observation=FullHistory(turned=False))
    assert game.observation_shapes == {"market": (13, 7), "before": (12, 7), "own": (5, 2), "now": (7,)}
    game.reset()
    seen = game.step(np.array([1, 1])).observation
    tape = tape_of(days, features=True)
    assert tape.features is not None
    assert (seen["market"][0, :5] == tape.features[2, :5]).all()
    assert seen["market"][0, 4].any()
    assert not seen["market"][0, 5:].any()
    assert not seen["market"][0, 0].any()
    assert (seen["before"][0] == tape.features[0, 1:]).all()
    assert not seen["before"][1].any()  # there is no day before the first
    assert seen["own"][0].tolist() == [[1.0, 0.0], [0.75, 0.25], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    now = at(HISTORY_NOW, seen)
    assert (now["buys"], now["sells"], now["tick"], now["step"], now["steps"]) == (1, 0, 4, 1, 4)
    expected = days.by_day("volume")[0, 0, 3:7].sum()
    assert now["quantity"] == pytest.approx(100 / expected, rel=1e-5)
    assert now["remaining"] == 0.75


def test_a_purchase_sees_in_the_history_what_a_sale_sees_of_mirrored_prices() -> None:
    days = minutes(lengths=(12, 9, 12), holes=0.2)
    first = days.by_day("open")[:, :, :1]
    mirrored = {
        name: (first * first / days.by_day(of)).reshape(days.open.shape)
        for name, of in (("open", "open"), ("high", "low"), ("low", "high"), ("close", "close"), ("vwap", "vwap"))
    }
    seen: dict[tuple[bool, int], Seen] = {}
    for is_mirrored, history in ((False, days), (True, replace(days, **mirrored))):
        for side in (1, -1):
            game = env(history, orders((1, 0, side, 100, 2, 4)), observation=FullHistory())
            game.reset()
            seen[is_mirrored, side] = game.step(np.array([1])).observation
    for part in ("market", "before"):
        buys, sells = seen[False, 1][part], seen[False, -1][part]
        np.testing.assert_allclose(buys, seen[True, -1][part], rtol=1e-4, atol=1e-5)
        assert np.abs(buys - sells).max() > 1
        assert (buys[..., 1] >= buys[..., 2]).all()  # the best price of a bar is above the worst
        assert not np.signbit(buys[buys == 0]).any()
        raw = env(days, orders((1, 0, -1, 100, 2, 4)), observation=FullHistory(turned=False))
        raw.reset()
        assert raw.step(np.array([1])).observation[part].tobytes() == sells.tobytes()
        assert raw.schema != game.schema


def test_the_current_step_is_the_order_alone() -> None:
    game = env(minutes(), orders((1, 0, -1, 100, 2, 4)), observation=CurrentStep())
    game.reset()
    now = at(CURRENT_NOW, game.step(np.array([2])).observation)
    assert now == {"side": -1.0, "step": 1.0, "steps": 4.0, "quantity": 100.0, "remaining": 50.0}


def test_a_missing_bar_shows_zeros_and_that_it_is_unknown() -> None:
    days = minutes(lengths=(12, 12), halted=((1, 0),))  # bars 4 to 7
    for observation in (Compact(), FullHistory()):
        game = env(days, orders((1, 0, 1, 100, 3, 6)), observation=observation)
        game.reset()
        seen = game.step(np.array([0])).observation
        if "market" in seen:
            assert seen["market"][0, 4].any()
            assert not seen["market"][0, 5].any()
        else:
            now = at(COMPACT_NOW, seen)
            assert (now["known"], now["latest_return"], now["since_arrival"]) == (0.0, 0.0, 0.0)


# ---- the future ------------------------------------------------------------------------------------------------------


def other_future(days: Days, day: int, tick: int, rng: np.random.Generator) -> Days:
    """Every bar after a bar of a day is another one, may be missing, or have no volume."""
    late = np.zeros((len(days), len(days.universe), days.bars), bool)
    late[day, :, tick + 1 :] = True
    late[day + 1 :] = True
    late = late.reshape(-1, days.bars)
    factor = np.exp(rng.normal(0, 0.1, late.shape))
    columns: dict[str, Any] = {}
    for name in ("open", "high", "low", "close", "vwap"):
        columns[name] = np.where(late, getattr(days, name) * factor, getattr(days, name))
    volume = np.where(rng.random(late.shape) < 0.2, 0.0, days.volume * rng.lognormal(0, 1, late.shape))
    columns["volume"] = np.where(late, volume, days.volume)
    gone = late & (rng.random(late.shape) < 0.2)
    columns["status"] = np.where(gone, np.int32(1), days.status)
    for name in ("open", "high", "low", "close", "vwap", "volume"):
        columns[name] = np.where(gone, np.nan, columns[name])
    return replace(days, **columns)


@pytest.mark.parametrize("observation", OBSERVATIONS, ids=repr)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), day=st.integers(0, 2), start=st.integers(0, 8), steps=st.integers(0, 3))
def test_changing_bars_after_t_changes_no_observation_at_t(
    observation: object, seed: int, day: int, start: int, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    days = minutes(lengths=(12, 12, 12, 12), holes=0.2, seed=seed % 97)
    of = orders((day, 0, 1, 100, start, 6), (day, 1, -1, 100, start, 6))
    steps = min(steps, 10 - start)
    actions = rng.integers(0, 5, (steps, 2))
    seen = []
    for history in (days, other_future(days, day, start + steps, rng)):
        game = env(history, of, observation=observation)
        seen.append(game.reset())
        for action in actions:
            if game.active.all():
                seen[-1] = game.step(action, refill=False).observation
    assert {name: part.tobytes() for name, part in seen[0].items()} == {
        name: part.tobytes() for name, part in seen[1].items()
    }


@pytest.mark.parametrize("observation", OBSERVATIONS, ids=repr)
@pytest.mark.parametrize("calendar", [None, (12, 12, 12, 12)])
def test_slices_that_never_come_change_nothing_that_was_seen_before(
    observation: object, calendar: tuple[int, ...] | None
) -> None:
    """Where a day ends early, or slices within it are left out, is not known before."""

    def seen(*unseen: int) -> list[dict[str, bytes]]:
        """What both orders of a day without these slices see, decision by decision."""
        days = minutes(lengths=(12,) * 4, calendar=calendar, unseen={2: unseen})
        game = env(days, orders((2, 0, 1, 100, 1, 9), (2, 1, -1, 100, 0, 99)), observation=observation)
        found = [game.reset()]
        while len(found) < 9 and game.active.all():
            found.append(game.step(np.array([len(found) < 4, 0], int)).observation)  # a quarter stays to the end
        return [{name: part.tobytes() for name, part in each.items()} for each in found]

    whole = seen()
    assert len(whole) == 9
    for tick in range(9):  # the slice that is the next but one never comes, nor does any behind it
        for unseen in ((tick + 2,), tuple(range(tick + 3, 12))):
            assert seen(*unseen)[: tick + 1] == whole[: tick + 1]


# ---- a session -------------------------------------------------------------------------------------------------------


def decisions(game: OrderEnv, actions: NDArray[Any]) -> dict[tuple[int, int], tuple[Working, Seen]]:
    """What each order of a game saw at each bar of a decision: by episode and tick."""
    found: dict[tuple[int, int], tuple[Working, Seen]] = {}
    seen = game.reset()
    while game.active.any():
        own = game.own
        for row, e in enumerate(game.episode.tolist()):
            if e >= 0:
                columns = {name: getattr(own, name)[row : row + 1].copy() for name in Working.__struct_fields__}
                view = {name: part[row].copy() for name, part in seen.items()}
                found[e, int(own.now[row])] = (Working(**columns), view)
        seen = game.step(actions[np.maximum(game.episode, 0), own.step % actions.shape[1]]).observation
    return found


@pytest.mark.parametrize("observation", OBSERVATIONS, ids=repr)
@pytest.mark.parametrize(
    "feed",
    [
        Minutes(symbols=3, lengths=(12, 7, 12, 12), holes=0.2, idle=(2,), seed=3, splits={(2, 1): 2.0}),
        GeneratedDays(days=6, symbols=2),
    ],
    ids=["minutes", "generated"],
)
def test_a_session_that_records_bar_by_bar_sees_the_same_bits(observation: Any, feed: Any) -> None:
    days = days_of(feed)
    of = generated(days, share=0.05, horizon=6, of="day", start=(1, 3))
    tape = tape_of(days, window=2, features=observation.features)
    game = env(days, of, observation=observation, width=5, bars_per_step=2, tape=tape)
    found = decisions(game, np.random.default_rng(1).integers(0, 5, (len(of), game.steps)))
    sessions = getattr(feed, "sessions", None)
    made = {"universe": feed.universe, "bars": days.bars, "sessions": sessions, "window": 2}
    recorder, day, compared = Recorder(**made, features=observation.features), -1, 0
    for event in feed.events():
        if isinstance(event, Actions):
            recorder.on_actions(event)
        if not isinstance(event, Bars):
            continue
        recorder.on_bars(event)
        day += recorder.tick == 0
        state = recorder.save()
        recorder = Recorder(**made, features=observation.features)
        recorder.load(state)
        for e in np.flatnonzero(of.day == day).tolist():
            if (e, recorder.tick) in found:
                own, expected = found[e, recorder.tick]
                seen = observation.observe(recorder.market(of.symbol[e : e + 1]), own)
                assert {name: part[0].tobytes() for name, part in seen.items()} == {
                    name: part.tobytes() for name, part in expected.items()
                }
                compared += 1
    assert compared == len(found) > len(of)


def test_a_day_that_is_longer_than_those_of_training_is_refused() -> None:
    feed = Minutes(lengths=(12,))
    recorder = Recorder(universe=feed.universe, bars=11)
    *fit, last = (event for event in feed.events() if isinstance(event, Bars))
    for bars in fit:
        recorder.on_bars(bars)
    with pytest.raises(DataError, match="the day has more than 11 bars.*train it on days like these"):
        recorder.on_bars(last)


def test_the_recorded_state_of_other_bars_or_features_is_refused() -> None:
    feed = Minutes(lengths=(12,))
    state = Recorder(universe=feed.universe, bars=12).save()
    with pytest.raises(StateError, match="other bars or features"):
        Recorder(universe=feed.universe, bars=12, features=True).load(state)


def test_the_full_history_needs_a_tape_with_features() -> None:
    days = minutes()
    of = orders((0, 0, 1, 50, 0, 4))
    game = env(days, of, observation=FullHistory(), tape=tape_of(days), action=Categorical(2))
    with pytest.raises(ValueError, match="the tape has none"):
        game.reset()
