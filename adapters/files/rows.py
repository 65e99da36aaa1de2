"""Rows of a long table in time order, and what one pass over them tells."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import Codes, Mask, Matrix, Stamps

PRICES = ("open", "high", "low", "close", "volume")
EXAMPLES_MAX = 10  # of each kind of defect
STEPS_MAX = 4096  # distinct distances between stamps that are counted; a bar file has a handful


class Rows(msgspec.Struct, frozen=True, eq=False, gc=False):
    """R rows: stamp (R,) in days or UTC ns, code (R,) of the symbol, values (K, R) in the order of the fields."""

    stamp: Stamps
    code: Codes
    values: Matrix

    def __len__(self) -> int:
        return len(self.stamp)

    def take(self, which: Mask | slice | NDArray[np.intp]) -> "Rows":
        return Rows(self.stamp[which], self.code[which], self.values[:, which])


def joined(parts: list[Rows]) -> Rows:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        np.concatenate([part.stamp for part in parts]),
        np.concatenate([part.code for part in parts]),
        np.concatenate([part.values for part in parts], axis=1),
    )


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over the stamps and symbols of a time-sorted table tells."""

    dated: bool
    symbols: tuple[str, ...]  # by code
    first: tuple[int, ...]  # first stamp of each symbol
    low: int
    high: int
    rows: int
    step: int  # the most common distance between neighbouring stamps, 0 = there is one stamp only
    least: int  # the least
    midnight: bool  # all stamps are UTC midnights
    unsorted: int = 0  # rows that stood right after a later one of their symbol, before the table was sorted
    unsorted_first: tuple[tuple[int, int, int], ...] = ()  # of the first of them: symbol code, stamp, the later stamp


class RowSource(Protocol):
    """A table in time order that can be read again and again."""

    fields: tuple[str, ...]  # of Rows.values
    survey: Survey

    def rows(self, low: int | None, high: int | None) -> Iterator[Rows]:
        """Rows by non-decreasing stamp: at least those with low <= stamp <= high."""
        ...

    def hashes(self) -> dict[str, str]: ...


class Disorder:
    """Counts, chunk by chunk, the rows that stand right after a later row of their own symbol.

    A table sorted by time or by symbol and time has none. Memory: a stamp of each symbol.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: list[tuple[int, int, int]] = []  # symbol code, stamp, the later stamp before it
        self._last = np.empty(0, np.int64)

    def add(self, stamp: Stamps, code: Codes, symbols: int) -> None:
        unseen = np.full(symbols - len(self._last), np.iinfo(np.int64).min)
        self._last = np.concatenate((self._last, unseen))
        if not len(stamp):
            return
        order = np.argsort(code, kind="stable")  # by symbol, each in the order of the file
        of, at = code[order], stamp[order]
        new = np.concatenate(([True], of[1:] != of[:-1]))
        before = np.where(new, self._last[of], np.concatenate((at[:1], at[:-1])))
        self._last[of] = at  # of each symbol the last one stays
        early = np.flatnonzero(at < before)
        self.count += len(early)
        shown = early[np.argsort(order[early])][: EXAMPLES_MAX - len(self.first)]
        self.first += zip(of[shown].tolist(), at[shown].tolist(), before[shown].tolist(), strict=True)


class Surveyor:
    """Collects a Survey chunk by chunk; `add` answers whether the stamps still stand in order."""

    def __init__(self) -> None:
        self._first = np.empty(0, np.int64)
        self._steps: dict[int, int] = {}
        self._low = self._last = 0
        self._rows = 0
        self._midnight = True

    def add(self, stamp: Stamps, code: Codes, symbols: int) -> bool:
        if not len(stamp):
            return True
        steps = np.diff(stamp, prepend=self._last if self._rows else stamp[0])
        if (steps < 0).any():
            return False
        if symbols > len(self._first):
            unseen = np.full(symbols - len(self._first), np.iinfo(np.int64).max)
            self._first = np.concatenate((self._first, unseen))
        # Stamps do not decrease: writing them backwards leaves the earliest of each symbol.
        earliest = np.full(symbols, np.iinfo(np.int64).max)
        earliest[code[::-1]] = stamp[::-1]
        np.minimum(self._first, earliest, out=self._first)
        self._count(steps)
        self._low = self._low if self._rows else int(stamp[0])
        self._rows, self._last = self._rows + len(stamp), int(stamp[-1])
        self._midnight = self._midnight and not (stamp % 86_400_000_000_000).any()
        return True

    def _count(self, steps: Stamps) -> None:
        found, counts = np.unique(steps[steps > 0], return_counts=True)
        for step, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._steps[step] = self._steps.get(step, 0) + count
        if len(self._steps) > STEPS_MAX:
            kept = sorted(self._steps, key=lambda step: (-self._steps[step], step))[: STEPS_MAX // 2]
            self._steps = {step: self._steps[step] for step in sorted({*kept, min(self._steps)})}

    def survey(self, symbols: Iterable[str], *, dated: bool) -> Survey:
        common = max(self._steps, key=lambda step: (self._steps[step], -step), default=0)
        return Survey(
            dated=dated,
            symbols=tuple(symbols),
            first=tuple(self._first.tolist()),
            low=self._low,
            high=self._last,
            rows=self._rows,
            step=common,
            least=min(self._steps, default=0),
            midnight=self._midnight and not dated,
        )
