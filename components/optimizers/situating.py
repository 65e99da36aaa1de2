"""What an optimizer knows of the world at a rebalance: the latest bars, what is traded, and the matrices that came."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from components.optimizers.latest import Latest, restored, unseen
from components.optimizers.paying import unit_value
from components.optimizers.problem import Situation
from components.optimizers.purse import Purse
from components.optimizers.sizing import alpha_of, wanted_shares
from engine.events import ActionKind, Actions, Bars, Book, Codes, Mask, Matrix, Reference, Target, Vector
from engine.protocols import Risk
from engine.state import placed
from engine.universe import Universe

BenchmarkName: TypeAlias = Literal["none", "equal", "targets", "reference"]
BENCHMARKS: tuple[BenchmarkName, ...] = ("none", "equal", "targets", "reference")


class Surroundings:
    """Keeps what a `Situation` is made of.

    The benchmark is `equal`: equal weights of the members of the universe; `targets`: the strategy's own weights;
    `reference`: the first column of the Reference `benchmark`, NaN = 0; or `none`: zeros. Shares of a sum other than 1
    are an error: weights of a benchmark that leave something out are not guessed.

    `traded` is the mean money that the last `slices` slices with a bar traded, volume at the close. Half a spread is
    that of the columns `bid` and `ask` of the latest bars where the feed has them. Memory: (slices, N), the matrices.
    """

    def __init__(self, universe: Universe, *, benchmark: BenchmarkName, slices: int) -> None:
        if benchmark not in BENCHMARKS:
            raise ValueError(f"benchmark must be one of {', '.join(BENCHMARKS)}, got {benchmark!r}")
        if not 1 <= slices <= 10_000:
            raise ValueError(f"traded_slices must be between 1 and 10,000, got {slices}")
        n = len(universe)
        self._universe, self._benchmark = universe, benchmark
        self.latest: Latest = unseen(n)
        self._member: Mask = np.ones(n, bool)
        self._traded = np.full((slices, n), np.nan)  # in the symbol's currency
        self._place = 0
        self._money = np.zeros((slices, n))  # the same, 0 where it is not known
        self._counted = np.zeros(n, np.int64)  # slices in which it is known
        self._half_spread: Vector = np.full(n, np.nan)
        self._quotes = _quotes(universe)
        self._matrices: dict[str, Matrix] = {}
        self._given: Matrix | None = None  # that the benchmark's weights below are of
        self._weights_given: Vector = np.zeros(0)
        self._columns: dict[str, tuple[str, ...]] = {}
        self._sector: Codes = np.full(n, -1, np.int32)

    def on_bars(self, bars: Bars) -> None:
        self.latest, self._member = Latest(bars.status, bars.volume), bars.member
        row = self._traded[self._place]
        self._counted -= np.isfinite(row)
        np.multiply(bars.close, bars.volume, out=row)
        known = np.isfinite(row)
        self._counted += known
        self._money[self._place] = np.where(known, row, 0.0)
        self._place = (self._place + 1) % len(self._traded)
        if self._quotes is not None:
            bid, ask = bars.extra[self._quotes[0]], bars.extra[self._quotes[1]]
            known = (bid > 0) & (ask >= bid)
            self._half_spread = np.divide(ask - bid, ask + bid, out=np.full(len(bid), np.nan), where=known)

    def on_actions(self, actions: Actions) -> None:
        """Money traded is the same before and after a split; a new symbol takes it over."""
        for kind, old, new in zip(
            actions.kind.tolist(), actions.symbol.tolist(), actions.successor.tolist(), strict=True
        ):
            if kind == ActionKind.SYMBOL_CHANGE:
                self._traded[:, new] = self._traded[:, old]
                self._traded[:, old] = np.nan
                self._recount()

    def _recount(self) -> None:
        known = np.isfinite(self._traded)
        self._money, self._counted = np.where(known, self._traded, 0.0), known.sum(axis=0)

    def on_reference(self, reference: Reference) -> None:
        self._matrices[reference.name], self._columns[reference.name] = reference.value, reference.columns
        if reference.name == "sectors":
            code = reference.value[:, 0]
            self._sector = np.where(np.isfinite(code), code, -1).astype(np.int32)

    def situation(
        self, targets: tuple[Target, ...], book: Book, risk: Risk | None, rate: float, purse: Purse | None = None
    ) -> Situation:
        """How things stand. `rate` is what a trade costs by the broker's own cost model. Equity must be above 0.

        With a purse no more is to be invested than it pays for.

        Raises ValueError where the benchmark is not known, or no benchmark.
        """
        universe = self._universe
        unit = unit_value(universe, book, slice(None))
        priced = unit > 0
        wanted = _weights(wanted_shares(targets, book, universe), unit, priced, book.equity)
        wanted[np.isinf(wanted)] = np.nan  # what is endless is left alone
        tradable = priced & (self.latest.status == 0)
        unit_rate = universe.multiplier if len(book.rate) == 1 else universe.multiplier * book.rate[universe.currency]
        w0 = _weights(book.qty + book.working, unit, priced, book.equity, unpriced=0.0)
        leaving, invest = tradable & (wanted == 0), float(wanted[wanted > 0].sum())
        payable = np.inf if purse is None else purse.payable(w0, invest, leaving)
        return Situation(
            ts=book.ts,
            universe=universe,
            equity=book.equity,
            unit=unit,
            w0=w0,
            wanted=wanted,
            alpha=alpha_of(targets),
            free=tradable & (wanted != 0) & ~np.isnan(wanted),
            leaving=leaving,
            risk=risk,
            benchmark=self._weights_of_benchmark(wanted),
            sector=self._sector,
            sectors=self._columns.get("sectors", ()),
            traded=self._mean_traded() * unit_rate,
            half_spread=self._half_spread,
            references=self._matrices,
            columns=self._columns,
            invest=min(invest, payable),
            rate=rate,
            payable=payable,
        )

    def _mean_traded(self) -> Vector:
        total, known = self._money.sum(axis=0), self._counted > 0
        mean: Vector = np.divide(total, self._counted, out=np.full(len(total), np.nan), where=known)
        return mean

    def _weights_of_benchmark(self, wanted: Vector) -> Vector:
        if self._benchmark == "none":
            return np.zeros(len(wanted))
        if self._benchmark == "targets":
            return np.where(np.isnan(wanted), 0.0, wanted)
        if self._benchmark == "equal":
            weight: Vector = self._member / max(int(np.count_nonzero(self._member)), 1)
            return weight
        given = self._matrices.get("benchmark")
        if given is None:
            raise ValueError(
                "benchmark: no Reference `benchmark` has come; name one under feed.reference, or say equal"
            )
        if given is self._given:
            return self._weights_given
        weights: Vector = np.nan_to_num(given[:, 0], nan=0.0)
        total = float(weights.sum())
        if abs(total - 1.0) > 1e-6 or not (weights >= 0).all():
            raise ValueError(
                f"benchmark: its weights add up to {total:.10g} and the least is {weights.min():.4g}; they must be at "
                "least 0 and add up to 1: mend the file, or leave names out of both it and the universe"
            )
        weights.flags.writeable = False
        self._given, self._weights_given = given, weights
        return weights

    def save(self) -> Mapping[str, Any]:
        return {
            "status": self.latest.status,
            "volume": self.latest.volume,
            "member": self._member,
            "traded": self._traded,
            "place": self._place,
            "half_spread": self._half_spread,
            "matrices": self._matrices,
            "columns": {name: list(columns) for name, columns in self._columns.items()},
            "sector": self._sector,
        }

    def load(self, fields: Mapping[str, Any]) -> None:
        """From fields that have `symbols` too; names appended since have no bar yet."""
        before, now = fields["symbols"], self._universe.symbols
        self.latest = restored(fields, now)
        self._member = placed(fields["member"], before, now, True)
        self._traded = placed(fields["traded"], before, now, np.nan)
        self._place = fields["place"]
        self._recount()
        self._half_spread = placed(fields["half_spread"], before, now, np.nan)
        self._sector = placed(fields["sector"], before, now, -1)
        self._columns = {name: tuple(columns) for name, columns in fields["columns"].items()}
        self._matrices = {name: _grown(matrix, len(before), len(now)) for name, matrix in fields["matrices"].items()}


def _quotes(universe: Universe) -> tuple[int, int] | None:
    """Where the columns bid and ask stand in Bars.extra."""
    extra = universe.extra
    return (extra.index("bid"), extra.index("ask")) if "bid" in extra and "ask" in extra else None


def _weights(shares: Vector, unit: Vector, priced: Mask, equity: float, unpriced: float = np.nan) -> Vector:
    """(N,) shares as weights; 0 shares are 0 whatever the price, others without a price are `unpriced`."""
    start = np.where(shares == 0, 0.0, unpriced)
    return np.divide(shares * np.where(priced, unit, 0.0), equity, out=start, where=priced & ~np.isnan(shares))


def _grown(matrix: Matrix, before: int, now: int) -> Matrix:
    """A matrix with a row a symbol, with NaN for the names that were appended; any other as it is."""
    if len(matrix) != before or before == now:
        return np.array(matrix)
    return np.concatenate([matrix, np.full((now - before, matrix.shape[1]), np.nan)])
