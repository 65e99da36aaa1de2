"""Saved state: bytes that are checked, and arrays that follow their symbols."""

import numpy as np
import pytest

from engine.errors import StateError
from engine.ledger import Ledger
from engine.state import check_appended, pack, placed, unpack
from engine.universe import universe_of

AB = ("A", "B")


@pytest.mark.parametrize("shape", [(2,), (3, 2), (5, 3, 2)])
def test_appended_names_hold_the_fill_and_old_ones_what_they_had(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=float).reshape(shape)
    array.flags.writeable = False
    out = placed(array, AB, ("A", "B", "C", "D"), np.nan)
    np.testing.assert_array_equal(out[..., :2], array)
    assert out.shape == (*shape[:-1], 4)
    assert np.isnan(out[..., 2:]).all()


@pytest.mark.parametrize(("dtype", "fill"), [(np.int32, 1), (np.int64, 0), (bool, False)])
def test_the_type_of_an_array_stays(dtype: type, fill: int) -> None:
    out = placed(np.ones(2, dtype), ["A", "B"], ("A", "B", "C"), fill)
    assert out.dtype == dtype
    assert out.tolist() == [1, 1, fill]


def test_the_same_names_give_a_writable_copy() -> None:
    array = unpack(pack("k", 1, a=np.array([1.0, 2.0])), "k", 1)["a"]
    out = placed(array, AB, AB, 0.0)
    out[0] = 5.0
    assert array.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (("A",), "symbol 'B' was at position 1 of the universe when it was saved and is not in the universe now"),
        (("B", "A"), "symbol 'A' was at position 0 .* and is at 1 now"),
        (("A", "C", "B"), "symbol 'B' was at position 1 .* and is at 2 now"),
        ((), "symbol 'A' was at position 0 .* not in the universe"),
    ],
)
def test_a_symbol_that_is_gone_or_moved_is_refused_by_name(now: tuple[str, ...], message: str) -> None:
    with pytest.raises(StateError, match=message):
        check_appended(["A", "B"], now)
    with pytest.raises(StateError, match=message):
        placed(np.zeros(2), AB, now, 0.0)


def test_the_ledger_refuses_a_moved_symbol_too() -> None:
    saved = Ledger(universe=universe_of(AB), cash=1.0).save()
    with pytest.raises(StateError, match="symbol 'A' was at position 0"):
        Ledger(universe=universe_of(("B", "A")), cash=1.0).load(saved)
