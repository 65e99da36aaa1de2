"""Positions in lots below a share are whole numbers of lots after any fills: what is sold whole leaves no dust."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.metrics.trades import RoundTrips
from engine.events import Book
from engine.ledger import Ledger
from engine.universe import universe_of
from tests.engine.test_ledger import fills
from tests.make import bars, day

LOTS = (0.1, 0.001, 1e-8, 0.25, 100.0)
WIDE = 60  # symbols, as many as are booked in arrays


def held(lots: list[int], lot: float, *, wide: bool) -> tuple[Book, RoundTrips]:
    """Behind a fill of each of these numbers of lots, in a slice of its own."""
    n = WIDE if wide else 1
    universe = universe_of(tuple(f"S{i}" for i in range(n)), lot=lot)
    ledger, trips = Ledger(universe=universe, cash=1e9), RoundTrips(universe)
    book = ledger.on_bars(bars(day(0), [10.0] * n))
    for k, each in enumerate(lots, 1):
        book = ledger.on_fills(fills(day(k), [(s, each * lot, 10.0, 0.0) for s in range(n)]))
        trips.fill(day(k), 0, each * lot, 10.0, 0.0, day(k))
    return book, trips


@pytest.mark.parametrize("wide", [False, True])
@settings(max_examples=40, deadline=None)
@given(lots=st.lists(st.integers(-9_999, 9_999).filter(bool), min_size=1, max_size=8), lot=st.sampled_from(LOTS))
def test_positions_are_whole_numbers_of_lots_and_nothing_once_all_is_sold(
    wide: bool, lots: list[int], lot: float
) -> None:
    book, _ = held(lots, lot, wide=wide)
    assert set(book.qty.tolist()) == {sum(lots) * lot}
    rest = [] if sum(lots) == 0 else [-sum(lots)]
    book, trips = held(lots + rest, lot, wide=wide)
    assert not book.qty.any()
    assert not np.signbit(book.qty).any()
    assert np.isnan(book.entry).all()
    assert trips.closed
    assert min(trade.quantity for trade in trips.closed) >= 0.999 * lot


def test_what_is_no_whole_number_of_lots_stays_as_it_is() -> None:
    ledger = Ledger(universe=universe_of(("A",), lot=0.1), cash=1e6)
    ledger.on_bars(bars(day(0), [10.0]))
    assert ledger.on_fills(fills(day(1), [(0, 0.1234, 10.0, 0.0)])).qty.tolist() == [0.1234]
