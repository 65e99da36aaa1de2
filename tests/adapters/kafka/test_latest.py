"""What was known at an instant is never what was said later, however messages arrive."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka.latest import Latest, latest_asof, vector
from adapters.kafka.messages import SignalMessage, TargetMessage
from engine.errors import DataError

stamps = st.integers(-50, 50)


def said(source: str, ts: int, asof: int, value: float = 0.0) -> SignalMessage:
    return SignalMessage(source=source, ts=ts, asof=asof, horizon_ns=0, instruments=["A"], values=[value])


messages = st.lists(st.builds(said, st.sampled_from("ab"), stamps, stamps, st.floats(0, 1)), max_size=30)


@given(messages, stamps)
def test_it_is_the_newest_of_those_that_had_been_said(all_of_them: list[SignalMessage], ts: int) -> None:
    latest = Latest(keep=30)
    for message in all_of_them:
        latest.add(message)
    answer = latest.asof(ts)
    assert answer == latest_asof(all_of_them, ts)
    for source in "ab":
        had = [(m.ts, m.asof, k) for k, m in enumerate(all_of_them) if m.source == source and m.ts <= ts]
        assert answer.get(source) is (all_of_them[max(had)[2]] if had else None)
    later = [message for message in all_of_them if message.ts > ts]
    assert latest_asof([*later, *answer.values()], ts) == answer  # what is said afterwards changes nothing


@given(messages, stamps, st.integers(1, 5))
def test_what_was_forgotten_is_refused_and_never_guessed(all_of_them: list[SignalMessage], ts: int, keep: int) -> None:
    latest = Latest(keep=keep)
    for message in all_of_them:
        latest.add(message)
    with contextlib.suppress(DataError):
        assert latest.asof(ts) == latest_asof(all_of_them, ts)
        return
    assert len(all_of_them) > keep  # it was refused


def test_a_message_that_is_read_late_stands_where_it_belongs() -> None:
    latest = Latest(keep=2)
    for ts in (5, 9, 7):
        latest.add(said("a", ts, ts, ts / 10))
    assert latest.asof(8)["a"].values == [0.7]
    with pytest.raises(DataError, match=r"what a had said by .* is forgotten: the 2 messages kept begin at"):
        latest.asof(6)


def test_targets_are_kept_beside_signals_by_their_source() -> None:
    latest, empty = Latest(), {"instruments": ["A"], "alpha": [None], "limit": [None], "stop": [None]}
    latest.add(TargetMessage(source="t", ts=4, kind="weight", values=[0.5], **empty))
    latest.add(said("a", 5, 5))
    assert set(latest.asof(4)) == {"t"}
    assert set(latest.asof(5)) == {"a", "t"}


def test_a_column_is_numbers_with_nan_for_null() -> None:
    column = vector([0.1 + 0.2, None, -0.0])
    assert column.tobytes() == np.array([0.1 + 0.2, np.nan, -0.0]).tobytes()
    assert not column.flags.writeable
    with pytest.raises(ValueError, match="keep must be at least 1"):
        Latest(keep=0)
