"""A feed as it is up to an instant, and with another future after it: what a check for look-ahead runs over."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.events import (
    DAY_NS,
    INPUT_ORDER,
    ActionKind,
    Actions,
    Bars,
    Event,
    Late,
    Mask,
    Matrix,
    Reference,
    Status,
    Vector,
)
from engine.protocols import Feed, Issue

_EPOCH = dt.date(1970, 1, 1)
_BLOCK = 64  # slices that are laid out together
_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "status", "member")


class AnotherFuture:
    """The events of a feed, those later than `after` changed, or gone where `gone`.

    Later bars have other prices (positive, low <= open, close, vwap <= high), volumes and quotes; half of them are
    missing or halted, half of the memberships are turned round. Later splits, dividends and recoveries have other
    ratios and amounts, and half of these actions never happen; later reference matrices have other values. Instants and
    intervals stay, timers too: when an exchange will open is known beforehand. Everything is drawn from `seed`, `after`
    and the event's own instant, so any two walks give the same events. `after: null` changes nothing.

    `nth` counts the futures that are tried. Of the futures 0 and 1, of 2 and 3 and so on, the second loses and turns
    what the first does not: whoever looks at a single flag of a later instant sees it change in one of the two.

    The columns of slices are views of blocks, changed ones included, as those of files are: whoever looks behind a
    slice into the array it was cut from sees this future too. `span` ends with what there is. The universe, its
    calendar and the feed's counts of defects are the feed's own. Memory: 64 slices.
    """

    def __init__(self, *, of: Feed, after: int | None = None, gone: bool = False, seed: int = 0, nth: int = 0) -> None:
        for name, value in (("seed", seed), ("nth", nth)):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        self._of, self._after, self._gone = of, after, gone
        self._seed, self._nth = seed, nth
        self.universe, self.interval_ns = of.universe, of.interval_ns
        self.intervals: tuple[int, ...] = tuple(getattr(of, "intervals", ()))
        self.sectors: tuple[str, ...] = tuple(getattr(of, "sectors", ()))
        self.sessions: Sessions | None = getattr(of, "sessions", None)
        self.close: str | None = getattr(of, "close", None)  # when a date of a user's own table becomes known
        known: tuple[int, int] | None = getattr(of, "span", None)
        if known is not None and gone and after is not None:
            known = (min(known[0], after), min(known[1], after))
        self.span = known

    @property
    def after(self) -> int | None:
        """The last instant at which all is as the feed has it."""
        return self._after

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order."""
        if self._gone and self._after is not None:
            if start is not None and start > self._after:
                return iter(())
            end = self._after + 1 if end is None else min(end, self._after + 1)
        return _laid_out(map(self._told, self._of.events(start, end)))

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of these trading days, both counting, by the feed's own dates, else by UTC."""
        own = getattr(self._of, "bounds", None)
        if own is not None:
            low, high = own(start, end)
            return low, high
        return (
            None if start is None else (start - _EPOCH).days * DAY_NS,
            None if end is None else ((end - _EPOCH).days + 1) * DAY_NS,
        )

    def issues(self) -> tuple[Issue, ...]:
        return self._of.issues()

    def hashes(self) -> dict[str, str]:
        return self._of.hashes()

    def _told(self, event: Event) -> Event:
        """The event, changed where it comes later."""
        if self._after is None or event.ts <= self._after:
            return event
        change = _CHANGES.get(event.__class__)
        if change is None:
            return event
        own = [event.ts % 2**63, _RANK[event.__class__], getattr(event, "interval_ns", 0)]
        rng = np.random.default_rng([self._seed, self._after % 2**63, *own])
        pair, second = divmod(self._nth, 2)
        changed: Event = change(event, _Draws(rng, np.random.default_rng([self._seed, pair, *own]), bool(second)))
        return changed


class _Draws:
    """What an event is changed by: numbers of this future alone, and halves that two futures share out."""

    def __init__(self, rng: np.random.Generator, shared: np.random.Generator, second: bool) -> None:
        self.rng, self._shared, self._second = rng, shared, second

    def half(self, n: int) -> Mask:
        """About half of n; the other half in the second of two futures. (n,)"""
        drawn: Mask = (self._shared.random(n) < 0.5) ^ self._second
        return drawn


def _laid_out(events: Iterator[Event]) -> Iterator[Event]:
    """The same events, the columns of neighbouring bars as rows of one block."""
    rows: list[Bars] = []
    for event in events:
        if isinstance(event, Bars):
            rows.append(event)
            if len(rows) == _BLOCK:
                yield from _block(rows)
                rows.clear()
            continue
        yield from _block(rows)
        rows.clear()
        yield event
    yield from _block(rows)


def _block(rows: list[Bars]) -> list[Bars]:
    if not rows:
        return []
    columns = {name: _read_only(np.stack([getattr(bars, name) for bars in rows])) for name in _COLUMNS}
    extra = [_read_only(np.stack(column)) for column in zip(*(bars.extra for bars in rows), strict=True)]
    return [
        msgspec.structs.replace(
            bars,
            extra=tuple(column[k] for column in extra),
            **{name: column[k] for name, column in columns.items()},
        )
        for k, bars in enumerate(rows)
    ]


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


# ---- other events ----------------------------------------------------------------------------------------------------


def _bars(bars: Bars, draws: _Draws) -> Bars:
    n, rng = len(bars.close), draws.rng
    one, two = rng.uniform(0.5, 2.0, (2, n))
    opening, close = bars.open * one, bars.close * two
    top, bottom = np.fmax(opening, close), np.fmin(opening, close)
    high = top + np.abs(bars.high - np.fmax(bars.open, bars.close)) * two
    low = bottom - np.minimum(np.abs(np.fmin(bars.open, bars.close) - bars.low) * one, 0.5 * np.abs(bottom))
    vwap = np.where(np.isnan(bars.vwap), np.nan, low + rng.random(n) * (high - low))
    status = bars.status.copy()
    lost = (status == Status.FRESH) & draws.half(n)
    status[lost] = rng.choice([Status.MISSING, Status.HALTED], int(lost.sum()))
    member = bars.member ^ draws.half(n)
    volume = np.round(bars.volume * rng.uniform(0.2, 5.0, n))
    columns: list[Vector] = [opening, high, low, close, volume, vwap, *(column * two for column in bars.extra)]
    for column in columns:
        column[lost] = np.nan
    opening, high, low, close, volume, vwap, *extra = columns
    return msgspec.structs.replace(
        bars,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vwap=vwap,
        status=status,
        member=member,
        extra=tuple(extra),
    )


def _late(late: Late, draws: _Draws) -> Late:
    factor = draws.rng.uniform(0.5, 2.0, len(late.symbol))
    columns = {name: getattr(late, name) * factor for name in ("open", "high", "low", "close", "volume")}
    return msgspec.structs.replace(late, **{name: _read_only(column) for name, column in columns.items()})


def _actions(actions: Actions, draws: _Draws) -> Actions:
    """Half of them; a change of symbol always, since the other name's bars begin with it."""
    rng = draws.rng
    keep = draws.half(len(actions.kind)) | (actions.kind == ActionKind.SYMBOL_CHANGE)
    ratio = np.where(actions.kind == ActionKind.SPLIT, rng.choice([0.5, 2.0, 3.0], len(keep)), actions.ratio)
    amount = actions.amount * rng.uniform(0.5, 2.0, len(keep))
    columns = {"kind": actions.kind, "symbol": actions.symbol, "ratio": ratio, "amount": amount}
    columns |= {"pay_at": actions.pay_at, "successor": actions.successor}
    return msgspec.structs.replace(actions, **{name: _read_only(column[keep]) for name, column in columns.items()})


def _reference(reference: Reference, draws: _Draws) -> Reference:
    """Other numbers of the same kind: codes and flags change places, rates scale and the base currency's stays 1."""
    value: Matrix
    rng = draws.rng
    if reference.rows == "symbol":
        value = rng.permutation(reference.value)
    elif reference.rows == "currency":
        factor = rng.uniform(0.5, 2.0, (len(reference.value), 1))
        value = np.where(reference.value == 1.0, 1.0, reference.value * factor)
    else:  # of factors: a covariance times a number is a covariance
        value = reference.value * rng.uniform(0.5, 2.0)
    return msgspec.structs.replace(reference, value=_read_only(value))


_CHANGES: dict[type[Any], Any] = {Bars: _bars, Late: _late, Actions: _actions, Reference: _reference}
