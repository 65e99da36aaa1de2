"""Which state of a folder a run came from, without what its changes say."""

import os
import subprocess
from pathlib import Path

import pytest

from adapters.tracking.code_version import code_version


def git(folder: Path, *words: str) -> None:
    names = {f"GIT_{who}_{what}": "me" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = os.environ | names | {"GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, env=environ)


def test_the_commit_and_a_hash_of_what_is_changed(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "mine.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "begin")
    clean = code_version(tmp_path)
    assert list(clean) == ["commit"]
    assert len(clean["commit"]) == 40
    (tmp_path / "mine.py").write_text("password = 'hunter2'\n")
    changed = code_version(tmp_path)
    assert changed["commit"] == clean["commit"]
    assert len(changed["uncommitted_sha256"]) == 64
    assert "hunter2" not in str(changed)
    (tmp_path / "mine.py").write_text("a = 2\n")
    assert code_version(tmp_path)["uncommitted_sha256"] != changed["uncommitted_sha256"]


def test_without_git_or_a_repository_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code_version(tmp_path) == {}
    assert code_version(tmp_path / "none") == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_version(tmp_path) == {}
