"""The sign of a signal as a position: the plain strategy for one symbol, and for several."""

from math import copysign, inf, isfinite

import numpy as np

from components.strategies.signals import pick
from engine.events import Bars, Book, Codes, Mask, Signal, Status, Target, TargetKind, Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "sign", 2


class Sign:
    """Long where the signal is positive, flat where it is zero or negative; short where negative if `short`.

        target_i = side_i * gross * equity / (N * price of one share)        in shares

    The size is fixed when the side changes: while a position (filled and working) agrees with the signal it keeps its
    shares, so a drift of prices alone trades nothing. A NaN signal, and a name that is not FRESH or not a member,
    opens nothing; NaN keeps what is held. None while the target is the last one.

    >>> from engine.universe import universe_of
    >>> sign = Sign(universe=universe_of(("A",)), name="sign")
    >>> sign.on_bars(bars(ts=1, close=[10.0]))
    >>> sign.on_signals((signal(1, [0.3]),), book(1, [10.0], cash=1000.0)).value
    array([100.])
    """

    def __init__(
        self,
        *,
        universe: Universe,
        name: str,
        gross: float = 1.0,
        short: bool = False,
        signal: str | None = None,
        interval_ns: int = 0,
    ) -> None:
        if not 0 < gross <= 10:
            raise ValueError(f"gross must be above 0 and at most 10 (a share of equity), got {gross}")
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        n = len(universe)
        self.interval_ns = interval_ns
        self._universe, self._name, self._gross, self._short, self._signal = universe, name, gross, short, signal
        self._none = np.full(n, np.nan)
        self._none.flags.writeable = False
        self._status: Codes = np.full(n, Status.MISSING, np.int32)
        self._member: Mask = np.ones(n, bool)
        self._last: Vector | None = None  # the last target

    def on_bars(self, bars: Bars, /) -> None:
        self._status, self._member = bars.status, bars.member

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        signal = signals[0] if self._signal is None and len(signals) == 1 else pick(signals, self._signal, self._name)
        if len(signal.value) == 1:
            one = self._wanted_one(signal.value.item(), book)
            if one is None or (self._last is not None and one == self._last.item()):
                return None
            value = np.array((one,))
        else:
            many = self._wanted(signal.value, book)
            if many is None or (self._last is not None and np.array_equal(many, self._last)):
                return None
            value = many
        self._last = value
        return Target(
            ts=book.ts,
            source=self._name,
            kind=TargetKind.QUANTITY,
            value=value,
            alpha=signal.value,
            limit=self._none,
            stop=self._none,
        )

    def _wanted_one(self, score: float, book: Book) -> float | None:
        """As `_wanted` for one symbol: plain numbers take a tenth of the time of arrays of one."""
        known = isfinite(score)
        if self._last is None and not known:
            return None
        side = 0.0 if score == 0 or (score < 0 and not self._short) else copysign(1.0, score)
        position = book.qty.item() + book.working.item()
        if not known or side * position > 0:
            return position
        unit = book.mark.item() * self._universe.multiplier.item()
        if len(book.rate) > 1:
            unit *= book.rate.item(self._universe.currency.item())
        usable = self._status.item() == 0 and self._member.item() and 0 < unit < inf
        return side * (self._gross * max(book.equity, 0.0)) / unit if side and usable else 0.0

    def _wanted(self, score: Vector, book: Book) -> Vector | None:
        """(N,) shares; None while no signal has ever had an opinion."""
        known = np.isfinite(score)
        if self._last is None and not np.count_nonzero(known):
            return None
        side = np.where(known, np.sign(score), 0.0)
        if not self._short:
            side = np.maximum(side, 0.0)
        position: Vector = book.qty + book.working
        agreed = side * position
        unit = book.mark * self._universe.multiplier
        if len(book.rate) > 1:
            unit *= book.rate[self._universe.currency]
        usable = (self._status == 0) & self._member & (unit > 0.0) & (unit < np.inf)
        size = self._gross * max(book.equity, 0.0) / len(score)
        fresh = np.divide(side * size, unit, out=np.zeros(len(score)), where=usable & (agreed <= 0.0))
        return np.where(known & (agreed <= 0.0), fresh, position)

    def save(self) -> bytes:
        symbols = self._universe.symbols
        return pack(_KIND, _VERSION, symbols=symbols, status=self._status, member=self._member, last=self._last)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._status = placed(fields["status"], before, now, Status.MISSING)
        self._member = placed(fields["member"], before, now, True)
        self._last = None if fields["last"] is None else placed(fields["last"], before, now, 0.0)
