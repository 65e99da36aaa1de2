"""The life of symbols beside their bars: actions, membership, exchange rates and references, woven into the slices."""

from collections.abc import Iterator
from heapq import merge
from itertools import chain, groupby
from pathlib import Path

import msgspec
import numpy as np

from adapters.files.actions import Leg, read_actions
from adapters.files.members import Bounds, Members, Standing, read_members
from adapters.files.references import read_rates, read_reference, references
from adapters.files.slices import frozen
from adapters.files.store import sha256_of
from adapters.files.trading_days import TradingDays
from engine.events import INPUT_ORDER, ActionKind, Actions, Bars, Event, Mask, Status
from engine.instants import instant_text
from engine.protocols import Issue
from engine.universe import Universe

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_EXAMPLES_MAX = 10
_SILENT, _AFTER, _LATER = "delisted_in_silence", "bar_after_the_end", "action_after_the_end"
_FLAT, _LARGE = "split_without_jump", "large_dividend"
_LARGE_PART = 0.5
# A split by less than 6:5 moves the price no further than a night may.
_SMALL_SPLIT = float(np.log(1.19))
RULES = {
    _SILENT: "no bar for that many slices: delisted at the last close",
    _AFTER: "the symbol was delisted or renamed before: it is no member any more",
    _LATER: "the symbol was delisted or renamed before: there is nothing left that it could change",
    _FLAT: "the price goes on as if there were no split: prices look adjusted already; leave out `actions`, or use raw "
    "prices",
    _LARGE: f"it pays {_LARGE_PART:.0%} of the last close or more: check its amount",
}


class Beside(msgspec.Struct, frozen=True):
    """The files that stand beside the bars, as written."""

    instruments: Path | None = None
    actions: Path | None = None
    delist_after: int | None = None  # slices
    members: Path | None = None
    rates: Path | None = None
    reference: dict[str, Path] | None = None

    def files(self) -> dict[str, Path]:
        """Option -> file."""
        named = {f"reference.{name}": path for name, path in (self.reference or {}).items()}
        one = {"actions": self.actions, "members": self.members, "instruments": self.instruments, "rates": self.rates}
        return {option: path for option, path in one.items() if path is not None} | named

    @property
    def weaves(self) -> bool:
        """Whether anything goes between the slices or changes them."""
        return any((self.actions, self.delist_after, self.members, self.rates, self.reference))

    def __post_init__(self) -> None:
        """Refuses what cannot be meant, before any file is opened."""
        if self.delist_after is not None and self.delist_after < 1:
            raise ValueError(f"delist_after must be at least 1 slice, got {self.delist_after}")
        for name in ("rates", "sectors"):
            if name in (self.reference or {}):
                raise ValueError(f"reference names {name}, which has an option of its own; write {name}: FILE")


def hashes_of(beside: Beside, taken: dict[str, str]) -> dict[str, str]:
    """File name -> SHA-256; a name that another file has comes with its option before it."""
    found: dict[str, str] = {}
    for option, path in beside.files().items():
        name = path.name if path.name not in taken | found else f"{option}/{path.name}"
        found[name] = sha256_of(path)
    return found


class Life:
    """What files say of a universe beside its bars; the same each time it is woven in.

    Memory: the files, and a few rows of N.
    """

    def __init__(
        self,
        *,
        beside: Beside,
        universe: Universe,
        known: frozenset[str],
        days: TradingDays,
        bounds: Bounds,
        strict: bool,
    ) -> None:
        self._symbols, self._delist_after = universe.symbols, beside.delist_after
        self._legs: tuple[Leg, ...] = ()
        self._members: Members | None = None
        found: tuple[Issue, ...] = ()
        if beside.actions is not None:
            self._legs, found = read_actions(beside.actions, universe, known, days, strict=strict)
        self._found = found
        self._splits: dict[int, list[int]] = {}
        for leg in self._legs:
            if leg.kind == ActionKind.SPLIT:
                self._splits.setdefault(leg.symbol, []).append(leg.ts)
        if beside.members is not None:
            self._members, found = read_members(beside.members, universe.symbols, known, days, bounds)
            self._found += found
        series = [] if beside.rates is None else [read_rates(beside.rates, universe, days)]
        series += [read_reference(path, name, universe, days) for name, path in (beside.reference or {}).items()]
        self._series = tuple(series)
        self._found += tuple(issue for each in series for issue in each.issues)
        self._walk = self._fresh()

    def woven(
        self, events: Iterator[Event], start: int | None, end: int | None, span: tuple[int, int]
    ) -> Iterator[Event]:
        """The events with everything else between them, in the order of inputs.

        Actions enter with start <= ts < end between the first and the last slice of the feed, its `span`: before
        nothing is held, and later nothing has an effect.
        """
        first = next(events, None)
        if first is None:
            return
        walk = self._walk = self._fresh()
        actions = _actions_of(self._legs, max(start or span[0], span[0]), min(end or span[1], span[1]))
        streams: list[Iterator[Event]] = [actions, *(references(series, first.ts) for series in self._series)]
        ahead = merge(*streams, key=_order)
        head = next(ahead, None)
        silent: Actions | None = None
        for event in chain((first,), events):
            here = _order(event)
            if silent is not None and _order(silent) < here:
                yield from walk.before(silent)
                silent = None
            while head is not None and _order(head) < here:
                yield from walk.before(head)
                head = next(ahead, None)
            if isinstance(event, Bars):
                yield walk.on_bars(event)
                silent = walk.silent
            else:
                yield event
        for later in (silent, head, *ahead):
            if isinstance(later, Actions):
                yield from walk.before(later)

    @property
    def members(self) -> Members | None:
        """The file of members, None where none is named."""
        return self._members

    def split_between(self, symbol: int, since: int, until: int) -> bool:
        """Whether a split of this symbol takes effect in (since, until]."""
        return any(since < ts <= until for ts in self._splits.get(symbol, ()))

    def gone(self) -> Mask:
        """(N,) delisted or renamed in the last walk."""
        return self._walk.gone

    def issues(self) -> tuple[Issue, ...]:
        """Of the whole files, and of the last walk."""
        return (*self._found, *self._walk.issues())

    def _fresh(self) -> "_Walk":
        judged = (ActionKind.SPLIT, ActionKind.CASH_DIVIDEND)
        priced = any(
            leg.kind in judged or (leg.kind == ActionKind.DELISTING and leg.amount != leg.amount) for leg in self._legs
        )
        late = frozenset((leg.ts, leg.symbol) for leg in self._legs if leg.late)
        standing = None if self._members is None else Standing(self._members)
        return _Walk(self._symbols, standing, self._delist_after, watches=priced, late=late)


def _order(event: Event) -> tuple[int, int]:
    return event.ts, _RANK[type(event)]


def _actions_of(legs: tuple[Leg, ...], low: int, high: int) -> Iterator[Actions]:
    """One event for each instant in [low, high) at which something takes effect."""
    for ts, group in groupby((leg for leg in legs if low <= leg.ts < high), key=lambda leg: leg.ts):
        yield _event(ts, list(group))


def _event(ts: int, legs: list[Leg]) -> Actions:
    actions = Actions(
        ts=ts,
        kind=np.array([leg.kind for leg in legs], np.int32),
        symbol=np.array([leg.symbol for leg in legs], np.int32),
        ratio=np.array([leg.ratio for leg in legs]),
        amount=np.array([leg.amount for leg in legs]),
        pay_at=np.array([leg.pay_at for leg in legs], np.int64),
        successor=np.array([leg.successor for leg in legs], np.int32),
    )
    for column in (actions.kind, actions.symbol, actions.ratio, actions.amount, actions.pay_at, actions.successor):
        frozen(column)
    return actions


def _taken(actions: Actions, kept: Mask) -> Actions:
    return Actions(
        ts=actions.ts,
        kind=actions.kind[kept],
        symbol=actions.symbol[kept],
        ratio=actions.ratio[kept],
        amount=actions.amount[kept],
        pay_at=actions.pay_at[kept],
        successor=actions.successor[kept],
    )


class _Walk:
    """One walk: who is gone, who is silent, and the last closes where something asks for them."""

    def __init__(
        self,
        symbols: tuple[str, ...],
        standing: Standing | None,
        delist_after: int | None,
        *,
        watches: bool,
        late: frozenset[tuple[int, int]],
    ) -> None:
        n = len(symbols)
        self._symbols, self._standing, self._after = symbols, standing, delist_after
        self._watches = watches or delist_after is not None
        self._close, self._absent = np.full(n, np.nan), np.zeros(n, np.int64)
        self.gone: Mask = np.zeros(n, np.bool_)
        self._any_gone = False
        self.silent: Actions | None = None  # delistings of names that stayed away until this slice
        self._late = late  # actions whose date prices showed before they entered
        self._split: dict[int, tuple[float, str]] = {}  # symbol -> its last close before a split, and that split
        self._said: dict[str, list[str]] = {kind: [] for kind in RULES}
        self._counts = dict.fromkeys(self._said, 0)

    def before(self, event: Event) -> Iterator[Event]:
        """What enters before the next slice."""
        if not isinstance(event, Actions):
            yield event
            return
        known = event if not self._watches else self._priced(event)
        if not len(known.kind):
            return
        ends = (known.kind == ActionKind.DELISTING) | (known.kind == ActionKind.SYMBOL_CHANGE)
        if self._any_gone or ends.any():
            self._end(known, ends)
        yield known

    def _end(self, actions: Actions, ends: Mask) -> None:
        """Who is gone from here on; counts what comes behind that."""
        self.gone, self._any_gone = self.gone.copy(), True
        for i, s in enumerate(actions.symbol.tolist()):
            if self.gone[s]:
                what = ActionKind(int(actions.kind[i])).name.lower()
                self._count(_LATER, [f"{self._symbols[s]} {instant_text(actions.ts)}: {what}"])
            self.gone[s] |= ends[i]

    def _priced(self, actions: Actions) -> Actions:
        """Delistings without a price get the last close; those of names without one have nothing to close."""
        amount, kept = actions.amount.copy(), np.ones(len(actions.kind), np.bool_)
        self._close = self._close.copy()
        for i, (kind, s) in enumerate(zip(actions.kind.tolist(), actions.symbol.tolist(), strict=True)):
            if kind == ActionKind.SPLIT:
                self._note_split(actions.ts, s, float(actions.ratio[i]))
                self._close[s] /= actions.ratio[i]
            elif kind == ActionKind.CASH_DIVIDEND:
                self._note_dividend(actions.ts, s, float(amount[i]))
            elif kind == ActionKind.DELISTING and np.isnan(amount[i]):
                amount[i] = self._close[s]
                kept[i] = not np.isnan(amount[i])
        frozen(amount)
        priced = msgspec.structs.replace(actions, amount=amount)
        return priced if kept.all() else _taken(priced, kept)

    def _note_split(self, ts: int, s: int, ratio: float) -> None:
        close = float(self._close[s])
        if close == close and (ts, s) not in self._late and not self.gone[s]:
            self._split.setdefault(s, (close, f"{instant_text(ts)}: {ratio:.10g} for 1"))

    def _note_dividend(self, ts: int, s: int, amount: float) -> None:
        if amount >= _LARGE_PART * self._close[s] and not self.gone[s]:
            said = (
                f"{self._symbols[s]} {instant_text(ts)}: {amount:.10g} a share, the last close is {self._close[s]:.10g}"
            )
            self._count(_LARGE, [said])

    def _compare(self, bars: Bars) -> None:
        """The first opens after splits: nearer to the close before, or to what the split makes of it?"""
        for s in [s for s in self._split if bars.status[s] == Status.FRESH]:
            close, said = self._split.pop(s)
            opened, due = float(bars.open[s]), float(self._close[s])
            away, moved = abs(np.log(due / close)), abs(np.log(opened / close))
            if away >= _SMALL_SPLIT and moved < abs(np.log(opened / due)):
                prices = f"close {close:.10g}, then open {opened:.10g}"
                self._count(_FLAT, [f"{self._symbols[s]} {said}, {prices}"])

    def on_bars(self, bars: Bars) -> Bars:
        """The slice with its members; counts who is silent."""
        member = bars.member if self._standing is None else self._standing.at(bars.ts)
        if self._any_gone:
            member = member & ~self.gone
            frozen(member)
            self._back(bars)
        if self._watches:
            fresh = bars.status == Status.FRESH
            if self._split:
                self._compare(bars)
            self._close = np.where(fresh, bars.close, self._close)
            if self._after is not None:
                self._stay_away(bars, fresh, self._after)
        return bars if member is bars.member else msgspec.structs.replace(bars, member=member)

    def _stay_away(self, bars: Bars, fresh: Mask, after: int) -> None:
        """Names without a bar for the `after`-th slice on end: halts do not count."""
        away = (bars.status == Status.MISSING) & ~np.isnan(self._close) & ~self.gone
        self._absent = np.where(fresh, 0, self._absent + away)
        over = np.flatnonzero(away & (self._absent == after)).tolist()
        self.silent = None
        if over:
            kind = int(ActionKind.DELISTING)
            close = self._close.tolist()
            legs = [Leg(bars.ts, kind, s, np.nan, close[s], 0, -1) for s in over]
            self.silent = _event(bars.ts, legs)
            self._count(_SILENT, [f"{self._symbols[s]} {instant_text(bars.ts)}: at {close[s]:.10g}" for s in over])

    def _back(self, bars: Bars) -> None:
        back = np.flatnonzero(self.gone & (bars.status == Status.FRESH)).tolist()
        if back:
            self._count(_AFTER, [f"{self._symbols[s]} {instant_text(bars.ts)}" for s in back])

    def _count(self, kind: str, said: list[str]) -> None:
        self._counts[kind] += len(said)
        self._said[kind] += said[: _EXAMPLES_MAX - len(self._said[kind])]

    def issues(self) -> tuple[Issue, ...]:
        return tuple(
            Issue(
                kind=kind,
                count=count,
                rule=RULES[kind].replace("that many", str(self._after)),
                examples=tuple(self._said[kind]),
            )
            for kind, count in self._counts.items()
            if count
        )
