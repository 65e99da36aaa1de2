"""Every input that the fuzzers start from, and every one that once broke a parser."""

from pathlib import Path

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, survives

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
RUN_FILES = sorted([*(ROOT / "configs").glob("*.yaml"), *(ROOT / "tests/samewire/bad").glob("*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_of_the_corpus_brings_documented_errors_alone(path: Path) -> None:
    survives(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: path.stem)
def test_a_run_file_reads_the_same_once_it_was_written(path: Path) -> None:
    survives("run_file", path.read_bytes())


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


def test_a_fault_is_no_documented_error() -> None:
    def broken(content: bytes) -> None:
        raise KeyError(content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TARGETS, "broken", broken)
        with pytest.raises(KeyError):
            survives("broken", b"x")
