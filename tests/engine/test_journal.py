"""The journal: what is appended is read back, digested in one chain, and a changed byte is found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.journal_file import FILE, JournalFile, read_journal
from engine import events
from engine.errors import DataError, StateError
from engine.events import EVENT_TYPES, Event, Features, Note, Timer
from engine.journal import Journal
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
