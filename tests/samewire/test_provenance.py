"""A manifest says what decided: without it, two digests that differ cannot be told apart from a broken promise."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

from samewire import run
from samewire.build import libraries
from samewire.diagnostics import Origin, Where
from samewire.provenance import code_of, machine, zone_rules
from samewire.run_file import Component
from tests.samewire.test_execute import small

DECIDE = ["aiokafka", "blake3", "clarabel", "cvxpy", "exchange-calendars", "lightgbm", "llvmlite", "msgspec", "numba"]
DECIDE += ["numpy", "osqp", "pandas", "piqp", "pyarrow", "safetensors", "samewire", "scipy", "scs", "torch", "tzdata"]


@pytest.mark.parametrize("name", DECIDE)
def test_the_version_of_what_decides_is_named(name: str) -> None:
    assert libraries()[name] == metadata.version(name)


def test_a_library_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.version

    def version(name: str) -> str:
        if name == "tzdata":
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    assert sorted(libraries()) == [name for name in DECIDE if name != "tzdata"]


def test_the_manifest_names_them_all(tmp_path: Path) -> None:
    run(small(), overrides=["session.end=2019-07-31"], out=tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["libraries"] == libraries()
    assert manifest["machine"] == machine()


def test_every_library_that_a_module_of_what_decides_imports_is_named() -> None:
    """One that is added to the engine or the components later may not be forgotten."""
    import ast

    root = Path(__file__).parent.parent.parent
    own = {"engine", "components", "adapters", "samewire", "__future__"}
    own |= {"gymnasium", "stable_baselines3"}  # they train agents; in a session nothing of them runs
    told_apart = {"exchange_calendars": "exchange-calendars"}
    found: dict[str, str] = {}
    for path in sorted(
        path for package in ("engine", "components", "adapters") for path in (root / package).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {name.partition(".")[0]: str(path.relative_to(root)) for name in names}
    others = {name: place for name, place in found.items() if name not in own and name not in sys.stdlib_module_names}
    assert len(others) > 5
    assert {name: place for name, place in others.items() if told_apart.get(name, name) not in DECIDE} == {}


def test_the_rules_of_time_zones_are_those_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python asks the system first; the version of the package says nothing where the system has rules of its own."""
    import zoneinfo

    (tmp_path / "tzdata.zi").write_text("# version 1999z\nR A 1 o - Ja 1 0 0 -\n")
    monkeypatch.setattr(zoneinfo, "TZPATH", (str(tmp_path / "none"), str(tmp_path)))
    assert zone_rules() == "1999z"
    assert machine()["zones"] == "1999z"
    (tmp_path / "tzdata.zi").unlink()
    assert zone_rules() == f"tzdata {metadata.version('tzdata')}"
    (tmp_path / "UTC").write_bytes(b"TZif")  # rules without a word on their version
    assert zone_rules() == "unknown"


def hash_at(folder: Path) -> str:
    """Of the code of a class of a package, for a run file of this folder."""
    where = Where(Origin("run.yaml", folder))
    component = Component(group="strategies", use="beside_a.strategy:Mine", name="s", options={}, where=where)
    return code_of(component)["sha256"]


def test_a_module_beside_a_package_of_the_users_counts_as_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whatever way it comes to it; what it does not import, and what lies beside an installed one, do not."""
    files = {
        "beside_a/__init__.py": "",
        "beside_a/strategy.py": "import beside_b\nclass Mine: ...\n",
        "beside_a/template.py": "{{ no python }}\n",
        "beside_b.py": "from beside_c.inner import X\n",
        "beside_c/__init__.py": "",
        "beside_c/inner.py": "X = 1\n",
        "beside_d.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    before, installed = hash_at(tmp_path), hash_at(tmp_path / "elsewhere")
    (tmp_path / "beside_d.py").write_text("Y = 2\n")
    assert hash_at(tmp_path) == before
    for name in ("beside_c/inner.py", "beside_b.py"):
        (tmp_path / name).write_text(files[name] + "Y = 2\n")
        assert hash_at(tmp_path) != before
        assert hash_at(tmp_path / "elsewhere") == installed
        monkeypatch.chdir(tmp_path)
        assert hash_at(tmp_path / "elsewhere") == hash_at(tmp_path)
        monkeypatch.undo()
        monkeypatch.syspath_prepend(tmp_path)
        before = hash_at(tmp_path)
    for name in [name for name in sys.modules if name.startswith("beside_")]:
        del sys.modules[name]
