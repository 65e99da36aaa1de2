"""What is fuzzed: each target takes any bytes and may raise the documented errors of Samewire alone.

`python -m tests.fuzz.targets NAME FILE` runs one input and shows what it raises.
"""

import atexit
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from adapters.files.journal_file import FILE, read_journal
from engine import journal_reading
from engine.errors import SamewireError
from engine.journal import GENESIS, Journal
from engine.journal_reading import Reader, entries, read_runs
from samewire.schema import dump_run, load_run

CORPUS = Path(__file__).parent / "corpus"
_scratch: list[Path] = []


def _folder() -> Path:
    if not _scratch:
        _scratch.append(Path(tempfile.mkdtemp(prefix="fuzz-")))
        atexit.register(shutil.rmtree, _scratch[0], True)
    return _scratch[0]


def journal_file(content: bytes) -> None:
    """The whole file of a journal as it lies on disk: what a torn or damaged one is."""
    (_folder() / FILE).write_bytes(content)
    for _ in read_journal(_folder()):
        pass


def journal_blocks(content: bytes) -> None:
    """Blocks behind their checksums, each with two bytes of length before it: what another program may have written.

    Behind a plus sign the first block is a right one. The running digest is taken for right where a run states zeros,
    or nothing behind it would ever be reached.
    """
    proper = journal_reading.digest_of
    journal_reading.digest_of = lambda parts: GENESIS
    try:
        opening: list[bytes] = []
        if content[:1] == b"+":
            Journal(opening.append)
            content = content[1:]
        for _ in entries(read_runs(chain(opening, _blocks(content)), Reader())):
            pass
    finally:
        journal_reading.digest_of = proper


def _blocks(content: bytes) -> Iterator[bytes]:
    at = 0
    while at + 2 <= len(content):
        length = int.from_bytes(content[at : at + 2], "little")
        yield content[at + 2 : at + 2 + length]
        at += 2 + length


def run_file(content: bytes) -> None:
    """A run file, then overrides behind zero bytes. What is read can be written and read again as the same."""
    text, *overrides = content.split(b"\0")
    path = _folder() / "run.yaml"
    path.write_bytes(text)
    run = load_run(path, [said.decode("utf-8", "replace") for said in overrides])
    path.write_text(dump_run(run))
    assert dump_run(load_run(path)) == dump_run(run), "it reads otherwise once it was written"


TARGETS = {"journal_file": journal_file, "journal_blocks": journal_blocks, "run_file": run_file}


def survives(name: str, content: bytes) -> None:
    """Runs one input; what a user may meet is no crash."""
    try:
        TARGETS[name](content)
    except SamewireError as error:
        if not str(error):
            raise RuntimeError("an error that says nothing") from error


if __name__ == "__main__":
    survives(sys.argv[1], Path(sys.argv[2]).read_bytes())
