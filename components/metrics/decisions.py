"""How a session decided, folded from the notes of its components: what bound, who answered, what was done instead."""

import re
from array import array
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np

from components.metrics.decision_rows import (
    Binding,
    Change,
    Conflict,
    Decisions,
    Exit,
    Factor,
    Fallback,
    Rounding,
    Route,
    Screen,
    Sleeve,
)
from engine.events import Note, Stamps, Vector
from engine.instants import instant_text

_MOST = 256  # distinct rows of a table that are told apart; what comes beyond is counted as `other`
_OTHER = "other"
_SOLVED = re.compile(r"solved by (.+) in (\d+) iterations, residual ([^,]+), before")
_VAIN = re.compile(r"(.+) did not answer: ")
_CONFLICT = re.compile(r"no weights satisfy (.+) together; any one of them could be met if it gave way: (.+)")
_GAVE = re.compile(r"(?:^|, )(.+?) by ([-+.\deinf]+)(?=, |$)")
_LIMIT = re.compile(r"(?:[^:]+: )?(.*?) ?at its limit of ")
_SIDE = re.compile(r"at the (upper|lower) bound of ")


class _Tally:
    """Counts of one row: how many notes and instants, when first and last, sums and extremes of their numbers."""

    __slots__ = ("count", "first", "high", "instants", "last", "low", "names", "newest", "total")

    def __init__(self) -> None:
        self.count = self.instants = self.names = 0
        self.first = self.last = 0
        self.total, self.high, self.low, self.newest = 0.0, -np.inf, np.inf, np.nan

    def add(self, ts: int, names: int = 0, value: float = 0.0) -> None:
        if not self.count:
            self.first = ts
        if ts != self.last or not self.count:
            self.instants += 1
        self.count += 1
        self.last = ts
        self.names += names
        self.total += value
        self.newest = value
        if value > self.high:
            self.high = value
        if value < self.low:
            self.low = value

    @property
    def span(self) -> dict[str, Any]:
        return {"count": self.count, "first": instant_text(self.first), "last": instant_text(self.last)}


class _Asked:
    """One route: its rebalances, how many iterations each took, and the largest residual."""

    __slots__ = ("iterations", "residual", "tally", "uncertified")

    def __init__(self) -> None:
        self.tally, self.residual, self.uncertified = _Tally(), -np.inf, 0
        self.iterations: Counter[int] = Counter()


class _Path:
    """The equity of one sleeve, one point an instant."""

    __slots__ = ("equity", "moved", "ts")

    def __init__(self) -> None:
        self.ts, self.equity, self.moved = array("q"), array("d"), 0.0

    def add(self, ts: int, equity: float) -> None:
        if self.ts and self.ts[-1] == ts:  # a later book of the same slice
            self.equity[-1] = equity
        else:
            self.ts.append(ts)
            self.equity.append(equity)


class DecisionFold:
    """Takes notes in bus order; those that say nothing of decisions are passed over.

    Memory: 256 rows of each table at most, one number for each count of iterations, 16 bytes a slice and sleeve.
    """

    def __init__(self) -> None:
        self._answered, self._rebalances = _Tally(), _Tally()
        self._constraints: dict[str, _Tally] = {}
        self._labels: dict[tuple[str, str], tuple[_Tally, _Tally]] = {}  # of its notes, and of single prices
        self._prices: dict[str, _Tally] = {}
        self._routes: dict[str, _Asked] = {}
        self._vain: Counter[str] = Counter()
        self._fallbacks: dict[tuple[str, str], _Tally] = {}
        self._held = -1  # the instant that a note `fallback:hold` has told of already
        self._conflicts: dict[str, tuple[_Tally, dict[str, float]]] = {}
        self._rounding = _Tally()
        self._changes: dict[str, _Tally] = {}
        self._exits: dict[tuple[str, str], _Tally] = {}
        self._factors: dict[tuple[str, str], _Tally] = {}
        self._screens: dict[tuple[str, str], list[int]] = {}
        self._sleeves: dict[tuple[str, str], _Path] = {}
        self._takes: dict[str, Callable[[Note, str], None]] = {
            "weights": self._on_weights,
            "binds": self._on_binds,
            "route": self._on_route,
            "fallback": self._on_fallback,
            "infeasible": self._on_infeasible,
            "rounding": self._on_rounding,
            "sleeve": self._on_sleeve,
            **dict.fromkeys(("rule", "sell"), self._on_exit),
            **dict.fromkeys(("filter", "block"), self._on_screen),
            **dict.fromkeys(("participation", "cut", "lot", "small", "untradable"), self._on_change),
        }

    def on_note(self, note: Note, /) -> None:
        head, _, rest = note.kind.partition(":")
        take = self._takes.get(head)
        if take is not None:
            take(note, rest)

    # ---- of the optimizer --------------------------------------------------------------------------------------------

    def _on_weights(self, note: Note, _: str) -> None:
        self._answered.add(note.ts)
        self._rebalances.add(note.ts)
        said = _SOLVED.search(note.text)
        asked = _row(self._routes, said[1] if said else "", _OTHER, _Asked)
        asked.tally.add(note.ts)
        if said is not None:
            asked.iterations[int(said[2])] += 1
            residual = float(said[3])
            if np.isfinite(residual):
                asked.residual = max(asked.residual, residual)
            else:
                asked.uncertified += 1

    def _on_binds(self, note: Note, name: str) -> None:
        value = note.value
        if len(value) == 1:  # the usual case
            mean = high = abs(float(value[0]))
            if not isfinite(mean):
                return
        else:
            prices = np.abs(value[np.isfinite(value)])
            if not len(prices):
                return
            mean, high = float(prices.mean()), float(prices.max())
        ts, names = note.ts, len(note.symbol)
        name = name if name in self._constraints or len(self._constraints) < _MOST else _OTHER
        key = (name, _label(note.text))
        of_label, of_prices = _row(self._labels, key, (name, _OTHER), _two_tallies)
        _row(self._constraints, name, _OTHER, _Tally).add(ts, names, mean)
        of_label.add(ts, names, mean)
        _row(self._prices, name, _OTHER, _Tally).add(ts, names, high)
        of_prices.add(ts, names, high)

    def _on_route(self, note: Note, _: str) -> None:
        said = _VAIN.match(note.text)
        if said is not None:
            name = said[1]
            self._vain[name if name in self._vain or len(self._vain) < _MOST else _OTHER] += 1

    def _on_fallback(self, note: Note, step: str) -> None:
        if not step:
            if note.ts == self._held:
                return
            step = "hold"
        elif step == "hold":
            self._held = note.ts
        self._rebalances.add(note.ts)
        reason = note.text.split("; ")[0]
        _row(self._fallbacks, (step, reason), (step, _OTHER), _Tally).add(note.ts)

    def _on_infeasible(self, note: Note, _: str) -> None:
        said = _CONFLICT.match(note.text)
        names = said[1] if said is not None else note.text
        tally, most = _row(self._conflicts, names, _OTHER, lambda: (_Tally(), {}))
        tally.add(note.ts)
        for name, by in _GAVE.findall(said[2]) if said is not None else ():
            if name in most or len(most) < _MOST:
                most[name] = max(most.get(name, 0.0), float(by))

    def _on_rounding(self, note: Note, limit: str) -> None:
        if limit:  # one that whole lots could not keep
            self._on_change(note, limit)
        elif _finite(note):
            self._rounding.add(note.ts, 0, float(note.value[0]))

    def _on_change(self, note: Note, _: str) -> None:
        _row(self._changes, note.kind, _OTHER, _Tally).add(note.ts, len(note.symbol))

    # ---- of the strategies -------------------------------------------------------------------------------------------

    def _on_exit(self, note: Note, _: str) -> None:
        key, other = (note.source, note.kind), (note.source, _OTHER)
        if len(note.symbol):
            _row(self._exits, key, other, _Tally).add(note.ts, len(note.symbol))
        elif _finite(note):
            _row(self._factors, key, other, _Tally).add(note.ts, 0, float(note.value[0]))

    def _on_screen(self, note: Note, _: str) -> None:
        counts = _row(self._screens, (note.source, note.kind), (note.source, _OTHER), lambda: [0, 0])
        back = int(np.count_nonzero(note.value))
        counts[0] += len(note.value) - back
        counts[1] += back

    def _on_sleeve(self, note: Note, part: str) -> None:
        if not _finite(note):
            return
        path = _row(self._sleeves, (note.source, note.text), (note.source, _OTHER), _Path)
        if part == "moved":
            path.moved += float(note.value[0])
        elif not part:
            path.add(note.ts, float(note.value[0]))

    # ---- answers -----------------------------------------------------------------------------------------------------

    def result(self) -> Decisions:
        """What the notes so far say."""
        rounded = self._rounding
        return Decisions(
            rebalances=self._rebalances.instants,
            answered=self._answered.instants,
            constraints=self._bindings(),
            routes=self._asked(),
            fallbacks=tuple(Fallback(step=s, reason=why, **t.span) for (s, why), t in self._fallbacks.items()),
            conflicts=tuple(
                Conflict(constraints=tuple(most) or (names,), most=tuple(most.values()), **tally.span)
                for names, (tally, most) in self._conflicts.items()
            ),
            rounding=Rounding(rebalances=rounded.instants, mean=rounded.total / rounded.count, largest=rounded.high)
            if rounded.count
            else None,
            changes=tuple(Change(kind=k, rebalances=t.instants, trades=t.names) for k, t in self._changes.items()),
            exits=tuple(
                Exit(
                    source=source,
                    rule=rule,
                    slices=tally.instants,
                    positions=tally.names,
                    first=tally.span["first"],
                    last=tally.span["last"],
                )
                for (source, rule), tally in self._exits.items()
            ),
            factors=tuple(
                Factor(source=source, rule=rule, changes=t.count, lowest=t.low, last=t.newest)
                for (source, rule), t in self._factors.items()
            ),
            screens=tuple(
                Screen(source=source, filter=kind, dropped=counts[0], returned=counts[1])
                for (source, kind), counts in self._screens.items()
            ),
            sleeves=tuple(self._parts()),
        )

    def _bindings(self) -> tuple[Binding, ...]:
        """Each constraint, those that bound most often first, and below it its labels where it has any."""
        found = []
        for name, tally in sorted(self._constraints.items(), key=lambda item: (-item[1].instants, item[0])):
            found.append(self._binding(name, "", tally, self._prices[name]))
            labels = [(label, pair) for (of, label), pair in self._labels.items() if of == name]
            if len(labels) > 1:
                found += [self._binding(name, label, *pair) for label, pair in labels]
            else:
                found[-1] = self._binding(name, labels[0][0], *labels[0][1])
        return tuple(found)

    def _binding(self, name: str, label: str, means: _Tally, highs: _Tally) -> Binding:
        return Binding(
            constraint=name,
            label=label,
            rebalances=means.instants,
            share=means.instants / max(self._answered.instants, 1),
            names=means.names / means.instants,
            price_mean=means.total / means.count,
            price_max=highs.high,
        )

    def _asked(self) -> tuple[Route, ...]:
        """Each route, those that answered most often first; one that never did stands last."""
        found = []
        by_count = sorted(self._routes, key=lambda name: -self._routes[name].tally.count)
        for name in dict.fromkeys((*by_count, *self._vain)):
            asked = self._routes.get(name) or _Asked()
            found.append(
                Route(
                    route=name,
                    rebalances=asked.tally.instants,
                    share=asked.tally.instants / max(self._answered.instants, 1),
                    iterations_median=_median(asked.iterations),
                    residual_max=asked.residual if np.isfinite(asked.residual) else None,
                    uncertified=asked.uncertified,
                    in_vain=self._vain[name],
                )
            )
        return tuple(found)

    def _parts(self) -> list[Sleeve]:
        return [
            Sleeve(
                source=source,
                name=name,
                first=path.equity[0],
                last=path.equity[-1],
                moved=path.moved,
                gained=path.equity[-1] - path.equity[0] - path.moved,
            )
            for (source, name), path in self._sleeves.items()
            if path.equity
        ]

    def curves(self) -> dict[str, tuple[Stamps, Vector]]:
        """The equity of each sleeve by `source.name`: instants and values, (T,) each."""
        return {
            f"{source}.{name}": (np.array(path.ts, np.int64), np.array(path.equity))
            for (source, name), path in self._sleeves.items()
            if path.equity
        }


def _finite(note: Note) -> bool:
    """Whether it has one number, or begins with one."""
    return len(note.value) > 0 and bool(np.isfinite(note.value[0]))


def _row(rows: dict[Any, Any], key: Any, other: Any, made: Callable[[], Any]) -> Any:
    """The row of this key, a new one where there is room, else that of all others."""
    found = rows.get(key)
    if found is None:
        key = key if len(rows) < _MOST else other
        found = rows.setdefault(key, made())
    return found


def _two_tallies() -> tuple[_Tally, _Tally]:
    return _Tally(), _Tally()


@lru_cache(maxsize=1024)
def _label(text: str) -> str:
    """What of a constraint binds.

    >>> _label("sectors: Energy at its limit of 0.05"), _label("3 names at the upper bound of box")
    ('Energy', 'upper bound')
    >>> _label("turnover at its limit of 0.1"), _label("the weights add up to 0.95")
    ('', '')
    """
    side = _SIDE.search(text)
    if side is not None:
        return f"{side[1]} bound"
    said = _LIMIT.match(text)
    return said[1] if said is not None and ": " in text[: said.end()] else ""


def _median(counts: Counter[int]) -> float | None:
    """Of the numbers that were counted; None of none."""
    total = sum(counts.values())
    if not total:
        return None
    ordered, seen = sorted(counts.items()), 0
    middle = ((total - 1) // 2, total // 2)
    found = []
    for value, count in ordered:
        found += [value for place in middle if seen <= place < seen + count]
        seen += count
    return sum(found) / 2
