"""Look-ups in a table of trading days."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS
from tests.engine.trading_days import DAY, hour, table, tables

# Three days with a lunch break, the second of them half a day; the third opens the evening before and at once.
DAYS = table((0, 9, 17, 12, 13), (1, 33, 37, 0, 0), (2, 37, 65, 44, 45))


@given(sessions=tables(), asked=st.integers(0, 200), part=st.integers(-1, 1))
def test_every_look_up_is_what_a_plain_walk_over_the_days_finds(sessions: Sessions, asked: int, part: int) -> None:
    ts = hour(asked) // 2 + DAY // 2 + part
    days = list(
        zip(*(getattr(sessions, name).tolist() for name in ("opens", "closes", "break_from", "break_to")), strict=True)
    )
    assert sessions.day_of(ts) == next((k for k, (o, c, _, _) in enumerate(days) if o < ts <= c), -1)
    assert sessions.trades_at(ts) == any(o <= ts < c and not b <= ts < e for o, c, b, e in days)
    assert sessions.closes_at(ts) == any(ts == c for _, c, _, _ in days)
    for method, column in ((sessions.next_open, 0), (sessions.next_close, 1)):
        known = [day[column] for day in days if day[column] >= ts]
        if known:
            assert method(ts) == known[0]
        else:
            with pytest.raises(ConfigError, match="it ends with"):
                method(ts)


def test_rule_11_a_close_is_of_the_day_that_ends_and_an_open_of_no_bar_before_it() -> None:
    assert [DAYS.day_of(hour(h)) for h in (9, 10, 17, 18, 33, 34, 37, 38, 65, 66)] == [-1, 0, 0, -1, -1, 1, 1, 2, 2, -1]


def test_rule_11_orders_can_trade_from_the_open_to_just_before_the_close_and_not_at_lunch() -> None:
    assert [h for h in range(70) if DAYS.trades_at(hour(h))] == [
        *(9, 10, 11, 13, 14, 15, 16),
        *range(33, 37),
        *range(37, 44),
        *range(45, 65),
    ]


def test_days_are_counted_by_opens() -> None:
    assert [DAYS.after(hour(h), 1) for h in (9, 17, 20, 32)] == [hour(33)] * 4
    assert DAYS.after(hour(9), 2) == hour(37)
    assert DAYS.after(hour(8), 1) == hour(9)
    assert DAYS.after(hour(64), 0) == hour(37)


def test_behind_the_end_and_before_the_beginning_is_an_error_that_says_so() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^calendar X: it ends with 2018-01-03, and 2018-01-03T18:00:00Z asks for a later day; compile",
    ):
        DAYS.next_close(hour(66))
    with pytest.raises(
        ConfigError, match="it begins with 2018-01-01, and 2018-01-01T08:00:00Z asks for an earlier day"
    ):
        DAYS.after(hour(8), 0)
    with pytest.raises(ConfigError, match="it ends with 2018-01-03"):
        DAYS.after(hour(37), 1)


def test_a_part_of_the_table_is_what_lies_in_the_range() -> None:
    assert DAYS.between(hour(17), hour(36)).opens.tolist() == [hour(9), hour(33)]
    assert DAYS.between(hour(18), hour(37)).label.tolist() == [DAY + DAY_NS, DAY + 2 * DAY_NS]
    part = DAYS.between(hour(40), hour(41))
    assert (len(part), part.name, part.break_to.tolist()) == (1, "X", [hour(45)])
    assert not part.closes_at(hour(17))
    for low, high in ((18, 32), (66, 70), (0, 8)):
        with pytest.raises(ConfigError, match="calendar X"):
            DAYS.between(hour(low), hour(high))


@pytest.mark.parametrize(
    "days",
    [
        ((0, 17, 9, 0, 0),),
        ((0, 9, 9, 0, 0),),
        ((0, 9, 17, 13, 12),),
        ((0, 9, 17, 8, 12),),
        ((0, 9, 17, 12, 17),),
        ((0, 9, 17, 0, 12),),
        ((0, 9, 17, 0, 0), (1, 16, 40, 0, 0)),
        ((1, 9, 17, 0, 0), (0, 33, 40, 0, 0)),
        ((0, 9, 17, 0, 0), (0, 33, 40, 0, 0)),
    ],
)
def test_a_table_that_cannot_be_is_refused(days: tuple[tuple[int, int, int, int, int], ...]) -> None:
    with pytest.raises(ConfigError, match="calendar X: 2018-01-0. must be labelled by a midnight UTC, open before"):
        table(*days)


def test_a_table_of_no_day_or_of_columns_of_different_lengths_is_refused() -> None:
    none = np.empty(0, np.int64)
    with pytest.raises(ConfigError, match="one length above 0, got 0, 0, 0, 0, 0"):
        Sessions(name="X", label=none, opens=none, closes=none, break_from=none, break_to=none)
    one = np.array([DAY])
    with pytest.raises(ConfigError, match="got 1, 1, 1, 0, 1"):
        Sessions(name="X", label=one, opens=one, closes=one + 1, break_from=none, break_to=one)


def test_where_trading_begins_it_had_stopped_before() -> None:
    """The second day opens by itself, the third as the second closes; the first has nothing before it."""
    asked = (9, 10, 12, 13, 14, 17, 20, 33, 37, 45, 65, 70)
    stopped = (9, 10, 12, 12, 14, 17, 20, 17, 37, 44, 65, 70)
    assert [DAYS.stopped_before(hour(h)) for h in asked] == [hour(h) for h in stopped]
