"""The trading days of an exchange as a small table: pure lookups, no library behind them."""

from bisect import bisect_left, bisect_right
from functools import cached_property

import msgspec
import numpy as np

from engine.errors import ConfigError
from engine.events import DAY_NS, Stamps
from engine.instants import day_text, instant_text


class Sessions(msgspec.Struct, frozen=True, eq=False, kw_only=True, dict=True):
    """S trading days in order, each with the instants it opens and closes and its lunch break. UTC ns.

    A trading day is named by its label: the local date that the exchange gives it, which an overnight session of a
    futures exchange opens the evening before. `break_from` and `break_to` are 0 where there is no break. A break is
    closed; the instant of a close belongs to the day that ends, the instant of an open to no bar before it. One day may
    open at the very instant at which the day before closes. The table is finite: what lies behind its last day is not
    known, and asking for it is a ConfigError.

    >>> day = 17_532 * DAY_NS  # 2018-01-01
    >>> one = Sessions(name="X", label=np.array([day]), opens=np.array([day + 9]), closes=np.array([day + 17]),
    ...                break_from=np.array([0]), break_to=np.array([0]))
    >>> one.day_of(day + 9), one.day_of(day + 17), one.trades_at(day + 9), one.trades_at(day + 17)
    (-1, 0, True, False)
    """

    name: str  # of the calendar, such as XNYS
    label: Stamps  # midnight UTC of the date
    opens: Stamps
    closes: Stamps
    break_from: Stamps
    break_to: Stamps
    zone: str = "UTC"  # IANA zone of the exchange
    source: str = ""  # what the table was compiled from, with its version

    def __post_init__(self) -> None:
        count = len(self.label)
        columns = (self.opens, self.closes, self.break_from, self.break_to)
        if not count or any(len(column) != count for column in columns):
            lengths = ", ".join(str(len(column)) for column in (self.label, *columns))
            raise ConfigError(f"calendar {self.name}: its columns must be of one length above 0, got {lengths}")
        wrong = self.opens >= self.closes
        wrong[1:] |= (self.label[1:] <= self.label[:-1]) | (self.opens[1:] < self.closes[:-1])
        broken = self.break_from != 0
        ordered = (self.opens < self.break_from) & (self.break_from < self.break_to) & (self.break_to < self.closes)
        wrong |= (self.label % DAY_NS != 0) | (broken & ~ordered) | (~broken & (self.break_to != 0))
        if wrong.any():
            raise ConfigError(
                f"calendar {self.name}: {day_text(self.label[np.argmax(wrong)])} must be labelled by a midnight UTC, "
                "open before it closes, at or after the close of the day before, with its break within"
            )

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def _open_list(self) -> list[int]:
        """For `bisect`, which is several times as fast as numpy for a single instant."""
        opens: list[int] = self.opens.tolist()
        return opens

    @cached_property
    def _close_list(self) -> list[int]:
        closes: list[int] = self.closes.tolist()
        return closes

    @cached_property
    def _close_set(self) -> frozenset[int]:
        return frozenset(self._close_list)

    def closes_at(self, ts: int) -> bool:
        """Whether a trading day ends at this very instant."""
        return ts in self._close_set

    def day_of(self, ts: int) -> int:
        """The row of the trading day with opens < ts <= closes, -1 = none: bars are stamped at their end."""
        row = bisect_left(self._close_list, ts)
        return row if row < len(self._close_list) and self._open_list[row] < ts else -1

    def hours_of(self, ts: int) -> int:
        """The row of the trading day in whose hours a bar ended at `ts`: `day_of`, and -1 in a break too."""
        row = self.day_of(ts)
        return -1 if row >= 0 and self.break_from[row] < ts <= self.break_to[row] else row

    def trades_at(self, ts: int) -> bool:
        """Whether an order sent at this instant can trade at once: opens <= ts < closes, and in no break."""
        row = bisect_right(self._close_list, ts)
        if row == len(self._close_list) or ts < self._open_list[row]:
            return False
        return not self.break_from[row] <= ts < self.break_to[row]

    def stopped_before(self, ts: int) -> int:
        """The close or the begin of the break before it, where trading begins at this very instant; else the instant.

        So it is at the first open of the calendar, before which nothing is known.
        """
        row = bisect_right(self._close_list, ts)
        if row == len(self._close_list):
            return ts
        if self.break_to[row] == ts:
            return int(self.break_from[row])
        return self._close_list[row - 1] if row and self._open_list[row] == ts else ts

    def next_open(self, ts: int) -> int:
        """The first opening at or after this instant. ConfigError behind the end of the calendar."""
        return self._open_list[self._row(bisect_left(self._open_list, ts), ts)]

    def next_close(self, ts: int) -> int:
        """The first close at or after this instant. ConfigError behind the end of the calendar."""
        return self._close_list[self._row(bisect_left(self._close_list, ts), ts)]

    def after(self, ts: int, days: int) -> int:
        """The open of the `days`-th trading day after the one that holds `ts` (or that opened last before it).

        The instant of an open counts to the day that opens. ConfigError outside the calendar.
        """
        return self._open_list[self._row(bisect_right(self._open_list, ts) - 1 + days, ts)]

    def between(self, low: int, high: int) -> "Sessions":
        """The trading days of which a part lies in [low, high]; ConfigError where none does."""
        first, last = bisect_left(self._close_list, low), bisect_right(self._open_list, high)
        self._row(first, low)
        self._row(last - 1, high)
        if last <= first:
            raise ConfigError(
                f"calendar {self.name}: no trading day lies between {instant_text(low)} and {instant_text(high)}"
            )
        part = slice(first, last)
        return Sessions(
            name=self.name,
            label=self.label[part],
            opens=self.opens[part],
            closes=self.closes[part],
            break_from=self.break_from[part],
            break_to=self.break_to[part],
            zone=self.zone,
            source=self.source,
        )

    def _row(self, row: int, ts: int) -> int:
        if 0 <= row < len(self.label):
            return row
        said = (
            f"it begins with {day_text(self.label[0])}, and {instant_text(ts)} asks for an earlier day"
            if row < 0
            else f"it ends with {day_text(self.label[-1])}, and {instant_text(ts)} asks for a later day"
        )
        raise ConfigError(f"calendar {self.name}: {said}; compile it further, or end the run earlier")
