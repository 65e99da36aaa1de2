"""Mean-variance weights with turnover cost, then affordable orders."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from components.optimizers.binding import Limits, Solved, notes_of
from components.optimizers.latest import Latest, restored, rows_by_name, unseen
from components.optimizers.paying import OrderName, Rows, Sizing, TifName, unit_value
from components.optimizers.priced import orders_toward, prices_of
from components.optimizers.sizing import NO_ROWS, alpha_of, note, told_once, wanted_shares
from components.optimizers.stating import exposures
from engine.events import Actions, Bars, Book, Codes, Mask, Note, Orders, Reference, Target, Vector
from engine.ids import OrderIds
from engine.nested import risk_model_of
from engine.protocols import CostModel, Risk, RiskModel, Stateful
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "mean_variance", 5
_DUST = 1e-6  # of equity: a weight below it is none


class MeanVariance:
    """Long-only weights that weigh expected return against risk and trading cost.

        maximise    a'w - risk_aversion / 2 * w' Sigma w - cost / holding_slices * |w - w0|_1
        subject to  sum w <= invest,  0 <= w <= max_weight          (sum w = invest if `fully_invested` and possible)

    What it takes from the strategy's targets, added up:

    - which names: those with a positive target may be held; a target of zero or less is an exit, sold whole; NaN, or a
      wanted name that is not FRESH, keeps its weight w0 (filled and working shares) and counts in risk and budget;
    - how much: `invest` is the sum of the positive target weights, at most `max_invest`. The split among names is
      chosen here; a target's own proportions are not used;
    - how good: its alpha. `grinold`: a_i = ic * sigma_i * z_i with z the z-score over all names with an alpha and
      sigma_i the risk model's volatility, so a is a return over one slice. `raw`: alpha is that return already.
      A wanted name with NaN alpha has a = 0 and is not increased.

    `cost` is `turnover_cost_bps`, or the one-way rate of the broker's own cost model; it is paid once and the return
    is earned each slice, so it is spread over `holding_slices`. Risk is over one slice.

    Without a risk estimate, without two different alphas, or when the solver does not answer `optimal`, the declared
    fallback is to hold: exits are sold and nothing else trades, with a Note `fallback` that gives the reason and the
    count so far. Weights become orders as in `Direct`, so cash, lots and FRESH bars are respected after the solve, and
    a target's limit or stop price is that of its order. Weights of more than all equity need a `max_invest` above 1
    and `leverage`, in a run file the broker's unless said.

    What it solved is told by a Note `weights`, and what binds there by Notes with shadow prices (`binding.notes_of`).

    The problem is compiled once a size (powers of two) and solved cold each time, so that no earlier solve shows in an
    answer. `lookback`, the slices of history it wants before it decides, is its risk model's, or 0 where that has none.
    Memory: the compiled problems, the risk model, one status per name.

    Source: Grinold (1994), Alpha is volatility times IC times score, J. Portfolio Management 20(4); Boyd et al. (2017),
    Multi-period trading via convex optimization, section 4.
    """

    slow_handlers: tuple[str, ...] = ("on_targets",)

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        ids: OrderIds,
        costs: CostModel,
        name: str,
        risk_model: RiskModel,
        risk_aversion: float = 5.0,
        turnover_cost_bps: float | None = None,
        holding_slices: float = 5.0,
        max_weight: float = 1.0,
        max_invest: float = 1.0,
        fully_invested: bool = False,
        alpha: Literal["grinold", "raw"] = "grinold",
        ic: float = 0.05,
        reserve_bps: float = 100.0,
        min_order_value: float = 0.0,
        band: float = 0.0,
        order: OrderName = "market",
        time_in_force: TifName = "day",
        afford: bool = True,
        proceeds: bool = True,
        leverage: float | None = None,
    ) -> None:
        given = (("risk_aversion", risk_aversion), ("holding_slices", holding_slices), ("ic", ic))
        for key, value in (*given, ("max_weight", max_weight), ("max_invest", max_invest)):
            if not 0 < value < np.inf:
                raise ValueError(f"{key} must be above 0, got {value}")
        if turnover_cost_bps is not None and not 0 <= turnover_cost_bps < np.inf:
            raise ValueError(f"turnover_cost_bps must be at least 0, got {turnover_cost_bps}")
        if alpha not in ("grinold", "raw"):
            raise ValueError(f"alpha must be grinold or raw, got {alpha!r}")
        self._sizing = Sizing(
            *(universe, ids, costs, name, reserve_bps, min_order_value, band),
            *(order, time_in_force, afford, proceeds, leverage),
        )
        cost = self._sizing.costs.rate() if turnover_cost_bps is None else turnover_cost_bps * 1e-4
        self._wish = _Wish(risk_aversion, cost / holding_slices, max_weight, max_invest, fully_invested)
        self._ic = ic if alpha == "grinold" else None
        self._risk_model = risk_model = risk_model_of(risk_model)
        self._programs: dict[tuple[int, int], Any] = {}  # by size: powers of two up to N, so a few dozen at most
        self._latest = unseen(len(universe))
        self._below: Rows = NO_ROWS  # symbols whose weight was below a lot
        self._fallbacks = 0
        self.lookback: int = getattr(risk_model, "lookback", 0)

    def on_bars(self, bars: Bars, /) -> None:
        self._latest = Latest(bars.status, bars.volume)
        self._risk_model.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        follow = getattr(self._risk_model, "on_actions", None)
        if follow is not None:
            follow(actions)

    def on_reference(self, reference: Reference, /) -> None:
        learn = getattr(self._risk_model, "on_reference", None)
        if learn is not None:
            learn(reference)

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> tuple[Note | Orders, ...]:
        wanted = wanted_shares(targets, book, self._sizing.universe)
        endless = np.isinf(wanted)
        notes: tuple[Note, ...] = ()
        if endless.any():
            notes = (note(self._sizing, book, "infinite", np.flatnonzero(endless), wanted[endless]),)
            wanted = np.where(endless, np.nan, wanted)
        alpha = alpha_of(targets)
        place = _place(wanted, book, self._latest.status, self._sizing.universe)
        shares = np.where(wanted <= 0, 0.0, np.nan)  # exits sold whole; the rest as solved, or held
        reason, solved = self._solve(place, alpha, shares)
        orders = orders_toward(self._sizing, shares, alpha, book, self._latest, prices_of(targets))
        orders, self._below = told_once(orders, self._below)
        if reason is None:
            return (*notes, *solved, *orders)
        self._fallbacks += 1
        text = f"{reason}; positions are held, exits are sold ({self._fallbacks} times so far)"
        count = np.array([float(self._fallbacks)])
        fallback = Note(ts=book.ts, source=self._sizing.name, kind="fallback", text=text, value=count)
        return (*notes, fallback, *orders)

    def _solve(self, place: "_Place", alpha: Vector, shares: Vector) -> tuple[str | None, tuple[Note, ...]]:
        """Writes the shares of the free names. Returns why they are left to be held, or what to say of the answer."""
        if not place.free.size:
            return None, ()
        risk = self._risk_model.risk()
        if risk is None:
            return "the risk model has too little history", ()
        if not (np.isfinite(place.equity) and place.equity > 0):
            return f"equity is {place.equity}", ()
        R = exposures(risk)
        expected = self._expected(alpha, R, risk, place.free)
        if expected is None:
            return "fewer than two different alphas", ()
        problem = self._wish.problem(place, expected, R, risk)
        answer = self._program(len(place.free), problem.L.shape[1]).solve(problem)
        if answer.weights is None:
            return str(answer.status), ()
        weights = np.where(answer.weights < _DUST, 0.0, answer.weights)
        shares[place.free] = weights * place.equity / place.unit[place.free]
        solved = Solved(self._sizing.name, place.ts, place.free, np.isfinite(expected), self._wish.limits(place))
        return None, notes_of(solved, problem, weights)

    def _expected(self, alpha: Vector, R: Vector, risk: Risk, free: Rows) -> Vector | None:
        """(n,) expected return of the free names over one slice, NaN = no opinion."""
        if self._ic is None:
            return alpha[free] if np.isfinite(alpha[free]).any() else None
        known = alpha[np.isfinite(alpha)]
        spread = float(known.std()) if known.size > 1 else 0.0
        if not spread > 1e-12 * max(float(np.abs(known).max(initial=0.0)), 1e-300):
            return None
        sigma = np.sqrt((R[free] ** 2).sum(axis=1) + risk.specific[free])
        expected: Vector = self._ic * sigma * (alpha[free] - known.mean()) / spread
        return expected

    def _program(self, count: int, columns: int) -> Any:
        from components.optimizers.program_matrices import size_for
        from components.optimizers.quadratic import Quadratic

        size = (size_for(count), size_for(columns))
        if size not in self._programs:
            self._programs[size] = Quadratic(slots=size[0], columns=size[1])
        return self._programs[size]

    def save(self) -> bytes:
        model = self._risk_model.save() if isinstance(self._risk_model, Stateful) else b""
        symbols = self._sizing.universe.symbols
        latest = self._latest
        fields = {"status": latest.status, "volume": latest.volume, "fallbacks": self._fallbacks, "model": model}
        sent = self._sizing.ids.sent
        return pack(_KIND, _VERSION, symbols=symbols, below=self._below.tolist(), sent=sent, **fields)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._latest = restored(fields, self._sizing.universe.symbols)
        self._below = rows_by_name(fields, self._sizing.universe.symbols)
        self._fallbacks = fields["fallbacks"]
        self._sizing.ids.sent = (fields["sent"][0], fields["sent"][1])
        if isinstance(self._risk_model, Stateful):
            self._risk_model.load(fields["model"])


@dataclass(frozen=True)
class _Place:
    """Where the book stands: weights w0 (N,) of filled and working shares, and which names may move."""

    ts: int
    equity: float
    unit: Vector
    w0: Vector
    free: Rows  # wanted and tradable
    pinned: Mask  # held, but neither free nor an exit that can be sold
    invest: float  # share of equity that the targets want invested


def _place(wanted: Vector, book: Book, status: Codes, universe: Universe) -> _Place:
    unit = unit_value(universe, book, slice(None))
    priced = unit > 0
    position = book.qty + book.working
    equity = book.equity if book.equity > 0 else np.nan
    w0 = np.where(priced, position * unit, 0.0) / equity
    tradable = priced & (status == 0)
    free = tradable & (wanted > 0)
    pinned = (position != 0) & ~free & ~(tradable & (wanted <= 0))
    invest = float((wanted * unit)[priced & (wanted > 0)].sum()) / equity
    return _Place(book.ts, book.equity, unit, w0, np.flatnonzero(free), pinned, invest)


@dataclass(frozen=True)
class _Wish:
    """The constants of the objective and its limits."""

    risk_aversion: float
    cost: float  # share of traded value, a slice
    max_weight: float
    max_invest: float
    fully_invested: bool

    def limits(self, place: _Place) -> Limits:
        """What the limits of the problem are called and where they stand."""
        return Limits(self.max_weight, self.cost, min(place.invest, self.max_invest), place.invest > self.max_invest)

    def problem(self, place: _Place, expected: Vector, R: Vector, risk: Risk) -> Any:
        """The numbers of the solve over the free names; pinned ones enter through their risk and the budget."""
        from components.optimizers.program_matrices import narrowed, size_for
        from components.optimizers.quadratic import Problem

        free, gamma = place.free, self.risk_aversion
        w0 = place.w0[free]
        known = np.isfinite(expected)
        ub = np.where(known, self.max_weight, np.clip(w0, 0.0, self.max_weight))
        pull = R[free] @ (R[place.pinned].T @ place.w0[place.pinned])
        a = np.where(known, expected, 0.0) - gamma * pull
        room = max(min(place.invest, self.max_invest) - float(place.w0[place.pinned].sum()), 0.0)
        return Problem(
            a=a,
            L=np.sqrt(gamma) * narrowed(R[free], size_for(len(free))),
            d=np.sqrt(gamma * risk.specific[free]),
            w0=w0,
            ub=ub,
            c=self.cost,
            lo=min(room, float(ub.sum())) if self.fully_invested else 0.0,
            hi=room,
        )
