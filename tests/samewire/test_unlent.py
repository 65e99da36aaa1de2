"""A broker that lends no shares is told apart at start from what needs them: what is certain to, and what may."""

from typing import Any

import pytest

from engine.errors import ConfigError
from samewire.cautions import cautions
from samewire.schema import load_run
from tests.samewire.test_every_component import a_run

BROKER: dict[str, Any] = {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}}
LENDS = BROKER | {"short": True, "leverage": 2}
NEUTRAL = {"use": "long_short", "count": 2}


def within(method: Any) -> dict[str, Any]:
    return {"use": "portfolio", "risk_model": "ledoit_wolf", "benchmark": "equal", "method": method}


def composed(*constraints: Any) -> dict[str, Any]:
    return within({"use": "composed", "objective": ["variance"], "constraints": list(constraints)})


def said(**given: Any) -> list[str]:
    return [f"{each}" for each in cautions(load_run(a_run(broker=BROKER, **given))) if "lends no shares" in f"{each}"]


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        (NEUTRAL, "long_short holds a short leg"),
        ({"use": "score_weights", "side": "neutral"}, "score_weights holds a short leg"),
        ({"use": "fixed_weights", "weights": {"CO01": 0.5, "EN01": -0.2}}, "fixed_weights has EN01 below 0"),
        ({"use": "sign", "short": True}, "sign sells short: short is true"),
    ],
)
def test_short_positions_of_a_strategy_want_a_broker_that_lends(strategy: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load_run(a_run(strategy=strategy, optimizer="direct", broker=BROKER))
    load_run(a_run(strategy=strategy, optimizer="direct", broker=LENDS))
    load_run(a_run(strategy=strategy, optimizer=within({"use": "hrp"}), broker=BROKER))  # it holds none of them


def test_long_short_without_a_short_leg_needs_none() -> None:
    assert said(strategy=NEUTRAL | {"net": 1.0}, optimizer="direct") == []


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (within({"use": "minimum_variance", "long_only": False}), "minimum_variance sells short: long_only is false"),
        (
            within({"use": "black_litterman", "long_only": False, "max_weight": 0.3}),
            "black_litterman sells short: long_only is false",
        ),
        (composed({"use": "budget", "min": 0, "max": 0}, {"use": "gross", "max": 1}), "the budget is at most 0"),
    ],
)
def test_short_positions_of_a_method_do_too(optimizer: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load_run(a_run(optimizer=optimizer, broker=BROKER))
    load_run(a_run(optimizer=optimizer, broker=LENDS))


def test_the_problem_is_where_the_short_positions_are() -> None:
    with pytest.raises(ConfigError) as raised:
        load_run(a_run(strategy=NEUTRAL, optimizer="direct", broker=BROKER))
    (problem,) = raised.value.problems  # type: ignore[attr-defined]
    assert problem.path == "strategy"


def test_what_others_may_outweigh_is_a_caution() -> None:
    sleeves = {"use": "sleeves", "shares": [9, 1], "strategies": ["equal_weight", NEUTRAL]}
    (caution,) = said(strategy=sleeves, optimizer="direct")
    assert caution.startswith("strategy: long_short holds a short leg")
    assert said(strategy=sleeves, optimizer=within({"use": "hrp"})) == []


@pytest.mark.parametrize(
    ("constraints", "count"),
    [
        (({"use": "budget", "full": True},), 1),
        (({"use": "box", "min": -0.1, "max": 0.1},), 1),
        (({"use": "box", "min": 0, "max": 0.1, "soft": 0.01},), 1),
        (("long_only", {"use": "budget", "full": True}), 0),
        (({"use": "box", "min": 0, "max": 0.1},), 0),
        (({"use": "benchmark_band", "deviation": 0.1},), 0),
    ],
)
def test_weights_without_a_bound_at_zero_are_a_caution(constraints: Any, count: int) -> None:
    assert len(said(optimizer=composed(*constraints))) == count
