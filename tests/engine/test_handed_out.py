"""What an array that was handed out is recognised by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.handed_out import HandedOut, alone, owned, same


@given(st.integers(1, 400), st.integers(1, 400), st.booleans(), st.integers(0, 2**32))
def test_any_column_written_over_is_noticed(rows: int, columns: int, fortran: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    array = np.array(rng.normal(size=(rows, columns)), order="F" if fortran else "C")
    kept = HandedOut(array, alone(array))
    assert kept.stands()
    assert not array.flags.writeable
    array.flags.writeable = True
    view = array[:, int(rng.integers(columns))]
    view += 1.0
    assert not kept.stands()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (5, 7), (300, 400), (70_000,), (2, 2**17)])
def test_equal_is_what_numpy_says(shape: tuple[int, ...]) -> None:
    one = np.random.default_rng(1).normal(size=shape)
    assert same(one, one.copy())
    assert not same(one, np.zeros((*shape, 1)))
    if one.size:
        other = one.copy()
        other.flat[-1] += 1.0
        assert not same(one, other)


def test_what_owns_its_memory_is_used_itself() -> None:
    array = np.ones((3, 2))
    assert owned(array)
    assert alone(array) is array
    for other in (array[:], array.T, array[::2], np.frombuffer(bytes(16))):
        assert not owned(other)
        assert alone(other) is not other
        assert alone(other).flags.c_contiguous
