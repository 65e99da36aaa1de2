"""What all financing shares: checked rates, rates by name, and the charges they amount to."""

import math
from collections.abc import Mapping

import numpy as np

from engine.events import ChargeKind, Charges, Codes, Vector

BPS = 1e-4
_DAY_COUNTS = (360, 365)


def checked_rates(annual_bps: float, rates: Mapping[str, float] | None, day_count: int, *, least: float = 0.0) -> None:
    """Raises ValueError unless all rates are finite and none is below `least` (bps), and the day count is known."""
    _check("annual_bps", annual_bps, least)
    for name, rate in (rates or {}).items():
        _check(f"rates of {name!r}", rate, least * BPS)
    if day_count not in _DAY_COUNTS:
        raise ValueError(f"day_count must be 360 or 365, got {day_count}")


def _check(option: str, value: float, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{option} must be finite and at least {least:g}, got {value}")


def rates_of(annual_bps: float, rates: Mapping[str, float] | None, names: tuple[str, ...]) -> Vector:
    """The annual rate of each name as a decimal: that of `rates`, else the common one.

    Raises ValueError for a name that is not among them, so that a misspelt one is not charged nothing.

    >>> rates_of(50.0, {"B": 0.25}, ("A", "B"))
    array([0.005, 0.25 ])
    """
    out = np.full(len(names), annual_bps * BPS)
    for name, rate in (rates or {}).items():
        if name not in names:
            from difflib import get_close_matches  # a fifth of a millisecond that only this error needs

            near = get_close_matches(name, names, 1)
            known = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            hint = f"did you mean {near[0]!r}?" if near else f"it has {known}"
            raise ValueError(f"rates name {name!r}, which the session does not have; {hint}")
        out[names.index(name)] = rate
    return out


def charges_of(ts: int, kind: ChargeKind, symbol: Codes, currency: Codes, amount: Vector) -> Charges | None:
    """The charges that are not zero, amounts in their currency, negative = paid. None where there is none."""
    some = np.flatnonzero(amount)
    if not some.size:
        return None
    return Charges(
        ts=ts,
        kind=np.full(len(some), kind, np.int32),
        symbol=symbol[some].astype(np.int32),
        currency=currency[some].astype(np.int32),
        amount=amount[some],
    )
