"""Features of a user's own: formulas and classes side by side, and what their schema covers."""

import importlib
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.features.custom import Custom
from components.features.expression import Expression
from engine.universe import universe_of
from samewire import load_run
from samewire.diagnostics import RunFileErrors
from tests.components.features.own_columns import Runs, Tilt
from tests.components.features.test_rolling import action, scaled
from tests.make import bars, day, market


def formula(column: str = "rise", expr: str = "close / lag(close, 1) - 1") -> Expression:
    return Expression(column=column, expr=expr)


def custom(*columns: Any, n: int = 1, **options: Any) -> Custom:
    return Custom(universe=universe_of(tuple(f"S{i}" for i in range(n))), columns=columns, **options)


def test_columns_stand_in_the_order_in_which_they_are_written() -> None:
    of = custom(Runs(), formula(), Tilt(days=3))
    assert of.names == ("run", "rises", "rise", "tilt_3")
    assert of.lookback == 6
    prices = [10.0, 11.0, 10.0, 11.0, 12.0, 15.0]
    value = [of.on_bars(bars(day(k), [p], high=[p + 1], low=[p - 1])).value for k, p in enumerate(prices)][-1]
    np.testing.assert_allclose(value, [[3.0, 4.0, 0.25, (15 - 38 / 3) / 2]])


def test_a_column_is_shown_its_own_rows_and_cannot_write_into_them() -> None:
    seen = []

    class Watching:
        names, lookback = ("x",), 2

        def on_rows(self, rows):
            seen.append(rows)
            return rows.close[-1]

    of = custom(Watching(), formula("far", "lag(close, 4)"))
    for k in range(6):
        of.on_bars(bars(day(k), [10.0 + k]))
    assert seen[-1].close.tolist() == [[14.0], [15.0]]
    for column in seen[-1]:
        assert column.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            column[0, 0] = 1.0


def test_the_past_is_in_the_terms_of_the_newest_row() -> None:
    slices = market(2, 20, holes=0.0, late=0)
    split = scaled(slices, 10, 1, price=0.5, shares=2.0)
    plain, told = custom(formula(), Runs(), n=2), custom(formula(), Runs(), n=2)
    for k, (s, t) in enumerate(zip(slices, split, strict=True)):
        if k == 10:
            told.on_actions(action(0, 1, 9, ratio=2.0))
        np.testing.assert_allclose(told.on_bars(t).value, plain.on_bars(s).value, rtol=1e-12)


def test_nothing_is_infinite_and_a_missing_name_has_no_feature() -> None:
    of = custom(formula("a", "close / (close - close)"), formula("b", "count(close, 3)"), n=2)
    of.on_bars(bars(day(0), [10.0, 10.0]))
    np.testing.assert_array_equal(of.on_bars(bars(day(1), [10.0, math.nan])).value, [[math.nan, 2.0], [math.nan] * 2])


@pytest.mark.parametrize("shape", [(2,), (3, 2), (), (2, 1)])
def test_an_answer_of_another_shape_names_the_column(shape: tuple[int, ...]) -> None:
    class Wrong:
        names, lookback = ("mine",), 1

        def on_rows(self, rows):
            return np.zeros(shape)

    with pytest.raises(ValueError, match=r"mine came as .*must return \(3, 1\)"):
        custom(Wrong(), n=3).on_bars(bars(day(0), [1.0, 2.0, 3.0]))


def test_the_schema_covers_names_formulas_attributes_and_the_text_of_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [
        custom(formula()),
        custom(formula(column="other")),
        custom(formula(expr="close / lag(close, 2) - 1")),
        custom(formula(), vwap="typical"),
        custom(Tilt(days=3)),
        custom(Tilt(days=4)),
        custom(formula(), Runs()),
        custom(Runs(), formula()),
    ]
    assert len({of.schema for of in made}) == len(made)
    assert custom(formula(expr=" close/lag(close,1)-1")).schema == custom(formula()).schema
    monkeypatch.syspath_prepend(tmp_path)
    found = set()
    for number in (1, 2):
        method = f"    def on_rows(self, rows):\n        return {number} * rows.close[-1]\n"
        text = f"class Mine:\n    names, lookback = ('m',), 1\n{method}"
        (tmp_path / "mine_columns.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("mine_columns", None)
        found.add(custom(importlib.import_module("mine_columns").Mine()).schema)
    del sys.modules["mine_columns"]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("columns", "text"),
    [((), "at least one"), ((formula(), formula()), "'rise' twice"), ((Tilt(days=3000),), "to 2520")],
)
def test_columns_that_make_no_sense_are_refused(columns: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        custom(*columns)


def test_the_class_of_the_page_on_features_is_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parent.parent.parent.parent / "docs" / "features.md"
    (code,) = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "shown_columns.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    of = custom(importlib.import_module("shown_columns").Tilt(days=3))
    value = [of.on_bars(bars(day(k), [10.0 + k], high=[12.0 + k], low=[9.0 + k])).value for k in range(3)][-1]
    assert (of.names, of.lookback) == (("tilt_3",), 3)
    np.testing.assert_allclose(value, [[1 / 3]])


# ---- in a run file ---------------------------------------------------------------------------------------------------


def with_columns(*columns: Any) -> dict[str, Any]:
    """A run whose model reads these features."""
    return {
        "schema": 1,
        "session": {"name": "mine", "cash": 1_000_000, "start": "2019-01-02"},
        "feed": {"use": "sample", "symbols": 8, "years": 2},
        "features": [{"use": "custom", "columns": list(columns)}],
        "models": [{"name": "m", "use": "lightgbm", "features": "custom", "train": {"until": "2018-12-31"}}],
        "strategy": {"use": "topk_dropout", "topk": 3, "n_drop": 1},
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"},
    }


def test_a_run_file_names_formulas_and_classes() -> None:
    run = load_run(
        with_columns(
            {"column": "rise", "expr": "close / lag(close, 1) - 1"},
            {"use": "tests.components.features.own_columns:Tilt", "days": 7},
        )
    )
    assert [part.use for part in run.features[0].options["columns"]] == [
        "expression",
        "tests.components.features.own_columns:Tilt",
    ]


def test_a_wrong_formula_is_told_with_its_place() -> None:
    with pytest.raises(RunFileErrors) as caught:
        load_run(with_columns({"column": "rise", "expr": "close / open.T"}))
    assert "features[0].columns[0].expr" in str(caught.value)
    assert "open.T" in str(caught.value)


def test_a_class_of_a_module_that_is_not_allowed_is_not_imported() -> None:
    with pytest.raises(RunFileErrors, match="not on the list of allowed modules"):
        load_run(with_columns({"use": "tests.components.features.own_columns:Tilt"}), allow=())
