"""The ordered symbols of a session and what is fixed about each."""

import msgspec
import numpy as np

from engine.errors import DataError
from engine.events import Codes, Vector
from engine.sealing import copied


class Universe(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Symbols in their fixed order with currency, multiplier, lot and tick: arrays of shape (N,).

    Every (N,) array of a session follows this order. Names may be appended at a restart, never moved. All of a session
    share the arrays, which nobody can write into.
    """

    symbols: tuple[str, ...]
    currencies: tuple[str, ...]  # (C,), the first is the base currency
    currency: Codes  # (N,) position in `currencies`
    multiplier: Vector  # money per point and share
    lot: Vector  # shares
    tick: Vector  # price step, 0 = any price
    extra: tuple[str, ...] = ()  # names of Bars.extra

    def __post_init__(self) -> None:
        for name in ("currency", "multiplier", "lot", "tick"):
            msgspec.structs.force_setattr(self, name, copied(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.symbols)


def universe_of(symbols: tuple[str, ...], *, currency: str = "USD", lot: float = 1.0, tick: float = 0.0) -> Universe:
    """A universe of one currency, lot and tick.

    >>> len(universe_of(("AAA", "BBB")))
    2
    >>> universe_of(("AAA", "AAA"))
    Traceback (most recent call last):
    engine.errors.DataError: universe: symbol 'AAA' stands twice; name each symbol once
    """
    if not symbols:
        raise DataError("universe: it has no symbol; name at least one, or leave `symbols` out to take all of the feed")
    if len(set(symbols)) < len(symbols):
        twice = next(s for i, s in enumerate(symbols) if s in symbols[:i])
        raise DataError(f"universe: symbol {twice!r} stands twice; name each symbol once")
    n = len(symbols)
    return Universe(
        symbols=symbols,
        currencies=(currency,),
        currency=np.zeros(n, np.int32),
        multiplier=np.ones(n),
        lot=np.full(n, lot),
        tick=np.full(n, tick),
    )
