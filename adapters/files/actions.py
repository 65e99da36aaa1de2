"""Corporate actions from a file: when each takes effect, and what was wrong with the list."""

from math import isfinite, nan
from pathlib import Path

import msgspec
import numpy as np

from adapters.files.sheet import NEVER, Sheet
from adapters.files.trading_days import TradingDays
from engine.actions import same_money
from engine.errors import DataError
from engine.events import ActionKind
from engine.protocols import Issue
from engine.universe import Universe

KINDS = {
    "split": ActionKind.SPLIT,
    "cash_dividend": ActionKind.CASH_DIVIDEND,
    "dividend": ActionKind.CASH_DIVIDEND,
    "delisting": ActionKind.DELISTING,
    "symbol_change": ActionKind.SYMBOL_CHANGE,
}
_EXAMPLES_MAX = 10
RATIO_MAX = 1e4  # new shares for one old, and old for one new: beyond it is a slip of the pen
_UNUSED = "the action is not used"
_OTHERS = ("ts", "ex_date", "ratio", "amount", "pay_date", "successor", "known_at")
RULES = {
    "unknown_action": f"{_UNUSED}: its kind is none of split, cash_dividend, delisting, symbol_change",
    "unknown_symbol": f"{_UNUSED}: the feed has no such symbol",
    "duplicate_action": "applied once",
    "late_action": "known after its date: it enters when it is known",
    "delisting_without_price": "closed at the last close",
}


class Leg(msgspec.Struct, frozen=True, gc=False):
    """One action of a symbol of the universe. `amount` of a delisting is NaN where the last close stands for it."""

    ts: int
    kind: int
    symbol: int
    ratio: float
    amount: float
    pay_at: int
    successor: int
    late: bool = False  # it enters after its date, so prices showed it before


def read_actions(
    path: Path, universe: Universe, known: frozenset[str], days: TradingDays, *, strict: bool
) -> tuple[tuple[Leg, ...], tuple[Issue, ...]]:
    """The actions of a universe in the order in which they take effect, those of one instant in that of the file.

    `known` are the symbols of the feed: an action of one that is not asked for is left out in silence, of any other it
    is counted. `strict` refuses what is counted as unknown or twice. Memory: the whole file.
    """
    reader = _Reader(path, universe, days)
    for row in range(len(reader.symbols)):
        reader.take(row, known)
    if strict:
        for kind in ("unknown_action", "duplicate_action"):
            if reader.said[kind]:
                raise DataError(f"{path}: {kind}: {reader.said[kind][0]}; mend the row, or set bad_rows: missing")
    return tuple(sorted(reader.legs, key=lambda leg: leg.ts)), (*reader.issues(), *reader.unread)


class _Reader:
    def __init__(self, path: Path, universe: Universe, days: TradingDays) -> None:
        self._sheet = sheet = Sheet(path, ("symbol", "kind"), _OTHERS)
        self.symbols, self._kinds = sheet.required("symbol"), sheet.texts("kind")
        self._universe = universe
        self._place = {symbol: k for k, symbol in enumerate(universe.symbols)}
        field = "ts" if sheet.has("ts") else "ex_date"
        if not sheet.has(field):
            raise DataError(f"{path}: it has no column ex_date or ts; it has {', '.join(sheet.names)}")
        self.unread = sheet.unread()
        self._stamp, dated = sheet.stamps(field)
        missing = np.flatnonzero(self._stamp == NEVER)
        if len(missing):
            raise DataError(f"{sheet.at(int(missing[0]))}: it has no {field}; fill it or drop the row")
        self._ts = days.begins(self._stamp, dated=dated)
        self._label = np.datetime_as_string(self._stamp.astype("datetime64[D]" if dated else "datetime64[ns]"))
        pay, pay_dated = sheet.stamps("pay_date")
        known_at, known_dated = sheet.stamps("known_at")
        self._pay, self._known = days.begins(pay, dated=pay_dated), days.ends(known_at, dated=known_dated)
        self._ratio = _ratios(sheet)
        self._amount = sheet.number("amount").tolist()
        self._successor = sheet.texts("successor") if sheet.has("successor") else [""] * len(sheet)
        self.legs: list[Leg] = []
        self._seen: dict[tuple[int, int, int], list[Leg]] = {}
        self.said: dict[str, list[str]] = {kind: [] for kind in RULES}
        self._counts = dict.fromkeys(RULES, 0)

    def take(self, row: int, known: frozenset[str]) -> None:
        name = self.symbols[row]
        if name not in known:
            self._count("unknown_symbol", row)
            return
        if name not in self._place:
            return
        kind = KINDS.get("_".join(self._kinds[row].lower().replace("-", " ").split()))
        if kind is None:
            self._count("unknown_action", row)
            return
        leg = self._leg(row, kind)
        alike = self._seen.setdefault((int(self._ts[row]), leg.kind, leg.symbol), [])
        if any(_same(leg, other) for other in alike):
            self._count("duplicate_action", row)
            return
        if alike and kind is not ActionKind.CASH_DIVIDEND:
            raise DataError(
                f"{self._at(row)}: it differs from another {self._kinds[row]} of that day; keep one of them"
            )
        alike.append(leg)
        self.legs.append(leg)
        if leg.ts > self._ts[row]:
            self._count("late_action", row)
        if kind is ActionKind.DELISTING and leg.amount != leg.amount:
            self._count("delisting_without_price", row)

    def _leg(self, row: int, kind: ActionKind) -> Leg:
        ratio, amount = self._ratio[row], self._amount[row]
        at = int(self._ts[row])
        if kind is ActionKind.SYMBOL_CHANGE and ratio != ratio:
            ratio = 1.0
        if kind in (ActionKind.SPLIT, ActionKind.SYMBOL_CHANGE) and not 1 / RATIO_MAX <= ratio <= RATIO_MAX:
            rule = f"new shares for one old, from {1 / RATIO_MAX:g} to {RATIO_MAX:g}"
            raise DataError(f"{self._at(row)}: ratio is {ratio}; it must be {rule}; mend the row")
        if kind is ActionKind.CASH_DIVIDEND and not (isfinite(amount) and amount >= 0):
            raise DataError(f"{self._at(row)}: amount is {amount}; it must be cash a share, 0 or more")
        if kind is ActionKind.DELISTING and not (amount != amount or (isfinite(amount) and amount >= 0)):
            raise DataError(f"{self._at(row)}: amount is {amount}; it must be the last price, 0 or more, or empty")
        pay = int(self._pay[row])
        if kind is not ActionKind.CASH_DIVIDEND:
            pay = 0
        elif pay == NEVER:
            pay = at
        elif pay < at:
            raise DataError(f"{self._at(row)}: its pay_date comes before its ex_date; mend the row")
        return Leg(
            ts=max(at, int(self._known[row])),
            kind=int(kind),
            symbol=self._place[self.symbols[row]],
            ratio=ratio if kind in (ActionKind.SPLIT, ActionKind.SYMBOL_CHANGE) else nan,
            amount=amount if kind in (ActionKind.CASH_DIVIDEND, ActionKind.DELISTING) else nan,
            pay_at=pay,
            successor=self._heir(row) if kind is ActionKind.SYMBOL_CHANGE else -1,
            late=int(self._known[row]) > at,
        )

    def _heir(self, row: int) -> int:
        heir, name = self._successor[row], self.symbols[row]
        if not heir:
            raise DataError(f"{self._at(row)}: it names no successor; fill the column successor")
        if heir not in self._place:
            raise DataError(
                f"{self._at(row)}: its successor {heir!r} is not in the universe of {len(self._place)} symbols; "
                "add it to symbols and to the bars, or leave the row out"
            )
        if heir == name:
            raise DataError(f"{self._at(row)}: its successor is the symbol itself; name the new one")
        if not same_money(self._universe, self._place[name], self._place[heir]):
            raise DataError(
                f"{self._at(row)}: its successor {heir!r} has another currency or multiplier, and a position keeps its "
                "cost; write it as a delisting at its last price"
            )
        return self._place[heir]

    def _at(self, row: int) -> str:
        return f"{self._sheet.at(row)}: {self._what(row)}"

    def _what(self, row: int) -> str:
        return f"{self.symbols[row]} {self._label[row]} {self._kinds[row]}"

    def _count(self, kind: str, row: int) -> None:
        self._counts[kind] += 1
        if len(self.said[kind]) < _EXAMPLES_MAX:
            self.said[kind].append(self._what(row))

    def issues(self) -> tuple[Issue, ...]:
        return tuple(
            Issue(kind=kind, count=count, rule=RULES[kind], examples=tuple(self.said[kind]))
            for kind, count in self._counts.items()
            if count
        )


def _same(one: Leg, other: Leg) -> bool:
    """Whether two actions of one symbol, kind and date are the same in every number; NaN is like NaN."""
    a, b = (repr((leg.ratio, leg.amount, leg.pay_at, leg.successor)) for leg in (one, other))
    return a == b


def _ratios(sheet: Sheet) -> list[float]:
    """New shares for one old, written 7, 0.5, 7:1 or 1:10; NaN where it is empty."""
    if not sheet.has("ratio"):
        return [nan] * len(sheet)
    found = []
    for row, text in enumerate(sheet.texts("ratio")):
        new, colon, old = text.partition(":")
        try:
            found.append(float(new) / float(old or "1") if new and (old or not colon) else nan)
        except (ValueError, ZeroDivisionError):
            raise DataError(f"{sheet.at(row)}: ratio {text!r} is neither a number nor new:old; mend the row") from None
    return found
