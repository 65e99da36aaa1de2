"""Bars of several slices as one bar: a pure function of the slices, and what a split does to a part of one."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import ActionKind, Actions, Bars, Mask, Matrix, Status, Vector

_PRICES = ("open", "high", "low", "close")


class Rule(IntEnum):
    """How the values of an extra column become one."""

    LAST = 0
    FIRST = 1
    HIGHEST = 2
    LOWEST = 3
    TOTAL = 4


_BY_ENDING = (
    (("volume", "trades", "transactions"), Rule.TOTAL),
    (("open",), Rule.FIRST),
    (("high",), Rule.HIGHEST),
    (("low",), Rule.LOWEST),
)
_UNPRICED = ("rate", "size", "ratio", "count")  # endings of columns that a split leaves alone


def rule_for(name: str) -> Rule:
    """By the last word of a column's name: totals of volumes and counts of trades, open, high, low; else the last.

    >>> [rule_for(name).name for name in ("bid", "open_volume", "bid_high", "limit_up")]
    ['LAST', 'TOTAL', 'HIGHEST', 'LAST']
    """
    word = name.rpartition("_")[2]
    return next((rule for words, rule in _BY_ENDING if word in words), Rule.LAST)


def combined(slices: Sequence[Bars], rules: tuple[Rule, ...] = ()) -> Bars:
    """One bar of K slices (K, N) in order of time: open first, high max, low min, close last, volume summed.

        vwap = sum_k volume_k vwap_k / sum_k volume_k

    Only FRESH slices of a symbol count. It is FRESH where one is, else HALTED where one is halted, else MISSING; member
    as in the last slice. vwap is NaN where that of a slice with volume is, and where nothing traded. Of an extra column
    the values that are not NaN count, whatever the status. Volumes are added in order of time, so that combining a
    part first gives the same sums to the last bit.

    >>> out = combined([bars(1, [10.0, np.nan]), bars(2, [12.0, np.nan], volume=[5e5, np.nan])])
    >>> out.open, out.high, out.close, out.volume, out.status
    (array([10., nan]), array([12., nan]), array([12., nan]), array([1500000.,      nan]), array([0, 1], dtype=int32))
    """
    last = slices[-1]
    status = _stacked([b.status for b in slices])
    high = np.fmax.reduce(_stacked([b.high for b in slices]))
    low = np.fmin.reduce(_stacked([b.low for b in slices]))
    volumes = _stacked([b.volume for b in slices])
    if not np.count_nonzero(status):
        merged = last.status
        opening, close, volume = slices[0].open.copy(), last.close.copy(), np.add.reduce(volumes)
        vwap = _vwap(slices, volumes, volume)
    else:
        fresh = status == Status.FRESH
        some = fresh.any(axis=0)
        halted = (status == Status.HALTED).any(axis=0)
        merged = np.where(some, Status.FRESH, np.where(halted, Status.HALTED, Status.MISSING)).astype(np.int32)
        opening = _at(_stacked([b.open for b in slices]), fresh, first=True)
        close = _at(_stacked([b.close for b in slices]), fresh, first=False)
        traded = np.where(fresh, volumes, 0.0)
        volume = np.where(some, np.add.reduce(traded), np.nan)
        vwap = _vwap(slices, traded, volume)
    extra = tuple(_extra(_stacked([b.extra[k] for b in slices]), rule) for k, rule in enumerate(rules))
    for array in (merged, opening, high, low, close, volume, vwap, *extra):
        array.flags.writeable = False
    return Bars(
        ts=last.ts,
        interval_ns=last.interval_ns,
        opened=slices[0].opened,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vwap=vwap,
        status=merged,
        member=last.member,
        extra=extra,
    )


def adjusted(bars: Bars, actions: Actions, names: tuple[str, ...]) -> Bars:
    """The bar of the part of a stretch before these actions, in shares of the part after them.

    A split by `ratio` divides prices by it and multiplies volumes. Dividends leave raw prices as they are, a delisting
    and a change of symbol leave what traded before. `names` are those of the extra columns; of these volumes are
    multiplied, rates, sizes, ratios and counts left alone, and the rest divided as prices.
    """
    splits = actions.kind == ActionKind.SPLIT
    if not splits.any():
        return bars
    ratio = np.ones(len(bars.close))
    np.multiply.at(ratio, actions.symbol[splits], actions.ratio[splits])
    changed: dict[str, Any] = {name: getattr(bars, name) / ratio for name in (*_PRICES, "vwap")}
    changed["volume"] = bars.volume * ratio
    changed["extra"] = tuple(value * _factor(name, ratio) for name, value in zip(names, bars.extra, strict=True))
    return msgspec.structs.replace(bars, **changed)


def _factor(name: str, ratio: Vector) -> Vector | float:
    word = name.rpartition("_")[2]
    if word == "volume":
        return ratio
    return 1.0 if word in _UNPRICED or rule_for(name) is Rule.TOTAL else 1.0 / ratio


def _stacked(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """(K, N): several times quicker than np.stack for small arrays."""
    return np.concatenate(arrays).reshape(len(arrays), -1)


def _at(values: Matrix, known: Mask, *, first: bool) -> Vector:
    """The first or the last known value of each column, NaN = none."""
    rows = known.argmax(axis=0) if first else len(known) - 1 - known[::-1].argmax(axis=0)
    places = np.arange(known.shape[1])
    return np.where(known[rows, places], values[rows, places], np.nan)


def _vwap(slices: Sequence[Bars], volumes: Matrix, volume: Vector) -> Vector:
    prices = _stacked([b.vwap for b in slices])
    if np.isnan(prices).all():
        return slices[-1].vwap.copy()
    money = np.where(volumes > 0, volumes * prices, 0.0)
    traded = volume > 0
    vwap: Vector = np.divide(np.add.reduce(money), volume, out=np.full(len(volume), np.nan), where=traded)
    return vwap


def _extra(values: Matrix, rule: Rule) -> Vector:
    known = ~np.isnan(values)
    if rule in (Rule.FIRST, Rule.LAST):
        return _at(values, known, first=rule is Rule.FIRST)
    if rule is Rule.TOTAL:
        return np.where(known.any(axis=0), np.add.reduce(np.where(known, values, 0.0)), np.nan)
    extreme: Vector = (np.fmax if rule is Rule.HIGHEST else np.fmin).reduce(values)
    return extreme
