"""zipline's examples as a user writes them here."""

import numpy as np

from samewire import ActionKind, Actions, Bars, Book, Signal, Target, Universe
from tests.oracles.parts import opinion, shares


class BuyEverySlice:
    """So many more shares at every slice, whatever is held or still on its way."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, more: float) -> None:
        self._name, self._more = name, more

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        return shares(book.ts, self._name, book.qty + book.working + self._more)


class Means:
    """A model of one symbol: mean of the last `short` closes less that of the last `long`, NaN while there are fewer.

    Closes before a split or a dividend are made comparable the moment it is known.
    """

    def __init__(self, *, name: str, short: int, long: int) -> None:
        self.lookback, self._name, self._short, self._long = long, name, short, long
        self._closes = np.empty(0)

    def on_actions(self, actions: Actions, /) -> None:
        for kind, ratio, amount in zip(actions.kind, actions.ratio, actions.amount, strict=True):
            if kind == ActionKind.SPLIT:
                self._closes = self._closes / ratio
            if kind == ActionKind.CASH_DIVIDEND and len(self._closes):
                self._closes = self._closes * (1 - amount / self._closes[-1])

    def on_bars(self, bars: Bars, /) -> Signal:
        self._closes = np.append(self._closes, bars.close)[-self._long :]
        full = len(self._closes) == self._long
        value = self._closes[-self._short :].mean() - self._closes.mean() if full else np.nan
        return opinion(bars, self._name, np.array([value]))


class LongAbove:
    """So many shares while the signal is positive, none while it is negative, as it is in between."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, amount: float) -> None:
        self._name, self._amount = name, amount

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        sign = np.sign(signals[0].value)
        held = book.qty + book.working
        wanted = np.where(sign > 0, self._amount, np.where(sign < 0, 0.0, held))
        return shares(book.ts, self._name, wanted)
