"""What the README and the docs show is run as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samewire import load_run, run
from samewire.cautions import cautions

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


SHOWN = [
    pytest.param(text, id=f"{named(page)}-{i}")
    for page in PAGES
    for i, text in enumerate(blocks(page, "yaml"))
    if text.startswith("schema:")
]


@pytest.mark.parametrize("text", SHOWN)
def test_a_run_file_that_is_shown_invests_and_is_hardly_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert cautions(load_run(path)) == ()
    learns = "train:" in text  # then the session begins late in 2020, and half a year of it is enough to see
    result = run(path, overrides=["session.end=2021-06-30"] if learns else [])
    gross = result.to_pandas("equity")["gross"].to_numpy()
    assert gross[int(np.argmax(gross > 0)) :].mean() > 0.5
    assert result.summary["refusals"] < 0.05 * result.summary["orders"]


def test_the_model_of_the_architecture_page_answers() -> None:
    (code,) = blocks(ROOT / "docs" / "architecture.md", "python")
    check = "from samewire import universe_of\nprint(Reversal(universe=universe_of(('A',)), name='r').lookback)\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "2"


@pytest.mark.parametrize("code", blocks(ROOT / "docs" / "topics.md", "python"), ids=lambda code: code.split("\n")[0])
def test_the_python_of_the_page_of_topics_runs(code: str) -> None:
    if "asyncio.run" not in code:  # what needs a broker runs against one in tests/adapters/kafka/test_subscribe.py
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_the_readme_says_the_commands_that_ci_runs() -> None:
    commands = blocks(ROOT / "README.md", "sh")[0].split("\n")
    assert commands[:2] == ["make demo", "make test"]
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_run_file_of_configs_is_good_as_it_stands() -> None:
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        elsewhere = path.stem.startswith(("sp500", "us_pit", "cost_aware"))
        assert cautions(load_run(path, ["feed.path=bars.parquet"] if elsewhere else [])) == ()


# ---- the rules -------------------------------------------------------------------------------------------------------

TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.M)
}


def rules() -> dict[int, str]:
    """What holds each rule of docs/semantics.md, by number."""
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", (ROOT / "docs" / "semantics.md").read_text(), re.MULTILINE)
    return {int(number): held for number, held in rows}


def bare(name: str) -> str:
    """A test's name without the number of a rule."""
    return re.sub(r"^test_(rule_\d\d_)?", "", name)


def test_the_page_of_rules_has_all_of_them_and_each_is_held_by_something_or_not_yet() -> None:
    held = rules()
    assert list(held) == list(range(1, 56))
    assert [number for number, said in held.items() if said != "not yet" and "`test" not in said] == []


def test_every_test_that_the_page_of_rules_names_exists() -> None:
    known = {bare(name) for name in TESTS}
    for number, held in rules().items():
        for name in re.findall(r"`(test_\w+)`", held):
            assert bare(name) in known, f"rule {number}: no test is called {name}"
        for start in re.findall(r"`(test_\w+)\*`", held):
            assert any(name.startswith(start) for name in TESTS), f"rule {number}: no test begins with {start}"


def test_every_test_named_after_a_rule_is_listed_with_it() -> None:
    held = rules()
    for name in sorted(TESTS):
        found = re.match(r"test_rule_(\d\d)_", name)
        if found is None:
            continue
        said = held[int(found[1])]
        listed = found[0] in re.findall(r"`(test_\w+)\*`", said)
        listed = listed or bare(name) in map(bare, re.findall(r"`(test_\w+)`", said))
        assert listed, f"docs/semantics.md: name {name} with rule {int(found[1])}, or `{found[0]}*`"
