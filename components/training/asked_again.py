"""Does an answer know what came after it? The model is asked again, with all that came after cut off."""

from typing import Any, Protocol

import numpy as np

from components.training.slices import sliced
from engine.errors import ConfigError
from engine.events import Mask, Matrix
from engine.instants import day_text
from engine.protocols import Dataset

_LAST_BITS = 1e-5  # relative: float32 answers so near differ by how they were summed up, not by what they know


class Predicting(Protocol):
    def predict(self, dataset: Dataset, /) -> Matrix: ...


def check_blind(model: Predicting, shown: Dataset, value: Matrix, first: int) -> None:
    """Asks for the slices from `first` on again, up to three of them, each without the slices behind it.

    `value` (T, N) is what it answered to all of `shown`. ConfigError where an answer is another one by a single bit: in
    a session there are no later slices, so it would be judged by answers that it cannot give. The last slice had none
    behind it and needs no asking. Costs three quarters of the first time.
    """
    for last in _cuts(first, len(shown.ts)):
        part = slice(first, last + 1)
        again = asked(model, sliced(shown, slice(0, last + 1)))[part]
        moved = differs(value[part], again)
        if moved.any():
            t, i = (int(x) for x in np.argwhere(moved)[0])
            raise _told(model, shown, (value, again[t, i]), (first + t, i, last))


def asked(model: Predicting, shown: Dataset) -> Matrix:
    """(T, N) what the model says of these slices. ConfigError for any other shape."""
    value = np.asarray(model.predict(shown), np.float64)
    slices, n = shown.label.shape
    if value.shape != (slices, n):
        raise ConfigError(
            f"{type(model).__name__}.predict answered {value.shape} for {slices} slices of {n} symbols; it answers "
            "(T, N)"
        )
    return value


def differs(one: Matrix, other: Matrix) -> Mask:
    """Where two arrays of floats differ; a NaN equals a NaN."""
    moved: Mask = (one != other) & ~(np.isnan(one) & np.isnan(other))
    return moved


def _cuts(first: int, count: int) -> list[int]:
    """The slices after which is cut: the first, and those at a quarter and at half; the last never.

    >>> _cuts(2, 102), _cuts(0, 2), _cuts(0, 1)
    ([2, 26, 51], [0], [])
    """
    steps = count - first - 1
    return sorted({first + steps * quarter // 4 for quarter in (0, 1, 2)}) if steps > 0 else []


def _told(model: Predicting, shown: Dataset, found: tuple[Matrix, Any], where: tuple[int, int, int]) -> ConfigError:
    (value, again), (t, i, last) = found, where
    name, slices = type(model).__name__, len(shown.ts)
    symbol = shown.symbols[i] if shown.symbols else f"name {i}"
    if differs(value, asked(model, shown)).any():
        return ConfigError(
            f"{name}.predict answers the same question differently each time; draw random numbers in `fit`, or from a "
            "generator that begins anew with every call"
        )
    rule = "look at no slice behind the one that is answered"
    if np.isclose(value[t, i], again, rtol=_LAST_BITS, atol=0.0):
        rule = "answer slice by slice, so that the same numbers are added up in the same order whatever comes later"
    said, seen = f"{float(value[t, i])!r} for {symbol} at {day_text(shown.ts[t])}", f"{float(again)!r}"
    return ConfigError(
        f"{name}.predict answers {said} when it is shown all {slices} slices, and {seen} when those behind "
        f"{day_text(shown.ts[last])} are cut off, as they are in a session; {rule}"
    )
