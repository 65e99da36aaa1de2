"""How far the answers of one run are from those of another, component by component and slice by slice."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from engine.events import Event, Features, LegAction, Orders, Signal, Target, Vector

Key = tuple[str, str]  # component, and what of it: a feature's name, or the type of its event


class Answers:
    """A recorder that keeps what features, models, strategies and the optimizer said. Memory: every answer.

    `columns` names the features of each set by its component. Orders are kept as the shares that they add by symbol.
    """

    def __init__(self, columns: Mapping[str, tuple[str, ...]], n: int) -> None:
        self._columns, self._n = columns, n
        self.said: dict[Key, dict[int, Vector]] = {}  # key -> ts -> (N,)

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        for origin, event in zip(origins, events, strict=True):
            if isinstance(event, Features):
                for name, column in zip(self._columns[origin], event.value.T, strict=True):
                    self._keep((origin, name), event.ts, column)
            elif isinstance(event, Signal):
                self._keep((event.source, "Signal"), event.ts, event.value)
            elif isinstance(event, Target):
                self._keep((event.source, "Target"), event.ts, event.value)
            elif isinstance(event, Orders):
                self._keep((origin, "Orders"), event.ts, self._added(event))

    def _keep(self, key: Key, ts: int, value: Vector) -> None:
        self.said.setdefault(key, {})[ts] = value

    def _added(self, orders: Orders) -> Vector:
        new = orders.action == LegAction.NEW
        added = np.zeros(self._n)
        np.add.at(added, orders.symbol[new], orders.qty[new])
        return added


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one answer is from the same one after the longest warm-up, over the first slices of a session.

    A relative difference is |a - b| over the larger of |b| and the median of all |b| > 0, b the answer after the
    longest warm-up; infinite where only one of the two is NaN.
    """

    component: str
    name: str  # of a feature, else the type of the event
    max: float  # over slices and symbols
    median: float  # over the slices, of the largest of each slice
    settled: int | None  # the first slice from which on all are within the tolerance, None = never; 0 = all are
    differs: int | None  # the first slice in which there is any difference, None = none
    beyond: int | None  # the first slice beyond the tolerance, None = none


def drifts(short: Answers, long: Answers, slices: Sequence[int], tolerance: float) -> dict[Key, Drift]:
    """Of every answer. `slices` are the instants of the session's finest slices: places are counted in them."""
    keys = list(dict.fromkeys([*long.said, *short.said]))
    return {key: _drift(key, short.said.get(key, {}), long.said.get(key, {}), slices, tolerance) for key in keys}


def _drift(
    key: Key, short: Mapping[int, Vector], long: Mapping[int, Vector], slices: Sequence[int], tolerance: float
) -> Drift:
    sizes = [np.abs(row[np.isfinite(row) & (row != 0)]) for row in long.values()]
    usual = np.concatenate(sizes) if sizes else np.zeros(0)
    typical = float(np.median(usual)) if len(usual) else 0.0
    at = sorted({*short, *long})
    places = np.maximum(np.searchsorted(np.asarray(slices), at, side="right") - 1, 0).tolist()  # of the latest slice
    worst = np.array([_apart(short.get(ts), long.get(ts), typical, key[1]) for ts in at])
    off = [k for k, value in zip(places, worst.tolist(), strict=True) if value > tolerance]
    any_ = [k for k, value in zip(places, worst.tolist(), strict=True) if value > 0]
    settled: int | None = 0
    if off:
        settled = next((k for k in places if k > off[-1]), None)
    return Drift(
        component=key[0],
        name=key[1],
        max=float(worst.max()) if len(worst) else 0.0,
        median=float(np.sort(worst)[len(worst) // 2]) if len(worst) else 0.0,
        settled=settled,
        differs=any_[0] if any_ else None,
        beyond=off[0] if off else None,
    )


def _apart(one: Any, two: Any, typical: float, name: str) -> float:
    """The largest relative difference of a slice. Where no order was given none of any size was."""
    if one is None and two is None:
        return 0.0
    if one is None or two is None:
        if name != "Orders":
            return float("inf")
        one, two = (np.zeros_like(two) if one is None else one), (np.zeros_like(one) if two is None else two)
    gap = np.abs(one - two)
    gap[(one == two) | (np.isnan(one) & np.isnan(two))] = 0.0
    gap[np.isnan(gap)] = np.inf
    size = np.fmax(np.abs(two), typical)
    return float(np.max(np.divide(gap, size, out=gap.copy(), where=(size > 0) & np.isfinite(size)), initial=0.0))
