"""Filters one by one: who passes, at the bound, without a price, after splits, after a restart."""

from typing import Any

import numpy as np
import pytest

from components.strategies.filters.adv import Adv
from components.strategies.filters.age import Age
from components.strategies.filters.halted import Halted
from components.strategies.filters.limit_locked import LimitLocked
from components.strategies.filters.members import Members
from components.strategies.filters.price import Price
from components.strategies.filters.restricted import Restricted
from components.strategies.filters.sector import Sector
from components.strategies.filters.tradable import Tradable
from engine.errors import DataError
from engine.events import ActionKind, Reference, Status
from engine.protocols import Table
from engine.universe import universe_of
from tests.components.strategies.seen import actions, view
from tests.make import bars, day

NAN = np.nan
U = universe_of(("S0", "S1", "S2"))


def table(*rows: tuple[int, int, float], **more: Any) -> Table:
    """Rows of (slice, symbol, value)."""
    ts, symbol, value = (np.array(column) for column in zip(*rows, strict=True))
    columns = {"on": value.astype(float)} | more
    return Table(path="t.csv", hash="", ts=np.array([day(k) for k in ts]), symbol=symbol, columns=columns)


# ---- the slice alone -------------------------------------------------------------------------------------------------


def test_tradable_is_a_fresh_bar_with_volume() -> None:
    seen = view([1.0, 1.0, 1.0], close=[1.0, NAN, 1.0], volume=[NAN, NAN, 0.0])
    assert Tradable().passes(seen).tolist() == [True, False, False]


def test_halted_is_what_the_exchange_says_and_nothing_else() -> None:
    status = [Status.HALTED, Status.MISSING, Status.FRESH]
    assert Halted().passes(view([1.0, 1.0, 1.0], close=[NAN, NAN, 1.0], status=status)).tolist() == [False, True, True]


def test_price_is_the_last_raw_close_and_bounds_pass() -> None:
    seen = view([5.0, 4.999, NAN], close=[NAN, 4.999, NAN])
    assert Price(minimum=5).passes(seen).tolist() == [True, False, False]
    assert Price(maximum=5).passes(seen).tolist() == [True, True, False]
    assert Price(minimum=4.5, maximum=4.999).passes(seen).tolist() == [False, True, False]


def test_members_are_those_of_the_slice() -> None:
    assert Members(universe=U).passes(view([1.0] * 3, member=[True, False, True])).tolist() == [True, False, True]


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_members_of_a_table_come_and_go_at_their_instants_and_not_before() -> None:
    filter_ = Members(universe=U, table=table((1, 0, 1), (3, 0, 0), (1, 1, 1), (2, 1, NAN), (5, 0, 1)))
    found = [filter_.passes(view([1.0] * 3, k=k)).tolist() for k in range(6)]
    assert found == [[False, False, False]] + 2 * [[True, True, False]] + 2 * [[False, True, False]] + [
        [True, True, False]
    ]


def test_a_table_may_be_asked_for_any_instant_so_there_is_nothing_to_restore() -> None:
    filter_ = Members(universe=U, table=table((1, 0, 1), (3, 0, 0)))
    assert [bool(filter_.passes(view([1.0] * 3, k=k))[0]) for k in (4, 1, 0, 3, 2)] == [False, True, False, False, True]


def test_a_list_restricts_for_ever_and_a_table_for_a_while() -> None:
    filter_ = Restricted(universe=U, symbols=("S2",), table=table((1, 0, 1), (3, 0, 0)))
    found = [filter_.passes(view([1.0] * 3, k=k)).tolist() for k in (0, 1, 2, 3)]
    assert found == [[True, True, False], [False, True, False], [False, True, False], [True, True, False]]


def test_the_last_of_two_rows_of_an_instant_stands() -> None:
    assert Restricted(universe=U, table=table((1, 0, 1), (1, 0, 0))).passes(view([1.0] * 3, k=1)).all()


def test_a_table_with_several_columns_needs_one_named() -> None:
    both = table((1, 0, 1), other=np.zeros(1))
    with pytest.raises(ValueError, match="it has 2 columns"):
        Restricted(universe=U, table=both)
    assert not Restricted(universe=U, table=both, column="on").passes(view([1.0] * 3, k=1))[0]


def test_a_table_of_another_universe_is_refused() -> None:
    with pytest.raises(DataError, match="outside the universe of 3"):
        Restricted(universe=U, table=table((1, 3, 1)))


def test_an_unknown_symbol_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'S1'"):
        Restricted(universe=U, symbols=("S11",))


# ---- history ---------------------------------------------------------------------------------------------------------


def test_traded_value_is_a_mean_in_which_silence_counts_as_nothing() -> None:
    filter_ = Adv(minimum=100.0, window=4, universe=U)
    slices = [([10.0, 10.0, 10.0], [10.0, 40.0, 9.99])] + 3 * [([10.0, NAN, 10.0], [10.0, NAN, 10.0])]
    for k, (close, volume) in enumerate(slices):
        filter_.on_bars(bars(day(k), close, volume=volume))
        fresh = Adv(minimum=100.0, window=4, universe=U)
        fresh.load(filter_.save())
        filter_ = fresh
    assert filter_.passes(view([10.0] * 3)).tolist() == [True, True, False]
    filter_.on_bars(bars(day(4), [10.0, NAN, 10.0], volume=[10.0, NAN, 10.0]))
    assert filter_.passes(view([10.0] * 3)).tolist() == [True, False, True]


def test_the_first_slices_of_a_history_are_not_divided_by_the_window() -> None:
    filter_ = Adv(minimum=100.0, window=20, universe=U)
    filter_.on_bars(bars(day(0), [10.0, 10.0, 10.0], volume=[10.0, 9.0, NAN]))
    assert filter_.passes(view([10.0] * 3)).tolist() == [True, False, False]


def test_a_split_changes_no_traded_value() -> None:
    filter_ = Adv(minimum=100.0, window=2, universe=U)
    filter_.on_bars(bars(day(0), [10.0] * 3, volume=[10.0] * 3))
    filter_.on_bars(bars(day(1), [5.0] * 3, volume=[20.0] * 3))
    assert filter_.passes(view([5.0] * 3)).all()


def test_a_shorter_window_after_a_restart_takes_the_latest_slices() -> None:
    long, short = (Adv(minimum=100.0, window=window, universe=U) for window in (5, 2))
    for k in range(3):
        long.on_bars(bars(day(k), [10.0] * 3, volume=[10.0 * (k > 0)] * 3))
    short.load(long.save())
    assert not long.passes(view([10.0] * 3)).any()
    assert short.passes(view([10.0] * 3)).all()


def test_age_counts_slices_since_the_first_bar_through_holes() -> None:
    filter_, found = Age(slices=2, universe=U), []
    for k, close in enumerate([[1.0, NAN, NAN], [NAN, 1.0, NAN], [1.0, NAN, NAN], [1.0, 1.0, NAN]]):
        filter_.on_bars(bars(day(k), close))
        fresh = Age(slices=2, universe=U)
        fresh.load(filter_.save())
        filter_ = fresh
        found.append(filter_.passes(view([1.0] * 3, k=k)).tolist())
    assert found == 2 * [[False] * 3] + [[True, False, False], [True, True, False]]


def test_a_successor_is_as_old_as_what_it_was_called_before() -> None:
    filter_ = Age(slices=2, universe=U)
    for k in range(3):
        filter_.on_bars(bars(day(k), [1.0, NAN, NAN]))
    filter_.on_actions(actions(ActionKind.SYMBOL_CHANGE, 0, successor=2))
    assert filter_.passes(view([1.0] * 3)).tolist() == [True, False, True]


# ---- limits ----------------------------------------------------------------------------------------------------------


def locked(first: list[float], second: list[float], *between: Any) -> list[list[bool]]:
    filter_ = LimitLocked(limit=0.1, universe=U)
    filter_.on_bars(bars(day(0), first))
    for event in between:
        filter_.on_actions(event)
    fresh = LimitLocked(limit=0.1, universe=U)
    fresh.load(filter_.save())
    fresh.on_bars(bars(day(1), second))
    answer: list[list[bool]] = fresh.passes(view([1.0] * 3, k=1)).tolist()
    return answer


def test_a_limit_up_stops_purchases_and_a_limit_down_short_sales() -> None:
    bought, shorted = locked([10.0, 10.0, 10.0], [11.0, 9.0, 10.99])
    assert (bought, shorted) == ([False, True, True], [True, False, True])


def test_a_first_bar_and_a_missing_one_are_not_locked() -> None:
    assert locked([NAN, 10.0, 10.0], [50.0, NAN, 10.0]) == [[True] * 3, [True] * 3]


def test_splits_and_dividends_move_no_limit() -> None:
    assert locked([10.0] * 3, [5.2, 10.0, 10.0], actions(ActionKind.SPLIT, ratio=2.0)) == [[True] * 3, [True] * 3]
    assert locked([10.0] * 3, [8.9, 10, 10], actions(ActionKind.CASH_DIVIDEND, amount=1.0)) == [[True] * 3, [True] * 3]


# ---- sectors ---------------------------------------------------------------------------------------------------------

SECTORS = Reference(
    ts=1, name="sectors", rows="symbol", value=np.array([[1.0], [0.0], [NAN]]), columns=("banks", "oil")
)


def test_sectors_are_allowed_or_denied_and_none_is_in_none() -> None:
    allow, deny = Sector(allow=("oil",), universe=U), Sector(deny=("oil",), universe=U)
    for filter_ in (allow, deny):
        filter_.on_reference(SECTORS)
    assert allow.passes(view([1.0] * 3)).tolist() == [True, False, False]
    assert deny.passes(view([1.0] * 3)).tolist() == [False, True, True]
    fresh = Sector(deny=("oil",), universe=U)
    fresh.load(deny.save())
    assert fresh.passes(view([1.0] * 3)).tolist() == [False, True, True]


def test_a_sector_that_there_is_not_is_told_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no sector 'oli'; the feed has banks, oil"):
        Sector(deny=("oli",), universe=U).on_reference(SECTORS)


def test_a_feed_without_sectors_is_told() -> None:
    with pytest.raises(ValueError, match="the feed tells no sectors"):
        Sector(deny=("oil",), universe=U).passes(view([1.0] * 3))


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Price(minimum=-1), "minimum must be at least 0"),
        (lambda: Price(minimum=2, maximum=1), "maximum must be at least minimum"),
        (lambda: Price(exit="close"), "exit must be hold or sell"),  # type: ignore[arg-type]
        (lambda: Adv(minimum=0, universe=U), "minimum must be above 0"),
        (lambda: Adv(minimum=1, window=0, universe=U), "window must be at least 1"),
        (lambda: Age(slices=0, universe=U), "slices must be at least 1"),
        (lambda: Sector(universe=U), "allow or deny must name sectors"),
        (lambda: Sector(universe=U, allow=("a",), deny=("b",)), "allow or deny must name sectors"),
        (lambda: LimitLocked(universe=U, limit=0), "limit must be above 0"),
        (lambda: Restricted(universe=U), "symbols or table must be given"),
    ],
)
def test_options_out_of_bounds_are_told(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
