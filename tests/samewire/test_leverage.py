"""An account that may borrow is used: the optimizer sizes orders for the leverage of the broker."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from engine.events import Book, Signal, Target, TargetKind
from samewire import Result, run


class Weights:
    """Wants the same weights whatever its signals say."""

    interval_ns = 0

    def __init__(self, *, name: str, value: list[float]) -> None:
        self._name, self._value = name, np.array(value)

    def on_signals(self, signals: Mapping[str, Signal], book: Book, /) -> Target:
        del signals
        none = np.full(len(self._value), np.nan)
        return Target(
            ts=book.ts, source=self._name, kind=TargetKind.WEIGHT, value=self._value, alpha=none, limit=none, stop=none
        )


def ran(value: list[float], optimizer: dict[str, Any] | None = None, **broker: Any) -> Result:
    spec = {
        "schema": 1,
        "session": {"name": "margin", "cash": 1_000_000, "benchmark": "none"},
        "feed": {"use": "tests.samewire.own:Walk", "symbols": 2, "slices": 20},
        "models": ["momentum"],
        "strategy": {"use": "tests.samewire.test_leverage:Weights", "value": value},
        "optimizer": {"use": "direct"} | (optimizer or {}),
        "broker": {"use": "simulated", "fill": "next_open", "costs": "bps"} | broker,
    }
    return run(spec)


def exposure(result: Result) -> tuple[float, float]:
    """Gross and net of the last slice."""
    table = result.equity.to_pydict()
    return table["gross"][-1], table["net"][-1]


def test_an_optimizer_uses_the_leverage_of_the_broker() -> None:
    assert exposure(ran([1.0, 0.8], leverage=2)) == pytest.approx((1.8, 1.8), abs=0.05)
    assert exposure(ran([1.0, 0.8])) == pytest.approx((1.0, 1.0), abs=0.05)


def test_its_own_leverage_wins() -> None:
    assert exposure(ran([1.0, 0.8], {"leverage": 1.5}, leverage=2)) == pytest.approx((1.5, 1.5), abs=0.05)


def test_proceeds_of_a_short_buy_no_more_than_the_leverage_allows() -> None:
    gross, net = exposure(ran([1.0, -0.5], short=True, leverage=3))
    assert (gross, net) == pytest.approx((1.5, 0.5), abs=0.05)
    gross, net = exposure(ran([1.0, -0.5], short=True))
    assert gross == pytest.approx(1.0, abs=0.05)
    assert net == pytest.approx(0.0, abs=0.05)
