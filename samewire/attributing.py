"""The attribution of a recorded session: its events folded into effects of sectors, factors and trading."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from components.metrics.attribution import CASH, Regression, brinson, carino, transfer_coefficients
from components.metrics.growth import Growth
from engine.errors import DataError
from engine.events import Actions, Bars, Book, Codes, Event, Mask, Matrix, Note, Reference, Target, TargetKind, Vector
from engine.universe import Universe
from samewire.recorded import Recorded
from samewire.run_file import RunFile

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
    transfer_weights: float | None  # of the weights that an optimizer solved for, None where none says them
    transfer_held: float | None  # of what was held at the next close, after constraints, costs, rounding and fills


class Known(NamedTuple):
    """What was known at a close, and so holds over the slice that follows."""

    benchmark: Vector | None  # (N,) of the Reference
    sector: Codes  # (N,)
    names: tuple[str, ...]  # of sectors
    exposures: Matrix | None  # (N, K)
    factors: tuple[str, ...]


class Opinions(NamedTuple):
    """What was wanted at a close, to be compared with what was held at the next one."""

    alpha: Vector
    volatility: Vector
    base: Vector  # the benchmark's weights
    targets: Vector  # weights
    weights: Vector | None


class Attributing:
    """Folds events in bus order. The benchmark is equal weights of the members, the Reference `benchmark`, or none.

    Weights, benchmark, sectors and exposures are those known at a close; they meet the returns of the slice after it.
    """

    def __init__(self, universe: Universe, interval_ns: int, benchmark: str) -> None:
        n = len(universe)
        self._universe, self._interval, self._name = universe, interval_ns, benchmark
        self._one = universe.symbols.index(benchmark) if benchmark in universe.symbols else None
        self._growth = Growth(n)
        self._member: Mask | None = None  # at the close before
        self._now = Known(None, np.zeros(n, np.int32), ("all",), None, ())  # by the events so far
        self._close, self._before = self._now, self._now  # at this close, and at the one before
        self._weight: Vector | None = None  # at the close before
        self._equity = 0.0
        self._book: Book | None = None  # of the slice that is on
        self._acted = False  # corporate actions came since its bars: later books speak of the next slice
        self._base: Vector = np.zeros(n)  # the benchmark's weights over this slice
        self._variance, self._seen = np.zeros(n), 0
        self._return: Vector = np.zeros(n)
        self._slices, self._grown = 0, np.ones(2)  # what one unit of the account, and of the benchmark, has become
        self._linked = True  # no slice lost everything: effects can be linked
        self._sums: dict[str, _Sums] = {}  # by kind: of effects (linked, plain) and of weights
        self._regression: Regression | None = None  # on the latest exposures
        self._wanted: tuple[Vector, Vector] | None = None  # weights and alpha of all targets of this slice
        self._solved: Note | None = None
        self._opinions: Opinions | None = None  # of the close before
        self._transfer = (_Mean(), _Mean(), _Mean())

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        """Takes one completed run of the bus: it fits where a recorder does."""
        del origins
        for event in events:
            self.on(event)

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
        elif isinstance(event, Note) and event.kind == "weights":
            self._solved = event

    def _on_reference(self, reference: Reference) -> None:
        value = reference.value
        if reference.name == "sectors":
            code, names = value[:, 0], reference.columns
            sector = np.where((code >= 0) & (code < len(names)), code, len(names)).astype(np.int32)
            self._now = self._now._replace(sector=sector, names=(*names, "no sector"))
        elif reference.name == "benchmark":
            self._now = self._now._replace(benchmark=np.nan_to_num(value[:, 0], nan=0.0, posinf=0.0, neginf=0.0))
        elif reference.name == "exposures":
            self._now = self._now._replace(exposures=value, factors=reference.columns)

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
        self._before, self._close = self._close, self._now

    def _benchmark(self, known: Mask) -> Vector:
        """(N,) what it held over this slice."""
        n = len(known)
        if self._one is not None:
            one: Vector = (np.arange(n) == self._one).astype(np.float64)
            return one
        if self._name == "reference":
            return np.zeros(n) if self._close.benchmark is None else self._close.benchmark
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
        weights = np.where(np.isfinite(money), money, _known(book.qty * unit)) / book.equity
        before = self._wanted
        self._wanted = (
            (weights, target.alpha) if before is None else (before[0] + weights, np.fmax(before[1], target.alpha))
        )

    def _unit(self, book: Book) -> Vector:
        unit: Vector = book.mark * self._universe.multiplier * book.rate[self._universe.currency]
        return unit

    def _settle(self) -> None:
        """Counts the slice that is over."""
        book = self._book
        if book is None:
            return
        weight = _known(book.qty * self._unit(book)) / book.equity if book.equity > 0 else np.zeros(len(book.qty))
        if self._weight is not None and self._equity > 0:
            self._count(self._weight, book.equity / self._equity - 1.0)
        self._compare(weight)
        self._wanted = self._solved = None
        self._weight, self._equity, self._book = weight, book.equity, None

    def _compare(self, weight: Vector) -> None:
        """Transfer coefficients of the close before, whose orders have filled by now; and what is wanted now."""
        past = self._opinions
        if past is not None:
            kept = [(i, row) for i, row in enumerate((past.targets, past.weights, weight)) if row is not None]
            active = np.stack([row for _, row in kept]) - past.base
            found = transfer_coefficients(active, past.alpha, past.volatility)
            for (i, _), value in zip(kept, found.tolist(), strict=True):
                self._transfer[i].add(value)
        self._opinions = None
        if self._wanted is not None and self._seen > _LEAST:
            solved = None
            if self._solved is not None:
                solved = weight.copy()
                solved[self._solved.symbol] = self._solved.value
            wanted, alpha = self._wanted
            base = self._benchmark(np.isfinite(self._growth.value))
            self._opinions = Opinions(alpha, np.sqrt(self._variance), base, wanted, solved)

    def _count(self, weight: Vector, earned: float) -> None:
        """Adds the effects of one slice, times Carino's k of it."""
        known, growth, base = self._before, self._return, self._base
        against = float(base @ growth)
        self._linked &= min(earned, against) > -1.0
        k = float(carino(np.array(earned), np.array(against))) if self._linked else 0.0
        self._slices += 1
        self._grown *= 1.0 + np.array([earned, against])
        effects = np.array(brinson(weight, base, growth, known.sector, len(known.names))).T
        held = _weights(weight, base, known.sector, len(known.names))
        self._add("sector", (*known.names, CASH), np.concatenate([k * effects, effects, held], axis=1))
        self._add("trading", ("",), _both(k, np.array([earned - float(weight @ growth)])))
        specific = 0.0
        if known.exposures is not None:
            if self._regression is None or self._regression.exposures is not known.exposures:
                self._regression = Regression(known.exposures)
            factors, specific = self._regression.effects(weight - base, growth)
            self._add("factor", (*known.factors, "market"), _both(k, factors))
        self._add("specific", ("",), _both(k, np.array([specific])))

    def _add(self, kind: str, names: tuple[str, ...], values: Matrix) -> None:
        self._sums.setdefault(kind, _Sums()).add(names, values)

    def result(self) -> Attribution:
        """The whole session. Raises DataError where it had no two books."""
        self._settle()
        if not self._slices:
            raise DataError("attribution: the session has no two slices with a book; record a longer one")
        total, benchmark = (self._grown - 1.0).tolist()
        whole = float(carino(np.array(total), np.array(benchmark))) if self._linked else 0.0

        def linked(kind: str, sums: Vector) -> Any:
            """Effects of all slices: linked where that can be, else added up."""
            width = 3 if kind == "sector" else 1
            return sums[:width] / whole if self._linked else sums[width : 2 * width]

        rows = {kind: sums.rows() for kind, sums in self._sums.items()}
        return Attribution(
            slices=self._slices,
            against=self._name.replace("_", " "),
            total=total,
            benchmark=benchmark,
            active=total - benchmark,
            sectors=tuple(
                _line(name, linked("sector", sums), sums[6:] / self._slices)
                for name, sums in rows["sector"].items()
                if name == CASH or sums[6:].any()
            ),
            factors={name: float(linked("factor", sums)[0]) for name, sums in rows.get("factor", {}).items()},
            specific=float(linked("specific", rows["specific"][""])[0]),
            trading=float(linked("trading", rows["trading"][""])[0]),
            transfer_targets=self._transfer[0].value,
            transfer_weights=self._transfer[1].value,
            transfer_held=self._transfer[2].value,
        )


class _Sums:
    """Sums by name of rows that come for the same names again and again; other names begin rows of their own."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._running: Matrix = np.zeros((0, 0))
        self._past: dict[str, Vector] = {}

    def add(self, names: tuple[str, ...], values: Matrix) -> None:
        if names == self._names:
            self._running += values
        else:
            self._past = self.rows()
            self._names, self._running = names, values.copy()

    def rows(self) -> dict[str, Vector]:
        """The sums of each name, in the order in which names came."""
        found = dict(self._past)
        for name, row in zip(self._names, self._running, strict=True):
            found[name] = found[name] + row if name in found else row.copy()
        return found


class _Mean:
    """The mean of the finite numbers among those added."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float) -> None:
        if np.isfinite(value):
            self._sum, self._count = self._sum + value, self._count + 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


def benchmark_of(recorded: Recorded, asked: str) -> str:
    """What weights are held against. Raises ConfigError for what is no benchmark of this session."""
    from engine.errors import ConfigError

    if not asked:
        return "equal_weight" if recorded.readable is None else own_benchmark(recorded.readable)
    if asked in ("equal_weight", "reference", "none") or asked in recorded.symbols:
        return asked
    raise ConfigError(
        f"attribution: no benchmark {asked!r}; expected equal_weight, reference, none, or a symbol of the session"
    )


def own_benchmark(run: RunFile) -> str:
    """The feed's `benchmark` where it has one, else that of the session."""
    named = [str(key) for key in (run.feed.options.get("reference") or {})]
    return "reference" if "benchmark" in named else run.session.benchmark


def attributed(events: Iterable[Event], universe: Universe, interval_ns: int, benchmark: str) -> Attribution:
    """The attribution of a session's events, in bus order."""
    fold = Attributing(universe, interval_ns, benchmark)
    for event in events:
        fold.on(event)
    return fold.result()


def _weights(weight: Vector, base: Vector, sector: Codes, count: int) -> Matrix:
    """(count + 1, 2) by sector, and of cash, the account's weight and the benchmark's."""
    held: Matrix = np.stack([np.bincount(sector, values, count + 1) for values in (weight, base)], axis=1).astype(
        np.float64
    )
    held[count] = 1.0 - held.sum(axis=0)
    return held


def _known(values: Vector) -> Vector:
    """Values with 0 for what is unknown."""
    return np.where(np.isfinite(values), values, 0.0)


def _both(k: float, effects: Vector) -> Matrix:
    """(n, 2) effects linked and plain."""
    return np.stack([k * effects, effects], axis=1)


def _line(name: str, effects: Vector, weights: Vector) -> Line:
    (a, s, i), (w, b) = effects.tolist(), weights.tolist()
    return Line(sector=name, weight=w, benchmark_weight=b, allocation=a, selection=s, interaction=i)
