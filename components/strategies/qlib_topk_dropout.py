"""Top-k dropout exactly as Qlib decides it, for comparing with its backtests."""

from collections import deque
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from components.optimizers.paying import unit_value
from components.strategies.signals import pick
from engine.events import Bars, Book, Codes, Mask, Signal, Target, TargetKind, Vector
from engine.protocols import Conditions, CostModel
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "qlib_topk_dropout", 1
_ROUND = 0.1  # of a share, which Qlib adds for rounding errors


class QlibTopkDropout:
    """Qlib 0.9.7's TopkDropoutStrategy, with what it peeks at and what it leaves idle, to every digit.

    It belongs under `compat: qlib`, where a score of day T trades at the close of T+1 and this decides at that very
    close. `topk_dropout` is the same idea without a look at the trade's own prices. With H the names held or on
    their way:

    1. Candidates: `method_buy: top`, the best n_drop + topk - |H| names with a score that are not held; `random`, as
       many of those among the best topk that are not held, by chance.
    2. Planned sales: `method_sell: bottom`, the holdings among the last n_drop of H and candidates by score, without a
       score last; `random`, n_drop holdings by chance.
    3. Planned purchases: the first |sales| + topk - |H| candidates, before it is seen which sales can be made.
    4. A sale is made where the name can be traded and was held for `hold_thresh` bars.
    5. Each planned purchase may cost risk_degree * (cash + what the sales bring, net of fees) / |planned purchases|, in
       whole lots at the price of the trade; what is planned for a name that cannot be traded stays idle.

    A name can be traded where it has a bar and its close moved by less than `price_limit` from the one before;
    `forbid_all_trade_at_limit: false` blocks only purchases at the upper limit and sales at the lower one.
    `only_tradable` counts only names that can be traded in 1 and 2. n_drop = 0 plans to sell all of H, as in Qlib, and
    1 with `only_tradable`. Chance is seeded by the session and the slice, and needs no state. Ties without a score are
    in the order of the universe.

    Source: Qlib 0.9.7, `contrib/strategy/signal_strategy.py`.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        topk: int,
        n_drop: int,
        universe: Universe,
        costs: CostModel,
        chance: np.random.Generator,
        name: str,
        method_sell: Literal["bottom", "random"] = "bottom",
        method_buy: Literal["top", "random"] = "top",
        hold_thresh: int = 1,
        only_tradable: bool = False,
        forbid_all_trade_at_limit: bool = True,
        price_limit: float | None = None,
        risk_degree: float = 0.95,
        signal: str | None = None,
        interval_ns: int = 0,
    ) -> None:
        for option, value, known in (
            ("method_sell", method_sell, ("bottom", "random")),
            ("method_buy", method_buy, ("top", "random")),
        ):
            if value not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {value!r}")
        for option, number, least in (("topk", topk, 1), ("n_drop", n_drop, 0), ("hold_thresh", hold_thresh, 0)):
            if number < least:
                raise ValueError(f"{option} must be at least {least}, got {number}")
        if not 0 < risk_degree <= 10:
            raise ValueError(f"risk_degree must be above 0 and at most 10 (a share of cash), got {risk_degree}")
        if price_limit is not None and not 0 < price_limit <= 1:
            raise ValueError(f"price_limit must be above 0 and at most 1 (a share of the price), got {price_limit}")
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        n = len(universe)
        self.interval_ns = interval_ns
        self._topk, self._n_drop, self._risk_degree = topk, n_drop, risk_degree
        self._sell_random, self._buy_random = method_sell == "random", method_buy == "random"
        self._hold_thresh, self._only_tradable, self._both = hold_thresh, only_tradable, forbid_all_trade_at_limit
        self._limit = np.inf if price_limit is None else price_limit
        self._universe, self._costs, self._name, self._signal = universe, costs, name, signal
        self._seed = int(chance.integers(2**63))
        self._close: Vector = np.full(n, np.nan)  # the last one seen
        self._buys, self._sells = np.zeros(n, bool), np.zeros(n, bool)  # what can be traded at t
        self._recent: deque[int] = deque(maxlen=hold_thresh + 1)
        self._none = np.full(n, np.nan)
        self._none.flags.writeable = False
        self._decided = False

    def on_bars(self, bars: Bars, /) -> None:
        fresh = bars.status == 0
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.nan_to_num(bars.close / self._close - 1.0)
        low, high = change > -self._limit, change < self._limit
        self._buys = fresh & high & (low | (not self._both))
        self._sells = fresh & low & (high | (not self._both))
        self._close = np.where(fresh, bars.close, self._close)
        self._recent.append(bars.ts)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        score = pick(signals, self._signal, self._name).value
        known = _down(np.flatnonzero(np.isfinite(score)), score)
        self._decided = self._decided or bool(known)
        if not self._decided:
            return None
        wanted: Vector = book.qty + book.working
        if known:
            sales, purchases = self._planned(score, known, _down(np.flatnonzero(wanted), score), book.ts)
            self._trade(wanted, sales, purchases, book)
        return Target(
            ts=book.ts,
            source=self._name,
            kind=TargetKind.QUANTITY,
            value=wanted,
            alpha=score,
            limit=self._none,
            stop=self._none,
        )

    def _planned(self, score: Vector, known: list[int], held: list[int], ts: int) -> tuple[list[int], list[int]]:
        """Names to sell and to buy, before it is seen which trades can be made."""
        rng = np.random.default_rng([self._seed, ts & (2**63 - 1)])
        able = self._buys & self._sells
        count, holds = self._n_drop + self._topk - len(held), set(held)
        if self._buy_random:
            among = [s for s in self._first(known, self._topk, able) if s not in holds]
            today = _drawn(rng, among, count)
        else:
            today = self._first([s for s in known if s not in holds], count, able)
        if self._sell_random:
            sales = _drawn(rng, [s for s in held if able[s] or not self._only_tradable], self._n_drop)
        else:
            last = set(self._last(_down([*held, *today], score), able))
            sales = [s for s in held if s in last]
        return sales, today[: max(len(sales) + self._topk - len(held), 0)]

    def _first(self, names: list[int], count: int, able: Mask) -> list[int]:
        if self._only_tradable:  # which takes one even where none is asked for
            return [s for s in names if able[s]][: max(count, 1)]
        return names[: max(count, 0)]

    def _last(self, names: list[int], able: Mask) -> list[int]:
        if self._only_tradable:
            return [s for s in names if able[s]][-max(self._n_drop, 1) :]
        return names[-self._n_drop :] if self._n_drop else names

    def _trade(self, wanted: Vector, sales: list[int], purchases: list[int], book: Book) -> None:
        """Writes what can be traded of the plan into the shares wanted."""
        long_ago = self._recent[0] if len(self._recent) > self._hold_thresh else 0
        since = np.where(book.qty == 0, book.ts, book.opened)  # what is only on its way is held since now
        sold = [s for s in sales if self._sells[s] and (not self._hold_thresh or since[s] <= long_ago)]
        cash = float(book.cash.dot(book.rate)) + self._proceeds(np.array(sold, np.int32), wanted, book)
        moving = np.flatnonzero(book.working)
        if moving.size:  # what is on its way is paid for before
            cash = max(0.0, cash - float(book.working[moving].dot(unit_value(self._universe, book, moving))))
        wanted[sold] = 0.0
        for s in purchases:
            if self._buys[s]:
                lot, unit = self._universe.lot[s], unit_value(self._universe, book, slice(s, s + 1))[0]
                wanted[s] = np.floor((self._risk_degree * cash / len(purchases) / unit + _ROUND) / lot) * lot

    def _proceeds(self, sold: Codes, position: Vector, book: Book) -> float:
        """Base money that selling these brings, net of fees."""
        if not len(sold):
            return 0.0
        universe, qty, price = self._universe, -position[sold], book.mark[sold]
        fees = self._costs.fees(qty * universe.multiplier[sold], price, Conditions(ts=book.ts, symbol=sold))
        value = -qty * universe.multiplier[sold] * price - fees.sum(axis=1)
        return float((value * book.rate[universe.currency[sold]]).sum())

    def save(self) -> bytes:
        fields = {"close": self._close, "buys": self._buys, "sells": self._sells, "recent": list(self._recent)}
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, decided=self._decided, seed=self._seed, **fields)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._close = placed(fields["close"], before, now, np.nan)
        self._buys, self._sells = (
            placed(fields["buys"], before, now, False),
            placed(fields["sells"], before, now, False),
        )
        self._recent = deque(fields["recent"], maxlen=self._hold_thresh + 1)
        self._decided, self._seed = fields["decided"], fields["seed"]


def _down(names: Sequence[int] | NDArray[np.intp], score: Vector) -> list[int]:
    """From the best score to the worst; without a score last."""
    rows = np.asarray(names, np.intp)
    own = score[rows]
    found: list[int] = rows[np.where(np.isfinite(own), -own, np.inf).argsort(kind="stable")].tolist()
    return found


def _drawn(rng: np.random.Generator, names: list[int], count: int) -> list[int]:
    """So many of them by chance, all of them where there are no more."""
    if count >= len(names):
        return names
    return [names[k] for k in rng.choice(len(names), max(count, 0), replace=False).tolist()]
