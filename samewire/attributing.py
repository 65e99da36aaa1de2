"""The attribution of a recorded session: its events folded into effects of sectors, factors and trading."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from components.metrics.attribution import (
    CASH,
    brinson,
    factor_effects,
    linking,
    transfer_coefficient,
)
from components.metrics.growth import Growth
from engine.errors import DataError
from engine.events import Actions, Bars, Book, Codes, Event, Mask, Matrix, Reference, Target, TargetKind, Vector
from engine.universe import Universe
from samewire.recorded import Recorded

_HALF_LIFE = 63.0  # slices, of the volatilities that transfer coefficients are weighted by
_LEAST = 20  # slices before one is told


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One sector over the whole session, shares of return; weights are means over its slices."""

    sector: str
    weight: float
    benchmark_weight: float
    allocation: float
    selection: float
    interaction: float


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Effects that add up to `active`: those of the sectors and trading; or factors, specific and trading."""

    slices: int
    against: str  # the benchmark
    total: float  # return of the account
    benchmark: float
    active: float  # total less benchmark
    sectors: tuple[Line, ...]
    factors: dict[str, float]  # empty where no exposures came
    specific: float
    trading: float  # costs, interest, and what trades within their slice earned
    transfer_targets: float | None  # mean transfer coefficient of the strategy's targets
    transfer_held: float | None  # of what was held after constraints, costs and rounding


class Attributing:
    """Folds events in bus order. The benchmark is equal weights of the members, the Reference `benchmark`, or none."""

    def __init__(self, universe: Universe, interval_ns: int, benchmark: str) -> None:
        n = len(universe)
        self._universe, self._interval, self._name = universe, interval_ns, benchmark
        self._one = universe.symbols.index(benchmark) if benchmark in universe.symbols else None
        self._growth = Growth(n)
        self._member: Mask | None = None  # at the close before
        self._given: Vector | None = None
        self._sector: Codes = np.zeros(n, np.int32)
        self._names: tuple[str, ...] = ("all",)
        self._exposures: tuple[Matrix, tuple[str, ...]] | None = None
        self._weight: Vector | None = None  # at the close before
        self._equity = 0.0
        self._book: Book | None = None  # of the slice that is on
        self._acted = False  # corporate actions came since its bars: later books speak of the next slice
        self._base: Vector = np.zeros(n)  # the benchmark's weights at the close before
        self._variance, self._seen = np.zeros(n), 0
        self._return: Vector = np.zeros(n)
        self._rows: list[dict[str, Any]] = []
        self._opinion: Vector | None = None
        self._wanted: Vector | None = None
        self._transfer: tuple[list[float], list[float]] = ([], [])

    def on(self, event: Event) -> None:
        """Takes one event; those that say nothing of this are passed over."""
        if isinstance(event, Actions):
            self._growth.on_actions(event)
            self._acted = True
        elif isinstance(event, Reference):
            self._on_reference(event)
        elif isinstance(event, Bars) and event.interval_ns == self._interval:
            self._on_bars(event)
        elif isinstance(event, Book) and not self._acted:
            self._book = event
        elif isinstance(event, Target):
            self._on_target(event)

    def _on_reference(self, reference: Reference) -> None:
        value = reference.value
        if reference.name == "sectors":
            code, names = value[:, 0], reference.columns
            self._sector = np.where(np.isfinite(code), code, len(names)).astype(np.int32)
            self._names = (*names, "no sector")
        elif reference.name == "benchmark":
            self._given = np.nan_to_num(value[:, 0], nan=0.0)
        elif reference.name == "exposures":
            self._exposures = value, reference.columns

    def _on_bars(self, bars: Bars) -> None:
        self._settle()
        before = self._growth.on_bars(bars)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = self._growth.value / before - 1.0
        self._growth.bury()
        known = np.isfinite(ratio)
        self._return = np.where(known, ratio, 0.0)
        self._base = self._benchmark(known)
        decay = 0.5 ** (1.0 / _HALF_LIFE)
        self._variance = decay * self._variance + (1.0 - decay) * self._return**2
        self._seen += 1
        self._member, self._acted = bars.member, False

    def _benchmark(self, known: Mask) -> Vector:
        """(N,) what it held over this slice."""
        n = len(known)
        if self._one is not None:
            one: Vector = (np.arange(n) == self._one).astype(np.float64)
            return one
        if self._name == "reference" and self._given is not None:
            return self._given
        if self._name != "equal_weight" or self._member is None:
            return np.zeros(n)
        held = self._member & known
        weight: Vector = held / max(int(held.sum()), 1)
        return weight

    def _on_target(self, target: Target) -> None:
        book = self._book
        if book is None or not book.equity > 0:
            return
        unit = self._unit(book)
        money = {
            TargetKind.WEIGHT: target.value * book.equity,
            TargetKind.VALUE: target.value,
            TargetKind.QUANTITY: target.value * unit,
        }[target.kind]
        wanted = np.where(np.isfinite(money), money, book.qty * np.nan_to_num(unit)) / book.equity
        self._wanted = wanted if self._wanted is None else self._wanted + wanted
        self._opinion = target.alpha if self._opinion is None else np.fmax(self._opinion, target.alpha)

    def _unit(self, book: Book) -> Vector:
        unit: Vector = book.mark * self._universe.multiplier * book.rate[self._universe.currency]
        return unit

    def _settle(self) -> None:
        """Counts the slice that is over."""
        book = self._book
        if book is None:
            return
        weight = (
            np.nan_to_num(book.qty * self._unit(book)) / book.equity if book.equity > 0 else np.zeros(len(book.qty))
        )
        if self._weight is not None and self._equity > 0:
            self._rows.append(self._row(self._weight, book.equity / self._equity - 1.0))
        volatility = np.sqrt(self._variance)
        if self._opinion is not None and self._wanted is not None and self._seen > _LEAST:
            for kept, held in zip(self._transfer, (self._wanted, weight), strict=True):
                kept.append(transfer_coefficient(held - self._base, self._opinion, volatility))
        self._opinion = self._wanted = None
        self._weight, self._equity, self._book = weight, book.equity, None

    def _row(self, weight: Vector, earned: float) -> dict[str, Any]:
        names, growth, base = self._names, self._return, self._base
        effects = brinson(weight, base, growth, self._sector, len(names))
        factors, specific = np.zeros(0), 0.0
        labels: tuple[str, ...] = ()
        if self._exposures is not None:
            matrix, columns = self._exposures
            factors, specific = factor_effects(weight - base, growth, matrix)
            labels = (*columns, "market")
        return {
            "earned": earned,
            "benchmark": float(base @ growth),
            "trading": earned - float(weight @ growth),
            "sectors": dict(zip((*names, CASH), zip(*effects, strict=True), strict=True)),
            "weights": dict(zip((*names, CASH), _weights(weight, base, self._sector, len(names)), strict=True)),
            "factors": dict(zip(labels, factors.tolist(), strict=True)),
            "specific": specific,
        }

    def result(self) -> Attribution:
        """The whole session. Raises DataError where it had no two books."""
        self._settle()
        rows = self._rows
        if not rows:
            raise DataError("attribution: the session has no two slices with a book; record a longer one")
        earned, base = [row["earned"] for row in rows], [row["benchmark"] for row in rows]
        factor = linking(earned, base)
        total, benchmark = float(np.prod(1.0 + np.array(earned)) - 1.0), float(np.prod(1.0 + np.array(base)) - 1.0)
        return Attribution(
            slices=len(rows),
            against=self._name.replace("_", " "),
            total=total,
            benchmark=benchmark,
            active=total - benchmark,
            sectors=_lines(rows, factor),
            factors={
                name: float(sum(k * row["factors"].get(name, 0.0) for k, row in zip(factor, rows, strict=True)))
                for name in dict.fromkeys(name for row in rows for name in row["factors"])
            },
            specific=float(sum(k * row["specific"] for k, row in zip(factor, rows, strict=True))),
            trading=float(sum(k * row["trading"] for k, row in zip(factor, rows, strict=True))),
            transfer_targets=_mean(self._transfer[0]),
            transfer_held=_mean(self._transfer[1]),
        )


def benchmark_of(recorded: Recorded, asked: str) -> str:
    """What weights are held against. Raises ConfigError for what is no benchmark of this session."""
    from engine.errors import ConfigError

    if not asked:
        run = recorded.readable
        if run is None:
            return "equal_weight"
        named = [str(key) for key in (run.feed.options.get("references") or {})]
        return "reference" if "benchmark" in named else run.session.benchmark
    if asked in ("equal_weight", "reference", "none") or asked in recorded.symbols:
        return asked
    raise ConfigError(
        f"attribution: no benchmark {asked!r}; expected equal_weight, reference, none, or a symbol of the session"
    )


def attributed(events: Iterable[Event], universe: Universe, interval_ns: int, benchmark: str) -> Attribution:
    """The attribution of a session's events, in bus order."""
    fold = Attributing(universe, interval_ns, benchmark)
    for event in events:
        fold.on(event)
    return fold.result()


def _weights(weight: Vector, base: Vector, sector: Codes, count: int) -> list[tuple[float, float]]:
    """By sector, and of cash, the account's weight and the benchmark's."""
    w, b = (np.bincount(sector, values, count).tolist() for values in (weight, base))
    return [*zip(w, b, strict=True), (1.0 - sum(w), 1.0 - sum(b))]


def _lines(rows: list[dict[str, Any]], factor: Vector) -> tuple[Line, ...]:
    """Each sector that any slice had, those without any weight left out."""
    names = dict.fromkeys(name for row in rows for name in row["sectors"])
    lines = []
    for name in names:
        effects = np.zeros(3)
        weights = np.zeros(2)
        for k, row in zip(factor, rows, strict=True):
            effects += k * np.array(row["sectors"].get(name, (0.0, 0.0, 0.0)))
            weights += np.array(row["weights"].get(name, (0.0, 0.0)))
        if name != CASH and not weights.any():
            continue
        w, b = (weights / len(rows)).tolist()
        a, s, i = effects.tolist()
        lines.append(Line(sector=name, weight=w, benchmark_weight=b, allocation=a, selection=s, interaction=i))
    return tuple(lines)


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None
