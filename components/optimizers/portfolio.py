"""The optimizer around all methods: book and targets in, a method's weights, affordable whole-lot orders out."""

from typing import Any

import numpy as np

from components.optimizers.latest import rows_by_name
from components.optimizers.paying import OrderName, Rows, Sizing, TifName
from components.optimizers.priced import orders_toward, prices_of
from components.optimizers.problem import Method, Remark, Situation
from components.optimizers.remarks import plain
from components.optimizers.rounding import ROUNDINGS, Grid, RoundingName, rounded_shares
from components.optimizers.situating import BenchmarkName, Surroundings
from components.optimizers.sizing import NO_ROWS, alpha_of, told_once
from engine.events import Actions, Bars, Book, Note, Orders, Reference, Target, Vector
from engine.ids import OrderIds
from engine.nested import risk_model_of
from engine.protocols import CostModel, RiskModel, Stateful
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "portfolio", 1
_DUST = 1e-7  # of equity: a weight below it is none


class Portfolio:
    """Weights by a method, and the orders that bring the book there.

    What a method takes from the strategy's targets, added up (`problem.Situation`): which names may be held (a wanted
    weight other than 0), which are left (0: sold whole), which stay as they are (NaN, or not FRESH); how much is to be
    invested; and alpha. `w0`, what trades are counted from, is always the weight of filled and working shares.

    `benchmark` is what deviations and tracking errors are counted from: `equal` weights of the members, the `targets`
    of the strategy, or the Reference `benchmark`. `traded_slices` is how many slices the mean traded value looks at.

    A weight becomes shares at the mark, no more traded than `max_participation` of the mean traded value, then whole
    lots by `rounding` (`rounding.rounded_shares`: those closest in risk), then orders as in `Direct`: sales first, paid
    for by cash and the proceeds of sales, at a target's limit or stop price if it has one. Weights of more than all
    equity need `leverage`, in a run file the broker's unless said. Where the method cannot answer, positions are held
    and exits are sold, with a Note `fallback` that gives the reason and the count so far.

    Memory: the method's, the risk model's, `traded_slices` rows.
    """

    slow_handlers: tuple[str, ...] = ("on_targets",)

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        ids: OrderIds,
        costs: CostModel,
        name: str,
        method: Method,
        risk_model: RiskModel | None = None,
        benchmark: BenchmarkName = "none",
        traded_slices: int = 20,
        max_participation: float | None = None,
        rounding: RoundingName = "tracking",
        reserve_bps: float = 100.0,
        min_order_value: float = 0.0,
        band: float = 0.0,
        order: OrderName = "market",
        time_in_force: TifName = "day",
        afford: bool = True,
        proceeds: bool = True,
        leverage: float | None = None,
    ) -> None:
        if risk_model is None and getattr(method, "needs_risk", False):
            raise ValueError(f"risk_model must be given: the method {_called(method)} weighs risk; e.g. ledoit_wolf")
        if max_participation is not None and not 0 < max_participation < np.inf:
            raise ValueError(f"max_participation must be above 0 (a share of what is traded), got {max_participation}")
        if rounding not in ROUNDINGS:
            raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, got {rounding!r}")
        self._participation, self._rounding = max_participation, rounding
        self._sizing = Sizing(
            *(universe, ids, costs, name, reserve_bps, min_order_value, band),
            *(order, time_in_force, afford, proceeds, leverage),
        )
        self._around = Surroundings(universe, benchmark=benchmark, slices=traded_slices)
        risk_model = None if risk_model is None else risk_model_of(risk_model)
        self._method, self._risk_model = method, risk_model
        self._rate = costs.rate()
        self._below: Rows = NO_ROWS  # symbols whose weight was below a lot
        self._fallbacks = 0
        parts: tuple[Any, ...] = (risk_model, method)
        self._parts = parts
        self.lookback: int = max(getattr(part, "lookback", 0) for part in parts)
        self._bars = _handlers(parts, "on_bars")
        self._actions = _handlers(parts, "on_actions")
        self._references = _handlers(parts, "on_reference")

    def on_bars(self, bars: Bars, /) -> None:
        self._around.on_bars(bars)
        for tell in self._bars:
            tell(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._around.on_actions(actions)
        for tell in self._actions:
            tell(actions)

    def on_reference(self, reference: Reference, /) -> None:
        self._around.on_reference(reference)
        for tell in self._references:
            tell(reference)

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> tuple[Note | Orders, ...]:
        if not (np.isfinite(book.equity) and book.equity > 0):
            return self._exits(targets, book, f"equity is {book.equity}")
        risk = None if self._risk_model is None else self._risk_model.risk()
        try:
            at = self._around.situation(targets, book, risk, self._rate)
        except ValueError as error:  # a benchmark that is none
            return self._exits(targets, book, str(error))
        decision = self._method.weights(at)
        notes = [self._noted(book.ts, remark) for remark in decision.remarks]
        if decision.weights is None:
            notes.append(self._fallback(book.ts, decision.reason))
        shares, told = self._whole(_shares(decision.weights, at), book, at)
        return (*notes, *told, *self._orders(shares, targets, book))

    def _whole(self, shares: Vector, book: Book, at: Situation) -> tuple[Vector, tuple[Note, ...]]:
        """Shares in whole lots, no more traded than the participation allows, and what that changed."""
        told: list[Remark] = []
        position = book.qty + book.working
        if self._participation is not None:
            shares, capped = _participating(shares, position, self._participation * at.traded / at.unit)
            told += [capped] if capped is not None else []
        grid = Grid(position, at.universe.lot, at.unit / at.equity)
        found = rounded_shares(shares, grid, at.risk, self._rounding)
        if found.error > 0:
            text = (
                f"whole lots differ from the weights by {found.error:.2e} of equity a slice, {found.bound:.2e} at best"
            )
            told.append(plain("rounding", text, found.error))
        return found.shares, tuple(self._noted(at.ts, remark) for remark in told)

    def _orders(self, shares: Vector, targets: tuple[Target, ...], book: Book) -> tuple[Note | Orders, ...]:
        prices = prices_of(targets)
        orders = orders_toward(self._sizing, shares, alpha_of(targets), book, self._around.latest, prices)
        orders, self._below = told_once(orders, self._below)
        return orders

    def _exits(self, targets: tuple[Target, ...], book: Book, reason: str) -> tuple[Note | Orders, ...]:
        leaving = np.all([target.value == 0 for target in targets], axis=0)
        shares = np.where(leaving, 0.0, np.nan)
        return (self._fallback(book.ts, reason), *self._orders(shares, targets, book))

    def _fallback(self, ts: int, reason: str) -> Note:
        self._fallbacks += 1
        text = f"{reason}; positions are held, exits are sold ({self._fallbacks} times so far)"
        value = np.array([float(self._fallbacks)])
        return Note(ts=ts, source=self._sizing.name, kind="fallback", text=text, value=value)

    def _noted(self, ts: int, remark: Remark) -> Note:
        source = self._sizing.name
        return Note(ts=ts, source=source, kind=remark.kind, text=remark.text, symbol=remark.symbol, value=remark.value)

    def save(self) -> bytes:
        parts = [part.save() if isinstance(part, Stateful) else b"" for part in self._parts]
        return pack(
            _KIND,
            _VERSION,
            symbols=self._sizing.universe.symbols,
            sent=self._sizing.ids.sent,
            below=self._below.tolist(),
            fallbacks=self._fallbacks,
            parts=parts,
            around=self._around.save(),
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._around.load({**fields["around"], "symbols": fields["symbols"]})
        self._below = rows_by_name(fields, self._sizing.universe.symbols)
        self._fallbacks = fields["fallbacks"]
        self._sizing.ids.sent = (fields["sent"][0], fields["sent"][1])
        for part, saved in zip(self._parts, fields["parts"], strict=True):
            if isinstance(part, Stateful):
                part.load(saved)


def _called(method: Any) -> str:
    return str(getattr(method, "name", type(method).__name__))


def _handlers(parts: tuple[Any, ...], method: str) -> tuple[Any, ...]:
    return tuple(getattr(part, method) for part in parts if hasattr(part, method))


def _shares(weights: Vector | None, at: Situation) -> Vector:
    """(N,) shares: exits 0, names that may move as weighed, NaN = left as it is."""
    shares = np.where(at.leaving, 0.0, np.nan)
    if weights is None:
        return shares
    moved = at.free & np.isfinite(weights)
    w = np.where(np.abs(weights) < _DUST, 0.0, weights)
    return np.divide(w * at.equity, at.unit, out=shares, where=moved)


def _participating(shares: Vector, position: Vector, most: Vector) -> tuple[Vector, Remark | None]:
    """Shares whose trade is at most `most` (N,); where that is not known an increase is not made. Exits count too."""
    trade = shares - position
    grows = np.abs(shares) > np.abs(position)
    limit = np.where(np.isnan(most), np.where(grows, 0.0, np.inf), most)
    over = np.abs(trade) > limit
    if not over.any():
        return shares, None
    rows = np.flatnonzero(over).astype(np.int32)
    cut = np.copysign(limit, trade)
    text = f"{len(rows)} trades were cut to max_participation: shares not traded"
    remark = Remark(kind="participation", text=text, symbol=rows, value=(trade - cut)[rows])
    return np.where(over, position + cut, shares), remark
