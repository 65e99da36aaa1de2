"""What one share has become: total return of each name through splits, dividends and delistings."""

from typing import Any

import numpy as np

from engine.events import ActionKind, Actions, Bars, Mask, Vector


class Growth:
    """Value of what one share of each name, bought at its first close, has become; arrays (N,).

        value = shares * close,   split: shares *= ratio,   dividend D: shares *= m / (m - D)

    `m` is the last close before the ex-date, in shares of the day. A delisting ends the name at its stated price, a
    change of symbol at its last close. A name without a bar keeps its value; NaN = never seen, or gone for more than
    a slice. A dividend of at least `m` is left out: nothing could have been bought with it.
    Memory: four arrays of N.
    """

    def __init__(self, n: int) -> None:
        self.shares = np.ones(n)
        self.value = np.full(n, np.nan)
        self.final = np.full(n, np.nan)  # value of the names that are gone
        self.adjusted = False  # some share count is no longer 1, or some name is gone
        self._gone_now = np.zeros(n, bool)  # gone since the last slice
        self._leaving = False  # some name is

    def on_actions(self, actions: Actions, /) -> None:
        self.shares, self.final = self.shares.copy(), self.final.copy()  # labels may still hold the old ones
        self.adjusted = True
        for i in range(len(actions.kind)):
            kind, s = ActionKind(int(actions.kind[i])), int(actions.symbol[i])
            amount, shares = float(actions.amount[i]), float(self.shares[s])
            if kind is ActionKind.SPLIT:
                self.shares[s] *= actions.ratio[i]
            elif kind is ActionKind.CASH_DIVIDEND:
                close = float(self.value[s]) / shares
                if amount < close:
                    self.shares[s] *= close / (close - amount)
            else:
                stated = kind is ActionKind.DELISTING and np.isfinite(amount)
                self.final[s] = amount * shares if stated else self.value[s]
                self._gone_now[s] = self._leaving = True

    def opens(self, bars: Bars, /) -> Vector:
        """(N,) value at the open; the final value of names that are gone; NaN without a bar."""
        if not self.adjusted:
            return bars.open
        return np.where(np.isnan(self.final), bars.open * self.shares, self.final)

    def on_bars(self, bars: Bars, /) -> Vector:
        """The values at the close, and until the next slice those before it are in the returned array (N,)."""
        before = self.value
        close = bars.close * self.shares if self.adjusted else bars.close
        self.value = np.where(bars.status == 0, close, before) if bars.status.any() else close
        if self._leaving:
            self.value = np.where(self._gone_now, self.final, self.value)
        return before

    def bury(self) -> None:
        """Forgets the names that went before this slice, whose last return has been told."""
        if self._leaving:
            self.value = np.where(self._gone_now, np.nan, self.value)
            self._gone_now, self._leaving = np.zeros(len(self.value), bool), False

    _ARRAYS = ("shares", "value", "final", "_gone_now")

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._ARRAYS} | {"adjusted": self.adjusted}

    def restore(self, state: dict[str, Any]) -> None:
        """Names that were appended to the universe since start afresh."""
        for name in self._ARRAYS:
            fresh = getattr(self, name)
            setattr(self, name, np.concatenate([state[name], fresh[len(state[name]) :]]))
        self.adjusted, self._leaving = state["adjusted"], bool(self._gone_now.any())


class EqualWeight:
    """Level of an equal-weighted portfolio of the members, rebalanced at every close, without costs.

        r_t = mean over members i at t-1 of (value_it / value_i,t-1 - 1)

    A member without a bar returns zero in that slice, and what it missed when its next bar comes. No member, no
    return.
    """

    def __init__(self, level: float) -> None:
        self.level = level
        self.member: Mask | None = None  # at the close before

    def step(self, bars: Bars, before: Vector, value: Vector) -> None:
        """`before` and `value` are the values at the previous close and at this one."""
        if self.member is not None:
            ratio = value / before
            if self.member.all() and not np.isnan(total := float(ratio.sum())):
                self.level *= total / len(ratio)
            else:
                ratio = ratio[self.member & ~np.isnan(ratio)]
                if len(ratio):
                    self.level *= float(ratio.sum()) / len(ratio)
        self.member = bars.member


class OneName:
    """Level of a single name held throughout, dividends reinvested, without costs; it starts at its first close."""

    def __init__(self, level: float, symbol: int) -> None:
        self.level, self._symbol = level, symbol
        self.member: Mask | None = None  # it asks for none

    def step(self, bars: Bars, before: Vector, value: Vector) -> None:
        del bars
        ratio = float(value[self._symbol] / before[self._symbol])
        if ratio == ratio:
            self.level *= ratio
