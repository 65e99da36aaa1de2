"""A market in memory: bent by a seed for the second tests, written as a tape, played to a run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from samewire import DAY_NS, Actions, Bars, Event, Issue, Sessions, Universe, universe_of

PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Action:
    """A corporate action that comes after the slices up to `ts`: kind as ActionKind, numbers as in Actions."""

    ts: int
    kind: int
    symbol: int
    ratio: float = np.nan
    amount: float = np.nan


@dataclass(frozen=True)
class Market:
    """T slices of N symbols; NaN where a symbol has no bar. `extra` are further columns such as bid and ask."""

    symbols: tuple[str, ...]
    interval_ns: int
    ts: np.ndarray[Any, Any]
    opened: np.ndarray[Any, Any]
    open: np.ndarray[Any, Any]
    high: np.ndarray[Any, Any]
    low: np.ndarray[Any, Any]
    close: np.ndarray[Any, Any]
    volume: np.ndarray[Any, Any]
    extra: tuple[tuple[str, np.ndarray[Any, Any]], ...] = ()
    actions: tuple[Action, ...] = ()
    session: np.ndarray[Any, Any] | None = None  # (T,) number of the trading day, None = each slice is one

    def __len__(self) -> int:
        return len(self.ts)

    def column(self, name: str) -> np.ndarray[Any, Any]:
        return dict(self.extra)[name]

    def days(self) -> np.ndarray[Any, Any]:
        return np.arange(len(self)) if self.session is None else self.session

    def rows(self, keep: Any) -> "Market":
        """The market of these slices only; actions stay."""
        names = ("ts", "opened", *PRICES, "volume")
        extra = tuple((name, column[keep]) for name, column in self.extra)
        session = None if self.session is None else self.session[keep]
        return replace(self, **{name: getattr(self, name)[keep] for name in names}, extra=extra, session=session)


def perturbed(market: Market, seed: int, *, drop: float = 0.03, noise: float = 0.01) -> Market:
    """Another market of the same shape: slices dropped, prices and volumes moved, no bar inconsistent."""
    rng = np.random.default_rng(seed)
    keep = rng.random(len(market)) >= drop
    keep[[0, -1]] = True
    market = market.rows(keep)
    shape = market.close.shape
    scale = np.exp(np.cumsum(rng.normal(0, noise / 4, shape), 0) + rng.normal(0, noise / 4, shape))
    opening = market.open * scale * np.exp(rng.normal(0, noise / 4, shape))
    close = market.close * scale
    return replace(
        market,
        open=opening,
        close=close,
        high=np.maximum(market.high * scale, opening),
        low=np.minimum(market.low * scale, opening),
        volume=np.round(market.volume * np.exp(rng.normal(0, 0.3, shape))),
        extra=tuple((name, column * scale) for name, column in market.extra),
    )


def write(market: Market, path: Path) -> Path:
    """The market as one file of arrays, which `Tape` reads."""
    names = ("ts", "opened", *PRICES, "volume")
    actions = np.array([(a.ts, a.kind, a.symbol, a.ratio, a.amount) for a in market.actions], np.dtype(_ACTION))
    extra = {f"extra_{name}": column for name, column in market.extra}
    given: dict[str, Any] = {name: getattr(market, name) for name in names} | extra
    given |= {"symbols": np.array(market.symbols), "interval_ns": np.array(market.interval_ns), "actions": actions}
    if market.session is not None:
        given["session"] = market.session
    np.savez(path, **given)
    return path


_ACTION = [("ts", "i8"), ("kind", "i4"), ("symbol", "i4"), ("ratio", "f8"), ("amount", "f8")]


class Tape:
    """A feed that plays such a file: a user's own feed, of the Protocol and nothing else."""

    def __init__(self, *, path: Path, lot: float = 1.0) -> None:
        with np.load(path) as file:
            self._columns = {name: _frozen(file[name]) for name in file.files}
        names = tuple(name.removeprefix("extra_") for name in self._columns if name.startswith("extra_"))
        symbols = tuple(str(symbol) for symbol in self._columns["symbols"])
        self.universe: Universe = _with_extra(universe_of(symbols, lot=lot), names)
        self.interval_ns, self.sectors = int(self._columns["interval_ns"]), ()
        self.span = (int(self._columns["ts"][0]), int(self._columns["ts"][-1]))
        self._extra = tuple(self._columns[f"extra_{name}"] for name in names)
        self.sessions = self._sessions()

    def _sessions(self) -> Sessions:
        """The trading days as they lie on the tape: from the first bar's beginning to the last bar's end."""
        ts, opened = self._columns["ts"], self._columns["opened"]
        day = self._columns.get("session", np.arange(len(ts)))
        first = np.flatnonzero(np.diff(day, prepend=-1))
        closes = ts[np.append(first[1:], len(ts)) - 1]
        zero, label = np.zeros(len(first), np.int64), closes // DAY_NS * DAY_NS
        return Sessions(name="tape", label=label, opens=opened[first], closes=closes, break_from=zero, break_to=zero)

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        actions = list(self._columns["actions"])
        for t, ts in enumerate(self._columns["ts"].tolist()):
            before = [action for action in actions if action["ts"] < ts]
            actions = actions[len(before) :]
            if before and (start is None or before[0]["ts"] >= start):
                yield from _actions(before)
            if (start is None or ts >= start) and (end is None or ts < end):
                yield self._bars(t, ts)

    def _bars(self, t: int, ts: int) -> Bars:
        columns = self._columns
        close = columns["close"][t]
        return Bars(
            ts=ts,
            interval_ns=self.interval_ns,
            opened=int(columns["opened"][t]),
            **{name: columns[name][t] for name in (*PRICES, "volume")},
            vwap=_frozen(np.full(len(close), np.nan)),
            status=_frozen(np.isnan(close).astype(np.int32)),
            member=_frozen(np.ones(len(close), bool)),
            extra=tuple(column[t] for column in self._extra),
        )

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


def _actions(rows: list[Any]) -> Iterator[Actions]:
    """One event for each instant."""
    for ts in sorted({int(row["ts"]) for row in rows}):
        mine = np.array([row for row in rows if row["ts"] == ts], np.dtype(_ACTION))
        yield Actions(
            ts=ts,
            kind=mine["kind"],
            symbol=mine["symbol"],
            ratio=mine["ratio"],
            amount=mine["amount"],
            pay_at=mine["ts"],
            successor=np.full(len(mine), -1, np.int32),
        )


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _with_extra(universe: Universe, names: tuple[str, ...]) -> Universe:
    import msgspec

    return msgspec.structs.replace(universe, extra=names)
