"""Trading hours: what is worked in them, and what waits out of them, bars or no bars."""

from typing import Any

import numpy as np
import pytest

from components.execution.immediate import Immediate
from components.execution.pov import Pov
from components.execution.twap import Twap
from components.execution.vwap import Vwap
from components.metrics.execution import ExecutionFold
from engine.calendar import Sessions
from engine.events import DAY_NS, MINUTE_NS, Children, LegAction
from engine.universe import universe_of
from tests.components.execution.floor import OPEN_NS, Floor, minute, minutes, orders

ONE = universe_of(("A",))
NEXT = 24 * 60  # minutes to the next day


def session(pause: tuple[int, int] | None = None, days: int = 2) -> Sessions:
    """Days from 09:30 to 16:00 in New York; of a break, the minutes after the open."""
    opens = OPEN_NS + np.arange(days) * DAY_NS
    none = np.zeros(days, np.int64)
    since, until = (none, none) if pause is None else (opens + k * MINUTE_NS for k in pause)
    label = opens // DAY_NS * DAY_NS
    return Sessions(
        name="X", label=label, opens=opens, closes=opens + 390 * MINUTE_NS, break_from=since, break_to=until
    )


def sent_at(floor: Floor) -> list[int]:
    """Minutes after the open at which new children went out."""
    return [
        (event.ts - OPEN_NS) // MINUTE_NS
        for event in floor.of(Children)
        for _ in range(np.count_nonzero(event.action == LegAction.NEW))
    ]


def walked(pace: Any, decided: int, bars: range, sessions: Sessions | None = None) -> Floor:
    """An order of 6,000 shares decided at a minute of these."""
    floor = Floor(pace, ONE, sessions=session() if sessions is None else sessions)
    for k in bars:
        floor.slice(minutes(k, [10.0]), *((orders(k, [6000.0]),) if k == decided else ()))
    return floor


@pytest.mark.parametrize("decided", [-27, -1, 0])
def test_an_order_decided_before_the_open_is_worked_from_the_open_on(decided: int) -> None:
    floor = walked(Twap(horizon=20), decided, range(-30, 40))
    assert sent_at(floor) == list(range(20))
    assert floor.sent() == {1: [300.0] * 20}
    assert floor.ends([1]) == {1: ["FINISHED"]}


@pytest.mark.parametrize("bars_at_night", [True, False])
@pytest.mark.parametrize("decided", [390, 395])
def test_an_order_decided_at_the_close_or_after_it_is_worked_from_the_next_open_on(
    decided: int, bars_at_night: bool
) -> None:
    night = set(range(decided + 1, NEXT + 1)) if bars_at_night else set()
    bars = sorted(night | set(range(380, decided + 1)) | set(range(NEXT + 1, NEXT + 40)))
    floor = walked(Twap(horizon=20), decided, bars)  # type: ignore[arg-type]
    assert sent_at(floor) == list(range(NEXT, NEXT + 20))
    assert floor.filled() == {1: 6000.0}
    assert floor.ledger.book(0).cash[0] == 1e12 - 60_000.0


def test_a_horizon_ends_with_the_close_and_no_child_is_sent_after_it() -> None:
    floor = walked(Twap(horizon=20), 380, range(375, 450))
    assert sent_at(floor) == list(range(380, 390))
    assert floor.ends([1]) == {1: ["FINISHED"]}


def test_horizons_that_span_days_are_worked_in_every_bar() -> None:
    assert sent_at(walked(Twap(horizon=4, span_days=True), -5, range(-30, 40))) == [-5, -4, -3, -2]
    assert sent_at(walked(Twap(horizon=4, span_days=True), 388, range(380, 400))) == [388, 389, 390, 391]


def test_nothing_is_sent_in_a_break_and_its_bars_use_up_no_horizon() -> None:
    pause = (120, 210)
    floor = walked(Twap(horizon=6), 117, range(110, 240), session(pause))
    assert sent_at(floor) == [117, 118, 119, 210, 211, 212]  # 120 begins the break: sent at its end
    assert floor.sent() == {1: [1000.0] * 6}
    assert sent_at(walked(Immediate(), 150, range(110, 240), session(pause))) == [210]


def test_what_no_bar_came_for_is_taken_back_at_a_break_and_at_the_close() -> None:
    bars = [*range(110, 119), *range(130, 140), 211, 212]  # 119 and 120 are missing, 130 ... are in the break
    floor = walked(Twap(horizon=4), 118, bars, session((120, 210)))  # type: ignore[arg-type]
    assert sent_at(floor) == [118, 210, 211, 212]
    assert floor.filled() == {1: 3000.0}  # and as much is in the market
    floor = walked(Immediate(), 395, [*range(380, 400), 2 * NEXT + 1], session(days=3))  # type: ignore[arg-type]
    cancelled = [e.ts for e in floor.of(Children) if (e.action == LegAction.CANCEL).any()]
    assert (sent_at(floor), cancelled) == ([NEXT], [minute(NEXT + 390)])
    assert floor.ends([1]) == {1: ["EXPIRED"]}
    assert floor.filled() == {}


def test_the_profile_of_vwap_knows_trading_hours_only() -> None:
    hours = session(days=4)
    pace = Vwap(universe=ONE, sessions=hours, horizon=5, days=3)
    for day in range(4):
        for k in [*range(-60, 6), *range(390, 450)]:
            volume = [1000.0 if 0 < k <= 390 else 900.0]
            pace.on_bars(minutes(day * NEXT + k, [10.0], volume=volume))
    assert pace.profile()[:5, 0].tolist() == [1000.0] * 5
    assert np.nansum(pace.profile()) == 6000.0  # and the bar that ends at the close


def test_the_figures_of_an_order_are_of_bars_in_hours() -> None:
    floor = Floor(Twap(horizon=2), ONE, sessions=session())
    window, counts = floor.desk.window, floor.desk.counts
    fold = ExecutionFold(universe=ONE, interval_ns=MINUTE_NS, point="open", window=window, counts=counts)
    for k in range(-3, 6):
        event = minutes(k, [10.0 if k > 0 else 70.0])
        given = (orders(k, [10.0]),) if k == -2 else ()
        said = floor.slice(event, *given)
        fold.append((), [event, *given, *said])
    table = fold.table()
    assert (table["twap"].tolist(), table["filled"].tolist(), table["arrival"].tolist()) == ([10.0], [10.0], [70.0])


def test_where_one_session_opens_as_another_closes_nothing_waits() -> None:
    opens = OPEN_NS + np.arange(2) * 390 * MINUTE_NS
    none, label = np.zeros(2, np.int64), (OPEN_NS // DAY_NS + np.arange(2)) * DAY_NS
    both = Sessions(name="X", label=label, opens=opens, closes=opens + 390 * MINUTE_NS, break_from=none, break_to=none)
    floor = walked(Twap(horizon=4), 390, range(385, 400), both)
    assert sent_at(floor) == [390, 391, 392, 393]
    assert sent_at(walked(Twap(horizon=9), 387, range(385, 400), both)) == [387, 388, 389]


def test_what_waits_for_the_open_waits_on_behind_a_restart() -> None:
    floor = walked(Twap(horizon=2), 395, range(385, 400))
    state = floor.desk.save()
    other = Floor(Twap(horizon=2), ONE, sessions=session())
    other.desk.load(state)
    other._wakes = floor._wakes  # timers are kept by the wiring
    for k in range(NEXT + 1, NEXT + 4):
        other.slice(minutes(k, [10.0]))
    assert sent_at(other) == [NEXT, NEXT + 1]
    assert other.filled() == {1: 6000.0}


def test_what_was_decided_before_any_bar_in_hours_is_worked_without_a_profile() -> None:
    floor = walked(Vwap(universe=ONE, sessions=session(), horizon=20), -5, range(-30, 40))
    assert floor.sent() == {1: [300.0] * 20}
    floor = walked(Pov(universe=ONE, horizon=4, rate=0.5, complete=True), -5, range(-30, 40))
    assert sent_at(floor)[0] == 1  # no bar was seen at the open
