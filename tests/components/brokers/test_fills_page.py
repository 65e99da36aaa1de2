"""The page on fills is worked out anew: every cell of its tables is what the broker does."""

import re
from pathlib import Path

import numpy as np
import pytest

from engine.events import Fills, OrderKind, OrderState, Reports
from tests.components.brokers.made import broker, order
from tests.make import bars, day

PAGE = Path(__file__).parents[3] / "docs" / "fills.md"
KINDS = {
    "market": OrderKind.MARKET,
    "limit": OrderKind.LIMIT,
    "stop": OrderKind.STOP,
    "stop-limit": OrderKind.STOP_LIMIT,
    "trailing stop": OrderKind.TRAILING_STOP,
    "market on open": OrderKind.MARKET_ON_OPEN,
    "market on close": OrderKind.MARKET_ON_CLOSE,
}


def table(section: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    text = PAGE.read_text().split(f"\n{section}\n", 1)[1].split("\n#", 1)[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


BARS = [[float(cell) for cell in row[1:]] for row in table("## Five bars")]


def sent(said: str):
    """`buy limit 99`, `sell trailing stop by 4`, `buy stop-limit 104, 104.5`, as a leg that is good till cancelled."""
    side, kind, prices = re.fullmatch(r"(buy|sell) ([a-z -]+?)(?: (?:by )?([\d., ]+))?", said).groups()
    numbers = [float(number) for number in (prices or "").replace(" ", "").split(",") if number]
    names = {"limit": ["limit"], "stop": ["stop"], "stop-limit": ["stop", "limit"], "trailing stop": ["trail"]}
    given = dict(zip(names.get(kind, []), numbers, strict=True))
    return order(5.0 if side == "buy" else -5.0, KINDS[kind], **given)


def cell(out) -> str:
    """What one slice did to the one order."""
    events = out if isinstance(out, tuple) else (out,)
    said = ""
    for event in events:
        if isinstance(event, Reports) and OrderState.TRIGGERED in event.state:
            said = "triggered"
        if isinstance(event, Fills) and len(event.price):
            said = f"{event.price[0]:g}"
    return said


@pytest.mark.parametrize(
    "fill", ["next_open", "next_close", "next_vwap", "open_auction", "close_auction", "same_close"]
)
def test_every_cell_of_the_worked_examples_is_what_the_broker_does(fill):
    rows = table(f"### `{fill}`")
    assert len(rows) >= 7
    for said, *cells in rows:
        one, found = broker(qty=[5.0], fill=fill), []
        for k, (o, high, low, close, vwap) in enumerate(BARS):
            out = one.on_bars(bars(day(k), [close], open=[o], high=[high], low=[low], vwap=[vwap]))
            found.append(cell(out))
            if k == 0:
                found[0] = cell(one.on_orders(sent(said)))
        assert found == cells, f"{fill}: {said}"


def test_the_page_names_every_kind_time_in_force_and_timing():
    text = PAGE.read_text()
    for word in (*KINDS, "DAY", "GTC", "GTD", "IOC", "FOK", "participation", "price_limit", "touch", "when_closed"):
        assert word in text
    np.testing.assert_equal(len(BARS), 5)
