"""What is allowed in a run file and rarely meant is warned of, with both values and the next step."""

import json
from typing import Any

import pytest
import yaml

from samewire import run
from samewire.cautions import cautions
from samewire.schema import load_run
from tests.samewire.test_cli import RUN, run_file, samewire

__all__ = ["run_file"]

OPTIMIZER = {"use": "mean_variance", "risk_model": "ledoit_wolf"}


def said(**changes: Any) -> list[str]:
    return [str(caution) for caution in cautions(load_run(RUN | changes))]


def test_a_weight_beyond_what_the_gate_allows_is_warned_of_with_both_values() -> None:
    (text,) = said(optimizer=OPTIMIZER | {"max_weight": 0.5}, risk={"max_weight": 0.15})
    assert text.startswith("optimizer.max_weight: 0.5 is above risk.max_weight 0.15")
    assert "set optimizer.max_weight below 0.15" in text


def test_a_gate_of_the_users_own_is_warned_of() -> None:
    (text,) = said(risk={"use": "tests.engine.parts:Open"})
    assert text.startswith("risk.use: tests.engine.parts:Open is a class of your own")
    assert "goes to the broker unchecked" in text
    assert said(risk={"use": "limits"}) == said() == []


def test_the_default_weight_of_the_optimizer_counts_too() -> None:
    (text,) = said(optimizer=OPTIMIZER, risk={"max_weight": 0.15})
    assert "1 is above risk.max_weight 0.15" in text


@pytest.mark.parametrize("risk", [{"max_weight": 0.2}, {}, {"max_gross": 1.0}])
def test_a_weight_that_the_gate_allows_is_not_warned_of(risk: dict[str, float]) -> None:
    assert said(optimizer=OPTIMIZER | {"max_weight": 0.2}, risk=risk) == []


def test_spending_what_has_not_settled_is_warned_of() -> None:
    broker = RUN["broker"] | {"settlement_days": 2}
    (text,) = said(broker=broker, optimizer={"use": "direct"})
    assert "sales settle 2 trading days later" in text
    assert said(broker=broker, optimizer={"use": "direct", "proceeds": False}) == []
    assert said(broker=broker | {"short": True}, optimizer={"use": "direct"}) == []


def test_an_optimizer_that_borrows_more_than_the_account_may_is_warned_of() -> None:
    broker = RUN["broker"] | {"leverage": 2}
    (text,) = said(broker=broker, optimizer={"use": "direct", "leverage": 3})
    assert text.startswith("optimizer.leverage: 3 is above broker.leverage 2: the broker cuts what goes beyond")
    assert said(broker=broker, optimizer={"use": "direct", "leverage": 1.5}) == []
    assert said(broker=broker, optimizer={"use": "direct"}) == []


HALF = {"use": "half_spread"}
FILES = {"use": "csv", "path": "prices"}


@pytest.mark.parametrize(
    ("fill", "extra", "warned"),
    [
        ("next_open", ["bid", "ask"], "names no bid_open and ask_open"),
        ("next_open", [], "names no bid_open and ask_open"),
        ("next_close", ["bid_open", "ask_open"], "names no bid and ask"),
        ("next_open", ["ask_open", "bid_open"], ""),
        ("next_close", ["bid", "ask"], ""),
    ],
)
def test_half_a_spread_that_is_never_charged_is_warned_of(fill: str, extra: list[str], warned: str) -> None:
    for costs in (HALF, [{"use": "bps", "commission_bps": 1}, HALF]):
        broker = {"use": "simulated", "fill": fill, "costs": costs}
        texts = said(feed=FILES | {"extra": extra}, broker=broker)
        assert len(texts) == bool(warned)
        if warned:
            assert texts[0].startswith("broker.costs: half_spread charges nothing: ")
            assert warned in texts[0]
            assert "set bps" in texts[0]


def test_half_a_spread_with_bps_or_on_a_feed_of_the_users_own_is_not_warned_of() -> None:
    broker = {"use": "simulated", "fill": "next_open"}
    assert said(feed=FILES, broker=broker | {"costs": HALF | {"bps": 2}}) == []
    assert said(broker=broker | {"costs": HALF}) == []
    (text,) = said(broker=broker | {"costs": HALF | {"quotes": False}})
    assert "quotes is false" in text


@pytest.mark.parametrize(
    "rates", [{"use": "borrow_fee", "rates": {"ZZZ": 0.2}}, {"use": "margin_interest", "rates": {"EUR": 0.1}}]
)
def test_check_takes_rates_of_names_that_only_the_session_knows(run_file: Any, rates: dict[str, Any]) -> None:
    broker = RUN["broker"] | {"short": True, "financing": [rates]}
    run_file.write_text(yaml.safe_dump(RUN | {"broker": broker}))
    assert samewire("check", run_file).returncode == 0
    ran = samewire("replay", run_file, cwd=run_file.parent)
    assert ran.returncode != 0
    assert f"rates name '{next(iter(rates['rates']))}', which the session does not have" in ran.stderr + ran.stdout


def test_a_small_limit_on_orders_is_warned_of_with_both_values() -> None:
    (text,) = said(risk={"max_weight": 0.2, "max_order_value": 49_999})
    assert text.startswith(
        "risk.max_order_value: 49,999 is below a quarter of max_weight 0.2 times session.cash 1,000,000"
    )
    assert "raise risk.max_order_value to 200,000" in text
    assert said(risk={"max_weight": 0.2, "max_order_value": 50_000}) == []
    assert said(risk={"max_order_value": 1}) == []  # no weight to hold it against


@pytest.mark.parametrize(
    ("execution", "least"),
    [
        ({"use": "immediate"}, 50_000),
        ({"use": "immediate", "horizon": 20}, 50_000),  # tries again with all that is left
        ({"use": "twap", "horizon": 1}, 50_000),
        ({"use": "twap", "horizon": 20}, 2_500),
        ({"use": "almgren_chriss", "horizon": 5}, 10_000),
        ({"use": "pov", "horizon": 20}, 0),  # goes by volume
        ({"use": "tests.samewire.scripted:FrontLoaded", "horizon": 20}, 0),
        ({"use": "tests.samewire.scripted:Halves"}, 0),
    ],
)
def test_the_limit_on_orders_is_held_against_what_a_policy_sends(execution: dict[str, Any], least: int) -> None:
    """The gate sees children, never the whole order."""
    assert said(execution=execution, risk={"max_weight": 0.2, "max_order_value": max(least, 1)}) == []
    found = said(execution=execution, risk={"max_weight": 0.2, "max_order_value": least - 1}) if least else []
    assert len(found) == (least > 0)
    if execution["use"] == "twap" and execution["horizon"] == 20:
        assert (
            "2,499 is below a quarter of max_weight 0.2 times session.cash 1,000,000 (200,000) over the 20" in found[0]
        )
        assert "larger children are refused whole; raise risk.max_order_value to 10,000 or take a longer" in found[0]


@pytest.mark.parametrize(
    ("key", "values"),
    [("time_in_force", ("ioc", "fok")), ("order", ("market_on_open", "market_on_close"))],
)
def test_orders_with_a_moment_of_their_own_beside_a_policy_are_warned_of(key: str, values: tuple[str, ...]) -> None:
    twap = {"use": "twap", "horizon": 20}
    for value in values:
        optimizer, risk = {"use": "direct", key: value}, {"max_weight": 0.2, "max_order_value": 40_000}
        (text,) = said(optimizer=optimizer, execution=twap)
        assert text.startswith(f"optimizer.{key}: {value} orders have a moment of their own, so that execution twap")
        assert said(optimizer=optimizer) == []
        assert said(optimizer=optimizer, execution={"use": "tests.samewire.scripted:Halves"}) == []
        assert len(said(optimizer=optimizer, execution=twap, risk=risk)) == 2  # the gate sees them whole
    for value in ("day", "gtc"):
        assert said(optimizer={"use": "direct", "time_in_force": value}, execution=twap) == []


def test_a_run_without_a_session_dir_sink_is_warned_of() -> None:
    (text,) = said(sinks=[])
    assert text.startswith("sinks: no session_dir sink: ")
    assert said(sinks=["session_dir"]) == []
    assert said() == []


def test_warnings_do_not_change_the_exit_code_and_stand_in_json_too(run_file: Any) -> None:
    run_file.write_text(yaml.safe_dump(RUN | {"optimizer": OPTIMIZER, "risk": {"max_weight": 0.1}, "sinks": []}))
    ran = samewire("check", "run.yaml", cwd=run_file.parent)
    assert (ran.returncode, ran.stdout.count("\nwarning run.yaml")) == (0, 2), ran.stdout
    assert "optimizer.max_weight: 1 is above risk.max_weight 0.1" in ran.stdout
    found = json.loads(samewire("check", "run.yaml", "--format", "json", cwd=run_file.parent).stdout)
    assert (found["ok"], [w["path"] for w in found["warnings"]]) == (True, ["optimizer.max_weight", "sinks"])
    assert [type(w["line"]) for w in found["warnings"]] == [int, type(None)]


def test_replay_warns_of_it_beside_the_figures() -> None:
    result = run(RUN | {"risk": {"max_weight": 0.2, "max_order_value": 40_000}})
    assert any(text.startswith("risk.max_order_value: 40,000 is below") for text in result.warnings)


def test_a_model_that_learns_but_has_nothing_to_learn_from_is_warned_of() -> None:
    features = [{"name": "rolling", "use": "rolling"}]
    model = {"name": "gbdt", "use": "lightgbm", "features": "rolling"}
    (text,) = said(features=features, models=[model])
    assert "model 'gbdt' learns, but has no train, retrain or artefact" in text
    assert said(features=features, models=[model | {"train": {"until": "2018-01-20"}}]) == []
    run = load_run(RUN | {"features": features, "models": [model], "training": {"split": "walk_forward"}})
    assert cautions(run) == ()  # it is there for `samewire train`
    (caution,) = cautions(run, session=True)
    assert "learns, but has no train" in caution.text
    session = RUN["session"] | {"end": "2018-01-20"}
    (text,) = said(features=features, models=[model | {"train": {"until": "2018-01-20"}}], session=session)
    assert "answers after 2018-01-20, but the session ends on 2018-01-20" in text


def test_a_strategy_that_hears_no_model_or_too_many_is_warned_of() -> None:
    momentum = [{"name": name, "use": "momentum"} for name in ("a", "b")]
    strategy = {"use": "topk_dropout", "topk": 1, "n_drop": 1}
    assert "there are 2 models and the strategy names none" in said(models=momentum, strategy=strategy)[0]
    assert "no model is called 'c'" in said(models=momentum, strategy=strategy | {"signal": "c"})[0]
    assert said(models=momentum, strategy=strategy | {"signal": "b"}) == []
