"""Arrays that a class of the user's own hands out again and again: taken without a copy, and never stale.

An array that went out is read-only from then on. So one that comes again is the same without being looked at, and that
of an estimate of thousands of names would be long to copy and to compare.
"""

from math import gcd
from typing import Any

import numpy as np

from engine.sealing import copied

_WHOLE = 2**12  # numbers up to which an array is remembered wholly
_SAMPLE = 2**9  # numbers that are remembered of a larger one
_BLOCK = 2**15  # numbers that are compared at a time


class HandedOut:
    """An array as it was given, and what is used in its place: itself if it owns its memory, in the usual order.

    One that owns its memory is made read-only. A view is copied, since others may write where it looks at.
    """

    __slots__ = ("_proof", "_seen", "given", "used")

    def __init__(self, given: Any, used: Any) -> None:
        self.given, self.used = given, used
        self._seen, self._proof = _sample(given), b""
        if owned(given):
            given.flags.writeable = False
            self._proof = self._seen.tobytes()
        used.flags.writeable = False

    def comes_again(self, given: Any) -> bool:
        """Whether this is the very array, of which nobody may have changed anything."""
        return given is self.given and owned(given)

    def stands(self) -> bool:
        """Whether what was given is still as it was.

        Of a large array a sample is looked at: it can only be written by a view that is older, or by whoever lifts the
        protection, and an estimate that is written over changes everywhere.
        """
        return bool(self._seen.tobytes() == self._proof)


def owned(array: Any) -> bool:
    """Whether an array owns its memory, so that nobody can write into it once it is read-only."""
    return type(array) is np.ndarray and bool(array.flags.owndata)


def alone(array: Any) -> Any:
    """The array as one that nobody else writes into, rows one behind the other: itself, or a copy."""
    return array if owned(array) and array.flags.c_contiguous else copied(array)


def same(one: Any, other: Any) -> bool:
    """Whether two arrays are equal, a block of rows at a time: a difference is mostly found in the first."""
    if one.shape != other.shape:
        return False
    rows = max(_BLOCK * len(one) // max(one.size, 1), 1)
    return all(np.array_equal(one[i : i + rows], other[i : i + rows]) for i in range(0, len(one), rows))


def _sample(array: Any) -> Any:
    """What an array is recognised by: all of it, or numbers at equal distances that reach every column."""
    flat = array.ravel("K")
    if flat.size <= _WHOLE:
        return flat
    step, width = flat.size // _SAMPLE, min(array.shape) * max(array.shape)
    while gcd(step, width) > 1:
        step += 1
    return flat[::step]
