"""What docs/reinforcement-learning.md shows of the environment is so, and of teachers what benchmarks measured."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.brokers.beside import Beside
from components.costs.quadratic_impact import QuadraticImpact
from components.rl.acting import Categorical
from components.rl.generated import Law
from components.rl.optimum import Task, optimum
from engine.universe import universe_of

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = (ROOT / "docs" / "reinforcement-learning.md").read_text()


def test_its_example_runs() -> None:
    code = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split()[1] == "1.0"


def test_its_table_of_optima_is_what_the_program_finds() -> None:
    (table,) = re.findall(r"<!-- optimum -->\n(.*?)<!-- /optimum -->", PAGE, re.DOTALL)
    rows = re.findall(r"^\| ([\d.]+) \| (\d+) \| (\S+) \| (\S+) \| (\S+) \|$", table, re.MULTILINE)
    assert len(rows) == 6
    for impact, parts, *figures in rows:
        market = Beside(universe=universe_of(("A",)), costs=QuadraticImpact(impact=float(impact)))
        tasks = (Task(side=side, quantity=32_000.0, start=0, horizon=8) for side in (1, -1))
        buy, sell = (optimum(Law(), task, market, Categorical(int(parts))) for task in tasks)
        means = [(getattr(buy, f) + getattr(sell, f)) / 2 for f in ("twap_bps", "best_bps", "gain_bps")]
        assert [float(figure) for figure in figures] == pytest.approx(means, abs=0.006)


def test_the_tables_of_students_are_those_of_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measured = importlib.import_module("execution_teachers")

    def kept(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["detail"]
        return found

    page = (ROOT / "docs" / "reinforcement-teacher.md").read_text()
    for mark, table in (
        ("teachers", measured.table(kept("execution_teachers"))),
        ("weights", measured.weights_table(kept("execution_teachers_weights")["by_order_steps"])),
    ):
        assert f"<!-- {mark} -->\n{table}\n<!-- /{mark} -->" in page
