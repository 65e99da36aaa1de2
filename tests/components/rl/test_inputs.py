"""What an agent learns from is known by a hash: whatever of it changes is learned anew."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.rl.days import Days
from components.rl.episodes import Orders
from components.rl.identity import game_hashes, inputs_of
from components.rl.rewards import PAPenalty
from components.rl.tape import tape_of
from engine.universe import Universe
from tests.components.rl.made import market, minutes, orders

DAYS = minutes(quotes=True, symbols=2)
OF = orders((1, 0, 1, 900.0, 2, 6), (2, 1, -1, 500.0, 0, 5))


def _other(value: Any) -> Any:
    """The same but for one number or name of it."""
    if isinstance(value, np.ndarray):
        changed = value.copy()
        changed.flat[-1] += 1 if value.dtype.kind in "iu" else 0.5
        return changed
    if isinstance(value, tuple):
        return (*value[:-1], _other(value[-1]))
    return f"{value}X" if isinstance(value, str) else value + 1


def _changes() -> dict[str, tuple[Days, Orders]]:
    replace = msgspec.structs.replace
    found = {f"days.{name}": (replace(DAYS, **{name: _other(getattr(DAYS, name))}), OF) for name in _fields(DAYS)}
    for name in Universe.__struct_fields__:
        universe = replace(DAYS.universe, **{name: _other(getattr(DAYS.universe, name))})
        found[f"universe.{name}"] = (replace(DAYS, universe=universe), OF)
    return found | {f"orders.{name}": (DAYS, replace(OF, **{name: _other(getattr(OF, name))})) for name in _fields(OF)}


def _fields(part: Any) -> list[str]:
    return [name for name in part.__struct_fields__ if name != "universe"]


@pytest.mark.parametrize("change", _changes())
def test_whatever_days_symbols_and_orders_say_is_in_it(change: str) -> None:
    days, of = _changes()[change]
    assert inputs_of(DAYS, OF) == inputs_of(minutes(quotes=True, symbols=2), OF)
    assert inputs_of(days, of) != inputs_of(DAYS, OF)


@pytest.mark.parametrize("change", ["days.extra", "universe.extra", "universe.currencies", "universe.currency"])
def test_a_game_goes_on_with_no_other_quotes_or_currencies(change: str) -> None:
    same: dict[str, Any] = {"tape": tape_of(DAYS, features=False), "market": market(DAYS), "reward": PAPenalty()}
    days, of = _changes()[change]
    assert game_hashes(days=days, orders=of, **same)["days"] != game_hashes(days=DAYS, orders=OF, **same)["days"]
