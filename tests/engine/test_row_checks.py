"""Checks of bars that are not stored say which symbol and which field are otherwise."""

import numpy as np
import pytest

from engine.event_columns import PLANS
from engine.events import Bars
from engine.journal import content_of
from engine.row_checks import FIELDS, differing, row_checks
from tests.make import bars


def columns(**changed: float) -> bytes:
    made = {name: np.arange(1.0, 31.0) for name in FIELDS}
    for name, value in changed.items():
        made[name][17] = value
    close = made.pop("close")
    return content_of(PLANS[Bars], bars(0, close, **made))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [18.000001, -18.0, np.nan, np.nextafter(18.0, 0.0), 0.0])
def test_one_value_is_named(field: str, value: float) -> None:
    kept = row_checks(columns(), 30)
    assert differing(columns(), 30, *kept) == ([], [])
    assert differing(columns(**{field: value}), 30, *kept) == ([17], [field])


def test_checks_of_another_shape_say_nothing() -> None:
    assert differing(columns(), 30, b"", b"") == ([], [])
