"""When the fuzzers' goal is met, and that the result which is kept says nothing that it was not."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    return importlib.import_module("fuzz")


def found(fuzz: ModuleType, **last: Any) -> dict[str, Any]:
    """A million inputs for every parser, but for the last."""
    each = {"inputs": fuzz.INPUTS, "edges": 9, "wall_s": 60}
    return dict.fromkeys(fuzz.NAMES, each) | {fuzz.NAMES[-1]: each | last}


def test_every_parser_takes_a_million_inputs_or_an_hour(fuzz: ModuleType) -> None:
    assert fuzz.met(found(fuzz))
    assert fuzz.met(found(fuzz, inputs=200_000, wall_s=3600))
    assert not fuzz.met(found(fuzz, inputs=999_999, wall_s=3599))
    assert not fuzz.met(found(fuzz, inputs=1, wall_s=1))
    assert not fuzz.met(found(fuzz, inputs=0, wall_s=3600))
    assert not fuzz.met(found(fuzz, crash="/kept"))
    assert not fuzz.met({name: each for name, each in found(fuzz).items() if name != fuzz.NAMES[0]})


def test_the_result_that_is_kept_is_what_the_script_writes_of_its_figures(fuzz: ModuleType) -> None:
    kept = json.loads((FOLDER / "results" / "fuzz.json").read_text())
    parsers = {name: kept["detail"].pop(name) for name in fuzz.NAMES}
    assert [sorted(each) for each in parsers.values()] == [["edges", "inputs", "wall_s"]] * len(fuzz.NAMES)
    assert kept["met"] == fuzz.met(parsers)
    assert kept["work"] == f"{sum(each['inputs'] for each in parsers.values()):,} inputs for {len(fuzz.NAMES)} parsers"
    assert sorted(kept["detail"]) == ["atheris", "cores", "machine", "threads", "versions"]
    assert sorted(kept["detail"]["versions"]) == ["msgspec", "numpy", "python"]
