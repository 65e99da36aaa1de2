"""Timers, the clock, ids and saved state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import SystemClock, Timers
from engine.errors import StateError
from engine.ids import OrderIds, id_text
from engine.state import mutable, pack, unpack


def test_rule_09_timers_fire_by_time_then_priority_then_name() -> None:
    timers = Timers()
    for due, name, priority in [(5, "b", 0), (5, "a", 0), (5, "z", -1), (3, "late", 0), (5, "a", 0)]:
        timers.at(due, name, priority=priority)
    fired = []
    while (timer := timers.due(6, after_bars=False)) is not None:
        fired.append((timer.ts, timer.name))
    assert fired == [(3, "late"), (5, "z"), (5, "a"), (5, "b")]


def test_rule_09_a_timer_at_t_runs_after_the_bars_of_t() -> None:
    timers = Timers()
    timers.at(5, "x")
    assert timers.due(5, after_bars=False) is None
    assert timers.due(5, after_bars=True) is not None


def test_timers_are_saved_and_loaded() -> None:
    timers, copy = Timers(), Timers()
    timers.at(5, "x", priority=2)
    copy.load(timers.save())
    assert copy.save() == timers.save()
    assert copy.heap


def test_the_system_clock_moves_forward() -> None:
    clock = SystemClock()
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert clock.now_ns() > 1_700_000_000 * 10**9
    assert clock.cpu_ns() >= 0


def test_rule_38_an_order_id_is_a_hash_of_session_slice_component_leg_and_attempt() -> None:
    ids = OrderIds("s", "optimizer")
    assert ids(ts=7, count=3).tolist() == OrderIds("s", "optimizer")(ts=7, count=3).tolist()
    assert ids(ts=7, count=2, first=1).tolist() == ids(ts=7, count=3).tolist()[1:]
    others = [
        OrderIds("t", "optimizer")(ts=7, count=3),
        OrderIds("s", "gate")(ts=7, count=3),
        ids(ts=8, count=3),
        ids(ts=7, count=3, attempt=1),
    ]
    assert not set(ids(ts=7, count=3).tolist()) & {i for other in others for i in other.tolist()}
    assert ids(ts=7, count=0).tolist() == []
    assert id_text(2**64 - 1) == "f" * 16


@given(st.integers(0, 2**62), st.integers(1, 3000))
def test_ids_of_one_slice_never_collide_and_are_never_zero(ts: int, count: int) -> None:
    ids = OrderIds("s", "o")(ts=ts, count=count)
    assert len(set(ids.tolist())) == count
    assert ids.all()


@given(
    st.lists(st.floats(allow_nan=False)),
    st.dictionaries(st.text(), st.integers(-(2**63), 2**63 - 1)),
    st.sampled_from(["f8", "i8", "u8", "i4", "?"]),
)
def test_state_comes_back_as_it_was_packed(values: list[float], counts: dict[str, int], dtype: str) -> None:
    array = np.arange(6, dtype="i4").reshape(2, 3).astype(dtype)
    fields = unpack(pack("x", 3, values=values, counts=counts, array=array, kind="y", version=9), "x", 3)
    assert fields["values"] == values
    assert fields["counts"] == counts
    assert (fields["kind"], fields["version"]) == ("y", 9)
    assert fields["array"].dtype == array.dtype
    assert (fields["array"] == array).all()


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_in_a_saved_state_is_found(place: int, flip: int) -> None:
    state = bytearray(pack("x", 1, value=np.arange(5.0), text="abc"))
    state[place % len(state)] ^= flip
    with pytest.raises(StateError):
        unpack(bytes(state), "x", 1)


def test_state_of_another_kind_or_version_is_refused() -> None:
    with pytest.raises(StateError, match="saved state is of x v1, this code reads v2"):
        unpack(pack("x", 1), "x", 2)
    with pytest.raises(StateError, match="saved state is of x v1"):
        unpack(pack("x", 1), "y", 1)
    with pytest.raises(TypeError, match="object cannot be written"):
        pack("x", 1, bad=object())


def test_a_loaded_array_is_read_only_until_it_is_copied() -> None:
    loaded = unpack(pack("x", 1, value=np.zeros(2)), "x", 1)["value"]
    assert not loaded.flags.writeable
    mutable(loaded)[0] = 1.0
    assert loaded[0] == 0.0
