"""What the documents show is what happens: run files load, transcripts are played."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from samewire.diagnostics import CODES
from samewire.schema import load_run

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(name: str, kind: str) -> list[str]:
    return [text for language, text in FENCE.findall((DOCS / name).read_text()) if language == kind]


@pytest.mark.parametrize("text", blocks("run-files.md", "yaml") + blocks("cli.md", "yaml"))
def test_run_files_of_the_documents_are_good(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(text)
    assert load_run(tmp_path / "run.yaml").session.cash > 0


def test_python_of_the_documents_runs(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(blocks("run-files.md", "yaml")[0])
    for text in blocks("run-files.md", "python"):
        ran = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


def steps(text: str) -> list[tuple[str, str]]:
    """(command, what it prints) in the order of a transcript."""
    found = re.split(r"^\$ (.*)\n", text, flags=re.M)[1:]
    return list(zip(found[::2], found[1::2], strict=True))


@pytest.mark.parametrize("page", ["cli.md", "why.md", "verify.md"])
def test_transcripts_of_the_command_line_are_what_happens(page: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(blocks(page, "yaml")[0])
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "TERM": "dumb"}
    code = 0
    for command, expected in [step for text in blocks(page, "console") for step in steps(text)]:
        if command == "echo $?":
            assert expected == f"{code}\n"
            continue
        program, *arguments = shlex.split(command)
        assert program in ("samewire", "sed")
        called = [sys.executable, "-m", "samewire"] if program == "samewire" else [program]
        ran = subprocess.run(
            [*called, *arguments],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        code = ran.returncode
        pattern = re.escape(expected).replace(r"\.\.\.", r"(?s:.*)")
        assert re.fullmatch(pattern, ran.stdout), f"{command}:\n{ran.stdout}"


def test_the_index_of_errors_names_each_code_as_it_is_shown() -> None:
    text = (DOCS / "errors.md").read_text()
    assert re.findall(r"^## (E\d+): (.*)$", text, re.M) == list(CODES.items())
