"""What the page on risk says of every limit, once more and plainly: dicts, loops, one order at a time."""

import math
from typing import Any

from engine.events import DAY_NS, MINUTE_NS, LegAction, OrderKind

NAN = math.nan
STRICT = {"reduce_only": 1, "halt": 2, "flatten": 3}
SPARED = {"banned": False, "price_collar": False}  # all others spare exits


class Plain:
    """Knows books, bars and what was approved since; says of an order what each limit makes of it."""

    def __init__(self, options: dict[str, Any], multiplier: list[float]) -> None:
        self.options, self.multiplier = options, multiplier
        self.n = len(multiplier)
        self.book: Any = None
        self.counted: list[tuple[int, int, float]] = []  # order, symbol, shares: working at worst, replaces too
        self.opened = 0
        self.own: set[int] = set()  # orders of the gate itself that close positions
        self.volumes: list[list[float]] = []
        self.fresh = [0] * self.n
        self.sectors: list[float] | None = None
        self.minute: list[int] = []  # ts of each order
        self.latches: dict[str, str] = {}
        self.days: list[tuple[int, float]] = []  # (day, equity) of every book since the start or the release
        self.peaks: list[float] = []
        self.timers = 0

    # ---- what it hears -----------------------------------------------------------------------------------------------

    def on_bars(self, bars: Any) -> None:
        live = [int(status) == 0 for status in bars.status]
        self.volumes.append([float(v) if ok else NAN for v, ok in zip(bars.volume, live, strict=True)])
        self.fresh = [bars.ts if ok else old for ok, old in zip(live, self.fresh, strict=True)]

    def on_book(self, book: Any) -> set[str]:
        """Takes the book; says which limits trip."""
        self.book = book
        orders = book.open_orders
        self.counted = list(zip(orders.ids.tolist(), orders.symbol.tolist(), orders.left.tolist(), strict=True))
        self.opened = len(self.counted)
        if not math.isfinite(book.equity):
            return set()
        day = -self.timers if self.timers else book.ts // DAY_NS
        self.days.append((day, book.equity))
        self.peaks.append(book.equity)
        before = [equity for d, equity in self.days if d != day]
        lost = {
            "max_daily_loss": 1 - book.equity / (before[-1] if before else self.days[0][1]),
            "max_drawdown": 1 - book.equity / max(self.peaks),
        }
        tripped = {n for n, v in lost.items() if self.options.get(n) and v > self.options[n] * (1 + 1e-9)}
        return tripped - set(self.latches)

    def approved(self, legs: Any) -> None:
        for i in range(len(legs.ids)):
            action, qty = int(legs.action[i]), float(legs.qty[i])
            if action != LegAction.CANCEL and not math.isnan(qty):
                order = int(legs.ids[i] if action == LegAction.NEW else legs.ref[i])
                self.counted.append((order, int(legs.symbol[i]), qty))

    def sent(self, legs: Any) -> None:
        """Of what others sent: the gate's own orders count for nothing but their shares."""
        for action in legs.action.tolist():
            self.opened += action == LegAction.NEW
            self.minute += [legs.ts] * (action != LegAction.CANCEL)

    def release(self, latch: str) -> None:
        if latch == "max_daily_loss":
            self.days = self.days[-1:]
        if latch == "max_drawdown":
            self.peaks = self.peaks[-1:]

    @property
    def mode(self) -> int:
        return min(2, max((STRICT[action] for action in self.latches.values()), default=0))

    # ---- what it says ------------------------------------------------------------------------------------------------

    def worst(self) -> tuple[list[float], list[float]]:
        high, low = [float(q) for q in self.book.qty], [float(q) for q in self.book.qty]
        for _, symbol, left in self.counted:
            high[symbol] += max(left, 0.0)
            low[symbol] += min(left, 0.0)
        return high, low

    def unit(self, symbol: int) -> float:
        return float(self.book.mark[symbol]) * self.multiplier[symbol]

    def left(self, order: int) -> float:
        return next((left for known, _, left in self.counted if known == order), 0.0)

    def sums(self, rows: list[int], high: list[float], low: list[float]) -> tuple[float, float, float]:
        """Gross, net if all purchases fill, net if all sales do; of these symbols."""
        rows = [s for s in rows if high[s] or low[s]]
        gross = sum(max(abs(high[s]), abs(low[s])) * self.unit(s) for s in rows)
        return gross, sum(high[s] * self.unit(s) for s in rows), sum(low[s] * self.unit(s) for s in rows)

    def sector_of(self, symbol: int) -> list[int]:
        """All symbols of the sector of this one; those without any are one."""
        if self.sectors is None:
            return []
        mine = self.sectors[symbol]
        return [s for s, other in enumerate(self.sectors) if other == mine or (mine != mine and other != other)]

    def values(self, legs: Any, i: int, batch: "Batch") -> tuple[dict[str, float], bool, float]:
        """Value by limit, whether the order only reduces, its signed shares (of a replace: those it leaves)."""
        s, qty, action = int(legs.symbol[i]), float(legs.qty[i]), int(legs.action[i])
        replaced = self.left(int(legs.ref[i])) if action == LegAction.REPLACE else 0.0
        if math.isnan(qty):
            qty = replaced
        before = (batch.high if qty > 0 else batch.low)[s] - (replaced if replaced * qty > 0 else 0.0)
        after, unit, equity = before + qty, self.unit(s), float(self.book.equity)
        grows, money = (abs(after) - abs(before)) * unit, qty * unit
        side = 1 if qty > 0 else 2
        mates = self.sector_of(s)
        known = [v[s] for v in self.volumes[-self.options["volume_slices"] :] if not math.isnan(v[s])]
        mean = sum(known) / len(known) if known else NAN
        whole, sector = batch.sums, self.sums(mates, batch.high0, batch.low0) if mates else (NAN,) * 3
        in_sector = [(g, m) for t, g, m in batch.done if t in mates]
        value = {
            "banned": abs(qty) * (s in batch.banned),
            "restricted": abs(qty) * (s in batch.restricted),
            "price_collar": self.gap(legs, i, s),
            "max_bar_age": (legs.ts - self.fresh[s]) / 1e9 if self.fresh[s] else NAN,
            "max_order_value": abs(money),
            "max_order_qty": abs(qty),
            "max_participation": abs(qty) / mean if mean else math.inf if qty else NAN,
            "max_orders_per_minute": sum(t > legs.ts - MINUTE_NS for t in self.minute) + batch.sent + 1.0,
            "max_open_orders": 0.0 if action == LegAction.REPLACE else self.opened + batch.opened + 1.0,
            "max_position": abs(after),
            "max_weight": abs(after) * unit / equity,
            "max_sector_gross": (sector[0] + sum(g for g, _ in in_sector) + grows) / equity,
            "max_sector_net": abs(sector[side] + sum(m for _, m in in_sector) + money) / equity,
            "max_gross": (whole[0] + sum(g for _, g, _ in batch.done) + grows) / equity,
            "max_net": abs(whole[side] + sum(m for _, _, m in batch.done) + money) / equity,
        }
        return value, qty * before < 0 and abs(qty) <= abs(before), qty

    def gap(self, legs: Any, i: int, symbol: int) -> float:
        mark, kind, new = float(self.book.mark[symbol]), int(legs.kind[i]), int(legs.action[i]) == LegAction.NEW
        limit, stop = float(legs.limit[i]), float(legs.stop[i])
        if new and math.isnan(limit) and kind in (OrderKind.LIMIT, OrderKind.STOP_LIMIT):
            return NAN
        if new and math.isnan(stop) and kind in (OrderKind.STOP, OrderKind.STOP_LIMIT):
            return NAN
        return max((abs(price / mark - 1) for price in (limit, stop) if not math.isnan(price)), default=0.0)


class Batch:
    """What the orders of one batch have used up."""

    def __init__(self, plain: Plain, symbols: tuple[str, ...]) -> None:
        self.high, self.low = plain.worst()
        self.high0, self.low0 = list(self.high), list(self.low)
        self.sums = plain.sums(list(range(plain.n)), self.high, self.low)
        self.done: list[tuple[int, float, float]] = []  # symbol, gross added, net added
        self.sent = self.opened = 0
        self.banned = {symbols.index(name) for name in plain.options.get("banned", ())}
        self.restricted = {symbols.index(name) for name in plain.options.get("restricted", ())}

    def take(self, plain: Plain, legs: Any, i: int, qty: float) -> None:
        s, action = int(legs.symbol[i]), int(legs.action[i])
        replaced = plain.left(int(legs.ref[i])) if action == LegAction.REPLACE else 0.0
        side = self.high if qty > 0 else self.low
        before = side[s] - (replaced if replaced * qty > 0 else 0.0)
        unit = plain.unit(s)
        self.done.append((s, (abs(before + qty) - abs(before)) * unit, qty * unit))
        # As it was or as it is to be, whichever is more: the broker may refuse a replace.
        side[s] = max(side[s], before + qty) if qty > 0 else min(side[s], before + qty)
        self.sent += 1
        self.opened += action == LegAction.NEW
