"""Strategies in whole sessions: on margin, in sleeves of capital, of blended signals, from run files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.events import Actions, Bars, Book, Event, Fills, Note, Orders, Target
from samewire import load_run, run
from samewire.cautions import cautions
from samewire.json_schema import json_schema
from samewire.prepare import prepare
from samewire.schema import RunFileErrors, config_hash, dump_run

FEED = {"use": "sample", "symbols": 12, "years": 2}
MARGIN = {"use": "simulated", "fill": "next_open", "short": True, "leverage": 2, "costs": {"commission_bps": 5}}
TOP = {"use": "topk_dropout", "topk": 4, "n_drop": 1}


def a_run(strategy: Any, **parts: Any) -> dict[str, Any]:
    plain = {
        "schema": 1,
        "session": {"name": "strategies", "cash": 1_000_000},
        "feed": FEED,
        "models": [
            {"name": "trend", "use": "momentum", "window": 20},
            {"name": "fast", "use": "momentum", "window": 5},
        ],
        "strategy": strategy,
        "optimizer": "direct",
        "broker": MARGIN,
    }
    return plain | parts


class Keeps:
    """A recorder of every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        self.events += events


async def events_of(said: dict[str, Any]) -> list[Event]:
    kept = Keeps()
    await prepare(load_run(said), recorders=[kept]).run()
    return kept.events


@pytest.mark.parametrize("weights", ["equal", "score", "inverse_vol"])
def test_long_short_on_margin_is_as_long_as_it_is_short(weights: str) -> None:
    said = a_run({"use": "long_short", "quantile": 0.25, "weights": weights, "signal": "trend", "gross": 1.6})
    result = run(said)
    curve = result.to_pandas("equity").iloc[60:]
    assert curve["gross"].mean() == pytest.approx(1.6, abs=0.05)
    assert abs(curve["net"].mean()) < 0.02
    assert result.summary["refusals"] == 0
    assert result.summary["orders"] > 500


SLEEVES: dict[str, Any] = {
    "use": "sleeves",
    "shares": [2, 1],
    "names": ["core", "pairs"],
    "rebalance_every": 60,
    "strategies": [TOP | {"signal": "trend"}, {"use": "long_short", "count": 2, "signal": "fast"}],
}


async def test_equities_of_sleeves_are_told_every_slice_and_sum_to_the_account() -> None:
    events = await events_of(a_run(SLEEVES))
    told: dict[int, list[Note]] = {}
    for event in events:
        if isinstance(event, Note) and event.kind == "sleeve":
            told.setdefault(event.ts, []).append(event)
    books = {event.ts: event for event in events if isinstance(event, Book)}
    slices = [event.ts for event in events if isinstance(event, Bars)]
    assert sum(len(event.symbol) for event in events if isinstance(event, Fills)) > 300
    assert any(isinstance(event, Actions) for event in events)  # splits and dividends on the way
    assert list(told) == slices
    equities = {ts: [float(note.value[0]) for note in notes] for ts, notes in told.items()}
    for ts, notes in told.items():
        assert [note.text for note in notes] == ["core", "pairs"]
        assert sum(equities[ts]) == pytest.approx(books[ts].equity, rel=1e-9)
    first, last = equities[slices[0]], equities[slices[-1]]
    assert first == pytest.approx([2e6 / 3, 1e6 / 3])
    assert not np.allclose(last, first, rtol=1e-3)


async def test_a_single_sleeve_trades_as_its_strategy_does_alone() -> None:
    alone = TOP | {"signal": "trend", "name": "s"}
    inside = {"use": "sleeves", "name": "s", "strategies": [TOP | {"signal": "trend"}]}
    orders = [
        [(event.ts, event.symbol.tolist(), event.qty.tolist()) for event in events if isinstance(event, Orders)]
        for events in (await events_of(a_run(alone)), await events_of(a_run(inside)))
    ]
    assert len(orders[0]) > 100
    assert [each[:2] for each in orders[0]] == [each[:2] for each in orders[1]]
    np.testing.assert_allclose(
        np.concatenate([qty for *_, qty in orders[0]]), np.concatenate([qty for *_, qty in orders[1]])
    )


async def test_sleeves_trade_less_than_their_strategies_would_apart() -> None:
    """What one sells and the other buys at the same instant needs no market."""
    twins = {"use": "sleeves", "strategies": [SLEEVES["strategies"][1], SLEEVES["strategies"][1] | {"signal": "trend"}]}
    traded = []
    for strategy in (twins, *({"use": "sleeves", "strategies": [each]} for each in twins["strategies"])):
        events = await events_of(a_run(strategy))
        traded.append(sum(float((np.abs(e.qty) * e.price).sum()) for e in events if isinstance(e, Fills)))
    assert traded[0] < 0.99 * (traded[1] + traded[2]) / 2


async def test_a_blend_hands_one_signal_to_the_strategy_inside() -> None:
    blend = {"use": "blend_signals", "weights": {"fast": 0.0}, "strategy": TOP}
    blended = [e for e in await events_of(a_run(blend)) if isinstance(e, Target)]
    plain = [e for e in await events_of(a_run(TOP | {"signal": "trend"})) if isinstance(e, Target)]
    assert len(blended) == len(plain) > 400
    for one, other in zip(blended, plain, strict=True):  # z-scores of one signal rank as it does
        assert one.source == "strategy"
        np.testing.assert_array_equal(one.value != 0, other.value != 0)


@pytest.mark.parametrize("strategy", [SLEEVES, {"use": "blend_signals", "strategy": TOP}], ids=["sleeves", "blend"])
def test_a_run_file_with_strategies_inside_is_the_same_when_written_out(
    strategy: dict[str, Any], tmp_path: Path
) -> None:
    loaded = load_run(a_run(strategy))
    path = tmp_path / "run.yaml"
    path.write_text(dump_run(loaded))
    again = load_run(path)
    assert config_hash(again) == config_hash(loaded)
    assert cautions(loaded) == ()
    assert load_run(a_run(strategy)) == loaded


def test_an_inner_mistake_is_shown_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "schema: 1\nsession: {name: x, cash: 1000}\nfeed: sample\nmodels: [momentum]\noptimizer: direct\n"
        "broker: {use: simulated, fill: next_open, costs: bps}\n"
        "strategy:\n  use: sleeves\n  strategies:\n    - {use: topk_dropout, topk: 0, n_drop: 1}\n    - {use: sgin}\n"
    )
    with pytest.raises(RunFileErrors) as caught:
        load_run(path)
    text = str(caught.value)
    assert "strategy.strategies[0].topk" in text
    assert "strategy.strategies[1].use" in text
    assert 'did you mean "sign"?' in text


def test_an_inner_strategy_that_names_no_signal_is_warned_of_but_not_inside_a_blend() -> None:
    (caution,) = cautions(load_run(a_run({"use": "sleeves", "strategies": [TOP, TOP | {"signal": "fast"}]})))
    assert "there are 2 models and the strategy names none" in caution.text
    assert (
        cautions(load_run(a_run({"use": "sleeves", "strategies": [{"use": "blend_signals", "strategy": TOP}]}))) == ()
    )


async def test_an_inner_interval_is_that_of_the_whole() -> None:
    weekly = {"use": "blend_signals", "strategy": {"use": "sign", "interval": "1w"}}
    models = [{"name": "trend", "use": "momentum", "window": 3, "interval": "1w"}]
    feed = {"use": "aggregate", "of": FEED, "to": ["1w"]}
    events = await events_of(a_run(weekly, models=models, feed=feed))
    weeks = [event.ts for event in events if isinstance(event, Bars) and event.interval_ns > 86_400 * 10**9]
    targets = [event.ts for event in events if isinstance(event, Target)]
    assert len(targets) > 50
    assert set(targets) <= set(weeks)
    with pytest.raises(ConfigError, match="say one of the two"):
        prepare(load_run(a_run(weekly | {"interval": "1d"}, models=models, feed=feed)))


def test_the_json_schema_knows_strategies_inside_strategies() -> None:
    definitions = json_schema()["$defs"]
    (found,) = [each for each in definitions["strategies"]["anyOf"] if each.get("title") == "sleeves"]
    assert "strategies" in found["required"]
