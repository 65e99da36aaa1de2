"""From wanted weights to a target in shares: what strategies that think in weights have in common."""

from typing import Any, Literal, TypeAlias

import numpy as np

from components.optimizers.paying import unit_value
from engine.events import Bars, Book, Codes, Mask, Status, Target, TargetKind, Vector
from engine.state import placed
from engine.universe import Universe

Leavers: TypeAlias = Literal["close", "hold"]
Rebalance: TypeAlias = Literal["always", "changes"]


class Allocation:
    """Weights, shares of equity, as shares at the marks of t.

        target_i = w_i * max(equity, 0) / unit_i,     unit = base money for one share

    Names whose weight is NaN are out of consideration. `leavers` says what becomes of those that are held: `hold`
    keeps them, `close` sells them. What cannot be traded at t, or is held on, keeps its exact shares, and the others of
    its side share what that leaves of the side's sum of weights, unless `fill` is false. With `rebalance: changes` a
    name keeps its shares for as long as its wanted weight stays the same and its position has that side: prices alone
    trade nothing.
    """

    def __init__(
        self, *, universe: Universe, name: str, leavers: Leavers = "hold", rebalance: Rebalance = "always"
    ) -> None:
        for option, value, known in (
            ("leavers", leavers, ("close", "hold")),
            ("rebalance", rebalance, ("always", "changes")),
        ):
            if value not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {value!r}")
        n = len(universe)
        self._universe, self._name = universe, name
        self._leavers, self._rebalance = leavers, rebalance
        self._none = np.full(n, np.nan)
        self._none.flags.writeable = False
        self._status: Codes = np.full(n, Status.MISSING, np.int32)  # no bar yet: nothing can be traded
        self._member: Mask = np.ones(n, bool)
        self._weight: Vector = np.full(n, np.nan)  # wanted at the last decision

    def on_bars(self, bars: Bars, /) -> None:
        self._status, self._member = bars.status, bars.member

    @property
    def fresh(self) -> Mask:
        """(N,) whether there is a bar at t: without one nothing trades."""
        found: Mask = self._status == Status.FRESH
        return found

    @property
    def member(self) -> Mask:
        """(N,) whether a name is in the universe at t."""
        return self._member

    def listed(self, book: Book) -> Mask:
        """(N,) members that have a price, of whatever slice."""
        return self._member & _priced(unit_value(self._universe, book, slice(None)))

    def able(self, book: Book) -> Mask:
        """(N,) members that can be traded at t."""
        return self.listed(book) & self.fresh

    def target(self, book: Book, weight: Vector, alpha: Vector | None, *, fill: bool = True) -> Target:
        """The target of these weights (N,). `alpha` None = no opinion of any name."""
        position: Vector = book.qty + book.working
        unit = unit_value(self._universe, book, slice(None))
        trades = self.fresh & _priced(unit)
        known = np.isfinite(weight)
        sized, equity = trades & known, max(book.equity, 0.0)
        closed = trades & ~known if self._leavers == "close" else np.zeros(len(position), bool)
        kept = ~(sized | closed)
        if self._rebalance == "changes":
            same = (
                sized & (weight == self._weight) & ((position * weight > 0.0) | ((weight == 0.0) & (position == 0.0)))
            )
        else:
            same = np.zeros(len(position), bool)
        wanted = self._within(weight, sized, kept & (position != 0.0), position * unit, equity) if fill else weight
        value = position
        value[closed] = 0.0
        sized &= ~same
        value[sized] = wanted[sized] * equity / unit[sized]
        self._weight = weight
        return self.shares(book, value, alpha)

    @staticmethod
    def _within(weight: Vector, sized: Mask, kept: Mask, value: Vector, equity: float) -> Vector:
        """Weights of the names `sized` that bring each side to the sum of its weights, with what is kept of it.

        A name without a mark counts as 0.
        """
        known = np.isfinite(weight)
        if not np.count_nonzero(kept) and not np.count_nonzero(known & ~sized):
            return weight
        out = weight.copy()
        worth = np.where(kept & np.isfinite(value), value, 0.0)
        for sign in (1.0, -1.0):
            side = np.where(known, np.maximum(sign * weight, 0.0), 0.0)
            rows = sized & (side > 0.0)
            total = float(side[rows].sum()) * equity
            if total > 0.0:
                room = float(side.sum()) * equity - float(np.maximum(sign * worth, 0.0).sum())
                out[rows] *= max(room, 0.0) / total
        return out

    def shares(self, book: Book, value: Vector, alpha: Vector | None) -> Target:
        return Target(
            ts=book.ts,
            source=self._name,
            kind=TargetKind.QUANTITY,
            value=value,
            alpha=self._none if alpha is None else alpha,
            limit=self._none,
            stop=self._none,
        )

    def fields(self) -> dict[str, Any]:
        """What a saved state keeps of it."""
        symbols = self._universe.symbols
        return {"symbols": symbols, "status": self._status, "member": self._member, "weight": self._weight}

    def restore(self, fields: dict[str, Any]) -> None:
        """By symbol: names appended to the universe since have no bar and no weight yet."""
        before, now = fields["symbols"], self._universe.symbols
        self._status = placed(fields["status"], before, now, Status.MISSING)
        self._member = placed(fields["member"], before, now, True)
        self._weight = placed(fields["weight"], before, now, np.nan)


def _priced(unit: Vector) -> Mask:
    return (unit > 0.0) & (unit < np.inf)
