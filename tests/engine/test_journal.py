"""The journal: what is appended is read back, digested in one chain, and a changed byte is found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.journal_file import FILE, JournalFile, read_journal
from engine import events
from engine.errors import ComponentError, DataError, StateError
from engine.events import EVENT_TYPES, Control, ControlAction, Event, Features, Note, Signal, Timer
from engine.journal import Journal
from engine.journal_reading import entries, read_runs
from tests.make import bars, book, day, legs, signal, target

SAMPLES: dict[str, Any] = {
    "int": 5,
    "str": "text",
    "float": 1.5,
    "Vector": np.array([1.0, np.nan]),
    "Matrix": np.array([[1.0, 2.0], [np.nan, 4.0]]),
    "Mask": np.array([True, False]),
    "Codes": np.array([1, 2], np.int32),
    "Stamps": np.array([1, 2], np.int64),
    "Ids": np.array([1, 2**63], np.uint64),
}


def one_of_each() -> list[Event]:
    """An event of every type of the union, with a value in every field."""
    made: list[Event] = [book(day(0), [1.0, 2.0], qty=[3.0, 0.0])]
    names = {id(getattr(events, name)): name for name in SAMPLES if hasattr(events, name)}
    for kind in EVENT_TYPES:
        if kind.__name__ == "Book":
            continue
        fields: dict[str, Any] = {}
        for name, annotation in kind.__annotations__.items() if kind.__annotations__ else []:
            fields[name] = _value(annotation, names)
        for parent in kind.__mro__[1:]:
            for name, annotation in getattr(parent, "__annotations__", {}).items():
                if name in kind.__struct_fields__:
                    fields[name] = _value(annotation, names)
        made.append(kind(**fields))
    return made


def _value(annotation: Any, names: dict[int, str]) -> Any:
    if id(annotation) in names:
        return SAMPLES[names[id(annotation)]]
    if isinstance(annotation, type) and annotation.__name__ in SAMPLES:
        return SAMPLES[annotation.__name__]
    if isinstance(annotation, type):  # an enumeration
        return next(iter(annotation))
    (inner, *others) = get_args(annotation)
    return _value(inner, names) if type(None) in others else (_value(inner, names),)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if hasattr(a, "__struct_fields__"):
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in a.__struct_fields__)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and type(a) is type(b)


def written(folder: Path, runs: Sequence[Sequence[Event]]) -> Journal:
    file = JournalFile(folder)
    journal = Journal(file.write)
    for run in runs:
        journal.append([f"c{i}" for i in range(len(run))], run)
    file.close()
    return journal


def test_every_type_of_event_comes_back_as_it_was(tmp_path: Path) -> None:
    sent = one_of_each()
    assert {type(event) for event in sent} == set(EVENT_TYPES)
    written(tmp_path, [sent])
    back = list(read_journal(tmp_path))
    assert [entry.seq for entry in back] == list(range(len(sent)))
    assert [entry.input for entry in back] == [True] + [False] * (len(sent) - 1)
    for event, entry in zip(sent, back, strict=True):
        if isinstance(event, Features):
            assert entry.event is None  # digested, not stored
        else:
            assert same(event, entry.event)
        if hasattr(event, "source") and entry.seq:
            assert entry.origin == event.source


def test_the_digest_is_of_everything_in_order() -> None:
    def digest(*runs: Sequence[Event]) -> str:
        journal = Journal()
        for run in runs:
            journal.append(["x"] * len(run), run)
        return journal.digest

    a, b = Timer(ts=1, name="a", due=1), Note(ts=1, source="n", kind="k")
    assert digest([a, b]) == digest([a, b])
    assert len({digest([a, b]), digest([b, a]), digest([a], [b]), digest([a]), digest()}) == 5
    assert digest([bars(day(0), [1.0])]) != digest([bars(day(0), [np.nextafter(1.0, 2.0)])])
    value = np.array([[1.0]])
    assert digest([Features(ts=0, schema="s", value=value)]) != digest([Features(ts=0, schema="s", value=value + 1)])


def test_what_a_kill_left_half_written_is_cut_and_nothing_before_it(tmp_path: Path) -> None:
    runs = [[bars(day(k), [1.0, 2.0]), signal(day(k), [0.1, 0.2]), target(day(k), [1.0, 0.0])] for k in range(5)]
    written(tmp_path, runs)
    path = tmp_path / FILE
    whole = path.read_bytes()
    for cut in range(19, len(whole), 7):
        path.write_bytes(whole[:cut])
        count = len(list(read_journal(tmp_path)))
        assert count % 3 == 0
        assert count < 15 or cut == len(whole)
    path.write_bytes(whole)
    assert len(list(read_journal(tmp_path))) == 15


@given(st.data())
def test_a_flipped_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("journal")
    sent = [[bars(day(k), [1.0, 2.0]), legs(symbol=[0], qty=[5])] for k in range(3)]
    written(folder, sent)
    path = folder / FILE
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        back = list(read_journal(folder))
    except StateError:
        return
    assert len(back) < 6  # a length was flipped: it reads as a torn tail, and the runs before it are whole
    assert all(same(entry.event, [e for run in sent for e in run][entry.seq]) for entry in back)


def test_a_folder_without_a_journal_and_a_file_that_is_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it holds no journal"):
        list(read_journal(tmp_path))
    (tmp_path / FILE).write_bytes(b"something else entirely")
    with pytest.raises(StateError, match="not a journal of this version"):
        list(read_journal(tmp_path))


def test_a_journal_is_never_written_over(tmp_path: Path) -> None:
    written(tmp_path, [])
    with pytest.raises(FileExistsError):
        JournalFile(tmp_path)


def long_runs(count: int, n: int = 400) -> list[list[Event]]:
    """Books in which little changes, signals in which everything does, legs of which there are few."""
    rng = np.random.default_rng(3)
    qty, runs = np.zeros(n), []
    for k in range(count):
        qty = qty.copy()
        qty[rng.integers(0, n, 5)] += 100.0
        close = rng.uniform(1.0, 2.0, n)
        runs.append(
            [
                bars(day(k), close),
                book(day(k), close, qty=qty),
                signal(day(k), rng.normal(size=n)),
                legs(ts=day(k), symbol=[k % n], qty=[5.0]),
            ]
        )
    return runs


def test_little_is_written_of_what_hardly_changes_and_all_of_it_comes_back(tmp_path: Path) -> None:
    runs = long_runs(40)
    written(tmp_path, runs)
    back = [entry.event for entry in read_journal(tmp_path)]
    assert all(map(same, back, [event for run in runs for event in run]))
    whole = sum(getattr(e, n).nbytes for run in runs for e in run for n in e.__struct_fields__ if _is_array(e, n))
    assert (tmp_path / FILE).stat().st_size < 0.65 * whole  # bars and signals are new in every slice


def _is_array(event: Any, name: str) -> bool:
    return isinstance(getattr(event, name), np.ndarray)


def test_the_digest_does_not_depend_on_what_is_stored_or_on_a_restart(tmp_path: Path) -> None:
    class Counted:
        at = -1

        def place(self, event: Event, /) -> int:
            self.at += 1
            return self.at

    runs = long_runs(12)
    whole = written(tmp_path / "whole", runs)
    by_place, plain = Journal(lambda block: None, drawn=Counted(), files={"bars": "hash"}), Journal()
    file = JournalFile(tmp_path / "parts")
    first = Journal(file.write)
    for run in runs[:5]:
        first.append(["x"] * len(run), run)
    file.close()
    again = JournalFile(tmp_path / "parts", resume=True)
    assert (again.position.events, again.position.digest) == (first.events, first.position)
    second = Journal(again.write, digest=again.position.digest, events=again.position.events)
    for k, run in enumerate(runs):
        names = [f"c{i}" for i in range(len(run))]
        by_place.append(names, run)
        plain.append(names, run)
        if k >= 5:
            second.append(["x"] * len(run), run)
    second.end()
    again.close()
    assert by_place.digest == plain.digest == whole.digest
    assert all(map(same, [e.event for e in read_journal(tmp_path / "parts")], [e for run in runs for e in run]))
    unbroken = Journal()
    for run in runs:
        unbroken.append(["x"] * len(run), run)
    assert second.digest == unbroken.digest


def test_a_file_that_goes_on_loses_its_torn_tail_and_nothing_before(tmp_path: Path) -> None:
    runs = long_runs(6)
    written(tmp_path, runs)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-5])
    file = JournalFile(tmp_path, resume=True)
    assert file.position.events == 5 * len(runs[0])
    journal = Journal(file.write, digest=file.position.digest, events=file.position.events)
    journal.append([f"c{i}" for i in range(len(runs[5]))], runs[5])
    file.sync()
    file.close()
    assert all(map(same, [e.event for e in read_journal(tmp_path)], [e for run in runs for e in run]))


def test_arrays_of_any_kind_of_number_and_any_layout_come_back(tmp_path: Path) -> None:
    values: list[Any] = [
        np.arange(6.0)[::2],
        np.array([1, 2, 3], np.float32),
        np.array([[1.0, 2.0], [3.0, 4.0]]).T,
        np.array([], ">i2"),
        np.array([np.nan, -0.0, 5e-324]),
    ]
    odd = [Signal(ts=k, asof=k, source="s", value=value, horizon_ns=0) for k, value in enumerate(values)]
    written(tmp_path, [[event] for event in odd])
    for event, entry in zip(odd, read_journal(tmp_path), strict=True):
        kept = entry.event
        assert isinstance(kept, Signal)
        assert kept.value.dtype == event.value.dtype
        assert kept.value.shape == event.value.shape
        assert kept.value.tobytes() == event.value.tobytes()
        assert not kept.value.flags.writeable


def values(*arrays: Any) -> list[list[Event]]:
    """Runs of one signal each."""
    return [[Signal(ts=k, asof=k, source="s", value=array, horizon_ns=0)] for k, array in enumerate(arrays)]


def size_of_last(folder: Path, runs: Sequence[Sequence[Event]]) -> int:
    """Bytes of the last run, once all came back."""
    written(folder / "all", runs)
    written(folder / "before", runs[:-1])
    back = [entry.event for entry in read_journal(folder / "all")]
    assert all(map(same, back, [event for run in runs for event in run]))
    return int((folder / "all" / FILE).stat().st_size - (folder / "before" / FILE).stat().st_size)


@pytest.mark.parametrize("count", [65_536, 65_537, 70_000])
def test_one_change_in_an_array_of_many_words_is_little_to_write_and_comes_back(tmp_path: Path, count: int) -> None:
    first = np.random.default_rng(1).normal(size=count)
    last = first.copy()
    last[-1] += 1.0
    assert size_of_last(tmp_path, values(first, last)) < 200


def test_after_a_while_of_changes_everywhere_what_changed_is_against_the_last_content(tmp_path: Path) -> None:
    """Written whole for some records without a look; the first that is looked at again follows those."""
    rng = np.random.default_rng(2)
    arrays = [rng.normal(size=400) for _ in range(24)]
    for _ in range(40):
        following = arrays[-1].copy()
        following[int(rng.integers(400))] += 1.0
        arrays.append(following)
    assert size_of_last(tmp_path, values(*arrays)) < 200


def test_a_disk_that_takes_a_part_at_a_time_has_the_same_file_in_the_end(tmp_path: Path) -> None:
    class Short:
        """A raw file that takes seven bytes a call at most, as a nearly full disk or a signal makes it."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def write(self, piece: bytes) -> int:
            return int(self._inner.write(piece[:7]))

        def close(self) -> None:
            self._inner.close()

    runs = long_runs(3)
    whole = written(tmp_path / "whole", runs)
    for at_once in (True, False):
        folder = tmp_path / f"parts {at_once}"
        file = JournalFile(folder, at_once=at_once)
        file._file = Short(file._file)
        journal = Journal(file.write)
        for run in runs:
            journal.append([f"c{i}" for i in range(len(run))], run)
        file.close()
        assert journal.digest == whole.digest
        assert (folder / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


@pytest.mark.parametrize(
    ("value", "said"),
    [([1.0, 2.0], "its value is a list"), (np.array(["a", None]), "its value is an array of object")],
)
def test_a_column_that_is_no_array_of_numbers_is_named(value: Any, said: str) -> None:
    told = Signal(ts=1, asof=1, source="mom", value=value, horizon_ns=0)
    with pytest.raises(ComponentError, match=f"mom: failed on Signal .*{said}; events carry numpy arrays of numbers"):
        Journal().append(["input", "x"], [Timer(ts=0, name="a", due=0), told])


def test_fields_that_were_added_since_take_their_default_and_unknown_ones_are_left_out() -> None:
    blocks: list[bytes] = []
    Journal(blocks.append).append(["input"], [Control(ts=1, action=ControlAction.HALT, reason="r", latch="loss")])
    opening = msgspec.msgpack.decode(blocks[0])
    plain, columns = opening["kinds"]["Control"]
    opening["kinds"]["Control"] = [["of_another_version" if name == "latch" else name for name in plain], columns]
    (run,) = read_runs([msgspec.msgpack.encode(opening), blocks[1]])
    event = run.records[0].event
    assert isinstance(event, Control)
    assert (event.latch, event.reason, event.action) == ("", "r", ControlAction.HALT)


def test_a_journal_of_another_version_or_with_events_that_are_not_known_is_refused() -> None:
    blocks: list[bytes] = []
    Journal(blocks.append).append(["input"], [Timer(ts=1, name="a", due=1)])
    opening = msgspec.msgpack.decode(blocks[0])
    with pytest.raises(StateError, match="it is of version 9, this code reads 2"):
        list(read_runs([msgspec.msgpack.encode(opening | {"version": 9})]))
    run = msgspec.msgpack.decode(blocks[1])
    run[2][0][0] = ["input", "Rumour"]
    with pytest.raises(StateError, match="it holds a Rumour, which this version does not know"):
        list(read_runs([blocks[0], msgspec.msgpack.encode(run)]))
    del opening["kinds"]["Timer"]
    with pytest.raises(StateError, match="its opening does not say what a Timer is"):
        list(read_runs([msgspec.msgpack.encode(opening), blocks[1]]))


def tampered(change: Any, *, with_columns: bool = True) -> list[bytes]:
    """A journal of one run, decoded, changed and encoded again."""
    blocks: list[bytes] = []
    event = signal(day(0), [1.0, 2.0, 3.0]) if with_columns else Timer(ts=1, name="a", due=1)
    features = Features(ts=day(0), schema="s", value=np.ones((3, 2)))
    Journal(blocks.append).append(["input", "x", "f"], [Timer(ts=0, name="t", due=0), event, features])
    run = msgspec.msgpack.decode(blocks[1])
    change(run)
    return [blocks[0], msgspec.msgpack.encode(run)]


def _set(place: tuple[int, ...], value: Any) -> Any:
    def change(run: Any) -> None:
        for step in place[:-1]:
            run = run[step]
        run[place[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set((2,), []),  # no record
        _set((2, 1, 0), -1),  # a stream before the first
        _set((2, 1, 0), 99),
        _set((2, 1, 1), [[-1]]),  # shapes that cannot be
        _set((2, 1, 1), [[7]]),
        _set((2, 1, 1), [["|O", 3]]),
        _set((2, 1, 1), [["nonsense", 3]]),
        _set((2, 1, 1), [["(2,f8", 3]]),
        _set((2, 1, 1), [["f8,,", 3]]),
        _set((2, 1, 1), []),
        _set((2, 1, 2), b"short"),
        _set((2, 1, 2), [b"\x05\x00", b"12345678"]),  # a word behind the end of nothing
        _set((2, 2, 2, 0), b"no digest"),
        _set((1,), b"\x90"),  # no plain values
        _set((1,), b"\xc1"),
        _set((3,), b"another"),
        _set((0,), 7),
    ],
)
def test_a_block_that_cannot_be_is_one_clear_error(change: Any) -> None:
    assert len(list(read_runs(tampered(lambda run: None)))) == 1
    with pytest.raises(StateError, match="journal: "):
        list(read_runs(tampered(change)))


def test_an_event_that_lacks_a_field_without_a_default_is_told() -> None:
    blocks: list[bytes] = []
    Journal(blocks.append).append(["input"], [Timer(ts=1, name="a", due=1)])
    opening = msgspec.msgpack.decode(blocks[0])
    opening["kinds"]["Timer"] = [["ts", "name", "other"], []]
    (run,) = read_runs([msgspec.msgpack.encode(opening), blocks[1]])
    with pytest.raises(StateError, match="a Timer lacks a field: .*due"):
        _ = run.records[0].event


def test_what_is_not_stored_is_asked_for_where_somebody_knows_it() -> None:
    class First:
        def place(self, event: Event, /) -> int:
            return 4

    blocks: list[bytes] = []
    sent = bars(day(0), [1.0, 2.0])
    Journal(blocks.append, drawn=First(), files={"f": "h"}).append(["input"], [sent])
    (unknown,) = entries(read_runs(blocks))
    assert unknown.event is None
    (known,) = entries(read_runs(blocks), lambda record: sent if record.kept and record.kept.at == 4 else None)
    assert known.event is sent


def test_a_value_that_has_no_written_form_is_named() -> None:
    for value, said in ((object(), "object cannot be written"), ("\ud800", "surrogates not allowed"), (1 << 70, "")):
        with pytest.raises(
            ComponentError, match=f"x: failed on Timer .*a value of its event cannot be written: .*{said}"
        ):
            Journal().append(["input", "x"], [Note(ts=1, source="n", kind="k"), Timer(ts=1, name=value, due=1)])  # type: ignore[arg-type]


def test_a_run_that_cannot_be_written_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    runs = long_runs(4)
    file = JournalFile(tmp_path)
    journal = Journal(file.write)
    for run in runs:
        broken = [*run[:2], Signal(ts=1, asof=1, source="s", value=[1.0], horizon_ns=0)]  # type: ignore[arg-type]
        with pytest.raises(ComponentError, match="its value is a list"):
            journal.append(["x"] * 3, broken)
        journal.append(["x"] * len(run), run)
    file.close()
    assert all(map(same, [e.event for e in read_journal(tmp_path)], [e for run in runs for e in run]))
    unbroken = Journal()
    for run in runs:
        unbroken.append(["x"] * len(run), run)
    assert journal.digest == unbroken.digest


@pytest.mark.parametrize("waits", [2, 5, 64])
def test_runs_that_wait_are_written_as_if_they_had_not(waits: int) -> None:
    class Last:
        """A feed that knows its latest event only."""

        at, event = -1, None

        def place(self, event: Event, /) -> int:
            return self.at if event is self.event else -1

    blocks: dict[int, list[bytes]] = {1: [], waits: []}
    digests = {}
    for k, told in blocks.items():
        drawn = Last()
        journal = Journal(told.append, drawn=drawn, files={"bars": "hash"}, waits=k)
        for n, run in enumerate([[bars(day(i), [1.0 + i, 2.0]), signal(day(i), [1.0, i])] for i in range(12)]):
            drawn.at, drawn.event = n, run[0]
            journal.append(["input", "s"], run)
            if n == 6:
                assert journal.events == 14, "what is asked for in the middle is what stands there"
        journal.end()
        digests[k] = journal.digest
    assert digests[1] == digests[waits]
    assert blocks[1] == blocks[waits]


def test_a_run_that_waited_and_cannot_be_written_is_named_and_the_journal_ends_before_it(tmp_path: Path) -> None:
    runs = long_runs(8)
    file = JournalFile(tmp_path)
    journal = Journal(file.write, waits=100)
    for k, run in enumerate(runs):
        bad = Signal(ts=77, asof=1, source="s", value=[1.0], horizon_ns=0)  # type: ignore[arg-type]
        journal.append(["x"] * (len(run) + (k == 5)), [*run, bad] if k == 5 else run)
    with pytest.raises(ComponentError, match=r"s: failed on Signal .*\(77 ns\): its value is a list"):
        journal.settle()
    journal.settle()  # it is told once
    file.close()
    assert all(map(same, [e.event for e in read_journal(tmp_path)], [e for run in runs[:5] for e in run]))
    assert journal.events == sum(map(len, runs[:5]))


def test_what_a_kill_or_a_power_cut_leaves_is_no_damage(tmp_path: Path) -> None:
    runs = long_runs(2)
    written(tmp_path, runs)
    path = tmp_path / FILE
    whole = path.read_bytes()
    for tail in (b"\0" * 5, b"\0" * 4096):
        path.write_bytes(whole + tail)
        assert len(list(read_journal(tmp_path))) == sum(map(len, runs))
    path.write_bytes(whole + b"\0" * 4096 + b"x")
    with pytest.raises(StateError, match="is damaged"):
        list(read_journal(tmp_path))
    for length in (0, 7):
        path.write_bytes(whole[:length])
        assert list(read_journal(tmp_path)) == []
        file = JournalFile(tmp_path, resume=True)
        Journal(file.write).append(["x"] * len(runs[0]), runs[0])
        file.close()
        assert len(list(read_journal(tmp_path))) == len(runs[0])
