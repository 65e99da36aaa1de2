"""What the book has lost: since the day began, and since it stood highest."""

from math import isfinite, nan
from typing import Any

import msgspec

from engine.events import DAY_NS, SESSION_CLOSED, SESSION_OPENED, Book, Timer


class Loss(msgspec.Struct, frozen=True):
    """A limit on losses that was passed."""

    name: str  # of the limit
    value: float  # share of `of`
    threshold: float
    of: float  # base money

    @property
    def reason(self) -> str:
        since = "at the beginning of the day" if self.name == "max_daily_loss" else "at its highest"
        return (
            f"{self.name}: {self.value * 100:.4g} % of the equity {since}, {self.of:,.2f}, are lost; "
            f"the limit is {self.threshold * 100:.4g} %"
        )


class Losses:
    """Equity of books against that of the beginning of the day and the highest so far.

        max_daily_loss = 1 - equity / equity of the last book of the day before
        max_drawdown   = 1 - equity / highest equity so far

    A day begins at the timers `session_opened` and `session_closed`, with which a feed tells the trading days of bars
    below a day: what comes after the close belongs to the next day. Where no such timer ever came it begins with the
    first book of another UTC date, so that each daily bar is a day. The first book of a session begins its first day. A
    book whose equity is not finite says nothing, and one at a day's beginning of which nothing was left neither.
    Memory: four numbers.
    """

    def __init__(self, *, max_daily_loss: float | None, max_drawdown: float | None) -> None:
        self._limits = {"max_daily_loss": max_daily_loss, "max_drawdown": max_drawdown}
        self._from = {"max_daily_loss": nan, "max_drawdown": nan}  # equity that the loss is a share of
        self._last, self._day, self._timed = nan, 0, False

    def on_timer(self, timer: Timer, /) -> None:
        if timer.name in (SESSION_OPENED, SESSION_CLOSED):
            self._timed = True
            self._from["max_daily_loss"] = self._last

    def on_book(self, book: Book, slack: float) -> list[Loss]:
        """The limits that this book has passed by more than rounding."""
        equity, start = book.equity, self._from
        if not isfinite(equity):
            return []
        day = book.ts // DAY_NS
        if day != self._day and not self._timed:
            start["max_daily_loss"] = self._last
        self._day, self._last = day, equity
        if not isfinite(start["max_daily_loss"]):
            start["max_daily_loss"] = equity
        if not equity <= start["max_drawdown"]:
            start["max_drawdown"] = equity
        found = []
        for name, threshold in self._limits.items():
            if threshold is not None and start[name] > 0:
                value = 1.0 - equity / start[name]
                if value > threshold * slack:
                    found.append(Loss(name, value, threshold, start[name]))
        return found

    def restart(self, name: str) -> None:
        """Measures anew from the latest equity: what was released would trip again with the next book."""
        if name in self._from:
            self._from[name] = self._last

    def save(self) -> dict[str, Any]:
        return {"from": self._from, "last": self._last, "day": self._day, "timed": self._timed}

    def load(self, saved: dict[str, Any]) -> None:
        self._from = dict(saved["from"])
        self._last, self._day, self._timed = saved["last"], saved["day"], saved["timed"]
