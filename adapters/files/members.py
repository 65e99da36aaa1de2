"""Membership of an index or a screen as intervals of days, each from when it was known."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import numpy as np

from adapters.files.sheet import NEVER, Sheet
from adapters.files.trading_days import TradingDays
from engine.errors import DataError
from engine.events import Codes, Mask, Stamps
from engine.protocols import Issue

_ALWAYS, _END = NEVER, int(np.iinfo(np.int64).max)
_EPOCH = date(1970, 1, 1).toordinal()
_DAYS_MAX = 106_000  # from 1970, either way: what 64-bit ns can hold
_EXAMPLES_MAX = 10
RULES = {
    "unknown_member": "the row is not used: the feed has no such symbol",
    "never_member": "no row of the members file names the symbol: it is never a member",
}
Bounds = Callable[[date | None, date | None], tuple[int | None, int | None]]


class Members(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Changes in time order: from `ts` (R,) on, `step` (R,) more rows name `symbol` (R,) a member. Memory: the file."""

    n: int
    ts: Stamps
    symbol: Codes
    step: Codes


def read_members(
    path: Path, universe: tuple[str, ...], known: frozenset[str], days: TradingDays, bounds: Bounds
) -> tuple[Members, tuple[Issue, ...]]:
    """Rows symbol, from, to (both days count; empty = since ever, until further notice) and, if any, known_at.

    A row counts from the instant it was known: a date means the end of that day, empty means always. Of the rows of one
    symbol and the same `from`, the one that became known last is the valid one: so a leaving is reported.
    """
    sheet = Sheet(path, ("symbol", "from"), ("to", "known_at"))
    unread = sheet.unread()
    symbols = sheet.required("symbol")
    place = {symbol: k for k, symbol in enumerate(universe)}
    low, high = _spans(sheet, bounds)
    stamps, dated = sheet.stamps("known_at")
    known_at = days.ends(stamps, dated=dated).tolist()
    spells: dict[tuple[int, int], list[tuple[int, int, int]]] = {}  # (symbol, low) -> (known, row, high)
    unknown = []
    for row, symbol in enumerate(symbols):
        if symbol in place:
            spells.setdefault((place[symbol], low[row]), []).append((known_at[row], row, high[row]))
        elif symbol not in known:
            unknown.append(symbol)
    if not spells:
        raise DataError(f"{path}: it names none of the {len(universe)} symbols; check how they are spelled")
    changes = _changes(spells)
    named = {symbol for symbol, _ in spells}
    silent = [symbol for k, symbol in enumerate(universe) if k not in named]
    found = {"unknown_member": unknown, "never_member": silent}
    issues = tuple(
        Issue(kind=kind, count=len(names), rule=RULES[kind], examples=tuple(names[:_EXAMPLES_MAX]))
        for kind, names in found.items()
        if names
    )
    columns = np.array(sorted(changes), np.int64).reshape(-1, 3)
    members = Members(
        n=len(universe), ts=columns[:, 0], symbol=columns[:, 1].astype(np.int32), step=columns[:, 2].astype(np.int32)
    )
    return members, (*issues, *unread)


def _changes(spells: dict[tuple[int, int], list[tuple[int, int, int]]]) -> list[tuple[int, int, int]]:
    """(instant, symbol, +1 or -1): a row holds from when it starts and is known, until it ends or another is known."""
    changes = []
    for (symbol, low), rows in spells.items():
        rows.sort()
        ends = [known for known, _, _ in rows[1:]] + [_END]
        for (known, _, high), superseded in zip(rows, ends, strict=True):
            begin, end = max(low, known), min(high, superseded)
            if begin < end:
                changes += [(begin, symbol, 1), (end, symbol, -1)]
    return changes


def _spans(sheet: Sheet, bounds: Bounds) -> tuple[list[int], list[int]]:
    """The instants [low, high) of the slices of each row's days."""
    first, last = _days(sheet, "from"), _days(sheet, "to")
    for row, (begin, end) in enumerate(zip(first, last, strict=True)):
        if begin is not None and end is not None and begin > end:
            raise DataError(f"{sheet.at(row)}: from {begin} lies after to {end}; mend the row")
    lows = {day: bounds(day, None)[0] for day in dict.fromkeys(first)}
    highs = {day: bounds(None, day)[1] for day in dict.fromkeys(last)}
    low = [_ALWAYS if (found := lows[day]) is None else found for day in first]
    return low, [_END if (found := highs[day]) is None else found for day in last]


def _days(sheet: Sheet, field: str) -> list[date | None]:
    stamps, dated = sheet.stamps(field)
    if not dated:
        raise DataError(f"{sheet.path}: its column {field} holds times; write dates such as 2018-01-31")
    near = np.clip(stamps, -_DAYS_MAX, _DAYS_MAX).tolist()  # 9999-12-31 means until further notice
    return [None if day == NEVER else date.fromordinal(_EPOCH + at) for day, at in zip(stamps, near, strict=True)]


class Standing:
    """Who is a member as a walk goes on."""

    def __init__(self, members: Members) -> None:
        self._members, self._next = members, 0
        self._count = np.zeros(members.n, np.int32)
        self._due = int(members.ts[0]) if len(members.ts) else _END
        self._mask: Mask = np.zeros(members.n, np.bool_)
        self._mask.flags.writeable = False

    def at(self, ts: int) -> Mask:
        """(N,) read-only; the same array until somebody joins or leaves."""
        if ts >= self._due:
            upto = int(np.searchsorted(self._members.ts, ts, "right"))
            rows = slice(self._next, upto)
            np.add.at(self._count, self._members.symbol[rows], self._members.step[rows])
            self._next = upto
            self._due = int(self._members.ts[upto]) if upto < len(self._members.ts) else _END
            self._mask = self._count > 0
            self._mask.flags.writeable = False
        return self._mask
