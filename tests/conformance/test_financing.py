"""What all financing keeps: one list of financing components, one battery."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.financing.borrow_fee import BorrowFee
from components.financing.cash_interest import CashInterest
from components.financing.margin_interest import MarginInterest
from engine.events import Book, ChargeKind, Charges
from engine.protocols import Financing
from engine.universe import Universe
from tests.conformance.streams import arrays, same
from tests.make import book, day

UNIVERSE = Universe(
    symbols=("A", "B", "F"),
    currencies=("USD", "EUR"),
    currency=np.array([0, 1, 1], np.int32),
    multiplier=np.array([1.0, 1.0, 50.0]),
    lot=np.ones(3),
    tick=np.zeros(3),
)
Make = Callable[[], Financing]
CASES: dict[str, Make] = {
    "borrow_fee": lambda: BorrowFee(universe=UNIVERSE, annual_bps=50, rates={"F": 0.2}),
    "margin_interest": lambda: MarginInterest(universe=UNIVERSE, annual_bps=600, rates={"EUR": 0.05}, day_count=365),
    "cash_interest": lambda: CashInterest(universe=UNIVERSE, annual_bps=100),
}
pytestmark = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
money = st.floats(-1e6, 1e6).map(lambda x: round(x, 2))
shares = st.integers(-1000, 1000).map(float)
prices = st.floats(0.01, 1e4)


@st.composite
def books(draw: Any) -> Book:
    cash = np.array([draw(money), draw(money)])
    unsettled = np.maximum(cash, 0.0) * draw(st.floats(0, 1))
    columns = {"rate": np.array([1.0, 1.1]), "interest": np.zeros(2), "unsettled": unsettled, "equity": 0.0}
    one = book(day(0), [draw(prices) for _ in range(3)], qty=[draw(shares) for _ in range(3)], **columns)
    return Book(**({name: getattr(one, name) for name in one.__struct_fields__} | {"cash": cash}))


def total(charges: Charges | None) -> float:
    return 0.0 if charges is None else float(charges.amount.sum())


@given(held=books(), days=st.integers(1, 9))
def test_charges_are_finite_of_one_length_and_of_known_currencies(make: Make, held: Book, days: int) -> None:
    charges = make().charges(held, days, day(days))
    if charges is None:
        return
    assert charges.ts == day(days)
    assert {len(column) for column in arrays(charges)} == {len(charges.amount)}
    assert np.isfinite(charges.amount).all()
    assert (charges.amount != 0).all()
    assert set(charges.kind.tolist()) <= set(map(int, ChargeKind))
    own = charges.symbol >= 0
    np.testing.assert_array_equal(charges.currency[own], UNIVERSE.currency[charges.symbol[own]])
    assert (charges.kind.dtype, charges.symbol.dtype, charges.currency.dtype) == (np.int32, np.int32, np.int32)


@given(held=books(), first=st.integers(1, 5), second=st.integers(1, 5))
def test_days_add_up(make: Make, held: Book, first: int, second: int) -> None:
    parts = [total(make().charges(held, days, day(1))) for days in (first, second, first + second)]
    assert parts[0] + parts[1] == pytest.approx(parts[2], rel=1e-12, abs=1e-12)


@given(held=books())
def test_two_fresh_copies_agree_and_nothing_is_changed(make: Make, held: Book) -> None:
    before = [column.copy() for column in arrays(held)]
    assert same([make().charges(held, 3, day(3))], [make().charges(held, 3, day(3))])
    assert same(before, arrays(held))


def test_an_empty_account_pays_nothing(make: Make) -> None:
    columns = {"rate": np.array([1.0, 1.1]), "interest": np.zeros(2), "unsettled": np.zeros(2), "equity": 0.0}
    one = book(day(0), [1.0, 1.0, 1.0], **columns)
    flat = Book(**({name: getattr(one, name) for name in one.__struct_fields__} | {"cash": np.zeros(2)}))
    assert make().charges(flat, 30, day(30)) is None
