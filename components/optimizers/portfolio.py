"""The optimizer around all methods: book and targets in, a method's weights, affordable whole-lot orders out."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from components.optimizers.latest import rows_by_name
from components.optimizers.needed import needed_trades
from components.optimizers.needs import BENCHMARK
from components.optimizers.own import method_of
from components.optimizers.paying import OrderName, Rows, Sizing, TifName
from components.optimizers.priced import orders_toward, prices_of
from components.optimizers.problem import Limits, Method, Remark, Situation
from components.optimizers.purse import Purse, purse_of
from components.optimizers.remarks import plain
from components.optimizers.rounding import ROUNDINGS, RoundingName, rounded_shares
from components.optimizers.rounding_limits import Grid, Missed
from components.optimizers.situating import BenchmarkName, Surroundings
from components.optimizers.sizing import NO_ROWS, alpha_of, told_once
from components.optimizers.usable import Estimate, endless, sensible
from components.optimizers.worked import begun_trades
from components.strategies.guards import Schedule, view_of
from engine.barrier import followed
from engine.events import Actions, Bars, Book, Mask, Note, Orders, Reference, Target, TargetKind, Vector
from engine.ids import OrderIds
from engine.protocols import CostModel, RiskModel, Stateful
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "portfolio", 4
_DUST = 1e-7  # of equity: a weight below it is none, and a trade too


class Portfolio:
    """Weights by a method, and the orders that bring the book there.

    What a method takes from the strategy's targets, added up (`problem.Situation`): which names may be held (a wanted
    weight other than 0), which are left (0: sold whole), which stay as they are (NaN, or not FRESH); how much is to be
    invested; and alpha. `w0`, what trades are counted from, is always the weight of filled and working shares.

    `benchmark` is what deviations and tracking errors are counted from: `equal` weights of the members, the `targets`
    of the strategy, or the Reference `benchmark`. `traded_slices` is how many slices the mean traded value looks at.

    With a `schedule` the method is asked only where that is due; in between the shares it wanted then are pursued,
    exits of the strategy are sold, and nothing else trades. Before its first answer every slice is due.

    A weight becomes shares at the mark, no more traded than `max_participation` of the mean traded value, then whole
    lots by `rounding` (`rounding.rounded_shares`: those closest in risk), then orders as in `Direct`: sales first, paid
    for by cash and the proceeds of sales, at a target's limit or stop price if it has one. Weights of more than all
    equity need `leverage`, in a run file the broker's unless said. Where the method cannot answer, positions are held
    and exits are sold, with a Note `fallback` that gives the reason and the count so far. So it is where
    the risk estimate is not finite, or no covariance, and where weights add up to more than 100 times equity.

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
        schedule: Schedule | None = None,
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
        _check(benchmark, max_participation, rounding, method)
        self._participation, self._rounding = max_participation, rounding
        self._sizing = Sizing(
            *(universe, ids, costs, name, reserve_bps, min_order_value, band),
            *(order, time_in_force, afford, proceeds, leverage),
        )
        self._around = Surroundings(universe, benchmark=benchmark, slices=traded_slices)
        self._called = _called(method)
        self._estimate = Estimate(risk_model)
        self._method = method = method_of(method)
        self._needs_risk = bool(getattr(method, "needs_risk", False))
        self._rate = self._sizing.costs.rate()
        self._below: Rows = NO_ROWS  # symbols whose weight was below a lot
        self._fallbacks, self._slices = 0, 0  # in all; since the method was asked last
        self._traded = 0.0  # by the last answer, a share of equity
        self._needed: Mask | None = None  # (N,) trades toward it that a limit needs, however small
        self._schedule = schedule
        self._slice: Bars | None = None
        self._plan: Target | None = None  # shares that were wanted when the method was asked last
        self._weights: Vector | None = None  # (N,) weights of them
        self._parts = parts = (self._estimate.model, method, schedule)
        self.lookback: int = max(getattr(part, "lookback", 0) for part in parts)
        self._bars = _handlers(parts, "on_bars")
        self._actions = _handlers(parts, "on_actions")
        self._references = _handlers(parts, "on_reference")

    def on_bars(self, bars: Bars, /) -> None:
        self._around.on_bars(bars)
        self._slice = bars
        for tell in self._bars:
            tell(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._around.on_actions(actions)
        self._plan = None if self._plan is None else followed(self._plan, actions)
        for tell in self._actions:
            tell(actions)

    def on_reference(self, reference: Reference, /) -> None:
        self._around.on_reference(reference)
        for tell in self._references:
            tell(reference)

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> tuple[Note | Orders, ...]:
        if self._schedule is None or self._due(self._schedule, book):
            return self._rebalanced(targets, book)
        assert self._plan is not None  # or it would have been due
        leaving = np.all([target.value == 0 for target in targets], axis=0)
        left = np.any([np.isnan(target.value) for target in targets], axis=0)
        wanted = np.where(leaving, 0.0, self._plan.value)
        self._plan = msgspec.structs.replace(self._plan, value=wanted)
        return self._orders(np.where(left, np.nan, wanted), targets, book)

    def _due(self, schedule: Schedule, book: Book) -> bool:
        """Whether the method is to be asked in this slice."""
        self._slices += 1
        if self._plan is None or self._slice is None:
            return True
        view = view_of(self._sizing.universe, self._slice, book)
        known = {"decided": self._plan.ts, "slices": self._slices, "wanted": self._weights}
        return schedule.due(msgspec.structs.replace(view, **known))

    def _rebalanced(self, targets: tuple[Target, ...], book: Book) -> tuple[Note | Orders, ...]:
        if not (np.isfinite(book.equity) and book.equity > 0):
            return self._exits(targets, book, f"equity is {book.equity}")
        risk, flaw = self._estimate.risk()
        if flaw and self._needs_risk:
            return self._exits(targets, book, flaw)
        try:
            purse = purse_of(self._sizing, book, self._around.latest.volume, self._rate, self._traded)
            at = self._around.situation(targets, book, risk, self._rate, purse)
        except ValueError as error:  # a benchmark that is none
            return self._exits(targets, book, str(error))
        decision = sensible(self._method.weights(at), at)
        remarks = (*([plain("risk", f"{flaw}: it is not used", 1.0)] if flaw else []), *endless(targets))
        notes = [self._noted(book.ts, remark) for remark in (*remarks, *decision.remarks)]
        if decision.weights is None:
            notes.append(self._fallback(book.ts, decision.reason))
        elif not any(remark.kind == "weights" for remark in decision.remarks):
            notes += [self._noted(book.ts, remark) for remark in _weighed(decision.weights, at, self._called)]
        weights, less = self._paid(decision.weights, at, purse)
        shares = _shares(weights, at, book.qty + book.working)
        shares, told = self._whole(shares, book, at, decision.limits, 0.0 if purse is None else purse.room)
        if self._schedule is not None:
            self._keep(shares, weights, at)
        told = (*(self._noted(at.ts, remark) for remark in less), *told)
        return (*notes, *told, *self._orders(shares, targets, book))

    def _paid(
        self, weights: Vector | None, at: Situation, purse: Purse | None
    ) -> tuple[Vector | None, tuple[Remark, ...]]:
        """Weights whose trades can be paid for; remembers how much they trade."""
        if weights is None or purse is None:
            return weights, ()
        moved = np.where(at.leaving, 0.0, np.where(at.free & np.isfinite(weights), weights, at.w0))
        moved, less = purse.paid(moved, at.w0)
        self._traded = float(np.abs(moved - at.w0).sum())
        return (np.where(at.free & np.isfinite(weights), moved, weights) if less else weights), less

    def _keep(self, shares: Vector, weights: Vector | None, at: Situation) -> None:
        """What is pursued until the schedule is due again."""
        self._plan, none = self._pursued(at.ts, shares), np.full(len(shares), np.nan)
        moved = at.free if weights is None else at.free & np.isfinite(weights)
        self._weights = np.where(at.leaving, 0.0, none if weights is None else np.where(moved, weights, np.nan))
        self._slices = 0

    def _whole(
        self, shares: Vector, book: Book, at: Situation, limits: Limits | None, room: float
    ) -> tuple[Vector, tuple[Note, ...]]:
        """Shares in whole lots, within limits and participation, and what that changed."""
        told: list[Remark] = []
        position, most = book.qty + book.working, None
        if self._participation is not None:
            most = self._participation * at.traded / at.unit
            shares, capped = _participating(shares, position, most, at.universe.lot)
            told += [capped] if capped is not None else []
        grid = Grid(position, at.universe.lot, at.unit / at.equity, most, room)
        found = rounded_shares(shares, grid, at.risk, self._rounding, limits)
        if found.error > 0:
            text = (
                f"whole lots differ from the weights by {found.error:.2e} of equity a slice, {found.bound:.2e} at best"
            )
            told.append(plain("rounding", text, found.error))
        told += [_missing(missed) for missed in found.missed]
        least = max(self._sizing.min_order_value / at.equity, self._sizing.band)
        begun = begun_trades(book.open_orders, found.shares - position)
        self._needed = needed_trades(found.shares, grid, least, limits, begun)
        return found.shares, tuple(self._noted(at.ts, remark) for remark in told)

    def _orders(self, shares: Vector, targets: tuple[Target, ...], book: Book) -> tuple[Note | Orders, ...]:
        prices = prices_of(targets)
        sizing = self._sizing if self._needed is None else replace(self._sizing, needed=self._needed)
        orders = orders_toward(sizing, shares, alpha_of(targets), book, self._around.latest, prices)
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
            plan=None if self._plan is None else (self._plan.ts, self._plan.value),
            weights=self._weights,
            slices=self._slices,
            traded=self._traded,
            needed=self._needed,
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._around.load({**fields["around"], "symbols": fields["symbols"]})
        self._below = rows_by_name(fields, self._sizing.universe.symbols)
        self._fallbacks, self._slices, self._traded = fields["fallbacks"], fields["slices"], fields["traded"]
        self._restore(fields)
        self._sizing.ids.sent = (fields["sent"][0], fields["sent"][1])
        for part, saved in zip(self._parts, fields["parts"], strict=True):
            if isinstance(part, Stateful):
                part.load(saved)

    def _restore(self, fields: dict[str, Any]) -> None:
        """What was pursued, and its weights."""
        before, now = fields["symbols"], self._sizing.universe.symbols
        weights, plan, needed = fields["weights"], fields["plan"], fields["needed"]
        self._needed = None if needed is None else placed(needed, before, now, False)
        self._weights = None if weights is None else placed(weights, before, now, np.nan)
        if plan is not None:
            self._plan = self._pursued(plan[0], placed(plan[1], before, now, np.nan))

    def _pursued(self, ts: int, shares: Vector) -> Target:
        none = np.full(len(shares), np.nan)
        quantity = TargetKind.QUANTITY
        return Target(ts=ts, source=self._sizing.name, kind=quantity, value=shares, alpha=none, limit=none, stop=none)


def _weighed(weights: Vector, at: Situation, by: str) -> tuple[Remark, ...]:
    """The weights of names that may move, of a method that does not tell them itself."""
    rows = np.flatnonzero(at.free & np.isfinite(weights)).astype(np.int32)
    if not rows.size:
        return ()
    return (
        Remark(kind="weights", text=f"{len(rows)} weights by {by}, before rounding", symbol=rows, value=weights[rows]),
    )


def _missing(missed: Missed) -> Remark:
    """A limit that whole lots break, and what rounding changed of the names in it, in shares of equity."""
    text = f"no whole lots nearby keep {missed.name}: beyond it by {missed.by:.2e} of equity"
    rows = missed.rows.astype(np.int32)
    return Remark(kind=f"rounding:{missed.name}", text=text, symbol=rows, value=missed.errors)


def _check(benchmark: BenchmarkName, max_participation: float | None, rounding: RoundingName, method: Any) -> None:
    """Raises ValueError for options that make no sense, alone or together."""
    if benchmark == "none" and BENCHMARK in getattr(method, "needs", ()):
        said = "must be equal, targets or reference: a term or constraint counts from it, and there is none"
        raise ValueError(f"benchmark {said}")
    if max_participation is not None and not 0 < max_participation < np.inf:
        raise ValueError(f"max_participation must be above 0 (a share of what is traded), got {max_participation}")
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, got {rounding!r}")


def _called(method: Any) -> str:
    return str(getattr(method, "name", type(method).__name__))


def _handlers(parts: tuple[Any, ...], method: str) -> tuple[Any, ...]:
    return tuple(getattr(part, method) for part in parts if hasattr(part, method))


def _shares(weights: Vector | None, at: Situation, position: Vector) -> Vector:
    """(N,) shares: exits 0, names that may move as weighed, NaN = left as it is."""
    shares = np.where(at.leaving, 0.0, np.nan)
    if weights is None:
        return shares
    moved = at.free & np.isfinite(weights)
    w = np.where(np.abs(weights) < _DUST, 0.0, weights)
    still = moved & (w != 0) & (np.abs(w - at.w0) < _DUST)  # what a solver leaves of a name that it does not trade
    np.divide(w * at.equity, at.unit, out=shares, where=moved & ~still)
    return np.where(still, position, shares)


def _participating(shares: Vector, position: Vector, most: Vector, lot: Vector) -> tuple[Vector, Remark | None]:
    """Shares whose trade is at most `most` (N,); where that is not known an increase is not made. Exits count too.

    In whole lots, but for an exit that is within it whole: rounding would go beyond it otherwise.
    """
    trade = shares - position
    grows = np.abs(shares) > np.abs(position)
    limit = np.where(np.isnan(most), np.where(grows, 0.0, np.inf), most)
    whole = np.floor(limit / lot * (1 + 1e-12)) * lot
    limit = np.where((shares == 0) & (np.abs(trade) <= limit), limit, whole)
    over = np.abs(trade) > limit
    if not over.any():
        return shares, None
    rows = np.flatnonzero(over).astype(np.int32)
    cut = np.copysign(limit, trade)
    text = f"{len(rows)} trades were cut to max_participation: shares not traded"
    remark = Remark(kind="participation", text=text, symbol=rows, value=(trade - cut)[rows])
    return np.where(over, position + cut, shares), remark
