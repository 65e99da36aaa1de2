"""Does an answer know what came after it? A model is asked again, with all that came after cut off."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from components.training.slices import sliced
from engine.errors import ConfigError, LookAheadError
from engine.events import Mask, Matrix
from engine.instants import day_text
from engine.protocols import Dataset

_LAST_BITS = 1e-5  # relative: float32 answers so near differ by how they were summed up, not by what they know
_WIDER = 4  # times as much of the past is shown to a model that remembers more than it declares
_PATIENCE = 64  # times the slices of a part that are shown to ask for each of its slices again
_CUTS = 16  # slices that are asked for after that


class Predicting(Protocol):
    def predict(self, dataset: Dataset, /) -> Matrix: ...


def check_blind(fresh: Callable[[], Predicting], shown: Dataset, value: Matrix, first: int) -> None:
    """Asks for each slice from `first` on again, without the slices behind it.

    `value` (T, N) is what one model answered to all of `shown`. It is another that is asked again, built by `fresh` and
    shown one slice after the other: a model that has seen all slices may remember them. Where an answer is another one
    by a single bit the model knew what came later: in a session there are no later slices, so it would be judged by
    answers that it cannot give. The last slice had none behind it and needs no asking. A model is shown as many slices
    as it declares by `lookback`, so the asking costs about as much as the answers did; one that turns out to remember
    more is shown more, and all that there is before it is accused. After 64 times the slices of the part it is asked
    for 16 of those that are left.

    LookAheadError for an answer that depends on later slices; ConfigError for one that depends on chance, or on how
    many slices are summed up at once.
    """
    model = fresh()
    count, width = len(shown.ts), max(1, int(getattr(model, "lookback", 1)))
    left, t = _PATIENCE * count, first
    while t < count - 1 and left > 0:
        begin = max(0, t + 1 - width)
        again = asked(model, sliced(shown, slice(begin, t + 1)))[-1:]
        left -= t + 1 - begin
        if not differs(value[t : t + 1], again).any():
            t += 1
        elif begin:
            width *= _WIDER
        else:
            raise _told(fresh(), shown, (value, again), t)
    for last in _cuts(t, count):
        again = asked(model, sliced(shown, slice(0, last + 1)))
        if differs(value[: last + 1], again).any():
            raise _told(fresh(), shown, (value, again), last)


def asked(model: Predicting, shown: Dataset) -> Matrix:
    """(T, N) what the model says of these slices.

    ConfigError for any other shape, and for an infinite answer: NaN alone is no opinion, and infinity what a division
    by zero leaves.
    """
    value = np.asarray(model.predict(shown), np.float64)
    slices, n = shown.label.shape
    if value.shape != (slices, n):
        raise ConfigError(
            f"{type(model).__name__}.predict answered {value.shape} for {slices} slices of {n} symbols; it answers "
            "(T, N)"
        )
    endless = np.isinf(value)
    if endless.any():
        t, i = (int(x) for x in np.argwhere(endless)[0])
        raise ConfigError(
            f"{type(model).__name__}.predict answers {value[t, i]} for {_symbol(shown, i)} at {day_text(shown.ts[t])}; "
            "answer a finite number, or NaN for no opinion"
        )
    return value


def differs(one: Matrix, other: Matrix) -> Mask:
    """Where two arrays of floats differ; a NaN equals a NaN."""
    moved: Mask = (one != other) & ~(np.isnan(one) & np.isnan(other))
    return moved


def _cuts(first: int, count: int) -> list[int]:
    """Slices after which is cut, spread evenly from the first on; the last never.

    >>> _cuts(2, 5), len(_cuts(0, 1000)), _cuts(4, 5)
    ([2, 3], 16, [])
    """
    return sorted({first + (count - 1 - first) * k // _CUTS for k in range(_CUTS)}) if count - 1 > first else []


def _symbol(shown: Dataset, i: int) -> str:
    return shown.symbols[i] if shown.symbols else f"name {i}"


def _told(model: Predicting, shown: Dataset, found: tuple[Matrix, Matrix], last: int) -> ConfigError:
    """What is wrong with answers to slices up to `last`, of which the newest were given again."""
    value, again = found
    begin = last + 1 - len(again)
    t, i = (int(x) for x in np.argwhere(differs(value[begin : last + 1], again))[0])
    t, one, other = begin + t, float(value[begin + t, i]), float(again[t, i])
    name, slices = type(model).__name__, len(shown.ts)
    symbol = _symbol(shown, i)
    if differs(value, asked(model, shown)).any():
        return ConfigError(
            f"{name}.predict answers the same question differently each time; draw random numbers in `fit`, or from a "
            "generator that begins anew with every call"
        )
    said = (
        f"{name}.predict answers {one!r} for {symbol} at {day_text(shown.ts[t])} when it is shown all {slices} slices, "
        f"and {other!r} when those behind {day_text(shown.ts[last])} are cut off, as they are in a session; "
    )
    if np.isclose(one, other, rtol=_LAST_BITS, atol=0.0):
        rule = "answer slice by slice, so that the same numbers are added up in the same order whatever comes later"
        return ConfigError(said + rule)
    return LookAheadError(said + "look at no slice behind the one that is answered")
