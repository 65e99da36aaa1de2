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
from engine.events import DAY_NS, MINUTE_NS, Children, Fills, LegAction
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


def walked(pace: Any, decided: int, bars: range, sessions: Sessions | None = None, fill: str = "next_open") -> Floor:
    """An order of 6,000 shares decided at a minute of these."""
    floor = Floor(pace, ONE, sessions=session() if sessions is None else sessions, fill=fill)
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


@pytest.mark.parametrize("bars", [1, 3])
def test_pov_waits_for_a_bar_of_the_day_and_no_closing_print_sizes_the_first_child(bars: int) -> None:
    """The last bars of the day trade a hundred times what those of the next do."""
    hours = session()
    for fill, sent in (("next_open", NEXT + 1), ("same_close", NEXT + 1)):
        pace = Pov(universe=ONE, sessions=hours, horizon=20, rate=0.1, bars=bars)
        floor = Floor(pace, ONE, sessions=hours, fill=fill)
        for k in [*range(380, 396), *range(NEXT + 1, NEXT + 4)]:
            row = (orders(k, [60_000.0]),) if k == 395 else ()
            floor.slice(minutes(k, [10.0], volume=[1e5 if k < NEXT else 1000.0]), *row)
        assert (sent_at(floor)[0], floor.sent()) == (sent, {1: [100.0] * 3})
    other = Pov(universe=ONE, sessions=hours, horizon=20, bars=bars)
    other.load(pace.save())
    assert other.save() == pace.save()


AT_ONCE = [  # minute of the decision, minutes in which it is sent, with a break from 120 to 210
    (-5, [1, 2, 3]),
    (0, [1, 2, 3]),
    (1, [1, 2, 3]),
    (119, [119, 120, 211]),
    (120, [120, 211, 212]),
    (150, [211, 212, 213]),
    (210, [211, 212, 213]),
    (388, [388, 389, 390]),
    (389, [389, 390]),
    (390, [390]),
    (395, [NEXT + 1, NEXT + 2, NEXT + 3]),
]


@pytest.mark.parametrize(("decided", "sent"), AT_ONCE)
@pytest.mark.parametrize("outside", [True, False])
def test_what_trades_at_its_own_close_is_sent_where_a_slice_of_trading_hours_ends(
    decided: int, sent: list[int], outside: bool
) -> None:
    def inside(k: int) -> bool:
        return 0 < k <= 120 or 210 < k <= 390 or k > NEXT

    bars = [k for k in range(-10, NEXT + 9) if (k < 400 or k > NEXT - 9) and (outside or inside(k) or k == decided)]
    floor = walked(Twap(horizon=3), decided, bars, session((120, 210)), "same_close")  # type: ignore[arg-type]
    assert sent_at(floor) == sent
    assert [(e.ts - OPEN_NS) // MINUTE_NS for e in floor.of(Fills) if e.qty.size] == sent
    assert floor.sent() == {1: [6000.0 / len(sent)] * len(sent)}
    assert floor.ends([1]) == {1: ["FINISHED"]}


def test_what_is_left_at_the_close_at_which_it_trades_ends_there_and_is_not_shown_as_working() -> None:
    floor = Floor(Twap(horizon=9), ONE, sessions=session(), participation=0.1, fill="same_close")
    for k in (388, 389, 390, 391):
        event = minutes(k, [10.0], volume=[10_000.0])
        floor.slice(event, *((orders(k, [6000.0]),) if k == 388 else ()))
        if k == 389:
            assert floor.desk.open_parents().left.tolist() == [4000.0]
    assert (floor.filled(), floor.ends([1])) == ({1: 3000.0}, {1: ["EXPIRED"]})
    assert floor.desk.open_parents().left.tolist() == []


def test_a_decision_of_no_slice_waits_for_the_close_of_the_next_where_it_trades() -> None:
    floor = Floor(Twap(horizon=2), ONE, sessions=session(), fill="same_close")
    floor.slice(minutes(5, [10.0]))
    floor.between(minute(6), orders(6, [200.0]))
    for k in (7, 8, 9):
        floor.slice(minutes(k, [10.0]))
    assert sent_at(floor) == [7, 8]


def test_the_profile_of_vwap_is_that_of_the_slices_in_which_it_trades() -> None:
    """The slices that end at 2 and at the close trade nine times as much as the others."""
    hours = session(days=3)
    for decided, shares in ((1, [100.0, 900.0]), (2, [900.0, 100.0]), (389, [100.0, 900.0])):
        floor = Floor(Vwap(universe=ONE, sessions=hours, horizon=2), ONE, sessions=hours, fill="same_close")
        for day in (0, NEXT):
            for k in range(1, 391):
                row = (orders(day + k, [1000.0]),) if (day, k) == (NEXT, decided) else ()
                floor.slice(minutes(day + k, [10.0], volume=[900.0 if k in (2, 390) else 100.0]), *row)
        assert floor.sent() == {1: shares}
