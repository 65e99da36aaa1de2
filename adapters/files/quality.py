"""Defects of market data: bad rows are not used, odd ones are counted; nothing is ever mended.

Every check of a bar looks at that bar alone; jumps and glitches compare with other bars and are reports only.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.files.rows import EXAMPLES_MAX
from engine.errors import DataError
from engine.events import DAY_NS, Codes, Mask, Matrix, Stamps
from engine.protocols import Issue

ROUNDING = 5e-7  # relative: prices that were stored as float32 and divided may cross by this much
JUMP = 0.30
GLITCH = 0.03
_SILENT_NS, _SILENT_BARS = 10 * DAY_NS, 3
_UNUSED = "the row is not used: its bar is missing"
_COUNTED = "counted only"
_LEFT_OUT = "the bar is not used; outside: keep uses such bars"
_KEPT = "the bar is used, as outside: keep says; outside: drop leaves such bars out"
RULES = {
    "nan_price": _UNUSED,
    "infinite_value": _UNUSED,
    "price_not_positive": _UNUSED,
    "high_below_low": _UNUSED,
    "ohlc_inconsistent": _UNUSED,
    "bad_volume": _UNUSED,
    "zero_volume": "the bar is used: nothing traded, which is not the same as missing",
    "duplicate_row": "one of the identical rows is used",
    "unsorted_row": "sorted by time; the order of the file does not matter",
    "close_jump": f"{_COUNTED}: close to close beyond {JUMP:.0%}, without a split in between",
    "no_trading_day": "the row is not used: the calendar has no session on its date",
    "outside_session": f"it closes in no session of the calendar, so {_LEFT_OUT}",
    "in_break": f"it closes in the break of a session, so {_LEFT_OUT}",
    "session_without_bar": f"{_COUNTED}: the calendar has a session, the feed has no bar of it",
    "vanished": "no bar for ten days up to the end: what is held keeps its last mark; delist_after: N closes it",
    "one_day_glitch": f"{_COUNTED}: the whole bar lies {GLITCH:.0%} off both neighbours, which agree",
}


def defects(values: Matrix) -> dict[str, Mask]:
    """The defects of rows (open, high, low, close, volume first), each row under the first kind it fits.

    >>> row = np.array([[10.0], [9.0], [8.0], [9.5], [1e6]])
    >>> {kind: int(rows.sum()) for kind, rows in defects(row).items()}
    {'ohlc_inconsistent': 1}
    """
    o, h, lo, c, v = values[:5]
    # Comparing is false for NaN, so one sound test finds every unsound row; only those are looked at closely.
    with np.errstate(invalid="ignore"):
        top, bottom = h * (1 + ROUNDING), lo * (1 - ROUNDING)
        sound = (bottom > 0) & (h >= lo) & (top >= o) & (top >= c) & (bottom <= o) & (bottom <= c)
        sound &= (top < np.inf) & (v >= 0) & (v < np.inf)
    if sound.all():
        return {}
    prices, left = values[:4], ~sound
    with np.errstate(invalid="ignore"):
        kinds = {
            "nan_price": np.isnan(prices).any(axis=0),
            "infinite_value": np.isinf(values[:5]).any(axis=0),
            "price_not_positive": (prices <= 0).any(axis=0),
            "high_below_low": h < lo,
            "bad_volume": ~(v >= 0),
            "ohlc_inconsistent": left,
        }
    found: dict[str, Mask] = {}
    for kind, rows in kinds.items():
        if (mine := rows & left).any():
            found[kind], left = mine, left & ~mine
    return found


class Quality:
    """Counts the defects of one walk over a feed, with up to ten examples of each kind.

    Only what happened at or after `since` counts. Memory: two bars of each symbol.
    """

    def __init__(  # noqa: PLR0913 - what is known of the feed
        self,
        *,
        symbols: tuple[str, ...],
        label: Callable[[int], str],
        strict: bool,
        since: int,
        where: str = "feed",
        volume_known: bool = True,
        outside_kept: bool = False,
        split_between: Callable[[int, int, int], bool] | None = None,
    ) -> None:
        self._volume_known, self._split_between = volume_known, split_between
        self._where, self._rules = where, RULES
        if outside_kept:
            self._rules = RULES | {"outside_session": _KEPT, "in_break": _KEPT}
        self._symbols, self._label, self._strict, self._since = symbols, label, strict, since
        self._counts = dict.fromkeys(RULES, 0)
        self._examples: dict[str, list[str]] = {kind: [] for kind in RULES}
        n = len(symbols)
        self._seen = np.full((2, 3, n), np.nan)  # the last two bars of each symbol: (older, newer) x (close, low, high)
        self._seen_at = np.zeros((2, n), np.int64)
        self._latest = 0  # ts of the newest slice

    def usable(self, ts: Stamps, code: Codes, values: Matrix) -> tuple[Mask | None, DataError | None, int]:
        """Which rows may be used (None = all), and in strict mode the error of the first bad row with its number."""
        if not self._volume_known:
            values = np.concatenate((values[:4], np.ones((1, values.shape[1])), values[5:]))
        found = defects(values)
        if found and self._strict:
            first = {int(np.argmax(rows)): kind for kind, rows in found.items()}
            at = min(first)
            what = f"{first[at]}: {self._said(ts, code, values, at)}"
            return None, DataError(f"{self._where}: {what}; mend the row, or set bad_rows: missing to leave it out"), at
        for kind, rows in found.items():
            self._count(kind, ts, code, values, np.flatnonzero(rows))
        quiet = np.flatnonzero(values[4] == 0)
        if found:
            bad = np.logical_or.reduce(list(found.values()))
            quiet = quiet[~bad[quiet]]
        self._count("zero_volume", ts, code, values, quiet)
        return (~bad if found else None), None, 0

    def duplicates(self, ts: Stamps, code: Codes, values: Matrix, which: NDArray[Any]) -> None:
        self._count("duplicate_row", ts, code, values, which)

    def strays(self, kind: str, code: Codes, values: Matrix, when: list[str]) -> DataError | None:
        """Counts rows that lie in no session; in strict mode the first one with a date is an error.

        `when` are their stamps as people write them, at least of the first ten.
        """
        o, h, low, c, v = values[:5]
        texts = [
            f"{self._symbols[s]} {at}: open {o[k]:.10g} high {h[k]:.10g} low {low[k]:.10g} close {c[k]:.10g} "
            f"volume {v[k]:.10g}"
            for k, (s, at) in enumerate(zip(code[:EXAMPLES_MAX].tolist(), when, strict=False))
        ]
        if self._strict and kind == "no_trading_day":
            return DataError(
                f"{self._where}: {kind}: {texts[0]}; remove the row, or set bad_rows: missing to leave it out"
            )
        self._counts[kind] += len(code)
        self._examples[kind] += texts[: EXAMPLES_MAX - len(self._examples[kind])]
        return None

    def empty_session(self, date: str) -> None:
        """Counts a session of the calendar without any bar."""
        kind = "session_without_bar"
        self._counts[kind] += 1
        if len(self._examples[kind]) < EXAMPLES_MAX:
            self._examples[kind].append(date)

    def watch(self, ts: Stamps, high: Matrix, low: Matrix, close: Matrix) -> None:
        """Looks for jumps and glitches in the bars (T, N) of the next T slices, NaN where there is none."""
        at = np.concatenate((self._seen_at, np.broadcast_to(ts[:, None], close.shape)))
        c, lo, h = (np.concatenate((self._seen[:, k], new)) for k, new in enumerate((close, low, high)))
        self._latest = int(ts[-1])
        count, n = c.shape
        valid = ~np.isnan(c)
        last = np.maximum.accumulate(np.where(valid, np.arange(count, dtype=np.int32)[:, None], -1), axis=0)
        before = np.vstack((np.full((1, n), -1, np.int32), last[:-1]))
        columns = np.arange(n)
        with np.errstate(invalid="ignore"):
            moved = c / np.where(before >= 0, c[before, columns], np.nan)
            t, s = np.nonzero((np.abs(moved - 1) > GLITCH) & (np.arange(count) >= 2)[:, None])
        move = moved[t, s]
        jump = np.abs(move - 1) > JUMP
        if self._split_between is not None:
            for k in np.flatnonzero(jump).tolist():
                since = int(at[before[t[k], s[k]], s[k]])
                jump[k] = not self._split_between(int(s[k]), since, int(at[t[k], s[k]]))
        self._note("close_jump", at[t[jump], s[jump]], s[jump], [f"{m - 1:+.1%}" for m in move[jump].tolist()])
        middle = before[t, s]
        older = before[middle, s]
        known = older >= 0
        t, s, middle, older = t[known], s[known], middle[known], older[known]
        low_side, high_side = np.minimum(c[older, s], c[t, s]), np.maximum(c[older, s], c[t, s])
        off = (lo[middle, s] > high_side * (1 + GLITCH)) | (h[middle, s] < low_side * (1 - GLITCH))
        off &= high_side < low_side * (1 + GLITCH / 2)
        away = c[middle, s] / c[older, s] - 1
        self._note("one_day_glitch", at[middle, s][off], s[off], [f"{m:+.1%} and back" for m in away[off].tolist()])
        # The last two bars of each symbol go with us; a symbol with fewer keeps NaN.
        newest = last[-1]
        for row, index in ((1, newest), (0, np.where(newest >= 0, before[newest, columns], -1))):
            there = index >= 0
            for k, column in enumerate((c, lo, h)):
                self._seen[row, k] = np.where(there, column[index, columns], np.nan)
            self._seen_at[row] = np.where(there, at[index, columns], 0)

    def issues(self) -> tuple[Issue, ...]:
        return tuple(
            Issue(kind=kind, count=count, rule=self._rules[kind], examples=tuple(self._examples[kind]))
            for kind, count in self._counts.items()
            if count
        )

    def vanished(self, interval_ns: int, gone: Mask | None) -> tuple[Issue, ...]:
        """Symbols whose bars stopped for good before the end of the walk, but for those that are known to be gone."""
        silent = self._latest - self._seen_at[1] >= max(_SILENT_NS, _SILENT_BARS * interval_ns)
        silent &= ~np.isnan(self._seen[1, 0])
        if gone is not None:
            silent &= ~gone
        found = np.flatnonzero(silent).tolist()
        if not found:
            return ()
        shown = tuple(f"{self._symbols[s]} {self._label(int(self._seen_at[1, s]))}" for s in found[:EXAMPLES_MAX])
        return (Issue(kind="vanished", count=len(found), rule=RULES["vanished"], examples=shown),)

    def _count(self, kind: str, ts: Stamps, code: Codes, values: Matrix, which: NDArray[Any]) -> None:
        if len(which) and ts[which[0]] < self._since:
            which = which[ts[which] >= self._since]
        self._counts[kind] += len(which)
        room = EXAMPLES_MAX - len(self._examples[kind])
        self._examples[kind] += [self._said(ts, code, values, row) for row in which[:room].tolist()]

    def _note(self, kind: str, ts: Stamps, code: NDArray[Any], said: list[str]) -> None:
        for instant, symbol, what in zip(ts.tolist(), code.tolist(), said, strict=True):
            if instant >= self._since:
                self._counts[kind] += 1
                if len(self._examples[kind]) < EXAMPLES_MAX:
                    self._examples[kind].append(f"{self._symbols[symbol]} {self._label(instant)}: {what}")

    def _said(self, ts: Stamps, code: Codes, values: Matrix, row: int) -> str:
        o, h, low, c, v = (f"{value:.10g}" for value in values[:5, row].tolist())
        when = self._label(int(ts[row]))
        return f"{self._symbols[int(code[row])]} {when}: open {o} high {h} low {low} close {c} volume {v}"
