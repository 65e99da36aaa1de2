"""The sign of a signal as a position: the plain strategy for one symbol, and for several."""

import numpy as np

from components.strategies.signals import pick
from engine.events import Bars, Book, Codes, Mask, Signal, Status, Target, TargetKind, Vector
from engine.state import mutable, pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "sign", 1


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
        if self._last is not None and len(self._last) == 1 and self._agrees(signal, book):
            return None
        value = self._wanted(signal.value, book)
        if value is None or (self._last is not None and np.array_equal(value, self._last)):
            return None
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

    def _agrees(self, signal: Signal, book: Book) -> bool:
        """For one symbol, without an array: the position is the last target and on the signal's side."""
        position = book.qty.item(0) + book.working.item(0)
        if self._last is None or position != self._last.item(0):
            return False
        score: float = signal.value.item(0)
        if score * position > 0:
            return True
        return position == 0 and (score == 0 or (score < 0 and not self._short))

    def _wanted(self, score: Vector, book: Book) -> Vector | None:
        """(N,) shares; None while no signal has ever had an opinion."""
        known = np.isfinite(score)
        if self._last is None and not known.any():
            return None
        side = np.sign(np.where(known, score, 0.0))
        if not self._short:
            side = np.maximum(side, 0.0)
        position: Vector = book.qty + book.working
        universe = self._universe
        unit = book.mark * universe.multiplier * book.rate[universe.currency]
        opens = (side != 0) & (side * position <= 0)
        usable = (self._status == 0) & self._member & np.isfinite(unit) & (unit > 0)
        size = self._gross * max(book.equity, 0.0) / len(score)
        fresh = np.divide(side * size, unit, out=np.zeros(len(score)), where=opens & usable)
        keeps = ~known | (side * position > 0)
        return np.where(keeps, position, fresh)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, status=self._status, member=self._member, last=self._last)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        self._status, self._member = mutable(fields["status"]), mutable(fields["member"])
        self._last = None if fields["last"] is None else mutable(fields["last"])
