"""The list of modules that a run file may name: nothing else is imported, not even to look at it."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from samewire import load_run
from samewire.diagnostics import RunFileErrors
from samewire.registry import BUILT_IN, UseError, resolve
from tests.samewire.forked import called
from tests.samewire.test_secrets import guarded

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages of a user; importing the second leaves a trace."""
    (tmp_path / "mine_a" / "deep").mkdir(parents=True)
    for folder in ("mine_a", "mine_a/deep"):
        (tmp_path / folder / "__init__.py").write_text("")
    strategy = "class Own:\n    interval_ns = 0\n    def on_signals(self, signals, book, /): ...\n"
    (tmp_path / "mine_a" / "deep" / "strategies.py").write_text(
        f"from subprocess import Popen\nfrom mine_a.other import Other\n{strategy}"
    )
    (tmp_path / "mine_a" / "other.py").write_text(strategy.replace("Own", "Other"))
    (tmp_path / "mine_ab.py").write_text(f"import pathlib\npathlib.Path('trace').touch()\n{strategy}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("mine_a")]:
        del sys.modules[name]


def with_strategy(use: str) -> dict[str, Any]:
    return guarded() | {"strategy": use}


@pytest.mark.parametrize("allow", [["mine_a"], ["mine_a.deep"], ["mine_a.deep.strategies"], ["other", "mine_a"], None])
def test_a_class_below_an_allowed_module_may_be_named(modules: Path, allow: list[str] | None) -> None:
    assert resolve("strategies", "mine_a.deep.strategies:Own", allow).__name__ == "Own"


@pytest.mark.parametrize("allow", [[], ["mine_a"], ["mine_ab.deeper"], ["mine"], ["ab"]])
def test_any_other_is_refused_before_it_is_imported(modules: Path, allow: list[str]) -> None:
    with pytest.raises(RunFileErrors) as caught:
        load_run(with_strategy("mine_ab:Own"), allow=["tests.samewire.own", *allow])
    said = str(caught.value)
    assert "E109" in said
    assert "mine_ab:Own, which is not on the list of allowed modules" in said
    assert "extend the list by --allow" in said
    assert not (modules / "trace").exists()
    resolve("strategies", "mine_ab:Own")
    assert (modules / "trace").exists()  # the trace would have told


@pytest.mark.parametrize("name", ["Popen", "Other"])
def test_a_class_that_an_allowed_module_only_imported_must_be_allowed_too(modules: Path, name: str) -> None:
    with pytest.raises(UseError, match=r"a class of (subprocess|mine_a\.other), which is not on the list"):
        resolve("strategies", f"mine_a.deep.strategies:{name}", ["mine_a.deep"])


def test_built_ins_are_always_allowed_by_name_and_by_place() -> None:
    for group, names in BUILT_IN.items():
        for name, place in names.items():
            assert resolve(group, name, ()) is resolve(group, place, ())


def test_a_module_of_ours_that_is_no_component_is_not_a_built_in() -> None:
    with pytest.raises(UseError, match="not on the list of allowed modules"):
        resolve("sinks", "samewire.hiding:Hider", ())


def test_what_lies_within_another_component_is_looked_at_too() -> None:
    said = with_strategy("topk_dropout")
    said["optimizer"] = {"use": "mean_variance", "risk_model": {"use": "tests.samewire.own:Still"}, "risk_aversion": 1}
    with pytest.raises(RunFileErrors, match="own:Still, which is not on the list"):
        load_run(said, allow=[])


@pytest.mark.parametrize("name", ["", "a..b", "a b", "a:B", "../a", "a.", "*"])
def test_what_names_no_module_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="names no module; say a package or a module"):
        load_run(guarded(), allow=[name])


def test_on_the_command_line(modules: Path) -> None:
    text = (ROOT / "configs" / "ema_cross.yaml").read_text()
    (modules / "plain.yaml").write_text(text)
    (modules / "own.yaml").write_text(text.replace("{use: sign}", "{use: 'mine_a.deep.strategies:Own'}"))
    for arguments, code in (
        (["plain.yaml", "--allow", "built-in"], 0),
        (["own.yaml", "--allow", "built-in"], 2),
        (["own.yaml", "--allow", "other"], 2),
        (["own.yaml", "--allow", "other", "--allow", "mine_a"], 0),
        (["own.yaml"], 0),
    ):
        ran = called(["check", *arguments], modules, os.environ | {"PYTHONPATH": str(ROOT)})
        assert ran.returncode == code, arguments
