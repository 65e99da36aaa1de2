"""What is written into a journal is read back bit for bit, or the reader says that it is not."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from adapters.files.journal_file import JournalFile, read_blocks, read_journal
from engine.errors import DataError, StateError
from engine.events import Bars, Features
from engine.journal import Journal
from tests.make import bars, book, day, signal
from tests.property.anything import bits, long_runs, runs

_TOLD = (StateError, DataError)


def written(folder: Path, found: Any) -> str:
    """Writes runs, returns the digest."""
    file = JournalFile(folder)
    try:
        journal = Journal(file.write)
        for origins, events in found:
            journal.append(origins, events)
    finally:
        file.close()
    return journal.digest


@given(found=runs())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_event_of_any_type_comes_back_bit_for_bit(found: Any) -> None:
    comes_back(found)


@given(found=long_runs())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_long_columns_of_which_little_changes_come_back_bit_for_bit(found: Any) -> None:
    comes_back(found)


def comes_back(found: Any) -> None:
    """What is written is what is read."""
    folder = Path(tempfile.mkdtemp())
    try:
        digest = written(folder / "j", found)
        back = list(read_journal(folder / "j", digest))
    finally:
        shutil.rmtree(folder)
    flat = [
        (origin, i == 0, event)
        for origins, events in found
        for i, (origin, event) in enumerate(zip(origins, events, strict=True))
    ]
    assert [entry.seq for entry in back] == list(range(len(flat)))
    for entry, (origin, first, event) in zip(back, flat, strict=True):
        assert entry.input == first
        assert entry.origin == (origin if first else getattr(event, "source", origin))
        if not isinstance(event, Features):
            assert bits(entry.event) == bits(event)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, str]:
    """A journal of three short runs: where, its bytes, and the digest."""
    folder = tmp_path_factory.mktemp("small")
    found = [
        (
            ["input", "model", "ledger"],
            [bars(day(k), [10.0 + k, np.nan]), signal(day(k), [0.1 * k, 1.0]), book(day(k), [10.0 + k, 5.0])],
        )
        for k in range(3)
    ]
    digest = written(folder / "j", found)
    (file,) = (folder / "j").iterdir()
    return file, file.read_bytes(), digest


def read(file: Path, content: bytes, expect: str = "") -> list[Any]:
    file.write_bytes(content)
    return list(read_journal(file.parent, expect))


def test_every_single_flipped_bit_is_found(small: tuple[Path, bytes, str]) -> None:
    file, content, _ = small
    assert len(read(file, content)) == 9
    for place in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(_TOLD):
            read(file, bytes(damaged))


def test_a_cut_at_any_byte_loses_the_last_run_alone_and_is_told_to_who_knows_the_digest(
    small: tuple[Path, bytes, str],
) -> None:
    file, content, digest = small
    whole = [bits(entry.event) for entry in read(file, content)]
    lengths = []
    for end in range(len(content)):
        try:
            back = read(file, content[:end])
        except StateError:
            assert end < 30  # not even the first line is whole
            back = []
        assert [bits(entry.event) for entry in back] == whole[: len(back)]
        assert len(back) % 3 == 0
        lengths.append(len(back))
        with pytest.raises(_TOLD):
            read(file, content[:end], digest)
    assert lengths == sorted(lengths)
    assert lengths[-1] == 6  # a byte is missing from the last run alone


def test_bytes_that_are_cut_out_or_swapped_never_change_what_is_read(small: tuple[Path, bytes, str]) -> None:
    """Up to the end they are a torn tail, which who knows the digest is told; anywhere else they are damage."""
    file, content, digest = small
    whole = [bits(entry.event) for entry in read(file, content)]
    rng = np.random.default_rng(0)
    for _ in range(200):
        a, b, c = sorted(rng.integers(0, len(content), 3).tolist())
        for damaged in (
            content[:a] + content[b:],
            content[:b] + content[a:],
            content[:a] + content[b:c] + content[a:b] + content[c:],
        ):
            if damaged == content:
                continue
            with pytest.raises(_TOLD):
                read(file, damaged, digest)
            try:
                back = read(file, damaged)
            except _TOLD:
                continue
            assert [bits(entry.event) for entry in back] == whole[: len(back)]
            assert len(back) < len(whole)


def test_whole_records_that_are_left_out_or_doubled_are_found(small: tuple[Path, bytes, str]) -> None:
    """Each record's checksum is right: the running digest has to notice."""
    file, content, _ = small
    file.write_bytes(content)
    blocks = list(read_blocks(file.parent))
    for order in ([0, 2, 3], [0, 1, 1, 2, 3], [0, 2, 1, 3], [1, 2, 3]):
        folder = file.parent.parent / f"order{''.join(map(str, order))}"
        other = JournalFile(folder)
        for k in order:
            other.write(blocks[k])
        other.close()
        with pytest.raises(_TOLD):
            list(read_journal(folder))


def test_bars_are_bars_again(small: tuple[Path, bytes, str]) -> None:
    file, content, _ = small
    back = [entry.event for entry in read(file, content) if isinstance(entry.event, Bars)]
    assert [event.close[0] for event in back] == [10.0, 11.0, 12.0]
