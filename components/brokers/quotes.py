"""Bid and ask of a bar at the instants at which they are known."""

from typing import Any

import numpy as np

from components.brokers.fill_rules import Rows
from engine.events import Bars, Stamps, Vector
from engine.universe import Universe

_COLUMNS = {"close": ("bid", "ask"), "open": ("bid_open", "ask_open")}  # of the universe's extra, by the instant


def quotes_at(instant: str, universe: Universe) -> tuple[int, int] | None:
    """The places of bid and ask at the `open` or the `close` of a bar in its extra columns; None = there are none."""
    if not all(name in universe.extra for name in _COLUMNS[instant]):
        return None
    bid, ask = (universe.extra.index(name) for name in _COLUMNS[instant])
    return bid, ask


class Quotes:
    """Columns `bid` and `ask` are quotes of a bar's close, `bid_open` and `ask_open` of its open.

    A trade at another instant, somewhere inside the bar, meets neither: quotes of the wrong moment would be worse
    than none.
    """

    def __init__(self, universe: Universe) -> None:
        found = {instant: quotes_at(instant, universe) for instant in _COLUMNS}
        self._places = {instant: places for instant, places in found.items() if places is not None}

    def at(self, bars: Bars, symbol: Rows, when: int | Stamps) -> dict[str, Any]:
        """`bid` and `ask` (L,) for trades at these instants, NaN = there is none; empty where no trade meets any."""
        quotes: dict[str, Any] = {}
        for instant, places in self._places.items():
            met = np.asarray(when) == (bars.ts if instant == "close" else bars.opened)
            if np.any(met):
                for side, place in zip(("bid", "ask"), places, strict=True):
                    other: Vector | float = quotes.get(side, np.nan)
                    quotes[side] = np.where(met, bars.extra[place][symbol], other)
        return quotes
