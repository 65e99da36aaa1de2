"""What a broker does on its own when an account is in need: pure functions of positions and values."""

import numpy as np

from engine.events import Mask, Vector

_NEAR = 1e-9  # of a lot: what a division may leave above a whole number


class Margin:
    """What an account may do on borrowed money: 1 <= leverage and 0 < maintenance < 1 / leverage, None = no calls.

    A maintenance of 1 / leverage or more would call an account that has just bought what its leverage allows.
    """

    def __init__(self, *, short: bool, leverage: float, maintenance: float | None) -> None:
        if not (np.isfinite(leverage) and leverage >= 1):
            raise ValueError(f"leverage must be finite and at least 1 (times equity), got {leverage}")
        self.short, self.leverage, self.maintenance = short, leverage, maintenance
        if maintenance is None:
            return
        if not self.borrows:
            raise ValueError(
                f"maintenance is for a margin account; set leverage above 1 or short: true, or leave it out, got "
                f"{maintenance}"
            )
        if not 0 < maintenance < 1 / leverage:
            most = f"1 / leverage = {1 / leverage:g}"
            raise ValueError(f"maintenance must be above 0 and below {most}, got {maintenance}")

    @property
    def borrows(self) -> bool:
        """Whether it is a margin account at all."""
        return self.short or self.leverage > 1


def called(equity: float, gross: float, maintenance: float) -> bool:
    """Whether equity is below the share of the gross value that it must be.

    >>> called(24.0, 100.0, 0.25), called(25.0, 100.0, 0.25)
    (True, False)
    """
    return equity < maintenance * gross


def reductions(qty: Vector, unit: Vector, lot: Vector, excess: float) -> Vector:
    """(N,) signed shares to trade so that the gross value falls by `excess`: no more than it needs, in whole lots.

    The largest position value |qty_i| unit_i goes first, ties in the order of the universe; each is closed whole, odd
    lots too, while the excess is at least its value, and the last one is cut by the fewest lots that reach it. `unit`
    is the base money of one share; a position whose value is not known (NaN) is left alone.

    >>> reductions(np.array([30.0, -50.0, 20.0]), np.ones(3), np.ones(3), 60.5)
    array([-11.,  50.,   0.])
    """
    value = np.nan_to_num(np.abs(qty) * unit)
    out = np.zeros(len(qty))
    for i in np.argsort(-value, kind="stable").tolist():
        if not (excess > 0 and value[i] > 0):
            break
        size, last = abs(qty.item(i)), bool(excess < value[i])
        if last:
            step = lot.item(i)
            size = min(size, float(np.ceil(excess / unit.item(i) / step - _NEAR)) * step)
        out[i] = np.copysign(size, -qty[i]) if size else 0.0
        if last:  # what a division leaves of the excess is no reason to sell another
            break
        excess -= size * unit.item(i)
    return out


def covers(qty: Vector, shortable: Vector, lot: Vector) -> Vector:
    """(N,) shares to buy back where more is short than can be borrowed, in whole lots. NaN or inf = any number.

    >>> covers(np.array([-100.0, -100.0, 50.0]), np.array([30.0, np.nan, 0.0]), np.full(3, 20.0))
    array([80.,  0.,  0.])
    """
    short = np.maximum(-qty, 0.0)
    excess = short - np.where(np.isnan(shortable), np.inf, shortable)
    lots = np.maximum(np.ceil(excess / lot - _NEAR) * lot, 0.0)
    bought: Vector = np.minimum(lots, short)
    return bought


def increasing(left: Vector, held: Vector) -> Mask:
    """Which open orders could make their position larger, or turn it over.

    >>> increasing(np.array([5.0, -5.0, -15.0, 5.0]), np.array([10.0, 10.0, 10.0, 0.0]))
    array([ True, False,  True,  True])
    """
    mask: Mask = (left * held >= 0) | (np.abs(left) > np.abs(held))
    return mask
