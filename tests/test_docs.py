"""What the README and the docs show is run as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from samewire import load_run

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()) if not t.startswith("http")]
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("code", blocks(ROOT / "README.md", "python"), ids=lambda code: code.split("\n")[0])
def test_the_python_of_the_readme_runs(code: str, tmp_path: Path) -> None:
    for folder in ("configs",):
        (tmp_path / folder).symlink_to(ROOT / folder)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)


def test_the_run_file_of_the_readme_is_a_good_one(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    assert len(text.splitlines()) < 20
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert load_run(path).session.name == "quickstart"


def test_the_model_of_the_architecture_page_answers() -> None:
    (code,) = blocks(ROOT / "docs" / "architecture.md", "python")
    check = "from samewire import universe_of\nprint(Reversal(universe=universe_of(('A',)), name='r').lookback)\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "2"


def test_the_readme_says_the_commands_that_ci_runs() -> None:
    commands = blocks(ROOT / "README.md", "sh")[0].split("\n")
    assert commands[:2] == ["make demo", "make test"]
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_run_file_of_configs_is_good_as_it_stands() -> None:
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        load_run(path, ["feed.path=bars.parquet"] if path.stem == "sp500" else [])
