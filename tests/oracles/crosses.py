"""Examples of backtrader, backtesting.py and pyalgotrade as a user writes them here."""

import datetime as dt
from collections import deque

import numpy as np

from samewire import Bars, Book, Signal, Target, TargetKind, Universe
from tests.oracles.parts import opinion, shares, wish


class AboveMean:
    """A model of one symbol: the close less the mean of the last `window` closes, NaN while there are fewer."""

    def __init__(self, *, name: str, window: int) -> None:
        self.lookback, self._name = window, name
        self._closes: deque[float] = deque(maxlen=window)

    def on_bars(self, bars: Bars, /) -> Signal:
        self._closes.append(float(bars.close[0]))
        full = len(self._closes) == self._closes.maxlen
        value = self._closes[-1] - np.mean(self._closes) if full else np.nan
        return opinion(bars, self._name, np.array([value]))


class LongOnCross:
    """In when the signal turns positive, out when it turns negative; a zero is no turn."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, amount: float = 1.0) -> None:
        self._name, self._amount, self._side = name, amount, 0.0

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        side = float(np.sign(np.nan_to_num(signals[0].value[0])))
        turned = side * self._side < 0
        self._side = side or self._side
        return shares(book.ts, self._name, np.array([self._amount * (side > 0)]) if turned else book.qty)


class Reverse:
    """Asks for more than all there is on the side of the last cross; the broker cuts it. Out at the last."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, last: dt.date, weight: float = 2.0) -> None:
        self._name, self._last, self._weight, self._before = name, last, weight, 0.0

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        before, now = self._before, float(np.nan_to_num(signals[0].value[0]))
        self._before = now
        if dt.datetime.fromtimestamp(book.ts // 10**9, dt.UTC).date() >= self._last:
            return shares(book.ts, self._name, np.zeros(1))
        if before * now >= 0:
            return shares(book.ts, self._name, book.qty)
        return wish(book.ts, self._name, np.array([np.sign(now) * self._weight]), TargetKind.WEIGHT)


class Bands:
    """A model of one symbol: standard deviations (ddof 0) that the close lies above the mean of `window` closes."""

    def __init__(self, *, name: str, window: int) -> None:
        self.lookback, self._name = window, name
        self._closes: deque[float] = deque(maxlen=window)

    def on_bars(self, bars: Bars, /) -> Signal:
        self._closes.append(float(bars.close[0]))
        closes = np.array(self._closes)
        full = len(closes) == self._closes.maxlen and closes.std() > 0
        value = (closes[-1] - closes.mean()) / closes.std() if full else np.nan
        return opinion(bars, self._name, np.array([value]))


class AllInBelow:
    """When flat, all the cash in whole shares where the signal is below `-width`; out where it is above `width`."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, width: float = 2.0) -> None:
        self._name, self._width = name, width

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        signal, wanted = float(signals[0].value[0]), book.qty
        if signal < -self._width and not book.qty[0]:
            wanted = np.floor(book.cash[:1] / book.mark)
        if signal > self._width:
            wanted = np.zeros(1)
        return shares(book.ts, self._name, wanted)


class Fixed:
    """These shares, from the first close on."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, amounts: list[float]) -> None:
        self._name, self._amounts = name, np.array(amounts)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        return shares(book.ts, self._name, self._amounts)
