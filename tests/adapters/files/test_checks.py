"""Options of a feed from files that show to be wrong before a file is there."""

from pathlib import Path
from typing import Any

import pytest

from adapters.files.checks import wrong_option


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lot": 0.0}, "lot must be above 0"),
        ({"tick": -1.0}, "tick must be at least 0"),
        ({"interval": "nonsense"}, "interval must be a count and a unit"),
        ({"delist_after": 0}, "delist_after must be at least 1 slice"),
        ({"close": "16:00"}, "close must name its zone"),
        ({"calendar": "XNYZ"}, "did you mean"),
        ({"outside": "keep"}, "no calendar names these"),
        ({"symbols": []}, "it names no symbol"),
        ({"symbols": ["A"], "symbols_file": Path("none.txt")}, "both given"),
        ({"extra": ["close"]}, "which every feed already reads"),
        ({"reference": {"rates": Path("r.csv")}}, "which has an option of its own"),
        ({"sort_rows_max": 0}, "sort_rows_max must be at least 1"),
    ],
)
def test_an_option_that_no_file_can_mend_is_said_without_one(options: dict[str, Any], said: str) -> None:
    assert said in wrong_option({"path": Path("nowhere.parquet"), **options})


def test_files_that_are_not_there_are_not_looked_for() -> None:
    absent = Path("nowhere.csv")
    options = {"path": absent, "symbols_file": absent, "sectors": absent, "actions": absent, "interval": "5min"}
    assert wrong_option(options) == ""
