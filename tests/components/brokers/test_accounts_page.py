"""The worked example of docs/accounts.md, recomputed from its own prices."""

import re
from pathlib import Path

import numpy as np

from components.costs.bps import Bps
from components.financing.borrow_fee import BorrowFee
from components.financing.margin_interest import MarginInterest
from tests.components.brokers.made import universe
from tests.components.brokers.routed import Routed
from tests.make import bars, day

PAGE = Path(__file__).parents[3] / "docs" / "accounts.md"
WEEK = (0, 1, 2, 3, 6, 7)  # Tuesday to Tuesday
NAMES = "AB"


def rows() -> list[list[str]]:
    lines = re.findall(r"^\| (?:Tues|Wednes|Thurs|Fri|Mon)day \|.*$", PAGE.read_text(), re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_week_of_the_page_is_what_the_broker_makes_of_its_prices() -> None:
    of = universe(2)
    one = Routed(
        of,
        cash=10_000.0,
        costs=Bps(commission_bps=10),
        short=True,
        leverage=2.0,
        maintenance=0.3,
        financing=(BorrowFee(universe=of, annual_bps=360), MarginInterest(universe=of, annual_bps=720)),
    )
    shown = rows()
    assert len(shown) == len(WEEK)
    for k, row in zip(WEEK, shown, strict=True):
        prices = [float(cell) for cell in row[1:5]]
        book = one.feed(bars(day(k), prices[2:], open=prices[:2]))
        trades = ", ".join(f"{qty:+g} {NAMES[s]}" for s, qty, _ in one.traded()) or "none"
        gross = float(np.abs(book.qty) @ book.mark)
        share = f"{book.equity / gross:.1%}" if gross else "-"
        money = [f"{one.charged():.4f}", f"{book.cash[0]:,.2f}", f"{book.qty[0]:g}", f"{book.qty[1]:g}"]
        assert row[5:] == [trades, *money, f"{book.equity:,.2f}", f"{gross:,.2f}", share]
        if k == 0:
            one.send(day(0), [0, 1], [150, -80])
    (note,) = one.notes()
    assert (note.kind, note.ts, note.value.tolist()) == ("margin_call", day(6), [-107.0])
