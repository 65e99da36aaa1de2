"""The account of one sleeve of capital, and who of several a trade of the whole belongs to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.optimizers.sizing import wanted_shares
from engine.events import FEE_KINDS, Book, Codes, Fills, Target, TargetKind, Vector
from engine.holdings import COLUMNS, Holdings
from engine.open_orders import frozen
from engine.protocols import Bookkeeping
from engine.state import placed
from engine.universe import Universe

DUST = 1e-9  # of what was held or traded: what rounding may leave
_TARGET = ("value", "alpha", "limit", "stop")
_SYMBOLS = tuple(name for name in COLUMNS if name != "cash")


class Sleeve:
    """Cash, positions and what it still wants to trade. Its cash counts dividends from their ex-date on."""

    def __init__(self, universe: Universe, cash: float) -> None:
        n, c = len(universe), len(universe.currencies)
        self._universe = universe
        self.has = Holdings(universe=universe, cash=cash, bookkeeping=Bookkeeping())
        self.interest: Vector = np.zeros(c)
        self.pending: Vector = np.zeros(n)  # signed shares that the last decision wants beyond what is held
        self.target: Target | None = None  # the last one
        self.equity = cash

    def see(self, book: Book) -> None:
        """Marks and equity as of this book."""
        has = self.has
        side = np.where(has.qty > 0, 1.0, np.where(has.qty < 0, -1.0, np.nan))
        has.mark, has.best = book.mark, side * np.fmax(side * has.best, side * book.mark)
        held = has.qty.nonzero()[0]
        unit = has.mark[held] * self._universe.multiplier[held] * book.rate[self._universe.currency[held]]
        self.equity = float(has.cash.dot(book.rate)) + float(np.nan_to_num(has.qty[held] * unit).sum())

    def trade(self, ts: int, symbol: Codes, qty: Vector, paid: tuple[Vector, Any], at: Any) -> Fills | None:
        """Books its part of fills of `ts` at (prices, fees), rows of no quantity left out; None where none is left."""
        price, fees = paid
        rows = np.flatnonzero(qty)
        if not rows.size:
            return None
        none = np.zeros(len(rows), np.uint64)
        fills = Fills(
            ts=ts,
            exec_ids=none,
            order_ids=none,
            symbol=symbol[rows],
            qty=frozen(qty[rows]),
            price=frozen(price[rows]),
            reference=frozen(price[rows]),
            fees=frozen(fees[rows]),
            at=frozen(at[rows]),
        )
        self.has.fill(fills)
        return fills

    def book(self, whole: Book, working: Vector) -> Book:
        """What its strategy sees: the account as if it were alone, without a list of open orders."""
        has = self.has
        for name in COLUMNS:
            frozen(getattr(has, name))
        none = whole.open_orders
        return Book(
            ts=whole.ts,
            cash=has.cash,
            unsettled=frozen(np.zeros(len(has.cash))),
            rate=whole.rate,
            qty=has.qty,
            working=frozen(working),
            open_orders=type(none)(**{name: getattr(none, name)[:0] for name in none.__struct_fields__}),
            mark=whole.mark,
            entry=has.entry,
            best=has.best,
            opened=has.opened,
            realised=has.realised,
            fees=has.fees,
            income=has.income,
            interest=frozen(self.interest.copy()),
            equity=self.equity,
            mode=whole.mode,
        )

    def change(self, seen: Book) -> Vector:
        """(N,) shares that it wants beyond what it holds and has working; 0 where it wants nothing."""
        if self.target is None:
            return np.zeros(len(seen.qty))
        change = wanted_shares((self.target,), seen, self._universe) - (seen.qty + seen.working)
        return np.where(np.isfinite(change), change, 0.0)

    def pay(self, currency: int, amount: float) -> None:
        cash = self.has.cash.copy()
        cash[currency] += amount
        self.has.cash = cash

    def fields(self) -> dict[str, Any]:
        target = None
        if self.target is not None:
            target = {name: getattr(self.target, name) for name in _TARGET}
            target |= {"ts": self.target.ts, "source": self.target.source, "kind": str(self.target.kind)}
        columns = {name: getattr(self.has, name) for name in COLUMNS}
        return {**columns, "interest": self.interest, "pending": self.pending, "target": target, "equity": self.equity}

    def restore(self, fields: Mapping[str, Any], before: Sequence[str]) -> None:
        """By symbol: names appended to the universe since are flat."""
        now = self._universe.symbols
        for name in _SYMBOLS:
            fill = np.nan if name in ("mark", "entry", "best") else 0
            setattr(self.has, name, placed(fields[name], before, now, fill))
        self.has.cash, self.interest = np.array(fields["cash"]), np.array(fields["interest"])
        self.pending, self.equity = placed(fields["pending"], before, now, 0.0), fields["equity"]
        said = fields["target"]
        self.target = None
        if said is not None:
            columns = {name: placed(said[name], before, now, np.nan) for name in _TARGET}
            self.target = Target(ts=said["ts"], source=said["source"], kind=TargetKind(said["kind"]), **columns)


def divided(qty: Vector, pending: Any, held: Any, share: Vector) -> Any:
    """(S, L) signed shares that each sleeve gets of trades (L,) of the whole; those of a trade sum to it.

    First those get it that still want to trade that way (`pending`, (S, L)), in proportion, up to what they want; then
    those whose position (`held`, (S, L)) it reduces, in proportion; and what is left goes by `share` (S,) of capital.

    >>> divided(np.array([60.0]), np.array([[80.0], [40.0]]), np.zeros((2, 1)), np.array([0.5, 0.5])).ravel()
    array([40., 20.])
    >>> divided(np.array([-30.0]), np.zeros((2, 1)), np.array([[20.0], [-5.0]]), np.array([0.5, 0.5])).ravel()
    array([-25.,  -5.])
    """
    sign, left, out = np.sign(qty), np.abs(qty), np.zeros(held.shape)
    for wanting in (pending, None):
        room = np.maximum(sign * wanting if wanting is not None else -sign * (held + out), 0.0)
        total = room.sum(axis=0)
        part = np.minimum(left, total)
        out += sign * part * np.divide(room, total, out=np.zeros(held.shape), where=total > 0.0)
        left = left - part
    out += sign * np.where(left > DUST * np.abs(qty), left, 0.0) * share[:, None]
    return exact(held, out)


def exact(held: Any, qty: Any) -> Any:
    """Trades of which rounding alone would leave something of what is held close it exactly."""
    return np.where(np.abs(held + qty) <= DUST * np.maximum(np.abs(held), np.abs(qty)), -held, qty)


def in_parts(fees: Any, parts: Any) -> Any:
    """(S, L, K) fees of fills (L, K), by the size of each sleeve's part (S, L) of them."""
    size = np.abs(parts)
    total = size.sum(axis=0)
    return (np.divide(size, total, out=np.zeros(size.shape), where=total > 0))[:, :, None] * fees[None]


def crossed(change: Any) -> Any:
    """(S, N) what sleeves that want to trade a symbol in opposite ways trade with each other: sums to 0 by symbol.

    The smaller side trades whole, the larger in proportion.

    >>> crossed(np.array([[30.0], [-10.0], [10.0]])).ravel()
    array([  7.5, -10. ,   2.5])
    """
    up, down = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    buys, sells = up.sum(axis=0), down.sum(axis=0)
    met = np.minimum(buys, sells)
    return up * np.divide(met, buys, out=np.zeros(len(met)), where=buys > 0) - down * np.divide(
        met, sells, out=np.zeros(len(met)), where=sells > 0
    )


def no_fees(count: int) -> Any:
    return np.zeros((count, len(FEE_KINDS)))
