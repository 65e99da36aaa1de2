"""What a live session keeps in its topics: steps, cuts, and blobs in chunks that may be damaged, mixed, cleared."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka import blobs as module
from adapters.kafka.address import KafkaError
from adapters.kafka.blobs import Blobs, chunks
from adapters.kafka.live_record import CutWords, LastBar, Step, cut_of, encoded, step_of, words_of
from adapters.kafka.transport import Received
from samewire.live.keeping import State, packed, state_of

SMALL = 64  # bytes of a chunk in these tests


def records(name: str, content: bytes, first: int = 0) -> list[Received]:
    return [
        Received(first + k, 0, record.key, record.value, record.headers)
        for k, record in enumerate(chunks("t", "s", name, content, 0))
    ]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", SMALL)


def collected(found: list[Received]) -> Blobs:
    blobs = Blobs("t")
    for record in found:
        blobs.add(record)
    return blobs


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 5 * SMALL + 3])
def test_a_blob_of_any_size_comes_back(size: int) -> None:
    content = bytes(k % 251 for k in range(size))
    assert collected(records("state", content)).named("state") == content


def test_blobs_may_lie_among_each_other_and_the_latest_whole_one_counts() -> None:
    one, two, other = b"1" * 150, b"2" * 150, b"3" * 100
    a, b, c = records("state", one), records("state", two, 10), records("manifest", other, 20)
    mixed = [x for pair in zip(a, c, strict=False) for x in pair] + a[2:]
    found = collected(mixed)
    assert (found.named("state"), found.named("manifest")) == (one, other)
    found = collected([*a, *b[:2]])  # the second was cut off
    assert (found.named("state"), found.offsets["state"]) == (one, 0)
    assert collected([*a, *b]).offsets["state"] == 10


def test_of_a_blob_whose_beginning_was_cleared_away_nothing_is_taken() -> None:
    a, b = records("state", b"1" * 150), records("state", b"2" * 150, 10)
    found = collected([*a[1:], *b])
    assert found.named("state") == b"2" * 150
    with pytest.raises(KafkaError, match="holds no state of this session"):
        collected(a[1:]).named("state")


def test_a_damaged_blob_is_told() -> None:
    a = records("state", b"1" * 150)
    a[1] = msgspec.structs.replace(a[1], value=b"x" + (a[1].value or b"")[1:])
    with pytest.raises(KafkaError, match="blob state is not what was written"):
        collected(a)
    with pytest.raises(KafkaError, match="no part of a blob"):
        collected([Received(0, 0, b"k", b"v")])


cuts = st.builds(
    CutWords,
    ts=st.integers(-(2**62), 2**62),
    interval_ns=st.integers(1, 2**50),
    rule=st.integers(0, 3),
    taken=st.integers(0, 2**40),
    missing=st.lists(st.integers(0, 5000), max_size=5),
    absent=st.integers(0, 9),
    counts=st.lists(st.integers(0, 99), min_size=8, max_size=8),
)


@given(
    cut=cuts, offsets=st.dictionaries(st.text(max_size=5), st.dictionaries(st.integers(0, 9), st.integers(0, 2**60)))
)
def test_a_step_comes_back_as_it_was_written(cut: CutWords, offsets: dict[str, dict[int, int]]) -> None:
    assert words_of(cut_of(cut)) == cut
    step = Step(
        session="s", run_id="r", config="c", code="d", seq=3, events=9, digest=b"0" * 16, blocks=[b"x"], cuts=[cut],
        offsets=offsets, last={"t": {0: LastBar(1, 2, 3)}}, left_out=[("t", 0, 5)], course=(1, 2, 3), kept={"state": 4},
    )  # fmt: skip
    assert step_of(encoded(step), "t", 0) == step


def test_what_is_no_step_or_of_another_version_is_told() -> None:
    with pytest.raises(KafkaError, match="record at 7 is no step"):
        step_of(b"nonsense", "t", 7)
    with pytest.raises(KafkaError, match="is no step"):
        step_of(None, "t", 7)
    step = Step(
        session="s", run_id="r", config="c", code="d", seq=1, events=0, digest=b"", blocks=[], offsets={}, version=9
    )
    with pytest.raises(KafkaError, match="is of version 9, this code writes 1"):
        step_of(encoded(step), "t", 7)


@given(
    offsets=st.dictionaries(st.text(max_size=5), st.dictionaries(st.integers(0, 9), st.integers(0, 2**60), min_size=1)),
    course=st.tuples(*[st.integers(-(2**62), 2**62)] * 3),
)
def test_a_state_comes_back_as_it_was_packed(offsets: dict[str, dict[int, int]], course: tuple[int, int, int]) -> None:
    state = State(
        events=5, digest=b"1" * 16, seq=2, journal=3, wiring=b"w", slicer=b"s", course=course, offsets=offsets,
        control=4, slices=6, without=["own"], asked=["a"],
    )  # fmt: skip
    found = state_of(packed(state))
    assert {name: getattr(found, name) for name in State.__struct_fields__} == {
        name: getattr(state, name) for name in State.__struct_fields__
    }
