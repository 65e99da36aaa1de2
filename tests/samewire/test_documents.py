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
from tests.samewire.forked import called

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


MODEL_CHECK = """
from components.features.rolling import Rolling
from components.training.panel import walk
from samewire import universe_of
from tests.make import market
slices, universe = market(4, 60), universe_of(("A", "B", "C", "D"))
data = walk(iter(slices), Rolling(universe=universe, windows=(3, 6)), 1, slices[-1].ts)
model, features = MeanOf(universe=universe, name="m"), Rolling(universe=universe, windows=(3, 6))
model.swap(model.fit(data))
live = [model.on_features(features.on_bars(bars)).value for bars in slices[: len(data.ts)]]
np.testing.assert_array_equal(live, model.predict(data))
assert np.isfinite(live[-1]).any()
"""


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


def test_the_model_of_the_page_on_artefacts_answers_the_same_everywhere() -> None:
    code, check = blocks("artefacts.md", "python")[0], MODEL_CHECK
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def steps(text: str) -> list[tuple[str, str]]:
    """(command, what it prints) in the order of a transcript."""
    found = re.split(r"^\$ (.*)\n", text, flags=re.M)[1:]
    return list(zip(found[::2], found[1::2], strict=True))


@pytest.mark.parametrize("page", ["artefacts.md", "cli.md", "lookahead.md", "training.md", "verify.md", "why.md"])
def test_transcripts_of_the_documents_are_what_happens(page: str, tmp_path: Path) -> None:
    """From top to bottom: files that begin with their name are written, commands are typed."""
    if page != "lookahead.md":
        (tmp_path / "run.yaml").write_text(blocks(page, "yaml")[0])
    code = 0
    for language, text in FENCE.findall((DOCS / page).read_text()):
        named = re.match(r"# (\w+\.(py|yaml))\n", text)
        if named:
            (tmp_path / named[1]).write_text(text)
        for command, expected in steps(text) if language == "console" else []:
            if command == "echo $?":
                assert expected == f"{code}\n"
                continue
            code, said = typed(command, tmp_path)
            pattern = re.escape(expected).replace(r"\.\.\.", r"(?s:.*)")
            assert re.fullmatch(pattern, said), f"{command}:\n{said}"


def typed(command: str, folder: Path) -> tuple[int, str]:
    """Exit code and output of a command."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    # A file that is written twice in a second must not be read from its old byte code.
    environ = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "TERM": "dumb", "PYTHONDONTWRITEBYTECODE": "1"}
    program, *arguments = shlex.split(command)
    assert program in ("samewire", "sed")
    if program == "samewire":
        ran = called(arguments, folder, environ, merged=True)
    else:
        ran = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout


def test_the_index_of_errors_names_each_code_as_it_is_shown() -> None:
    text = (DOCS / "errors.md").read_text()
    assert re.findall(r"^## (E\d+): (.*)$", text, re.M) == list(CODES.items())
