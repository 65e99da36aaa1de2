"""The examples of docs/data.md run and print what they say."""

import doctest
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "data.md"


def test_the_examples_of_the_page_do_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text().replace("```\n", "\n")
    examples = doctest.DocTestParser().get_doctest(text, {}, "data.md", str(PAGE), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    results = runner.run(examples, out=said.append)
    assert results.attempted > 25
    assert results.failed == 0, "".join(said)


def test_every_kind_of_issue_is_explained() -> None:
    from adapters.files import actions, life, members, quality

    page = PAGE.read_text()
    for rules in (quality.RULES, actions.RULES, members.RULES, life.RULES):
        assert [kind for kind in rules if f"`{kind}`" not in page] == []
